#include "stadial/arenas/poison.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "stadial/arenas/arena.h"
#include "support/arena_buffer.h"

namespace stadial::arenas {
namespace {

TEST(Poison, R8_RewoundMemoryIsHostile) {
  testing::ArenaBuffer buffer(4096);
  auto* const bytes = static_cast<unsigned char*>(buffer.arena.Allocate(64));
  for (int index = 0; index < 64; ++index) bytes[index] = 7;
  buffer.arena.Reset();
#if STADIAL_ADDRESS_SANITIZER
  EXPECT_TRUE(IsPoisoned(bytes));
  EXPECT_TRUE(IsPoisoned(bytes + 63));
#endif
  LiftPoison(bytes, 64);
#if STADIAL_ASSERT_LEVEL >= 2
  for (int index = 0; index < 64; ++index) ASSERT_EQ(bytes[index], kPoisonByte);
#else
  EXPECT_EQ(bytes[0], 7) << "a rewind costs nothing in this build";
#endif
}

TEST(Poison, R8_OnlyWhatIsTakenBackIsTouched) {
  testing::ArenaBuffer buffer(4096);
  auto* const kept = buffer.arena.New<std::uint64_t>(std::uint64_t{42});
  {
    ArenaScope scope(buffer.arena);
    buffer.arena.New<std::uint64_t>(std::uint64_t{43});
  }
  EXPECT_EQ(*kept, 42u);
}

#if STADIAL_ADDRESS_SANITIZER
TEST(Poison, AnAllocationOpensExactlyItsBytes) {
  testing::ArenaBuffer buffer(4096);
  auto* const bytes = static_cast<unsigned char*>(buffer.arena.Allocate(20));
  EXPECT_FALSE(IsPoisoned(bytes + 19));
  EXPECT_TRUE(IsPoisoned(bytes + 20)) << "the rounding to 16 is not the caller's";
  EXPECT_TRUE(IsPoisoned(bytes + 32));
}

TEST(Poison, TheArenasEndGivesTheMemoryBack) {
  alignas(16) unsigned char memory[64] = {};
  {
    Arena arena("short", reinterpret_cast<std::byte*>(memory), sizeof memory);
    EXPECT_TRUE(IsPoisoned(memory));
  }
  EXPECT_FALSE(IsPoisoned(memory));
}

TEST(PoisonDeathTest, R8_AStaleFramePointerIsReportedWhereItIsUsed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  testing::ArenaBuffer buffer(4096);
  volatile int* const stale = buffer.arena.New<int>(1);
  buffer.arena.Reset();
  EXPECT_DEATH(*stale = 2, "use-after-poison");
}
#endif

}  // namespace
}  // namespace stadial::arenas
