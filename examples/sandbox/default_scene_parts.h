// The parts of the default scene. Private to default_scene*.cpp.
#pragma once

#include "voxel_canvas.h"

namespace stadial::sandbox {

// Colour indices. A name with a count stands for that many shades in a row.
enum SceneColour : std::uint8_t {
  kGrass = 1,     // 4
  kDirt = 5,      // 3
  kRock = 8,      // 4
  kMarble = 12,   // 3
  kBrick = 15,    // 3
  kRoof = 18,     // 3
  kWood = 21,     // 3
  kLeaf = 24,     // 3
  kBlossom = 27,  // 3
  kPath = 30,     // 3
  kGold = 33,
  kFlower = 34,  // 3
  kLanternGlow = 37,
  kFireGlow = 38,
  kSand = 40,   // 4, sand
  kWater = 44,  // 2, water
};

inline constexpr std::int32_t kIslandEdge = 128;
inline constexpr std::int32_t kSeaLevel = 12;  // height of the pond's surface, in cells
inline constexpr std::int32_t kTempleX = 90, kTempleY = 90, kTempleLevel = 20;
inline constexpr std::int32_t kTowerX = 32, kTowerY = 38, kTowerLevel = 15;

// How many cells of ground stand at (x, y); 0 outside the island.
std::int32_t GroundHeight(std::int32_t x, std::int32_t y) noexcept;

VoxModel MakeTerrain();  // kIslandEdge along x and y; ground, pond, spring, beach
VoxModel MakeTemple();   // steps, floor, roof; its columns are models of their own
VoxModel MakeColumn();
VoxModel MakeTower();  // the hourglass: pillars, funnel, and the sand in it
VoxModel MakeBasin();  // the ring of stone that catches the sand
VoxModel MakeBridge();
VoxModel MakePine();
VoxModel MakeBlossomTree();
VoxModel MakeLantern();
VoxModel MakeBrazier();

}  // namespace stadial::sandbox
