// The run-time gate (R6, R7): on a thread that stands inside a GateScope, an allocation or a free outside
// the arenas is allowed, counted, reported, denied or trapped, before any memory is handed out or taken
// back.
//
// Two halves. This header and the runtime library hold policies, scopes, counters and the self-test. The
// OBJECT target stadial::gate holds malloc and its family and every operator new and delete, over mimalloc;
// a program that links it is ARMED. Without it (or without calls to the hooks below from the game's own
// malloc) the self-test says DISARMED, and every claim of "0 allocations" is void. Under AddressSanitizer
// and ThreadSanitizer the object defines no allocator and watches through the sanitizer's malloc hooks
// instead: Deny then acts as Report, because a hook cannot refuse. A denied throwing new throws
// std::bad_alloc (without exceptions: it says so and aborts).
//
// Covered: this process's calls through the malloc family and new/delete, from any module that ScanModules
// does not list. Not covered: mmap and other kernel memory (kernel_witness.h), direct calls to mi_*
// functions, and allocators hidden inside a library.
//
// Threads: scopes and counters belong to the calling thread. Threads without a scope are allowed; while
// frames run their allocations are counted as "other threads" when they are not registered. Cost (measured
// by bench/runtime/gate_bench): Allow adds two loads and a branch; a scope, under a nanosecond.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stadial/arenas/effects.h"
#include "stadial/runtime/gate_state.h"
#include "stadial/runtime/module_scan.h"
#include "stadial/runtime/realtime_sanitizer.h"
#include "stadial/runtime/thread_registry.h"

namespace stadial::runtime {

enum class GateState : std::uint8_t { Disarmed, Partial, Armed };

const char* ToString(GatePolicy policy) noexcept;
// "ARMED", "PARTIAL", "DISARMED".
const char* ToString(GateState state) noexcept;

// Sets the calling thread's policies, phase and component until destroyed, then restores the former ones.
// Nests; the innermost scope decides. `component` must outlive the scope (a literal). Destroy in reverse
// order of construction.
class [[nodiscard]] GateScope {
 public:
  GateScope(GatePolicy allocate, GatePolicy free, Phase phase,
            const char* component) noexcept STADIAL_NONALLOCATING
      : previousWord_(detail::GateThread().word),
        previousComponent_(detail::GateThread().component) {
    detail::GateThread().word = detail::PackGateWord(allocate, free, phase);
    detail::GateThread().component = component;
    detail::GateCompilerBarrier();
    detail::TellRealtimeSanitizer();
  }
  ~GateScope() noexcept STADIAL_NONALLOCATING {
    detail::GateCompilerBarrier();
    detail::GateThread().word = previousWord_;
    detail::GateThread().component = previousComponent_;
    detail::TellRealtimeSanitizer();
  }
  GateScope(const GateScope&) = delete;
  GateScope& operator=(const GateScope&) = delete;

 private:
  std::uint64_t previousWord_;
  const char* previousComponent_;
};

// Attribution only: names the component that the following allocations belong to. `component` must outlive
// it.
class [[nodiscard]] ComponentScope {
 public:
  explicit ComponentScope(const char* component) noexcept STADIAL_NONALLOCATING
      : previous_(detail::GateThread().component) {
    detail::GateThread().component = component;
    detail::GateCompilerBarrier();
  }
  ~ComponentScope() noexcept STADIAL_NONALLOCATING {
    detail::GateCompilerBarrier();
    detail::GateThread().component = previous_;
  }
  ComponentScope(const ComponentScope&) = delete;
  ComponentScope& operator=(const ComponentScope&) = delete;

 private:
  const char* previous_;
};

// Around a call into a driver. What the driver allocates inside is the driver's, counted under the thread's
// role (DriverCounters) and never under the thread's own counters; the policy inside is Count whatever it
// was outside. `entryPoint` must outlive the scope ("vkQueueSubmit2"); reports name it.
class [[nodiscard]] DriverCallScope {
 public:
  explicit DriverCallScope(const char* entryPoint) noexcept
      : previousWord_(detail::GateThread().word),
        previousComponent_(detail::GateThread().component),
        previousEntryPoint_(detail::GateThread().driverEntryPoint) {
    if ((previousWord_ & detail::kGateDriverBit) == 0) detail::GateThread().wordOutsideDriver = previousWord_;
    detail::GateThread().word = (previousWord_ & detail::kGatePhaseMask) | detail::kGateDriverBit |
                                detail::PackGateWord(GatePolicy::Count, GatePolicy::Count, Phase{});
    detail::GateThread().component = entryPoint;
    detail::GateThread().driverEntryPoint = entryPoint;
    detail::GateCompilerBarrier();
    detail::TellRealtimeSanitizer();
  }
  ~DriverCallScope() noexcept STADIAL_NONALLOCATING {
    detail::GateCompilerBarrier();
    detail::GateThread().word = previousWord_;
    detail::GateThread().component = previousComponent_;
    detail::GateThread().driverEntryPoint = previousEntryPoint_;
    detail::TellRealtimeSanitizer();
  }
  DriverCallScope(const DriverCallScope&) = delete;
  DriverCallScope& operator=(const DriverCallScope&) = delete;

 private:
  std::uint64_t previousWord_;
  const char* previousComponent_;
  const char* previousEntryPoint_;
};

// Around our own code that a driver calls back (VkAllocationCallbacks, a debug messenger): the policies that
// held outside the driver call hold again, so a callback cannot hide behind the driver. On a thread of the
// driver's, and outside of a driver call, it changes no policy. `component` must outlive the scope.
class [[nodiscard]] DriverCallbackScope {
 public:
  explicit DriverCallbackScope(const char* component) noexcept
      : previousWord_(detail::GateThread().word), previousComponent_(detail::GateThread().component) {
    if ((previousWord_ & detail::kGateDriverBit) != 0)
      detail::GateThread().word = detail::GateThread().wordOutsideDriver;
    detail::GateThread().component = component;
    detail::GateCompilerBarrier();
    detail::TellRealtimeSanitizer();
  }
  ~DriverCallbackScope() {
    detail::GateCompilerBarrier();
    detail::GateThread().word = previousWord_;
    detail::GateThread().component = previousComponent_;
    detail::TellRealtimeSanitizer();
  }
  DriverCallbackScope(const DriverCallbackScope&) = delete;
  DriverCallbackScope& operator=(const DriverCallbackScope&) = delete;

 private:
  std::uint64_t previousWord_;
  const char* previousComponent_;
};

// The calling thread's counters since it was registered (unregistered: since it started).
GateThreadCounters CurrentThreadCounters() noexcept STADIAL_NONALLOCATING;

// The sum over all threads of `role`, ended registrations included, so it never decreases. For
// ThreadRole::Unregistered: the "other threads", counted while frames run, frees and bytes included.
void CountersByRole(ThreadRole role, GateThreadCounters& counters) noexcept;

// Direct allocations (malloc or new, not VkAllocationCallbacks) that are not our code's, while frames run.
struct DriverCounters {
  std::uint64_t frameThread = 0;    // inside DriverCallScope on Frame threads
  std::uint64_t workerThreads = 0;  // … on Worker threads
  std::uint64_t submitThread = 0;   // … on Submit threads
  std::uint64_t otherThreads = 0;   // on unregistered threads, inside a DriverCallScope or not
};
DriverCounters CurrentDriverCounters() noexcept STADIAL_NONALLOCATING;

// Blocks of another allocator (of a library loaded with RTLD_DEEPBIND, say) that were given to our free or
// realloc, and went back to the C library. Not zero: something bypasses the gate, see ScanModules. 0 without
// the gate object.
std::uint64_t ForeignBlocksFreed() noexcept;

// Tells the gate that the frame loop is live. While it is, allocations of unregistered threads and those
// inside DriverCallScope are counted. One process-wide flag, set at Compile → Frame and cleared at Frame →
// anything.
void SetFramesRunning(bool running) noexcept STADIAL_NONALLOCATING;
bool FramesRunning() noexcept;

// The frame index that reports print, and by which they are limited: at most kGateReportsPerFrameMax
// descriptions per thread and frame, the rest only counted. Process-wide; one relaxed store.
void SetGateFrame(std::uint64_t frameIndex) noexcept STADIAL_NONALLOCATING;
inline constexpr std::uint32_t kGateReportsPerFrameMax = 8;

struct GateSelfTestResult {
  GateState state = GateState::Disarmed;
  std::uint32_t formsTested =
      0;  // entry points of the malloc family and of new/delete, and two library-internal calls
  std::uint32_t formsSeen = 0;
  char method[64] =
      {};  // how allocations are seen: "malloc family and operators over mimalloc", "sanitizer hooks", …
  char why[256] = {};  // one sentence: what was seen, or what is missing and what to do
};

// Plants one call of every form on the calling thread and demands that the gate sees each. ARMED: all seen.
// PARTIAL: some. DISARMED: none, and why. Runs once per process (about 10 µs); later calls return the first
// result.
const GateSelfTestResult& RunGateSelfTest() noexcept;

// The state that the self-test found; Disarmed before it ran. One load.
GateState CurrentGateState() noexcept;

// For games that keep their own malloc: call GateOnAllocate before handing out memory, GateOnAllocated
// after, and GateOnFree before taking a block back. False: refuse (return null; keep the block). All three
// cost two loads and a branch while the gate has nothing to do.
[[nodiscard]] [[gnu::always_inline]] inline bool GateOnAllocate(std::size_t sizeBytes) noexcept {
  if (!detail::GateHasWork()) [[likely]]
    return true;
  return detail::GateBeforeAllocate(detail::GateCall::Hook, sizeBytes, __builtin_return_address(0));
}
[[gnu::always_inline]] inline void GateOnAllocated(void* block, std::size_t sizeBytes) noexcept {
  if (!detail::GateHasWork()) [[likely]]
    return;
  detail::GateAfterAllocate(detail::GateCall::Hook, block, sizeBytes, __builtin_return_address(0));
}
[[nodiscard]] [[gnu::always_inline]] inline bool GateOnFree(void* block) noexcept {
  if (!detail::GateHasWork()) [[likely]]
    return true;
  return detail::GateBeforeFree(detail::GateCall::Hook, block, __builtin_return_address(0));
}

}  // namespace stadial::runtime
