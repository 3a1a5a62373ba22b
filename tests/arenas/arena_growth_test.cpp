// Arenas that commit further as they fill, and memory that is zero already.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/region.h"
#include "support/arena_buffer.h"
#include "support/op_program.h"
#include "support/system_probe.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::FaultsOfTouching;
using testing::OpRandom;

bool IsZero(const void* memory, std::size_t bytes) {
  const auto* const begin = static_cast<const unsigned char*>(memory);
  return std::all_of(begin, begin + bytes, [](unsigned char value) { return value == 0; });
}

struct GrowingSegment {
  explicit GrowingSegment(std::size_t sizeBytes = 16_MiB)
      : region(Region::Reserve({.name = "growth_test", .sizeBytes = 1_GiB}).Value()),
        segment(region.AddSegment({.name = "setup", .sizeBytes = sizeBytes}).Value()) {}
  Region region;
  Segment* segment;
};

TEST(ArenaGrowth, CommitsAheadInStepsAndKeepsItsAddresses) {
  GrowingSegment growing;
  Arena arena = growing.segment->MakeGrowingArena({.name = "setup", .kind = "setup"}, {.stepBytes = 256_KiB});
  EXPECT_EQ(arena.CapacityBytes(), 0u);
  EXPECT_EQ(arena.CapacityBytesMax(), 16_MiB);
  auto* const first = static_cast<unsigned char*>(arena.Allocate(100));
  EXPECT_EQ(static_cast<void*>(first), static_cast<void*>(growing.segment->Base()));
  std::memset(first, 0x5a, 100);
  EXPECT_EQ(arena.CapacityBytes(), 256_KiB);
  EXPECT_EQ(growing.segment->CommittedBytes(), 256_KiB);
  for (int i = 0; i < 100; ++i) (void)arena.Allocate(16_KiB);
  EXPECT_EQ(arena.CapacityBytes(), 1792_KiB);
  EXPECT_EQ(arena.GrowthCount(), 7u);
  EXPECT_EQ(first[99], 0x5a);
  EXPECT_EQ(arena.Base(), growing.segment->Base());
}

TEST(ArenaGrowth, ARequestLargerThanAStepGetsWhatItNeeds) {
  GrowingSegment growing;
  Arena arena = growing.segment->MakeGrowingArena({.name = "setup"}, {.stepBytes = 64_KiB});
  std::memset(arena.Allocate(5_MiB), 1, 5_MiB);
  EXPECT_EQ(arena.CapacityBytes(), 5_MiB);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(arena.Allocate(64_KiB, 1_MiB)) % 1_MiB, 0u);
}

TEST(ArenaGrowth, WhatItCommittedDoesNotFaultLater) {
  GrowingSegment growing;
  Arena arena = growing.segment->MakeGrowingArena({.name = "setup"}, {.stepBytes = 2_MiB});
  auto* const memory = static_cast<std::byte*>(arena.Allocate(1_MiB));
  EXPECT_EQ(FaultsOfTouching(memory, 1_MiB, PageSize()), 0);
}

TEST(ArenaGrowth, SealedItIsAnArenaLikeAnyOther) {
  GrowingSegment growing;
  Arena arena = growing.segment->MakeGrowingArena({.name = "setup"}, {.stepBytes = 64_KiB});
  ASSERT_NE(arena.TryAllocate(64_KiB), nullptr);
  arena.AllowGrowth(false);
  EXPECT_FALSE(arena.CanGrow());
  EXPECT_EQ(arena.TryAllocate(1), nullptr);
  EXPECT_EQ(arena.CapacityBytes(), 64_KiB);
  EXPECT_EQ(growing.segment->CommittedBytes(), 64_KiB);
  arena.AllowGrowth(true);
  EXPECT_NE(arena.TryAllocate(1), nullptr);
}

TEST(ArenaGrowth, ItEndsAtItsOwnMaximumAndAtTheSegments) {
  GrowingSegment growing(1_MiB);
  {
    Arena arena = growing.segment->MakeGrowingArena({.name = "small"},
                                                    {.stepBytes = 16_KiB, .capacityBytesMax = 100'000});
    EXPECT_EQ(arena.CapacityBytesMax(), 100'000u);
    ASSERT_NE(arena.TryAllocate(99'984), nullptr);
    EXPECT_NE(arena.TryAllocate(16), nullptr) << "to the last byte";
    EXPECT_EQ(arena.TryAllocate(1), nullptr);
  }
  Arena arena = growing.segment->MakeGrowingArena({.name = "all"}, {.stepBytes = 3_MiB});
  volatile std::size_t impossible = SIZE_MAX;
  volatile std::size_t alignment = std::size_t{1} << 40;
  EXPECT_EQ(arena.TryAllocate(impossible), nullptr);
  EXPECT_EQ(arena.TryAllocate(impossible - 15), nullptr);
  EXPECT_EQ(arena.TryAllocate(1, alignment), nullptr);
  EXPECT_EQ(arena.TryAllocate(1_MiB + 1), nullptr);
  EXPECT_EQ(arena.GrowthCount(), 0u) << "a refusal changes nothing";
  EXPECT_NE(arena.TryAllocate(1_MiB), nullptr);
}

TEST(ArenaGrowth, MovingKeepsTheGrowth) {
  GrowingSegment growing;
  Arena arena = growing.segment->MakeGrowingArena({.name = "setup"}, {.stepBytes = 64_KiB});
  (void)arena.Allocate(16);
  Arena moved = std::move(arena);
  EXPECT_NE(moved.TryAllocate(100_KiB), nullptr);
  EXPECT_EQ(arena.TryAllocate(1), nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
}

TEST(ArenaGrowth, StartsBehindWhatTheSegmentHoldsAlready) {
  GrowingSegment growing;
  ASSERT_TRUE(growing.segment->Commit(64_KiB));
  Arena fixed = growing.segment->MakeArena({.name = "fixed"}, 0, 32_KiB);
  Arena arena = growing.segment->MakeGrowingArena({.name = "growing"}, {.stepBytes = 64_KiB}, 32_KiB);
  EXPECT_EQ(arena.CapacityBytes(), 32_KiB);
  EXPECT_EQ(arena.Base(), growing.segment->Base() + 32_KiB);
  (void)arena.Allocate(32_KiB);
  (void)arena.Allocate(1);
  EXPECT_EQ(growing.segment->CommittedBytes(), 128_KiB);
}

// A range of address space counts against RLIMIT_DATA once it is writable.
TEST(ArenaGrowth, WhenTheSystemRefusesNothingChanges) {
  GrowingSegment growing(512_MiB);
  Arena arena = growing.segment->MakeGrowingArena({.name = "setup"}, {.stepBytes = 64_KiB});
  (void)arena.Allocate(16);
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_DATA, &before), 0);
  rlimit lowered = before;
  lowered.rlim_cur = 16_MiB;
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &lowered), 0);
  void* const refused = arena.TryAllocate(256_MiB);
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &before), 0);
  EXPECT_EQ(refused, nullptr);
  EXPECT_EQ(arena.CapacityBytes(), 64_KiB);
  EXPECT_NE(arena.TryAllocate(64_KiB), nullptr) << "it goes on once the system permits";
}

TEST(ArenaGrowth, ShrinkGivesBackWhatIsNotUsed) {
  GrowingSegment growing;
  Arena arena = growing.segment->MakeGrowingArena({.name = "level"}, {.stepBytes = 1_MiB});
  (void)arena.Allocate(8_MiB);
  arena.Reset();
  (void)arena.Allocate(100_KiB);
  ASSERT_TRUE(arena.Shrink(0, 0));
  EXPECT_EQ(arena.CapacityBytes(), 100_KiB) << "what is used stays";
  ASSERT_TRUE(arena.Shrink(4_MiB, 0)) << "more than there is: nothing to do";
  EXPECT_EQ(arena.CapacityBytes(), 100_KiB);
  EXPECT_EQ(growing.segment->CommittedBytes(), 100_KiB);
  EXPECT_TRUE(IsZero(arena.AllocateZeroed(4_MiB), 4_MiB));
  EXPECT_EQ(arena.PeakBytes(), 8_MiB);
}

TEST(ArenaGrowth, GrowingAndShrinkingWithinTheSlackCostsNothing) {
  GrowingSegment growing;
  Arena arena = growing.segment->MakeGrowingArena({.name = "level"}, {.stepBytes = 64_KiB});
  (void)arena.Allocate(2_MiB);
  const auto commits = growing.segment->Stats().commits;
  for (int level = 0; level < 100; ++level) {
    arena.Reset();
    ASSERT_TRUE(arena.Shrink(1_MiB, 2_MiB));
    (void)arena.Allocate(2_MiB);
  }
  EXPECT_EQ(growing.segment->Stats().commits, commits);
  EXPECT_EQ(growing.segment->Stats().decommits, 0u);
  EXPECT_EQ(growing.segment->Stats().decommitsDeferred, 100u);
}

// --- zeroing ---

TEST(ArenaZero, MemoryThatWasUsedBeforeIsCleared) {
  ArenaBuffer buffer(4096);
  std::memset(buffer.arena.Allocate(4096), 0xff, 4096);
  buffer.arena.Reset();
  EXPECT_TRUE(IsZero(buffer.arena.AllocateZeroed(100), 100));
  EXPECT_TRUE(IsZero(buffer.arena.TryAllocateZeroed(3968, 64), 3968));
  EXPECT_EQ(buffer.arena.TryAllocateZeroed(1), nullptr);
}

TEST(ArenaZero, MemoryOfUnknownOriginIsCleared) {
  alignas(16) static unsigned char memory[256];
  std::memset(memory, 0xff, sizeof memory);
  Arena arena("dirty", reinterpret_cast<std::byte*>(memory), sizeof memory);
  EXPECT_TRUE(IsZero(arena.AllocateZeroed(256), 256));
}

// Planted bytes tell what was written and what was known: the arena is told, wrongly, that they are zeros.
TEST(ArenaZero, KnownZerosAreNotWrittenAgain) {
  alignas(16) static unsigned char memory[256];
  std::memset(memory, 0x11, sizeof memory);
  Arena arena({.name = "told", .isZeroed = true}, reinterpret_cast<std::byte*>(memory), sizeof memory);
  const auto* const untouched = static_cast<const unsigned char*>(arena.AllocateZeroed(64));
  EXPECT_EQ(untouched[0], 0x11) << "never handed out before: known";
  (void)arena.Allocate(64);
  arena.Reset();
  const auto* const mixed = static_cast<const unsigned char*>(arena.AllocateZeroed(256));
  EXPECT_TRUE(IsZero(mixed, 128)) << "handed out before: cleared";
  EXPECT_EQ(mixed[128], 0x11);
}

TEST(ArenaZero, FreshMemoryOfAGrowingArenaIsKnown) {
  GrowingSegment growing;
  Arena arena = growing.segment->MakeGrowingArena({.name = "setup"}, {.stepBytes = 64_KiB});
  (void)arena.Allocate(16);
  // Written where the arena does not look: that it is still there shows that nothing was cleared.
  std::byte* const planted = growing.segment->Base() + 32_KiB;
  LiftPoison(planted, 1);
  *planted = std::byte{7};
  const auto* const memory = static_cast<const std::byte*>(arena.AllocateZeroed(48_KiB - 16));
  EXPECT_EQ(memory[32_KiB - 16], std::byte{7});
  EXPECT_TRUE(IsZero(arena.AllocateZeroed(1_MiB), 1_MiB));
}

// What others had committed, and may have written, is not known.
TEST(ArenaZero, MemoryCommittedByOthersIsCleared) {
  GrowingSegment growing;
  Arena arena = growing.segment->MakeGrowingArena({.name = "setup"}, {.stepBytes = 64_KiB});
  (void)arena.Allocate(64_KiB);
  ASSERT_TRUE(growing.segment->Commit(256_KiB));
  std::memset(growing.segment->Base() + 64_KiB, 0xee, 192_KiB);
  EXPECT_TRUE(IsZero(arena.AllocateZeroed(1_MiB), 1_MiB));
}

// A list of spans with what they must hold. Broken on request: it takes every allocation for a zeroed one.
std::string RunGrowthProgram(OpRandom& random, bool broken) {
  struct Block {
    unsigned char* memory;
    std::size_t size;
    unsigned char fill;
  };
  GrowingSegment growing(4_MiB);
  constexpr std::size_t kMax = 1_MiB;
  Arena arena = growing.segment->MakeGrowingArena(
      {.name = "program"}, {.stepBytes = std::size_t{4096} << random.Below(6), .capacityBytesMax = kMax});
  std::vector<Block> blocks;
  bool allowed = true;
  for (int step = 0; step < (STADIAL_TEST_SANITIZED ? 300 : 1500); ++step) {
    const std::size_t choice = random.Below(100);
    if (choice < 70) {
      const std::size_t size = random.OneIn(10) ? random.Below(200'000) : random.Below(3000);
      const std::size_t alignment = std::size_t{1} << random.Below(random.OneIn(8) ? 16 : 7);
      const bool zeroed = random.OneIn(2);
      const std::size_t used = arena.UsedBytes();
      const std::size_t padding =
          (0 - (reinterpret_cast<std::uintptr_t>(growing.segment->Base()) + used)) & (alignment - 1);
      const bool fits = used + padding + size <= (allowed ? kMax : arena.CapacityBytes());
      auto* const memory = static_cast<unsigned char*>(zeroed ? arena.TryAllocateZeroed(size, alignment)
                                                              : arena.TryAllocate(size, alignment));
      if ((memory != nullptr) != fits)
        return Differs("step %d: %zu@%zu fits: %d", step, size, alignment, fits);
      if (memory == nullptr) continue;
      if (reinterpret_cast<std::byte*>(memory) != growing.segment->Base() + used + padding)
        return Differs("step %d: not the first fitting address", step);
      if ((zeroed || (broken && random.OneIn(4))) && !IsZero(memory, size))
        return Differs("step %d: %zu bytes are not zero", step, size);
      const auto fill = static_cast<unsigned char>(1 + random.Below(255));
      std::memset(memory, fill, size);
      blocks.push_back({memory, size, fill});
    } else if (choice < 80) {
      allowed = random.OneIn(2);
      arena.AllowGrowth(allowed);
    } else if (choice < 90) {
      arena.Reset();
      blocks.clear();
    } else {
      const std::size_t keep = random.Below(kMax);
      if (!arena.Shrink(keep, random.Below(kMax))) return Differs("step %d: shrink refused", step);
      if (arena.UsedBytes() > arena.CapacityBytes())
        return Differs("step %d: shrunk below what is used", step);
    }
    if (arena.CapacityBytes() > growing.segment->CommittedBytes())
      return Differs("step %d: not committed", step);
    if (step % 16 != 0) continue;
    for (const Block& block : blocks) {
      for (std::size_t index = 0; index < block.size; index += 1 + block.size / 64) {
        if (block.memory[index] != block.fill) return Differs("step %d: a live block was overwritten", step);
      }
    }
  }
  return "";
}

TEST(ArenaGrowth, ProgramAgreesWithModel) {
  testing::ExpectAgreement("growth", [](OpRandom& random) { return RunGrowthProgram(random, false); });
}
TEST(ArenaGrowth, ProgramCanary) {
  testing::ExpectCanary("growth", [](OpRandom& random) { return RunGrowthProgram(random, true); });
}

class ArenaGrowthDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ArenaGrowthDeathTest, ExhaustionSaysWhyItDidNotGrow) {
  GrowingSegment growing(1_MiB);
  Arena arena = growing.segment->MakeGrowingArena(
      {.name = "plan", .kind = "compile", .remedy = "raise compileBytes"}, {.stepBytes = 64_KiB});
  (void)arena.Allocate(64_KiB);
  EXPECT_DEATH(
      (void)arena.Allocate(2_MiB),
      "compile arena 'plan' exhausted: asked 2\\.0 MiB, 0 B left of 64\\.0 KiB .*; growth ended, at most "
      "1\\.0 MiB; raise compileBytes");
  arena.AllowGrowth(false);
  EXPECT_DEATH((void)arena.Allocate(1), "growth is sealed, at most 1\\.0 MiB; raise compileBytes");
}

#if STADIAL_ASSERT_LEVEL >= 1
TEST_F(ArenaGrowthDeathTest, DecommittingUnderAGrowingArenaIsRefused) {
  GrowingSegment growing(1_MiB);
  Arena arena = growing.segment->MakeGrowingArena({.name = "plan"}, {.stepBytes = 64_KiB});
  (void)arena.Allocate(64_KiB);
  ASSERT_TRUE(growing.segment->Decommit());
  EXPECT_DEATH((void)arena.Allocate(1), "use Arena::Shrink");
  arena = Arena();
}
#endif
TEST_F(ArenaGrowthDeathTest, OnlyAGrowingArenaShrinks) {
  ArenaBuffer buffer;
  EXPECT_DEATH((void)buffer.arena.Shrink(0, 0), "only a growing arena gives memory back");
}

}  // namespace
}  // namespace stadial::arenas
