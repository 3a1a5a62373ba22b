// WorkDeque: the deque of work stealing (Chase and Lev), of numbers, in arena memory. Its owner pushes and
// pops at the bottom, newest first; any other thread steals at the top, oldest first.
//
// Growth:       never. The capacity is rounded up to a power of two.
// Exhaustion:   TryPush returns false and changes nothing.
// Alignment:    top and bottom have a cache line of their own each.
// Destructors:  none.
// Threads:      TryPush and TryPop: the owner. TrySteal and LooksEmpty: any. What the owner wrote before a
//               push is visible to whoever gets the number.
// Invalidation: cannot be copied or moved.
//
// Cost: TryPush and TryPop one ordered store each (about 5 ns), TrySteal one compare-and-swap. Lock-free.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/arenas/arena.h"

namespace stadial::runtime {

class WorkDeque {
 public:
  static constexpr std::uint32_t kNothing = 0xFFFFFFFF;  // never a number of the deque

  static constexpr std::size_t SlotsFor(std::size_t capacity) noexcept {
    return std::bit_ceil(capacity == 0 ? 1 : capacity);
  }

  WorkDeque(arenas::Arena& arena, std::size_t capacity) noexcept {
    const std::size_t slots = SlotsFor(capacity);
    slots_ = arena.NewArray<std::atomic<std::uint32_t>>(slots).data();
    mask_ = slots - 1;
  }
  WorkDeque(const WorkDeque&) = delete;
  WorkDeque& operator=(const WorkDeque&) = delete;

  [[nodiscard]] bool TryPush(std::uint32_t number) noexcept { return TryPush(std::span(&number, 1)); }
  // All or none; the last one is popped first.
  [[nodiscard]] bool TryPush(std::span<const std::uint32_t> numbers) noexcept {
    const std::uint64_t bottom = bottom_.load(std::memory_order_relaxed);
    if (bottom - topSeen_ + numbers.size() > mask_ + 1) {
      topSeen_ = top_.load(std::memory_order_acquire);
      if (bottom - topSeen_ + numbers.size() > mask_ + 1) return false;
    }
    for (std::size_t i = 0; i < numbers.size(); ++i)
      slots_[(bottom + i) & mask_].store(numbers[i], std::memory_order_relaxed);
    // Sequentially consistent, not merely a release: who pushes looks for sleepers next, and they look here.
    bottom_.store(bottom + numbers.size(), std::memory_order_seq_cst);
    return true;
  }

  [[nodiscard]] std::uint32_t TryPop() noexcept {
    std::uint64_t bottom = bottom_.load(std::memory_order_relaxed);
    // No thief moves top beyond bottom, so this needs no order when it says empty.
    if (bottom == top_.load(std::memory_order_relaxed)) return kNothing;
    bottom_.store(--bottom, std::memory_order_seq_cst);
    std::uint64_t top = top_.load(std::memory_order_seq_cst);
    if (top < bottom) return slots_[bottom & mask_].load(std::memory_order_relaxed);
    std::uint32_t number = kNothing;
    if (top == bottom) {
      // The last one: whoever moves top has it.
      number = slots_[bottom & mask_].load(std::memory_order_relaxed);
      if (!top_.compare_exchange_strong(top, top + 1, std::memory_order_seq_cst, std::memory_order_relaxed))
        number = kNothing;
    }
    bottom_.store(bottom + 1, std::memory_order_relaxed);
    return number;
  }

  // kNothing only when the deque was empty at some moment during the call.
  [[nodiscard]] std::uint32_t TrySteal() noexcept {
    std::uint64_t top = top_.load(std::memory_order_seq_cst);
    for (;;) {
      const std::uint64_t bottom = bottom_.load(std::memory_order_seq_cst);
      if (static_cast<std::int64_t>(bottom - top) <= 0) return kNothing;
      const std::uint32_t number = slots_[top & mask_].load(std::memory_order_relaxed);
      // A failure reloads top.
      if (top_.compare_exchange_strong(top, top + 1, std::memory_order_seq_cst, std::memory_order_seq_cst))
        return number;
    }
  }

  // A snapshot; ordered, so that a thread about to sleep may rely on it.
  bool LooksEmpty() const noexcept {
    const std::uint64_t top = top_.load(std::memory_order_seq_cst);
    return static_cast<std::int64_t>(bottom_.load(std::memory_order_seq_cst) - top) <= 0;
  }
  std::size_t Capacity() const noexcept { return mask_ + 1; }

 private:
  alignas(64) std::atomic<std::uint64_t> bottom_{0};  // the owner's line
  std::uint64_t topSeen_ = 0;                         // never above top
  std::atomic<std::uint32_t>* slots_ = nullptr;
  std::uint64_t mask_ = 0;
  alignas(64) std::atomic<std::uint64_t> top_{0};  // the thieves' line
};

}  // namespace stadial::runtime
