// What a Runtime consists of. Private to the runtime.
#pragma once

#include <optional>

#include "frame_thread.h"
#include "late.h"
#include "stadial/arenas/fallback_heap.h"
#include "stadial/runtime/designated_fallback.h"
#include "stadial/runtime/kernel_proof.h"
#include "stadial/runtime/kernel_witness.h"
#include "stadial/runtime/phase_ledger.h"
#include "stadial/runtime/runtime.h"

namespace stadial::runtime {

inline constexpr std::size_t kWorkersAlignment = 64;

// runtime_options.cpp
Result<void> CheckOptions(const RuntimeOptions& options) noexcept;
RuntimeOptions Rounded(RuntimeOptions options) noexcept;              // and whatever follows from them
std::uint32_t WorkerCountOf(const RuntimeOptions& options) noexcept;  // the frame thread included

// The runner that is there from the start, on whatever runs the jobs now.
class CurrentRunner final : public TaskRunner {
 public:
  explicit CurrentRunner(const RuntimeOptions& options) noexcept
      : target_(options.taskRunner), workerCount_(WorkerCountOf(options)) {}
  std::uint32_t WorkerCount() const noexcept override { return workerCount_; }
  void Run(Job job, void* data) noexcept override {
    target_ != nullptr ? target_->Run(job, data) : job(data, 0);
  }
  void SetTarget(TaskRunner* target) noexcept { target_ = target; }

 private:
  TaskRunner* target_;  // null: the calling thread
  std::uint32_t workerCount_;
};

// What the frame thread meets in Setup, Compile and Shutdown, for as long as the phase lasts. Where that is
// Allow it opens no scope.
class PhaseGate final : public PhaseObserver {
 public:
  explicit PhaseGate(const GateRules& rules) noexcept : rules_(rules) {}
  void OnTransition(Phase from, Phase to) noexcept override {
    Open();
    if (next_ != nullptr) next_->OnTransition(from, to);
    Close(to);
  }
  void Close(Phase phase) noexcept {
    const GateRule& rule = rules_.Of(phase);
    if (phase != Phase::Frame && rule != GateRule{})
      scope_.emplace(rule.allocate, rule.free, phase, "outside of frames");
  }
  void Open() noexcept { scope_.reset(); }
  void SetNext(PhaseObserver* next) noexcept { next_ = next; }  // told as well

 private:
  GateRules rules_;
  PhaseObserver* next_ = nullptr;
  std::optional<GateScope> scope_;
};

struct Runtime::State {
  State(const RuntimeOptions& rounded, arenas::Region&& reserved, std::source_location site) noexcept
      : options(rounded),
        region(std::move(reserved)),
        phases(site),
        phaseGate(rounded.gate.Of(GateRole::Frame)),
        audit(rounded.warmupFrames, rounded.hitches),
        pacer(rounded.pacing),
        runner(rounded) {}

  RuntimeOptions options;
  arenas::Region region;
  arenas::Segment* setupSegment = nullptr;
  arenas::Segment* driverSegment = nullptr;
  arenas::Segment* fallbackSegment = nullptr;
  arenas::Arena setup;
  arenas::Arena
      sealedSetup;  // takes the place of setup at the seal: nothing allocates from it, its guards stay
  bool isSetupSealed = false;
  PhaseMachine phases;
  PhaseGate phaseGate;
  FrameAudit audit;
  FramePacer pacer;
  Late<ThreadRegistration> registration;
  Late<AllocationTracker> tracker;  // with RuntimeOptions::trackAllocations
  Late<PhaseLedger> ledger;
  Late<VmSyscallWitness> witness;
  char witnessReason[arenas::kErrorMessageBytesMax] = {};
  Late<KernelProof> proof;
  bool isProofAsked = false;
  KernelProofScope proofScope = KernelProofScope::Process;
  char proofReason[arenas::kErrorMessageBytesMax] = {};
  std::uint64_t proofFirstFrame = 0;
  std::uint64_t proofFrames = 0;  // of the proofs that ended
  std::uint64_t proofDenied = 0;
  const char* faultsReason = nullptr;  // null: the frame thread's faults are counted
  arenas::FallbackHeap* fallbackHeap = nullptr;
  FallbackRegistry* fallbacks = nullptr;
  Late<BudgetTable> budgets;
  Budget* hostBudget = nullptr;
  Late<CompileMemory> compile;
  Late<EventBus> events;
  Late<DeferredQueue> deferred;
  CurrentRunner runner;
  TaskSystem* tasks = nullptr;
  arenas::Arena workersMemory;
  WorkerThreadsPtr workers;
  Late<FrameLoop::FrameThread> frameThread;
  Late<FrameLoop> frames;
  std::span<arenas::LaneSet> slots;
  std::span<arenas::Quarantine> quarantines;  // one per slot, or none
  Telemetry* telemetry = nullptr;

  Result<void> Build() noexcept;
  Result<arenas::Segment*> AddCommitted(const char* name, std::size_t bytes,
                                        std::size_t alignment = 0) noexcept;
  Result<void> BuildFrameSlots() noexcept;
  Result<void> BuildFallbacks() noexcept;
  Result<void> BuildQueues() noexcept;
  Result<void> BuildTelemetry() noexcept;
  Result<void> StartWorkers() noexcept;
  void StopWorkers(bool wasInFrames) noexcept;
  void StartWitness() noexcept;
  void FillQueues(AuditReport& report);
};

}  // namespace stadial::runtime
