// Fills the uniform block that every shader and every CPU reference reads, once a frame. Allocates nothing.
#pragma once

#include <cstdint>

#include "stadial/arenas/effects.h"

#include "camera.h"
#include "shader_interface.h"
#include "world.h"

namespace stadial::sandbox {

// Light and air. The default is a low, warm sun.
struct Environment {
  float sunYaw = 246.0F;  // degrees, as CameraSpec::yaw: where the sun stands
  float sunPitch = 33.0F;
  float sunDiscDegrees = 2.2F;  // apparent diameter; larger than life, so that it shows
  Vec3 sunColour{2.9F, 1.95F, 1.15F};
  Vec3 skyZenith{0.14F, 0.24F, 0.50F};
  Vec3 skyHorizon{0.66F, 0.52F, 0.45F};
  float ambient = 1.15F;
  Vec3 ground{0.07F, 0.155F, 0.20F};  // albedo of the floor, linear
  bool groundPlane = true;
  float hazeCells = 1500.0F;
  float exposure = 0.62F;
};

struct FrameParameters {
  Camera camera;
  Camera previousCamera;  // equal to camera in the first frame
  Jitter jitter;
  std::uint32_t width = 0, height = 0;
  bool historyValid = false;
  bool still = false;                       // see kFrameStill
  std::uint32_t accumulatedFramesMax = 16;  // while things move; 1..255
  std::uint32_t step = 0, seed = 0;         // automaton
};

FrameUniforms MakeFrameUniforms(const World& world, const Environment& environment,
                                const FrameParameters& parameters) noexcept STADIAL_NONALLOCATING;

// Points an orbit at a world: its target becomes the middle of what is there; a distance of 0 becomes the
// least one that shows everything, and the target then moves so that it stands in the middle of the image. A
// fixed camera stays. Exact for the corners of occupied bricks. Cost: 8 corners per brick. Setup only for its
// cost; it allocates nothing.
void AimAtWorld(const World& world, float aspect, CameraSpec& spec) noexcept;

}  // namespace stadial::sandbox
