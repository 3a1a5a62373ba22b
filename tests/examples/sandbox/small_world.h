// Small scenes and worlds for tests, cell by cell.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "world.h"

namespace stadial::sandbox::testing {

// Colours of test scenes.
inline constexpr std::uint8_t kTestStone = 1, kTestSand = 2, kTestWater = 3, kTestGlow = 4, kTestStone2 = 5;

struct TestCell {
  std::int32_t x, y, z;
  std::uint8_t colour;
};

// Fills a box of cells, both corners included.
inline void AddBox(std::vector<TestCell>& cells, const CellPosition& low, const CellPosition& high,
                   std::uint8_t colour) {
  for (std::int32_t z = low[2]; z <= high[2]; ++z) {
    for (std::int32_t y = low[1]; y <= high[1]; ++y) {
      for (std::int32_t x = low[0]; x <= high[0]; ++x) cells.push_back({x, y, z, colour});
    }
  }
}

// One model of this size with these cells, and materials to match the colours above.
inline VoxScene MakeTestScene(std::array<std::int32_t, 3> size, const std::vector<TestCell>& cells) {
  VoxScene scene;
  scene.palette = MakeDefaultVoxPalette();
  scene.palette[kTestStone] = {180, 170, 160, 255};
  scene.palette[kTestSand] = {220, 190, 120, 255};
  scene.palette[kTestWater] = {40, 120, 160, 255};
  scene.palette[kTestGlow] = {255, 180, 90, 255};
  scene.materials[kTestSand].behaviour = VoxBehaviour::Sand;
  scene.materials[kTestWater].behaviour = VoxBehaviour::Water;
  scene.materials[kTestGlow].type = VoxMaterialType::Emit;
  scene.materials[kTestGlow].emit = 1.0F;
  scene.materials[kTestGlow].flux = 1.0F;
  VoxModel model;
  model.size = size;
  for (const TestCell& cell : cells) {
    model.voxels.push_back({static_cast<std::uint8_t>(cell.x), static_cast<std::uint8_t>(cell.y),
                            static_cast<std::uint8_t>(cell.z), cell.colour});
  }
  scene.models.push_back(std::move(model));
  return scene;
}

inline World BuildWorld(const VoxScene& scene, const WorldOptions& options = {}) {
  auto world = World::Build(scene, options, "test");
  EXPECT_TRUE(world) << world.GetError().Message();
  return world ? std::move(world).Value() : World();
}

// The material id of a cell; 0 where nothing is resident.
inline std::uint32_t CellOf(const World& world, std::span<const std::uint32_t> cells, std::int32_t x,
                            std::int32_t y, std::int32_t z) {
  const std::int32_t slot = world.SlotOf(x, y, z);
  if (slot < 0) return 0;
  const auto u = [](std::int32_t v) { return static_cast<std::uint32_t>(v); };
  return CellInWord(cells[WordIndex(u(slot), u(x), u(y), u(z))], u(x));
}

inline MaterialClass ClassAt(const World& world, std::span<const std::uint32_t> cells, std::int32_t x,
                             std::int32_t y, std::int32_t z) {
  return world.Materials().ClassOf(CellOf(world, cells, x, y, z));
}

}  // namespace stadial::sandbox::testing
