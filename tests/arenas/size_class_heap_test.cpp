#include "stadial/arenas/size_class_heap.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "support/heap_fixture.h"
#include "support/op_program.h"
#include "support/system_probe.h"

namespace stadial::arenas {
namespace {

using testing::Differs;
using testing::HeapFixture;
using testing::OpRandom;

std::uintptr_t AddressOf(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

TEST(SizeClassHeap, ServesEverySizeAtEveryAlignment) {
  HeapFixture fixture(32_MiB);
  std::vector<void*> blocks;
  for (std::size_t alignment = 1; alignment <= SizeClassHeap::kAlignmentMax; alignment *= 2) {
    for (const std::size_t size : {0u, 1u, 15u, 16u, 17u, 100u, 500u, 1023u, 1024u, 1025u, 4096u, 70'000u}) {
      void* const memory = fixture.heap.TryAllocate(size, alignment);
      ASSERT_NE(memory, nullptr) << size << " at " << alignment;
      EXPECT_EQ(AddressOf(memory) % std::max<std::size_t>(alignment, 16), 0u) << size << " at " << alignment;
      EXPECT_GE(fixture.heap.UsableSize(memory), size);
      EXPECT_TRUE(fixture.heap.Contains(memory));
      std::memset(memory, 0x77, fixture.heap.UsableSize(memory));
      blocks.push_back(memory);
    }
    EXPECT_EQ(fixture.heap.CheckIntegrity(), blocks.size());
  }
  EXPECT_EQ(fixture.heap.Stats().liveBlocks, blocks.size());
  for (void* const memory : blocks) fixture.heap.Free(memory);
  fixture.heap.Trim();
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u);
  const SizeClassHeapStats stats = fixture.heap.Stats();
  EXPECT_EQ(stats.liveBlocks, 0u);
  EXPECT_EQ(stats.liveBytes, 0u);
  EXPECT_EQ(stats.allocations, stats.frees);
  EXPECT_EQ(stats.slabs, 0u);
  EXPECT_EQ(stats.takenBytes, 0u);
  EXPECT_GT(stats.peakBytes, 0u);
  EXPECT_EQ(fixture.heap.Close(), 0u);
}

TEST(SizeClassHeap, BadAlignmentsAndImpossibleSizesAreRefused) {
  HeapFixture fixture(1_MiB);
  void* const block = fixture.heap.TryAllocate(100);
  for (const std::size_t alignment : {std::size_t{0}, std::size_t{3}, std::size_t{24}, SIZE_MAX,
                                      2 * SizeClassHeap::kAlignmentMax, (SIZE_MAX >> 1) + 1}) {
    EXPECT_EQ(fixture.heap.TryAllocate(16, alignment), nullptr) << alignment;
  }
  for (const std::size_t size :
       {std::size_t{1_MiB}, SIZE_MAX, SIZE_MAX - 15, SIZE_MAX / 2, std::size_t{1} << 36}) {
    EXPECT_EQ(fixture.heap.TryAllocate(size), nullptr) << size;
    EXPECT_EQ(fixture.heap.TryReallocate(block, size), nullptr) << size;
  }
  EXPECT_EQ(fixture.heap.Stats().refusals, 16u);
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 1u);
}

TEST(SizeClassHeap, CreateSaysWhatIsWrong) {
  auto region = Region::Reserve({.sizeBytes = 64_MiB});
  Segment& segment = **region->AddSegment({.name = "Libraries", .sizeBytes = 1_MiB});
  const auto error = [](Result<SizeClassHeap*> result) {
    EXPECT_FALSE(result);
    return std::string(result ? "" : result.GetError().Message());
  };
  EXPECT_EQ(error(SizeClassHeap::Create({.name = "lua"}, segment)),
            "heap 'lua': segment 'Libraries' has 0 B committed; commit at least 128.0 KiB, writable, before "
            "Create");
  ASSERT_TRUE(segment.Commit(64_KiB));
  EXPECT_EQ(error(SizeClassHeap::Create({.name = "lua"}, segment)),
            "heap 'lua': it was given 64.0 KiB, it needs at least 128.0 KiB");
  ASSERT_TRUE(segment.CommitAll());
  EXPECT_EQ(error(SizeClassHeap::Create({.name = "lua", .shards = 0}, segment)),
            "heap 'lua': SizeClassHeapOptions::shards is 0, it must be 1 to 64");
  EXPECT_EQ(error(SizeClassHeap::Create({.name = "lua", .shards = 65}, segment)),
            "heap 'lua': SizeClassHeapOptions::shards is 65, it must be 1 to 64");
  ASSERT_TRUE(segment.Protect(PageAccess::ReadOnly));
  EXPECT_EQ(error(SizeClassHeap::Create({.name = "lua"}, segment)),
            "heap 'lua': segment 'Libraries' has 1.0 MiB committed, not writable; commit at least 128.0 KiB, "
            "writable, before Create");
}

TEST(SizeClassHeap, TheSmallestMemoryWorks) {
  HeapFixture fixture(SizeClassHeap::kMemoryBytesMin, 1);
  std::vector<void*> blocks;
  while (void* const memory = fixture.heap.TryAllocate(16)) blocks.push_back(memory);
  EXPECT_GT(blocks.size(), 4000u) << "16 B blocks without headers, and what is no slab serves singly";
  EXPECT_EQ(fixture.heap.CheckIntegrity(), blocks.size());
  for (void* const memory : blocks) fixture.heap.Free(memory);
  EXPECT_EQ(fixture.heap.Close(), 0u);
}

TEST(SizeClassHeap, CloseCountsLeaks) {
  HeapFixture fixture;
  (void)fixture.heap.TryAllocate(1);
  (void)fixture.heap.TryAllocate(100'000);
  fixture.heap.Free(fixture.heap.TryAllocate(50));
  EXPECT_EQ(fixture.heap.Close(), 2u);
  auto again = SizeClassHeap::Create({.name = "second"}, fixture.GetSegment());
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->Stats().liveBlocks, 0u);
}

// A full heap of one size serves another one once it is freed: empty slabs do not stay with their class.
TEST(SizeClassHeap, FreedSlabsServeOtherSizes) {
  HeapFixture fixture(2_MiB);
  std::size_t first = 0;
  for (const std::size_t size : {16u, 1024u, 48u, 320u, 20'000u, 16u}) {
    std::vector<void*> blocks;
    while (void* const memory = fixture.heap.TryAllocate(size)) blocks.push_back(memory);
    EXPECT_GT(static_cast<double>(blocks.size() * size), 0.80 * 2_MiB) << size;
    if (first == 0) first = blocks.size();
    if (size == 16) {
      EXPECT_NEAR(static_cast<double>(blocks.size()), static_cast<double>(first),
                  0.02 * static_cast<double>(first));
    }
    fixture.heap.CheckIntegrity();
    for (void* const memory : blocks) fixture.heap.Free(memory);
  }
}

// Use that swings around the edge of a slab neither makes nor drops slabs.
TEST(SizeClassHeap, EmptySlabsAreKeptUntilTrim) {
  HeapFixture fixture(1_MiB, 1);
  std::vector<void*> blocks;
  while (fixture.heap.Stats().slabs < 2) blocks.push_back(fixture.heap.TryAllocate(512));
  const std::uint64_t taken = fixture.heap.Stats().takenBytes;
  for (int turn = 0; turn < 10; ++turn) {
    fixture.heap.Free(blocks.back());
    EXPECT_EQ(fixture.heap.Stats().takenBytes, taken);
    blocks.back() = fixture.heap.TryAllocate(512);
  }
  for (void* const memory : blocks) fixture.heap.Free(memory);
  EXPECT_GT(fixture.heap.Stats().slabs, 0u);
  fixture.heap.Trim();
  EXPECT_EQ(fixture.heap.Stats().slabs, 0u);
}

TEST(SizeClassHeap, ReallocateKeepsContentsAndTheOldBlockOnRefusal) {
  HeapFixture fixture(256_KiB, 1);
  auto* memory = static_cast<unsigned char*>(fixture.heap.TryReallocate(nullptr, 100));
  for (unsigned char index = 0; index < 100; ++index) memory[index] = index;
  const auto intact = [&](unsigned char bytes) {
    for (unsigned char index = 0; index < bytes; ++index) {
      if (memory[index] != index) return false;
    }
    return true;
  };
  EXPECT_EQ(fixture.heap.TryReallocate(memory, 112), memory) << "its block is that large";
  for (const std::size_t size : {1000u, 5000u, 60'000u}) {
    memory = static_cast<unsigned char*>(fixture.heap.TryReallocate(memory, size, 64));
    ASSERT_NE(memory, nullptr);
    EXPECT_EQ(AddressOf(memory) % 64, 0u);
    ASSERT_TRUE(intact(100)) << size;
  }
  EXPECT_EQ(fixture.heap.TryReallocate(memory, 1_MiB), nullptr);
  ASSERT_TRUE(intact(100)) << "the old block stays";
  EXPECT_EQ(fixture.heap.TryReallocate(memory, 80, 64), memory) << "a large block shrinks in place";
  ASSERT_TRUE(intact(80));
  EXPECT_EQ(fixture.heap.TryReallocate(memory, 0), nullptr) << "size 0 frees";
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u);
}

// Script engines rely on it: what shrinks is never refused, not even in a full heap.
TEST(SizeClassHeap, ShrinkingIsNeverRefused) {
  HeapFixture fixture(256_KiB, 1);
  std::vector<void*> blocks;
  for (const std::size_t size : {30'000u, 1000u, 500u}) {
    while (void* const memory = fixture.heap.TryAllocate(size)) blocks.push_back(memory);
  }
  while (void* const memory = fixture.heap.TryAllocate(16)) blocks.push_back(memory);
  const std::uint64_t refusals = fixture.heap.Stats().refusals;
  for (void*& memory : blocks) {
    memory = fixture.heap.TryReallocate(memory, 1);
    ASSERT_NE(memory, nullptr);
  }
  EXPECT_EQ(fixture.heap.Stats().refusals, refusals);
  EXPECT_EQ(fixture.heap.CheckIntegrity(), blocks.size());
}

TEST(SizeClassHeap, SealedServesWhatWasThereBefore) {
  HeapFixture fixture(1_MiB, 1);
  std::vector<void*> blocks;
  for (int index = 0; index < 100; ++index) blocks.push_back(fixture.heap.TryAllocate(200));
  fixture.heap.Seal(0);
  EXPECT_TRUE(fixture.heap.IsSealed());
  for (int frame = 0; frame < 100; ++frame) {
    for (void*& memory : blocks) {
      fixture.heap.Free(memory);
      memory = fixture.heap.TryAllocate(200);
      ASSERT_NE(memory, nullptr);
    }
  }
  EXPECT_EQ(fixture.heap.TryAllocate(600'000), nullptr);
  fixture.heap.Unseal();
  EXPECT_NE(fixture.heap.TryAllocate(600'000), nullptr);
}

TEST(SizeClassHeap, OneThreadWorksTheSame) {
  HeapFixture fixture({.name = "lua", .oneThread = true}, 8_MiB);
  SizeClassHeap& heap = fixture.heap;
  std::vector<void*> blocks;
  for (std::size_t size = 0; size < 3000; size += 7) blocks.push_back(heap.Allocate(size));
  for (void*& memory : blocks) memory = heap.TryReallocate(memory, heap.UsableSize(memory) + 1);
  EXPECT_EQ(heap.CheckIntegrity(), blocks.size());
  for (void* const memory : blocks) heap.Free(memory);
  EXPECT_EQ(heap.CheckIntegrity(), 0u);
  EXPECT_EQ(heap.Close(), 0u);
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

// Every live block by address, what was asked and what was written.
class HeapModel {
 public:
  // Whether the new block overlaps another one. Fills it.
  bool Add(void* memory, std::size_t size, unsigned char fill) {
    auto* const bytes = static_cast<unsigned char*>(memory);
    const auto after = blocks.lower_bound(bytes);
    if (after != blocks.end() && bytes + size > after->first) return false;
    if (after != blocks.begin() && std::prev(after)->first + std::prev(after)->second.size > bytes)
      return false;
    std::memset(memory, fill, size);
    return blocks.emplace(bytes, LiveBlock{size, fill}).second;
  }
  std::map<unsigned char*, LiveBlock> blocks;
};

std::size_t RandomSize(OpRandom& random) {
  if (random.OneIn(400)) return SIZE_MAX - random.Below(100'000);  // must be refused
  if (random.OneIn(20)) return random.Below(60'000);
  return random.OneIn(3) ? random.Below(1500) : random.Below(200);
}

// Broken: the model does not grow the block that TryReallocate grew.
std::string RunHeapProgram(OpRandom& random, bool broken) {
  HeapFixture fixture({.name = "program",
                       .shards = static_cast<std::uint32_t>(1 + random.Below(3)),
                       .oneThread = random.OneIn(4)},
                      1_MiB);
  HeapModel model;
  for (int step = 0; step < 6000; ++step) {
    const std::size_t choice = random.Below(100);
    const std::size_t size = RandomSize(random);
    const std::size_t alignment = std::size_t{1} << random.Below(random.OneIn(6) ? 15 : 7);
    const auto fill = static_cast<unsigned char>(random.Next());
    if (choice < 50) {
      void* const memory = fixture.heap.TryAllocate(size, alignment);
      if (memory == nullptr) continue;
      if (AddressOf(memory) % alignment != 0) return Differs("step %d: alignment %zu", step, alignment);
      if (fixture.heap.UsableSize(memory) < size) return Differs("step %d: usable size", step);
      if (!model.Add(memory, size, fill)) return Differs("step %d: overlaps another block", step);
    } else if (!model.blocks.empty()) {
      auto victim = model.blocks.begin();
      std::advance(victim, static_cast<std::ptrdiff_t>(random.Below(model.blocks.size())));
      const auto [memory, block] = *victim;
      if (!HoldsItsFill(memory, block)) return Differs("step %d: contents", step);
      if (choice < 80) {
        model.blocks.erase(victim);
        fixture.heap.Free(memory);
      } else if (size != 0) {
        void* const moved = fixture.heap.TryReallocate(memory, size, alignment);
        if (moved == nullptr) {
          if (!HoldsItsFill(memory, block)) return Differs("step %d: contents after a refusal", step);
          continue;
        }
        if (AddressOf(moved) % alignment != 0) return Differs("step %d: alignment %zu", step, alignment);
        if (!HoldsItsFill(moved, {std::min(size, block.size), block.fill})) {
          return Differs("step %d: moved contents", step);
        }
        model.blocks.erase(victim);
        if (!model.Add(moved, size, fill)) return Differs("step %d: moved onto another block", step);
        if (broken) model.blocks[static_cast<unsigned char*>(moved)] = block;
      }
    }
    if (fixture.heap.Stats().liveBlocks != model.blocks.size()) return Differs("step %d: live blocks", step);
    if (random.OneIn(500)) fixture.heap.Trim();
    if (step % 100 == 0) fixture.heap.CheckIntegrity();
  }
  for (const auto& [memory, block] : model.blocks) fixture.heap.Free(memory);
  fixture.heap.Trim();
  if (fixture.heap.CheckIntegrity() != 0) return Differs("blocks are live at the end");
  return fixture.heap.Stats().takenBytes == 0 ? "" : Differs("memory is taken at the end");
}

TEST(SizeClassHeap, ProgramAgreesWithModel) {
  testing::ExpectAgreement("heap", [](OpRandom& random) { return RunHeapProgram(random, false); });
}
TEST(SizeClassHeap, ProgramCanary) {
  testing::ExpectCanary("heap", [](OpRandom& random) { return RunHeapProgram(random, true); });
}

// --- threads ---

// Blocks travel: whoever takes one out of a shared place frees or resizes it, most often not its maker. The
// first bytes hold the size and the fill.
struct Traveller {
  std::uint32_t size;
  unsigned char fill;
};

bool IsIntact(const unsigned char* memory) {
  Traveller header{};
  std::memcpy(&header, memory, sizeof header);
  return std::all_of(memory + sizeof header, memory + header.size,
                     [&](unsigned char byte) { return byte == header.fill; });
}

void Fill(unsigned char* memory, std::size_t size, OpRandom& random) {
  const Traveller header{static_cast<std::uint32_t>(size), static_cast<unsigned char>(random.Next())};
  std::memset(memory, header.fill, size);
  std::memcpy(memory, &header, sizeof header);
}

TEST(SizeClassHeap, ThreadsFreeAndResizeEachOthersBlocks) {
  constexpr std::size_t kPlaces = 256;
  constexpr int kThreads = 4;
  constexpr int kSteps = STADIAL_TEST_SANITIZED ? 4'000 : 40'000;
  for (const std::uint32_t shards : {1u, 2u, 8u}) {
    HeapFixture fixture(8_MiB, shards);
    std::atomic<unsigned char*> places[kPlaces] = {};
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        OpRandom random(testing::ProgramSeed() + static_cast<std::uint64_t>(thread));
        for (int step = 0; step < kSteps; ++step) {
          const std::size_t size = sizeof(Traveller) + random.Below(random.OneIn(16) ? 20'000 : 400);
          auto* const memory =
              static_cast<unsigned char*>(fixture.heap.TryAllocate(size, std::size_t{1} << random.Below(9)));
          if (memory != nullptr) Fill(memory, size, random);
          auto* old = places[random.Below(kPlaces)].exchange(memory);
          if (old == nullptr) continue;
          if (!IsIntact(old)) ++wrong;
          if (random.OneIn(4)) {
            void* const moved = fixture.heap.TryReallocate(old, size);
            old = static_cast<unsigned char*>(moved == nullptr ? old : moved);
          }
          fixture.heap.Free(old);
          if (random.OneIn(1000)) fixture.heap.Trim();
          if (random.OneIn(2000)) (void)fixture.heap.Stats();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (auto& place : places) {
      if (unsigned char* const memory = place.load(); memory != nullptr) {
        if (!IsIntact(memory)) ++wrong;
        fixture.heap.Free(memory);
      }
    }
    EXPECT_EQ(wrong.load(), 0);
    EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u);
    EXPECT_EQ(fixture.heap.Close(), 0u);
  }
}

// One thread makes, the other frees: nothing piles up on either side.
TEST(SizeClassHeap, AProducersBlocksComeBackFromItsConsumer) {
  constexpr std::size_t kInFlight = 64;
  constexpr int kBlocks = STADIAL_TEST_SANITIZED ? 20'000 : 200'000;
  HeapFixture fixture(1_MiB, 2);
  std::atomic<void*> hand[kInFlight] = {};
  std::thread consumer([&] {
    for (int index = 0; index < kBlocks; ++index) {
      void* memory = nullptr;
      while ((memory = hand[static_cast<std::size_t>(index) % kInFlight].exchange(nullptr)) == nullptr) {
        std::this_thread::yield();
      }
      fixture.heap.Free(memory);
    }
  });
  int refused = 0;
  for (int index = 0; index < kBlocks; ++index) {
    void* const memory = fixture.heap.TryAllocate(static_cast<std::size_t>(16 + index % 500));
    if (memory == nullptr) {
      ++refused;
      --index;
      continue;
    }
    void* expected = nullptr;
    while (!hand[static_cast<std::size_t>(index) % kInFlight].compare_exchange_weak(expected, memory)) {
      expected = nullptr;
      std::this_thread::yield();
    }
  }
  consumer.join();
  EXPECT_EQ(refused, 0);
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u);
}

// What a thread has at hand when it ends goes to the next one that takes its number.
TEST(SizeClassHeap, AThreadInheritsTheShardOfOneThatEnded) {
  HeapFixture fixture;
  void* last = nullptr;
  std::uint32_t slot = kThreadSlotUnasked;
  std::thread([&] {
    last = fixture.heap.Allocate(100);
    fixture.heap.Free(last);
    slot = ThreadSlot();
  }).join();
  std::thread([&] {
    ASSERT_EQ(ThreadSlot(), slot);
    EXPECT_EQ(fixture.heap.Allocate(100), last);
  }).join();
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 1u);
}

// Of what another thread freed only the little that it keeps at hand is lost to the others while it lives.
TEST(SizeClassHeap, WhatAnotherThreadKeepsIsBounded) {
  HeapFixture fixture(2_MiB, 2);
  std::size_t rest = 0;
  for (const bool otherThread : {false, true}) {
    const auto fillAndFree = [&] {
      std::vector<void*> blocks;
      while (void* const memory = fixture.heap.TryAllocate(64)) blocks.push_back(memory);
      for (void* const memory : blocks) fixture.heap.Free(memory);
    };
    const auto fillLarge = [&] {
      std::vector<void*> blocks;
      while (void* const memory = fixture.heap.TryAllocate(20'000)) blocks.push_back(memory);
      for (void* const memory : blocks) fixture.heap.Free(memory);
      return blocks.size();
    };
    if (!otherThread) {
      fillAndFree();
      rest = fillLarge();
      continue;
    }
    std::thread([&] {
      fillAndFree();
      std::thread([&] {
        // 16 KiB of blocks, in a few slabs since they were freed in order.
        EXPECT_GE(fillLarge() + 8, rest);
      }).join();
    }).join();
  }
}

#if !STADIAL_TEST_SANITIZED  // a sanitizer's shadow memory faults
TEST(SizeClassHeap, R3_CausesNoFaults) {
  HeapFixture fixture(4_MiB, 1);
  OpRandom random(3);
  std::vector<void*> blocks(4096);  // written, so that its own pages are there
  blocks.clear();
  const auto run = [&](int steps) {
    for (int step = 0; step < steps; ++step) {
      void* const memory = fixture.heap.TryAllocate(1 + random.Below(2000), 64);
      if (memory != nullptr) blocks.push_back(memory);
      if (memory == nullptr || blocks.size() == 2048) {
        for (void* const each : blocks) fixture.heap.Free(each);
        blocks.clear();
      }
    }
  };
  run(100);
  const long before = testing::MinorFaults();
  run(5000);
  EXPECT_EQ(testing::MinorFaults() - before, 0);
  // The control: fresh pages do fault.
  std::vector<std::byte> fresh;
  fresh.reserve(1_MiB);
  EXPECT_GT(testing::FaultsOfTouching(fresh.data(), 1_MiB, PageSize()), 0);
}
#endif

}  // namespace
}  // namespace stadial::arenas
