// Blocking on an atomic word with a deadline. std::atomic::wait has none, and every wait of this layer has
// one. No allocation; the only system calls are futex waits and wakes.
#pragma once

#include <atomic>
#include <cstdint>

namespace stadial::gpu {

inline constexpr std::uint64_t kNoDeadline = ~std::uint64_t{0};

// Returns when woken, when `word` is not `expected`, at `deadlineNs` (of runtime::NowNs), or for no reason at
// all.
void WaitOnWord(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                std::uint64_t deadlineNs) noexcept;
void WakeWord(std::atomic<std::uint32_t>& word) noexcept;  // everybody who waits on it

}  // namespace stadial::gpu
