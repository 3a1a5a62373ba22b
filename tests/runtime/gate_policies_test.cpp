// RuntimeOptions::gate, cell by cell: who meets what in which phase.
#include "stadial/runtime/gate_policies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

#include "gate/gate_forms.h"
#include "stadial/runtime/runtime.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using testing::Escape;
using ::testing::HasSubstr;

constexpr Phase kPhases[] = {Phase::Setup, Phase::Compile, Phase::Frame, Phase::Shutdown};
constexpr GateRole kRoles[] = {GateRole::Frame, GateRole::Worker, GateRole::Submit, GateRole::Task,
                               GateRole::Other};

RuntimePtr Make(const GatePolicies& gate, std::uint32_t workers = 0) {
  RuntimeOptions options;
  options.name = "gate_policies_test";
  options.setupBytes = std::size_t{1} << 20;
  options.compileBytes = options.frameLaneBytes = std::size_t{64} << 10;
  options.warmupFrames = 0;
  options.kernelWitness = false;
  options.workers = workers;
  options.gate = gate;
  return Runtime::Create(options).Value();
}

RuntimePtr MakeSealed(const GatePolicies& gate, std::uint32_t workers = 0) {
  RuntimePtr runtime = Make(gate, workers);
  EXPECT_TRUE(runtime->SealSetup());
  return runtime;
}

void AllocateAndFree() { std::free(Escape(std::malloc(40))); }

// What the calling thread's own code was seen to do since.
class Seen {
 public:
  std::uint64_t Allocations() const { return CurrentThreadCounters().allocations - before_.allocations; }
  std::uint64_t Frees() const { return CurrentThreadCounters().frees - before_.frees; }
  std::uint64_t Reports() const { return CurrentThreadCounters().reports - before_.reports; }

 private:
  GateThreadCounters before_ = CurrentThreadCounters();
};

template <class Body>
void InFrame(Runtime& runtime, const Body& body) {
  FrameContext* const frame = runtime.Frames().Begin().Value();
  body(*frame);
  runtime.Frames().End(frame->completionValue);
}

// body(worker) on the frame thread and on worker 1, at once.
template <class Body>
void OnTwoThreads(TaskRunner& runner, const Body& body) {
  struct Shared {
    const Body& body;
    std::atomic<bool> isWorkerThere{false};
  } shared{.body = body};
  runner.Run(
      [](void* data, std::uint32_t worker) noexcept {
        auto& job = *static_cast<Shared*>(data);
        if (worker == 1) job.isWorkerThere = true;
        while (!job.isWorkerThere) std::this_thread::yield();
        job.body(worker);
      },
      &shared);
}

class GatePoliciesTest : public ::testing::Test {
 protected:
  void SetUp() override { STADIAL_ASSERT_ARMED(); }
};
class GatePoliciesDeathTest : public GatePoliciesTest {
 protected:
  void SetUp() override {
    GatePoliciesTest::SetUp();
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }
};

// --- the table ---

TEST(GatePolicies, R6_TheDefaultsAreTheTableOfTheHeader) {
  for (const GatePolicy frames : {GatePolicy::Trap, GatePolicy::Count, GatePolicy::Allow}) {
    const GatePolicies gate = frames;
    const GatePolicy allow = GatePolicy::Allow;
    const GatePolicy wanted[kGateRoles][4] = {{allow, allow, frames, allow},
                                              {allow, frames, frames, allow},
                                              {frames, frames, frames, frames},
                                              {frames, frames, frames, frames},
                                              {allow, allow, GatePolicy::Count, allow}};
    for (const GateRole role : kRoles) {
      for (const Phase phase : kPhases) {
        const GatePolicy want = wanted[static_cast<std::size_t>(role)][static_cast<std::size_t>(phase)];
        EXPECT_EQ(gate.Of(role, phase), (GateRule{want, want})) << ToString(role) << ToString(phase);
      }
    }
    EXPECT_TRUE(gate.Check());
  }
}

TEST(GatePolicies, R6_SettingACellLeavesTheOthersAlone) {
  for (const GateRole role : kRoles) {
    for (const Phase phase : kPhases) {
      GatePolicies gate;
      gate.Set(role, phase, {GatePolicy::Report, GatePolicy::Deny});
      for (const GateRole otherRole : kRoles) {
        for (const Phase otherPhase : kPhases) {
          const bool isSet = otherRole == role && otherPhase == phase;
          EXPECT_EQ(gate.Of(otherRole, otherPhase), isSet ? (GateRule{GatePolicy::Report, GatePolicy::Deny})
                                                          : GatePolicies().Of(otherRole, otherPhase));
        }
      }
    }
  }
}

TEST(GatePolicies, R6_WhatCannotBeIsRefusedWithTheCell) {
  const auto message = [](GateRole role, Phase phase, GateRule rule) -> std::string {
    RuntimeOptions options;
    options.gate.Set(role, phase, rule);
    const Result<RuntimePtr> created = Runtime::Create(options);
    if (created) return "";
    EXPECT_EQ(created.GetError().Code(), ErrorCode::InvalidArgument);
    return created.GetError().Message();
  };
  const GateRule count{GatePolicy::Count, GatePolicy::Count};
  for (const Phase phase : {Phase::Setup, Phase::Compile, Phase::Shutdown}) {
    EXPECT_THAT(message(GateRole::Other, phase, count),
                HasSubstr(std::string("role Other in phase ") + ToString(phase) +
                          " is Count for allocations and Count for frees; it must be Allow: threads that "
                          "are not registered are watched while frames run only"));
  }
  for (const Phase phase : {Phase::Setup, Phase::Shutdown}) {
    EXPECT_THAT(message(GateRole::Worker, phase, {GatePolicy::Allow, GatePolicy::Trap}),
                HasSubstr(std::string("role Worker in phase ") + ToString(phase) +
                          " is Allow for allocations and Trap for frees; it must be Allow: workers run from "
                          "SealSetup to Shutdown"));
  }
  for (const GateRule rule :
       {GateRule{GatePolicy::Deny, GatePolicy::Count}, GateRule{GatePolicy::Count, GatePolicy::Deny}})
    EXPECT_THAT(message(GateRole::Other, Phase::Frame, rule), HasSubstr("role Other in phase Frame is Deny"));
  for (const GateRole role : kRoles) {
    EXPECT_THAT(message(role, Phase::Frame, {static_cast<GatePolicy>(5), GatePolicy::Count}),
                HasSubstr(std::string("role ") + ToString(role) +
                          " is 5 for allocate in phase Frame; it must be a GatePolicy"));
    EXPECT_THAT(message(role, Phase::Shutdown, {GatePolicy::Allow, static_cast<GatePolicy>(200)}),
                HasSubstr("is 200 for free in phase Shutdown"));
  }
}

// --- the frame thread ---

TEST_F(GatePoliciesTest, R6_EveryPhaseOfTheFrameThreadHasItsOwnPolicy) {
  for (const Phase counted : kPhases) {
    GatePolicies gate = GatePolicy::Allow;
    gate.Set(GateRole::Frame, counted, GatePolicy::Count);
    const RuntimePtr runtime = Make(gate);
    std::uint64_t seen[4] = {};
    const auto allocateIn = [&seen](Phase phase) {
      const Seen here;
      AllocateAndFree();
      EXPECT_EQ(here.Allocations(), here.Frees());
      seen[static_cast<std::size_t>(phase)] += here.Allocations();
    };
    allocateIn(Phase::Setup);
    ASSERT_TRUE(runtime->SealSetup());
    allocateIn(Phase::Compile);
    const Seen between;
    for (int i = 0; i < 3; ++i) {
      InFrame(*runtime, [](FrameContext&) {});
      AllocateAndFree();
    }
    EXPECT_EQ(between.Allocations(), 0u) << "what is done between two frames is the program's own";
    InFrame(*runtime, [&](FrameContext&) { allocateIn(Phase::Frame); });
    ASSERT_TRUE(runtime->Phases().Transition(Phase::Compile));
    allocateIn(Phase::Compile);
    InFrame(*runtime, [&](FrameContext&) { allocateIn(Phase::Frame); });
    ASSERT_TRUE(runtime->Shutdown());
    allocateIn(Phase::Shutdown);
    for (const Phase phase : kPhases) {
      const std::uint64_t visits = phase == Phase::Setup || phase == Phase::Shutdown ? 1 : 2;
      EXPECT_EQ(seen[static_cast<std::size_t>(phase)], phase == counted ? visits : 0u)
          << ToString(phase) << " while " << ToString(counted) << " is counted";
    }
  }
  const Seen after;
  AllocateAndFree();
  EXPECT_EQ(after.Allocations(), 0u) << "a runtime that is gone leaves no policy behind";
}

TEST_F(GatePoliciesTest, R6_SealSetupStartsWorkersUnderAnyPolicy) {
  const RuntimePtr runtime =
      MakeSealed(GatePolicies().Set(GateRole::Frame, Phase::Setup, GatePolicy::Trap), 2);
  AllocateAndFree();
  EXPECT_EQ(runtime->Phases().Current(), Phase::Compile);
}

TEST_F(GatePoliciesDeathTest, R6_CompileReportsWhileFrameTraps) {
  EXPECT_DEATH(
      {
        const RuntimePtr runtime =
            MakeSealed(GatePolicies().Set(GateRole::Frame, Phase::Compile, GatePolicy::Report));
        const Seen compile;
        AllocateAndFree();
        if (compile.Reports() != 2) std::_Exit(1);
        InFrame(*runtime, [](FrameContext&) { AllocateAndFree(); });
      },
      "gate report: (.|\n)*of 40 B on thread 'frame' .role Frame, index 0. in phase Compile(.|\n)*"
      "gate trap: (.|\n)*of 40 B (.|\n)*in phase Frame, frame 0");
}

TEST_F(GatePoliciesDeathTest, R7_AFreeIsAllowedWhereAnAllocationTraps) {
  GatePolicies gate;
  gate.Set(GateRole::Frame, Phase::Frame, {GatePolicy::Trap, GatePolicy::Allow});
  {
    const RuntimePtr runtime = MakeSealed(gate);
    void* const block = Escape(std::malloc(40));
    InFrame(*runtime, [block](FrameContext&) { std::free(block); });
    const AuditReport report = runtime->BuildAudit();
    EXPECT_EQ(report.frameThreads.heapFrees, 0u);
    EXPECT_EQ(report.verdict, AuditVerdict::Incomplete);
    EXPECT_THAT(report.reasons, ::testing::Contains(HasSubstr("the gate does not count frees of Frame")));
  }
  EXPECT_DEATH(InFrame(*MakeSealed(gate), [](FrameContext&) { AllocateAndFree(); }),
               "of 40 B on thread 'frame'");
}

TEST_F(GatePoliciesDeathTest, R7_AnAllocationIsCountedWhereAFreeTraps) {
  GatePolicies gate;
  gate.Set(GateRole::Frame, Phase::Frame, {GatePolicy::Count, GatePolicy::Trap});
  {
    const RuntimePtr runtime = MakeSealed(gate);
    void* block = nullptr;
    InFrame(*runtime, [&block](FrameContext&) { block = Escape(std::malloc(40)); });
    std::free(block);
    EXPECT_EQ(runtime->BuildAudit().frameThreads.heapAllocations, 1u);
  }
  EXPECT_DEATH(InFrame(*MakeSealed(gate), [](FrameContext&) { AllocateAndFree(); }),
               "gate trap: (.|\n)*of block (.|\n)*the block was not freed");
}

TEST_F(GatePoliciesTest, R6_DeniedInAFrameAndServedInCompile) {
  if (!testing::GateCanDeny()) GTEST_SKIP() << "a sanitizer's hook cannot refuse";
  GatePolicies gate;
  gate.Set(GateRole::Frame, Phase::Frame, {GatePolicy::Deny, GatePolicy::Allow});
  const RuntimePtr runtime = MakeSealed(gate);
  void* const inCompile = Escape(std::malloc(40));
  void* inFrame = nullptr;
  InFrame(*runtime, [&inFrame](FrameContext&) { inFrame = Escape(std::malloc(40)); });
  EXPECT_NE(inCompile, nullptr);
  EXPECT_EQ(inFrame, nullptr);
  std::free(inCompile);
}

// --- workers and tasks ---

TEST_F(GatePoliciesDeathTest, R6_WorkersTrapWhileTheFrameCounts) {
  GatePolicies gate = GatePolicy::Count;
  gate.Set(GateRole::Worker, Phase::Frame, GatePolicy::Trap);
  {
    const RuntimePtr runtime = MakeSealed(gate, 1);
    InFrame(*runtime, [&](FrameContext&) {
      OnTwoThreads(runtime->Runner(), [](std::uint32_t worker) {
        if (worker == 0) AllocateAndFree();
      });
    });
    EXPECT_EQ(runtime->BuildAudit().frameThreads.heapAllocations, 1u);
  }
  EXPECT_DEATH(
      {
        const RuntimePtr runtime = MakeSealed(gate, 1);
        InFrame(*runtime, [&](FrameContext&) {
          OnTwoThreads(runtime->Runner(), [](std::uint32_t) { AllocateAndFree(); });
        });
      },
      "of 40 B on thread 'worker 1' .role Worker, index 1. in phase Frame");
}

TEST_F(GatePoliciesDeathTest, R6_TheFrameTrapsWhileWorkersCount) {
  GatePolicies gate;
  gate.Set(GateRole::Worker, Phase::Frame, GatePolicy::Count);
  {
    const RuntimePtr runtime = MakeSealed(gate, 1);
    InFrame(*runtime, [&](FrameContext&) {
      OnTwoThreads(runtime->Runner(), [](std::uint32_t worker) {
        if (worker == 1) AllocateAndFree();
      });
    });
    EXPECT_EQ(runtime->BuildAudit().frameThreads.heapAllocations, 1u);
  }
  EXPECT_DEATH(
      {
        const RuntimePtr runtime = MakeSealed(gate, 1);
        InFrame(*runtime, [&](FrameContext&) {
          OnTwoThreads(runtime->Runner(), [](std::uint32_t) { AllocateAndFree(); });
        });
      },
      "of 40 B on thread 'frame'");
}

// Without workers: the body runs on the frame thread, and its rule is the task's all the same.
TEST_F(GatePoliciesDeathTest, R6_TasksHaveARuleOfTheirOwnOnEveryThread) {
  GatePolicies gate = GatePolicy::Count;
  gate.Set(GateRole::Task, Phase::Frame, {GatePolicy::Trap, GatePolicy::Allow});
  const auto run = [&gate](void (*body)(void*), void* block) {
    const RuntimePtr runtime = MakeSealed(gate);
    InFrame(*runtime, [&](FrameContext& frame) {
      AllocateAndFree();
      static_cast<void>(runtime->Tasks().Submit([body, block] { body(block); }));
      static_cast<void>(runtime->Tasks().ExecuteParallel(frame));
    });
    const AuditFrameThreads seen = runtime->BuildAudit().frameThreads;
    return seen.heapAllocations * 100 + seen.heapFrees;
  };
  EXPECT_EQ(run([](void* block) { std::free(block); }, Escape(std::malloc(8))), 101u)
      << "the frame's own pair";
  EXPECT_DEATH(run([](void*) { AllocateAndFree(); }, nullptr),
               "of 40 B on thread 'frame' (.|\n)*component 'task'");
}

TEST_F(GatePoliciesDeathTest, R6_TasksAndWorkersCountInCompileAndTrapInAFrame) {
  GatePolicies gate;
  gate.Set(GateRole::Task, Phase::Compile, GatePolicy::Count)
      .Set(GateRole::Worker, Phase::Compile, GatePolicy::Count);
  {
    const RuntimePtr runtime = MakeSealed(gate, 1);
    std::uint64_t seen[2] = {};
    OnTwoThreads(runtime->Runner(), [&seen](std::uint32_t worker) {
      const Seen here;
      AllocateAndFree();
      seen[worker] = here.Allocations();
    });
    EXPECT_EQ(seen[0], 0u) << "the frame thread's own rule in Compile is Allow";
    EXPECT_EQ(seen[1], 1u);
    std::uint64_t inTask = 0;
    ASSERT_TRUE(runtime->Tasks().Submit([&inTask] {
      const Seen here;
      AllocateAndFree();
      inTask = here.Allocations();
    }));
    static_cast<void>(runtime->Tasks().ExecuteParallel());
    EXPECT_EQ(inTask, 1u);
  }
  EXPECT_DEATH(
      {
        const RuntimePtr runtime = MakeSealed(gate, 1);
        InFrame(*runtime, [&](FrameContext&) {
          OnTwoThreads(runtime->Runner(), [](std::uint32_t worker) {
            if (worker == 1) AllocateAndFree();
          });
        });
      },
      "of 40 B on thread 'worker 1'");
  EXPECT_DEATH(
      {
        const RuntimePtr runtime = MakeSealed(gate, 1);
        InFrame(*runtime, [&](FrameContext& frame) {
          static_cast<void>(runtime->Tasks().Submit([] { AllocateAndFree(); }));
          static_cast<void>(runtime->Tasks().ExecuteParallel(frame));
        });
      },
      "of 40 B on thread (.|\n)*component 'task'");
}

// --- threads that are not ours ---

// Runs body() on an unregistered thread inside a frame; the thread starts before it and ends after it.
template <class Body>
GateThreadCounters OnAnotherThread(const GatePolicies& gate, const Body& body) {
  const RuntimePtr runtime = MakeSealed(gate);
  std::atomic<int> step{0};
  const auto waitFor = [&step](int wanted) {
    while (step != wanted) std::this_thread::yield();
  };
  std::thread thread([&] {
    step = 1;
    waitFor(2);
    body();
    step = 3;
    waitFor(4);
  });
  waitFor(1);
  InFrame(*runtime, [](FrameContext&) {});
  GateThreadCounters before;
  CountersByRole(ThreadRole::Unregistered, before);
  GateThreadCounters after;
  InFrame(*runtime, [&](FrameContext&) {
    step = 2;
    waitFor(3);
    CountersByRole(ThreadRole::Unregistered, after);
  });
  if (!runtime->Shutdown()) return {};  // a thread's end is not what is watched
  step = 4;
  thread.join();
  return {.allocations = after.allocations - before.allocations,
          .frees = after.frees - before.frees,
          .reports = after.reports - before.reports};
}

TEST_F(GatePoliciesTest, R6_OtherThreadsAreCountedReportedOrLeftAlone) {
  struct Row {
    GateRule rule;
    std::uint64_t allocations, frees, reports;
  };
  for (const Row& row : {Row{{GatePolicy::Count, GatePolicy::Count}, 2, 2, 0},
                         Row{{GatePolicy::Allow, GatePolicy::Count}, 0, 2, 0},
                         Row{{GatePolicy::Count, GatePolicy::Allow}, 2, 0, 0},
                         Row{{GatePolicy::Report, GatePolicy::Allow}, 2, 0, 2},
                         Row{{GatePolicy::Allow, GatePolicy::Report}, 0, 2, 2}}) {
    GatePolicies gate;
    gate.Set(GateRole::Other, Phase::Frame, row.rule);
    const GateThreadCounters seen = OnAnotherThread(gate, [] {
      AllocateAndFree();
      const ComponentScope component("not a policy");
      AllocateAndFree();
    });
    EXPECT_EQ(seen.allocations, row.allocations);
    EXPECT_EQ(seen.frees, row.frees);
    EXPECT_EQ(seen.reports, row.reports);
  }
  // The next runtime's default holds again.
  EXPECT_EQ(OnAnotherThread({}, [] { AllocateAndFree(); }).allocations, 1u);
}

TEST_F(GatePoliciesDeathTest, R6_OtherThreadsTrapWhenTold) {
  GatePolicies gate;
  gate.Set(GateRole::Other, Phase::Frame, {GatePolicy::Trap, GatePolicy::Allow});
  // A driver call, and code inside a scope of its own, are not what it is meant for.
  const GateThreadCounters seen = OnAnotherThread(gate, [] {
    {
      const DriverCallScope call("vkPretend");
      AllocateAndFree();
    }
    const GateScope own(GatePolicy::Allow, GatePolicy::Allow, Phase::Setup, "own scope");
    AllocateAndFree();
  });
  EXPECT_EQ(seen.allocations, 2u);
  EXPECT_DEATH(OnAnotherThread(gate, [] { AllocateAndFree(); }),
               "of 40 B on thread 'unregistered' .role Unregistered. in phase Frame, frame 1, component "
               "'thread that is not registered'");
}

// --- what the audit says of it ---

TEST_F(GatePoliciesTest, R6_TheAuditListsEveryCellThatIsNotAllow) {
  GatePolicies gate = GatePolicy::Count;
  gate.Set(GateRole::Frame, Phase::Compile, {GatePolicy::Report, GatePolicy::Allow});
  const RuntimePtr runtime = Make(gate);
  const AuditReport report = runtime->BuildAudit();
  EXPECT_EQ(report.gate.policy, "Count");
  EXPECT_TRUE(report.gate.counts);
  ASSERT_EQ(report.gate.policies.size(), 13u);  // Frame 2, Worker 2, Submit 4, Task 4, Other 1
  EXPECT_EQ(report.gate.policies[0].phase, "Compile");
  const std::string json = ToJson(report);
  EXPECT_THAT(json, HasSubstr("\"policies\""));
  EXPECT_THAT(json, HasSubstr("\"allocate\": \"Report\""));
  EXPECT_THAT(json, HasSubstr("\"role\": \"Task\""));
}

TEST(GatePolicies, R6_WhatAnAuditCannotVouchForIsNamed) {
  EXPECT_EQ(GatePolicies().WhatIsUnseen(), nullptr);
  EXPECT_STREQ(GatePolicies(GatePolicy::Allow).WhatIsUnseen(), "allocations of Frame");
  const GateRule frees{GatePolicy::Allow, GatePolicy::Count};
  EXPECT_STREQ(GatePolicies().Set(GateRole::Worker, Phase::Frame, frees).WhatIsUnseen(),
               "allocations of Worker");
  EXPECT_STREQ(
      GatePolicies().Set(GateRole::Task, Phase::Frame, {GatePolicy::Trap, GatePolicy::Allow}).WhatIsUnseen(),
      "frees of Task");
  EXPECT_EQ(GatePolicies().Set(GateRole::Submit, Phase::Frame, GatePolicy::Allow).WhatIsUnseen(), nullptr);
}

}  // namespace
}  // namespace stadial::runtime
