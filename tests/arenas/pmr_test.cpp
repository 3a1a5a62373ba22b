#include "stadial/arenas/pmr.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "support/arena_buffer.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;

TEST(Pmr, StandardContainersLiveInTheArena) {
  ArenaBuffer buffer;
  ArenaResource resource(buffer.arena);
  ArenaScope scope(buffer.arena);
  std::pmr::vector<std::pmr::string> names(&resource);
  names.reserve(100);
  for (int index = 0; index < 100; ++index) names.emplace_back(40, static_cast<char>('a' + index % 26));
  for (const auto& name : names) {
    EXPECT_TRUE(buffer.arena.Contains(name.data()));
    EXPECT_EQ(name.size(), 40u);
  }
}

TEST(Pmr, HonoursAlignment) {
  ArenaBuffer buffer;
  ArenaResource resource(buffer.arena);
  (void)resource.allocate(1, 1);
  void* const memory = resource.allocate(10, 512);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 512, 0u);
  resource.deallocate(memory, 10, 512);
}

TEST(Pmr, ResourcesOfOneArenaAreEqual) {
  ArenaBuffer first;
  ArenaBuffer second;
  const ArenaResource one(first.arena);
  const ArenaResource same(first.arena);
  const ArenaResource other(second.arena);
  EXPECT_TRUE(one.is_equal(same));
  EXPECT_FALSE(one.is_equal(other));
  EXPECT_FALSE(one.is_equal(*std::pmr::null_memory_resource()));
}

TEST(PmrDeathTest, ExhaustionIsTheArenasNotAnException) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer(4096, "small");
  ArenaResource resource(buffer.arena);
  EXPECT_DEATH((void)resource.allocate(5000), "arena 'small' exhausted: asked 5000 B, 4096 B left of 4096 B");
}

}  // namespace
}  // namespace stadial::arenas
