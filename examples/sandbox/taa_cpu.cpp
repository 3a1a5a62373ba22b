#include "taa_cpu.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "stadial/arenas/assert.h"

namespace stadial::sandbox {
namespace {

constexpr float kToleranceCells = 1.0F;
constexpr float kToleranceRelative = 0.02F;

Vec3 ToVec3(const float (&v)[4]) noexcept { return {v[0], v[1], v[2]}; }

// What the nine samples around a pixel span.
struct Neighbourhood {
  Vec3 low, high;
  float near = kSkyDistance, far = 0.0F;
};

struct Previous {
  float x = 0.0F, y = 0.0F;  // pixels, centres at .5
  float farther = 0.0F;      // how much farther the surface was from that camera
};

class Resolver {
 public:
  Resolver(const FrameUniforms& frame, std::span<const PixelSample> current,
           std::span<const HistorySample> history) noexcept
      : frame_(frame), current_(current), history_(history) {}

  HistorySample Pixel(std::int32_t x, std::int32_t y) const noexcept {
    const PixelSample& sample = current_[Index(x, y)];
    const HistorySample fresh{sample.colour, PackHistory(sample.distance, 1)};
    if (!Has(kFrameHistoryValid)) return fresh;
    if (Has(kFrameStill) && !Has(kFrameCameraMoved)) {
      const HistorySample& old = history_[Index(x, y)];
      return Blend(old.colour, sample, std::min(HistoryCount(old.packed) + 1, kAccumulatedFramesMax));
    }
    Previous previous;
    const std::optional<HistorySample> old = Fetch(x, y, sample, previous);
    if (!old) return fresh;
    const Neighbourhood around = Around(x, y);
    const float far = std::min(around.far, kDistanceMax);
    const float tolerance = kToleranceCells + kToleranceRelative * far;
    const float distance = HistoryDistance(old->packed) - previous.farther;
    if (distance < std::min(around.near, kDistanceMax) - tolerance || distance > far + tolerance)
      return fresh;
    const Vec3 kept{std::clamp(old->colour.x, around.low.x, around.high.x),
                    std::clamp(old->colour.y, around.low.y, around.high.y),
                    std::clamp(old->colour.z, around.low.z, around.high.z)};
    return Blend(kept, sample, std::min(HistoryCount(old->packed) + 1, frame_.image[3]));
  }

 private:
  bool Has(std::uint32_t flag) const noexcept { return (frame_.image[2] & flag) != 0; }
  std::int32_t Width() const noexcept { return static_cast<std::int32_t>(frame_.image[0]); }
  std::int32_t Height() const noexcept { return static_cast<std::int32_t>(frame_.image[1]); }

  // The pixel's place in an image; beyond the border stands the border's pixel.
  std::size_t Index(std::int32_t x, std::int32_t y) const noexcept {
    const std::int32_t cx = std::clamp(x, 0, Width() - 1);
    const std::int32_t cy = std::clamp(y, 0, Height() - 1);
    return static_cast<std::size_t>(cy) * frame_.image[0] + static_cast<std::size_t>(cx);
  }

  static HistorySample Blend(Vec3 kept, const PixelSample& sample, std::uint32_t count) noexcept {
    const auto n = static_cast<float>(count);
    const Vec3 step = sample.colour - kept;
    return {{kept.x + step.x / n, kept.y + step.y / n, kept.z + step.z / n},
            PackHistory(sample.distance, count)};
  }

  Neighbourhood Around(std::int32_t x, std::int32_t y) const noexcept {
    const PixelSample& middle = current_[Index(x, y)];
    Neighbourhood n{middle.colour, middle.colour, middle.distance, middle.distance};
    for (std::int32_t dy = -1; dy <= 1; ++dy) {
      for (std::int32_t dx = -1; dx <= 1; ++dx) {
        const PixelSample& s = current_[Index(x + dx, y + dy)];
        n.low = {std::min(n.low.x, s.colour.x), std::min(n.low.y, s.colour.y), std::min(n.low.z, s.colour.z)};
        n.high = {std::max(n.high.x, s.colour.x), std::max(n.high.y, s.colour.y),
                  std::max(n.high.z, s.colour.z)};
        n.near = std::min(n.near, s.distance);
        n.far = std::max(n.far, s.distance);
      }
    }
    return n;
  }

  std::optional<HistorySample> Fetch(std::int32_t x, std::int32_t y, const PixelSample& sample,
                                     Previous& previous) const noexcept {
    if (!Has(kFrameCameraMoved)) return history_[Index(x, y)];
    if (!Reproject(x, y, sample.distance, previous)) return std::nullopt;
    const float left = std::floor(previous.x - 0.5F);
    const float top = std::floor(previous.y - 0.5F);
    const float fx = previous.x - 0.5F - left;
    const float fy = previous.y - 0.5F - top;
    const auto ix = static_cast<std::int32_t>(left);
    const auto iy = static_cast<std::int32_t>(top);
    const std::array<HistorySample, 4> corners{history_[Index(ix, iy)], history_[Index(ix + 1, iy)],
                                               history_[Index(ix, iy + 1)], history_[Index(ix + 1, iy + 1)]};
    HistorySample mixed;
    mixed.colour =
        Mix(Mix(corners[0].colour, corners[1].colour, fx), Mix(corners[2].colour, corners[3].colour, fx), fy);
    mixed.packed = corners[(fx < 0.5F ? 0U : 1U) + (fy < 0.5F ? 0U : 2U)].packed;
    return mixed;
  }

  bool Reproject(std::int32_t x, std::int32_t y, float distance, Previous& previous) const noexcept {
    const auto width = static_cast<float>(frame_.image[0]);
    const auto height = static_cast<float>(frame_.image[1]);
    const float planeX = 2.0F * (static_cast<float>(x) + 0.5F + frame_.jitter[0]) / width - 1.0F;
    const float planeY = 2.0F * (static_cast<float>(y) + 0.5F + frame_.jitter[1]) / height - 1.0F;
    const Vec3 direction = Normalize(ToVec3(frame_.cameraForward) + ToVec3(frame_.cameraRight) * planeX -
                                     ToVec3(frame_.cameraUp) * planeY);
    const Vec3 v = ToVec3(frame_.cameraPosition) + direction * distance - ToVec3(frame_.previousPosition);
    const float depth = Dot(v, ToVec3(frame_.previousForward));
    if (depth <= 1.0e-3F) return false;
    const float previousX = Dot(v, ToVec3(frame_.previousRight)) / depth;
    const float previousY = -Dot(v, ToVec3(frame_.previousUp)) / depth;
    previous.x = (previousX + 1.0F) * 0.5F * width - frame_.jitter[0];
    previous.y = (previousY + 1.0F) * 0.5F * height - frame_.jitter[1];
    previous.farther = distance >= kSkyDistance ? 0.0F : Length(v) - distance;
    return previous.x >= 0.0F && previous.y >= 0.0F && previous.x < width && previous.y < height;
  }

  const FrameUniforms& frame_;
  std::span<const PixelSample> current_;
  std::span<const HistorySample> history_;
};

float FilmCurve(float linear, float exposure) noexcept {
  const float x = std::max(linear, 0.0F) * exposure;
  return std::clamp((x * (2.51F * x + 0.03F)) / (x * (2.43F * x + 0.59F) + 0.14F), 0.0F, 1.0F);
}

std::uint32_t SrgbByte(float linear) noexcept {
  const float encoded =
      linear <= 0.0031308F ? linear * 12.92F : 1.055F * std::pow(linear, 1.0F / 2.4F) - 0.055F;
  return static_cast<std::uint32_t>(std::floor(std::clamp(encoded, 0.0F, 1.0F) * 255.0F + 0.5F));
}

}  // namespace

float PackHistory(float distance, std::uint32_t count) noexcept {
  return std::floor(std::min(distance, kDistanceMax) * kDistanceSteps) * kCountSteps +
         static_cast<float>(count);
}

float HistoryDistance(float packed) noexcept { return std::floor(packed / kCountSteps) / kDistanceSteps; }

std::uint32_t HistoryCount(float packed) noexcept {
  return static_cast<std::uint32_t>(packed - std::floor(packed / kCountSteps) * kCountSteps);
}

void ResolveTaaCpu(const FrameUniforms& frame, std::span<const PixelSample> current,
                   std::span<const HistorySample> history, std::span<HistorySample> resolved) noexcept {
  const std::size_t pixels = std::size_t{frame.image[0]} * frame.image[1];
  STADIAL_ASSERT_COMPARE(current.size(), ==, pixels, "the current image does not fit the frame");
  STADIAL_ASSERT_COMPARE(resolved.size(), ==, pixels, "the resolved image does not fit the frame");
  STADIAL_ASSERT((frame.image[2] & kFrameHistoryValid) == 0 || history.size() == pixels,
                 "the history image does not fit the frame");
  const Resolver resolver(frame, current, history);
  for (std::uint32_t y = 0; y < frame.image[1]; ++y) {
    for (std::uint32_t x = 0; x < frame.image[0]; ++x) {
      resolved[std::size_t{y} * frame.image[0] + x] =
          resolver.Pixel(static_cast<std::int32_t>(x), static_cast<std::int32_t>(y));
    }
  }
}

std::uint32_t TonemapCpu(Vec3 colour, float exposure) noexcept {
  const std::uint32_t r = SrgbByte(FilmCurve(colour.x, exposure));
  const std::uint32_t g = SrgbByte(FilmCurve(colour.y, exposure));
  const std::uint32_t b = SrgbByte(FilmCurve(colour.z, exposure));
  return r | g << 8 | b << 16 | 0xff000000U;
}

}  // namespace stadial::sandbox
