#include "default_scene.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <set>

#include "automaton_cpu.h"
#include "small_world.h"
#include "vox_scene_graph.h"

namespace stadial::sandbox {
namespace {

using namespace testing;

std::vector<std::byte> ReadFile(const char* path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  std::vector<std::byte> bytes;
  for (std::istreambuf_iterator<char> c(file), end; c != end; ++c)
    bytes.push_back(static_cast<std::byte>(*c));
  return bytes;
}

// After a change of the generator: make_default_scene examples/sandbox/scenes/default.vox
TEST(DefaultScene, TheFileIsWhatTheGeneratorMakes) {
  auto made = WriteVox(MakeDefaultScene());
  ASSERT_TRUE(made) << made.GetError().Message();
  EXPECT_TRUE(made.Value() == ReadFile(SANDBOX_DEFAULT_SCENE))
      << "run make_default_scene " << SANDBOX_DEFAULT_SCENE;
  EXPECT_LT(made.Value().size(), 300u * 1000u);
}

TEST(DefaultScene, LoadsWithoutAWarning) {
  auto scene = LoadVox(SANDBOX_DEFAULT_SCENE);
  ASSERT_TRUE(scene) << scene.GetError().Message();
  EXPECT_TRUE(scene->warnings.empty());
  const World world = BuildWorld(scene.Value());
  EXPECT_TRUE(world.Warnings().empty());
}

TEST(DefaultScene, UsesWhatAVoxFileCanDo) {
  const VoxScene scene = MakeDefaultScene();
  EXPECT_GE(scene.models.size(), 8u);
  auto flat = FlattenVox(scene);
  ASSERT_TRUE(flat);
  EXPECT_GT(flat->instances.size(), 2 * scene.models.size()) << "models are placed more than once";
  std::set<std::uint8_t> rotations;
  for (const VoxInstance& instance : flat->instances) rotations.insert(PackVoxRotation(instance.rotation));
  EXPECT_EQ(rotations.size(), 4u);
  const World world = BuildWorld(scene);
  const WorldStatistics& s = world.Statistics();
  EXPECT_GT(s.sandCells, 5000u);
  EXPECT_GT(s.waterCells, 5000u);
  EXPECT_GE(s.lights, 5u);
  EXPECT_EQ(s.droppedChunks, 0u);
  EXPECT_EQ(s.residentChunks, s.boxChunks);
}

// Sand pours and water falls for as long as a first run lasts, and neither leaves the island in quantity.
TEST(DefaultScene, KeepsMovingAndStaysInPlace) {
  const World world = BuildWorld(MakeDefaultScene());
  AutomatonCpu automaton(world, 1);
  const auto inLayer = [&](MaterialClass cls, std::int32_t z) {
    std::uint32_t count = 0;
    for (std::int32_t i = 0; i < 128 * 128; ++i)
      count += ClassAt(world, automaton.Cells(), i % 128, i / 128, z) == cls;
    return count;
  };
  std::uint32_t pouring = 0;
  std::uint32_t falling = 0;
  for (int step = 0; step < 300; ++step) {
    automaton.Step();
    if (step % 25 != 24) continue;
    // Heights between spout and heap, and between ledge and pool.
    pouring += inLayer(MaterialClass::Sand, 36) + inLayer(MaterialClass::Sand, 37) > 0;
    falling += inLayer(MaterialClass::Water, 20) + inLayer(MaterialClass::Water, 21) +
                   inLayer(MaterialClass::Water, 22) + inLayer(MaterialClass::Water, 23) >
               0;
  }
  EXPECT_EQ(pouring, 12u);
  EXPECT_EQ(falling, 12u);
  EXPECT_LT(inLayer(MaterialClass::Water, 0) + inLayer(MaterialClass::Sand, 0), 10u);
}

}  // namespace
}  // namespace stadial::sandbox
