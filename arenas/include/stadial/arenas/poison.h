// Hostile memory. What an arena takes back must not be read again by a stale pointer:
//   assertion level full:  the bytes are filled with kPoisonByte (0xDD), so that a stale read is visibly
//   wrong; AddressSanitizer:      the bytes are poisoned as well, so that a stale read is reported where it
//   happens; otherwise:             nothing at all, and a rewind stays O(1).
// Under AddressSanitizer memory given to an arena is poisoned from the start and every allocation opens
// exactly its own bytes, which catches overruns into the neighbour too. Whoever hands such memory to another
// owner calls LiftPoison first; the arena's destructor and the segment functions do. Thread rules: the caller
// owns the bytes. Cost: O(bytes) in the checked builds, none otherwise.
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

#if STADIAL_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace stadial::arenas {

inline constexpr unsigned char kPoisonByte = 0xDD;

// Makes memory that was handed out hostile again.
[[gnu::always_inline]] inline void PoisonReturned([[maybe_unused]] void* begin,
                                                  [[maybe_unused]] std::size_t bytes) noexcept {
  if (bytes == 0) return;
#if STADIAL_ADDRESS_SANITIZER
  __asan_unpoison_memory_region(begin, bytes);
#endif
#if STADIAL_ASSERT_LEVEL >= 2
  std::memset(begin, kPoisonByte, bytes);
#endif
#if STADIAL_ADDRESS_SANITIZER
  __asan_poison_memory_region(begin, bytes);
#endif
}

// Closes memory that is not handed out yet, without writing to it.
[[gnu::always_inline]] inline void PoisonFresh([[maybe_unused]] void* begin,
                                               [[maybe_unused]] std::size_t bytes) noexcept {
#if STADIAL_ADDRESS_SANITIZER
  if (bytes != 0) __asan_poison_memory_region(begin, bytes);
#endif
}

// Opens memory: on allocation, and before it goes to an owner that knows nothing of arenas.
[[gnu::always_inline]] inline void LiftPoison([[maybe_unused]] const void* begin,
                                              [[maybe_unused]] std::size_t bytes) noexcept {
#if STADIAL_ADDRESS_SANITIZER
  if (bytes != 0) __asan_unpoison_memory_region(begin, bytes);
#endif
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
