// SpinLock: for sections of a few dozen instructions that no thread blocks in. A waiter that does not get it
// soon gives its core away, since the holder may have lost his. Private to the runtime.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>

#include "stadial/arenas/effects.h"
#include "stadial/runtime/realtime_sanitizer.h"

namespace stadial::runtime {

inline void PauseProcessor() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class SpinLock {
 public:
  SpinLock() noexcept = default;
  SpinLock(const SpinLock&) = delete;
  SpinLock& operator=(const SpinLock&) = delete;

  void Lock() noexcept STADIAL_NONALLOCATING {
    while (isHeld_.exchange(true, std::memory_order_acquire)) {
      for (std::uint32_t tries = 0; isHeld_.load(std::memory_order_relaxed); ++tries) {
        if (tries < kTriesBeforeYield) {
          PauseProcessor();
        } else {
          const detail::RealtimePause pause;
          STADIAL_EFFECTS_REVIEWED("a system call that only schedules", ::sched_yield());
        }
      }
    }
  }
  void Unlock() noexcept { isHeld_.store(false, std::memory_order_release); }

 private:
  static constexpr std::uint32_t kTriesBeforeYield = 64;
  std::atomic<bool> isHeld_{false};
};

class [[nodiscard]] SpinGuard {
 public:
  explicit SpinGuard(SpinLock& lock) noexcept : lock_(lock) { lock_.Lock(); }
  ~SpinGuard() { lock_.Unlock(); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  SpinLock& lock_;
};

}  // namespace stadial::runtime
