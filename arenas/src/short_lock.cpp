#include "stadial/arenas/short_lock.h"

#include <chrono>
#include <thread>

namespace stadial::arenas {
namespace {

void Pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void ShortLock::Wait() noexcept STADIAL_NONALLOCATING {
  constexpr int kSpinsMax = 200;  // some microseconds: many times what the lock is held for
  for (int spins = 0;;) {
    while (taken_.load(std::memory_order_relaxed)) {
      if (++spins < kSpinsMax) {
        Pause();
      } else {
        STADIAL_EFFECTS_REVIEWED("a system call that only sleeps",
                                 std::this_thread::sleep_for(std::chrono::microseconds(50)));
      }
    }
    if (try_lock()) return;
  }
}

}  // namespace stadial::arenas
