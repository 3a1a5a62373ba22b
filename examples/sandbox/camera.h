// Cameras: how a command line names one, what the shaders need of one, and the sub-pixel jitter of each
// frame. World coordinates, cells, z up. Angles in degrees. Thread rules: pure functions, none of which
// allocates.
#pragma once

#include <cstdint>

#include "stadial/arenas/effects.h"

#include "vector_math.h"
#include "vox_file.h"

namespace stadial::sandbox {

inline constexpr float kFieldOfViewDefault = 38.0F;  // vertical, degrees
inline constexpr float kCoordinateMax = 65536.0F;    // cells: 32 times the largest world

// Either around a target (yaw, pitch, distance) or fixed (position, target).
struct CameraSpec {
  bool fixed = false;
  float yaw =
      0.0F;  // 0: the camera stands on the +x side of its target and looks along -x; 90: on the +y side
  float pitch = 25.0F;    // how far above the target, -89..89
  float distance = 1.0F;  // cells
  float fieldOfView = kFieldOfViewDefault;
  Vec3 position;  // fixed only
  Vec3 target;    // fixed: looked at; else the middle of the orbit, set by the caller
};

// "yaw,pitch,distance[,fov]" or "px,py,pz,tx,ty,tz[,fov]". In the first form the target stays (0, 0, 0), and
// a distance of 0 asks for one that shows the whole world: AimAtWorld (frame_uniforms.h) sets both. Errors:
// InvalidArgument, naming the text, the number and its range.
Result<CameraSpec> ParseCamera(const char* text);

struct Camera {
  Vec3 position;
  Vec3 right, up, forward;  // orthonormal
  float tanHalfVertical = 0.3F;
  bool operator==(const Camera&) const = default;
};

// turn: degrees added to the yaw of an orbit (ignored by a fixed camera).
Camera MakeCamera(const CameraSpec& spec, float turn = 0.0F) noexcept STADIAL_NONALLOCATING;

// Where frame `index` samples within its pixels, in pixels from the centre, [-0.5, 0.5): Halton points of
// bases 2 and 3. Any 2^a * 3^b successive frames cover the pixel evenly; the sequence repeats after 1,296 =
// 2^4 * 3^4.
struct Jitter {
  float x = 0.0F, y = 0.0F;
};
Jitter HaltonJitter(std::uint64_t index) noexcept STADIAL_NONALLOCATING;

}  // namespace stadial::sandbox
