#include "stadial/arenas/fallback_heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "support/arena_buffer.h"
#include "support/op_program.h"
#include "support/system_probe.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

std::uintptr_t AddressOf(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

// A region with a committed Fallback segment. Closes every heap before the memory goes.
class FallbackFixture {
 public:
  explicit FallbackFixture(std::size_t bytes = 64_MiB) : region_(Make()) {
    segment = *region_.AddSegment(
        {.name = "Fallback", .sizeBytes = bytes, .alignmentBytes = FallbackHeap::kSegmentAlignmentBytes});
    EXPECT_TRUE(segment->CommitAll());
  }
  ~FallbackFixture() {
    for (FallbackHeap* const heap : heaps_) heap->Close();
  }
  FallbackHeap& Make(std::size_t budgetBytes, const char* component = "events") {
    auto heap = FallbackHeap::Create(component, *segment, budgetBytes, records_.arena);
    EXPECT_TRUE(heap) << heap.GetError().Message();
    heaps_.push_back(*heap);
    return **heap;
  }
  Region& GetRegion() { return region_; }
  Arena& Records() { return records_.arena; }
  Segment* segment = nullptr;

 private:
  static Region Make() {
    auto region = Region::Reserve({.sizeBytes = 1_GiB});
    return std::move(region).Value();
  }
  Region region_;
  ArenaBuffer records_;
  std::vector<FallbackHeap*> heaps_;
};

TEST(FallbackHeap, ReallocateKeepsContentsAndTheLedger) {
  FallbackFixture fixture;
  FallbackHeap& heap = fixture.Make(100_KiB);
  auto* memory = static_cast<unsigned char*>(heap.TryReallocate(nullptr, 100));
  for (unsigned char index = 0; index < 100; ++index) memory[index] = index;
  memory = static_cast<unsigned char*>(heap.TryReallocate(memory, 5000, 64));
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(AddressOf(memory) % 64, 0u);
  for (unsigned char index = 0; index < 100; ++index) ASSERT_EQ(memory[index], index);
  EXPECT_EQ(heap.Stats().liveBlocks, 1u);
  EXPECT_EQ(heap.Stats().liveBytes, 5000u);
  EXPECT_EQ(heap.TryReallocate(memory, 50), memory) << "shrinks in place";
  EXPECT_EQ(heap.UsableSize(memory), 50u);
  EXPECT_EQ(heap.Stats().liveBytes, 50u);
  EXPECT_EQ(heap.TryReallocate(memory, 200_KiB), nullptr) << "beyond the budget";
  for (unsigned char index = 0; index < 50; ++index) ASSERT_EQ(memory[index], index);
  EXPECT_EQ(heap.Stats().refusals, 1u);
  EXPECT_EQ(heap.TryReallocate(memory, 0), nullptr) << "size 0 frees";
  EXPECT_EQ(heap.Stats().liveBlocks, 0u);
  EXPECT_EQ(heap.Stats().liveBytes, 0u);
  EXPECT_EQ(heap.LiveBlocks(), 0u);
}

TEST(FallbackHeap, R6_BlocksLieInTheSegmentOnly) {
  FallbackFixture fixture;
  FallbackHeap& heap = fixture.Make(32_MiB);
  std::vector<void*> blocks;
  for (std::size_t alignment = 1; alignment <= FallbackHeap::kAlignmentMax; alignment *= 2) {
    for (const std::size_t size : {0u, 1u, 16u, 100u, 5000u, 300'000u}) {
      void* const memory = heap.TryAllocate(size, alignment);
      ASSERT_NE(memory, nullptr) << size << "@" << alignment;
      EXPECT_TRUE(fixture.segment->Contains(memory));
      EXPECT_EQ(AddressOf(memory) % std::max<std::size_t>(alignment, 16), 0u);
      EXPECT_EQ(heap.SizeOf(memory), size);
      std::memset(memory, 0x11, size);
      blocks.push_back(memory);
    }
  }
  EXPECT_EQ(heap.LiveBlocks(), blocks.size());
  for (void* const memory : blocks) heap.Free(memory);
  EXPECT_EQ(heap.LiveBlocks(), 0u);
  EXPECT_EQ(heap.Stats().liveBytes, 0u);
}

TEST(FallbackHeap, TheBudgetIsALimitToTheByte) {
  FallbackFixture fixture;
  FallbackHeap& heap = fixture.Make(1000);
  void* const first = heap.TryAllocate(600);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(heap.TryAllocate(401), nullptr);
  void* const second = heap.TryAllocate(400);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(heap.TryAllocate(1), nullptr);
  EXPECT_EQ(heap.Stats().refusals, 2u);
  EXPECT_EQ(heap.Stats().peakBytes, 1000u);
  heap.Free(first);
  EXPECT_NE(heap.TryAllocate(600), nullptr);
  EXPECT_EQ(heap.Stats().allocations, 3u);
}

TEST(FallbackHeap, SurvivesBeingFull) {
  FallbackFixture fixture;
  FallbackHeap& heap = fixture.Make(1_GiB);
  for (const std::size_t size : {std::size_t{1000}, 100_KiB, 5_MiB}) {
    std::vector<void*> blocks;
    std::size_t bytes = 0;
    while (void* const memory = heap.TryAllocate(size)) {
      ASSERT_TRUE(fixture.segment->Contains(memory));
      blocks.push_back(memory);
      bytes += size;
      ASSERT_LT(bytes, 64_MiB);
    }
    EXPECT_GT(bytes, 40_MiB) << "most of the segment is usable at " << size;
    EXPECT_EQ(heap.TryAllocate(size), nullptr) << "still full";
    EXPECT_EQ(heap.LiveBlocks(), blocks.size());
    EXPECT_EQ(heap.Stats().liveBytes, bytes);
    for (void* const memory : blocks) heap.Free(memory);
    EXPECT_EQ(heap.LiveBlocks(), 0u);
  }
  EXPECT_EQ(heap.TryAllocate(64_MiB), nullptr);
  EXPECT_EQ(heap.TryAllocate(SIZE_MAX), nullptr);
  EXPECT_EQ(heap.TryAllocate(SIZE_MAX - 20), nullptr);
  EXPECT_EQ(heap.TryAllocate(1, 2 * FallbackHeap::kAlignmentMax), nullptr);
  EXPECT_NE(heap.TryAllocate(1000), nullptr) << "and usable after all of that";
}

TEST(FallbackHeap, HeapsOfOneSegmentKeepSeparateBooks) {
  FallbackFixture fixture;
  FallbackHeap& events = fixture.Make(1_MiB, "events");
  FallbackHeap& staging = fixture.Make(1_MiB, "staging");
  void* const one = events.TryAllocate(100);
  void* const two = staging.TryAllocate(200);
  void* const three = staging.TryAllocate(300);
  EXPECT_EQ(events.LiveBlocks(), 1u);
  EXPECT_EQ(staging.LiveBlocks(), 2u);
  EXPECT_EQ(staging.Stats().liveBytes, 500u);
  events.Free(one);
  staging.Free(two);
  staging.Free(three);
  EXPECT_EQ(events.LiveBlocks() + staging.LiveBlocks(), 0u);
}

TEST(FallbackHeap, VisitFindsEveryBlockAndItsSize) {
  FallbackFixture fixture;
  FallbackHeap& heap = fixture.Make(32_MiB);
  std::map<void*, std::size_t> expected;
  OpRandom random(11);
  for (int index = 0; index < 300; ++index) {
    const std::size_t size = random.Below(5000);
    void* const memory = heap.TryAllocate(size, std::size_t{1} << random.Below(13));
    ASSERT_NE(memory, nullptr);
    expected.emplace(memory, size);
  }
  for (auto each = expected.begin(); each != expected.end();) {
    if (!random.OneIn(2)) {
      ++each;
      continue;
    }
    heap.Free(each->first);
    each = expected.erase(each);
  }
  std::map<void*, std::size_t> seen;
  heap.Visit(
      [](void* context, void* payload, std::size_t sizeBytes) {
        return static_cast<std::map<void*, std::size_t>*>(context)->emplace(payload, sizeBytes).second;
      },
      &seen);
  EXPECT_EQ(seen, expected);
  int calls = 0;
  heap.Visit(
      [](void* context, void*, std::size_t) {
        ++*static_cast<int*>(context);
        return false;
      },
      &calls);
  EXPECT_EQ(calls, 1) << "a visitor can stop";
}

TEST(FallbackHeap, FreesFromOtherThreadsAreCountedExactly) {
  FallbackFixture fixture;
  FallbackHeap& heap = fixture.Make(32_MiB);
  std::vector<void*> blocks;
  for (int index = 0; index < 4000; ++index)
    blocks.push_back(heap.TryAllocate(64 + static_cast<std::size_t>(index) % 200));
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::size_t index = thread; index < 3999; index += 4) heap.Free(blocks[index]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(heap.Stats().liveBlocks, 1u);
  EXPECT_EQ(heap.LiveBlocks(), 1u) << "the planted block is the only one left";
  EXPECT_EQ(heap.Close(), 1u);
  EXPECT_EQ(heap.Close(), 0u);
}

// One byte is enough to be found, and a clean heap raises no alarm.
TEST(FallbackHeap, APlantedLeakOfOneByteIsFound) {
  FallbackFixture fixture;
  FallbackHeap& clean = fixture.Make(1_MiB, "clean");
  FallbackHeap& leaky = fixture.Make(1_MiB, "leaky");
  for (int round = 0; round < 1000; ++round) {
    clean.Free(clean.TryAllocate(static_cast<std::size_t>(round)));
    leaky.Free(leaky.TryAllocate(static_cast<std::size_t>(round)));
  }
  ASSERT_NE(leaky.TryAllocate(1), nullptr);
  EXPECT_EQ(clean.LiveBlocks(), 0u);
  EXPECT_EQ(leaky.LiveBlocks(), 1u);
  EXPECT_EQ(leaky.Close(), 1u);
  EXPECT_EQ(clean.Close(), 0u);
}

TEST(FallbackHeap, ASegmentThatReturnsServesAgain) {
  // More regions than mimalloc's table of arenas has room for (64). The kernel gives the same addresses
  // again.
  for (int round = 0; round < 70; ++round) {
    FallbackFixture fixture;
    FallbackHeap& heap = fixture.Make(64_MiB);
    std::vector<void*> blocks;
    for (int index = 0; index < 40; ++index) {
      blocks.push_back(heap.TryAllocate(1_MiB));
      ASSERT_NE(blocks.back(), nullptr) << "round " << round;
      std::memset(blocks.back(), 1, 4096);
    }
    ASSERT_TRUE(heap.LiveBlocks() == 40);
    if (round % 2 == 0) {
      for (void* const memory : blocks) heap.Free(memory);
    }
    ASSERT_EQ(heap.Close(), round % 2 == 0 ? 0u : 40u);
  }
}

TEST(FallbackHeap, UnsuitableSegmentsAreRefusedWithAReason) {
  FallbackFixture fixture;
  Segment* const small = *fixture.GetRegion().AddSegment({.name = "small", .sizeBytes = 1_MiB});
  const auto uncommitted = FallbackHeap::Create("events", *small, 1_MiB, fixture.Records());
  ASSERT_FALSE(uncommitted);
  EXPECT_EQ(uncommitted.GetError().Code(), ErrorCode::InvalidArgument);
  ASSERT_TRUE(small->CommitAll());
  const auto odd = FallbackHeap::Create("events", *small, 1_MiB, fixture.Records());
  ASSERT_FALSE(odd);
  EXPECT_NE(
      std::strstr(odd.GetError().Message(), "fallback heap 'events': segment 'small' has 1.0 MiB committed"),
      nullptr)
      << odd.GetError().Message();
  ArenaBuffer tiny(16);
  const auto noRecord = FallbackHeap::Create("events", *fixture.segment, 1_MiB, tiny.arena);
  ASSERT_FALSE(noRecord);
  EXPECT_EQ(noRecord.GetError().Code(), ErrorCode::CapacityExceeded);
}

std::string RunFallbackProgram(OpRandom& random, bool broken) {
  FallbackFixture fixture;
  const std::size_t budget = 200'000;
  FallbackHeap& heap = fixture.Make(budget);
  struct Known {
    unsigned char* memory;
    std::size_t size;
    unsigned char fill;
  };
  std::vector<Known> model;
  std::size_t modelBytes = 0;
  for (int step = 0; step < 3000; ++step) {
    if (random.Below(100) < 55) {
      const std::size_t size = random.Below(random.OneIn(10) ? 50'000 : 800);
      const std::size_t alignment = std::size_t{1} << random.Below(12);
      auto* const memory = static_cast<unsigned char*>(heap.TryAllocate(size, alignment));
      if ((memory != nullptr) != (modelBytes + size <= budget)) return Differs("step %d: budget", step);
      if (memory == nullptr) continue;
      if (AddressOf(memory) % alignment != 0) return Differs("step %d: alignment", step);
      const auto fill = static_cast<unsigned char>(random.Next());
      std::memset(memory, fill, size);
      model.push_back({memory, size, fill});
      modelBytes += size;
    } else if (!model.empty()) {
      std::swap(model[random.Below(model.size())], model.back());
      const Known known = model.back();
      for (std::size_t index = 0; index < known.size; ++index) {
        if (known.memory[index] != known.fill) return Differs("step %d: contents", step);
      }
      heap.Free(known.memory);
      model.pop_back();
      modelBytes -= broken ? known.size / 2 : known.size;
    }
    const FallbackHeapStats stats = heap.Stats();
    if (stats.liveBlocks != model.size() || stats.liveBytes != modelBytes)
      return Differs("step %d: ledger", step);
    if (step % 20 == 0 && heap.LiveBlocks() != model.size())
      return Differs("step %d: mimalloc's count", step);
  }
  return "";
}

TEST(FallbackHeap, ProgramAgreesWithModel) {
  testing::ExpectAgreement(
      "fallback_heap", [](OpRandom& random) { return RunFallbackProgram(random, false); }, 4);
}
TEST(FallbackHeap, ProgramCanary) {
  testing::ExpectCanary("fallback_heap", [](OpRandom& random) { return RunFallbackProgram(random, true); });
}

class FallbackHeapDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(FallbackHeapDeathTest, MisuseIsNamed) {
  FallbackFixture fixture;
  FallbackHeap& heap = fixture.Make(1_MiB, "events");
  FallbackHeap& other = fixture.Make(1_MiB, "staging");
  auto* const memory = static_cast<std::byte*>(heap.TryAllocate(100));
  auto* const wide = static_cast<std::byte*>(heap.TryAllocate(100, 4096));
  int local = 0;
  EXPECT_DEATH(heap.Free(&local), "fallback heap 'events': Free\\(.*foreign pointer");
  EXPECT_DEATH(heap.Free(memory + 16), "no live block starts there");
  EXPECT_DEATH(other.Free(memory), "fallback heap 'staging': .*belongs to another heap");
  heap.Free(memory);
  heap.Free(wide);
  EXPECT_DEATH(heap.Free(memory), "double free");
  EXPECT_DEATH(heap.Free(wide), "double free");
  EXPECT_DEATH(std::thread([&] { (void)heap.TryAllocate(1); }).join(),
               "TryAllocate from a thread that does not own it");
}

#if !STADIAL_TEST_SANITIZED
// Small, large and aligned blocks, until full, freed by two threads, counted: the kernel is never asked for
// anything.
void UseHeapHard(FallbackHeap& heap, std::vector<void*>& blocks) {
  for (int round = 0; round < 3; ++round) {
    for (const std::size_t size :
         {std::size_t{24}, std::size_t{3000}, std::size_t{200'000}, std::size_t{9'000'000}}) {
      while (blocks.size() < blocks.capacity()) {
        void* const memory = heap.TryAllocate(size, round == 1 ? 512 : 16);
        if (memory == nullptr) break;
        blocks.push_back(memory);
      }
      if (heap.LiveBlocks() != blocks.size()) _exit(4);
      for (void* const memory : blocks) heap.Free(memory);
      blocks.clear();
    }
  }
  if (heap.LiveBlocks() != 0) _exit(5);
}

TEST_F(FallbackHeapDeathTest, R6_MakesNoVmSystemCallAfterCreate) {
  EXPECT_EXIT(
      {
        FallbackFixture fixture;
        FallbackHeap& heap = fixture.Make(64_MiB);
        std::vector<void*> blocks;
        blocks.reserve(100'000);
        if (!testing::ForbidVmSystemCalls()) _exit(3);
        UseHeapHard(heap, blocks);
        _exit(0);
      },
      ::testing::ExitedWithCode(0), "");
}

TEST(FallbackHeap, R3_CausesNoFaults) {
  FallbackFixture fixture;
  FallbackHeap& heap = fixture.Make(64_MiB);
  std::vector<void*> blocks(100'000);  // written, so that its own pages are there
  blocks.clear();
  UseHeapHard(heap, blocks);  // the code's own pages are mapped at its first run
  const long before = testing::MinorFaults();
  UseHeapHard(heap, blocks);
  EXPECT_EQ(testing::MinorFaults() - before, 0);
}
#endif

}  // namespace
}  // namespace stadial::arenas
