#include "stadial/runtime/runtime.h"

#include <algorithm>
#include <cstdio>
#include <new>
#include <optional>

#include "frame_thread.h"
#include "late.h"
#include "stadial/arenas/fallback_heap.h"
#include "stadial/runtime/designated_fallback.h"
#include "stadial/runtime/kernel_witness.h"
#include "stadial/runtime/phase_ledger.h"
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

// Sanity bounds of the options; the address space decides the rest.
constexpr std::size_t kSegmentBytesMax = std::size_t{1} << 40;

std::size_t RoundUp(std::size_t bytes, std::size_t multiple) noexcept {
  return (bytes + multiple - 1) / multiple * multiple;
}

Error OutOfRange(const char* option, std::uint64_t value, std::uint64_t least, std::uint64_t most) noexcept {
  return Error::Format(ErrorCode::InvalidArgument, "RuntimeOptions::%s is %llu; it must be %llu to %llu",
                       option, static_cast<unsigned long long>(value), static_cast<unsigned long long>(least),
                       static_cast<unsigned long long>(most));
}

Result<void> CheckOptions(const RuntimeOptions& options) noexcept {
  const struct {
    const char* name;
    std::uint64_t value, least, most;
  } ranges[] = {
      {"setupBytes", options.setupBytes, std::size_t{256} << 10, kSegmentBytesMax},
      {"compileBytes", options.compileBytes, 1, kSegmentBytesMax},
      {"frameLaneBytes", options.frameLaneBytes, 1, kSegmentBytesMax},
      {"driverBytes", options.driverBytes, 0, kSegmentBytesMax},
      {"fallbackBytes", options.fallbackBytes, 1, kSegmentBytesMax},
      {"setupGuardBytes", options.setupGuardBytes, 0, kSegmentBytesMax},
      {"compileGuardBytes", options.compileGuardBytes, 0, kSegmentBytesMax},
      {"frameGuardBytes", options.frameGuardBytes, 0, kSegmentBytesMax},
      {"quarantineWindows", options.quarantineWindows, 0, arenas::kQuarantineWindowsMax},
      {"framesInFlight", options.framesInFlight, 1, kFramesInFlightMax},
      {"lanes", options.lanes, 1, kLanesMax},
      {"eventCapacity", options.eventCapacity, 0, EventQueue::kCapacityMax},
      {"eventGrowthBytes", options.eventGrowthBytes, 1, options.fallbackBytes},
      {"events.typePoliciesMax", options.events.typePoliciesMax, 6, 1u << 20},
      {"events.subscriptionsMax", options.events.subscriptionsMax, 0, 1u << 24},
  };
  for (const auto& range : ranges) {
    if (range.value < range.least || range.value > range.most) {
      return OutOfRange(range.name, range.value, range.least, range.most);
    }
  }
  if (options.quarantineWindows == 1) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "RuntimeOptions::quarantineWindows is 1; it must be 0 (off) or 2 to %u",
                         arenas::kQuarantineWindowsMax);
  }
  if (const char* const bad = FramePacer::Check(options.pacing); bad != nullptr) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "RuntimeOptions::pacing.%s is out of range: periodNs must be 0 or %llu to %llu (it is "
        "%llu), spinNs not above it (it is %llu)",
        bad, static_cast<unsigned long long>(kPacingPeriodNsMin),
        static_cast<unsigned long long>(kPacingPeriodNsMax),
        static_cast<unsigned long long>(options.pacing.periodNs),
        static_cast<unsigned long long>(options.pacing.spinNs));
  }
  if (options.telemetry.publish) STADIAL_RETURN_IF_ERROR(Telemetry::Check(options.telemetry));
  if (HitchDetector::Check(options.hitches) != nullptr) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "RuntimeOptions::hitches.factor is %.3g; it must be 1 to 1000",
                         options.hitches.factor);
  }
  if (options.framePolicy > GatePolicy::Trap)
    return OutOfRange("framePolicy", static_cast<std::uint64_t>(options.framePolicy), 0, 4);
  if (options.name == nullptr || options.name[0] == '\0') {
    return Error::Format(ErrorCode::InvalidArgument, "RuntimeOptions::name is empty");
  }
  return {};
}

RuntimeOptions Rounded(RuntimeOptions options) noexcept {
  const std::size_t page = arenas::PageSize();
  options.setupBytes = RoundUp(options.setupBytes, page);
  options.compileBytes = RoundUp(options.compileBytes, page);
  options.frameLaneBytes = RoundUp(options.frameLaneBytes, page);
  for (std::size_t* const guardBytes :
       {&options.setupGuardBytes, &options.compileGuardBytes, &options.frameGuardBytes}) {
    *guardBytes = arenas::kArenaChecks ? RoundUp(*guardBytes, page) : 0;
  }
  options.driverBytes = RoundUp(options.driverBytes, page);
  options.fallbackBytes = RoundUp(options.fallbackBytes, arenas::FallbackHeap::kSegmentAlignmentBytes);
  // Setup, two compile halves, the frame slots, driver, fallback.
  options.region.segmentsMax = std::max(options.region.segmentsMax, 5 + kFramesInFlightMax);
  options.region.name = options.name;
  options.events.log = options.log;
  return options;
}

}  // namespace

struct Runtime::State {
  State(const RuntimeOptions& rounded, Region&& reserved, std::source_location site) noexcept
      : options(rounded),
        region(std::move(reserved)),
        phases(site),
        audit(rounded.warmupFrames, rounded.hitches),
        pacer(rounded.pacing) {}

  RuntimeOptions options;
  Region region;
  Segment* setupSegment = nullptr;
  Segment* driverSegment = nullptr;
  Segment* fallbackSegment = nullptr;
  Arena setup;
  Arena sealedSetup;  // takes the place of setup at the seal: nothing allocates from it, its guards stay
  bool isSetupSealed = false;
  PhaseMachine phases;
  FrameAudit audit;
  FramePacer pacer;
  Late<ThreadRegistration> registration;
  Late<AllocationTracker> tracker;  // with RuntimeOptions::trackAllocations
  Late<PhaseLedger> ledger;
  Late<VmSyscallWitness> witness;
  char witnessReason[arenas::kErrorMessageBytesMax] = {};
  const char* faultsReason = nullptr;  // null: the frame thread's faults are counted
  arenas::FallbackHeap* fallbackHeap = nullptr;
  FallbackRegistry* fallbacks = nullptr;
  Late<CompileMemory> compile;
  Late<EventBus> events;
  Late<FrameLoop::FrameThread> frameThread;
  Late<FrameLoop> frames;
  std::span<arenas::LaneSet> slots;
  std::span<arenas::Quarantine> quarantines;  // one per slot, or none
  Telemetry* telemetry = nullptr;

  Result<void> Build() noexcept;
  Result<Segment*> AddCommitted(const char* name, std::size_t bytes, std::size_t alignment = 0) noexcept;
  Result<void> BuildFrameSlots() noexcept;
  Result<void> BuildFallbacks() noexcept;
  Result<void> BuildTelemetry() noexcept;
  void StartWitness() noexcept;
};

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
  return runtime;
}

Result<Segment*> Runtime::State::AddCommitted(const char* name, std::size_t bytes,
                                              std::size_t alignment) noexcept {
  STADIAL_ASSIGN_OR_RETURN(
      Segment * segment, region.AddSegment({.name = name, .sizeBytes = bytes, .alignmentBytes = alignment}));
  STADIAL_RETURN_IF_ERROR(segment->CommitAll());
  return segment;
}

Result<void> Runtime::State::Build() noexcept {
  registration.Emplace(ThreadRole::Frame, "frame");
  RunGateSelfTest();
  if (options.trackAllocations) {
    tracker.Emplace();
    tracker->StartTracking();
    ledger.Emplace(*tracker);
    phases.SetObserver(&*ledger);
  }
  // Compile halves are committed when a compile first opens them.
  const std::size_t halfBytes = options.compileBytes + options.compileGuardBytes;
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
  StartWitness();
  faultsReason = WhyFaultsAreNotOurs();
  STADIAL_RETURN_IF_ERROR(BuildTelemetry());
  frameThread.Emplace(options.framePolicy, witness.Get(), faultsReason == nullptr);
  frames.Emplace(slots, phases,
                 FrameLoop::Parts{.compile = &*compile,
                                  .events = &*events,
                                  .fallbacks = fallbacks,
                                  .audit = &audit,
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

Result<void> Runtime::State::BuildTelemetry() noexcept {
  if (!options.telemetry.publish) return {};
  STADIAL_ASSIGN_OR_RETURN(telemetry,
                           Telemetry::Create(options.name, options.telemetry,
                                             {.phases = &phases,
                                              .events = &*events,
                                              .fallbacks = fallbacks,
                                              .audit = &audit,
                                              .pacer = pacer.IsPaced() ? &pacer : nullptr,
                                              .framesInFlight = options.framesInFlight,
                                              .warmupFrames = options.warmupFrames,
                                              .gatePolicy = static_cast<std::uint64_t>(options.framePolicy)},
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
  STADIAL_RETURN_IF_ERROR(state.phases.Transition(Phase::Shutdown, site));
  Result<void> drained = state.frames->Drain();
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
FrameAudit& Runtime::Audit() noexcept { return state_->audit; }
AllocationTracker* Runtime::Tracker() noexcept { return state_->tracker.Get(); }
const PhaseLedger* Runtime::Ledger() const noexcept { return state_->ledger.Get(); }
Telemetry* Runtime::GetTelemetry() noexcept { return state_->telemetry; }
Region& Runtime::GetRegion() noexcept { return state_->region; }
const RuntimeOptions& Runtime::Options() const noexcept { return state_->options; }

AuditReport Runtime::BuildAudit() {
  State& state = *state_;
  STADIAL_ASSERT_ALWAYS(!state.frames->IsFrameOpen(),
                        "BuildAudit allocates and must not be called inside a frame");
  AuditReport report;
  const GateSelfTestResult& selfTest = RunGateSelfTest();
  report.gate.state = ToString(selfTest.state);
  report.gate.selftest = std::to_string(selfTest.formsSeen) + " of " + std::to_string(selfTest.formsTested) +
                         " forms seen by " + selfTest.method + "; " + selfTest.why;
  report.gate.policy = ToString(state.options.framePolicy);
  report.gate.counts = state.options.framePolicy != GatePolicy::Allow;
  for (const UncoveredModule& module : ScanModules()) {
    report.gate.uncoveredModules.push_back({.path = module.path, .reason = module.reason});
  }
  report.witness.vmSyscalls = state.witness.Get() != nullptr;
  report.witness.reason = state.witnessReason;
  report.witness.minorFaults = state.faultsReason == nullptr;
  if (state.faultsReason != nullptr) report.witness.minorFaultsReason = state.faultsReason;
  FillReport(state.audit, report);
  report.pacing.periodNs = state.pacer.Options().periodNs;
  report.pacing.ceilingNs = state.pacer.CeilingNs();
  report.pacing.stats = state.pacer.Stats();
  const DriverCounters driver = state.frameThread->DriverSinceBaseline();
  report.driver.directFrameThread = driver.frameThread + driver.workerThreads;
  report.driver.directSubmitThread = driver.submitThread;
  report.driver.otherThreads = driver.otherThreads;
  for (const FallbackSite& site : state.fallbacks->Sites()) {
    const FallbackSiteStats stats = site.Stats();
    report.fallbacks.push_back({.name = site.Name(),
                                .owner = site.Owner(),
                                .budgetBytes = site.BudgetBytes(),
                                .allocations = stats.allocations,
                                .peakBytes = stats.peakBytes,
                                .refused = stats.refused});
  }
  for (const Segment& segment : state.region.Segments()) {
    report.arenas.push_back({.name = segment.Name(),
                             .reservedBytes = segment.ReservedBytes(),
                             .committedBytes = segment.CommittedBytes(),
                             .peakBytes = PeakBytesOf(segment)});
  }
  if (state.ledger.Get() != nullptr) FillPhases(*state.ledger, report);
  Judge(report);
  return report;
}

std::size_t Runtime::PeakBytesOf(const Segment& segment) const noexcept {
  const State& state = *state_;
  if (&segment == state.setupSegment) {
    return (state.isSetupSealed ? state.sealedSetup : state.setup).UsedBytes();
  }
  for (std::uint32_t half = 0; half < 2; ++half) {
    if (&segment == &state_->compile->Half(half)) return state.compile->PeakBytes(half);
  }
  for (const arenas::LaneSet& slot : state.slots) {
    if (segment.Contains(slot.Lane(0).Base())) return slot.PeakBytes();
  }
  if (&segment == state.fallbackSegment)
    return static_cast<std::size_t>(state.fallbackHeap->Stats().peakBytes);
  return 0;  // the driver segment: its owner knows
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
  state.frames.Reset();
  if (state.telemetry != nullptr) state.telemetry->~Telemetry();
  state.frameThread.Reset();
  state.witness.Reset();
  state.events.Reset();
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
  state.registration.Reset();
  // The record itself lies in the region: it ends before the region does.
  const Region region = std::move(state.region);
  state.~State();
}

}  // namespace stadial::runtime
