// ArenaCursor: the cursor of an Arena in registers, for a loop of small allocations. Others may look at an
// Arena, so each allocation has to store its cursor; an ArenaCursor is a local object that takes over all
// that is left of the arena and writes the cursor back when it is destroyed.
//
//   ArenaCursor cursor(*frame->lane);
//   for (Emitter& emitter : emitters) emitter.particle = cursor.New<Particle>(emitter.position);
//
// Meanwhile the arena itself must not be used: an allocation from it finds no room, and what it reports
// (used, remaining, peak bytes) means nothing. A rewind, a Reset or a second cursor is an error that the
// assertions find, at the latest when the cursor is destroyed. Keep it a local variable that is not passed
// on: a cursor whose address is taken costs what an Arena costs.
//
// Growth, exhaustion, alignment, destructors: those of the arena, its messages included.
// Threads:      the arena's.
// Invalidation: destroying it invalidates nothing; the allocations are the arena's.
//
// Cost: an add and a compare for each allocation, no store; a few loads and stores to open and to close one.
// Builds with full assertions allocate from the arena itself, guards and all.
#pragma once

#include <cstddef>
#include <new>
#include <utility>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/assert.h"

namespace stadial::arenas {

class [[nodiscard]] ArenaCursor {
 public:
  // Always inlined, like everything here: one call with the address, and the cursor lives in memory.
  [[gnu::always_inline]] inline explicit ArenaCursor(Arena& arena) noexcept : arena_(arena) {
    STADIAL_ASSERT(!arena.isLent_, "the arena is lent to another ArenaCursor");
    arena.isLent_ = true;
#if STADIAL_ASSERT_LEVEL < 2
    cursor_ = std::exchange(arena.cursor_, arena.end_);
    end_ = arena.end_;
#endif
  }
  [[gnu::always_inline]] inline ~ArenaCursor() {
    STADIAL_ASSERT(arena_.isLent_, "the arena was moved away under its ArenaCursor");
#if STADIAL_ASSERT_LEVEL < 2
    STADIAL_ASSERT(arena_.cursor_ == arena_.end_, "the arena was rewound or reset under its ArenaCursor");
    arena_.cursor_ = cursor_;
#endif
    arena_.isLent_ = false;
  }
  ArenaCursor(const ArenaCursor&) = delete;
  ArenaCursor& operator=(const ArenaCursor&) = delete;

  // As those of Arena.
  [[nodiscard, gnu::always_inline, gnu::returns_nonnull]] inline void* Allocate(
      std::size_t sizeBytes, std::size_t alignment = kArenaGranularityBytes) noexcept {
    return Take<true>(sizeBytes, alignment);
  }
  [[nodiscard, gnu::always_inline]] inline void* TryAllocate(
      std::size_t sizeBytes, std::size_t alignment = kArenaGranularityBytes) noexcept {
    return Take<false>(sizeBytes, alignment);
  }
  template <class T, class... Args>
  [[gnu::always_inline]] inline T* New(Args&&... args) {
    static_assert(kArenaStorable<T>, "R8: an arena runs no destructors, so T must be trivially destructible");
    return ::new (Allocate(sizeof(T), alignof(T))) T(std::forward<Args>(args)...);
  }
  template <class T, class... Args>
  [[nodiscard, gnu::always_inline]] inline T* TryNew(Args&&... args) {
    static_assert(kArenaStorable<T>, "R8: an arena runs no destructors, so T must be trivially destructible");
    void* const memory = TryAllocate(sizeof(T), alignof(T));
    return memory == nullptr ? nullptr : ::new (memory) T(std::forward<Args>(args)...);
  }

 private:
#if STADIAL_ASSERT_LEVEL >= 2
  template <bool kMustFit>
  [[gnu::always_inline]] inline void* Take(std::size_t sizeBytes, std::size_t alignment) noexcept {
    STADIAL_ASSERT(arena_.isLent_, "the arena was moved away under its ArenaCursor");
    arena_.isLent_ = false;
    void* const memory =
        kMustFit ? arena_.Allocate(sizeBytes, alignment) : arena_.TryAllocate(sizeBytes, alignment);
    arena_.isLent_ = true;
    return memory;
  }
#else
  template <bool kMustFit>
  [[gnu::always_inline]] inline void* Take(std::size_t sizeBytes, std::size_t alignment) noexcept {
    std::byte* start = cursor_;
    if (!ArenaCore::FitsAt(start, end_, sizeBytes, alignment)) [[unlikely]] {
      // By value: a cursor whose address left this function would have to live in memory.
      start = MakeRoom(arena_, cursor_, sizeBytes, alignment, kMustFit);
      if (!kMustFit && start == nullptr) return nullptr;
      end_ = arena_.end_;
    }
    cursor_ = start + ArenaCore::RoundUpToGranularity(sizeBytes);
    OpenAllocation(start, sizeBytes);
    return start;
  }
  // As the arena's, for an arena whose cursor stands at `cursor`.
  [[gnu::cold, gnu::noinline]] static std::byte* MakeRoom(Arena& arena, std::byte* cursor,
                                                          std::size_t sizeBytes, std::size_t alignment,
                                                          bool mustFit) noexcept;

  std::byte* cursor_;
  std::byte* end_;
#endif
  Arena& arena_;
};

}  // namespace stadial::arenas
