// Blocking on an atomic word with a deadline. std::atomic::wait has none, and every wait of a frame has one.
// No allocation; the only system calls are futex waits and wakes. Any thread.
#pragma once

#include <atomic>
#include <cstdint>

#include "stadial/arenas/effects.h"

namespace stadial::runtime {

inline constexpr std::uint64_t kNoDeadline = ~std::uint64_t{0};
inline constexpr std::uint32_t kWakeAll = 0x7FFFFFFF;

// Returns when woken, when `word` is not `expected`, at `deadlineNs` (of NowNs), or for no reason at all.
void WaitOnWord(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                std::uint64_t deadlineNs) noexcept STADIAL_NONALLOCATING;
// Wakes at most `threads` of those that wait on `word`. The word itself must have been changed before.
void WakeWord(std::atomic<std::uint32_t>& word,
              std::uint32_t threads = kWakeAll) noexcept STADIAL_NONALLOCATING;

}  // namespace stadial::runtime
