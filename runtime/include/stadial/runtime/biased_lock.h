// BiasedLock: a lock for short sections that mostly one thread enters. After kTurnsBeforeBias turns in a row
// of one thread the lock leans to it: its further turns are plain loads and stores, without a locked
// instruction or a fence. Another thread's turn ends that: it has the kernel put a barrier into every running
// thread of the process, waits until the favourite is outside, and from then on all take an ordinary lock,
// until one thread is alone again.
//
// Threads:   any. Not recursive, and not for signal handlers: both hang.
// Cost:      the favourite's turn 1 ns; a turn without a favourite an atomic exchange; ending the favour one
//            system call (membarrier), a microsecond or a few. Where the kernel offers none, the lock never
//            leans.
// Fork:      LockUnbiased before it and UnlockUnbiased after it, in both processes.
#pragma once

#include <atomic>
#include <cstdint>

#include "stadial/arenas/effects.h"
#include "stadial/arenas/short_lock.h"
#include "stadial/arenas/thread_slot.h"

namespace stadial::runtime {

namespace detail {

// Is there a barrier on all threads of this process? Asks the kernel once.
bool CanBarrierAllThreads() noexcept STADIAL_NONALLOCATING;
// Puts that barrier, then waits until `isInside` is false.
void WaitUntilOutside(const std::atomic<bool>& isInside) noexcept STADIAL_NONALLOCATING;

}  // namespace detail

class BiasedLock {
 public:
  class [[nodiscard]] Guard {
   public:
    explicit Guard(BiasedLock& lock) noexcept
        : lock_(lock), isBiased_(lock.TryLockBiased(arenas::PeekThreadSlot())) {
      if (!isBiased_) lock_.LockUnbiased();
    }
    ~Guard() noexcept {
      if (isBiased_) {
        lock_.UnlockBiased(arenas::PeekThreadSlot());
      } else {
        lock_.UnlockUnbiased();
      }
    }
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    BiasedLock& lock_;
    const bool isBiased_;
  };

  // The favourite's own way: false for all others. `self` is arenas::PeekThreadSlot(). It says "inside" and
  // then looks whether it still is the favourite; who ends the favour says so and then looks whether the
  // favourite is inside. The barrier between these two orders both pairs.
  [[gnu::always_inline]] bool TryLockBiased(std::uint32_t self) noexcept {
    if (favourite_.load(std::memory_order_relaxed) != self || isInside_[self].load(std::memory_order_relaxed))
        [[unlikely]]
      return false;
    isInside_[self].store(true, std::memory_order_relaxed);
    std::atomic_signal_fence(std::memory_order_seq_cst);
    if (favourite_.load(std::memory_order_relaxed) == self) [[likely]]
      return true;
    isInside_[self].store(false, std::memory_order_release);
    return false;
  }
  [[gnu::always_inline]] void UnlockBiased(std::uint32_t self) noexcept {
    isInside_[self].store(false, std::memory_order_release);
  }

  // The long way, which ends a favour, the caller's own too.
  void LockUnbiased() noexcept STADIAL_NONALLOCATING;
  void UnlockUnbiased() noexcept STADIAL_NONALLOCATING;

  // Does it lean to the calling thread now?
  bool IsBiased() const noexcept {
    return favourite_.load(std::memory_order_relaxed) == arenas::PeekThreadSlot();
  }

  static constexpr std::uint32_t kTurnsBeforeBias = 1024;

 private:
  static constexpr std::uint32_t kNobody = arenas::kThreadSlotValues;

  std::atomic<std::uint32_t> favourite_{kNobody};
  // One for each thread: one that was the favourite once may only now find that it is not any more, and take
  // its word back, while the next favourite is inside.
  std::atomic<bool> isInside_[arenas::kThreadSlotsMax] = {};
  arenas::ShortLock lock_;
  std::uint32_t lastHolder_ = kNobody;  // these two: of those who hold lock_
  std::uint32_t turns_ = 0;
};

inline void BiasedLock::LockUnbiased() noexcept STADIAL_NONALLOCATING {
  const std::uint32_t self = arenas::ThreadSlot();  // before the lock: its first call may allocate
  lock_.lock();
  if (const std::uint32_t favourite = favourite_.load(std::memory_order_relaxed); favourite != kNobody) {
    favourite_.store(kNobody, std::memory_order_relaxed);
    detail::WaitUntilOutside(isInside_[favourite]);
  }
  turns_ = lastHolder_ == self ? turns_ + 1 : 1;
  lastHolder_ = self;
}

inline void BiasedLock::UnlockUnbiased() noexcept STADIAL_NONALLOCATING {
  if (turns_ >= kTurnsBeforeBias && lastHolder_ < arenas::kThreadSlotsMax && detail::CanBarrierAllThreads()) {
    turns_ = 0;
    favourite_.store(lastHolder_, std::memory_order_relaxed);
  }
  lock_.unlock();
}

}  // namespace stadial::runtime
