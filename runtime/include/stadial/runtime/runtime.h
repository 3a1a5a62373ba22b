// Runtime: one reserved region, its segments and phases, and everything of the runtime layer wired together.
//
//   auto runtime = Runtime::Create({.name = "game"}).Value();  // phase Setup; this is the frame thread now
//   ... carve from runtime->SetupArena() ...
//   runtime->SealSetup();                                      // phase Compile; nothing more is carved
//   ... build a plan in runtime->Compile() ...
//   FrameContext* frame = runtime->Frames().Begin().Value();   // phase Frame: the gate is closed
//   runtime->Frames().End(frame->completionValue);
//   AuditReport report = runtime->BuildAudit();
//   runtime->Shutdown();                                       // also done by the destructor
//
// Memory map: | Setup | compile_a | compile_b | frame_0 .. frame_N-1 | driver | fallback |, guards between.
// The Runtime itself lives in its Setup segment; nothing of it is on the heap. Capacities are those of
// RuntimeOptions; sizes are rounded up to whole pages. Threads: the creating thread becomes the frame thread;
// all calls are its own unless a member says otherwise.
#pragma once

#include <cstdint>
#include <memory>
#include <source_location>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/region.h"
#include "stadial/arenas/result.h"
#include "stadial/arenas/size_literals.h"
#include "stadial/runtime/audit.h"
#include "stadial/runtime/budget.h"
#include "stadial/runtime/compile_memory.h"
#include "stadial/runtime/deferred_queue.h"
#include "stadial/runtime/event_bus.h"
#include "stadial/runtime/frame_loop.h"
#include "stadial/runtime/frame_pacing.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/gate_policies.h"
#include "stadial/runtime/hitch_detector.h"
#include "stadial/runtime/kernel_proof.h"
#include "stadial/runtime/log.h"
#include "stadial/runtime/phase.h"
#include "stadial/runtime/task_system.h"
#include "stadial/runtime/telemetry.h"
#include "stadial/runtime/worker_threads.h"

namespace stadial::runtime {

class AllocationTracker;
class FallbackRegistry;
class PhaseLedger;

struct RuntimeOptions {
  const char* name = "stadial";
  arenas::RegionOptions region = {};
  // For the program. What workers, tasks, deferred queue and budgets take comes on top (CalculateOwnBytes).
  std::size_t setupBytes = std::size_t{16} << 20;
  std::size_t compileBytes = std::size_t{4} << 20;    // of each half
  std::size_t frameLaneBytes = std::size_t{1} << 20;  // of each lane of each frame slot
  // On top of Setup, of each half of Compile and of each lane, for the guards between their allocations;
  // checked builds only (arena_checks.h). Damage is found at SealSetup and Shutdown, when a plan is sealed or
  // its half is used again, and when a frame slot is rewound.
  std::size_t setupGuardBytes = std::size_t{1} << 20;
  std::size_t compileGuardBytes = std::size_t{1} << 20;
  std::size_t frameGuardBytes = std::size_t{1} << 20;
  // 0, or address windows of each frame slot, at least 2: a rewound frame becomes inaccessible, so that a
  // stale pointer faults (quarantine.h). Takes so many times the frame memory. For hunting a bug.
  std::uint32_t quarantineWindows = 0;
  std::size_t driverBytes = std::size_t{64} << 20;    // committed when DriverSegment is first asked for
  std::size_t fallbackBytes = std::size_t{64} << 20;  // rounded up to 64 MiB
  std::uint32_t framesInFlight = 2;                   // 1 to kFramesInFlightMax
  // Threads for tasks and graph waves beside the frame thread, 0 to kLanesMax - 1; 0: all is serial. They run
  // from SealSetup to Shutdown.
  std::uint32_t workers = 0;
  // A game's own job system in their place (then workers must be 0); must outlive the runtime.
  TaskRunner* taskRunner = nullptr;
  std::uint32_t lanes = 1;  // 1 to kLanesMax; raised to one for each worker and one for the frame thread
  GatePolicies gate = GatePolicy::Trap;  // what malloc and free meet, by role and phase; or one GatePolicy
  std::uint64_t waitDeadlineNs = kWaitDeadlineNsDefault;
  bool kernelWitness = true;        // count VM syscalls of the frame thread
  std::uint64_t warmupFrames = 60;  // not judged by the audit
  FramePacingOptions pacing = {};   // none; kVrPacing for a headset
  HitchOptions hitches = {};        // what the audit takes for one
  // Track the heap from Create on, and take a snapshot at every phase boundary: Ledger(), and the audit.
  bool trackAllocations = false;
  TelemetryOptions telemetry = {};                      // nothing is published
  std::size_t eventCapacity = kEventCapacityDefault;    // of Events(); a graph sizes it again
  std::size_t eventGrowthBytes = std::size_t{4} << 20;  // budget of the bus's designated fallback
  EventBusOptions events = {};
  WorkerThreadsOptions threads = {};  // stacks and spinning; the rest follows from the options above
  TaskSystemOptions tasks = {};       // of Tasks(); policy and phases follow from `gate`
  std::size_t deferredCapacity = 64;  // records of Deferred(); a graph sizes it again
  arenas::AllocationMode deferredMode = arenas::AllocationMode::Strict;
  std::size_t deferredGrowthBytes = std::size_t{1} << 20;  // mode Fallback: budget of its designated fallback
  BudgetTableOptions budgets = {};                         // capacity of Budgets()
  BudgetLimits hostBudget = {};                            // of the heap "host": all that the region commits
  LogSink log = {};
};

class Runtime;
struct RuntimeDeleter {
  void operator()(Runtime* runtime) const noexcept;
};
using RuntimePtr = std::unique_ptr<Runtime, RuntimeDeleter>;

class Runtime {
 public:
  // InvalidArgument: an option out of range (named, with its value and range). AddressSpace, OutOfMemory:
  // what was asked, what limits it, what to change.
  static Result<RuntimePtr> Create(const RuntimeOptions& options = {},
                                   std::source_location site = std::source_location::current()) noexcept;

  // Setup memory that Create and SealSetup take for workers, tasks, deferred queue and budgets, at most.
  static std::size_t CalculateOwnBytes(const RuntimeOptions& options) noexcept;

  // Asserts after SealSetup (R5).
  arenas::Arena& SetupArena() noexcept;
  // Phase Setup to Compile; starts the workers. WrongPhase otherwise; OutOfMemory: the system refuses a
  // thread.
  Result<void> SealSetup(std::source_location site = std::source_location::current()) noexcept;
  // Waits for the last frame (the error is reported, and shutdown goes on); phase Shutdown. Stops the
  // workers, and runs what is deferred, unless the wait has failed. WrongPhase when called twice or inside a
  // frame.
  Result<void> Shutdown(std::source_location site = std::source_location::current()) noexcept;

  PhaseMachine& Phases() noexcept;
  CompileMemory& Compile() noexcept;
  FrameLoop& Frames() noexcept STADIAL_NONALLOCATING;
  // NodeDirty and ResourceInvalidated are pinned here, besides the bus's own built-in policies.
  EventBus& Events() noexcept STADIAL_NONALLOCATING;
  FallbackRegistry& Fallbacks() noexcept;
  // Where jobs run: the workers or the game's own job system; before SealSetup and after Shutdown, and
  // without either, the calling thread.
  TaskRunner& Runner() noexcept STADIAL_NONALLOCATING;
  TaskSystem& Tasks() noexcept STADIAL_NONALLOCATING;
  // Its values are those of the frame loop's completion source. Begin retires what is complete, before the
  // frame; Drain does; a change of the source and Shutdown, when all work has completed, run all of it.
  DeferredQueue& Deferred() noexcept STADIAL_NONALLOCATING;
  // Room for `records` at least. In Setup (WrongPhase); CapacityExceeded: Setup memory is used up.
  Result<void> ReserveDeferred(std::size_t records) noexcept;
  // Has the heap "host" already. Add in Setup.
  BudgetTable& Budgets() noexcept;
  FrameAudit& Audit() noexcept STADIAL_NONALLOCATING;
  // Null without RuntimeOptions::trackAllocations.
  AllocationTracker* Tracker() noexcept;
  const PhaseLedger* Ledger() const noexcept;
  Telemetry* GetTelemetry() noexcept;  // null without RuntimeOptions::telemetry.publish
  arenas::Region& GetRegion() noexcept;
  // The Driver segment, committed and pre-faulted when first asked for, which must happen in Setup. Open
  // returns WrongPhase, OutOfMemory, or InvalidArgument when driverBytes is 0; the other asserts.
  Result<arenas::Segment*> OpenDriverSegment() noexcept;
  arenas::Segment& DriverSegment() noexcept;
  const RuntimeOptions& Options() const noexcept STADIAL_NONALLOCATING;  // sizes as rounded

  // From here to EndKernelProof no memory comes from the kernel: the process's address space is frozen, and
  // the frame thread's VM system calls inside frames fail (kernel_proof.h). With KernelProofScope::Thread the
  // rest of the process may map on: for a driver that compiles shaders on threads of its own while frames
  // run, as software drivers do. Outside of a frame; warm up first. The audit says what was asked, what was
  // refused (NotSupported: there is no proof here, and why), and for how many frames it held. Begin twice: as
  // once.
  Result<void> BeginKernelProof(KernelProofScope scope = KernelProofScope::Process) noexcept;
  void EndKernelProof() noexcept;

  // The account of the run so far: gate, frames, tasks, queues, budgets, fallbacks, arenas, times, verdict.
  // Allocates; not inside a frame (asserted). gpu adds its devices and calls Judge again.
  AuditReport BuildAudit();

 private:
  friend struct RuntimeDeleter;
  struct State;
  explicit Runtime(State& state) noexcept : state_(&state) {}
  std::size_t PeakBytesOf(const arenas::Segment& segment) const noexcept;
  State* state_;
};

}  // namespace stadial::runtime
