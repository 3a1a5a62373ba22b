// Whole runs of the program, on every software driver that is here: the audit's claims, the canary, the exit
// codes, and the validation layer's silence.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <nlohmann/json.hpp>
#include <thread>

#include "run_program.h"
#include "stadial/runtime/telemetry_reader.h"
#include "vox_bytes.h"

namespace stadial::tests {
namespace {

using Json = nlohmann::json;

// A sanitized build is ten times slower and its gate watches through hooks; the same runs, shorter.
constexpr bool kIsSanitized = SANDBOX_IS_SANITIZED;
constexpr int kLongRunFrames = kIsSanitized ? 60 : 600;
constexpr int kSteadyFramesMin = kIsSanitized ? 40 : 500;

struct SandboxOutcome {
  ProgramResult result;
  Json audit;
};

class SandboxRun : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!HasDevice(GetParam()))
      GTEST_SKIP() << "no driver with a device '" << GetParam() << "' on this machine";
  }

  SandboxOutcome RunSandbox(std::vector<std::string> arguments, const char* program = SANDBOX_PROGRAM) {
    const std::string json = folder_.File("audit.json");
    arguments.insert(arguments.end(), {"--device", GetParam(), "--out", folder_.File("out"), "--json", json});
    SandboxOutcome run{RunProgram({.program = program, .arguments = arguments}), {}};
    run.audit = Json::parse(ReadWholeFile(json), nullptr, false);
    return run;
  }

  // With a scene of its own for tests about frames, not about what is in them: in the scene that ships with
  // the program the automaton is most of a frame, on SwiftShader ten times the rest.
  SandboxOutcome RunSmallScene(std::vector<std::string> arguments, const char* program = SANDBOX_PROGRAM) {
    arguments.insert(arguments.end(), {"--scene", folder_.Write("blocks.vox", FallingBlocksVox()), "--sand",
                                       "2", "--water", "3", "--world-mib", "1"});
    return RunSandbox(std::move(arguments), program);
  }

  // Without the layer's package these tests would pass by seeing nothing.
  void ExpectSilentUnderValidation(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--validation", "--size", "64x48"});
    const SandboxOutcome run = RunSmallScene(std::move(arguments));
    EXPECT_EQ(run.result.exitCode, 3) << run.result.Describe();
    EXPECT_EQ(run.result.err, "");
    ASSERT_TRUE(run.audit.is_object()) << run.result.Describe();
    EXPECT_EQ(run.audit["validation_messages"], 0);
    EXPECT_EQ(run.audit["verdict"], "incomplete");
    EXPECT_TRUE(run.audit["run"]["validation"].get<bool>());
  }

  TemporaryFolder folder_;
};

// What keeps a sanitized build from a full pass; anything else in the reasons is a fault.
bool IsExpectedReason(const std::string& reason) {
  return kIsSanitized &&
         (reason.find("witness") != std::string::npos || reason.find("gate is") != std::string::npos);
}

TEST_P(SandboxRun, A_c_SteadyFramesAllocateNothing) {
  const std::string frames = std::to_string(kLongRunFrames);
  // The scene that ships with the program on one driver, a small one on the others.
  const SandboxOutcome run = std::string_view(GetParam()) == kLavapipe
                                 ? RunSandbox({"--frames", frames, "--size", "64x48", "--world-mib", "1"})
                                 : RunSmallScene({"--frames", frames, "--size", "64x48"});
  ASSERT_TRUE(run.audit.is_object()) << run.result.Describe();
  EXPECT_EQ(run.result.err, "") << "quiet where nobody watches";
  EXPECT_EQ(run.audit["gate"]["policy"].get<std::string>().find("llow"), std::string::npos);
  EXPECT_EQ(run.audit["frames"]["total"], kLongRunFrames);
  EXPECT_GE(run.audit["frames"]["steady"], kSteadyFramesMin);
  for (const char* counter : {"heap_allocations", "heap_frees", "vm_syscalls", "minor_faults"}) {
    EXPECT_EQ(run.audit["frame_threads"][counter], 0) << counter << ' ' << run.result.out;
  }
  EXPECT_EQ(run.audit["driver"]["direct_frame_thread"], 0);
  EXPECT_EQ(run.audit["gate"]["uncovered_modules"].size(), 0u)
      << run.audit["gate"]["uncovered_modules"].dump();
  if (!kIsSanitized) {
    EXPECT_EQ(run.audit["gate"]["state"], "ARMED");
    EXPECT_EQ(run.audit["verdict"], "pass") << run.result.Describe();
    EXPECT_EQ(run.result.exitCode, 0);
  }
  for (const Json& reason : run.audit["reasons"])
    EXPECT_TRUE(IsExpectedReason(reason.get<std::string>())) << reason;
}

TEST_P(SandboxRun, TelemetryIsPublishedAndCostsNoFrameItsClaims) {
  std::atomic<bool> isOver{false};
  std::atomic<bool> wasSeen{false};
  std::thread looker([&] {
    while (!isOver.load() && !wasSeen.load()) {
      for (const runtime::TelemetrySegment& segment : runtime::ListTelemetry())
        wasSeen = wasSeen || (segment.program == "sandbox" && segment.isAlive);
      std::this_thread::yield();
    }
  });
  const SandboxOutcome run = RunSmallScene({"--telemetry", "--frames", "80", "--size", "64x48"});
  isOver = true;
  looker.join();
  ASSERT_TRUE(run.audit.is_object()) << run.result.Describe();
  EXPECT_TRUE(wasSeen);
  EXPECT_EQ(run.audit["frame_threads"]["heap_allocations"], 0);
  EXPECT_EQ(run.audit["frame_threads"]["vm_syscalls"], 0);
  for (const Json& reason : run.audit["reasons"])
    EXPECT_TRUE(IsExpectedReason(reason.get<std::string>())) << reason;
}

TEST_P(SandboxRun, T4_KernelProofHoldsOrIsRefused) {
  const SandboxOutcome run = RunSmallScene({"--frames", "120", "--size", "64x48", "--kernel-proof"});
  ASSERT_TRUE(run.audit.is_object()) << run.result.Describe();
  const Json& proof = run.audit["kernel_proof"];
  EXPECT_EQ(proof["asked"], true);
  if (!run.audit["witness"]["vm_syscalls"].get<bool>()) {
    EXPECT_NE(proof["reason"], "");
    EXPECT_EQ(proof["frames"], 0);
    EXPECT_EQ(run.audit["verdict"], "incomplete");
    return;
  }
  EXPECT_EQ(proof["reason"], "");
  EXPECT_EQ(proof["frames"], 90) << "all but the warm-up";
  EXPECT_EQ(proof["denied"], 0);
  EXPECT_NE(proof["covers"].get<std::string>().find("no VM system call"), std::string::npos);
  if (!kIsSanitized) {
    EXPECT_EQ(run.result.exitCode, 0) << run.result.Describe();
  }
}

TEST_P(SandboxRun, EveryFieldOfTheAuditIsThere) {
  const SandboxOutcome run = RunSandbox({"--frames", "8", "--size", "16x16", "--world-mib", "1"});
  ASSERT_TRUE(run.audit.is_object()) << run.result.Describe();
  for (const char* field : {"/gate/state",
                            "/gate/selftest",
                            "/gate/uncovered_modules",
                            "/devices/0/name",
                            "/devices/0/note",
                            "/frames/total",
                            "/frames/warmup",
                            "/frames/steady",
                            "/frame_threads/heap_allocations",
                            "/frame_threads/heap_frees",
                            "/frame_threads/vm_syscalls",
                            "/frame_threads/minor_faults",
                            "/kernel_proof/asked",
                            "/kernel_proof/covers",
                            "/kernel_proof/denied",
                            "/driver/callback_allocations_per_frame",
                            "/driver/direct_frame_thread",
                            "/driver/direct_submit_thread",
                            "/fallbacks",
                            "/arenas/0/name",
                            "/arenas/0/reserved_bytes",
                            "/arenas/0/committed_bytes",
                            "/arenas/0/peak_bytes",
                            "/frame_time_us/p50",
                            "/frame_time_us/p99",
                            "/frame_time_us/p999",
                            "/frame_time_us/max",
                            "/runtime_overhead_us/p50",
                            "/runtime_overhead_us/p99",
                            "/hitches/by_cause/wait",
                            "/hitches/worst",
                            "/pacing/missed_deadlines",
                            "/validation_messages",
                            "/verdict",
                            "/run/device",
                            "/run/world/cells"}) {
    EXPECT_TRUE(run.audit.contains(Json::json_pointer(field))) << field;
  }
  EXPECT_EQ(run.audit["run"]["pictures"].size(), 5u);
  for (const Json& path : run.audit["run"]["pictures"]) {
    EXPECT_TRUE(ReadWholeFile(path.get<std::string>()).starts_with("\x89PNG")) << path;
  }
}

TEST_P(SandboxRun, FramesInFlightChangeNothingInTheWorld) {
  std::string first;
  for (const char* framesInFlight : {"1", "2", "3", "8"}) {
    const std::string cells = folder_.File("cells");
    const SandboxOutcome run = RunSandbox({"--frames", "9", "--size", "16x16", "--world-mib", "1",
                                           "--frames-in-flight", framesInFlight, "--cells", cells});
    ASSERT_TRUE(run.result.exitCode == 0 || (kIsSanitized && run.result.exitCode == 3))
        << run.result.Describe();
    const std::string bytes = ReadWholeFile(cells);
    ASSERT_FALSE(bytes.empty());
    if (first.empty()) first = bytes;
    EXPECT_TRUE(bytes == first) << framesInFlight << " frames in flight";
  }
}

TEST_P(SandboxRun, AFullDiskIsSaidAndTheAuditIsNotLost) {
  const ProgramResult result =
      RunProgram({.program = SANDBOX_PROGRAM,
                  .arguments = {"--frames", "4", "--size", "16x16", "--world-mib", "1", "--device",
                                GetParam(), "--out", folder_.File("out"), "--json", "/dev/full"}});
  EXPECT_EQ(result.exitCode, 2) << result.Describe();
  EXPECT_EQ(result.ErrLines(), 1u) << result.Describe();
  EXPECT_TRUE(result.ErrContains("/dev/full")) << result.Describe();
  EXPECT_TRUE(result.OutContains("verdict")) << result.Describe();
}

TEST_P(SandboxRun, T8_SilentUnderValidation) { ExpectSilentUnderValidation({"--frames", "12"}); }
TEST_P(SandboxRun, T8_SilentUnderValidationWithThreeStepsAndThreeFramesInFlight) {
  ExpectSilentUnderValidation(
      {"--frames", "12", "--steps-per-frame", "3", "--frames-in-flight", "3", "--save-every", "1"});
}
TEST_P(SandboxRun, T8_SilentUnderValidationThroughResizes) {
  ExpectSilentUnderValidation({"--frames", "16", "--resize-at", "5:80x40", "--resize-at", "6:24x24",
                               "--resize-at", "11:96x64", "--cells", folder_.File("cells")});
}

TEST_P(SandboxRun, G5_AResizeIsOneBatchedRecompile) {
  const SandboxOutcome run = RunSmallScene({"--frames", "40", "--size", "64x48", "--resize-at", "20:96x64"});
  ASSERT_TRUE(run.audit.is_object()) << run.result.Describe();
  EXPECT_EQ(run.audit["run"]["graph"]["recompiles"], 1);
  for (const char* counter : {"heap_allocations", "heap_frees", "vm_syscalls"}) {
    EXPECT_EQ(run.audit["frame_threads"][counter], 0) << counter << ' ' << run.result.out;
  }
}

// The second run has what the first one used, and a quarter more; less than that in the profile is exceeded.
TEST_P(SandboxRun, Z1_ARunSizesTheNextOneAndIsItsBudget) {
  const std::string profile = folder_.File("sizing.json");
  const auto run = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--frames", "9", "--size", "16x16", "--world-mib", "1"});
    return RunSandbox(std::move(arguments));
  };
  const auto isGood = [](const SandboxOutcome& outcome) {
    return outcome.result.exitCode == 0 || (kIsSanitized && outcome.result.exitCode == 3);
  };
  const SandboxOutcome first = run({"--sizing-profile", profile});
  ASSERT_TRUE(isGood(first)) << first.result.Describe();
  Json sizes = Json::parse(ReadWholeFile(profile), nullptr, false);
  ASSERT_TRUE(sizes.is_object());
  for (const char* const name : {"runtime.setup", "runtime.compile", "runtime.frame_lane", "runtime.events",
                                 "runtime.deferred", "runtime.tasks", "budget.host", "budget.gpu0",
                                 "fallback.event_bus", "gpu.driver", "sandbox.pictures"}) {
    EXPECT_TRUE(sizes["capacities"].contains(name)) << name;
  }
  const SandboxOutcome second = run({"--sizing-profile", profile, "--sizing-check", profile});
  ASSERT_TRUE(isGood(second)) << second.result.Describe();
  EXPECT_EQ(Json::parse(ReadWholeFile(profile))["runs"], 2);
  const SandboxOutcome morePictures = run({"--sizing-profile", profile, "--save-every", "1"});
  ASSERT_TRUE(isGood(morePictures)) << morePictures.result.Describe();
  const auto setupBytes = [](const SandboxOutcome& outcome) {
    return outcome.audit["arenas"][0]["committed_bytes"].get<std::uint64_t>();
  };
  EXPECT_EQ(second.audit["arenas"][0]["name"], "setup");
  EXPECT_LT(setupBytes(second), setupBytes(first));

  sizes["capacities"]["runtime.setup"]["used"] = 4096;
  const SandboxOutcome exceeded = run({"--sizing-check", folder_.Write("budget.json", sizes.dump())});
  EXPECT_EQ(exceeded.result.exitCode, 1) << exceeded.result.Describe();
  EXPECT_TRUE(exceeded.result.ErrContains("'runtime.setup' used")) << exceeded.result.err;
}

INSTANTIATE_TEST_SUITE_P(Drivers, SandboxRun, ::testing::ValuesIn(TestDevices()),
                         [](const auto& instance) { return TestNameOf(instance.param); });

// The canary: a build that allocates once, in a node, in frame 100.
class SandboxCanary : public SandboxRun {
 protected:
  SandboxOutcome RunCanary(std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), {"--size", "16x16", "--frames", "120"});
    return RunSmallScene(std::move(arguments), SANDBOX_CANARY_PROGRAM);
  }
};

TEST_P(SandboxCanary, R6_DiesByTheTrapAndSaysWhere) {
  const SandboxOutcome run = RunCanary({});
  EXPECT_EQ(run.result.signal, SIGABRT) << run.result.Describe();
  for (const char* word : {"phase Frame", "frame 100", "thread 'frame'", "component 'simulate'", "malloc",
                           "of 48 B", "AllocateOnPurpose", "RenderGraph::Execute", "remedy"}) {
    EXPECT_TRUE(run.result.ErrContains(word)) << "no '" << word << "' in the report: " << run.result.err;
  }
}

TEST_P(SandboxCanary, R6_CountedItFailsTheVerdict) {
  const SandboxOutcome run = RunCanary({"--gate", "count"});
  EXPECT_EQ(run.result.exitCode, 1) << run.result.Describe();
  ASSERT_TRUE(run.audit.is_object());
  EXPECT_EQ(run.audit["frame_threads"]["heap_allocations"], 1);
  EXPECT_EQ(run.audit["frame_threads"]["heap_frees"], 1);
  EXPECT_EQ(run.audit["verdict"], "fail");
}

TEST_P(SandboxCanary, R6_ReportedItGoesOnAndFailsTheVerdict) {
  const SandboxOutcome run = RunCanary({"--gate", "report"});
  EXPECT_EQ(run.result.exitCode, 1) << run.result.Describe();
  EXPECT_TRUE(run.result.ErrContains("AllocateOnPurpose")) << run.result.err;
}

TEST_P(SandboxCanary, AllowedItIsNoPass) {
  const SandboxOutcome run = RunCanary({"--gate", "allow"});
  EXPECT_EQ(run.result.exitCode, 3) << run.result.Describe();
}

TEST_P(SandboxCanary, ElsewhereInTime) {
  const SandboxOutcome run = RunCanary({"--canary", "alloc@7"});
  EXPECT_EQ(run.result.signal, SIGABRT) << run.result.Describe();
  EXPECT_TRUE(run.result.ErrContains("frame 7")) << run.result.err;
}

INSTANTIATE_TEST_SUITE_P(Drivers, SandboxCanary, ::testing::Values(kLavapipe),
                         [](const auto& instance) { return std::string(instance.param); });

TEST(SandboxHelp, NamesEveryOption) {
  const ProgramResult result = RunProgram({.program = SANDBOX_PROGRAM, .arguments = {"--help"}});
  EXPECT_EQ(result.exitCode, 0);
  EXPECT_EQ(result.err, "");
  for (const char* option : {"--scene",
                             "--frames",
                             "--size",
                             "--device",
                             "--list-devices",
                             "--out",
                             "--json",
                             "--gate",
                             "--frames-in-flight",
                             "--seed",
                             "--camera",
                             "--validation",
                             "--save-every",
                             "--resize-at",
                             "--steps-per-frame",
                             "--sand",
                             "--water",
                             "--stone",
                             "--turn",
                             "--cells",
                             "--world-mib",
                             "--sizing-profile",
                             "--sizing-check",
                             "--kernel-proof",
                             "--telemetry",
                             "Exit codes",
                             "Examples",
                             "allow, count, report"}) {
    EXPECT_TRUE(result.OutContains(option)) << option;
  }
  EXPECT_FALSE(result.OutContains("--canary"));
  for (std::size_t begin = 0; begin < result.out.size();) {
    const std::size_t end = std::min(result.out.find('\n', begin), result.out.size());
    EXPECT_LE(end - begin, 120u) << result.out.substr(begin, end - begin);
    begin = end + 1;
  }
}

}  // namespace
}  // namespace stadial::tests
