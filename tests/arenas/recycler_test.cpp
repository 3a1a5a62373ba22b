#include "stadial/arenas/recycler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <thread>
#include <vector>

#include "support/op_program.h"
#include "support/segment_fixture.h"
#include "support/system_probe.h"

namespace stadial::arenas {
namespace {

using testing::Differs;
using testing::OpRandom;

std::uintptr_t AddressOf(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

class RecyclerFixture : public testing::SegmentFixture {
 public:
  explicit RecyclerFixture(std::size_t bytes)
      : SegmentFixture(bytes, "Driver"), recycler("driver", GetSegment()) {}

  Recycler recycler;
};

TEST(Recycler, ServesEverySizeAtEveryAlignment) {
  RecyclerFixture fixture(16_MiB);
  std::vector<void*> blocks;
  for (std::size_t alignment = 1; alignment <= 64_KiB; alignment *= 2) {
    for (const std::size_t size : {0u, 1u, 15u, 16u, 17u, 100u, 4096u, 70'000u}) {
      void* const memory = fixture.recycler.Allocate(size, alignment);
      ASSERT_NE(memory, nullptr) << size << "@" << alignment;
      EXPECT_EQ(AddressOf(memory) % std::max<std::size_t>(alignment, 16), 0u);
      EXPECT_EQ(fixture.recycler.SizeOf(memory), size);
      EXPECT_TRUE(fixture.recycler.Contains(memory));
      std::memset(memory, 0x77, size);
      blocks.push_back(memory);
    }
    fixture.recycler.CheckIntegrity();
  }
  EXPECT_EQ(fixture.recycler.Stats().liveBlocks, blocks.size());
  for (void* const memory : blocks) fixture.recycler.Free(memory);
  EXPECT_GT(fixture.recycler.CheckIntegrity(), 1u) << "small blocks are set aside";
  fixture.recycler.Compact();
  EXPECT_EQ(fixture.recycler.CheckIntegrity(), 1u) << "all merged into one free block";
  const RecyclerStats stats = fixture.recycler.Stats();
  EXPECT_EQ(stats.liveBlocks, 0u);
  EXPECT_EQ(stats.liveBytes, 0u);
  EXPECT_EQ(stats.allocations, stats.frees);
  EXPECT_EQ(stats.freeBytes, stats.carvedBytes);
}

TEST(Recycler, BadAlignmentsAndImpossibleSizesAreRefused) {
  RecyclerFixture fixture(1_MiB);
  EXPECT_EQ(fixture.recycler.Allocate(16, 0), nullptr);
  EXPECT_EQ(fixture.recycler.Allocate(16, 24), nullptr);
  EXPECT_EQ(fixture.recycler.Allocate(16, 2 * Recycler::kAlignmentMax), nullptr);
  for (const std::size_t size :
       {std::size_t{1_MiB}, SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2, std::size_t{1} << 36}) {
    EXPECT_EQ(fixture.recycler.Allocate(size), nullptr) << size;
  }
  EXPECT_EQ(fixture.recycler.Stats().refusals, 8u);
  EXPECT_EQ(fixture.recycler.Stats().carvedBytes, 0u);
}

TEST(Recycler, FullGivesNullAndFreedMemoryServesAgain) {
  RecyclerFixture fixture(64_KiB);
  std::vector<void*> blocks;
  while (void* const memory = fixture.recycler.Allocate(1000)) blocks.push_back(memory);
  EXPECT_GT(blocks.size(), 55u);
  EXPECT_EQ(fixture.recycler.Stats().refusals, 1u);
  const std::size_t first = blocks.size();
  for (void* const memory : blocks) fixture.recycler.Free(memory);
  blocks.clear();
  while (void* const memory = fixture.recycler.Allocate(1000)) blocks.push_back(memory);
  EXPECT_EQ(blocks.size(), first);
  for (void* const memory : blocks) fixture.recycler.Free(memory);
  EXPECT_NE(fixture.recycler.Allocate(60'000), nullptr) << "merged neighbours serve another size";
}

// Rounding, header and unsplittable remainders together.
TEST(Recycler, WasteIsBounded) {
  for (std::size_t size = 240; size < 200'000; size = size * 9 / 8 + 1) {
    RecyclerFixture fixture(1_MiB);
    std::size_t count = 0;
    while (count < 4 && fixture.recycler.Allocate(size) != nullptr) ++count;
    const auto spent = static_cast<double>(fixture.recycler.Stats().carvedBytes);
    EXPECT_LE((spent - static_cast<double>(size * count)) / spent, 0.25) << size;
  }
}

TEST(Recycler, ReallocateKeepsContentsAndTheOldBlockOnRefusal) {
  RecyclerFixture fixture(64_KiB);
  EXPECT_EQ(fixture.recycler.Reallocate(nullptr, 0), fixture.GetSegment().Base() + 16)
      << "null memory allocates";
  auto* memory = static_cast<unsigned char*>(fixture.recycler.Reallocate(nullptr, 100));
  for (unsigned char index = 0; index < 100; ++index) memory[index] = index;
  memory = static_cast<unsigned char*>(fixture.recycler.Reallocate(memory, 1000, 64));
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(AddressOf(memory) % 64, 0u);
  for (unsigned char index = 0; index < 100; ++index) ASSERT_EQ(memory[index], index);
  EXPECT_EQ(fixture.recycler.Reallocate(memory, 50, 64), memory) << "shrinks in place";
  EXPECT_EQ(fixture.recycler.SizeOf(memory), 50u);
  EXPECT_EQ(fixture.recycler.Reallocate(memory, 1_MiB), nullptr);
  for (unsigned char index = 0; index < 50; ++index) ASSERT_EQ(memory[index], index);
  fixture.recycler.CheckIntegrity();
  EXPECT_EQ(fixture.recycler.Reallocate(memory, 0), nullptr) << "size 0 frees";
  EXPECT_EQ(fixture.recycler.Stats().liveBlocks, 1u);
}

TEST(Recycler, SealedServesRecycledBlocksAndTheHeadroomOnly) {
  RecyclerFixture fixture(1_MiB);
  void* const warm = fixture.recycler.Allocate(500);
  void* const kept = fixture.recycler.Allocate(500);
  fixture.recycler.Free(warm);
  fixture.recycler.Seal(1024);
  EXPECT_TRUE(fixture.recycler.IsSealed());
  for (int frame = 0; frame < 100; ++frame) {
    void* const memory = fixture.recycler.Allocate(500);
    ASSERT_EQ(memory, warm) << "an equal request gets the recycled block";
    fixture.recycler.Free(memory);
  }
  EXPECT_EQ(fixture.recycler.Stats().headroomBytes, 1024u) << "and spends no headroom";
  EXPECT_EQ(fixture.recycler.Allocate(2000), nullptr);
  EXPECT_EQ(fixture.recycler.Stats().refusals, 1u);
  void* const fromHeadroom = fixture.recycler.Allocate(900);
  ASSERT_NE(fromHeadroom, nullptr);
  EXPECT_LT(fixture.recycler.Stats().headroomBytes, 1024u);
  EXPECT_EQ(fixture.recycler.Allocate(900), nullptr);
  fixture.recycler.Unseal();
  EXPECT_NE(fixture.recycler.Allocate(2000), nullptr);
  fixture.recycler.Free(kept);
  fixture.recycler.CheckIntegrity();
}

// The same working set in another order of frees must not creep, aligned blocks included.
TEST(Recycler, ASteadyWorkingSetStopsCarving) {
  RecyclerFixture fixture(16_MiB);
  OpRandom random(7);
  constexpr std::size_t kBlocks = 200;
  std::size_t sizes[kBlocks];
  std::size_t alignments[kBlocks];
  for (std::size_t index = 0; index < kBlocks; ++index) {
    sizes[index] = 16 + random.Below(2000);
    alignments[index] = std::size_t{16} << random.Below(4);
  }
  std::uint64_t carvedAfterWarmup = 0;
  for (int frame = 0; frame < 300; ++frame) {
    std::vector<void*> blocks;
    for (std::size_t index = 0; index < kBlocks; ++index) {
      blocks.push_back(fixture.recycler.Allocate(sizes[index], alignments[index]));
    }
    while (!blocks.empty()) {
      std::swap(blocks[random.Below(blocks.size())], blocks.back());
      fixture.recycler.Free(blocks.back());
      blocks.pop_back();
    }
    if (frame == 50) carvedAfterWarmup = fixture.recycler.Stats().carvedBytes;
  }
  EXPECT_EQ(fixture.recycler.Stats().carvedBytes, carvedAfterWarmup);
}

// --- against a model ---

struct LiveBlock {
  std::size_t size;
  unsigned char fill;
};

bool HoldsItsFill(const void* memory, const LiveBlock& block) {
  const auto* const bytes = static_cast<const unsigned char*>(memory);
  return std::all_of(bytes, bytes + block.size, [&](unsigned char byte) { return byte == block.fill; });
}

// The model: every live block by address, what was asked and what was written. Broken: it does not grow the
// block that Reallocate grew.
std::string RunRecyclerProgram(OpRandom& random, bool broken) {
  RecyclerFixture fixture(256_KiB);
  std::map<unsigned char*, LiveBlock> model;
  std::size_t modelBytes = 0;
  const auto add = [&](void* memory, std::size_t size) {
    const LiveBlock block{size, static_cast<unsigned char>(random.Next())};
    std::memset(memory, block.fill, size);
    model.emplace(static_cast<unsigned char*>(memory), block);
    modelBytes += size;
  };
  for (int step = 0; step < 6000; ++step) {
    const std::size_t choice = random.Below(100);
    const std::size_t size = random.OneIn(20) ? random.Below(60'000) : random.Below(1500);
    const std::size_t alignment = std::size_t{1} << random.Below(random.OneIn(6) ? 15 : 7);
    if (choice < 50) {
      void* const memory = fixture.recycler.Allocate(size, alignment);
      if (memory == nullptr) continue;
      if (AddressOf(memory) % alignment != 0) return Differs("step %d: alignment %zu", step, alignment);
      auto* const bytes = static_cast<unsigned char*>(memory);
      const auto after = model.lower_bound(bytes);
      if (after != model.end() && bytes + size > after->first)
        return Differs("step %d: overlaps the next block", step);
      if (after != model.begin() && std::prev(after)->first + std::prev(after)->second.size > bytes) {
        return Differs("step %d: overlaps the previous block", step);
      }
      add(memory, size);
    } else if (!model.empty()) {
      auto victim = model.begin();
      std::advance(victim, static_cast<std::ptrdiff_t>(random.Below(model.size())));
      unsigned char* const memory = victim->first;
      const LiveBlock block = victim->second;
      if (fixture.recycler.SizeOf(memory) != block.size) return Differs("step %d: SizeOf", step);
      if (!HoldsItsFill(memory, block)) return Differs("step %d: contents", step);
      if (random.OneIn(500)) fixture.recycler.Compact();
      if (choice < 85) {
        fixture.recycler.Free(memory);
        model.erase(victim);
        modelBytes -= block.size;
      } else if (size != 0) {
        void* const moved = fixture.recycler.Reallocate(memory, size, alignment);
        if (moved == nullptr) continue;
        if (AddressOf(moved) % alignment != 0) return Differs("step %d: alignment %zu", step, alignment);
        if (!HoldsItsFill(moved, {std::min(size, block.size), block.fill}))
          return Differs("step %d: moved contents", step);
        model.erase(victim);
        modelBytes -= block.size;
        add(moved, size);
        if (broken) model[static_cast<unsigned char*>(moved)].size = std::min(size, block.size);
      }
    }
    const RecyclerStats stats = fixture.recycler.Stats();
    if (stats.liveBlocks != model.size() || stats.liveBytes != modelBytes)
      return Differs("step %d: statistics", step);
    if (step % 50 == 0) fixture.recycler.CheckIntegrity();
  }
  for (const auto& [memory, block] : model) fixture.recycler.Free(memory);
  fixture.recycler.CheckIntegrity();
  fixture.recycler.Compact();
  return fixture.recycler.CheckIntegrity() == 1 ? "" : Differs("not all free blocks merged at the end");
}

TEST(Recycler, ProgramAgreesWithModel) {
  testing::ExpectAgreement("recycler", [](OpRandom& random) { return RunRecyclerProgram(random, false); });
}
TEST(Recycler, ProgramCanary) {
  testing::ExpectCanary("recycler", [](OpRandom& random) { return RunRecyclerProgram(random, true); });
}

// Blocks travel: whoever takes one out of a shared slot frees it, most often not its maker.
TEST(Recycler, ThreadsFreeEachOthersBlocks) {
  constexpr std::size_t kSlots = 64;
  constexpr int kThreads = 4;
  constexpr int kSteps = 20'000;
  RecyclerFixture fixture(8_MiB);
  std::atomic<unsigned char*> slots[kSlots] = {};
  std::atomic<int> wrong{0};
  const auto check = [&](unsigned char* memory) {
    // First byte: the fill; the whole block must hold it.
    if (!HoldsItsFill(memory, {fixture.recycler.SizeOf(memory), memory[0]})) ++wrong;
    fixture.recycler.Free(memory);
  };
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      OpRandom random(testing::ProgramSeed() + static_cast<std::uint64_t>(thread));
      for (int step = 0; step < kSteps; ++step) {
        const std::size_t size = 1 + random.Below(random.OneIn(16) ? 20'000 : 400);
        auto* memory =
            static_cast<unsigned char*>(fixture.recycler.Allocate(size, std::size_t{1} << random.Below(9)));
        if (memory != nullptr) std::memset(memory, static_cast<int>(random.Below(256)), size);
        unsigned char* const old = slots[random.Below(kSlots)].exchange(memory);
        if (old != nullptr) check(old);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (auto& slot : slots) {
    if (unsigned char* const memory = slot.load(); memory != nullptr) check(memory);
  }
  EXPECT_EQ(wrong.load(), 0);
  const RecyclerStats stats = fixture.recycler.Stats();
  EXPECT_EQ(stats.liveBlocks, 0u);
  EXPECT_EQ(stats.liveBytes, 0u);
  EXPECT_GT(stats.peakBytes, 0u);
  fixture.recycler.Compact();
  EXPECT_EQ(fixture.recycler.CheckIntegrity(), 1u);
}

#if !STADIAL_TEST_SANITIZED  // a sanitizer's shadow memory faults
TEST(Recycler, R3_CausesNoFaults) {
  RecyclerFixture fixture(4_MiB);
  OpRandom random(3);
  std::vector<void*> blocks(4096);  // written, so that its own pages are there
  blocks.clear();
  const auto run = [&](int steps) {
    for (int step = 0; step < steps; ++step) {
      void* const memory = fixture.recycler.Allocate(1 + random.Below(2000), 64);
      if (memory != nullptr) blocks.push_back(memory);
      if (random.OneIn(2) && !blocks.empty()) {
        fixture.recycler.Free(blocks.back());
        blocks.pop_back();
      }
    }
  };
  run(100);  // the code's own pages are mapped at its first run
  const std::uint64_t carvedBefore = fixture.recycler.Stats().carvedBytes;
  const long before = testing::MinorFaults();
  run(3000);
  EXPECT_EQ(testing::MinorFaults() - before, 0);
  EXPECT_GT(fixture.recycler.Stats().carvedBytes - carvedBefore, 1_MiB)
      << "enough new pages were used to notice";
}
#endif

class RecyclerDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(RecyclerDeathTest, DoubleFreeIsNamed) {
  RecyclerFixture fixture(64_KiB);
  void* const before = fixture.recycler.Allocate(100);
  void* const memory = fixture.recycler.Allocate(100);
  void* const after = fixture.recycler.Allocate(100);
  fixture.recycler.Free(memory);
  EXPECT_DEATH(fixture.recycler.Free(memory),
               "recycler 'driver': Free\\(.*\\): it was freed already \\(double free\\)");
  EXPECT_DEATH((void)fixture.recycler.Reallocate(memory, 5), "Reallocate\\(.*double free");
  fixture.recycler.Free(before);
  fixture.recycler.Compact();
  EXPECT_DEATH(fixture.recycler.Free(memory), "double free")
      << "also after its block was merged into another";
  fixture.recycler.Free(after);
  EXPECT_DEATH(fixture.recycler.Free(after), "double free");
}

TEST_F(RecyclerDeathTest, LargeBlocksToo) {
  RecyclerFixture fixture(256_KiB);
  void* const memory = fixture.recycler.Allocate(100'000);
  fixture.recycler.Free(memory);
  EXPECT_DEATH(fixture.recycler.Free(memory), "double free");
}

TEST_F(RecyclerDeathTest, ForeignPointersAreNamed) {
  RecyclerFixture fixture(64_KiB);
  RecyclerFixture other(64_KiB);
  auto* const memory = static_cast<std::byte*>(fixture.recycler.Allocate(100));
  int local = 0;
  EXPECT_DEATH(fixture.recycler.Free(&local), "foreign pointer");
  EXPECT_DEATH(other.recycler.Free(memory), "foreign pointer");
  EXPECT_DEATH(fixture.recycler.Free(memory + 1), "foreign pointer");
  EXPECT_DEATH(fixture.recycler.Free(memory + 32), "no live block starts there");
  EXPECT_DEATH(fixture.recycler.Free(fixture.GetSegment().Base()), "foreign pointer");
}

TEST_F(RecyclerDeathTest, AnOverwrittenHeaderIsNoticed) {
  RecyclerFixture fixture(64_KiB);
  auto* const memory = static_cast<std::byte*>(fixture.recycler.Allocate(16));
  auto* const next = static_cast<std::byte*>(fixture.recycler.Allocate(16));
  std::memset(next - 16, 0, 16);
  EXPECT_DEATH(fixture.recycler.Free(next), "its header was overwritten");
  EXPECT_DEATH(fixture.recycler.CheckIntegrity(), "a block is live or free");
  EXPECT_EQ(memory + 32, next);
}

#if STADIAL_ADDRESS_SANITIZER
TEST_F(RecyclerDeathTest, UseAfterFreeAndOverrunsAreReported) {
  RecyclerFixture fixture(64_KiB);
  auto* const memory = static_cast<volatile unsigned char*>(fixture.recycler.Allocate(100));
  EXPECT_DEATH(memory[100] = 1, "use-after-poison");
  fixture.recycler.Free(const_cast<unsigned char*>(memory));
  EXPECT_DEATH(memory[50] = 1, "use-after-poison");
}
#endif

}  // namespace
}  // namespace stadial::arenas
