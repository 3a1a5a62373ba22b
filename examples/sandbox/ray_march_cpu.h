// The picture on the CPU: the reference that shaders/ray_march.comp must match within a mean absolute error
// of 1/255 after tone mapping. Written on its own: one cell at a time, without bricks or empty chunks,
// recursive where the shader loops. What they share is the uniform block and the optics below.
//
// Geometry. A ray goes through pixel (x, y) at (x + 1/2 + jitter, y + 1/2 + jitter). Components of its
// direction are at least 1e-6 in size. It enters the cell beyond a face across axis a at t = (plane -
// origin[a]) * (1 / direction[a]); of several faces met at once the later axis is taken. A point on a face
// starts its secondary rays in the cell before the face, so a surface never shades itself.
//
// Light on a face with normal n at point p:
//   ambient   mix(floor albedo * sun * 1/4, mix(zenith, horizon, 1/2), 1/2 + n.z/2) * (0.85 + 0.15 n.sun)
//             * ambient strength * openness; openness is interpolated between the face's corners, each
//             0.37 + 0.21 * (3 - cells of stone or sand that touch the corner from the front, glowing ones
//             aside; all three when both sides do)
//   sun       colour * max(n.sun, 0), unless stone or sand stands between (water does not shade)
//   lanterns  of the chunk's list: intensity * window^2 / (d^2 + 4) * max(n.l, 0) with
//             window = 1 - d^2 / radius^2, unless stone or sand that does not glow stands between
//
// Colour of stone and sand: albedo * (light + emission). With distance it turns into the sky behind it:
//   x = (t / haze)^2; colour = mix(colour, sky, x / (1 + x)).
// Water: the first water face on a ray splits it. Fresnel (0.03 + 0.97 (1 - cos)^5) goes to the mirrored ray,
// the rest straight on (no refraction). Per channel, d cells of water let 1 / (1 + x + x^2 / 2) through, x =
// 0.22 d (1 - albedo), and add albedo * light on the water's face * (1 - that). Behind, water counts as
// opaque. Sky: mix(zenith, horizon, (1 - z)^3) + sun * (0.06 c^8 + 0.12 c^64), c = max(ray.sun, 0), and the
// sun's disc. Floor: an endless plane at z = groundColour[3] for rays from above it that meet no cell.
//
// Thread rules: const and free of side effects; rows may be drawn by several threads. Allocates nothing.
// Cost: about 1.3 microseconds per pixel of the default scene (one Zen 5 core), proportional to cells
// crossed.
#pragma once

#include <cstdint>
#include <span>

#include "shader_interface.h"
#include "vector_math.h"
#include "world.h"

namespace stadial::sandbox {

// One pixel of ray_march.comp's image: linear light, and the distance of what was met (kSkyDistance:
// nothing).
struct PixelSample {
  Vec3 colour;
  float distance = kSkyDistance;
};

class RayMarchCpu {
 public:
  // `cells`: kChunkWords per slot, the world's own or the automaton's. All arguments must outlive this
  // object.
  RayMarchCpu(const World& world, std::span<const std::uint32_t> cells, const FrameUniforms& frame) noexcept;

  PixelSample Pixel(std::uint32_t x, std::uint32_t y) const noexcept;
  // Rows [rowBegin, rowEnd) into image[y * width + x].
  void Rows(std::uint32_t rowBegin, std::uint32_t rowEnd, std::span<PixelSample> image) const noexcept;

 private:
  const World& world_;
  std::span<const std::uint32_t> cells_;
  const FrameUniforms& frame_;
  SceneUniforms scene_;
};

}  // namespace stadial::sandbox
