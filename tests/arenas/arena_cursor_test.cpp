#include "stadial/arenas/arena_cursor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "stadial/arenas/region.h"
#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

struct Particle {
  float position[3];
  float age;
};

std::size_t OffsetIn(const Arena& arena, const void* memory) {
  return static_cast<std::size_t>(static_cast<const std::byte*>(memory) - arena.Base());
}

TEST(ArenaCursor, AllocatesWhatTheArenaWould) {
  ArenaBuffer buffer(4096);
  (void)buffer.arena.Allocate(20);
  {
    ArenaCursor cursor(buffer.arena);
    EXPECT_EQ(OffsetIn(buffer.arena, cursor.Allocate(1)), 32u);
    EXPECT_EQ(OffsetIn(buffer.arena, cursor.Allocate(8, 256)), 256u);
    const Particle* const particle = cursor.New<Particle>(Particle{{1, 2, 3}, 4});
    EXPECT_EQ(OffsetIn(buffer.arena, particle), 272u);
    EXPECT_EQ(particle->age, 4.0F);
    EXPECT_NE(cursor.TryNew<int>(7), nullptr);
  }
  EXPECT_EQ(buffer.arena.UsedBytes(), 304u);
  EXPECT_EQ(OffsetIn(buffer.arena, buffer.arena.Allocate(16)), 304u);
}

TEST(ArenaCursor, FullItAnswersWithNullAndChangesNothing) {
  ArenaBuffer buffer(4096);
  {
    ArenaCursor cursor(buffer.arena);
    EXPECT_EQ(cursor.TryAllocate(4097), nullptr);
    EXPECT_EQ(cursor.TryAllocate(std::numeric_limits<std::size_t>::max()), nullptr);
    EXPECT_EQ(cursor.TryAllocate(16, std::size_t{1} << 62), nullptr);
    EXPECT_NE(cursor.TryAllocate(4096), nullptr);
    EXPECT_EQ(cursor.TryAllocate(1), nullptr);
    EXPECT_NE(cursor.TryAllocate(0), nullptr);
    EXPECT_EQ(cursor.TryNew<int>(1), nullptr);
  }
  EXPECT_EQ(buffer.arena.UsedBytes(), 4096u);
  EXPECT_EQ(buffer.arena.CapacityBytes(), 4096u);
}

TEST(ArenaCursor, AnUnusedOneLeavesTheArenaAsItWas) {
  ArenaBuffer buffer(4096);
  (void)buffer.arena.Allocate(100);
  { const ArenaCursor cursor(buffer.arena); }
  EXPECT_EQ(buffer.arena.UsedBytes(), 112u);
  Arena empty;
  { EXPECT_EQ(ArenaCursor(empty).TryAllocate(1), nullptr); }
  EXPECT_EQ(empty.UsedBytes(), 0u);
}

TEST(ArenaCursor, ScopesTakeBackWhatItAllocated) {
  ArenaBuffer buffer(4096);
  {
    const ArenaScope scope(buffer.arena);
    ArenaCursor cursor(buffer.arena);
    for (int index = 0; index < 10; ++index) (void)cursor.Allocate(64);
  }
  EXPECT_EQ(buffer.arena.UsedBytes(), 0u);
  EXPECT_EQ(buffer.arena.PeakBytes(), 640u);
}

TEST(ArenaCursor, AGrowingArenaGrowsUnderIt) {
  Region region = Region::Reserve({.name = "cursor_test", .sizeBytes = 1_GiB}).Value();
  Segment* const segment = region.AddSegment({.name = "setup", .sizeBytes = 1_MiB}).Value();
  Arena arena = segment->MakeGrowingArena({.name = "setup"}, {.stepBytes = 64_KiB});
  std::vector<std::byte*> blocks;
  {
    ArenaCursor cursor(arena);
    for (int index = 0; index < 256; ++index) {
      blocks.push_back(static_cast<std::byte*>(cursor.Allocate(1_KiB)));
      std::memset(blocks.back(), index, 1_KiB);
    }
  }
  EXPECT_EQ(arena.UsedBytes(), 256_KiB);
  EXPECT_GE(arena.GrowthCount(), 4u);
  for (std::size_t index = 0; index < blocks.size(); ++index) {
    EXPECT_EQ(OffsetIn(arena, blocks[index]), index * 1_KiB);
    EXPECT_EQ(blocks[index][1023], static_cast<std::byte>(index));
  }
  arena.AllowGrowth(false);
  {
    ArenaCursor cursor(arena);
    while (cursor.TryAllocate(1_KiB) != nullptr) {
    }
  }
  EXPECT_EQ(arena.UsedBytes(), arena.CapacityBytes());
  EXPECT_EQ(segment->CommittedBytes(), arena.CapacityBytes());
}

// What was written through a cursor is not taken for the zeros of a fresh page afterwards.
TEST(ArenaCursor, ZeroedMemoryIsZeroAfterIt) {
  ArenaBuffer buffer(4096);
  buffer.arena = Arena();  // the memory has one owner
  std::memset(buffer.Memory(), 0, 4096);
  Arena arena({.name = "zeroed", .isZeroed = true}, buffer.Memory(), 4096);
  {
    const ArenaScope scope(arena);
    ArenaCursor cursor(arena);
    std::memset(cursor.Allocate(1000), 0xff, 1000);
  }
  const auto* const zeros = static_cast<const unsigned char*>(arena.AllocateZeroed(4096));
  EXPECT_TRUE(std::all_of(zeros, zeros + 4096, [](unsigned char value) { return value == 0; }));
}

TEST(ArenaCursor, OpensExactlyWhatItHandsOut) {
  ArenaBuffer buffer(4096);
  ArenaCursor cursor(buffer.arena);
  const auto* const bytes = static_cast<const std::byte*>(cursor.Allocate(20));
  EXPECT_FALSE(IsPoisoned(bytes + 19));
  EXPECT_EQ(IsPoisoned(bytes + 20), STADIAL_ADDRESS_SANITIZER != 0);
}

// --- an arena that now and then lends itself to a cursor, against one that never does ---

// Broken: the other one has 16 bytes more.
std::string RunCursorProgram(OpRandom& random, bool broken) {
  constexpr std::size_t kBytes = 32_KiB;
  ArenaBuffer lent(kBytes);
  ArenaBuffer plain(kBytes + (broken ? 16 : 0));
  std::vector<std::pair<ArenaMark, ArenaMark>> marks;
  const auto differ = [&](const void* one, const void* other) {
    if (one == nullptr || other == nullptr) return one != other;
    return OffsetIn(lent.arena, one) != OffsetIn(plain.arena, other);
  };
  const auto anySize = [&] { return random.OneIn(20) ? random.Below(8000) : random.Below(200); };
  const auto anyAlignment = [&] { return std::size_t{1} << random.Below(random.OneIn(8) ? 13 : 7); };
  for (int step = 0; step < 1000; ++step) {
    const std::size_t choice = random.Below(100);
    if (choice < 40) {
      const std::size_t size = anySize();
      const std::size_t alignment = anyAlignment();
      if (differ(lent.arena.TryAllocate(size, alignment), plain.arena.TryAllocate(size, alignment))) {
        return Differs("step %d: %zu@%zu of the arena", step, size, alignment);
      }
    } else if (choice < 80) {
      ArenaCursor cursor(lent.arena);
      for (std::size_t left = random.Below(20); left != 0; --left) {
        const std::size_t size = anySize();
        const std::size_t alignment = anyAlignment();
        void* const taken = cursor.TryAllocate(size, alignment);
        if (differ(taken, plain.arena.TryAllocate(size, alignment))) {
          return Differs("step %d: %zu@%zu of the cursor", step, size, alignment);
        }
        if (taken != nullptr) std::memset(taken, static_cast<int>(step), size);
      }
    } else if (choice < 88) {
      marks.emplace_back(lent.arena.Mark(), plain.arena.Mark());
    } else if (choice < 98 && !marks.empty()) {
      const std::size_t index = random.Below(marks.size());
      lent.arena.RewindTo(marks[index].first);
      plain.arena.RewindTo(marks[index].second);
      marks.resize(index + 1);
    } else if (choice >= 98) {
      lent.arena.Reset();
      plain.arena.Reset();
      marks.clear();
    }
    if (lent.arena.UsedBytes() != plain.arena.UsedBytes()) return Differs("step %d: used", step);
    if (lent.arena.RemainingBytes() != plain.arena.RemainingBytes()) return Differs("step %d: left", step);
    if (lent.arena.PeakBytes() != plain.arena.PeakBytes()) return Differs("step %d: peak", step);
  }
  return "";
}

TEST(ArenaCursor, ProgramAgreesWithPlainArena) {
  testing::ExpectAgreement("cursor", [](OpRandom& random) { return RunCursorProgram(random, false); });
}
TEST(ArenaCursor, ProgramCanary) {
  testing::ExpectCanary("cursor", [](OpRandom& random) { return RunCursorProgram(random, true); });
}

class ArenaCursorDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ArenaCursorDeathTest, ExhaustedItSpeaksForTheArena) {
  ArenaBuffer buffer(4096, "particles");
  ArenaCursor cursor(buffer.arena);
  (void)cursor.Allocate(4000);
  EXPECT_DEATH((void)cursor.Allocate(100),
               "arena 'particles' exhausted: asked 100 B, 96 B left of 4096 B .peak 4000 B in 1 uses.; "
               "raise its capacity");
}

// A cursor that is open while the arena itself is used.
void UseUnderACursor(void (*use)(Arena& arena)) {
  ArenaBuffer buffer(4096);
  const ArenaCursor cursor(buffer.arena);
  use(buffer.arena);
}

TEST_F(ArenaCursorDeathTest, AllocatingFromTheArenaMeanwhileIsAnError) {
  EXPECT_DEATH(UseUnderACursor([](Arena& arena) { (void)arena.Allocate(16); }), "lent to an ArenaCursor");
}

#if STADIAL_ASSERT_LEVEL >= 1
TEST_F(ArenaCursorDeathTest, WhatElseIsDoneToTheArenaMeanwhileIsAnError) {
  EXPECT_DEATH(UseUnderACursor([](Arena& arena) { arena.Reset(); }), "ArenaCursor");
  EXPECT_DEATH(UseUnderACursor([](Arena& arena) { const ArenaCursor second(arena); }),
               "lent to another ArenaCursor");
  EXPECT_DEATH(UseUnderACursor([](Arena& arena) { const Arena moved = std::move(arena); }),
               "a lent arena must not be moved");
}
#endif

}  // namespace
}  // namespace stadial::arenas
