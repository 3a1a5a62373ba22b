#include "stadial/arenas/pmr.h"

#include <gtest/gtest.h>

#include <cstring>
#include <list>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "stadial/arenas/fallback_heap.h"
#include "support/arena_buffer.h"
#include "support/heap_fixture.h"
#include "support/op_program.h"
#include "support/system_probe.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::HeapFixture;
using testing::OpRandom;

std::uintptr_t AddressOf(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

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

TEST(Pmr, ScratchIsRewoundAtItsEnd) {
  ArenaBuffer buffer;
  void* const older = buffer.arena.Allocate(100);
  const std::size_t before = buffer.arena.UsedBytes();
  {
    ScratchResource scratch(buffer.arena);
    {
      std::pmr::vector<int> numbers(1000, 7, &scratch);
      EXPECT_TRUE(buffer.arena.Contains(numbers.data()));
    }
    EXPECT_GT(buffer.arena.UsedBytes(), before);
    scratch.Release();
    EXPECT_EQ(buffer.arena.UsedBytes(), before);
    EXPECT_NE(scratch.allocate(64, 256), nullptr);
    EXPECT_TRUE(scratch.is_equal(scratch));
    EXPECT_FALSE(scratch.is_equal(ArenaResource(buffer.arena)));
  }
  EXPECT_EQ(buffer.arena.UsedBytes(), before);
  EXPECT_LT(older, buffer.arena.Allocate(1));
}

TEST(Pmr, PoolUsesFreedBlocksAgain) {
  ArenaBuffer buffer(64_KiB);
  PoolResource pool(buffer.arena);
  void* const first = pool.allocate(100, 8);
  pool.deallocate(first, 100, 8);
  EXPECT_EQ(pool.FreeBytes(), 112u);
  EXPECT_EQ(pool.allocate(105, 8), first) << "the same class";
  pool.deallocate(first, 105, 8);
  std::pmr::list<std::uint64_t> list(&pool);
  for (int round = 0; round < 1000; ++round) {  // 32 MB of nodes through 64 KiB
    for (std::uint64_t index = 0; index < 1000; ++index) list.push_back(index);
    list.clear();
  }
  EXPECT_LT(buffer.arena.PeakBytes(), 50'000u);
}

TEST(Pmr, PoolHonoursAlignmentOfUsedBlocks) {
  ArenaBuffer buffer;
  PoolResource pool(buffer.arena);
  for (int round = 0; round < 100; ++round) {
    void* const unaligned = pool.allocate(256, 16);
    void* const aligned = pool.allocate(256, 256);
    EXPECT_EQ(AddressOf(aligned) % 256, 0u);
    pool.deallocate(aligned, 256, 256);
    pool.deallocate(unaligned, 256, 16);
  }
}

TEST(Pmr, PoolInAFullArenaUsesLargerBlocks) {
  ArenaBuffer buffer(8192, "level");
  PoolResource pool(buffer.arena);
  void* const large = pool.allocate(6000, 16);
  pool.deallocate(large, 6000, 16);
  while (buffer.arena.TryAllocate(16) != nullptr) {
  }
  EXPECT_EQ(pool.allocate(3000, 16), large);
}

// The model: what each block was filled with. Broken: of some it remembers another fill.
std::string RunPoolProgram(OpRandom& random, bool broken) {
  struct Live {
    unsigned char* memory;
    std::size_t size;
    std::size_t alignment;
    unsigned char fill;
  };
  ArenaBuffer buffer(4_MiB);
  PoolResource pool(buffer.arena);
  std::vector<Live> model;
  for (int step = 0; step < 4000; ++step) {
    if (model.size() < 200 && random.Below(100) < 55) {
      const std::size_t size = random.Below(random.OneIn(10) ? 5000 : 300);
      const std::size_t alignment = std::size_t{1} << random.Below(9);
      auto* const memory = static_cast<unsigned char*>(pool.allocate(size, alignment));
      if (AddressOf(memory) % alignment != 0) return Differs("step %d: alignment", step);
      model.push_back({memory, size, alignment, static_cast<unsigned char>(random.Next())});
      std::memset(memory, model.back().fill, size);
      if (broken && random.OneIn(50)) ++model.back().fill;
    } else if (!model.empty()) {
      std::swap(model[random.Below(model.size())], model.back());
      const Live live = model.back();
      model.pop_back();
      for (std::size_t index = 0; index < live.size; ++index) {
        if (live.memory[index] != live.fill) return Differs("step %d: contents", step);
      }
      pool.deallocate(live.memory, live.size, live.alignment);
    }
  }
  return "";
}

TEST(Pmr, PoolProgramAgreesWithModel) {
  testing::ExpectAgreement("pool", [](OpRandom& random) { return RunPoolProgram(random, false); });
}
TEST(Pmr, PoolProgramCanary) {
  testing::ExpectCanary("pool", [](OpRandom& random) { return RunPoolProgram(random, true); });
}

TEST(Pmr, HeapServesContainersOfSeveralThreads) {
  HeapFixture fixture(16_MiB);
  HeapResource resource(fixture.heap);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int round = 0; round < (STADIAL_TEST_SANITIZED ? 10 : 100); ++round) {
        std::pmr::map<int, std::pmr::string> map(&resource);
        for (int index = 0; index < 100; ++index) map.emplace(index, std::pmr::string(40, 'x', &resource));
        for (int index = 0; index < 100; index += 2) map.erase(index);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u);
  HeapFixture other;
  EXPECT_TRUE(resource.is_equal(HeapResource(fixture.heap)));
  EXPECT_FALSE(resource.is_equal(HeapResource(other.heap)));
  EXPECT_FALSE(resource.is_equal(*std::pmr::null_memory_resource()));
}

class FallbackMemory {
 public:
  FallbackMemory() {
    segment_ = *region_.AddSegment(
        {.name = "Fallback", .sizeBytes = 64_MiB, .alignmentBytes = FallbackHeap::kSegmentAlignmentBytes});
    EXPECT_TRUE(segment_->CommitAll());
    heap = *FallbackHeap::Create("overflow", *segment_, 1_MiB, records_.arena);
  }
  ~FallbackMemory() { EXPECT_EQ(heap->Close(), 0u); }
  FallbackHeap* heap = nullptr;

 private:
  Region region_ = *Region::Reserve({.sizeBytes = 1_GiB});
  ArenaBuffer records_;
  Segment* segment_ = nullptr;
};

TEST(Pmr, R6_FallbackServesWhatTheArenaCannot) {
  FallbackMemory fallback;
  ArenaBuffer buffer(4096, "lane");
  FallbackResource resource(buffer.arena, *fallback.heap);
  {
    std::pmr::vector<std::byte> fits(2000, &resource);
    EXPECT_TRUE(buffer.arena.Contains(fits.data()));
    EXPECT_EQ(fallback.heap->Stats().allocations, 0u);
    std::pmr::vector<std::byte> overflows(4000, &resource);
    EXPECT_TRUE(fallback.heap->Contains(overflows.data()));
    EXPECT_EQ(fallback.heap->Stats().liveBlocks, 1u) << "counted";
  }
  EXPECT_EQ(fallback.heap->Stats().liveBlocks, 0u);
  EXPECT_TRUE(resource.is_equal(FallbackResource(buffer.arena, *fallback.heap)));
  EXPECT_FALSE(resource.is_equal(FallbackResource(*fallback.heap)));
  FallbackResource only(*fallback.heap);
  std::pmr::vector<std::byte> direct(100, &only);
  EXPECT_TRUE(fallback.heap->Contains(direct.data()));
}

TEST(PmrDeathTest, EachMemorySaysWhatToRaise) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  FallbackMemory fallback;
  FallbackResource overflow(*fallback.heap);
  EXPECT_DEATH(
      (void)overflow.allocate(2_MiB),
      "fallback heap 'overflow' exhausted: asked 2.0 MiB at a multiple of .*, 0 B live of its budget of 1.0 "
      "MiB \\(peak 0 B, 0 blocks\\); raise its budget");
  HeapFixture fixture(1_MiB);
  HeapResource heap(fixture.heap);
  EXPECT_DEATH((void)heap.allocate(2_MiB), "heap 'middleware' exhausted: asked 2.0 MiB");
  ArenaBuffer buffer(4096, "small");
  PoolResource pool(buffer.arena);
  EXPECT_DEATH((void)pool.allocate(5000), "arena 'small' exhausted: asked 5120 B");
  const volatile std::size_t impossible = SIZE_MAX;
  EXPECT_DEATH((void)pool.allocate(impossible), "arena 'small' exhausted");
}

#if STADIAL_ASSERT_LEVEL >= 1
TEST(PmrDeathTest, APoolDiesWithItsArena) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  PoolResource pool(buffer.arena);
  pool.deallocate(pool.allocate(100), 100);
  buffer.arena.Reset();
  EXPECT_DEATH((void)pool.allocate(100), "the pool's arena was reset: make a new pool");
}
#endif

#if STADIAL_ADDRESS_SANITIZER
TEST(PmrDeathTest, FreedBlocksOfAPoolAreHostile) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  PoolResource pool(buffer.arena);
  auto* const memory = static_cast<volatile unsigned char*>(pool.allocate(100));
  EXPECT_DEATH(memory[100] = 1, "use-after-poison");
  pool.deallocate(const_cast<unsigned char*>(memory), 100);
  EXPECT_DEATH(memory[50] = 1, "use-after-poison");
}
#endif

TEST(PmrDeathTest, ExhaustionIsTheArenasNotAnException) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer(4096, "small");
  ArenaResource resource(buffer.arena);
  EXPECT_DEATH((void)resource.allocate(5000), "arena 'small' exhausted: asked 5000 B, 4096 B left of 4096 B");
}

}  // namespace
}  // namespace stadial::arenas
