#include "stadial/arenas/c_adapters.h"

#include <gtest/gtest.h>

#include <climits>
#include <cstdint>
#include <cstring>

#include "stadial/arenas/fallback_heap.h"
#include "stadial/arenas/lifo_stack.h"
#include "support/arena_buffer.h"
#include "support/heap_fixture.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::HeapFixture;

static_assert(GeneralHeap<SizeClassHeap> && GeneralHeap<FallbackHeap>);
static_assert(!GeneralHeap<Arena> && !GeneralHeap<LifoStack>, "they cannot resize");
static_assert(BlockSource<Arena> && BlockSource<LifoStack>);
template <class Memory>
concept ServesRealloc = requires(Memory& memory) {
  MakeAllocReallocFree(memory);
};
static_assert(ServesRealloc<SizeClassHeap> && !ServesRealloc<Arena>, "an arena does not know the old size");

TEST(CAdapters, AllocFree) {
  HeapFixture fixture;
  const AllocFreeFunctions functions = MakeAllocFree(fixture.heap);
  void* const memory = functions.allocate(functions.userData, 100);
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % alignof(std::max_align_t), 0u);
  functions.free(functions.userData, memory);
  functions.free(functions.userData, nullptr);
  EXPECT_EQ(functions.allocate(functions.userData, SIZE_MAX), nullptr);
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u);
}

TEST(CAdapters, CountedProductsDoNotOverflow) {
  HeapFixture fixture;
  const CountedFunctions functions = MakeCounted(fixture.heap);
  void* const memory = functions.allocate(functions.userData, 10, 30);
  EXPECT_GE(fixture.heap.UsableSize(memory), 300u);
  functions.free(functions.userData, memory);
  EXPECT_EQ(functions.allocate(functions.userData, UINT_MAX, UINT_MAX), nullptr);
  EXPECT_EQ(functions.allocate(functions.userData, 0x10001, 0xffff), nullptr)
      << "in 32 bits it would be 65535 * 1";
}

TEST(CAdapters, AllocReallocFree) {
  HeapFixture fixture;
  const AllocReallocFreeFunctions functions = MakeAllocReallocFree(fixture.heap);
  void* const user = functions.userData;
  auto* memory = static_cast<char*>(functions.allocate(user, 10));
  std::strcpy(memory, "kept");
  memory = static_cast<char*>(functions.reallocate(user, memory, 10'000));
  EXPECT_STREQ(memory, "kept");
  EXPECT_EQ(functions.reallocate(user, memory, SIZE_MAX), nullptr);
  EXPECT_STREQ(memory, "kept");
  functions.free(user, memory);
  memory = static_cast<char*>(functions.reallocate(user, nullptr, 10));
  EXPECT_EQ(functions.reallocate(user, memory, 0), nullptr);
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u);
}

// What a script engine does: one function, the old size told, any order.
template <class Memory>
void ExerciseSingleRealloc(Memory& memory) {
  const SingleReallocFunction functions = MakeSingleRealloc(memory);
  const auto call = [&](void* block, std::size_t oldBytes, std::size_t newBytes) {
    return static_cast<char*>(functions.reallocate(functions.userData, block, oldBytes, newBytes));
  };
  constexpr std::size_t kTypeTag = 5;  // Lua passes the kind of object as the old size of a new block
  char* block = call(nullptr, kTypeTag, 8);
  std::memcpy(block, "0123456", 8);
  block = call(block, 8, 300);
  EXPECT_STREQ(block, "0123456");
  block = call(block, 300, 8);
  ASSERT_NE(block, nullptr) << "shrinking never fails";
  EXPECT_STREQ(block, "0123456");
  EXPECT_EQ(call(block, 8, SIZE_MAX), nullptr);
  EXPECT_EQ(call(block, 8, 0), nullptr);
  EXPECT_EQ(call(nullptr, 0, 0), nullptr);
}

TEST(CAdapters, SingleRealloc) {
  HeapFixture fixture;
  ExerciseSingleRealloc(fixture.heap);
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u);
  ArenaBuffer buffer;
  ExerciseSingleRealloc(buffer.arena);
}

TEST(CAdapters, SizedFree) {
  HeapFixture fixture;
  ArenaBuffer buffer;
  const SizedFreeFunctions inHeap = MakeSizedFree(fixture.heap);
  const SizedFreeFunctions inArena = MakeSizedFree(buffer.arena);
  inHeap.free(inHeap.userData, inHeap.allocate(inHeap.userData, 50), 50);
  inArena.free(inArena.userData, inArena.allocate(inArena.userData, 50), 50);
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u);
  EXPECT_GT(buffer.arena.UsedBytes(), 0u) << "until the rewind";
}

TEST(CAdapters, Aligned) {
  HeapFixture fixture(16_MiB);
  const AlignedFunctions functions = MakeAligned(fixture.heap);
  void* const user = functions.userData;
  for (std::size_t alignment = 1; alignment <= 64_KiB; alignment *= 2) {
    void* memory = functions.allocate(user, 100, alignment);
    ASSERT_NE(memory, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % alignment, 0u);
    memory = functions.reallocate(user, memory, 10'000, alignment);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % alignment, 0u);
    functions.free(user, memory);
  }
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u);
}

TEST(CAdapters, LifoStackServesAllocFree) {
  ArenaBuffer buffer;
  LifoStack stack(buffer.arena);
  const AllocFreeFunctions functions = MakeAllocFree(stack);
  void* const first = functions.allocate(functions.userData, 100);
  void* const second = functions.allocate(functions.userData, 100);
  functions.free(functions.userData, second);
  functions.free(functions.userData, first);
  EXPECT_EQ(buffer.arena.UsedBytes(), 0u);
}

struct LibraryMemory {
  static inline SizeClassHeap* heap = nullptr;
  static SizeClassHeap& Memory() noexcept { return *heap; }
};

TEST(CAdapters, FunctionsWithoutAUserPointer) {
  HeapFixture fixture;
  LibraryMemory::heap = &fixture.heap;
  using Functions = CFunctions<LibraryMemory>;
  // They fit the pointers that C libraries declare.
  void* (*const malloc)(std::size_t) = Functions::Malloc;
  void* (*const realloc)(void*, std::size_t) = Functions::Realloc;
  void (*const free)(void*) = Functions::Free;
  void* memory = malloc(10);
  memory = realloc(memory, 2000);
  EXPECT_GE(Functions::UsableSize(memory), 2000u);
  free(memory);
  auto* const bytes = static_cast<unsigned char*>(Functions::Calloc(30, 7));
  for (int index = 0; index < 210; ++index) ASSERT_EQ(bytes[index], 0);
  free(bytes);
  EXPECT_EQ(Functions::Calloc(SIZE_MAX / 2, 3), nullptr);
  void* const aligned = Functions::AlignedAlloc(4096, 100);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(aligned) % 4096, 0u);
  free(aligned);
  free(nullptr);
  EXPECT_EQ(Functions::UsableSize(nullptr), 0u);
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u);
}

}  // namespace
}  // namespace stadial::arenas
