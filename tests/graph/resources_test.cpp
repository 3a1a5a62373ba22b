#include "stadial/graph/resources.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <vector>

namespace stadial::graph {
namespace {

class ResourceTableTest : public ::testing::Test {
 protected:
  alignas(64) std::byte memory_[64 * 1024];
  arenas::Arena arena_{"test", memory_, sizeof(memory_)};
};

TEST_F(ResourceTableTest, G2_HandlesAreGenerationChecked) {
  ResourceTable table(arena_, 4);
  const ResourceHandle first = table.Create({.name = "a", .sizeBytes = 10}).Value();
  EXPECT_TRUE(table.IsAlive(first));
  EXPECT_EQ(table.Get(first)->sizeBytes, 10u);
  ASSERT_TRUE(table.Destroy(first));
  EXPECT_FALSE(table.IsAlive(first));
  EXPECT_EQ(table.Get(first), nullptr);

  const ResourceHandle second = table.Create({.name = "b", .sizeBytes = 20}).Value();
  EXPECT_EQ(second.index, first.index) << "the place is used again";
  EXPECT_NE(second, first);
  EXPECT_EQ(table.Get(first), nullptr) << "an old handle must not name the new resource";
  EXPECT_EQ(table.Get(second)->sizeBytes, 20u);
}

TEST_F(ResourceTableTest, G2_NullForeignAndStaleHandlesAreErrors) {
  ResourceTable table(arena_, 2);
  EXPECT_TRUE(ResourceHandle{}.IsNull());
  EXPECT_EQ(table.Get({}), nullptr);
  EXPECT_EQ(table.Destroy({}).GetError().Code(), ErrorCode::NotFound);
  EXPECT_EQ(table.Destroy({.index = 0, .generation = 0}).GetError().Code(), ErrorCode::NotFound)
      << "never created";
  EXPECT_EQ(table.Destroy({.index = 99, .generation = 1}).GetError().Code(), ErrorCode::NotFound);
  const ResourceHandle handle = table.Create({}).Value();
  ASSERT_TRUE(table.Destroy(handle));
  EXPECT_EQ(table.Destroy(handle).GetError().Code(), ErrorCode::NotFound) << "destroyed twice";
  EXPECT_EQ(table.Create({.copies = 0}).GetError().Code(), ErrorCode::InvalidArgument);
}

TEST_F(ResourceTableTest, G2_FullTableRefusesAndSaysWhatToRaise) {
  ResourceTable table(arena_, 2);
  ASSERT_TRUE(table.Create({}));
  ASSERT_TRUE(table.Create({}));
  const auto refused = table.Create({.name = "third"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_NE(std::string_view(refused.GetError().Message()).find("'third'"), std::string_view::npos);
  EXPECT_NE(std::string_view(refused.GetError().Message()).find("resourcesMax"), std::string_view::npos);
  ResourceTable none;
  EXPECT_FALSE(none.Create({}));
}

TEST_F(ResourceTableTest, G2_TakesExactlyWhatItSays) {
  const std::size_t before = arena_.UsedBytes();
  ResourceTable table(arena_, 37);
  EXPECT_EQ(arena_.UsedBytes() - before, ResourceTable::BytesFor(37));
}

// Random create and destroy against a list of what should be alive.
TEST_F(ResourceTableTest, G2_RandomProgramAgainstModel) {
  const std::uint32_t seed = 20260131;
  std::mt19937 random(seed);
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  constexpr std::uint32_t kCapacity = 16;
  ResourceTable table(arena_, kCapacity);
  struct Known {
    ResourceHandle handle;
    std::uint64_t size;
  };
  std::vector<Known> alive;
  std::vector<ResourceHandle> dead;
  for (int step = 0; step < 20000; ++step) {
    if (random() % 2 == 0) {
      const std::uint64_t size = random();
      auto created = table.Create({.sizeBytes = size, .copies = 2});
      ASSERT_EQ(created.HasValue(), alive.size() < kCapacity);
      if (created) alive.push_back({*created, size});
    } else if (!alive.empty()) {
      const std::size_t at = random() % alive.size();
      ASSERT_TRUE(table.Destroy(alive[at].handle));
      dead.push_back(alive[at].handle);
      alive.erase(alive.begin() + static_cast<std::ptrdiff_t>(at));
    }
    ASSERT_EQ(table.LiveCount(), alive.size());
    std::uint64_t bytes = 0;
    for (const Known& known : alive) {
      ASSERT_NE(table.Get(known.handle), nullptr);
      ASSERT_EQ(table.Get(known.handle)->sizeBytes, known.size);
      bytes += known.size * 2;
    }
    ASSERT_EQ(table.LiveBytes(), bytes);
    if (!dead.empty()) {
      ASSERT_FALSE(table.IsAlive(dead[random() % dead.size()]));
    }
  }
  EXPECT_EQ(table.PeakCount(), kCapacity);
}

}  // namespace
}  // namespace stadial::graph
