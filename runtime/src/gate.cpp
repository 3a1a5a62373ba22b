#include "stadial/runtime/gate.h"

#include <cstdlib>

#include "allocation_tracker_access.h"
#include "gate_counters.h"
#include "gate_object.h"
#include "gate_report.h"
#include "thread_registry_table.h"

namespace stadial::runtime {
namespace detail {

constinit thread_local GateThreadState gateThread [[gnu::tls_model("initial-exec")]];
#if STADIAL_REALTIME_SANITIZER
constinit thread_local bool isRealtime [[gnu::tls_model("initial-exec")]];
#endif
constinit std::atomic<std::uint32_t> gateProcessFlags{0};
constinit std::atomic<std::uint64_t> gateFrame{kNoGateFrame};

namespace {

constinit GateTally otherThreads;  // unregistered threads while frames run; shared, so locked instructions
constinit std::atomic<std::uint64_t> otherThreadsWord{
    PackGateWord(GatePolicy::Count, GatePolicy::Count, Phase::Frame)};

void AddShared(std::atomic<std::uint64_t>& counter, std::uint64_t amount) noexcept {
  counter.fetch_add(amount, std::memory_order_relaxed);
}

// Everything inside is the gate's own and passes the gate unseen.
class BusyScope {
 public:
  BusyScope() noexcept {
    gateThread.word |= kGateBusyBit;
    GateCompilerBarrier();
  }
  ~BusyScope() {
    GateCompilerBarrier();
    gateThread.word &= ~kGateBusyBit;
  }
};

bool MayPrint(GateThreadState& thread) noexcept {
  const std::uint64_t frame = GateFrame();
  if (thread.lastReportFrame != frame) {
    thread.lastReportFrame = frame;
    thread.reportsInFrame = 0;
  }
  return thread.reportsInFrame++ < kGateReportsPerFrameMax;
}

// Under Report, Deny and Trap: true lets the call proceed.
bool Judge(GateViolation violation) noexcept {
  GateThreadState& thread = gateThread;
  GateTally& tally = CurrentTally();
  if (violation.call == GateCall::Sanitizer && violation.policy == GatePolicy::Deny) {
    violation.policy = GatePolicy::Report;
    violation.note = "the policy is Deny, but a sanitizer's hook cannot refuse";
  }
  if (violation.policy == GatePolicy::Deny) {
    AddOwn(tally.denied, 1);
    return false;
  }
  BusyScope busy;
  if (violation.policy == GatePolicy::Trap) {
    PrintGateViolation(violation);
    std::abort();
  }
  AddOwn(tally.reports, 1);
  if (MayPrint(thread)) PrintGateViolation(violation);
  return true;
}

// Of threads that are not ours, in a driver call or outside of any scope.
void CountOther(GateViolation violation) noexcept {
  const bool isInScope = (gateThread.word & kGateScopeBit) != 0;
  const std::uint64_t word = isInScope ? PackGateWord(GatePolicy::Count, GatePolicy::Count, Phase::Frame)
                                       : otherThreadsWord.load(std::memory_order_relaxed);
  violation.policy = static_cast<GatePolicy>((violation.isFree ? word >> kGateFreeShift : word) & 0xFF);
  if (violation.policy == GatePolicy::Allow) return;
  AddShared(violation.isFree ? otherThreads.frees : otherThreads.allocations, 1);
  if (!violation.isFree) AddShared(otherThreads.allocatedBytes, violation.sizeBytes);
  if (violation.policy == GatePolicy::Count) return;
  AddShared(otherThreads.reports, 1);
  const GateScope scope(GatePolicy::Allow, GatePolicy::Allow, Phase::Frame, "thread that is not registered");
  Judge(violation);
}

// Allocations that no policy of ours covers: a driver's, and those of threads that are not ours.
void CountForeign(const GateThreadState& thread, const GateViolation& violation) noexcept {
  if ((gateProcessFlags.load(std::memory_order_relaxed) & kGateFramesRunning) == 0) return;
  if (thread.slot == nullptr) {
    CountOther(violation);
  } else if ((thread.word & kGateDriverBit) != 0 && !violation.isFree) {
    AddOwn(CurrentTally().driverAllocations, 1);
  }
}

}  // namespace

void SetGateProcessFlag(std::uint32_t flag, bool on) noexcept {
  if (on) {
    gateProcessFlags.fetch_or(flag, std::memory_order_seq_cst);
  } else {
    gateProcessFlags.fetch_and(~flag, std::memory_order_seq_cst);
  }
  const GateObject* const object =
      StadialGateObject == nullptr
          ? nullptr
          : STADIAL_EFFECTS_REVIEWED("a table that the self-test has filled", StadialGateObject());
  if (object == nullptr || object->watch == nullptr) return;
  // No lock, because a forked child may be here: whoever finds that the flags moved on tells the object
  // again.
  std::uint32_t told = 0;
  do {
    told = gateProcessFlags.load(std::memory_order_seq_cst);
    object->watch(told != 0);
  } while (gateProcessFlags.load(std::memory_order_seq_cst) != told);
}

void SetGateOtherThreads(GatePolicy allocate, GatePolicy free) noexcept {
  otherThreadsWord.store(PackGateWord(allocate, free, Phase::Frame), std::memory_order_relaxed);
}

const char* ToString(GateCall call) noexcept {
  switch (call) {
    case GateCall::Malloc:
      return "malloc";
    case GateCall::Calloc:
      return "calloc";
    case GateCall::Realloc:
      return "realloc";
    case GateCall::ReallocArray:
      return "reallocarray";
    case GateCall::Memalign:
      return "memalign";
    case GateCall::PosixMemalign:
      return "posix_memalign";
    case GateCall::AlignedAlloc:
      return "aligned_alloc";
    case GateCall::Valloc:
      return "valloc";
    case GateCall::Pvalloc:
      return "pvalloc";
    case GateCall::Free:
      return "free";
    case GateCall::New:
      return "operator new";
    case GateCall::NewArray:
      return "operator new[]";
    case GateCall::Delete:
      return "operator delete";
    case GateCall::DeleteArray:
      return "operator delete[]";
    case GateCall::Hook:
      return "the game's own malloc";
    case GateCall::Sanitizer:
      return "malloc or new (seen by the sanitizer)";
  }
  return "unknown call";
}

bool GateBeforeAllocate(GateCall call, std::size_t sizeBytes, const void* caller) noexcept {
  const GateThreadState& thread = gateThread;
  if ((thread.word & kGateBusyBit) != 0) return true;
  const bool isHook = call == GateCall::Hook || call == GateCall::Sanitizer;
  if (isHook && (thread.word & kGateFallbackBit) != 0 && GateChargeFallback(sizeBytes)) return true;
  const auto policy = static_cast<GatePolicy>(thread.word & 0xFF);
  if (policy == GatePolicy::Allow || (thread.word & kGateDriverBit) != 0) {
    CountForeign(thread, {call, false, sizeBytes, nullptr, policy, caller, nullptr});
    return true;
  }
  GateTally& tally = CurrentTally();
  AddOwn(tally.allocations, 1);
  AddOwn(tally.allocatedBytes, sizeBytes);
  if (policy == GatePolicy::Count) return true;
  return Judge({call, false, sizeBytes, nullptr, policy, caller, nullptr});
}

bool GateBeforeFree(GateCall call, void* block, const void* caller) noexcept {
  const GateThreadState& thread = gateThread;
  if ((thread.word & kGateBusyBit) != 0) return true;
  if (call == GateCall::Hook || call == GateCall::Sanitizer) {
    if ((thread.word & (kGateFallbackBit | kGateDriverBit)) == kGateFallbackBit) return true;
  }
  const auto policy = static_cast<GatePolicy>((thread.word >> kGateFreeShift) & 0xFF);
  if (policy == GatePolicy::Allow || (thread.word & kGateDriverBit) != 0) {
    CountForeign(thread, {call, true, 0, block, policy, caller, nullptr});
  } else {
    AddOwn(CurrentTally().frees, 1);
    if (policy != GatePolicy::Count && !Judge({call, true, 0, block, policy, caller, nullptr})) return false;
  }
  if ((gateProcessFlags.load(std::memory_order_relaxed) & kGateTrackersActive) != 0)
    NotifyTrackersOfFree(block);
  return true;
}

void GateAfterAllocate(GateCall, void* block, std::size_t sizeBytes, const void* caller) noexcept {
  if ((gateThread.word & kGateBusyBit) != 0) return;
  if ((gateProcessFlags.load(std::memory_order_relaxed) & kGateTrackersActive) != 0) {
    NotifyTrackersOfAllocation(block, sizeBytes, caller);
  }
}

void GateAbortDeniedNew(GateCall call, std::size_t sizeBytes) noexcept {
  BusyScope busy;
  PrintGateViolation({call, false, sizeBytes, nullptr, GatePolicy::Deny, __builtin_return_address(0),
                      "a throwing operator new cannot return null: aborting"});
  std::abort();
}

}  // namespace detail

const char* ToString(GatePolicy policy) noexcept {
  switch (policy) {
    case GatePolicy::Allow:
      return "Allow";
    case GatePolicy::Count:
      return "Count";
    case GatePolicy::Report:
      return "Report";
    case GatePolicy::Deny:
      return "Deny";
    case GatePolicy::Trap:
      return "Trap";
  }
  return "Unknown";
}

const char* ToString(GateState state) noexcept {
  switch (state) {
    case GateState::Disarmed:
      return "DISARMED";
    case GateState::Partial:
      return "PARTIAL";
    case GateState::Armed:
      return "ARMED";
  }
  return "UNKNOWN";
}

GateThreadCounters CurrentThreadCounters() noexcept {
  GateThreadCounters counters;
  detail::AddTo(counters, detail::CurrentTally());
  if (const detail::GateThreadSlot* slot = detail::GateThread().slot; slot != nullptr) {
    counters.allocations -= slot->baseline.allocations;
    counters.allocatedBytes -= slot->baseline.allocatedBytes;
    counters.frees -= slot->baseline.frees;
    counters.denied -= slot->baseline.denied;
    counters.reports -= slot->baseline.reports;
  }
  return counters;
}

void CountersByRole(ThreadRole role, GateThreadCounters& counters) noexcept {
  counters = GateThreadCounters{};
  if (role == ThreadRole::Unregistered) {
    detail::AddTo(counters, detail::otherThreads);
    return;
  }
  for (std::uint32_t index = 0; index < kRegisteredThreadsMax; ++index) {
    detail::AddTo(counters, detail::ThreadSlots()[index].tallies[static_cast<std::size_t>(role)]);
  }
}

DriverCounters CurrentDriverCounters() noexcept {
  DriverCounters counters;
  const auto sum = [](ThreadRole role) noexcept {
    std::uint64_t total = 0;
    for (std::uint32_t index = 0; index < kRegisteredThreadsMax; ++index) {
      total += detail::ThreadSlots()[index].tallies[static_cast<std::size_t>(role)].driverAllocations.load(
          std::memory_order_relaxed);
    }
    return total;
  };
  counters.frameThread = sum(ThreadRole::Frame);
  counters.workerThreads = sum(ThreadRole::Worker);
  counters.submitThread = sum(ThreadRole::Submit);
  counters.otherThreads = detail::otherThreads.allocations.load(std::memory_order_relaxed);
  return counters;
}

void SetFramesRunning(bool running) noexcept {
  detail::SetGateProcessFlag(detail::kGateFramesRunning, running);
}

bool FramesRunning() noexcept {
  return (detail::gateProcessFlags.load(std::memory_order_relaxed) & detail::kGateFramesRunning) != 0;
}

void SetGateFrame(std::uint64_t frameIndex) noexcept {
  detail::gateFrame.store(frameIndex, std::memory_order_relaxed);
}

std::uint64_t ForeignBlocksFreed() noexcept {
  const detail::GateObject* const object = StadialGateObject == nullptr ? nullptr : StadialGateObject();
  if (object == nullptr || object->foreignBlocks == nullptr) return 0;
  return object->foreignBlocks->load(std::memory_order_relaxed);
}

}  // namespace stadial::runtime
