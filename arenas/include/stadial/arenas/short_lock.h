// ShortLock: a lock for sections of some ten nanoseconds. Taking it is one atomic exchange and giving it back
// a plain store, half of what a std::mutex costs. Waiting is spinning; only when its holder was preempted
// does a waiter sleep, which lets a holder of lower priority run. For std::lock_guard.
#pragma once

#include <atomic>

#include "stadial/arenas/effects.h"

namespace stadial::arenas {

class ShortLock {
 public:
  void lock() noexcept {
    if (taken_.exchange(true, std::memory_order_acquire)) [[unlikely]]
      Wait();
  }
  bool try_lock() noexcept { return !taken_.exchange(true, std::memory_order_acquire); }
  void unlock() noexcept { taken_.store(false, std::memory_order_release); }

 private:
  void Wait() noexcept STADIAL_NONALLOCATING;
  std::atomic<bool> taken_{false};
};

}  // namespace stadial::arenas
