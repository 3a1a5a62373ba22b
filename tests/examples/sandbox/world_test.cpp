#include "world.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "random_scene.h"
#include "small_world.h"

namespace stadial::sandbox {
namespace {

using namespace testing;
using ::testing::HasSubstr;

void AddInstance(VoxScene& scene, std::int32_t model, std::array<std::int32_t, 3> at,
                 std::uint8_t rotation = kVoxRotationIdentity) {
  if (scene.nodes.empty()) scene.nodes.push_back({});  // group 0
  VoxNode transform;
  transform.kind = VoxNodeKind::Transform;
  transform.id = static_cast<std::int32_t>(scene.nodes.size());
  transform.children = {transform.id + 1};
  transform.frames = {{0, rotation, at}};
  VoxNode shape;
  shape.kind = VoxNodeKind::Shape;
  shape.id = transform.id + 1;
  shape.models = {{model, 0}};
  scene.nodes[0].children.push_back(transform.id);
  scene.nodes.push_back(transform);
  scene.nodes.push_back(shape);
}

std::string BuildError(const VoxScene& scene, const WorldOptions& options = {}) {
  const auto world = World::Build(scene, options, "test");
  EXPECT_FALSE(world);
  return world ? std::string() : std::string(world.GetError().Message());
}

TEST(World, PutsAModelOnTheFloorInTheMiddleOfItsChunks) {
  const World world = BuildWorld(MakeTestScene({40, 10, 5}, {{0, 0, 0, kTestStone}, {39, 9, 4, kTestSand}}));
  EXPECT_EQ(world.ChunkCounts(), (CellPosition{2, 1, 1}));
  EXPECT_EQ(world.CellCounts(), (CellPosition{64, 32, 32}));
  EXPECT_EQ(world.ContentMin(), (CellPosition{12, 11, 0}));
  EXPECT_EQ(world.ContentMax(), (CellPosition{51, 20, 4}));
  EXPECT_EQ(ClassAt(world, world.Cells(), 12, 11, 0), MaterialClass::Stone);
  EXPECT_EQ(ClassAt(world, world.Cells(), 51, 20, 4), MaterialClass::Sand);
  EXPECT_EQ(world.Statistics().cells, 2u);
  EXPECT_EQ(world.Statistics().sandCells, 1u);
  // The scene's own coordinates: a model without a graph has its pivot floor(size / 2) at the origin.
  EXPECT_EQ(world.Origin(), (std::array<std::int64_t, 3>{-20 - 12, -5 - 11, -2}));
  EXPECT_TRUE(world.Warnings().empty());
}

TEST(World, LaterModelsCoverEarlierOnes) {
  VoxScene scene = MakeTestScene({1, 1, 1}, {{0, 0, 0, kTestStone}});
  scene.models.push_back({{1, 1, 1}, {{0, 0, 0, kTestStone2}}});
  AddInstance(scene, 0, {5, 5, 5});
  AddInstance(scene, 1, {5, 5, 5});
  const World world = BuildWorld(scene);
  EXPECT_EQ(world.Statistics().cells, 1u);
  EXPECT_EQ(world.Statistics().placedVoxels, 2u);
  const CellPosition& p = world.ContentMin();
  EXPECT_EQ(CellOf(world, world.Cells(), p[0], p[1], p[2]), world.Materials().idOf[kTestStone2]);
}

// Against a map of cells built straight from FlattenVox and Place.
TEST(World, MatchesAModelCellForCell) {
  std::uint32_t compared = 0;
  for (std::uint32_t seed = 0; seed < 120; ++seed) {
    const VoxScene scene = MakeRandomScene(seed);
    auto flat = FlattenVox(scene);
    ASSERT_TRUE(flat);
    std::map<std::array<std::int64_t, 3>, std::uint8_t> expected;
    for (const VoxInstance& instance : flat.Value().instances) {
      const VoxModel& model = scene.models[instance.model];
      for (const VoxVoxel& v : model.voxels)
        expected[instance.Place({v.x, v.y, v.z}, model.size)] = v.colourIndex;
    }
    auto built = World::Build(scene, {}, "test");
    ASSERT_EQ(built.HasValue(), !expected.empty()) << "seed " << seed;
    if (!built) continue;
    const World& world = built.Value();
    ASSERT_EQ(world.Statistics().droppedChunks, 0u);
    ASSERT_EQ(world.Statistics().cells, expected.size());
    for (const auto& entry : expected) {
      CellPosition at{};
      for (std::size_t a = 0; a < 3; ++a)
        at[a] = static_cast<std::int32_t>(entry.first[a] - world.Origin()[a]);
      ASSERT_EQ(CellOf(world, world.Cells(), at[0], at[1], at[2]), world.Materials().idOf[entry.second])
          << "seed " << seed;
    }
    compared += static_cast<std::uint32_t>(expected.size());
  }
  EXPECT_GT(compared, 1000u) << "the test must have compared something";
}

TEST(World, TableSlotsAndOccupancyAgree) {
  const World world = BuildWorld(MakeRandomScene(4));
  std::uint32_t resident = 0;
  for (std::size_t i = 0; i < world.ChunkTable().size(); ++i) {
    const std::uint32_t entry = world.ChunkTable()[i];
    if (entry == 0) continue;
    ++resident;
    const std::uint32_t packed = world.SlotChunks()[entry - 1];
    const auto n = [&](std::size_t a) { return static_cast<std::size_t>(world.ChunkCounts()[a]); };
    EXPECT_EQ((packed & 1023U) + n(0) * ((packed >> 10 & 1023U) + n(1) * (packed >> 20)), i);
  }
  EXPECT_EQ(resident, world.SlotCount());
  EXPECT_EQ(world.Cells().size(), std::size_t{resident} * kChunkWords);
  std::vector<std::uint32_t> again(world.Occupancy().size(), 0xffffffffU);
  ComputeOccupancy(world.Cells(), again);
  EXPECT_TRUE(std::equal(again.begin(), again.end(), world.Occupancy().begin()));
}

TEST(World, OccupancyHasOneBitPerBrick) {
  std::vector<std::uint32_t> cells(2 * kChunkWords);
  std::vector<std::uint32_t> occupancy(2 * kOccupancyWordsPerSlot);
  const auto brickOf = [&](std::uint32_t x, std::uint32_t y, std::uint32_t z) {
    std::fill(cells.begin(), cells.end(), 0U);
    cells[WordIndex(1, x, y, z)] = 1U << (8 * (x % 4));
    ComputeOccupancy(cells, occupancy);
    EXPECT_EQ(occupancy[0] | occupancy[1], 0u);
    return occupancy[2] | std::uint64_t{occupancy[3]} << 32;
  };
  EXPECT_EQ(brickOf(0, 0, 0), 1u);
  EXPECT_EQ(brickOf(7, 7, 7), 1u);
  EXPECT_EQ(brickOf(8, 0, 0), 2u);
  EXPECT_EQ(brickOf(0, 8, 0), 16u);
  EXPECT_EQ(brickOf(0, 0, 8), 65536u);
  EXPECT_EQ(brickOf(31, 31, 31), std::uint64_t{1} << 63);
}

TEST(World, ResidencyGoesBelowThenAround) {
  // Sand in the middle of the top layer of a column of three chunks; stone in two corners holds the box open.
  VoxScene scene =
      MakeTestScene({96, 96, 96}, {{48, 48, 90, kTestSand}, {0, 0, 0, kTestStone}, {95, 95, 95, kTestStone}});
  WorldOptions options;
  options.emptyRingsMax = 0;
  const World below = BuildWorld(scene, options);
  // Three chunks with voxels, two below the sand, two below the far corner.
  EXPECT_EQ(below.Statistics().occupiedChunks, 3u);
  EXPECT_EQ(below.SlotCount(), 7u);
  EXPECT_GE(below.SlotOf(48, 48, 40), 0);
  EXPECT_GE(below.SlotOf(48, 48, 8), 0);
  EXPECT_LT(below.SlotOf(0, 48, 48), 0);
  EXPECT_EQ(below.SlotOf(-1, 0, 0), -1);
  EXPECT_EQ(below.SlotOf(96, 0, 0), -1);

  options.emptyRingsMax = 1;
  EXPECT_EQ(BuildWorld(scene, options).SlotCount(), 27u) << "every chunk of the box touches one of these";

  options.atlasBytesMax = 9 * kChunkBytes;
  const World tight = BuildWorld(scene, options);
  EXPECT_EQ(tight.SlotCount(), 9u) << "the ring ends with the budget";
  EXPECT_GE(tight.SlotOf(48, 48, 8), 0) << "what lies below comes first";

  // Nothing moves: nothing empty is kept.
  WorldOptions still;
  still.rules.stone = {kTestSand};
  EXPECT_EQ(BuildWorld(scene, still).SlotCount(), 3u);
}

TEST(World, DropsTheFarthestChunksWhenTheBudgetIsTooSmall) {
  std::vector<TestCell> cells(8);
  for (std::int32_t i = 0; i < 8; ++i) cells[static_cast<std::size_t>(i)] = {i * 32, 0, 0, kTestStone};
  WorldOptions options;
  options.atlasBytesMax = 5 * kChunkBytes;
  const World world = BuildWorld(MakeTestScene({256, 1, 1}, cells), options);
  const WorldStatistics& s = world.Statistics();
  EXPECT_EQ(s.occupiedChunks, 8u);
  EXPECT_EQ(s.residentChunks, 5u);
  EXPECT_EQ(s.droppedChunks, 3u);
  EXPECT_EQ(s.droppedVoxels, 3u);
  ASSERT_EQ(world.Warnings().size(), 1u);
  EXPECT_THAT(world.Warnings()[0], HasSubstr("8 chunks hold voxels, 5 fit"));
  EXPECT_GE(world.SlotOf(4 * 32, 16, 0), 0);
  EXPECT_LT(world.SlotOf(7 * 32, 16, 0), 0);
  EXPECT_THAT(BuildError(MakeTestScene({1, 1, 1}, {{0, 0, 0, 1}}), {.atlasBytesMax = 100}),
              HasSubstr("100 bytes holds no chunk"));
}

TEST(World, CropsWhatIsTooLargeAroundWhereTheVoxelsAre) {
  VoxScene scene = MakeTestScene({1, 1, 1}, {{0, 0, 0, kTestStone}});
  for (std::int32_t i = 0; i < 10; ++i) AddInstance(scene, 0, {i, 0, 0});
  AddInstance(scene, 0, {1'000'000'000, 0, 0});
  const World world = BuildWorld(scene);
  EXPECT_EQ(world.CellCounts()[0], 2048);
  EXPECT_EQ(world.Statistics().cells, 10u);
  EXPECT_EQ(world.Statistics().croppedVoxels, 1u);
  ASSERT_EQ(world.Warnings().size(), 2u);
  EXPECT_THAT(world.Warnings()[0],
              HasSubstr("spans 1000000001 cells along x (0 to 1000000000), more than 2048"));

  // Four cells in far corners: whatever is cropped, nothing overflows. Here the middle of each axis lies on
  // no cell.
  VoxScene corners = MakeTestScene({1, 1, 1}, {{0, 0, 0, kTestStone}});
  constexpr std::int32_t kFar = 2147483647;
  AddInstance(corners, 0, {-kFar, kFar, 0});
  AddInstance(corners, 0, {kFar, -kFar, 0});
  AddInstance(corners, 0, {kFar, kFar, kFar});
  AddInstance(corners, 0, {-kFar, -kFar, kFar});
  EXPECT_THAT(BuildError(corners), HasSubstr("move its parts together"));
}

TEST(World, TheLargestBoxWorks) {
  VoxScene scene = MakeTestScene({1, 1, 1}, {{0, 0, 0, kTestSand}});
  AddInstance(scene, 0, {0, 0, 0});
  AddInstance(scene, 0, {2047, 2047, 2047});
  WorldOptions options;
  options.atlasBytesMax = 200 * kChunkBytes;
  const World world = BuildWorld(scene, options);
  EXPECT_EQ(world.ChunkCounts(), (CellPosition{64, 64, 64}));
  EXPECT_EQ(world.Statistics().cells, 2u);
  EXPECT_LE(world.SlotCount(), 200u);
}

TEST(World, SaysWhyThereIsNothingToShow) {
  EXPECT_THAT(BuildError(VoxScene{}),
              HasSubstr("test: the scene shows no voxel (0 models, 0 nodes, 0 of them hidden)"));
  EXPECT_THAT(BuildError(MakeTestScene({4, 4, 4}, {})), HasSubstr("no voxel"));
  VoxScene hidden = MakeTestScene({1, 1, 1}, {{0, 0, 0, kTestStone}});
  AddInstance(hidden, 0, {0, 0, 0});
  hidden.nodes[1].hidden = true;
  EXPECT_THAT(BuildError(hidden), HasSubstr("1 of them hidden"));
}

TEST(World, BoundsTheVoxelsItPlaces) {
  VoxScene scene = MakeTestScene({4, 4, 4}, {{0, 0, 0, kTestStone}, {1, 1, 1, kTestStone}});
  for (std::int32_t i = 0; i < 100; ++i) AddInstance(scene, 0, {0, 0, 0});
  WorldOptions options;
  options.placedVoxelsMax = 199;
  EXPECT_THAT(BuildError(scene, options), HasSubstr("more than 199 voxels"));
  options.placedVoxelsMax = 200;
  BuildWorld(scene, options);
}

TEST(WorldLights, ALanternBecomesOneLightInItsMiddle) {
  std::vector<TestCell> cells;
  // Three cells across the corner of a brick, so that eight bricks hold a part.
  AddBox(cells, {7, 7, 7}, {9, 9, 9}, kTestGlow);
  cells.push_back({0, 0, 0, kTestStone});
  cells.push_back({31, 31, 31, kTestStone});
  const World world = BuildWorld(MakeTestScene({32, 32, 32}, cells));
  ASSERT_EQ(world.Lights().size(), 1u);
  const LightUniform& light = world.Lights()[0];
  for (std::size_t a = 0; a < 3; ++a) EXPECT_NEAR(light.position[a], 8.5F, 0.01F);
  EXPECT_GT(light.position[3], 8.0F);
  // Radiance 4 * albedo over 54 faces, a quarter of them towards any side.
  EXPECT_NEAR(light.intensity[0], 4.0F * 54.0F / 4.0F, 0.1F);
  EXPECT_EQ(world.SlotLights()[0], 1u);
}

TEST(WorldLights, KeepsTheBrightestOfTooManyAndListsTheNearest) {
  std::vector<TestCell> cells;
  // A light every 16 cells: 16 x 16 x 2 of them, 512 in all, far enough apart not to merge.
  for (std::int32_t z = 0; z < 2; ++z) {
    for (std::int32_t y = 0; y < 16; ++y) {
      for (std::int32_t x = 0; x < 16; ++x) cells.push_back({x * 16, y * 16, z * 16, kTestGlow});
    }
  }
  const World world = BuildWorld(MakeTestScene({256, 256, 32}, cells));
  EXPECT_EQ(world.Lights().size(), kLightsMax);
  EXPECT_EQ(world.Statistics().droppedLights, 512 - kLightsMax);
  ASSERT_EQ(world.Warnings().size(), 1u);
  EXPECT_THAT(world.Warnings()[0], HasSubstr("the 256 weakest"));
  for (const std::uint32_t word : world.SlotLights()) {
    for (const std::uint32_t entry : {word & 0xffffU, word >> 16}) EXPECT_LE(entry, kLightsMax);
  }
  SceneUniforms uniforms;
  world.FillSceneUniforms(uniforms);
  EXPECT_EQ(uniforms.lights[255].position[3], world.Lights()[255].position[3]);
  EXPECT_EQ(uniforms.materials[world.Materials().idOf[kTestGlow]][3], 4.0F);
}

}  // namespace
}  // namespace stadial::sandbox
