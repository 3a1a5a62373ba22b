// What a SizeClassHeap notices of misuse, and where.
#include <gtest/gtest.h>

#include <cstddef>
#include <thread>

#include "stadial/arenas/poison.h"
#include "support/heap_fixture.h"

namespace stadial::arenas {
namespace {

using testing::HeapFixture;

class SizeClassHeapDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(SizeClassHeapDeathTest, DoubleFreesAreNamed) {
  HeapFixture fixture(1_MiB, 1);
  void* const small = fixture.heap.TryAllocate(100);
  void* const large = fixture.heap.TryAllocate(5000);
  fixture.heap.Free(small);
  fixture.heap.Free(large);
  EXPECT_DEATH(fixture.heap.Free(small),
               "heap 'middleware': Free\\(.*\\): no block is live there \\(double free");
  EXPECT_DEATH((void)fixture.heap.TryReallocate(small, 5), "TryReallocate\\(.*\\): no block is live there");
  EXPECT_DEATH((void)fixture.heap.UsableSize(small), "UsableSize\\(.*\\): no block is live there");
  EXPECT_DEATH(fixture.heap.Free(large), "'middleware': Free\\(.*double free");
  fixture.heap.Trim();
  EXPECT_DEATH(fixture.heap.Free(small), "'middleware': Free\\(.*\\): ") << "its slab is gone, too";
}

TEST_F(SizeClassHeapDeathTest, ForeignAndInnerPointersAreNamed) {
  HeapFixture fixture(1_MiB, 1);
  auto* const memory = static_cast<std::byte*>(fixture.heap.TryAllocate(100));
  int local = 0;
  EXPECT_DEATH(fixture.heap.Free(&local), "heap 'middleware': Free\\(.*foreign pointer\\); its memory is");
  EXPECT_DEATH(fixture.heap.Free(memory + 16), "no block starts there");
  EXPECT_DEATH(fixture.heap.Free(memory + 1), "no block starts there");
  EXPECT_DEATH(fixture.heap.Free(memory + 112), "no block is live there");
  EXPECT_DEATH(fixture.heap.Free(&fixture.heap), "foreign pointer") << "the heap's own records are no blocks";
}

// Writes where AddressSanitizer, too, lets it pass.
void WriteStale(void* memory, std::size_t offset) {
  auto* const byte = static_cast<unsigned char*>(memory) + offset;
  LiftPoison(byte, 1);
  *byte = 1;
}

TEST_F(SizeClassHeapDeathTest, AWriteToAFreedBlockIsNoticedWhenItIsHandedOut) {
  HeapFixture fixture(1_MiB, 1);
  void* const memory = fixture.heap.Allocate(100);
  fixture.heap.Free(memory);
  WriteStale(memory, 3);
  EXPECT_DEATH((void)fixture.heap.Allocate(100),
               "'middleware': Allocate\\(.*written to \\(after it was freed\\)");
  EXPECT_DEATH(fixture.heap.CheckIntegrity(), "a free block holds its mark");
}

TEST_F(SizeClassHeapDeathTest, ADoubleFreeBehindAWriteIsNoticedWhenItIsHandedOut) {
  HeapFixture fixture(1_MiB, 1);
  void* const memory = fixture.heap.Allocate(100);
  fixture.heap.Free(memory);
  WriteStale(memory, 0);
  fixture.heap.Free(memory);
  EXPECT_DEATH(fixture.heap.CheckIntegrity(), "at hand once");
  EXPECT_EQ(fixture.heap.Allocate(100), memory);
  EXPECT_DEATH((void)fixture.heap.Allocate(100), "'middleware': Allocate\\(.*freed twice");
}

#if STADIAL_ASSERT_LEVEL >= 2
TEST_F(SizeClassHeapDeathTest, FullChecksNoticeAWriteToAnyByte) {
  HeapFixture fixture(1_MiB, 1);
  void* const memory = fixture.heap.Allocate(100);
  fixture.heap.Free(memory);
  WriteStale(memory, 99);
  EXPECT_DEATH((void)fixture.heap.Allocate(100),
               "'middleware': Allocate\\(.*written to \\(after it was freed\\)");
}

// A large block takes long to free in checked builds, since it is overwritten: the threads meet soon.
TEST_F(SizeClassHeapDeathTest, TwoThreadsInsideAHeapOfOneAreNoticed) {
  const auto meet = [] {
    HeapFixture fixture({.name = "lua", .oneThread = true}, 64_MiB);
    const auto use = [&] {
      for (int turn = 0; turn < 10'000; ++turn) fixture.heap.Free(fixture.heap.TryAllocate(4_MiB));
    };
    std::thread other(use);
    use();
    other.join();
  };
  EXPECT_DEATH(meet(), "heap 'lua': two threads are inside at once, but it was made with oneThread");
}
#endif

TEST_F(SizeClassHeapDeathTest, ExhaustionSaysWhatToDo) {
  HeapFixture fixture(1_MiB, 1);
  (void)fixture.heap.Allocate(600'000);
  EXPECT_DEATH((void)fixture.heap.Allocate(500'000, 64),
               "heap 'middleware' exhausted: asked 488.3 KiB at a multiple of 64, 585.9 KiB taken of .* KiB "
               "\\(peak 585.9 KiB, 1 blocks live\\); raise the segment it lives in");
}

#if STADIAL_ADDRESS_SANITIZER
TEST_F(SizeClassHeapDeathTest, UseAfterFreeAndOverrunsAreReported) {
  HeapFixture fixture(1_MiB, 1);
  auto* const memory = static_cast<volatile unsigned char*>(fixture.heap.TryAllocate(100));
  EXPECT_DEATH(memory[100] = 1, "use-after-poison");
  EXPECT_EQ(fixture.heap.UsableSize(const_cast<unsigned char*>(memory)), 112u);
  memory[111] = 1;  // whoever asks may use it
  EXPECT_DEATH(memory[112] = 1, "use-after-poison") << "the next block is not handed out";
  fixture.heap.Free(const_cast<unsigned char*>(memory));
  EXPECT_DEATH(memory[0] = 1, "use-after-poison") << "the first byte of a freed block is hostile as well";
}
#endif

}  // namespace
}  // namespace stadial::arenas
