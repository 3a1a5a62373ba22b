#include "stadial/runtime/biased_lock.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "spin_lock.h"

namespace stadial::runtime::detail {
namespace {

bool Membarrier(int command) noexcept STADIAL_NONALLOCATING {
  return STADIAL_EFFECTS_REVIEWED("a system call that only orders",
                                  ::syscall(SYS_membarrier, command, 0, 0)) == 0;
}

// False once the kernel has refused. Registering is remembered by the process, and by its forked children.
constinit std::atomic<bool> mayBias{true};

void BarrierAllThreads() noexcept STADIAL_NONALLOCATING {
  if (Membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) return;
  // A filter of system calls came after the registration. No store waits in a core for a millisecond.
  mayBias.store(false, std::memory_order_relaxed);
  STADIAL_EFFECTS_REVIEWED("a system call that only sleeps",
                           std::this_thread::sleep_for(std::chrono::milliseconds(1)));
}

bool IsRegistered() noexcept STADIAL_NONALLOCATING {
  STADIAL_EFFECTS_REVIEWED("a static of one byte", static const bool isRegistered =
                                                       Membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED));
  return isRegistered;
}

}  // namespace

bool CanBarrierAllThreads() noexcept STADIAL_NONALLOCATING {
  return IsRegistered() && mayBias.load(std::memory_order_relaxed);
}

void WaitUntilOutside(const std::atomic<bool>& isInside) noexcept STADIAL_NONALLOCATING {
  constexpr std::uint32_t kTriesBeforeYield = 64;
  BarrierAllThreads();
  for (std::uint32_t tries = 0; isInside.load(std::memory_order_acquire); ++tries) {
    if (tries < kTriesBeforeYield) {
      PauseProcessor();
    } else {
      // The favourite may have lost its core.
      STADIAL_EFFECTS_REVIEWED("a system call that only schedules", ::sched_yield());
    }
  }
}

}  // namespace stadial::runtime::detail
