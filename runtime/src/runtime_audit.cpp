// The account of a Runtime's run.
#include "runtime_state.h"

namespace stadial::runtime {

using arenas::Segment;

AuditReport Runtime::BuildAudit() {
  State& state = *state_;
  STADIAL_ASSERT_ALWAYS(!state.frames->IsFrameOpen(),
                        "BuildAudit allocates and must not be called inside a frame");
  EndKernelProof();  // what follows allocates
  AuditReport report;
  const GateSelfTestResult& selfTest = RunGateSelfTest();
  report.gate.state = ToString(selfTest.state);
  report.gate.selftest = std::to_string(selfTest.formsSeen) + " of " + std::to_string(selfTest.formsTested) +
                         " forms seen by " + selfTest.method + "; " + selfTest.why;
  FillGatePolicies(state.options.gate, report);
  for (const UncoveredModule& module : ScanModules()) {
    report.gate.uncoveredModules.push_back({.path = module.path, .reason = module.reason});
  }
  // Of every frame and worker thread, or it is none.
  report.witness.vmSyscalls = state.witness.Get() != nullptr && state.witnessReason[0] == '\0';
  report.witness.reason = state.witnessReason;
  report.witness.minorFaults = state.faultsReason == nullptr;
  if (state.faultsReason != nullptr) report.witness.minorFaultsReason = state.faultsReason;
  // Outside of the Frame phase workers may fault.
  if (state.phases.Current() == Phase::Frame)
    state.frameThread->CountLateFaults(state.audit, state.frames->FrameIndex());
  report.kernelProof = {.asked = state.isProofAsked,
                        .covers = state.isProofAsked ? ToString(state.proofScope) : "",
                        .reason = state.proofReason,
                        .frames = state.proofFrames,
                        .denied = state.proofDenied};
  FillReport(state.audit, report);
  state.FillQueues(report);
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
                                .countPerFrameMax = site.CountPerFrameMax(),
                                .allocations = stats.allocations,
                                .allocationsInWorstFrame = stats.allocationsInWorstFrame,
                                .bytes = stats.bytes,
                                .peakBytes = stats.peakBytes,
                                .refused = stats.refused,
                                .refusedByBudget = stats.refusedByBudget,
                                .refusedByFrame = stats.refusedByFrame,
                                .refusedByHeap = stats.refusedByHeap,
                                .refusedByThread = stats.refusedByThread});
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

void Runtime::State::FillQueues(AuditReport& report) {
  const TaskStats ran = tasks->GetStats();
  report.tasks = {.workers = runner.WorkerCount(),
                  .capacity = ran.capacity,
                  .queuedPeak = ran.queuedPeak,
                  .ran = ran.ran,
                  .dropped = ran.dropped,
                  .rejected = ran.rejected + ran.spawnRejected,
                  .stolen = ran.stolen,
                  .throttled = ran.throttled};
  const DeferredQueueStats records = deferred->GetStats();
  report.deferred.push_back({.name = deferred->Name(),
                             .capacity = records.capacity,
                             .peak = records.peak,
                             .queued = records.size,
                             .retired = records.retired,
                             .discarded = records.discarded,
                             .rejected = records.rejected});
  const auto add = [&report](const Budget& budget, bool isHeap) {
    const BudgetStats stats = budget.Stats();
    report.budgets.push_back({.name = budget.Name(),
                              .isHeap = isHeap,
                              .usedBytes = stats.usedBytes,
                              .outsideBytes = stats.outsideBytes,
                              .peakBytes = stats.peakBytes,
                              .softBytes = stats.softBytes,
                              .hardBytes = stats.hardBytes,
                              .refused = stats.refused,
                              .throttles = stats.throttles,
                              .isThrottled = stats.isThrottled});
  };
  for (const Budget& budget : budgets->Heaps()) add(budget, true);
  for (const Budget& budget : budgets->Subsystems()) add(budget, false);
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

}  // namespace stadial::runtime
