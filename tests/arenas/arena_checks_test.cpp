#include "stadial/arenas/arena_checks.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "stadial/arenas/arena.h"
#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

// Memory of capacity and guards; the arena over it is the second member.
struct Guarded {
  Guarded(std::size_t capacityBytes, std::size_t guardBytes, bool oneThread = false)
      : memory(capacityBytes + (kArenaChecks ? guardBytes : 0), "unused") {
    memory.arena =
        Arena({.name = "guarded", .kind = "test", .guardBytes = guardBytes, .oneThread = oneThread},
              memory.Memory(), memory.Bytes());
  }
  Arena& Get() { return memory.arena; }
  ArenaBuffer memory;
};

TEST(ArenaChecks, GuardsDoNotChangeWhatAnArenaReports) {
  Guarded guarded(4096, 64_KiB);
  Arena& arena = guarded.Get();
  EXPECT_EQ(arena.CapacityBytes(), 4096u);
  (void)arena.Allocate(20);
  EXPECT_EQ(arena.UsedBytes(), 32u);
  EXPECT_EQ(arena.RemainingBytes(), 4064u);
  EXPECT_EQ(arena.TryAllocate(4065), nullptr);
  EXPECT_NE(arena.TryAllocate(4064), nullptr);
  EXPECT_EQ(arena.RemainingBytes(), 0u);
  EXPECT_EQ(arena.TryAllocate(1), nullptr);
  EXPECT_EQ(arena.PeakBytes(), 4096u);
  arena.Reset();
  EXPECT_EQ(arena.PeakBytes(), 4096u);
  EXPECT_EQ(arena.UsedBytes(), 0u);
}

TEST(ArenaChecks, WhenTheGuardsAreUsedUpAllocationsGoWithout) {
  Guarded guarded(64_KiB, 3 * kGuardBytes);
  Arena& arena = guarded.Get();
  for (int index = 0; index < 4096; ++index) ASSERT_NE(arena.TryAllocate(16), nullptr) << index;
  EXPECT_EQ(arena.TryAllocate(1), nullptr);
  EXPECT_LE(arena.Checks().GuardBytesSpent(), 3 * kGuardBytes);
}

TEST(ArenaChecks, AnAlignmentAboveTheMemorysSizeFitsWhereItWouldWithoutGuards) {
  constexpr std::size_t kAlignment = 16_KiB;
  const ArenaBuffer buffer(3 * kAlignment);
  std::byte* const base =
      buffer.Memory() + ((0 - reinterpret_cast<std::uintptr_t>(buffer.Memory())) & (kAlignment - 1));
  const std::size_t guardBytes = kArenaChecks ? 4096 : 0;
  for (const std::size_t guards : {guardBytes, std::size_t{0}}) {
    Arena there({.name = "there", .guardBytes = guards}, base, 4096 + guards);
    EXPECT_EQ(there.TryAllocate(64, kAlignment), base);
    EXPECT_EQ(there.TryAllocate(64, kAlignment), nullptr);
    EXPECT_EQ(there.TryAllocate(64, std::size_t{1} << 62), nullptr);
    EXPECT_NE(there.TryAllocate(64, 64), nullptr);
    Arena beside({.name = "beside", .guardBytes = guards}, base + kAlignment + 64, 4096 + guards);
    EXPECT_EQ(beside.TryAllocate(64, kAlignment), nullptr);
    EXPECT_EQ(beside.UsedBytes(), 0u);
  }
}

TEST(ArenaChecks, AnUncheckedArenaPaysNothing) {
  if constexpr (!kArenaChecks) {
    EXPECT_TRUE(std::is_empty_v<ArenaChecks>);
    EXPECT_TRUE(std::is_empty_v<ArenaChecks::Mark>);
    EXPECT_EQ(kGuardBytes, 0u);
    EXPECT_LE(sizeof(Arena), 128u);
  } else {
    EXPECT_EQ(kGuardBytes % kArenaGranularityBytes, 0u);
  }
}

// --- a guarded arena against a plain one ---

// Both must agree in everything but the addresses. Broken: the plain one has 16 bytes more.
std::string RunGuardedProgram(OpRandom& random, std::size_t guardBytes, bool broken) {
  constexpr std::size_t kCapacityBytes = 32_KiB;
  Guarded guarded(kCapacityBytes, guardBytes);
  ArenaBuffer plain(kCapacityBytes + (broken ? 16 : 0));
  struct Block {
    unsigned char* memory;
    std::size_t size;
    unsigned char fill;
  };
  std::vector<Block> blocks;
  struct Marks {
    ArenaMark guarded;
    ArenaMark plain;
    std::size_t blocks;
  };
  std::vector<Marks> marks;
  for (int step = 0; step < 2000; ++step) {
    const std::size_t choice = random.Below(100);
    if (choice < 75) {
      const std::size_t size = random.OneIn(10) ? random.Below(8000) : random.Below(200);
      const std::size_t alignment = std::size_t{1} << random.Below(random.OneIn(8) ? 13 : 7);
      auto* const memory = static_cast<unsigned char*>(guarded.Get().TryAllocate(size, alignment));
      const bool fits = plain.arena.TryAllocate(size, alignment) != nullptr;
      if ((memory != nullptr) != fits)
        return Differs("step %d: %zu@%zu fits: %d", step, size, alignment, fits);
      if (memory == nullptr) continue;
      if (reinterpret_cast<std::uintptr_t>(memory) % alignment != 0)
        return Differs("step %d: alignment", step);
      const auto fill = static_cast<unsigned char>(random.Next());
      std::memset(memory, fill, size);
      blocks.push_back({memory, size, fill});
    } else if (choice < 85) {
      marks.push_back({guarded.Get().Mark(), plain.arena.Mark(), blocks.size()});
    } else if (choice < 97 && !marks.empty()) {
      const Marks target = marks[random.Below(marks.size())];
      guarded.Get().RewindTo(target.guarded);
      plain.arena.RewindTo(target.plain);
      blocks.resize(target.blocks);
      while (!marks.empty() && marks.back().blocks >= target.blocks) marks.pop_back();
    } else if (choice >= 97) {
      guarded.Get().Reset();
      plain.arena.Reset();
      blocks.clear();
      marks.clear();
    }
    if (guarded.Get().UsedBytes() != plain.arena.UsedBytes()) return Differs("step %d: used", step);
    if (guarded.Get().RemainingBytes() != plain.arena.RemainingBytes()) return Differs("step %d: left", step);
    if (guarded.Get().PeakBytes() != plain.arena.PeakBytes()) return Differs("step %d: peak", step);
    if (step % 64 != 0) continue;
    for (const Block& block : blocks) {
      for (std::size_t index = 0; index < block.size; ++index) {
        if (block.memory[index] != block.fill) return Differs("step %d: a block was overwritten", step);
      }
    }
  }
  return "";
}

TEST(ArenaChecks, ProgramAgreesWithPlainArena) {
  testing::ExpectAgreement("guards",
                           [](OpRandom& random) { return RunGuardedProgram(random, 1_MiB, false); });
}
// A multiple of the largest alignment, and used up soon.
TEST(ArenaChecks, ProgramAgreesWithPlainArenaWhenTheGuardsAreUsedUp) {
  testing::ExpectAgreement("few guards",
                           [](OpRandom& random) { return RunGuardedProgram(random, 4_KiB, false); });
}
TEST(ArenaChecks, ProgramCanary) {
  testing::ExpectCanary("guards", [](OpRandom& random) { return RunGuardedProgram(random, 1_MiB, true); });
}

TEST(ArenaChecks, MovingToOtherMemoryKeepsTheAccount) {
  ArenaBuffer first(8192);
  ArenaBuffer second(8192);
  first.arena.Reset();
  (void)first.arena.Allocate(1000);
  first.arena.Reset();
  second.arena = Arena();  // the memory has one owner
  first.arena.MoveTo(second.Memory());
  EXPECT_EQ(first.arena.Base(), second.Memory());
  EXPECT_EQ(first.arena.CapacityBytes(), 8192u);
  EXPECT_EQ(first.arena.PeakBytes(), 1008u);
  EXPECT_EQ(first.arena.ResetCount(), 2u);
  EXPECT_TRUE(second.Memory() == first.arena.Allocate(8192));
  first.arena.Reset();
  LiftPoison(first.Memory(), first.Bytes());  // moved away from: the arena does not do it any more
}

#if STADIAL_ASSERT_LEVEL >= 2

// --- every byte between two allocations is watched ---

// Flips one byte of the guarded arena and looks whether the damage is found; then flips it back. Broken: the
// byte lies in an allocation, where nothing can be wrong.
std::string RunDamageProgram(OpRandom& random, bool broken) {
  Guarded guarded(16_KiB, 1_MiB);
  Arena& arena = guarded.Get();
  struct Block {
    std::byte* memory;
    std::size_t size;
  };
  std::vector<Block> blocks;
  for (int index = 0; index < 60; ++index) {
    const std::size_t size = random.Below(120);
    auto* const memory = static_cast<std::byte*>(
        arena.TryAllocate(size, std::size_t{1} << random.Below(random.OneIn(4) ? 9 : 5)));
    if (memory != nullptr) blocks.push_back({memory, size});
  }
  const std::size_t spanBytes = arena.UsedBytes() + arena.Checks().GuardBytesSpent();
  for (int step = 0; step < 500; ++step) {
    std::byte* const byte = arena.Base() + random.Below(spanBytes);
    bool isPayload = false;
    for (const Block& block : blocks) isPayload |= byte >= block.memory && byte < block.memory + block.size;
    if (isPayload != broken) continue;
    const std::byte flip{static_cast<unsigned char>(1 + random.Below(255))};
    const auto write = [&] {
      const bool wasPoisoned = IsPoisoned(byte);
      LiftPoison(byte, 1);
      *byte ^= flip;
      if (wasPoisoned) PoisonFresh(byte, 1);
    };
    write();
    const ArenaDamage damage = arena.FindDamage();
    write();
    if (!damage)
      return Differs("step %d: offset %zu was damaged unseen", step,
                     static_cast<std::size_t>(byte - arena.Base()));
    if (arena.FindDamage()) return Differs("step %d: damage reported where there is none", step);
  }
  return "";
}

TEST(ArenaChecks, ProgramFindsEveryDamagedByte) {
  testing::ExpectAgreement("damage", [](OpRandom& random) { return RunDamageProgram(random, false); });
}
TEST(ArenaChecks, ProgramFindsEveryDamagedByteCanary) {
  testing::ExpectCanary("damage", [](OpRandom& random) { return RunDamageProgram(random, true); });
}

TEST(ArenaChecks, DamageNamesTheAllocation) {
  Guarded guarded(4096, 4096);
  auto* const bytes = static_cast<std::byte*>(guarded.Get().Allocate(20));
  (void)guarded.Get().Allocate(64);
  EXPECT_FALSE(guarded.Get().FindDamage());
  LiftPoison(bytes + 20, 1);
  bytes[20] = std::byte{1};
  const ArenaDamage damage = guarded.Get().FindDamage();
  EXPECT_EQ(damage.kind, ArenaDamage::Kind::Overrun);
  EXPECT_EQ(damage.address, bytes + 20);
  EXPECT_EQ(damage.allocation, bytes);
  EXPECT_EQ(damage.allocationBytes, 20u);
  EXPECT_NE(damage.site, nullptr);
  LiftPoison(bytes + 20, 1);  // closed again by the look at it
  bytes[20] = std::byte{0xFB};
  EXPECT_FALSE(guarded.Get().FindDamage());
}

// --- threads ---

TEST(ArenaChecks, AnArenaOfOneThreadCanBeHandedOver) {
  Guarded guarded(4096, 4096, true);
  (void)guarded.Get().Allocate(16);
  guarded.Get().HandOver();
  std::thread([&] { (void)guarded.Get().Allocate(16); }).join();
  guarded.Get().Reset();  // from any thread, and nobody's again
  (void)guarded.Get().Allocate(16);
}

class ArenaChecksDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(ArenaChecksDeathTest, AnOverrunIsReportedWhenRewound) {
#if STADIAL_ADDRESS_SANITIZER
  GTEST_SKIP() << "AddressSanitizer stops at the write itself";
#else
  const auto overrun = [] {
    Guarded guarded(4096, 4096);
    (void)guarded.Get().Allocate(16);
    const ArenaScope scope(guarded.Get());
    auto* const bytes = static_cast<volatile char*>(guarded.Get().Allocate(24));
    (void)guarded.Get().Allocate(16);
    bytes[24] = 1;
  };
  EXPECT_DEATH(
      overrun(),
      "test arena 'guarded': overrun: offset [0-9]+ was written, 0 B past the end of the allocation of "
      "24 B at offset [0-9]+ made by .*; found when rewound to the mark set at "
      ".*arena_checks_test\\.cpp:[0-9]+; .*\\[created at .*arena_checks_test\\.cpp:");
#endif
}

TEST_F(ArenaChecksDeathTest, AnArenaThatIsNeverRewoundIsLookedAtOnRequest) {
#if STADIAL_ADDRESS_SANITIZER
  GTEST_SKIP() << "AddressSanitizer stops at the write itself";
#else
  const auto overrun = [] {
    Guarded guarded(4096, 4096);
    auto* const bytes = static_cast<volatile char*>(guarded.Get().Allocate(24));
    guarded.Get().CheckGuards();
    bytes[24] = 1;
    guarded.Get().CheckGuards();
  };
  EXPECT_DEATH(overrun(), "overrun: offset [0-9]+ was written, .*; found by the check at .*_test\\.cpp:");
#endif
}

TEST_F(ArenaChecksDeathTest, ASecondThreadIsReported) {
  const auto share = [] {
    Guarded guarded(4096, 4096, true);
    (void)guarded.Get().Allocate(16);
    std::thread([&] { (void)guarded.Get().Allocate(16); }).join();
  };
  EXPECT_DEATH(share(), "it belongs to thread [0-9]+ since its reset 0, and thread [0-9]+ allocates from it");
}

#endif

}  // namespace
}  // namespace stadial::arenas
