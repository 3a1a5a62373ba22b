#include "camera.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numbers>
#include <string_view>

namespace stadial::sandbox {
namespace {

constexpr std::size_t kNumbersMax = 7;
constexpr float kPitchMax = 89.0F;  // straight up or down has no right hand
constexpr float kFieldOfViewMin = 1.0F;
constexpr float kFieldOfViewMax = 150.0F;
constexpr float kDegree = std::numbers::pi_v<float> / 180.0F;

// Reads up to kNumbersMax comma-separated finite numbers; returns how many, or 0 when the text is anything
// else.
std::size_t ParseNumbers(std::string_view text, std::array<float, kNumbersMax>& numbers) noexcept {
  const char* at = text.data();
  const char* const end = at + text.size();
  for (std::size_t count = 0; count < kNumbersMax; ++count) {
    while (at != end && *at == ' ') ++at;
    const auto [next, error] = std::from_chars(at, end, numbers[count]);
    if (error != std::errc{} || !std::isfinite(numbers[count])) return 0;
    if (next == end) return count + 1;
    if (*next != ',') return 0;
    at = next + 1;
  }
  return 0;
}

// Inverts the digits of `index` in a base about the point. Exact to rounding for the small indices used.
float RadicalInverse(std::uint32_t index, std::uint32_t base) noexcept {
  std::uint32_t reversed = 0;
  std::uint32_t scale = 1;
  for (; index != 0; index /= base) {
    reversed = reversed * base + index % base;
    scale *= base;
  }
  return static_cast<float>(reversed) / static_cast<float>(scale);
}

}  // namespace

Result<CameraSpec> ParseCamera(const char* text) {
  std::array<float, kNumbersMax> n{};
  const std::size_t count = ParseNumbers(text, n);
  CameraSpec spec;
  if (count == 3 || count == 4) {
    spec.yaw = std::fmod(n[0], 360.0F);
    spec.pitch = n[1];
    spec.distance = n[2];
    if (count == 4) spec.fieldOfView = n[3];
    if (std::fabs(spec.pitch) > kPitchMax || spec.distance < 0.0F || spec.distance > kCoordinateMax) {
      return Error::Format(
          ErrorCode::InvalidArgument,
          "camera '%.80s': pitch %g must lie in -89..89 degrees and distance %g in 0..%g cells", text,
          static_cast<double>(spec.pitch), static_cast<double>(spec.distance),
          static_cast<double>(kCoordinateMax));
    }
  } else if (count == 6 || count == 7) {
    spec.fixed = true;
    spec.position = {n[0], n[1], n[2]};
    spec.target = {n[3], n[4], n[5]};
    if (count == 7) spec.fieldOfView = n[6];
    for (std::size_t i = 0; i < 6; ++i) {
      if (std::fabs(n[i]) > kCoordinateMax) {
        return Error::Format(ErrorCode::InvalidArgument, "camera '%.80s': coordinate %g lies beyond %g cells",
                             text, static_cast<double>(n[i]), static_cast<double>(kCoordinateMax));
      }
    }
    if (Length(spec.target - spec.position) < 1e-3F) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "camera '%.80s': position and target are the same point", text);
    }
  } else {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "camera '%.80s' is neither yaw,pitch,distance[,fov] nor px,py,pz,tx,ty,tz[,fov] (numbers and "
        "commas; degrees and cells)",
        text);
  }
  if (spec.fieldOfView < kFieldOfViewMin || spec.fieldOfView > kFieldOfViewMax) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "camera '%.80s': field of view %g must lie in %g..%g degrees", text,
                         static_cast<double>(spec.fieldOfView), static_cast<double>(kFieldOfViewMin),
                         static_cast<double>(kFieldOfViewMax));
  }
  return spec;
}

Camera MakeCamera(const CameraSpec& spec, float turn) noexcept {
  Camera camera;
  camera.tanHalfVertical = std::tan(0.5F * spec.fieldOfView * kDegree);
  if (spec.fixed) {
    camera.position = spec.position;
    camera.forward = Normalize(spec.target - spec.position);
  } else {
    const float yaw = (spec.yaw + turn) * kDegree;
    const float pitch = spec.pitch * kDegree;
    const Vec3 outward{std::cos(pitch) * std::cos(yaw), std::cos(pitch) * std::sin(yaw), std::sin(pitch)};
    camera.position = spec.target + outward * spec.distance;
    camera.forward = -outward;
  }
  const bool vertical = std::fabs(camera.forward.z) > 0.9999F;
  const Vec3 helper = vertical ? Vec3{0.0F, 1.0F, 0.0F} : Vec3{0.0F, 0.0F, 1.0F};
  camera.right = Normalize(Cross(camera.forward, helper));
  camera.up = Cross(camera.right, camera.forward);
  return camera;
}

Jitter HaltonJitter(std::uint64_t index) noexcept {
  constexpr std::uint64_t kPeriod = 1296;
  // Point 0 of the sequence is the corner (0, 0): begin with point 1.
  const auto i = static_cast<std::uint32_t>(index % kPeriod) + 1;
  return {RadicalInverse(i, 2) - 0.5F, RadicalInverse(i, 3) - 0.5F};
}

}  // namespace stadial::sandbox
