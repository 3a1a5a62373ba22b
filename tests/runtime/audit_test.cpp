#include "stadial/runtime/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "stadial/runtime/budget.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using testing::CountedScope;
using ::testing::HasSubstr;

// A report that passes: what the other tests break one thing of.
AuditReport GoodReport() {
  AuditReport report;
  report.gate.state = "ARMED";
  report.gate.selftest = "20 of 20 forms seen";
  report.gate.policy = "trap";
  report.gate.counts = true;
  report.witness.vmSyscalls = true;
  report.witness.minorFaults = true;
  report.frames = {.total = 600, .warmup = 60, .compile = 2, .steady = 538};
  return report;
}

TEST(Audit, PassesOnlyWhenEverythingWasWatchedAndNothingSeen) {
  AuditReport report = GoodReport();
  Judge(report);
  EXPECT_EQ(report.verdict, AuditVerdict::Pass);
  EXPECT_TRUE(report.reasons.empty());
}

struct Defect {
  const char* name;
  void (*plant)(AuditReport&);
  AuditVerdict verdict;
  const char* reason;
};

void PrintTo(const Defect& defect, std::ostream* out) { *out << defect.name; }

class AuditVerdicts : public ::testing::TestWithParam<Defect> {};

TEST_P(AuditVerdicts, AreNeverAPassWithADefect) {
  AuditReport report = GoodReport();
  GetParam().plant(report);
  Judge(report);
  EXPECT_EQ(report.verdict, GetParam().verdict);
  ASSERT_EQ(report.reasons.size(), 1u);
  EXPECT_THAT(report.reasons[0], HasSubstr(GetParam().reason));
}

INSTANTIATE_TEST_SUITE_P(
    Defects, AuditVerdicts,
    ::testing::Values(Defect{"Allocation",
                             [](AuditReport& r) {
                               r.frameThreads.heapAllocations = 3;
                               r.firstOffendingFrame = 100;
                             },
                             AuditVerdict::Fail,
                             "3 heap allocations on frame threads in steady frames, first in frame 100"},
                      Defect{"Free", [](AuditReport& r) { r.frameThreads.heapFrees = 1; }, AuditVerdict::Fail,
                             "1 heap frees"},
                      Defect{"VmSyscall", [](AuditReport& r) { r.frameThreads.vmSyscalls = 1; },
                             AuditVerdict::Fail, "1 VM system calls"},
                      Defect{"Fault", [](AuditReport& r) { r.frameThreads.minorFaults = 2; },
                             AuditVerdict::Fail, "2 minor page faults"},
                      Defect{"Validation", [](AuditReport& r) { r.validationMessages = 4; },
                             AuditVerdict::Fail, "4 validation messages"},
                      Defect{"RefusedFallback",
                             [](AuditReport& r) { r.fallbacks.push_back({.name = "bus", .refused = 5}); },
                             AuditVerdict::Fail, "fallback 'bus' refused 5 requests; raise its budget"},
                      Defect{
                          "RefusalByCause",
                          [](AuditReport& r) {
                            r.fallbacks.push_back({.name = "bus",
                                                   .budgetBytes = 4096,
                                                   .countPerFrameMax = 8,
                                                   .refused = 6,
                                                   .refusedByBudget = 2,
                                                   .refusedByFrame = 1,
                                                   .refusedByThread = 3});
                          },
                          AuditVerdict::Fail,
                          "fallback 'bus' refused 6 requests (2 beyond its budget of 4096 B, 1 beyond its 8 "
                          "a frame, 3 on a thread that does not own it); raise"},
                      Defect{"DeferredRejected",
                             [](AuditReport& r) { r.deferred.push_back({.name = "gpu", .rejected = 2}); },
                             AuditVerdict::Fail, "deferred queue 'gpu' rejected 2 records"},
                      Defect{"DeferredDiscarded",
                             [](AuditReport& r) { r.deferred.push_back({.name = "gpu", .discarded = 3}); },
                             AuditVerdict::Fail, "discarded 3"},
                      Defect{"Disarmed", [](AuditReport& r) { r.gate.state = "DISARMED"; },
                             AuditVerdict::Incomplete, "gate is DISARMED"},
                      Defect{"Partial", [](AuditReport& r) { r.gate.state = "PARTIAL"; },
                             AuditVerdict::Incomplete, "gate is PARTIAL"},
                      Defect{"PolicyAllow",
                             [](AuditReport& r) {
                               r.gate.counts = false;
                               r.gate.unseen = "frees of Task";
                             },
                             AuditVerdict::Incomplete, "does not count frees of Task"},
                      Defect{"NoWitness",
                             [](AuditReport& r) {
                               r.witness.vmSyscalls = false;
                               r.witness.reason = "not x86-64";
                             },
                             AuditVerdict::Incomplete, "no witness for VM system calls: not x86-64"},
                      Defect{"NoFaultWitness",
                             [](AuditReport& r) {
                               r.witness.minorFaults = false;
                               r.witness.minorFaultsReason = "shadow";
                             },
                             AuditVerdict::Incomplete, "no witness for minor page faults: shadow"},
                      Defect{"NoSteadyFrame", [](AuditReport& r) { r.frames = {.total = 5, .warmup = 5}; },
                             AuditVerdict::Incomplete, "no steady frame"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Audit, AFailureOutweighsAGapInTheEvidence) {
  AuditReport report = GoodReport();
  report.gate.state = "PARTIAL";
  report.frameThreads.heapFrees = 1;
  report.witness.vmSyscalls = false;
  Judge(report);
  EXPECT_EQ(report.verdict, AuditVerdict::Fail);
  EXPECT_EQ(report.reasons.size(), 3u);
}

TEST(Audit, CollectsSteadyFramesOnly) {
  const auto audit = std::make_unique<FrameAudit>(2);
  audit->Record({.frameIndex = 0, .frameNs = 9'000'000, .heapAllocations = 50});
  EXPECT_FALSE(audit->IsSteady());
  audit->Record({.frameIndex = 1, .frameNs = 9'000'000, .minorFaults = 50});
  EXPECT_TRUE(audit->IsSteady());
  audit->Record({.frameIndex = 2, .frameNs = 9'000'000, .vmSyscalls = 4, .compiled = true});
  audit->Record({.frameIndex = 3, .frameNs = 1000, .overheadNs = 100});
  audit->Record({.frameIndex = 4, .frameNs = 3000, .overheadNs = 300, .heapFrees = 1});
  AuditReport report;
  FillReport(*audit, report);
  EXPECT_EQ(report.frames.total, 5u);
  EXPECT_EQ(report.frames.warmup, 2u);
  EXPECT_EQ(report.frames.compile, 1u);
  EXPECT_EQ(report.frames.steady, 2u);
  EXPECT_EQ(report.frameThreads.heapAllocations, 0u);
  EXPECT_EQ(report.frameThreads.heapFrees, 1u);
  EXPECT_EQ(report.frameThreads.vmSyscalls, 0u);
  EXPECT_EQ(report.firstOffendingFrame, 4u);
  EXPECT_NEAR(report.frameTimeUs.p50, 1.0, 0.01);
  EXPECT_EQ(report.frameTimeUs.max, 3.0);
  EXPECT_NEAR(report.runtimeOverheadUs.p99, 0.3, 0.003);
}

TEST(Audit, HitchesAreCollectedAfterTheWarmUpAlsoOfFramesThatCompile) {
  const auto audit = std::make_unique<FrameAudit>(20, HitchOptions{.absoluteNs = 1'000'000});
  for (std::uint64_t i = 0; i < 20; ++i)
    audit->Record({.frameIndex = i, .frameNs = i == 18 ? 90'000'000u : 1'000'000u});
  EXPECT_EQ(audit->Hitches().Count(), 0u);
  audit->Record({.frameIndex = 20, .frameNs = 1'500'000});
  audit->Record({.frameIndex = 21, .frameNs = 30'000'000, .compiled = true});
  audit->Record({.frameIndex = 22, .frameNs = 9'000'000, .waitedNs = 8'500'000});
  audit->Record({.frameIndex = 23, .frameNs = 8'000'000, .fallbackAllocations = 1});
  audit->Record({.frameIndex = 24, .frameNs = 7'000'000, .budgetDeferrals = 1});
  AuditReport report;
  FillReport(*audit, report);
  EXPECT_EQ(report.hitches.total, 4u);
  for (const HitchCause cause :
       {HitchCause::Compile, HitchCause::Wait, HitchCause::Fallback, HitchCause::Budget})
    EXPECT_EQ(report.hitches.byCause[static_cast<std::size_t>(cause)], 1u) << ToString(cause);
  ASSERT_EQ(report.hitches.worst.size(), 4u);
  EXPECT_EQ(report.hitches.worst[0].frameIndex, 21u);
}

TEST(Audit, DriverCallbackAllocationsArePerSteadyFrame) {
  const auto audit = std::make_unique<FrameAudit>();
  audit->SetDriverCallbackAllocations(30);
  audit->SetValidationMessages(2);
  AuditReport report;
  FillReport(*audit, report);
  EXPECT_EQ(report.driver.callbackAllocationsPerFrame, 0.0) << "no frames, no division by zero";
  for (int i = 0; i < 20; ++i) audit->Record({});
  FillReport(*audit, report);
  EXPECT_EQ(report.driver.callbackAllocationsPerFrame, 1.5);
  EXPECT_EQ(report.validationMessages, 2u);
}

TEST(Audit, RecordingAllocatesNothing) {
  STADIAL_ASSERT_ARMED();
  const auto audit = std::make_unique<FrameAudit>();
  std::uint64_t allocations = 0;
  {
    const CountedScope counted;
    for (std::uint64_t i = 0; i < 1000; ++i)
      audit->Record({.frameIndex = i, .frameNs = i * 977, .overheadNs = i});
    allocations = counted.Allocations() + counted.Frees();
  }
  EXPECT_EQ(allocations, 0u);
}

void PlantHitches(AuditReport& report) {
  report.hitches.total = 2;
  report.hitches.byCause[static_cast<std::size_t>(HitchCause::Wait)] = 2;
  report.hitches.worst.push_back({.frameIndex = 70,
                                  .frameNs = 50'000'000,
                                  .thresholdNs = 20'000'000,
                                  .medianNs = 10'000'000,
                                  .waitedNs = 40'000'000,
                                  .cause = HitchCause::Wait,
                                  .evidence = 1u << static_cast<unsigned>(HitchCause::Wait) |
                                              1u << static_cast<unsigned>(HitchCause::Fault)});
  report.pacing = {
      .periodNs = 11'111'000, .ceilingNs = 10'000'000, .stats = {.lateFrames = 2, .missedDeadlines = 3}};
}

TEST(Audit, JsonHasEveryFieldOfTheAudit) {
  AuditReport report = GoodReport();
  report.gate.uncoveredModules.push_back({.path = "/lib/x.so", .reason = "DEEPBIND"});
  report.devices.push_back({.name = "llvm\xffpipe", .type = "cpu", .driver = "Mesa", .apiVersion = "1.3"});
  report.tasks = {.workers = 3, .capacity = 4096, .queuedPeak = 7, .ran = 90, .rejected = 1};
  report.deferred.push_back({.name = "deferred", .capacity = 64, .peak = 5, .retired = 11});
  report.budgets.push_back({.name = "host",
                            .isHeap = true,
                            .usedBytes = 9,
                            .softBytes = kBudgetBytesMax,
                            .hardBytes = kBudgetBytesMax});
  report.budgets.push_back({.name = "textures",
                            .peakBytes = 8,
                            .softBytes = 10,
                            .hardBytes = 20,
                            .refused = 4,
                            .throttles = 2,
                            .isThrottled = true});
  report.arenas.push_back({.name = "setup", .reservedBytes = 3, .committedBytes = 2, .peakBytes = 1});
  report.frameTimeUs = {.p50 = 1.5, .p99 = 2, .p999 = 3, .max = 4};
  report.runtimeOverheadUs = {.p50 = 0.25, .p99 = 0.5, .p999 = 1, .max = 2};
  PlantHitches(report);
  Judge(report);
  report.fallbacks.push_back({.name = "event_bus",
                              .owner = "events",
                              .budgetBytes = 4096,
                              .countPerFrameMax = 8,
                              .allocations = 31,
                              .allocationsInWorstFrame = 7,
                              .bytes = 6,
                              .peakBytes = 10,
                              .refused = 10,
                              .refusedByBudget = 4,
                              .refusedByFrame = 3,
                              .refusedByHeap = 2,
                              .refusedByThread = 1});  // not judged
  const nlohmann::json json = nlohmann::json::parse(ToJson(report));
  EXPECT_EQ(json["gate"]["state"], "ARMED");
  EXPECT_EQ(json["gate"]["selftest"], "20 of 20 forms seen");
  EXPECT_EQ(json["gate"]["uncovered_modules"][0]["path"], "/lib/x.so");
  EXPECT_EQ(json["devices"].size(), 1u) << "a name that is not UTF-8 must not break the report";
  EXPECT_EQ(json["frames"]["total"], 600);
  EXPECT_EQ(json["frames"]["warmup"], 60);
  EXPECT_EQ(json["frames"]["steady"], 538);
  for (const char* const key : {"heap_allocations", "heap_frees", "vm_syscalls", "minor_faults"}) {
    EXPECT_EQ(json["frame_threads"][key], 0) << key;
  }
  for (const char* const key :
       {"callback_allocations_per_frame", "direct_frame_thread", "direct_submit_thread"}) {
    EXPECT_EQ(json["driver"][key], 0) << key;
  }
  EXPECT_EQ(json["tasks"]["workers"], 3);
  EXPECT_EQ(json["tasks"]["queued_peak"], 7);
  EXPECT_EQ(json["tasks"]["ran"], 90);
  EXPECT_EQ(json["tasks"]["rejected"], 1);
  EXPECT_EQ(json["deferred"][0]["name"], "deferred");
  EXPECT_EQ(json["deferred"][0]["peak"], 5);
  EXPECT_EQ(json["deferred"][0]["retired"], 11);
  EXPECT_EQ(json["budgets"][0]["kind"], "heap");
  EXPECT_TRUE(json["budgets"][0]["hard_bytes"].is_null()) << "no limit";
  EXPECT_EQ(json["budgets"][1]["kind"], "subsystem");
  EXPECT_EQ(json["budgets"][1]["hard_bytes"], 20);
  EXPECT_EQ(json["budgets"][1]["refused"], 4);
  EXPECT_TRUE(json["budgets"][1]["throttled"].get<bool>());
  EXPECT_EQ(json["fallbacks"][0], nlohmann::json({{"name", "event_bus"},
                                                  {"owner", "events"},
                                                  {"budget_bytes", 4096},
                                                  {"count_per_frame_max", 8},
                                                  {"allocations", 31},
                                                  {"allocations_in_worst_frame", 7},
                                                  {"bytes", 6},
                                                  {"peak_bytes", 10},
                                                  {"refused", 10},
                                                  {"refused_by_budget", 4},
                                                  {"refused_by_frame", 3},
                                                  {"refused_by_heap", 2},
                                                  {"refused_by_thread", 1}}));
  EXPECT_EQ(json["arenas"][0]["reserved_bytes"], 3);
  EXPECT_EQ(json["arenas"][0]["committed_bytes"], 2);
  EXPECT_EQ(json["arenas"][0]["peak_bytes"], 1);
  EXPECT_EQ(json["frame_time_us"]["p999"], 3.0);
  EXPECT_EQ(json["frame_time_us"]["max"], 4.0);
  EXPECT_EQ(json["runtime_overhead_us"]["p50"], 0.25);
  EXPECT_EQ(json["runtime_overhead_us"]["p99"], 0.5);
  EXPECT_EQ(json["hitches"]["total"], 2);
  EXPECT_EQ(json["hitches"]["by_cause"]["wait"], 2);
  EXPECT_EQ(json["hitches"]["by_cause"]["node code"], 0);
  EXPECT_EQ(json["hitches"]["worst"][0]["frame"], 70);
  EXPECT_EQ(json["hitches"]["worst"][0]["us"], 50000.0);
  EXPECT_EQ(json["hitches"]["worst"][0]["cause"], "wait");
  EXPECT_EQ(json["hitches"]["worst"][0]["evidence"], nlohmann::json({"wait", "fault"}));
  EXPECT_EQ(json["pacing"]["period_us"], 11111.0);
  EXPECT_EQ(json["pacing"]["missed_deadlines"], 3);
  EXPECT_EQ(json["validation_messages"], 0);
  EXPECT_TRUE(json["first_offending_frame"].is_null());
  EXPECT_EQ(json["verdict"], "pass");
  EXPECT_TRUE(json["reasons"].empty());
}

TEST(Audit, LateFaultsCountOnceTheWarmUpIsOver) {
  const auto audit = std::make_unique<FrameAudit>(1);
  audit->Record({.frameIndex = 0});
  audit->AddLateFaults(0, 5);
  EXPECT_EQ(audit->Steady().minorFaults, 0u);
  audit->Record({.frameIndex = 1});
  audit->AddLateFaults(1, 0);
  EXPECT_EQ(audit->FirstOffendingFrame(), ~std::uint64_t{0});
  audit->AddLateFaults(1, 5);
  EXPECT_EQ(audit->Steady().minorFaults, 5u);
  EXPECT_EQ(audit->FirstOffendingFrame(), 1u);
}

TEST(Audit, TextNamesVerdictAndReasons) {
  AuditReport report = GoodReport();
  report.tasks = {.workers = 3, .capacity = 64, .queuedPeak = 7, .ran = 90};
  report.deferred.push_back({.name = "deferred", .capacity = 64, .peak = 5, .retired = 11});
  report.budgets.push_back({.name = "textures",
                            .softBytes = 1024,
                            .hardBytes = kBudgetBytesMax,
                            .refused = 4,
                            .throttles = 2,
                            .isThrottled = true});
  report.frameThreads.minorFaults = 7;
  report.fallbacks.push_back({.name = "bus",
                              .owner = "events",
                              .budgetBytes = 4096,
                              .countPerFrameMax = 8,
                              .allocations = 31,
                              .allocationsInWorstFrame = 7,
                              .peakBytes = 1024,
                              .refused = 2,
                              .refusedByFrame = 2});
  report.fallbacks.push_back({.name = "free", .owner = "us"});
  PlantHitches(report);
  Judge(report);
  char text[8192] = {};
  std::FILE* const file = ::fmemopen(text, sizeof text - 1, "w");
  ASSERT_NE(file, nullptr);
  PrintAudit(report, file);
  std::fclose(file);
  EXPECT_THAT(text, HasSubstr("verdict        fail\n  because      7 minor page faults"));
  EXPECT_THAT(text, HasSubstr("538 steady"));
  EXPECT_THAT(text, HasSubstr("hitches        2: 2 wait\n"));
  EXPECT_THAT(text, HasSubstr("worst        frame 70: 50000 us, median 10000 us; wait, also fault"));
  EXPECT_THAT(text, HasSubstr("pacing         every 11111 us: 2 frames late, 3 deadlines missed"));
  EXPECT_THAT(text, HasSubstr("90 ran on 3 workers, peak 7 of 64 queued"));
  EXPECT_THAT(text, HasSubstr("deferred     peak 5 of 64 records, 11 retired, 0 lost"));
  EXPECT_THAT(text, HasSubstr("hard none, 4 refused, throttled 2 times, and now"));
  EXPECT_THAT(text,
              HasSubstr("bus (events): 31 allocations, peak 1024 B of 4096 B, 7 in the worst frame of 8, "
                        "2 refused (2 beyond its 8 a frame)\n"));
  EXPECT_THAT(
      text,
      HasSubstr("free (us): 0 allocations, peak 0 B of 0 B, 0 in the worst frame of no limit, 0 refused\n"));
}

}  // namespace
}  // namespace stadial::runtime
