// A game with an allocator of its own: it defines the malloc family and every operator new and delete, calls
// the gate's inline hook in each, and links no gate object. The gate must be as good as with it: ARMED, with
// every policy.
#include <gtest/gtest.h>
#include <malloc.h>
#include <mimalloc.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <vector>

#include "stadial/runtime/gate.h"
#include "test_support.h"

// A sanitizer owns malloc; such a build has the gate's object (see sanitizer_hooks.cpp), not this hook.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define STADIAL_TEST_OWNS_MALLOC 1

namespace {

// The game's own heap, behind the hook: this is all that a game writes.
void* GameAllocate(std::size_t size, std::size_t alignment = 16) noexcept {
  if (!stadial::runtime::GateOnAllocate(size)) return nullptr;
  void* const block = mi_malloc_aligned(size, alignment);
  if (block != nullptr) stadial::runtime::GateOnAllocated(block, size);
  return block;
}
void GameFree(void* block) noexcept {
  if (block != nullptr && stadial::runtime::GateOnFree(block)) mi_free(block);
}
void* GameAllocateOrThrow(std::size_t size, std::size_t alignment = 16) {
  void* const block = GameAllocate(size, alignment);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
std::size_t Bytes(std::align_val_t alignment) { return static_cast<std::size_t>(alignment); }

}  // namespace

extern "C" {
void* malloc(std::size_t size) noexcept { return GameAllocate(size); }
void free(void* block) noexcept { GameFree(block); }
void* calloc(std::size_t count, std::size_t size) noexcept {
  void* const block = GameAllocate(count * size);
  return block == nullptr ? nullptr : std::memset(block, 0, count * size);
}
void* realloc(void* block, std::size_t size) noexcept {
  void* const moved = GameAllocate(size);
  if (moved == nullptr || block == nullptr) return moved;
  const std::size_t usable = mi_usable_size(block);
  std::memcpy(moved, block, usable < size ? usable : size);
  GameFree(block);
  return moved;
}
void* reallocarray(void* block, std::size_t count, std::size_t size) noexcept {
  return realloc(block, count * size);
}
void* memalign(std::size_t alignment, std::size_t size) noexcept { return GameAllocate(size, alignment); }
void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return GameAllocate(size, alignment);
}
int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
  *result = GameAllocate(size, alignment);
  return *result == nullptr ? ENOMEM : 0;
}
void* valloc(std::size_t size) noexcept { return GameAllocate(size, 4096); }
void* pvalloc(std::size_t size) noexcept { return GameAllocate(size, 4096); }
std::size_t malloc_usable_size(void* block) noexcept { return mi_usable_size(block); }
}

void* operator new(std::size_t size) { return GameAllocateOrThrow(size); }
void* operator new[](std::size_t size) { return GameAllocateOrThrow(size); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return GameAllocateOrThrow(size, Bytes(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return GameAllocateOrThrow(size, Bytes(alignment));
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return GameAllocate(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return GameAllocate(size); }
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return GameAllocate(size, Bytes(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return GameAllocate(size, Bytes(alignment));
}
void operator delete(void* block) noexcept { GameFree(block); }
void operator delete[](void* block) noexcept { GameFree(block); }
void operator delete(void* block, std::size_t) noexcept { GameFree(block); }
void operator delete[](void* block, std::size_t) noexcept { GameFree(block); }
void operator delete(void* block, std::align_val_t) noexcept { GameFree(block); }
void operator delete[](void* block, std::align_val_t) noexcept { GameFree(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { GameFree(block); }
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept { GameFree(block); }
void operator delete(void* block, const std::nothrow_t&) noexcept { GameFree(block); }
void operator delete[](void* block, const std::nothrow_t&) noexcept { GameFree(block); }
void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept { GameFree(block); }
void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept { GameFree(block); }

#else
#define STADIAL_TEST_OWNS_MALLOC 0
#endif

namespace stadial::runtime::testing {
namespace {

class GateOwnMalloc : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!STADIAL_TEST_OWNS_MALLOC) GTEST_SKIP() << "a sanitizer owns malloc in this build";
    STADIAL_ASSERT_ARMED();
  }
};

TEST_F(GateOwnMalloc, Ab_ArmedThroughTheHookAlone) {
  const GateSelfTestResult& result = RunGateSelfTest();
  EXPECT_EQ(result.formsSeen, result.formsTested);
  EXPECT_STREQ(result.method, "hooks called by the game's own malloc");
}

TEST_F(GateOwnMalloc, R6_R7_CountsOwnAndLibraryAllocations) {
  const CountedScope counted;
  {
    std::vector<int> numbers(100, 1);
    const std::string text(1000, 'x');
    EXPECT_EQ(numbers.size() + text.size(), 1100u);
  }
  EXPECT_EQ(counted.Allocations(), 2u);
  EXPECT_EQ(counted.Frees(), 2u);
}

TEST_F(GateOwnMalloc, R6_DenyReachesTheCaller) {
  const GateThreadCounters before = CurrentThreadCounters();
  bool isCaught = false;
  void* block = nullptr;
  {
    const GateScope scope(GatePolicy::Deny, GatePolicy::Deny, Phase::Frame, "own malloc");
    block = std::malloc(100);
    asm volatile("" : "+r"(block) : : "memory");
    try {
      block = ::operator new(100);
    } catch (const std::bad_alloc&) {
      isCaught = true;
    }
  }
  EXPECT_EQ(block, nullptr);
  EXPECT_TRUE(isCaught);
  EXPECT_GE(CurrentThreadCounters().denied - before.denied, 2u);
}

using GateOwnMallocDeathTest = GateOwnMalloc;

TEST_F(GateOwnMallocDeathTest, R6_TrapNamesTheHook) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const GateScope scope(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "frame");
        void* block = std::malloc(321);
        asm volatile("" : "+r"(block) : : "memory");
      },
      "gate trap: the game's own malloc of 321 B .*component 'frame'; policy Trap");
}

}  // namespace
}  // namespace stadial::runtime::testing
