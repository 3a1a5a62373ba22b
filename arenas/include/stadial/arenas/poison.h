// Hostile memory, the lowest level: what an arena has not handed out, or has taken back, must not be used.
//   assertions full   bytes taken back become kPoisonByte (0xDD): a stale read is visibly wrong
//   AddressSanitizer  they are closed, and an allocation opens exactly its own bytes
//   MemorySanitizer   they count as uninitialised, and so does an allocation until it is written
//   valgrind          as the two above, by client requests; opt-in (STADIAL_VALGRIND)
//   otherwise         nothing at all, and a rewind stays O(1)
//
// Whoever hands such memory to another owner calls LiftPoison first; the arena's destructor and the segment
// functions do. Guards between allocations, stale marks and stale pointers: arena_checks.h. Inaccessible
// frames: quarantine.h. Thread rules: the caller owns the bytes. Cost: O(bytes) in those builds, else none.
#pragma once

#include <cstddef>
#include <cstring>

#include "stadial/arenas/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define STADIAL_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STADIAL_ADDRESS_SANITIZER 1
#endif
#endif
#ifndef STADIAL_ADDRESS_SANITIZER
#define STADIAL_ADDRESS_SANITIZER 0
#endif

#if !defined(STADIAL_MEMORY_SANITIZER) && defined(__has_feature)
#if __has_feature(memory_sanitizer)
#define STADIAL_MEMORY_SANITIZER 1
#endif
#endif
#ifndef STADIAL_MEMORY_SANITIZER
#define STADIAL_MEMORY_SANITIZER 0
#endif

#ifndef STADIAL_VALGRIND
#define STADIAL_VALGRIND 0
#endif

#if STADIAL_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif
#if STADIAL_MEMORY_SANITIZER
#include <sanitizer/msan_interface.h>
#endif

namespace stadial::arenas {

inline constexpr unsigned char kPoisonByte = 0xDD;

#if STADIAL_VALGRIND
// Client requests of memcheck, in poison.cpp, so that only its build needs valgrind's header. Without
// valgrind around the process each costs a call and a few instructions.
void ValgrindMakeNoAccess(const void* begin, std::size_t bytes) noexcept;
void ValgrindMakeUndefined(const void* begin, std::size_t bytes) noexcept;
void ValgrindMakeDefined(const void* begin, std::size_t bytes) noexcept;
#endif

// Opens memory with its contents: before it goes to an owner that knows nothing of arenas.
[[gnu::always_inline]] inline void LiftPoison([[maybe_unused]] const void* begin,
                                              [[maybe_unused]] std::size_t bytes) noexcept {
#if STADIAL_ADDRESS_SANITIZER
  if (bytes != 0) __asan_unpoison_memory_region(begin, bytes);
#endif
#if STADIAL_MEMORY_SANITIZER
  __msan_unpoison(begin, bytes);
#endif
#if STADIAL_VALGRIND
  ValgrindMakeDefined(begin, bytes);
#endif
}

// Opens an allocation: accessible, its contents indeterminate.
[[gnu::always_inline]] inline void OpenAllocation([[maybe_unused]] void* begin,
                                                  [[maybe_unused]] std::size_t bytes) noexcept {
#if STADIAL_ADDRESS_SANITIZER
  if (bytes != 0) __asan_unpoison_memory_region(begin, bytes);
#endif
#if STADIAL_MEMORY_SANITIZER
  __msan_poison(begin, bytes);
#endif
#if STADIAL_VALGRIND
  ValgrindMakeUndefined(begin, bytes);
#endif
}

// The bytes of an open allocation are known to hold values that nobody wrote: the zeros of fresh pages.
[[gnu::always_inline]] inline void MarkInitialized([[maybe_unused]] const void* begin,
                                                   [[maybe_unused]] std::size_t bytes) noexcept {
#if STADIAL_MEMORY_SANITIZER
  __msan_unpoison(begin, bytes);
#endif
#if STADIAL_VALGRIND
  ValgrindMakeDefined(begin, bytes);
#endif
}

// Closes memory that is not handed out yet, without writing to it.
[[gnu::always_inline]] inline void PoisonFresh([[maybe_unused]] void* begin,
                                               [[maybe_unused]] std::size_t bytes) noexcept {
#if STADIAL_ADDRESS_SANITIZER
  if (bytes != 0) __asan_poison_memory_region(begin, bytes);
#endif
#if STADIAL_VALGRIND
  ValgrindMakeNoAccess(begin, bytes);
#endif
}

// Makes memory that was handed out hostile again.
[[gnu::always_inline]] inline void PoisonReturned([[maybe_unused]] void* begin,
                                                  [[maybe_unused]] std::size_t bytes) noexcept {
  if (bytes == 0) return;
#if STADIAL_ASSERT_LEVEL >= 2
  LiftPoison(begin, bytes);
  std::memset(begin, kPoisonByte, bytes);
#endif
#if STADIAL_MEMORY_SANITIZER
  __msan_poison(begin, bytes);
#endif
  PoisonFresh(begin, bytes);
}

// True when the byte may not be touched; always false without AddressSanitizer.
inline bool IsPoisoned([[maybe_unused]] const void* address) noexcept {
#if STADIAL_ADDRESS_SANITIZER
  return __asan_address_is_poisoned(address) != 0;
#else
  return false;
#endif
}

}  // namespace stadial::arenas
