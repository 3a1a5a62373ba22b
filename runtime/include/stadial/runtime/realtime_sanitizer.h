// What RealtimeSanitizer (clang 20 and later, -fsanitize=realtime) hears of the gate. It ends a program in
// which a thread in a real-time context allocates, frees, locks a mutex or makes a system call that may
// block, in our code or in a library's. Such a context is a thread whose gate denies or traps allocations,
// outside of driver calls and designated fallbacks. Without that sanitizer all of this is empty.
#pragma once

#include "stadial/arenas/effects.h"
#include "stadial/runtime/gate_state.h"

#if defined(__has_feature)
#if __has_feature(realtime_sanitizer)
#define STADIAL_REALTIME_SANITIZER 1
#endif
#endif
#ifndef STADIAL_REALTIME_SANITIZER
#define STADIAL_REALTIME_SANITIZER 0
#endif

#if STADIAL_REALTIME_SANITIZER
extern "C" {
void __rtsan_realtime_enter() noexcept STADIAL_NONALLOCATING;
void __rtsan_realtime_exit() noexcept STADIAL_NONALLOCATING;
}
#endif

namespace stadial::runtime::detail {

#if STADIAL_REALTIME_SANITIZER

extern constinit thread_local bool isRealtime [[gnu::tls_model("initial-exec")]];

inline void SetRealtime(bool on) noexcept {
  if (on == isRealtime) return;
  isRealtime = on;
  on ? __rtsan_realtime_enter() : __rtsan_realtime_exit();
}

// After every change of the thread's gate word.
inline void TellRealtimeSanitizer() noexcept {
  const std::uint64_t word = gateThread.word;
  SetRealtime((word & (kGateDriverBit | kGateFallbackBit)) == 0 &&
              static_cast<GatePolicy>(word & 0xFF) >= GatePolicy::Deny);
}

// Around a system call that the runtime makes inside a frame on purpose: to wait, to wake, to count, to log.
class [[nodiscard]] RealtimePause {
 public:
  RealtimePause() noexcept { SetRealtime(false); }
  ~RealtimePause() { TellRealtimeSanitizer(); }
  RealtimePause(const RealtimePause&) = delete;
  RealtimePause& operator=(const RealtimePause&) = delete;
};

#else

[[gnu::always_inline]] inline void TellRealtimeSanitizer() noexcept {}
struct [[nodiscard]] [[maybe_unused]] RealtimePause {};

#endif

}  // namespace stadial::runtime::detail
