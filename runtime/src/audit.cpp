#include "stadial/runtime/audit.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "audit_queues.h"
#include "stadial/arenas/byte_text.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/phase_ledger.h"

namespace stadial::runtime {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::uint64_t kNoFrame = ~std::uint64_t{0};

AuditTimes TimesOf(const TimeHistogram& histogram) {
  return {.p50 = histogram.PercentileNs(0.50) / 1000.0,
          .p99 = histogram.PercentileNs(0.99) / 1000.0,
          .p999 = histogram.PercentileNs(0.999) / 1000.0,
          .max = static_cast<double>(histogram.MaxNs()) / 1000.0};
}

Json ToJsonTimes(const AuditTimes& times) {
  // Tenths of a nanosecond: more digits would only be noise.
  const auto round = [](double us) { return std::round(us * 1e4) / 1e4; };
  return {{"p50", round(times.p50)},
          {"p99", round(times.p99)},
          {"p999", round(times.p999)},
          {"max", round(times.max)}};
}

long long Signed(std::int64_t value) { return value; }

double Microseconds(std::uint64_t ns) { return static_cast<double>(ns) / 1000.0; }

// "compile", then what else the frame did: "compile, also fault".
std::string CausesOf(const Hitch& hitch) {
  std::string text = ToString(hitch.cause);
  const char* separator = ", also ";
  for (std::size_t cause = 0; cause < kHitchCauseCount; ++cause) {
    if ((hitch.evidence >> cause & 1u) == 0 || cause == static_cast<std::size_t>(hitch.cause)) continue;
    text += separator;
    text += ToString(static_cast<HitchCause>(cause));
    separator = ", ";
  }
  return text;
}

Json HitchesJson(const AuditReport& report) {
  Json byCause;
  for (std::size_t cause = 0; cause < kHitchCauseCount; ++cause)
    byCause[ToString(static_cast<HitchCause>(cause))] = report.hitches.byCause[cause];
  Json worst = Json::array();
  for (const Hitch& hitch : report.hitches.worst) {
    Json evidence = Json::array();
    for (std::size_t cause = 0; cause < kHitchCauseCount; ++cause) {
      if ((hitch.evidence >> cause & 1u) != 0) evidence.push_back(ToString(static_cast<HitchCause>(cause)));
    }
    worst.push_back({{"frame", hitch.frameIndex},
                     {"us", Microseconds(hitch.frameNs)},
                     {"median_us", Microseconds(hitch.medianNs)},
                     {"threshold_us", Microseconds(hitch.thresholdNs)},
                     {"waited_us", Microseconds(hitch.waitedNs)},
                     {"cause", ToString(hitch.cause)},
                     {"evidence", evidence}});
  }
  return {{"total", report.hitches.total}, {"by_cause", byCause}, {"worst", worst}};
}

Json PacingJson(const AuditReport& report) {
  const FramePacingStats& stats = report.pacing.stats;
  return {{"period_us", Microseconds(report.pacing.periodNs)},
          {"ceiling_us", Microseconds(report.pacing.ceilingNs)},
          {"late_frames", stats.lateFrames},
          {"missed_deadlines", stats.missedDeadlines},
          {"over_ceiling", stats.overCeiling},
          {"late_us_max", Microseconds(stats.lateNsMax)},
          {"slept_us", Microseconds(stats.sleptNs)},
          {"spun_us", Microseconds(stats.spunNs)}};
}

void PrintHitches(const AuditReport& report, std::FILE* file) {
  std::fprintf(file, "hitches        %llu", Wide(report.hitches.total));
  const char* separator = ": ";
  for (std::size_t cause = 0; cause < kHitchCauseCount; ++cause) {
    if (report.hitches.byCause[cause] == 0) continue;
    std::fprintf(file, "%s%llu %s", separator, Wide(report.hitches.byCause[cause]),
                 ToString(static_cast<HitchCause>(cause)));
    separator = ", ";
  }
  std::fputc('\n', file);
  if (!report.hitches.worst.empty()) {
    const Hitch& worst = report.hitches.worst.front();
    std::fprintf(file, "  worst        frame %llu: %.0f us, median %.0f us; %s\n", Wide(worst.frameIndex),
                 Microseconds(worst.frameNs), Microseconds(worst.medianNs), CausesOf(worst).c_str());
  }
  if (report.pacing.periodNs != 0) {
    std::fprintf(
        file,
        "pacing         every %.0f us: %llu frames late, %llu deadlines missed, %llu frames over %.0f us\n",
        Microseconds(report.pacing.periodNs), Wide(report.pacing.stats.lateFrames),
        Wide(report.pacing.stats.missedDeadlines), Wide(report.pacing.stats.overCeiling),
        Microseconds(report.pacing.ceilingNs));
  }
}

void AddReason(AuditReport& report, AuditVerdict verdict, std::string reason) {
  // A failure outweighs a gap in the evidence.
  if (report.verdict != AuditVerdict::Fail) report.verdict = verdict;
  report.reasons.push_back(std::move(reason));
}

}  // namespace

const char* ToString(AuditVerdict verdict) noexcept {
  switch (verdict) {
    case AuditVerdict::Pass:
      return "pass";
    case AuditVerdict::Fail:
      return "fail";
    case AuditVerdict::Incomplete:
      return "incomplete";
  }
  return "unknown";
}

void FrameAudit::Record(const FrameSample& sample) noexcept {
  ++frames_.total;
  if (frames_.total <= warmupFrames_) {
    ++frames_.warmup;
    hitches_.Learn(sample.frameNs);
    return;
  }
  hitches_.Judge({.frameIndex = sample.frameIndex,
                  .frameNs = sample.frameNs,
                  .waitedNs = sample.waitedNs,
                  .fallbackAllocations = sample.fallbackAllocations,
                  .minorFaults = sample.minorFaults,
                  .budgetDeferrals = sample.budgetDeferrals,
                  .compiled = sample.compiled});
  if (sample.compiled) {
    ++frames_.compile;
    return;
  }
  ++frames_.steady;
  steady_.heapAllocations += sample.heapAllocations;
  steady_.heapFrees += sample.heapFrees;
  steady_.vmSyscalls += sample.vmSyscalls;
  steady_.minorFaults += sample.minorFaults;
  if ((sample.heapAllocations | sample.heapFrees | sample.vmSyscalls | sample.minorFaults) != 0 &&
      firstOffendingFrame_ == kNoFrame) [[unlikely]] {
    firstOffendingFrame_ = sample.frameIndex;
  }
  frameTimes_.Record(sample.frameNs);
  overheadTimes_.Record(sample.overheadNs);
}

void FrameAudit::AddLateFaults(std::uint64_t frameIndex, std::uint64_t faults) noexcept {
  if (faults == 0 || frames_.total <= warmupFrames_) return;
  steady_.minorFaults += faults;
  if (firstOffendingFrame_ == kNoFrame) firstOffendingFrame_ = frameIndex;
}

void FillReport(const FrameAudit& audit, AuditReport& report) {
  report.frames = audit.Frames();
  report.frameThreads = audit.Steady();
  report.firstOffendingFrame = audit.FirstOffendingFrame();
  report.frameTimeUs = TimesOf(audit.FrameTimes());
  report.runtimeOverheadUs = TimesOf(audit.OverheadTimes());
  const HitchDetector& hitches = audit.Hitches();
  report.hitches.total = hitches.Count();
  for (std::size_t cause = 0; cause < kHitchCauseCount; ++cause)
    report.hitches.byCause[cause] = hitches.Count(static_cast<HitchCause>(cause));
  report.hitches.worst.assign(hitches.Worst().begin(), hitches.Worst().end());
  report.validationMessages = audit.ValidationMessages();
  const std::uint64_t steady = audit.Frames().steady;
  report.driver.callbackAllocationsPerFrame =
      steady == 0 ? 0.0
                  : static_cast<double>(audit.DriverCallbackAllocations()) / static_cast<double>(steady);
}

void FillGatePolicies(const GatePolicies& policies, AuditReport& report) {
  report.gate.policy = ToString(policies.Of(GateRole::Frame, Phase::Frame).allocate);
  const char* const unseen = policies.WhatIsUnseen();
  report.gate.counts = unseen == nullptr;
  if (unseen != nullptr) report.gate.unseen = unseen;
  for (std::size_t role = 0; role < kGateRoles; ++role) {
    for (const Phase phase : {Phase::Setup, Phase::Compile, Phase::Frame, Phase::Shutdown}) {
      const GateRule& rule = policies.Of(static_cast<GateRole>(role), phase);
      if (rule == GateRule{}) continue;
      report.gate.policies.push_back({.role = ToString(static_cast<GateRole>(role)),
                                      .phase = ToString(phase),
                                      .allocate = ToString(rule.allocate),
                                      .free = ToString(rule.free)});
    }
  }
}

void FillPhases(const PhaseLedger& ledger, AuditReport& report) {
  for (std::size_t index = 0; index < kTrackedPhases; ++index) {
    const PhaseAllocations seen = ledger.Of(static_cast<Phase>(index));
    if (seen.stays == 0) continue;
    report.phases.push_back({.name = ToString(static_cast<Phase>(index)),
                             .stays = seen.stays,
                             .allocations = seen.sum.count,
                             .bytes = seen.sum.totalBytes,
                             .frees = seen.sum.frees,
                             .liveCount = seen.sum.liveCount,
                             .liveBytes = seen.sum.liveBytes,
                             .seconds = static_cast<double>(seen.sum.elapsedNs) * 1e-9});
  }
}

void Judge(AuditReport& report) {
  report.verdict = AuditVerdict::Pass;
  report.reasons.clear();
  const AuditFrameThreads& seen = report.frameThreads;
  const auto fail = [&](std::uint64_t count, const char* what) {
    if (count == 0) return;
    std::string reason = std::to_string(count) + " " + what + " on frame threads in steady frames";
    if (report.firstOffendingFrame != kNoFrame)
      reason += ", first in frame " + std::to_string(report.firstOffendingFrame);
    AddReason(report, AuditVerdict::Fail, std::move(reason));
  };
  fail(seen.heapAllocations, "heap allocations");
  fail(seen.heapFrees, "heap frees");
  fail(seen.vmSyscalls, "VM system calls");
  fail(seen.minorFaults, "minor page faults");
  if (report.validationMessages != 0) {
    AddReason(report, AuditVerdict::Fail, std::to_string(report.validationMessages) + " validation messages");
  }
  for (const AuditFallback& fallback : report.fallbacks) {
    if (fallback.refused == 0) continue;
    AddReason(report, AuditVerdict::Fail,
              "fallback '" + fallback.name + "' refused " + std::to_string(fallback.refused) + " requests" +
                  WhyRefused(fallback) + "; raise its budget or the capacity in front of it");
  }
  for (const AuditDeferred& queue : report.deferred) {
    if (queue.rejected + queue.discarded == 0) continue;
    AddReason(report, AuditVerdict::Fail,
              "deferred queue '" + queue.name + "' rejected " + std::to_string(queue.rejected) +
                  " records and discarded " + std::to_string(queue.discarded) +
                  ", their objects may leak; raise its capacity");
  }
  if (report.frames.steady == 0) {
    AddReason(report, AuditVerdict::Incomplete,
              "no steady frame: " + std::to_string(report.frames.total) + " frames ran, " +
                  std::to_string(report.frames.warmup) + " of them warm-up");
  }
  if (report.gate.state != "ARMED") {
    AddReason(report, AuditVerdict::Incomplete,
              "the gate is " + report.gate.state + ": " + report.gate.selftest);
  } else if (!report.gate.counts) {
    AddReason(report, AuditVerdict::Incomplete, "the gate does not count " + report.gate.unseen);
  }
  if (!report.witness.vmSyscalls) {
    AddReason(report, AuditVerdict::Incomplete, "no witness for VM system calls: " + report.witness.reason);
  }
  if (!report.witness.minorFaults) {
    AddReason(report, AuditVerdict::Incomplete,
              "no witness for minor page faults: " + report.witness.minorFaultsReason);
  }
  if (report.kernelProof.asked && report.kernelProof.frames == 0) {
    AddReason(report, AuditVerdict::Incomplete,
              "no frame ran under the kernel proof: " +
                  (report.kernelProof.reason.empty() ? "none was left" : report.kernelProof.reason));
  }
}

std::string ToJson(const AuditReport& report) {
  Json json;
  Json modules = Json::array();
  for (const AuditModule& module : report.gate.uncoveredModules) {
    modules.push_back({{"path", module.path}, {"reason", module.reason}});
  }
  Json policies = Json::array();
  for (const AuditPolicy& policy : report.gate.policies) {
    policies.push_back({{"role", policy.role},
                        {"phase", policy.phase},
                        {"allocate", policy.allocate},
                        {"free", policy.free}});
  }
  json["gate"] = {{"state", report.gate.state},
                  {"selftest", report.gate.selftest},
                  {"policy", report.gate.policy},
                  {"policies", policies},
                  {"uncovered_modules", modules}};
  json["devices"] = Json::array();
  for (const AuditDevice& device : report.devices) {
    json["devices"].push_back({{"name", device.name},
                               {"type", device.type},
                               {"driver", device.driver},
                               {"api_version", device.apiVersion},
                               {"note", device.note}});
  }
  json["frames"] = {{"total", report.frames.total},
                    {"warmup", report.frames.warmup},
                    {"compile", report.frames.compile},
                    {"steady", report.frames.steady}};
  json["frame_threads"] = {{"heap_allocations", report.frameThreads.heapAllocations},
                           {"heap_frees", report.frameThreads.heapFrees},
                           {"vm_syscalls", report.frameThreads.vmSyscalls},
                           {"minor_faults", report.frameThreads.minorFaults}};
  json["witness"] = {{"vm_syscalls", report.witness.vmSyscalls},
                     {"reason", report.witness.reason},
                     {"minor_faults", report.witness.minorFaults},
                     {"minor_faults_reason", report.witness.minorFaultsReason}};
  json["kernel_proof"] = {{"asked", report.kernelProof.asked},
                          {"reason", report.kernelProof.reason},
                          {"frames", report.kernelProof.frames},
                          {"denied", report.kernelProof.denied},
                          {"covers", report.kernelProof.covers}};
  json["driver"] = {{"callback_allocations_per_frame", report.driver.callbackAllocationsPerFrame},
                    {"direct_frame_thread", report.driver.directFrameThread},
                    {"direct_submit_thread", report.driver.directSubmitThread},
                    {"other_threads", report.driver.otherThreads}};
  json["tasks"] = ToJsonTasks(report.tasks);
  json["deferred"] = ToJsonDeferred(report.deferred);
  json["budgets"] = ToJsonBudgets(report.budgets);
  json["fallbacks"] = ToJsonFallbacks(report.fallbacks);
  json["arenas"] = Json::array();
  for (const AuditArena& arena : report.arenas) {
    json["arenas"].push_back({{"name", arena.name},
                              {"reserved_bytes", arena.reservedBytes},
                              {"committed_bytes", arena.committedBytes},
                              {"peak_bytes", arena.peakBytes}});
  }
  json["phases"] = Json::array();
  for (const AuditPhase& phase : report.phases) {
    json["phases"].push_back({{"name", phase.name},
                              {"stays", phase.stays},
                              {"heap_allocations", phase.allocations},
                              {"heap_bytes", phase.bytes},
                              {"heap_frees", phase.frees},
                              {"live_blocks", phase.liveCount},
                              {"live_bytes", phase.liveBytes},
                              {"seconds", phase.seconds}});
  }
  json["frame_time_us"] = ToJsonTimes(report.frameTimeUs);
  json["runtime_overhead_us"] = ToJsonTimes(report.runtimeOverheadUs);
  json["hitches"] = HitchesJson(report);
  json["pacing"] = PacingJson(report);
  json["validation_messages"] = report.validationMessages;
  json["first_offending_frame"] =
      report.firstOffendingFrame == kNoFrame ? Json(nullptr) : Json(report.firstOffendingFrame);
  json["verdict"] = ToString(report.verdict);
  json["reasons"] = report.reasons;
  // Driver and device names are whatever bytes a driver returns: replace what is not UTF-8 instead of
  // throwing.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

void PrintAudit(const AuditReport& report, std::FILE* file) {
  std::fprintf(file, "gate           %s, policy %s: %s\n", report.gate.state.c_str(),
               report.gate.policy.c_str(), report.gate.selftest.c_str());
  for (const AuditPolicy& policy : report.gate.policies) {
    if ((policy.allocate == report.gate.policy && policy.free == report.gate.policy) ||
        policy.role == "Other")
      continue;
    std::fprintf(file, "  but          %s in %s: %s, frees %s\n", policy.role.c_str(), policy.phase.c_str(),
                 policy.allocate.c_str(), policy.free.c_str());
  }
  for (const AuditModule& module : report.gate.uncoveredModules) {
    std::fprintf(file, "  uncovered    %s: %s\n", module.path.c_str(), module.reason.c_str());
  }
  for (const AuditDevice& device : report.devices) {
    std::fprintf(file, "device         %s (%s, %s, Vulkan %s)%s%s\n", device.name.c_str(),
                 device.type.c_str(), device.driver.c_str(), device.apiVersion.c_str(),
                 device.note.empty() ? "" : ": ", device.note.c_str());
  }
  std::fprintf(file, "frames         %llu: %llu warm-up, %llu compiling, %llu steady\n",
               Wide(report.frames.total), Wide(report.frames.warmup), Wide(report.frames.compile),
               Wide(report.frames.steady));
  std::fprintf(file, "frame threads  %llu heap allocations, %llu frees, ",
               Wide(report.frameThreads.heapAllocations), Wide(report.frameThreads.heapFrees));
  if (report.witness.vmSyscalls) {
    std::fprintf(file, "%llu VM system calls, ", Wide(report.frameThreads.vmSyscalls));
  } else {
    std::fprintf(file, "VM system calls not watched, ");
  }
  if (report.witness.minorFaults) {
    std::fprintf(file, "%llu minor faults (steady frames)\n", Wide(report.frameThreads.minorFaults));
  } else {
    std::fprintf(file, "minor faults not watched (steady frames)\n");
  }
  if (report.kernelProof.asked) {
    std::fprintf(file, "kernel proof   %llu frames, %llu VM system calls denied%s%s\n",
                 Wide(report.kernelProof.frames), Wide(report.kernelProof.denied),
                 report.kernelProof.reason.empty() ? "; covers " : "; refused: ",
                 report.kernelProof.reason.empty() ? report.kernelProof.covers.c_str()
                                                   : report.kernelProof.reason.c_str());
  }
  std::fprintf(
      file,
      "driver         %.2f callback allocations a frame; direct: %llu on frame threads, %llu on the submit "
      "thread, %llu on others\n",
      report.driver.callbackAllocationsPerFrame, Wide(report.driver.directFrameThread),
      Wide(report.driver.directSubmitThread), Wide(report.driver.otherThreads));
  PrintQueues(report, file);
  PrintFallbacks(report.fallbacks, file);
  for (const AuditArena& arena : report.arenas) {
    std::fprintf(file, "arena          %-12s peak %s, committed %s, reserved %s\n", arena.name.c_str(),
                 arenas::FormatBytes(arena.peakBytes).Get(), arenas::FormatBytes(arena.committedBytes).Get(),
                 arenas::FormatBytes(arena.reservedBytes).Get());
  }
  for (const AuditPhase& phase : report.phases) {
    std::fprintf(
        file,
        "phase          %-8s %lld heap allocations, %lld frees, %+lld blocks and %+lld B live; %.3f s\n",
        phase.name.c_str(), Signed(phase.allocations), Signed(phase.frees), Signed(phase.liveCount),
        Signed(phase.liveBytes), phase.seconds);
  }
  const auto times = [file](const char* name, const AuditTimes& us) {
    std::fprintf(file, "%-14s p50 %.2f  p99 %.2f  p99.9 %.2f  max %.2f us\n", name, us.p50, us.p99, us.p999,
                 us.max);
  };
  times("frame time", report.frameTimeUs);
  times("runtime part", report.runtimeOverheadUs);
  PrintHitches(report, file);
  std::fprintf(file, "validation     %llu messages\n", Wide(report.validationMessages));
  std::fprintf(file, "verdict        %s\n", ToString(report.verdict));
  for (const std::string& reason : report.reasons) std::fprintf(file, "  because      %s\n", reason.c_str());
}

}  // namespace stadial::runtime
