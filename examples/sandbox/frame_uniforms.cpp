#include "frame_uniforms.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "stadial/arenas/assert.h"

namespace stadial::sandbox {
namespace {

constexpr float kDegree = std::numbers::pi_v<float> / 180.0F;

void Store(float (&out)[4], Vec3 v, float w = 0.0F) noexcept {
  out[0] = v.x;
  out[1] = v.y;
  out[2] = v.z;
  out[3] = w;
}

}  // namespace

FrameUniforms MakeFrameUniforms(const World& world, const Environment& environment,
                                const FrameParameters& parameters) noexcept {
  STADIAL_ASSERT(parameters.width > 0 && parameters.height > 0, "an image without pixels");
  STADIAL_ASSERT(
      parameters.accumulatedFramesMax >= 1 && parameters.accumulatedFramesMax <= kAccumulatedFramesMax,
      "accumulatedFramesMax must lie in 1..255");
  FrameUniforms u{};
  const float aspect = static_cast<float>(parameters.width) / static_cast<float>(parameters.height);
  const Camera& camera = parameters.camera;
  Store(u.cameraPosition, camera.position, environment.exposure);
  Store(u.cameraRight, camera.right * (camera.tanHalfVertical * aspect));
  Store(u.cameraUp, camera.up * camera.tanHalfVertical);
  Store(u.cameraForward, camera.forward);
  const Camera& previous = parameters.previousCamera;
  Store(u.previousPosition, previous.position);
  Store(u.previousRight, previous.right * (1.0F / (previous.tanHalfVertical * aspect)));
  Store(u.previousUp, previous.up * (1.0F / previous.tanHalfVertical));
  Store(u.previousForward, previous.forward);
  u.jitter[0] = parameters.jitter.x;
  u.jitter[1] = parameters.jitter.y;

  const float yaw = environment.sunYaw * kDegree;
  const float pitch = environment.sunPitch * kDegree;
  Store(u.sunDirection, {std::cos(pitch) * std::cos(yaw), std::cos(pitch) * std::sin(yaw), std::sin(pitch)},
        std::cos(0.5F * environment.sunDiscDegrees * kDegree));
  Store(u.sunColour, environment.sunColour);
  Store(u.skyZenith, environment.skyZenith);
  Store(u.skyHorizon, environment.skyHorizon, environment.ambient);
  Store(u.groundColour, environment.ground, 0.0F);
  u.haze[0] = environment.hazeCells;

  u.image[0] = parameters.width;
  u.image[1] = parameters.height;
  u.image[2] = (parameters.historyValid ? kFrameHistoryValid : 0U) | (parameters.still ? kFrameStill : 0U) |
               (parameters.camera == parameters.previousCamera ? 0U : kFrameCameraMoved) |
               (environment.groundPlane ? kFrameGroundPlane : 0U);
  u.image[3] = parameters.accumulatedFramesMax;
  for (std::size_t a = 0; a < 3; ++a) u.world[a] = static_cast<std::uint32_t>(world.ChunkCounts()[a]);
  u.world[3] = world.SlotCount();
  u.automaton[0] = parameters.step;
  u.automaton[1] = parameters.seed;
  u.automaton[2] = world.Materials().sandBegin;
  u.automaton[3] = world.Materials().waterBegin;
  return u;
}

namespace {

// Calls visit with each corner of each brick that holds cells.
template <class Visit>
void ForEachOccupiedCorner(const World& world, Visit&& visit) {
  constexpr auto kBrick = static_cast<float>(kBrickEdgeCells);
  constexpr std::uint32_t kBricksPerEdge = kChunkEdgeCells / kBrickEdgeCells;
  for (std::uint32_t slot = 0; slot < world.SlotCount(); ++slot) {
    const std::uint32_t chunk = world.SlotChunks()[slot];
    for (std::uint32_t brick = 0; brick < kBricksPerChunk; ++brick) {
      if ((world.Occupancy()[slot * kOccupancyWordsPerSlot + brick / 32] >> (brick % 32) & 1U) == 0) continue;
      const std::uint32_t x = (chunk & 1023U) * kBricksPerEdge + brick % 4;
      const std::uint32_t y = (chunk >> 10 & 1023U) * kBricksPerEdge + brick / 4 % 4;
      const std::uint32_t z = (chunk >> 20) * kBricksPerEdge + brick / 16;
      for (std::uint32_t corner = 0; corner < 8; ++corner) {
        visit(Vec3{static_cast<float>(x + (corner & 1U)) * kBrick,
                   static_cast<float>(y + (corner >> 1 & 1U)) * kBrick,
                   static_cast<float>(z + (corner >> 2)) * kBrick});
      }
    }
  }
}

}  // namespace

void AimAtWorld(const World& world, float aspect, CameraSpec& spec) noexcept {
  if (spec.fixed) return;
  const CellPosition& low = world.ContentMin();
  const CellPosition& high = world.ContentMax();
  const auto middle = [&](std::size_t a) { return 0.5F * static_cast<float>(low[a] + high[a] + 1); };
  spec.target = {middle(0), middle(1), middle(2)};
  if (spec.distance > 0.0F) return;
  // A point at right offset r, up offset u and outward offset o is in sight of a camera at (cr, cu, e) when
  // |r - cr| <= k (e - o), and likewise for u. The largest of r + k o and of -r + k o thus give cr and the
  // least e.
  constexpr float kMargin = 1.06F;
  const Camera camera = MakeCamera(spec);
  const float kUp = camera.tanHalfVertical / kMargin;
  const float kRight = kUp * aspect;
  float right[2] = {-kCoordinateMax, -kCoordinateMax};
  float up[2] = {-kCoordinateMax, -kCoordinateMax};
  ForEachOccupiedCorner(world, [&](Vec3 corner) {
    const Vec3 p = corner - spec.target;
    const float outward = -Dot(p, camera.forward);
    const float r = Dot(p, camera.right);
    const float u = Dot(p, camera.up);
    right[0] = std::max(right[0], r + kRight * outward);
    right[1] = std::max(right[1], -r + kRight * outward);
    up[0] = std::max(up[0], u + kUp * outward);
    up[1] = std::max(up[1], -u + kUp * outward);
  });
  spec.distance = std::max((right[0] + right[1]) / (2.0F * kRight), (up[0] + up[1]) / (2.0F * kUp));
  spec.target =
      spec.target + camera.right * (0.5F * (right[0] - right[1])) + camera.up * (0.5F * (up[0] - up[1]));
}

}  // namespace stadial::sandbox
