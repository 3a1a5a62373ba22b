#include "stadial/runtime/wait_on_word.h"

#include <ctime>

#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "stadial/runtime/realtime_sanitizer.h"

namespace stadial::runtime {

#if defined(__linux__)

static_assert(sizeof(std::atomic<std::uint32_t>) == 4 && std::atomic<std::uint32_t>::is_always_lock_free);

void WaitOnWord(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                std::uint64_t deadlineNs) noexcept {
  std::timespec until{};
  until.tv_sec = static_cast<std::time_t>(deadlineNs / 1'000'000'000);
  until.tv_nsec = static_cast<long>(deadlineNs % 1'000'000'000);
  // WAIT_BITSET takes an absolute CLOCK_MONOTONIC time, WAIT a relative one.
  const detail::RealtimePause pause;
  STADIAL_EFFECTS_REVIEWED(
      "a system call that waits",
      static_cast<void>(::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                                  deadlineNs == kNoDeadline ? nullptr : &until, nullptr,
                                  FUTEX_BITSET_MATCH_ANY)));
}

void WakeWord(std::atomic<std::uint32_t>& word, std::uint32_t threads) noexcept {
  const detail::RealtimePause pause;
  STADIAL_EFFECTS_REVIEWED("a system call that wakes",
                           static_cast<void>(::syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG,
                                                       threads, nullptr, nullptr, 0)));
}

#else

// Without a futex: short sleeps. A wake is noticed within 100 us.
void WaitOnWord(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::uint64_t) noexcept {
  if (word.load(std::memory_order_acquire) != expected) return;
  const std::timespec pause{0, 100'000};
  STADIAL_EFFECTS_REVIEWED("a system call that waits", ::nanosleep(&pause, nullptr));
}

void WakeWord(std::atomic<std::uint32_t>&, std::uint32_t) noexcept {}

#endif

}  // namespace stadial::runtime
