#include "stadial/runtime/runtime.h"

#include <cstdio>
#include <new>
#include <optional>

#include "gate_counters.h"
#include "runtime_state.h"
#include "telemetry_arenas.h"

namespace stadial::runtime {
namespace {

using arenas::Arena;
using arenas::Region;
using arenas::Segment;

// Sites that a program can register besides the runtime's own.
constexpr std::uint32_t kFallbackSitesMax = 64;
// Growth chunks that the event bus may take in one frame: its whole budget some times over, but not a storm.
constexpr std::uint32_t kEventGrowthsPerFrameMax = 256;
// Likewise of the deferred queue, whose chunks are as large as itself.
constexpr std::uint32_t kDeferredGrowthsPerFrameMax = 256;

}  // namespace

Result<RuntimePtr> Runtime::Create(const RuntimeOptions& options, std::source_location site) noexcept {
  STADIAL_RETURN_IF_ERROR(CheckOptions(options));
  const RuntimeOptions rounded = Rounded(options);
  STADIAL_ASSIGN_OR_RETURN(Region region, Region::Reserve(rounded.region));
  STADIAL_ASSIGN_OR_RETURN(
      Segment * setup,
      region.AddSegment({.name = "setup", .sizeBytes = rounded.setupBytes + rounded.setupGuardBytes}));
  STADIAL_RETURN_IF_ERROR(setup->CommitAll());
  Arena arena = setup->MakeArena({.name = "setup",
                                  .kind = "setup",
                                  .remedy = "raise RuntimeOptions::setupBytes",
                                  .guardBytes = rounded.setupGuardBytes},
                                 0, setup->CommittedBytes(), site);
  // The runtime's own record is the first thing in Setup memory; from here on the pointer cleans up after an
  // error.
  void* const stateMemory = arena.Allocate(sizeof(State), alignof(State));
  void* const runtimeMemory = arena.Allocate(sizeof(Runtime), alignof(Runtime));
  State* const state = ::new (stateMemory) State(rounded, std::move(region), site);
  RuntimePtr runtime(::new (runtimeMemory) Runtime(*state));
  state->setup = std::move(arena);
  state->setupSegment = setup;
  STADIAL_RETURN_IF_ERROR(state->Build());
  state->phaseGate.Close(Phase::Setup);
  return runtime;
}

Result<Segment*> Runtime::State::AddCommitted(const char* name, std::size_t bytes,
                                              std::size_t alignment) noexcept {
  STADIAL_RETURN_IF_ERROR(hostBudget->Reserve(bytes, name));
  STADIAL_ASSIGN_OR_RETURN(
      Segment * segment, region.AddSegment({.name = name, .sizeBytes = bytes, .alignmentBytes = alignment}));
  STADIAL_RETURN_IF_ERROR(segment->CommitAll());
  return segment;
}

Result<void> Runtime::State::Build() noexcept {
  registration.Emplace(ThreadRole::Frame, "frame");
  RunGateSelfTest();
  const GateRule& other = options.gate.Of(GateRole::Other, Phase::Frame);
  detail::SetGateOtherThreads(other.allocate, other.free);
  options.tasks.phases = options.threads.phases = &phases;
  phases.SetObserver(&phaseGate);
  if (options.trackAllocations) {
    tracker.Emplace();
    tracker->StartTracking();
    ledger.Emplace(*tracker);
    phaseGate.SetNext(&*ledger);
  }
  budgets.Emplace(setup, options.budgets);
  STADIAL_ASSIGN_OR_RETURN(hostBudget, budgets->AddHeap("host", options.hostBudget));
  STADIAL_RETURN_IF_ERROR(hostBudget->Reserve(setupSegment->ReservedBytes(), "setup"));
  // Compile halves are committed when a compile first opens them; that must not fail for the budget.
  const std::size_t halfBytes = options.compileBytes + options.compileGuardBytes;
  STADIAL_RETURN_IF_ERROR(hostBudget->Reserve(2 * halfBytes, "compile_a and compile_b"));
  STADIAL_ASSIGN_OR_RETURN(Segment * a, region.AddSegment({.name = "compile_a", .sizeBytes = halfBytes}));
  STADIAL_ASSIGN_OR_RETURN(Segment * b, region.AddSegment({.name = "compile_b", .sizeBytes = halfBytes}));
  compile.Emplace(*a, *b, options.compileGuardBytes);
  STADIAL_RETURN_IF_ERROR(BuildFrameSlots());
  if (options.driverBytes != 0) {
    STADIAL_ASSIGN_OR_RETURN(driverSegment,
                             region.AddSegment({.name = "driver", .sizeBytes = options.driverBytes}));
  }
  STADIAL_RETURN_IF_ERROR(BuildFallbacks());
  region.Seal();

  STADIAL_ASSIGN_OR_RETURN(FallbackSite * growth,
                           fallbacks->Register("event_bus", options.events.name, options.eventGrowthBytes,
                                               kEventGrowthsPerFrameMax));
  events.Emplace(setup, growth, options.events);
  STADIAL_RETURN_IF_ERROR(events->TryPreAllocate(options.eventCapacity));
  // A lost invalidation would leave a node stale for good, so no mode may drop one.
  STADIAL_RETURN_IF_ERROR(events->SetTypePolicy(EventType::NodeDirty, kEventPinned));
  STADIAL_RETURN_IF_ERROR(events->SetTypePolicy(EventType::ResourceInvalidated, kEventPinned));
  STADIAL_RETURN_IF_ERROR(BuildQueues());
  StartWitness();
  faultsReason = WhyFaultsAreNotOurs();
  STADIAL_RETURN_IF_ERROR(BuildTelemetry());
  frameThread.Emplace(options.gate.Of(GateRole::Frame, Phase::Frame), witness.Get(), faultsReason == nullptr);
  frames.Emplace(slots, phases,
                 FrameLoop::Parts{.compile = &*compile,
                                  .events = &*events,
                                  .fallbacks = fallbacks,
                                  .audit = &audit,
                                  .deferred = &*deferred,
                                  .thread = &*frameThread,
                                  .pacer = pacer.IsPaced() ? &pacer : nullptr,
                                  .telemetry = telemetry,
                                  .quarantines = quarantines},
                 FrameLoop::Options{.waitDeadlineNs = options.waitDeadlineNs, .log = options.log});
  return {};
}

Result<void> Runtime::State::BuildFrameSlots() noexcept {
  const arenas::LaneOptions lanes{.name = "frame",
                                  .count = options.lanes,
                                  .remedy = "raise RuntimeOptions::frameLaneBytes",
                                  .guardBytes = options.frameGuardBytes};
  const std::size_t windowBytes = (options.frameLaneBytes + options.frameGuardBytes) * options.lanes;
  const bool isQuarantined = options.quarantineWindows != 0;
  slots = setup.NewArray<arenas::LaneSet>(options.framesInFlight);
  if (isQuarantined) quarantines = setup.NewArray<arenas::Quarantine>(options.framesInFlight);
  for (std::uint32_t i = 0; i < options.framesInFlight; ++i) {
    const char* const name = setup.Format("frame_%u", i);
    STADIAL_ASSIGN_OR_RETURN(
        Segment * segment, AddCommitted(name, windowBytes * (isQuarantined ? options.quarantineWindows : 1)));
    STADIAL_ASSIGN_OR_RETURN(slots[i], arenas::LaneSet::Carve(lanes, segment->Base(), windowBytes, setup));
    if (!isQuarantined) continue;
    STADIAL_ASSIGN_OR_RETURN(
        quarantines[i], arenas::Quarantine::Create({.name = name, .windowCount = options.quarantineWindows},
                                                   segment->Base(), segment->CommittedBytes()));
  }
  return {};
}

Result<void> Runtime::State::BuildFallbacks() noexcept {
  STADIAL_ASSIGN_OR_RETURN(fallbackSegment, AddCommitted("fallback", options.fallbackBytes,
                                                         arenas::FallbackHeap::kSegmentAlignmentBytes));
  STADIAL_ASSIGN_OR_RETURN(
      fallbackHeap, arenas::FallbackHeap::Create("fallback", *fallbackSegment, options.fallbackBytes, setup));
  STADIAL_ASSIGN_OR_RETURN(fallbacks, FallbackRegistry::Create(*fallbackHeap, kFallbackSitesMax, setup));
  return {};
}

Result<void> Runtime::State::BuildQueues() noexcept {
  FallbackSite* growth = nullptr;
  if (options.deferredMode == arenas::AllocationMode::Fallback) {
    STADIAL_ASSIGN_OR_RETURN(growth,
                             fallbacks->Register("deferred", "deferred queue", options.deferredGrowthBytes,
                                                 kDeferredGrowthsPerFrameMax));
  }
  deferred.Emplace(setup, DeferredQueueOptions{.name = "deferred",
                                               .capacity = options.deferredCapacity,
                                               .mode = options.deferredMode,
                                               .growth = growth,
                                               .log = options.log});
  STADIAL_ASSIGN_OR_RETURN(tasks, TaskSystem::Create(setup, runner, options.tasks));
  if (options.workers == 0) return {};
  // Set aside now: by the time the workers start, the program may have carved all the rest.
  const std::size_t bytes = WorkerThreads::CalculateBytes(options.threads.workerCount);
  auto* const memory = static_cast<std::byte*>(setup.TryAllocate(bytes, kWorkersAlignment));
  if (memory == nullptr) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "no room in Setup memory for %u workers; raise RuntimeOptions::setupBytes",
                         options.workers);
  }
  workersMemory = Arena({.name = "workers", .kind = "setup"}, memory, bytes);
  return {};
}

Result<void> Runtime::State::StartWorkers() noexcept {
  if (options.workers == 0) return {};
  workersMemory.Reset();  // of a try that failed
  STADIAL_ASSIGN_OR_RETURN(workers, WorkerThreads::Create(workersMemory, options.threads));
  runner.SetTarget(workers.get());
  frameThread->SetWorkers(workers.get());
  const char* const reason = workers->WhyNoWitness();
  if (witness.Get() != nullptr && reason != nullptr)
    std::snprintf(witnessReason, sizeof witnessReason, "%s", reason);
  return {};
}

void Runtime::State::StopWorkers(bool wasInFrames) noexcept {
  if (workers == nullptr) return;
  if (wasInFrames) frameThread->CountLateFaults(audit, frames->FrameIndex());
  frameThread->SetWorkers(nullptr);
  runner.SetTarget(nullptr);
  workers.reset();
}

Result<void> Runtime::State::BuildTelemetry() noexcept {
  if (!options.telemetry.publish) return {};
  STADIAL_ASSIGN_OR_RETURN(
      telemetry,
      Telemetry::Create(
          options.name, options.telemetry,
          {.phases = &phases,
           .events = &*events,
           .fallbacks = fallbacks,
           .audit = &audit,
           .pacer = pacer.IsPaced() ? &pacer : nullptr,
           .framesInFlight = options.framesInFlight,
           .warmupFrames = options.warmupFrames,
           .gatePolicy = static_cast<std::uint64_t>(options.gate.Of(GateRole::Frame, Phase::Frame).allocate)},
          setup));
  return detail::AddTelemetryArenas(*telemetry, {.setup = &sealedSetup,
                                                 .setupCapacityBytes = options.setupBytes,
                                                 .compile = &*compile,
                                                 .compileCapacityBytes = options.compileBytes,
                                                 .slots = slots,
                                                 .fallback = fallbackSegment,
                                                 .fallbackHeap = fallbackHeap});
}

void Runtime::State::StartWitness() noexcept {
  const char* reason = "switched off by RuntimeOptions::kernelWitness";
  std::optional<Error> error;
  if (options.kernelWitness) {
    Result<VmSyscallWitness> installed = VmSyscallWitness::Install();
    if (installed.HasValue()) {
      witness.Emplace(std::move(installed).Value());
      return;
    }
    error.emplace(installed.GetError());
    reason = error->Message();
  }
  std::snprintf(witnessReason, sizeof witnessReason, "%s", reason);
}

Arena& Runtime::SetupArena() noexcept {
  STADIAL_ASSERT_ALWAYS(!state_->isSetupSealed,
                        "R5: Setup is sealed, nothing more can be carved from it; carve before "
                        "SealSetup, or use a frame lane, compile memory or a fallback");
  return state_->setup;
}

Result<void> Runtime::SealSetup(std::source_location site) noexcept {
  State& state = *state_;
  STADIAL_RETURN_IF_ERROR(state.phases.Require(Phase::Setup, "Runtime::SealSetup"));
  state.phaseGate.Open();  // the C library allocates for a thread that it starts
  if (const Result<void> started = state.StartWorkers(); !started.HasValue()) {
    state.phaseGate.Close(Phase::Setup);
    return started;
  }
  STADIAL_RETURN_IF_ERROR(state.phases.Transition(Phase::Compile, site));
  state.setup.CheckGuards(site);
  NoteAllocation(AllocationSource::Arena, state.setup.UsedBytes());
  // References to the arena that were taken before stay valid and find it empty.
  state.sealedSetup = std::move(state.setup);
  state.setup =
      Arena({.name = "setup", .kind = "sealed", .remedy = "Setup is sealed (R5): carve before SealSetup"},
            nullptr, 0, site);
  state.isSetupSealed = true;
  state.fallbacks->Seal();
  if (state.telemetry != nullptr) state.telemetry->Seal();
  return {};
}

Result<void> Runtime::Shutdown(std::source_location site) noexcept {
  State& state = *state_;
  if (state.frames->IsFrameOpen()) {
    return Error::Format(ErrorCode::WrongPhase,
                         "Runtime::Shutdown at %s:%u: frame %llu is open; call End first", site.file_name(),
                         static_cast<unsigned>(site.line()),
                         static_cast<unsigned long long>(state.frames->FrameIndex()));
  }
  const bool wasInFrames = state.phases.Current() == Phase::Frame;
  STADIAL_RETURN_IF_ERROR(state.phases.Transition(Phase::Shutdown, site));
  state.StopWorkers(wasInFrames);
  Result<void> drained = state.frames->Drain();
  if (drained.HasValue()) state.deferred->Flush();
  (state.isSetupSealed ? state.sealedSetup : state.setup).CheckGuards(site);
  return drained;
}

Result<Segment*> Runtime::OpenDriverSegment() noexcept {
  State& state = *state_;
  Segment* const segment = state.driverSegment;
  if (segment == nullptr) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "there is no driver segment: RuntimeOptions::driverBytes is 0");
  }
  if (segment->CommittedBytes() == segment->ReservedBytes()) return segment;
  STADIAL_RETURN_IF_ERROR(state.phases.Require(Phase::Setup, "opening the driver segment"));
  STADIAL_RETURN_IF_ERROR(state.hostBudget->Reserve(segment->ReservedBytes(), "driver"));
  STADIAL_RETURN_IF_ERROR(segment->CommitAll());
  return segment;
}

Segment& Runtime::DriverSegment() noexcept {
  const Result<Segment*> opened = OpenDriverSegment();
  if (!opened.HasValue()) state_->options.log.Format(LogLevel::Error, "%s", opened.GetError().Message());
  STADIAL_ASSERT_ALWAYS(opened.HasValue(), "the driver segment could not be opened (see the line above)");
  return *state_->driverSegment;
}

PhaseMachine& Runtime::Phases() noexcept { return state_->phases; }
CompileMemory& Runtime::Compile() noexcept { return *state_->compile; }
FrameLoop& Runtime::Frames() noexcept { return *state_->frames; }
EventBus& Runtime::Events() noexcept { return *state_->events; }
FallbackRegistry& Runtime::Fallbacks() noexcept { return *state_->fallbacks; }
TaskRunner& Runtime::Runner() noexcept { return state_->runner; }
TaskSystem& Runtime::Tasks() noexcept { return *state_->tasks; }
DeferredQueue& Runtime::Deferred() noexcept { return *state_->deferred; }
BudgetTable& Runtime::Budgets() noexcept { return *state_->budgets; }

Result<void> Runtime::ReserveDeferred(std::size_t records) noexcept {
  STADIAL_RETURN_IF_ERROR(state_->phases.Require(Phase::Setup, "Runtime::ReserveDeferred"));
  return state_->deferred->Reserve(state_->setup, records);
}

FrameAudit& Runtime::Audit() noexcept { return state_->audit; }
AllocationTracker* Runtime::Tracker() noexcept { return state_->tracker.Get(); }
const PhaseLedger* Runtime::Ledger() const noexcept { return state_->ledger.Get(); }
Telemetry* Runtime::GetTelemetry() noexcept { return state_->telemetry; }
Region& Runtime::GetRegion() noexcept { return state_->region; }
const RuntimeOptions& Runtime::Options() const noexcept { return state_->options; }

Result<void> Runtime::BeginKernelProof(KernelProofScope scope) noexcept {
  State& state = *state_;
  STADIAL_ASSERT_ALWAYS(!state.frames->IsFrameOpen(), "a kernel proof begins between frames");
  if (state.proof.Get() != nullptr) return {};
  state.isProofAsked = true;
  state.proofScope = scope;
  std::optional<Error> refused;
  if (state.witness.Get() == nullptr) {
    refused =
        Error::Format(ErrorCode::NotSupported, "no witness for VM system calls: %s", state.witnessReason);
  } else {
    Result<KernelProof> begun = KernelProof::Begin(*state.witness, scope);
    if (begun.HasValue()) {
      state.proof.Emplace(std::move(begun).Value());
      state.proofFirstFrame = state.audit.Frames().total;
      return {};
    }
    refused = begun.GetError();
  }
  std::snprintf(state.proofReason, sizeof state.proofReason, "%s", refused->Message());
  return *refused;
}

void Runtime::EndKernelProof() noexcept {
  State& state = *state_;
  if (state.proof.Get() == nullptr) return;
  STADIAL_ASSERT_ALWAYS(!state.frames->IsFrameOpen(), "a kernel proof ends between frames");
  const VmSyscallCounts seen = state.proof->Seen().syscalls;
  state.proofDenied += seen.denied;
  state.proofFrames += state.audit.Frames().total - state.proofFirstFrame;
  state.proof.Reset();
}

void RuntimeDeleter::operator()(Runtime* runtime) const noexcept {
  Runtime::State& state = *runtime->state_;
  if (state.frames.Get() != nullptr) {
    STADIAL_ASSERT_ALWAYS(!state.frames->IsFrameOpen(), "a Runtime must not be destroyed inside a frame");
    if (state.phases.Current() != Phase::Shutdown) {
      const Result<void> shutdown = runtime->Shutdown();
      if (!shutdown.HasValue())
        state.options.log.Format(LogLevel::Error, "shutdown: %s", shutdown.GetError().Message());
    }
  }
  state.phaseGate.Open();
  state.proof.Reset();
  state.frames.Reset();
  state.workers.reset();
  if (state.telemetry != nullptr) state.telemetry->~Telemetry();
  state.frameThread.Reset();
  state.witness.Reset();
  state.deferred.Reset();
  state.events.Reset();
  if (state.fallbacks != nullptr) state.fallbacks->Close();
  if (state.fallbackHeap != nullptr) {
    if (const std::size_t leaked = state.fallbackHeap->Close(); leaked != 0) {
      state.options.log.Format(LogLevel::Warning,
                               "runtime '%s': %zu blocks of the fallback segment were never freed",
                               state.options.name, leaked);
    }
  }
  state.phases.SetObserver(nullptr);
  state.ledger.Reset();
  state.tracker.Reset();
  detail::SetGateOtherThreads(GatePolicy::Count, GatePolicy::Count);
  state.registration.Reset();
  // The record itself lies in the region: it ends before the region does.
  const Region region = std::move(state.region);
  state.~State();
}

}  // namespace stadial::runtime
