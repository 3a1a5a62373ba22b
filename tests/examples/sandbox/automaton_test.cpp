#include "automaton_cpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "default_scene.h"
#include "random_scene.h"
#include "small_world.h"
#include "stadial/arenas/poison.h"

namespace stadial::sandbox {
namespace {

using namespace testing;

constexpr std::uint32_t kRandomWorlds = STADIAL_ADDRESS_SANITIZER ? 6 : 24;

// A world of random stone, sand, water and air in several models that lie apart, so that parts of the box are
// not resident.
VoxScene RandomWorldScene(std::uint32_t seed) {
  Random random(seed + 99);
  VoxScene scene = MakeTestScene({1, 1, 1}, {});
  scene.models.clear();
  scene.nodes.push_back({});
  const std::uint32_t models = 1 + random.Below(3);
  for (std::uint32_t m = 0; m < models; ++m) {
    VoxModel model;
    for (std::int32_t& edge : model.size) edge = static_cast<std::int32_t>(5 + random.Below(45));
    const std::uint32_t stone = random.Below(30);
    const std::uint32_t sand = stone + random.Below(40);
    const std::uint32_t water = sand + random.Below(40);
    for (std::int32_t i = 0; i < model.size[0] * model.size[1] * model.size[2]; ++i) {
      const std::uint32_t r = random.Below(120);
      const std::uint8_t colour = r < stone ? kTestStone : r < sand ? kTestSand : r < water ? kTestWater : 0;
      if (colour == 0) continue;
      const auto coordinate = [](std::int32_t v) { return static_cast<std::uint8_t>(v); };
      model.voxels.push_back({coordinate(i % model.size[0]), coordinate(i / model.size[0] % model.size[1]),
                              coordinate(i / (model.size[0] * model.size[1])), colour});
    }
    scene.models.push_back(std::move(model));
    const auto id = static_cast<std::int32_t>(scene.nodes.size());
    VoxNode transform;
    transform.kind = VoxNodeKind::Transform;
    transform.id = id;
    transform.children = {id + 1};
    transform.frames = {{}};
    for (std::int32_t& t : transform.frames[0].translation) t = static_cast<std::int32_t>(random.Below(160));
    VoxNode shape;
    shape.kind = VoxNodeKind::Shape;
    shape.id = id + 1;
    shape.models = {{static_cast<std::int32_t>(m), 0}};
    scene.nodes[0].children.push_back(id);
    scene.nodes.push_back(transform);
    scene.nodes.push_back(shape);
  }
  return scene;
}

WorldOptions RandomOptions(std::uint32_t seed) {
  WorldOptions options;
  options.emptyRingsMax = seed % 2;
  if (seed % 3 == 0) options.atlasBytesMax = 12 * kChunkBytes;
  return options;
}

// How many cells hold each id.
std::array<std::uint64_t, kMaterialCount> CountIds(std::span<const std::uint32_t> cells) {
  std::array<std::uint64_t, kMaterialCount> counts{};
  for (const std::uint32_t word : cells) {
    for (std::uint32_t x = 0; x < kCellsPerWord; ++x) ++counts[CellInWord(word, x)];
  }
  return counts;
}

// Only stone, at its place; everything else 0.
std::vector<std::uint32_t> StoneOnly(const World& world, std::span<const std::uint32_t> cells) {
  std::vector<std::uint32_t> stone(cells.begin(), cells.end());
  for (std::uint32_t& word : stone) {
    for (std::uint32_t x = 0; x < kCellsPerWord; ++x) {
      if (world.Materials().ClassOf(CellInWord(word, x)) != MaterialClass::Stone) word &= ~(0xffU << (8 * x));
    }
  }
  return stone;
}

std::int64_t HeightSum(const World& world, std::span<const std::uint32_t> cells) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::uint32_t chunkZ = world.SlotChunks()[i / kChunkWords] >> 20;
    const auto z = static_cast<std::int64_t>(chunkZ * kChunkEdgeCells + i % kChunkWords / 256);
    for (std::uint32_t x = 0; x < kCellsPerWord; ++x) {
      const MaterialClass cls = world.Materials().ClassOf(CellInWord(cells[i], x));
      if (cls == MaterialClass::Sand) sum += z;
    }
  }
  return sum;
}

TEST(Automaton, Pb_NothingIsMadeLostOrMovedThatMustNotBe) {
  bool somethingMoved = false;
  bool somethingMissing = false;
  for (std::uint32_t seed = 0; seed < kRandomWorlds; ++seed) {
    const World world = BuildWorld(RandomWorldScene(seed), RandomOptions(seed));
    somethingMissing = somethingMissing || world.SlotCount() < world.ChunkTable().size();
    const auto counts = CountIds(world.Cells());
    const auto stone = StoneOnly(world, world.Cells());
    AutomatonCpu automaton(world, seed);
    for (int step = 0; step < 24; ++step) {
      const std::int64_t before = HeightSum(world, automaton.Cells());
      automaton.Step();
      ASSERT_EQ(CountIds(automaton.Cells()), counts) << "seed " << seed << " step " << step;
      ASSERT_LE(HeightSum(world, automaton.Cells()), before) << "sand never rises: seed " << seed;
    }
    ASSERT_EQ(StoneOnly(world, automaton.Cells()), stone) << "seed " << seed;
    somethingMoved = somethingMoved || !std::equal(stone.begin(), stone.end(), automaton.Cells().begin());
  }
  EXPECT_TRUE(somethingMoved);
  EXPECT_TRUE(somethingMissing) << "no world had a chunk that is not resident: walls were not tested";
}

// The counts above must be able to differ.
TEST(Automaton, Pb_CanaryALostGrainIsCounted) {
  const World world = BuildWorld(RandomWorldScene(1));
  std::vector<std::uint32_t> cells(world.Cells().begin(), world.Cells().end());
  const auto grain = std::find_if(cells.begin(), cells.end(), [&](std::uint32_t word) {
    return world.Materials().ClassOf(word & 0xffU) == MaterialClass::Sand;
  });
  ASSERT_NE(grain, cells.end());
  *grain &= ~0xffU;
  EXPECT_NE(CountIds(cells), CountIds(world.Cells()));
}

TEST(Automaton, Pb_SameSeedSameWorldOtherSeedOtherWorld) {
  const World world = BuildWorld(RandomWorldScene(5));
  AutomatonCpu a(world, 7);
  AutomatonCpu b(world, 7);
  AutomatonCpu c(world, 8);
  for (int i = 0; i < 16; ++i) {
    a.Step();
    b.Step();
    c.Step();
  }
  EXPECT_EQ(a.StepCount(), 16u);
  EXPECT_TRUE(std::equal(a.Cells().begin(), a.Cells().end(), b.Cells().begin()));
  EXPECT_FALSE(std::equal(a.Cells().begin(), a.Cells().end(), c.Cells().begin()));
}

// The same cells, the atlas in another order and with more of it resident, step alike as long as nothing
// meets a wall that only one of them has: here everything resident is closed in by stone.
TEST(Automaton, Pb_TheAtlasLayoutDoesNotShow) {
  std::vector<TestCell> cells;
  Random random(3);
  for (std::int32_t z = 0; z < 40; ++z) {
    for (std::int32_t y = 0; y < 40; ++y) {
      for (std::int32_t x = 0; x < 40; ++x) {
        const bool shell = x == 0 || y == 0 || z == 0 || x == 39 || y == 39 || z == 39;
        if (shell) {
          cells.push_back({x, y, z, kTestStone});
        } else if (random.OneIn(3)) {
          cells.push_back({x, y, z, random.OneIn(2) ? kTestSand : kTestWater});
        }
      }
    }
  }
  const VoxScene scene = MakeTestScene({40, 40, 40}, cells);
  VoxScene wide = MakeTestScene({40, 40, 40}, cells);
  wide.models.push_back({{1, 1, 1}, {{0, 0, 0, kTestStone}}});
  // A speck far off along y and z gives the box more chunks and other slots; 115 keeps the cells where they
  // were, which the hash asks for.
  wide.nodes.push_back({});
  for (std::int32_t m = 0; m < 2; ++m) {
    VoxNode transform;
    transform.kind = VoxNodeKind::Transform;
    transform.id = 1 + 2 * m;
    transform.children = {2 + 2 * m};
    transform.frames = {{0, kVoxRotationIdentity, {0, m * 115 - 12, m * 150}}};
    VoxNode shape;
    shape.kind = VoxNodeKind::Shape;
    shape.id = 2 + 2 * m;
    shape.models = {{m, 0}};
    wide.nodes[0].children.push_back(transform.id);
    wide.nodes.push_back(transform);
    wide.nodes.push_back(shape);
  }
  const World a = BuildWorld(scene);
  const World b = BuildWorld(wide);
  ASSERT_NE(a.SlotCount(), b.SlotCount());
  ASSERT_EQ(a.ContentMin(), b.ContentMin());
  AutomatonCpu stepA(a, 1);
  AutomatonCpu stepB(b, 1);
  for (int i = 0; i < 12; ++i) {
    stepA.Step();
    stepB.Step();
  }
  for (std::int32_t z = 0; z < 40; ++z) {
    for (std::int32_t y = 0; y < 40; ++y) {
      for (std::int32_t x = 0; x < 40; ++x) {
        const std::int32_t px = a.ContentMin()[0] + x;
        const std::int32_t py = a.ContentMin()[1] + y;
        ASSERT_EQ(CellOf(a, stepA.Cells(), px, py, z), CellOf(b, stepB.Cells(), px, py, z));
      }
    }
  }
}

// --- one block ---

constexpr std::uint32_t kSandBegin = 200, kWaterBegin = 220;
constexpr std::uint8_t kStoneId = 1, kSandId = 201, kWaterId = 230;

AutomatonBlock StepOne(AutomatonBlock cells, std::uint32_t hash) {
  StepAutomatonBlock(cells, hash, kSandBegin, kWaterBegin);
  return cells;
}

TEST(AutomatonBlock, SandAndWaterFall) {
  for (const std::uint8_t id : {kSandId, kWaterId}) {
    for (std::uint32_t column = 0; column < 4; ++column) {
      AutomatonBlock block{};
      block[column + 4] = id;
      const AutomatonBlock after = StepOne(block, 0x1234567U * column);
      EXPECT_EQ(after[column], id);
      EXPECT_EQ(after[column + 4], 0);
    }
  }
}

TEST(AutomatonBlock, SandSinksInWaterWhenTheHashSaysSo) {
  AutomatonBlock block{kWaterId, kStoneId, kStoneId, kStoneId, kSandId, kStoneId, kStoneId, kStoneId};
  EXPECT_EQ(StepOne(block, 1U << 8)[0], kSandId);
  EXPECT_EQ(StepOne(block, 1U << 8)[4], kWaterId);
  EXPECT_EQ(StepOne(block, 0), block);
}

TEST(AutomatonBlock, SandSlidesPastOpenCellsOnly) {
  AutomatonBlock block{kStoneId, 0, 0, 0, kSandId, 0, 0, 0};
  EXPECT_EQ(StepOne(block, 0)[1], kSandId) << "across x first";
  EXPECT_EQ(StepOne(block, 1U << 2)[2], kSandId) << "across y first";
  block[5] = kStoneId;  // the cell above the target is closed
  block[6] = kStoneId;
  EXPECT_EQ(StepOne(block, 0), block);
  EXPECT_EQ(StepOne(block, 1U << 3)[3], kSandId) << "the diagonal when the hash has bit 3";
}

TEST(AutomatonBlock, SlidingSandLiftsWater) {
  const AutomatonBlock block{kStoneId, kWaterId, kStoneId, kStoneId, kSandId, 0, kStoneId, kStoneId};
  const AutomatonBlock after = StepOne(block, 0);
  EXPECT_EQ(after[1], kSandId);
  EXPECT_EQ(after[4], kWaterId);
}

TEST(AutomatonBlock, WaterSpreadsOnASurfaceAndNotInTheAir) {
  const AutomatonBlock surface{kStoneId, kStoneId, kStoneId, kStoneId, kWaterId, 0, 0, 0};
  EXPECT_EQ(StepOne(surface, 1U << 4)[7], kWaterId) << "across the diagonal";
  EXPECT_EQ(StepOne(surface, 0x80)[5], kWaterId) << "along x";
  EXPECT_EQ(StepOne(surface, 0)[6], kWaterId) << "along y";
  const AutomatonBlock falling{0, 0, 0, 0, kWaterId, 0, 0, 0};
  EXPECT_EQ(StepOne(falling, 1U << 4)[0], kWaterId) << "what falls does not spread";
}

TEST(AutomatonBlock, WithoutSandOrWaterNothingHappens) {
  const AutomatonBlock block{kStoneId, 0, 199, 0, 0, kStoneId, 0, 199};
  for (std::uint32_t h = 0; h < 256; ++h) EXPECT_EQ(StepOne(block, h * 0x9e3779b9U), block);
}

TEST(AutomatonBlock, EveryBlockIsPermuted) {
  Random random(11);
  constexpr std::uint8_t kIds[] = {0, 0, kStoneId, kSandId, kWaterId, 199, 219, 255};
  for (int i = 0; i < 200000; ++i) {
    AutomatonBlock block;
    for (std::uint8_t& cell : block) cell = kIds[random.Below(8)];
    AutomatonBlock after = StepOne(block, random.Word());
    std::sort(block.begin(), block.end());
    std::sort(after.begin(), after.end());
    ASSERT_EQ(block, after);
  }
}

// --- behaviour ---

TEST(Automaton, Pb_APileOfSandComesToRest) {
  std::vector<TestCell> cells;
  AddBox(cells, {8, 8, 0}, {23, 23, 0}, kTestStone);
  AddBox(cells, {14, 14, 1}, {17, 17, 20}, kTestSand);
  const World world = BuildWorld(MakeTestScene({32, 32, 32}, cells));
  AutomatonCpu automaton(world, 1);
  for (int i = 0; i < 400; ++i) automaton.Step();
  const std::vector<std::uint32_t> rested(automaton.Cells().begin(), automaton.Cells().end());
  for (int i = 0; i < 8; ++i) automaton.Step();
  EXPECT_TRUE(std::equal(rested.begin(), rested.end(), automaton.Cells().begin())) << "a pile at rest stays";
  // No grain hangs in the air, and the column has become a heap.
  std::int32_t top = 0;
  for (std::int32_t z = 1; z < 32; ++z) {
    for (std::int32_t y = 0; y < 32; ++y) {
      for (std::int32_t x = 0; x < 32; ++x) {
        if (ClassAt(world, rested, x, y, z) != MaterialClass::Sand) continue;
        top = std::max(top, z);
        ASSERT_NE(ClassAt(world, rested, x, y, z - 1), MaterialClass::Empty);
      }
    }
  }
  EXPECT_LT(top, 12);
}

TEST(Automaton, Pb_WaterFindsItsLevel) {
  std::vector<TestCell> cells;
  // A trough of 30 x 6 cells, closed all round, with all its water at one end, eight deep.
  for (std::int32_t z = 0; z < 10; ++z) {
    for (std::int32_t y = 0; y < 8; ++y) {
      for (std::int32_t x = 0; x < 32; ++x) {
        if (z == 0 || x == 0 || x == 31 || y == 0 || y == 7) {
          cells.push_back({x, y, z, kTestStone});
        } else if (x <= 10 && z <= 8) {
          cells.push_back({x, y, z, kTestWater});
        }
      }
    }
  }
  const World world = BuildWorld(MakeTestScene({32, 8, 10}, cells));
  const std::int32_t x0 = world.ContentMin()[0];
  const std::int32_t y0 = world.ContentMin()[1];
  AutomatonCpu automaton(world, 1);
  const auto columns = [&](std::int32_t begin, std::int32_t end) {
    std::int32_t water = 0;
    for (std::int32_t x = begin; x < end; ++x) {
      for (std::int32_t i = 0; i < 6 * 9; ++i) {
        water += ClassAt(world, automaton.Cells(), x0 + x, y0 + 1 + i % 6, 1 + i / 6) == MaterialClass::Water;
      }
    }
    return static_cast<double>(water) / ((end - begin) * 6);
  };
  EXPECT_EQ(columns(1, 11), 8.0);
  EXPECT_EQ(columns(21, 31), 0.0);
  for (int i = 0; i < 600; ++i) automaton.Step();
  EXPECT_NEAR(columns(1, 11), columns(21, 31), 1.0);
}

TEST(Automaton, Pb_ChunksThatAreNotResidentAreWalls) {
  // Sand on a shelf at the border of the only resident chunk: it may not leave it.
  std::vector<TestCell> cells{{0, 0, 0, kTestStone}, {95, 0, 0, kTestStone}};
  for (std::int32_t z = 20; z < 32; ++z) cells.push_back({31, 16, z, kTestSand});
  WorldOptions options;
  options.atlasBytesMax = 2 * kChunkBytes;
  options.emptyRingsMax = 0;
  const World world = BuildWorld(MakeTestScene({96, 32, 32}, cells), options);
  ASSERT_EQ(world.SlotCount(), 2u);
  const auto counts = CountIds(world.Cells());
  AutomatonCpu automaton(world, 2);
  for (int i = 0; i < 100; ++i) automaton.Step();
  EXPECT_EQ(CountIds(automaton.Cells()), counts);
  const std::int32_t y = world.ContentMin()[1] + 16;
  EXPECT_EQ(ClassAt(world, automaton.Cells(), 31, y, 0), MaterialClass::Sand) << "it rests against the wall";
  EXPECT_EQ(ClassAt(world, automaton.Cells(), 31, y, 1), MaterialClass::Sand);
  EXPECT_EQ(ClassAt(world, automaton.Cells(), 31, y, 8), MaterialClass::Empty) << "and it did fall";
}

TEST(AutomatonOffset, EveryLayerSeesBothCutsAndTheCutMovesUpEachStep) {
  std::map<std::uint32_t, std::uint32_t> seen;  // z -> bit set of x
  for (std::uint32_t step = 0; step < 4; ++step) {
    const auto offset = AutomatonOffset(step);
    EXPECT_EQ(offset[0], offset[1]);
    EXPECT_EQ(offset[2], step % 2);
    seen[offset[2]] |= 1U << offset[0];
    EXPECT_EQ(AutomatonOffset(step + 4), offset);
  }
  EXPECT_EQ(seen[0], 3u);
  EXPECT_EQ(seen[1], 3u);
}

// Pins the whole automaton: a change of rules, hash or order must be meant. The shader is held to the same
// cells.
TEST(Automaton, Pb_TheDefaultSceneAfterFortySteps) {
  const World world = BuildWorld(MakeDefaultScene());
  AutomatonCpu automaton(world, 1);
  for (int i = 0; i < 40; ++i) automaton.Step();
  std::uint64_t digest = 0xcbf29ce484222325U;
  for (const std::uint32_t word : automaton.Cells()) digest = (digest ^ word) * 0x100000001b3U;
  EXPECT_EQ(digest, 0xd076fd7e88e20483U);
}

}  // namespace
}  // namespace stadial::sandbox
