// FrameLoop: N frames in flight over N frame slots. Begin waits until the GPU work that used the slot has
// completed, rewinds the slot's lanes (R5: never earlier), retires old plans and deferred objects and closes
// the gate; End opens it again and records the frame in the audit. The completion value is the only "free"
// signal: a plain, never falling uint64.
//
//   FrameContext* frame = loop.Begin().Value();     // slot = frameIndex % framesInFlight
//   ... work; memory from *frame->lane ...
//   loop.End(value);                                // the slot is free again when `value` is reached
//
// Threads: everything here belongs to the frame thread, except that a CompletionSource may be fed by others.
// Cost: Begin and End together stay below 1 us without waiting. Neither allocates nor makes a VM syscall.
#pragma once

#include <cstdint>
#include <span>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/lanes.h"
#include "stadial/arenas/quarantine.h"
#include "stadial/arenas/result.h"
#include "stadial/runtime/clock.h"
#include "stadial/runtime/log.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

class CompileMemory;
class DeferredQueue;
class EventBus;
class FallbackRegistry;
class FrameAudit;
class FramePacer;
class PhaseMachine;
class Telemetry;

inline constexpr std::uint32_t kFramesInFlightMax = 8;
inline constexpr std::uint32_t kLanesMax = 64;
inline constexpr std::uint64_t kWaitDeadlineNsDefault =
    10'000'000'000;  // 10 s: longer than any driver's own watchdog

// Where completion values come from: a GPU timeline, or nothing at all.
class CompletionSource {
 public:
  virtual ~CompletionSource() = default;
  // The highest value completed so far; never falls. Does not block.
  virtual std::uint64_t CompletedValue() noexcept STADIAL_NONALLOCATING = 0;
  // Blocks until `value` is completed; Timeout after `timeoutNs`, DeviceLost when it will never be.
  virtual Result<void> WaitForValue(std::uint64_t value,
                                    std::uint64_t timeoutNs) noexcept STADIAL_NONALLOCATING = 0;
};

// Without a GPU: a frame's value is complete as soon as End has stated it.
class ImmediateCompletion final : public CompletionSource {
 public:
  void Complete(std::uint64_t value) noexcept STADIAL_NONALLOCATING { completed_ = value; }
  std::uint64_t CompletedValue() noexcept override { return completed_; }
  Result<void> WaitForValue(std::uint64_t value, std::uint64_t timeoutNs) noexcept override;

 private:
  std::uint64_t completed_ = 0;
};

// One frame, from Begin to End. Pointers into it and into its lanes are invalid after the slot is used again.
struct FrameContext {
  std::uint64_t frameIndex = 0;       // 0, 1, 2, ...
  std::uint32_t slot = 0;             // frameIndex % framesInFlight
  arenas::Arena* lane = nullptr;      // the frame thread's own lane: lane 0
  arenas::LaneSet* lanes = nullptr;   // all lanes of the slot, one per thread
  std::uint64_t completionValue = 0;  // the value End is expected to state: frameIndex + 1
  std::uint64_t excludedNs = 0;  // node code, driver calls and waiting so far: not the runtime's own time
  std::uint64_t waitedNs = 0;    // of these, waiting for the GPU
  std::uint64_t budgetDeferrals = 0;  // work that a budget put off or refused; whoever does so adds to it
};

// Adds its own lifetime to frame.excludedNs. Do not nest: time would count twice.
class ExcludedTime {
 public:
  explicit ExcludedTime(FrameContext& frame) noexcept : frame_(frame), startNs_(NowNs()) {}
  ExcludedTime(const ExcludedTime&) = delete;
  ExcludedTime& operator=(const ExcludedTime&) = delete;
  ~ExcludedTime() { frame_.excludedNs += NowNs() - startNs_; }

 private:
  FrameContext& frame_;
  std::uint64_t startNs_;
};

class FrameLoop {
 public:
  struct FrameThread;  // gate scope, witness and counters of the frame thread; defined by the runtime

  struct Options {
    std::uint64_t waitDeadlineNs = kWaitDeadlineNsDefault;
    LogSink log = {};
  };

  // What the loop works on; each may be null. Without `thread` it neither closes the gate nor counts.
  struct Parts {
    CompileMemory* compile = nullptr;
    EventBus* events = nullptr;             // told when a frame begins
    FallbackRegistry* fallbacks = nullptr;  // likewise
    FrameAudit* audit = nullptr;
    DeferredQueue* deferred = nullptr;  // retired up to the completed value
    FrameThread* thread = nullptr;
    FramePacer* pacer = nullptr;     // Begin waits for its deadline first
    Telemetry* telemetry = nullptr;  // End publishes the frame
    // One per slot, in the order of the slots: a rewound frame becomes inaccessible. Or none.
    std::span<arenas::Quarantine> quarantines = {};
  };

  // `slots`: one LaneSet per frame in flight, 1 to kFramesInFlightMax of them.
  FrameLoop(std::span<arenas::LaneSet> slots, PhaseMachine& phases, const Parts& parts,
            const Options& options) noexcept;
  FrameLoop(const FrameLoop&) = delete;
  FrameLoop& operator=(const FrameLoop&) = delete;

  // Opens the next frame. In phase Compile with no plan being built it makes the transition to Frame itself.
  // Errors, after which no frame is open and Begin may be called again:
  //   WrongPhase   in Setup or Shutdown, or while a plan is being built, or with a frame already open
  //   Timeout      the slot's value was not reached within the deadline; names slot and values
  //   DeviceLost   and others, as the completion source says; with quarantines those of Quarantine::Rotate
  Result<FrameContext*> Begin() noexcept STADIAL_NONALLOCATING;
  // The same for a program that counts its frames itself: this is frame `frameIndex`, in slot
  // frameIndex % framesInFlight, and the next one without an index is frameIndex + 1. Indices may leave gaps;
  // the histories know the frames between as skipped. InvalidArgument, besides the errors above: below
  // FrameIndex(), or the last index there is.
  Result<FrameContext*> Begin(std::uint64_t frameIndex) noexcept STADIAL_NONALLOCATING;

  // Closes the frame. Its slot is free when the completion source reaches `completionValue`, which must not
  // be smaller than the last one (asserted). Without a frame open: asserted.
  void End(std::uint64_t completionValue) noexcept STADIAL_NONALLOCATING;

  // Waits until every ended frame has completed, and retires what they have freed; Timeout and others as
  // Begin. Not inside a frame (asserted).
  Result<void> Drain() noexcept;

  // Null: back to ImmediateCompletion. Not inside a frame; every frame so far must have completed (asserted):
  // the values of two sources cannot be compared. The new source may count from where it likes. What is
  // deferred runs before.
  void SetCompletionSource(CompletionSource* source) noexcept;
  CompletionSource& Source() noexcept { return *source_; }

  std::uint64_t FrameIndex() const noexcept { return frameIndex_; }  // of the open frame, or of the next one
  std::uint32_t FramesInFlight() const noexcept { return static_cast<std::uint32_t>(slots_.size()); }
  bool IsFrameOpen() const noexcept { return isOpen_; }
  std::uint64_t LastStatedValue() const noexcept { return lastStatedValue_; }
  // The value that frees `slot`; 0 when it has never been used since the source was set.
  std::uint64_t SlotValue(std::uint32_t slot) const noexcept { return slotValues_[slot]; }
  std::uint64_t WaitCount() const noexcept { return waits_; }  // frames that had to wait for their slot
  std::span<arenas::LaneSet> Slots() noexcept { return slots_; }

  // For CompileMemory: its VM syscalls are the Compile phase's, not the frame's.
  void SuspendWitness() noexcept;
  void ResumeWitness() noexcept;
  // Waits until `value` is completed, with the loop's deadline; inside a frame the time is excluded. `what`
  // and `number` name in the error what is waited for ("frame slot", 1).
  Result<void> WaitForValue(std::uint64_t value, const char* what,
                            std::uint32_t number) noexcept STADIAL_NONALLOCATING;

 private:
  Result<void> CheckCanBegin() noexcept STADIAL_NONALLOCATING;
  std::uint64_t RetireDeferred(std::uint64_t completed) noexcept;

  std::span<arenas::LaneSet> slots_;
  PhaseMachine& phases_;
  Parts parts_;
  CompletionSource* source_;
  std::uint64_t frameIndex_ = 0;
  std::uint32_t slotIndex_ = 0;
  bool isOpen_ = false;
  std::uint64_t lastStatedValue_ = 0;
  std::uint64_t waits_ = 0;
  std::uint64_t pacedNs_ = 0;
  std::uint64_t beginNs_ = 0;
  std::uint64_t endNs_ = 0;
  std::uint64_t slotValues_[kFramesInFlightMax] = {};
  FrameContext context_;
  ImmediateCompletion immediate_;
  Options options_;
};

}  // namespace stadial::runtime
