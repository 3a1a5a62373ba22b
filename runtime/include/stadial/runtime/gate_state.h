// The gate's per-thread and process-wide state, and the two-load test on the hot path of every allocation.
// This header exists so that scopes and hooks inline; include gate.h instead.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "stadial/arenas/effects.h"
#include "stadial/runtime/phase.h"

namespace stadial::runtime {

class FallbackSite;

// What happens to an allocation, or to a free, on a thread that stands inside a GateScope.
enum class GatePolicy : std::uint8_t {
  Allow,   // served, not counted
  Count,   // served and counted
  Report,  // served, counted, and described on standard error with its stack
  Deny,    // refused as the form demands: null, or std::bad_alloc from a throwing new; a freed block stays
           // allocated
  Trap,    // described like Report, then abort(), before any memory is handed out or returned
};

enum class ThreadRole : std::uint8_t { Unregistered, Frame, Worker, Submit };

// What one thread's own code did while its policy was Count or stricter. Driver calls are counted elsewhere
// (DriverCounters). A realloc is an allocation, and also a free when it is given a block.
struct GateThreadCounters {
  std::uint64_t allocations = 0;
  std::uint64_t allocatedBytes = 0;  // as requested, before rounding
  std::uint64_t frees = 0;
  std::uint64_t denied = 0;   // allocations and frees refused
  std::uint64_t reports = 0;  // violations under Report, printed or beyond the print limit
};

namespace detail {

// Written by one thread, read by any: each step is a relaxed load and store, never a locked instruction.
struct GateTally {
  std::atomic<std::uint64_t> allocations{0};
  std::atomic<std::uint64_t> allocatedBytes{0};
  std::atomic<std::uint64_t> frees{0};
  std::atomic<std::uint64_t> denied{0};
  std::atomic<std::uint64_t> reports{0};
  std::atomic<std::uint64_t> driverAllocations{0};
};

struct GateThreadSlot;

// `word` packs what a scope saves and restores in one move: allocate policy (bits 0-7), free policy (8-15),
// inside a driver call (16), inside the gate's own code (17), inside a
// FallbackScope (18), phase (32-39), inside a GateScope (40). The low half is zero exactly
// when the thread has nothing for the gate to do.
inline constexpr std::uint64_t kGateFreeShift = 8;
inline constexpr std::uint64_t kGateDriverBit = std::uint64_t{1} << 16;
inline constexpr std::uint64_t kGateBusyBit = std::uint64_t{1} << 17;
inline constexpr std::uint64_t kGateFallbackBit = std::uint64_t{1} << 18;
inline constexpr std::uint64_t kGatePhaseShift = 32;
inline constexpr std::uint64_t kGatePhaseMask = std::uint64_t{0xFF} << kGatePhaseShift;
inline constexpr std::uint64_t kGateScopeBit = std::uint64_t{1} << 40;

struct GateThreadState {
  std::uint64_t word = 0;
  const char* component = nullptr;
  const char* driverEntryPoint = nullptr;  // of the innermost driver call; null outside of one
  std::uint64_t wordOutsideDriver = 0;     // the thread's own policies, while it is inside a driver call
  GateThreadSlot* slot = nullptr;          // null on unregistered threads
  FallbackSite* fallback = nullptr;        // of the innermost FallbackScope
  std::uint64_t lastReportFrame = 0;       // reports are limited per frame
  std::uint32_t reportsInFrame = 0;
  std::uint32_t registrations = 0;  // nesting depth of ThreadRegistration
  GateTally* tally = nullptr;       // where the thread counts; null: in `own`
  GateTally own;
};

// Trivially constructed and destroyed, so that the first malloc of the process and the last one of a thread
// find it.
extern constinit thread_local GateThreadState gateThread [[gnu::tls_model("initial-exec")]];

// The same variable, for functions that run in a frame: it is part of the thread's first block of memory, and
// reading it calls nothing.
[[gnu::always_inline]] inline GateThreadState& GateThread() noexcept STADIAL_NONALLOCATING {
  return STADIAL_EFFECTS_REVIEWED("initial-exec thread-local storage", gateThread);
}

inline constexpr std::uint32_t kGateTrackersActive = 1;
inline constexpr std::uint32_t kGateFramesRunning = 2;
extern constinit std::atomic<std::uint32_t> gateProcessFlags;

// Compilers know that malloc neither reads nor writes variables of the program, and would drop or move a
// policy that is set before a malloc and reset after it.
[[gnu::always_inline]] inline void GateCompilerBarrier() noexcept { asm volatile("" ::: "memory"); }

constexpr std::uint64_t PackGateWord(GatePolicy allocate, GatePolicy free, Phase phase) noexcept {
  return static_cast<std::uint64_t>(allocate) | (static_cast<std::uint64_t>(free) << kGateFreeShift) |
         (static_cast<std::uint64_t>(phase) << kGatePhaseShift) | kGateScopeBit;
}

// Zero while the thread's own policies leave the gate nothing to do.
[[gnu::always_inline]] inline std::uint32_t GateThreadBits() noexcept {
  return static_cast<std::uint32_t>(GateThread().word);
}
// The same with what the process wants to hear of: one thread-local load, one load and an or.
[[gnu::always_inline]] inline std::uint32_t GateWorkBits() noexcept {
  return GateThreadBits() | gateProcessFlags.load(std::memory_order_relaxed);
}
[[gnu::always_inline]] inline bool GateHasWork() noexcept { return GateWorkBits() != 0; }

// Which entry point a call came through; the names of ToString are what reports print.
enum class GateCall : std::uint8_t {
  Malloc,
  Calloc,
  Realloc,
  ReallocArray,
  Memalign,
  PosixMemalign,
  AlignedAlloc,
  Valloc,
  Pvalloc,
  Free,
  New,
  NewArray,
  Delete,
  DeleteArray,
  Hook,
  Sanitizer,
};
const char* ToString(GateCall call) noexcept;

// The slow half. `caller` is the return address of the entry point. Before* decides: true lets the call
// proceed, false refuses it, and a trap does not return. AfterAllocate tells the trackers about a block that
// was handed out.
bool GateBeforeAllocate(GateCall call, std::size_t sizeBytes, const void* caller) noexcept;
void GateAfterAllocate(GateCall call, void* block, std::size_t sizeBytes, const void* caller) noexcept;
bool GateBeforeFree(GateCall call, void* block, const void* caller) noexcept;
// Designated fallbacks. Null: the thread stands in no FallbackScope, or its site refuses. Blocks of sites are
// told by their addresses: GateFallbackBlockBytes is 0 for every other block, and GateFreeToFallback asserts
// on one.
void* GateAllocateFromFallback(std::size_t sizeBytes, std::size_t alignment) noexcept;
std::size_t GateFallbackBlockBytes(const void* block) noexcept;
void GateFreeToFallback(void* block) noexcept;
// Where the memory is not the gate's to choose (hooks): may the site take this much more? Counted as served.
bool GateChargeFallback(std::size_t sizeBytes) noexcept;

// A throwing operator new was refused in a program without exceptions: says so and aborts.
[[noreturn]] void GateAbortDeniedNew(GateCall call, std::size_t sizeBytes) noexcept;

}  // namespace detail
}  // namespace stadial::runtime
