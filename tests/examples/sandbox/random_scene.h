// Valid scenes of every shape, by seed, for round trips and as the fuzzer's seed corpus.
#pragma once

#include <cstdint>
#include <random>

#include "vox_file.h"

namespace stadial::sandbox::testing {

// Draws numbers the same way on every platform (std::uniform_int_distribution does not).
class Random {
 public:
  explicit Random(std::uint32_t seed) : engine_(seed) {}
  // 0..below-1; below > 0. The bias of the remainder does not matter here.
  std::uint32_t Below(std::uint32_t below) { return static_cast<std::uint32_t>(engine_() % below); }
  bool OneIn(std::uint32_t n) { return Below(n) == 0; }
  std::uint32_t Word() { return static_cast<std::uint32_t>(engine_()); }

 private:
  std::mt19937 engine_;
};

// A scene with up to five models (some empty), a tree of transforms, groups and shapes (sometimes none),
// layers, animation frames, palette and materials. Small: a few kilobytes as a file. Node 0 is a transform
// unless there is none.
VoxScene MakeRandomScene(std::uint32_t seed);

}  // namespace stadial::sandbox::testing
