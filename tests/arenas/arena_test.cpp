#include "stadial/arenas/arena.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

std::uintptr_t AddressOf(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

TEST(Arena, EmptyArenaRefusesEverything) {
  Arena arena;
  EXPECT_EQ(arena.TryAllocate(1), nullptr);
  EXPECT_EQ(arena.CapacityBytes(), 0u);
  EXPECT_FALSE(arena.Contains(&arena));
}

TEST(Arena, SizesAreRoundedToSixteenAndTheCursorStaysAligned) {
  ArenaBuffer buffer;
  for (const std::size_t size : {1u, 15u, 16u, 17u, 100u}) {
    const std::size_t before = buffer.arena.UsedBytes();
    void* const memory = buffer.arena.Allocate(size);
    EXPECT_EQ(AddressOf(memory) % 16, 0u);
    EXPECT_EQ(buffer.arena.UsedBytes() - before, (size + 15) / 16 * 16);
    std::memset(memory, 0x5a, size);
  }
}

TEST(Arena, AlignmentIsOfTheAddressUpToPagesAndBeyond) {
  ArenaBuffer buffer(1_MiB);
  for (std::size_t alignment = 1; alignment <= 64_KiB; alignment *= 2) {
    void* const memory = buffer.arena.Allocate(3, alignment);
    EXPECT_EQ(AddressOf(memory) % alignment, 0u) << alignment;
  }
  // The base itself being page aligned must not be what made it true.
  alignas(64) static std::byte odd[4096];
  Arena shifted("shifted", odd + 16, sizeof odd - 16);
  EXPECT_EQ(AddressOf(shifted.Allocate(8, 64)) % 64, 0u);
}

TEST(Arena, MisalignedMemoryIsRoundedInward) {
  alignas(16) static std::byte memory[64];
  Arena arena("odd", memory + 1, 62);
  EXPECT_EQ(arena.CapacityBytes(), 32u);
  EXPECT_EQ(AddressOf(arena.Allocate(32)) % 16, 0u);
  EXPECT_EQ(arena.TryAllocate(1), nullptr);
  Arena none("tiny", memory + 1, 3);
  EXPECT_EQ(none.CapacityBytes(), 0u);
}

TEST(Arena, TheLastByteIsUsableAndNoMore) {
  ArenaBuffer buffer(4096);
  ASSERT_NE(buffer.arena.TryAllocate(4096), nullptr);
  EXPECT_EQ(buffer.arena.RemainingBytes(), 0u);
  EXPECT_EQ(buffer.arena.TryAllocate(1), nullptr);
  buffer.arena.Reset();
  EXPECT_EQ(buffer.arena.TryAllocate(4097), nullptr);
  EXPECT_NE(buffer.arena.TryAllocate(4081), nullptr);
}

// Run-time values the compiler cannot fold, so that the branch-free path is the one tested.
TEST(Arena, ImpossibleSizesAndAlignmentsAreRefusedWithoutOverflow) {
  ArenaBuffer buffer(4096);
  ASSERT_NE(buffer.arena.TryAllocate(16), nullptr);
  constexpr std::size_t kMax = std::numeric_limits<std::size_t>::max();
  for (const std::size_t size :
       {kMax, kMax - 1, kMax - 14, kMax - 15, kMax - 16, kMax / 2, std::size_t{1} << 47}) {
    for (std::size_t alignment = 1; alignment != 0; alignment *= 2) {
      volatile std::size_t hiddenSize = size;
      volatile std::size_t hiddenAlignment = alignment;
      EXPECT_EQ(buffer.arena.TryAllocate(hiddenSize, hiddenAlignment), nullptr) << size << " @ " << alignment;
    }
  }
  volatile std::size_t hugeAlignment = std::size_t{1} << 63;
  EXPECT_EQ(buffer.arena.TryAllocate(1, hugeAlignment), nullptr);
  EXPECT_EQ(buffer.arena.UsedBytes(), 16u) << "a refusal changes nothing";
  volatile std::size_t hugeCount = kMax / 4;
  EXPECT_TRUE(buffer.arena.TryNewArray<std::uint64_t>(hugeCount).empty());
  EXPECT_EQ(buffer.arena.UsedBytes(), 16u);
}

TEST(Arena, NewConstructsAndAligns) {
  struct alignas(128) Wide {
    int value;
  };
  ArenaBuffer buffer;
  EXPECT_EQ(*buffer.arena.New<int>(7), 7);
  Wide* const wide = buffer.arena.New<Wide>(Wide{9});
  EXPECT_EQ(AddressOf(wide) % 128, 0u);
  EXPECT_EQ(wide->value, 9);
  const auto zeros = buffer.arena.NewArray<std::uint32_t>(1000);
  for (const std::uint32_t value : zeros) EXPECT_EQ(value, 0u);
  EXPECT_EQ(buffer.arena.NewArray<int>(0).size(), 0u);
  EXPECT_EQ(*buffer.arena.TryNew<int>(3), 3);
}

TEST(Arena, NewArrayIsZeroAlsoOverRewoundMemory) {
  ArenaBuffer buffer(4096);
  std::memset(buffer.arena.Allocate(4096), 0xff, 4096);
  buffer.arena.Reset();
  for (const std::byte value : buffer.arena.NewArray<std::byte>(4096)) ASSERT_EQ(value, std::byte{0});
}

TEST(Arena, StringsAreCopiedAndTerminated) {
  ArenaBuffer buffer;
  std::string source = "frame";
  const char* const copy = buffer.arena.CopyString(source);
  source = "gone!";
  EXPECT_STREQ(copy, "frame");
  EXPECT_STREQ(buffer.arena.CopyString({}), "");
  EXPECT_STREQ(buffer.arena.Format("%s %d of %d", "lane", 2, 8), "lane 2 of 8");
  const std::string longText(5000, 'x');
  EXPECT_EQ(std::strlen(buffer.arena.Format("%s", longText.c_str())), 5000u);
}

TEST(Arena, RewindTakesBackExactlyWhatCameAfterTheMark) {
  ArenaBuffer buffer;
  int* const kept = buffer.arena.New<int>(1);
  const ArenaMark mark = buffer.arena.Mark();
  void* const first = buffer.arena.Allocate(100);
  buffer.arena.RewindTo(mark);
  EXPECT_EQ(buffer.arena.Allocate(100), first) << "the same base again: caches stay warm";
  EXPECT_EQ(*kept, 1);
}

TEST(Arena, ScopesNestAndRewind) {
  ArenaBuffer buffer;
  {
    ArenaScope outer(buffer.arena);
    (void)buffer.arena.Allocate(64);
    {
      ArenaScope inner(buffer.arena);
      (void)buffer.arena.Allocate(128);
      EXPECT_EQ(buffer.arena.UsedBytes(), 192u);
    }
    EXPECT_EQ(buffer.arena.UsedBytes(), 64u);
  }
  EXPECT_EQ(buffer.arena.UsedBytes(), 0u);
}

TEST(Arena, PeakIsDerivedFromTheCursor) {
  ArenaBuffer buffer;
  EXPECT_EQ(buffer.arena.PeakBytes(), 0u);
  (void)buffer.arena.Allocate(1000);
  EXPECT_EQ(buffer.arena.PeakBytes(), 1008u) << "also before any rewind";
  buffer.arena.Reset();
  (void)buffer.arena.Allocate(16);
  EXPECT_EQ(buffer.arena.PeakBytes(), 1008u);
  EXPECT_EQ(buffer.arena.UsedBytes(), 16u);
  EXPECT_EQ(buffer.arena.ResetCount(), 1u);
}

TEST(Arena, MovingKeepsAllocationsAndEmptiesTheSource) {
  ArenaBuffer buffer;
  int* const value = buffer.arena.New<int>(5);
  Arena moved = std::move(buffer.arena);
  EXPECT_EQ(*value, 5);
  EXPECT_TRUE(moved.Contains(value));
  EXPECT_EQ(buffer.arena.TryAllocate(1), nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(*moved.New<int>(6), 6);
  EXPECT_STREQ(moved.Name(), "test");
}

TEST(Arena, KnowsItsNameAndCreationSite) {
  alignas(16) std::byte memory[64];
  const Arena arena({.name = "lane 2", .kind = "frame"}, memory, sizeof memory);
  const auto line = static_cast<unsigned>(__LINE__ - 1);
  EXPECT_STREQ(arena.Name(), "lane 2");
  EXPECT_EQ(arena.Site().line(), line);
  EXPECT_NE(std::strstr(arena.Site().file_name(), "arena_test.cpp"), nullptr);
}

// --- against a model ---

// The model of an arena: a list of spans with what was written to them. Broken on request: it forgets to drop
// the spans above a mark.
std::string RunArenaProgram(OpRandom& random, bool broken) {
  struct Block {
    unsigned char* memory;
    std::size_t size;
    unsigned char fill;
  };
  ArenaBuffer buffer(32_KiB);
  std::vector<Block> blocks;
  std::vector<std::pair<ArenaMark, std::size_t>> marks;
  std::size_t peak = 0;
  for (int step = 0; step < 4000; ++step) {
    const std::size_t choice = random.Below(100);
    if (choice < 70) {
      const std::size_t size = random.OneIn(10) ? random.Below(8000) : random.Below(200);
      const std::size_t alignment = std::size_t{1} << random.Below(random.OneIn(8) ? 14 : 7);
      const std::size_t used = buffer.arena.UsedBytes();
      const std::uintptr_t earliest = AddressOf(buffer.Memory()) + used;
      const std::size_t padding = (0 - earliest) & (alignment - 1);
      const bool fits = used + padding + size <= buffer.Bytes();
      auto* const memory = static_cast<unsigned char*>(buffer.arena.TryAllocate(size, alignment));
      if ((memory != nullptr) != fits)
        return Differs("step %d: %zu@%zu fits: %d", step, size, alignment, fits);
      if (memory == nullptr) continue;
      if (AddressOf(memory) != earliest + padding)
        return Differs("step %d: not the first fitting address", step);
      if (buffer.arena.UsedBytes() != (used + padding + size + 15) / 16 * 16)
        return Differs("step %d: used", step);
      const auto fill = static_cast<unsigned char>(random.Next());
      std::memset(memory, fill, size);
      blocks.push_back({memory, size, fill});
    } else if (choice < 85) {
      marks.emplace_back(buffer.arena.Mark(), blocks.size());
    } else if (choice < 97 && !marks.empty()) {
      const std::size_t target = random.Below(marks.size());
      buffer.arena.RewindTo(marks[target].first);
      if (!broken) blocks.resize(marks[target].second);
      marks.resize(target);
    } else if (choice >= 97) {
      buffer.arena.Reset();
      blocks.clear();
      marks.clear();
    }
    peak = std::max(peak, buffer.arena.UsedBytes());
    if (buffer.arena.PeakBytes() != peak) return Differs("step %d: peak", step);
    if (step % 64 != 0) continue;
    for (const Block& block : blocks) {
      // The broken model looks at taken-back memory: poisoned, under AddressSanitizer.
      if (block.size != 0 && IsPoisoned(block.memory))
        return Differs("step %d: a live block is poisoned", step);
      for (std::size_t index = 0; index < block.size; ++index) {
        if (IsPoisoned(block.memory + index)) return Differs("step %d: a live block is poisoned", step);
        if (block.memory[index] != block.fill) return Differs("step %d: a live block was overwritten", step);
      }
    }
  }
  return "";
}

TEST(Arena, ProgramAgreesWithModel) {
  testing::ExpectAgreement("arena", [](OpRandom& random) { return RunArenaProgram(random, false); });
}
TEST(Arena, ProgramCanary) {
  testing::ExpectCanary("arena", [](OpRandom& random) { return RunArenaProgram(random, true); });
}

// --- what must die ---

class ArenaDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ArenaDeathTest, ExhaustionNamesThingPlaceNumbersAndRemedy) {
  ArenaBuffer buffer(1_MiB);
  const auto exhaust = [&] {
    Arena arena(
        {.name = "lane 2", .kind = "frame", .remedy = "raise frame.lane_bytes or run with --sizing-profile"},
        buffer.Memory(), 1_MiB);
    (void)arena.Allocate(900 * 1024);
    arena.Reset();
    (void)arena.Allocate(1_MiB - 112);
    (void)arena.Allocate(4096);
  };
  EXPECT_DEATH(
      exhaust(),
      "frame arena 'lane 2' exhausted: asked 4096 B, 112 B left of 1\\.0 MiB \\(peak 1023\\.9 KiB in 2 "
      "frames\\); raise frame\\.lane_bytes or run with --sizing-profile \\[created at .*arena_test\\.cpp:");
}

#if STADIAL_ASSERT_LEVEL >= 1
TEST_F(ArenaDeathTest, AMarkOfAnotherArenaIsRefused) {
  ArenaBuffer first;
  ArenaBuffer second;
  EXPECT_DEATH(first.arena.RewindTo(second.arena.Mark()), "belongs to another arena");
}
TEST_F(ArenaDeathTest, AMarkAboveTheCursorIsRefused) {
  ArenaBuffer buffer;
  const ArenaMark low = buffer.arena.Mark();
  (void)buffer.arena.Allocate(64);
  const ArenaMark high = buffer.arena.Mark();
  buffer.arena.RewindTo(low);
  EXPECT_DEATH(buffer.arena.RewindTo(high), "above the cursor");
}
TEST_F(ArenaDeathTest, AMarkFromBeforeTheResetIsRefused) {
  ArenaBuffer buffer;
  const ArenaMark stale = buffer.arena.Mark();
  buffer.arena.Reset();
  EXPECT_DEATH(buffer.arena.RewindTo(stale), "older than the arena's last Reset");
}
#endif

}  // namespace
}  // namespace stadial::arenas
