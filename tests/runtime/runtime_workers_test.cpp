// The runtime's workers, tasks, deferred queue and budgets: what a program gets for declaring them, and how
// the audit accounts for threads that are not the frame's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "stadial/arenas/virtual_memory.h"
#include "stadial/runtime/runtime.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using testing::LogCapture;
using testing::Repetitions;

RuntimeOptions Small(std::uint32_t workers, GatePolicy policy = GatePolicy::Trap) {
  RuntimeOptions options;
  options.name = "workers_test";
  options.setupBytes = std::size_t{1} << 20;
  options.compileBytes = std::size_t{64} << 10;
  options.frameLaneBytes = std::size_t{64} << 10;
  options.driverBytes = std::size_t{1} << 20;
  options.gate = policy;
  options.warmupFrames = 10;
  options.workers = workers;
  return options;
}

// A task per worker, each of which waits for all: so every worker has exactly one.
template <class Body>
void OnEveryWorker(Runtime& runtime, FrameContext& frame, const Body& body) {
  struct Shared {
    const Body& body;
    std::uint32_t count;
    std::atomic<std::uint32_t> present{0};
  } shared{.body = body, .count = runtime.Tasks().WorkerCount()};
  for (std::uint32_t i = 0; i < shared.count; ++i) {
    ASSERT_TRUE(runtime.Tasks().Submit([at = &shared](TaskContext& task) {
      ++at->present;
      while (at->present < at->count) std::this_thread::yield();
      at->body(task);
    }));
  }
  ASSERT_EQ(runtime.Tasks().ExecuteParallel(frame).ran, shared.count);
}

template <class Body>
void RunFrames(Runtime& runtime, std::uint64_t count, const Body& body) {
  for (std::uint64_t i = 0; i < count; ++i) {
    FrameContext* const frame = runtime.Frames().Begin().Value();
    OnEveryWorker(runtime, *frame, [&](TaskContext& task) { body(frame->frameIndex, task); });
    runtime.Frames().End(frame->completionValue);
  }
}

TEST(RuntimeWorkers, Ka_ByDefaultEverythingIsSerialAndThere) {
  const RuntimePtr runtime = Runtime::Create(Small(0)).Value();
  const std::uint32_t threads = RegisteredThreadCount();
  EXPECT_EQ(runtime->Options().lanes, 1u);
  EXPECT_EQ(runtime->Tasks().WorkerCount(), 1u);
  EXPECT_EQ(runtime->Runner().WorkerCount(), 1u);
  ASSERT_TRUE(runtime->SealSetup());
  EXPECT_EQ(RegisteredThreadCount(), threads);
  int ran = 0;
  FrameContext* const frame = runtime->Frames().Begin().Value();
  ASSERT_TRUE(runtime->Tasks().Submit([&ran](TaskContext& task) { ran += task.HasLane() ? 1 : 100; }));
  const TaskReport report = runtime->Tasks().ExecuteParallel(*frame);
  runtime->Frames().End(frame->completionValue);
  EXPECT_EQ(report.ran, 1u);
  EXPECT_EQ(ran, 1);
}

TEST(RuntimeWorkers, Ka_WorkersRunFromTheSealToTheShutdown) {
  const std::uint32_t before = RegisteredThreadCount();
  {
    const RuntimePtr runtime = Runtime::Create(Small(3)).Value();
    EXPECT_EQ(runtime->Options().lanes, 4u);
    EXPECT_EQ(RegisteredThreadCount(), before + 1);
    bool hasRun = false;
    ASSERT_TRUE(runtime->Tasks().Submit([&hasRun] { hasRun = true; }));
    EXPECT_EQ(runtime->Tasks().ExecuteParallel().ran, 1u) << "in Setup on this thread";
    EXPECT_TRUE(hasRun);
    ASSERT_TRUE(runtime->SealSetup());
    EXPECT_EQ(RegisteredThreadCount(), before + 4);
    RunFrames(*runtime, 3, [](std::uint64_t, TaskContext& task) {
      EXPECT_EQ(CurrentThreadRole(), task.WorkerIndex() == 0 ? ThreadRole::Frame : ThreadRole::Worker);
    });
    ASSERT_TRUE(runtime->Shutdown());
    EXPECT_EQ(RegisteredThreadCount(), before + 1);
    ASSERT_TRUE(runtime->Tasks().Submit([] {}));
    EXPECT_EQ(runtime->Tasks().ExecuteParallel().ran, 1u) << "and again on this thread";
  }
  EXPECT_EQ(RegisteredThreadCount(), before);
}

TEST(RuntimeWorkers, R5_EveryWorkerHasALaneThatIsRewoundWithItsSlot) {
  const RuntimePtr runtime = Runtime::Create(Small(3)).Value();
  ASSERT_TRUE(runtime->SealSetup());
  std::vector<const arenas::Arena*> lanes(4);
  std::vector<std::size_t> usedBefore(4);
  for (int i = 0; i < 6; ++i) {
    RunFrames(*runtime, 1, [&](std::uint64_t, TaskContext& task) {
      lanes[task.WorkerIndex()] = &task.Lane();
      usedBefore[task.WorkerIndex()] = task.Lane().UsedBytes();
      std::memset(task.Lane().Allocate(1000), 1, 1000);
    });
    const arenas::LaneSet& slot = runtime->Frames().Slots()[static_cast<std::size_t>(i % 2)];
    for (std::uint32_t worker = 0; worker < 4; ++worker) {
      EXPECT_EQ(lanes[worker], &slot.Lane(worker));
      EXPECT_EQ(usedBefore[worker], 0u) << "frame " << i;
      EXPECT_GE(slot.Lane(worker).UsedBytes(), 1000u);
    }
  }
}

TEST(RuntimeWorkers, R6_FramesWithWorkersDoNothingTheyMustNot) {
  STADIAL_ASSERT_ARMED();
  const RuntimePtr runtime = Runtime::Create(Small(2)).Value();
  ASSERT_TRUE(runtime->SealSetup());
  RunFrames(*runtime, Repetitions(500),
            [](std::uint64_t, TaskContext& task) { std::memset(task.Lane().Allocate(4096), 1, 4096); });
  const AuditReport report = runtime->BuildAudit();
  EXPECT_GE(report.frames.steady, 40u);
  EXPECT_EQ(report.frameThreads.heapAllocations, 0u);
  EXPECT_EQ(report.frameThreads.heapFrees, 0u);
  EXPECT_EQ(report.frameThreads.vmSyscalls, 0u);
  EXPECT_EQ(report.frameThreads.minorFaults, 0u);
  EXPECT_EQ(report.tasks.workers, 3u);
  EXPECT_EQ(report.tasks.ran, Repetitions(500) * 3);
}

TEST(RuntimeWorkersDeathTest, R6_AnAllocationInATaskTrapsWithComponentAndThread) {
  STADIAL_ASSERT_ARMED();
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const RuntimePtr runtime = Runtime::Create(Small(1)).Value();
        if (!runtime->SealSetup()) std::exit(1);
        RunFrames(*runtime, 20, [](std::uint64_t frame, TaskContext& task) {
          if (frame != 7 || task.WorkerIndex() != 1) return;
          const ComponentScope component("planted in a task");
          void* volatile block = std::malloc(40);
          std::free(block);
        });
      },
      "worker 1(.|\n)*planted in a task|planted in a task(.|\n)*worker 1");
}

TEST(RuntimeWorkers, R6_WhatAWorkerAllocatesAndMapsIsInTheAudit) {
  STADIAL_ASSERT_ARMED();
  const RuntimePtr runtime = Runtime::Create(Small(1, GatePolicy::Count)).Value();
  void* const page = runtime->SetupArena().Allocate(arenas::PageSize(), arenas::PageSize());
  ASSERT_TRUE(runtime->SealSetup());
  RunFrames(*runtime, 40, [page](std::uint64_t frame, TaskContext& task) {
    if (task.WorkerIndex() != 1 || (frame != 5 && frame != 20)) return;  // one in the warm-up
    void* volatile block = std::malloc(40);
    std::free(block);
    static_cast<void>(arenas::ProtectPages(static_cast<std::byte*>(page), arenas::PageSize(),
                                           arenas::PageAccess::ReadWrite));
  });
  const AuditReport report = runtime->BuildAudit();
  EXPECT_EQ(report.frameThreads.heapAllocations, 1u);
  EXPECT_EQ(report.frameThreads.heapFrees, 1u);
  EXPECT_EQ(report.frameThreads.vmSyscalls, report.witness.vmSyscalls ? 1u : 0u) << report.witness.reason;
  EXPECT_EQ(report.firstOffendingFrame, 20u);
  EXPECT_EQ(report.verdict, AuditVerdict::Fail);
}

// Once, and only where it counts: faults come to light late, and those of the warm-up's last frame and of a
// frame that compiled must not fall on the next one.
TEST(RuntimeWorkers, T4_WhatAWorkerFaultsInIsInTheAudit) {
  const RuntimePtr runtime = Runtime::Create(Small(1, GatePolicy::Count)).Value();
  if (!runtime->BuildAudit().witness.minorFaults)
    GTEST_SKIP() << runtime->BuildAudit().witness.minorFaultsReason;
  const std::size_t page = arenas::PageSize();
  constexpr std::size_t kPages = 64;
  void* const mapping =
      ::mmap(nullptr, kPages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(mapping, MAP_FAILED);
  ::madvise(mapping, kPages * page, MADV_NOHUGEPAGE);
  volatile char* next = static_cast<char*>(mapping);
  const auto touch = [&next, page](int pages) {
    for (; pages > 0; --pages, next += page) *next = 1;
  };
  ASSERT_TRUE(runtime->SealSetup());
  for (std::uint64_t i = 0; i < 40; ++i) {
    FrameContext* const frame = runtime->Frames().Begin().Value();
    if (i == 15) {
      ASSERT_TRUE(runtime->Compile().BeginCompile());
      ASSERT_TRUE(runtime->Compile().SealCompile());
    }
    OnEveryWorker(*runtime, *frame, [&](TaskContext& task) {
      if (task.WorkerIndex() != 1) return;
      if (i == 9) touch(7);   // the last of the warm-up
      if (i == 15) touch(9);  // compiles
      if (i == 20) touch(3);
      if (i == 39) touch(2);  // nothing comes after it
    });
    runtime->Frames().End(frame->completionValue);
  }
  const AuditReport report = runtime->BuildAudit();
  ::munmap(mapping, kPages * page);
  EXPECT_EQ(report.frameThreads.minorFaults, 5u);
  EXPECT_THAT(report.firstOffendingFrame, AnyOf(20u, 21u));
  EXPECT_EQ(runtime->BuildAudit().frameThreads.minorFaults, 5u) << "counted once";
}

// A job system that a game brings: Run is served by the calling thread alone, in any order.
class GameJobs final : public TaskRunner {
 public:
  std::uint32_t WorkerCount() const noexcept override { return 3; }
  void Run(Job job, void* data) noexcept override {
    ++runs;
    for (std::uint32_t worker = 0; worker < 3; ++worker) job(data, worker);
  }
  int runs = 0;
};

TEST(RuntimeWorkers, Ka_AGamesOwnJobSystemTakesTheirPlace) {
  GameJobs jobs;
  RuntimeOptions options = Small(0);
  options.taskRunner = &jobs;
  const RuntimePtr runtime = Runtime::Create(options).Value();
  EXPECT_EQ(runtime->Options().lanes, 3u);
  EXPECT_EQ(runtime->Tasks().WorkerCount(), 3u);
  ASSERT_TRUE(runtime->SealSetup());
  FrameContext* const frame = runtime->Frames().Begin().Value();
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(
        runtime->Tasks().Submit([](TaskContext& task) { static_cast<void>(task.Lane().Allocate(16)); }));
  const TaskReport report = runtime->Tasks().ExecuteParallel(*frame);
  runtime->Frames().End(frame->completionValue);
  EXPECT_EQ(report.ran, 10u);
  EXPECT_EQ(jobs.runs, 1);
}

TEST(RuntimeWorkers, Ka_OptionsOutOfRangeAreNamed) {
  GameJobs jobs;
  const struct {
    const char* text;
    void (*set)(RuntimeOptions&, GameJobs&);
  } cases[] = {
      {"workers is 64; it must be 0 to 63", [](RuntimeOptions& o, GameJobs&) { o.workers = 64; }},
      {"workers is 2, and there is a taskRunner",
       [](RuntimeOptions& o, GameJobs& own) {
         o.workers = 2;
         o.taskRunner = &own;
       }},
      {"tasksMax is 0", [](RuntimeOptions& o, GameJobs&) { o.tasks.tasksMax = 0; }},
      {"deferredGrowthBytes",
       [](RuntimeOptions& o, GameJobs&) {
         o.deferredMode = arenas::AllocationMode::Fallback;
         o.deferredGrowthBytes = o.fallbackBytes + 1;
       }},
      {"budgets.heapsMax is 0", [](RuntimeOptions& o, GameJobs&) { o.budgets.heapsMax = 0; }},
      {"budget 'host': soft limit",
       [](RuntimeOptions& o, GameJobs&) { o.hostBudget = {.softBytes = 2, .hardBytes = 1}; }},
  };
  for (const auto& one : cases) {
    RuntimeOptions options = Small(0);
    one.set(options, jobs);
    const Result<RuntimePtr> created = Runtime::Create(options);
    ASSERT_FALSE(created) << one.text;
    EXPECT_EQ(created.GetError().Code(), ErrorCode::InvalidArgument);
    EXPECT_THAT(created.GetError().Message(), HasSubstr(one.text));
  }
}

TEST(RuntimeWorkers, R2_WhatTheRuntimeTakesComesOnTopOfSetup) {
  // A program that carves all it asked for leaves what workers, tasks and queues take untouched.
  for (const std::uint32_t workers : {0u, 1u, 7u}) {
    RuntimeOptions options = Small(workers);
    const RuntimePtr plain = Runtime::Create(options).Value();
    const std::size_t left = plain->SetupArena().RemainingBytes();
    options.tasks.tasksMax *= 4;
    options.deferredCapacity = 10'000;
    options.budgets.subsystemsMax = 1000;
    const RuntimePtr large = Runtime::Create(options).Value();
    EXPECT_GE(large->SetupArena().RemainingBytes() + arenas::PageSize(), left) << workers;
    ASSERT_NE(large->SetupArena().TryAllocate(large->SetupArena().RemainingBytes()), nullptr);
    const Result<void> sealed = large->SealSetup();
    ASSERT_TRUE(sealed) << sealed.GetError().Message();
  }
}

// --- deferred destruction ---

struct ManualSource final : public CompletionSource {
  std::uint64_t CompletedValue() noexcept override { return completed; }
  Result<void> WaitForValue(std::uint64_t value, std::uint64_t) noexcept override {
    if (isStuck) return Error::Format(ErrorCode::DeviceLost, "lost");
    completed = value;
    return {};
  }
  std::uint64_t completed = 0;
  bool isStuck = false;
};

struct Destroyed {
  std::vector<std::uint64_t> handles;
  Destroyed() { handles.reserve(256); }
};
void Destroy(Destroyed* device, std::uint64_t handle) noexcept {
  device->handles.push_back(handle);
  void* volatile block = std::malloc(8);  // as a driver may: it runs before the gate closes
  std::free(block);
}
AcceptResult Defer(Runtime& runtime, Destroyed& device, std::uint64_t handle, std::uint64_t value) {
  return runtime.Deferred().Enqueue(MakeDeferredRecord<&Destroy>(&device, handle, value));
}

TEST(RuntimeDeferred, Cb_BeginRetiresWhatIsCompleteBeforeTheFrame) {
  STADIAL_ASSERT_ARMED();
  Destroyed device;
  ManualSource source;
  RuntimeOptions options = Small(0);
  options.framesInFlight = 3;
  options.warmupFrames = 0;
  const RuntimePtr runtime = Runtime::Create(options).Value();
  ASSERT_TRUE(runtime->SealSetup());
  runtime->Frames().SetCompletionSource(&source);
  for (std::uint64_t i = 0; i < 3; ++i) {  // frame i ends with value i + 1
    FrameContext* const frame = runtime->Frames().Begin().Value();
    ASSERT_TRUE(
        Defer(*runtime, device, 100 + i, frame->completionValue));  // in use until its own frame is done
    runtime->Frames().End(frame->completionValue);
  }
  ASSERT_EQ(device.handles.size(), 0u);
  source.completed = 1;  // slot 0 needs no wait
  const auto beginAndEnd = [&runtime](std::uint64_t value) {
    const bool hasBegun = runtime->Frames().Begin().HasValue();
    runtime->Frames().End(value);  // before what allocates
    return hasBegun;
  };
  ASSERT_TRUE(beginAndEnd(4));
  EXPECT_EQ(device.handles, (std::vector<std::uint64_t>{100}));
  ASSERT_TRUE(beginAndEnd(5));  // waits for value 2 first
  EXPECT_EQ(device.handles, (std::vector<std::uint64_t>{100, 101}));
  ASSERT_TRUE(runtime->Frames().Drain());
  EXPECT_EQ(device.handles, (std::vector<std::uint64_t>{100, 101, 102}));
  EXPECT_EQ(runtime->Audit().Steady().heapAllocations, 0u) << "destruction is not the frame's";
  ASSERT_TRUE(Defer(*runtime, device, 103, 1'000'000));
  runtime->Frames().SetCompletionSource(nullptr);
  EXPECT_EQ(device.handles.back(), 103u) << "values of another source mean nothing";
  ASSERT_TRUE(Defer(*runtime, device, 104, 1'000'000));
  ASSERT_TRUE(runtime->Shutdown());
  EXPECT_EQ(device.handles.back(), 104u);
  EXPECT_EQ(runtime->BuildAudit().deferred[0].retired, 5u);
}

TEST(RuntimeDeferred, Cb_AfterAFailedWaitNothingIsDestroyedAndTheLogSaysSo) {
  LogCapture log;
  Destroyed device;
  ManualSource source;
  RuntimeOptions options = Small(0);
  options.log = log.Sink();
  {
    const RuntimePtr runtime = Runtime::Create(options).Value();
    ASSERT_TRUE(runtime->SealSetup());
    runtime->Frames().SetCompletionSource(&source);
    FrameContext* const frame = runtime->Frames().Begin().Value();
    ASSERT_TRUE(Defer(*runtime, device, 7, frame->completionValue));
    runtime->Frames().End(frame->completionValue);
    source.isStuck = true;
    EXPECT_EQ(runtime->Shutdown().GetError().Code(), ErrorCode::DeviceLost);
  }
  EXPECT_EQ(device.handles.size(), 0u);
  EXPECT_THAT(log.last, HasSubstr("'deferred' ends with 1 records that never ran"));
}

TEST(RuntimeDeferred, Cb_ReservingKeepsWhatIsQueued) {
  Destroyed device;
  RuntimeOptions options = Small(0);
  options.deferredCapacity = 3;
  const RuntimePtr runtime = Runtime::Create(options).Value();
  for (std::uint64_t i = 0; i < 5; ++i) static_cast<void>(Defer(*runtime, device, i, 1));
  EXPECT_EQ(runtime->Deferred().Retire(1, 2), 2u);  // the ring has wrapped when it is moved
  EXPECT_TRUE(Defer(*runtime, device, 5, 1));
  ASSERT_TRUE(runtime->ReserveDeferred(200));
  EXPECT_EQ(runtime->Deferred().Capacity(), 200u);
  ASSERT_TRUE(runtime->ReserveDeferred(10)) << "never smaller";
  EXPECT_EQ(runtime->Deferred().Capacity(), 200u);
  for (std::uint64_t i = 6; i < 204; ++i) ASSERT_TRUE(Defer(*runtime, device, i, 1)) << i;
  EXPECT_FALSE(Defer(*runtime, device, 204, 1));
  runtime->Deferred().Flush();
  ASSERT_EQ(device.handles.size(), 202u);
  for (std::size_t i = 0; i < 202; ++i) EXPECT_EQ(device.handles[i], i < 3 ? i : i + 2);
  EXPECT_EQ(runtime->ReserveDeferred(std::size_t{1} << 24).GetError().Code(), ErrorCode::CapacityExceeded);
  ASSERT_TRUE(runtime->SealSetup());
  EXPECT_EQ(runtime->ReserveDeferred(300).GetError().Code(), ErrorCode::WrongPhase);
  AuditReport report = runtime->BuildAudit();
  EXPECT_EQ(report.deferred[0].rejected, 3u);
  EXPECT_THAT(report.reasons[0], HasSubstr("deferred queue 'deferred' rejected 3 records"));
}

TEST(RuntimeDeferred, Cb_FallbackModeGrowsFromADesignatedSite) {
  Destroyed device;
  RuntimeOptions options = Small(0);
  options.deferredCapacity = 4;
  options.deferredMode = arenas::AllocationMode::Fallback;
  const RuntimePtr runtime = Runtime::Create(options).Value();
  ASSERT_TRUE(runtime->SealSetup());
  FrameContext* const frame = runtime->Frames().Begin().Value();
  for (std::uint64_t i = 0; i < 20; ++i) ASSERT_TRUE(Defer(*runtime, device, i, frame->completionValue));
  runtime->Frames().End(frame->completionValue);
  ASSERT_TRUE(runtime->Frames().Drain());
  EXPECT_EQ(device.handles.size(), 20u);
  const AuditReport report = runtime->BuildAudit();
  ASSERT_EQ(report.fallbacks.size(), 2u);
  EXPECT_EQ(report.fallbacks[1].name, "deferred");
  EXPECT_GE(report.fallbacks[1].allocations, 1u);
}

// --- budgets ---

TEST(RuntimeBudgets, Ba_TheHostHeapHoldsWhatTheRegionCommits) {
  const RuntimePtr runtime = Runtime::Create(Small(0)).Value();
  Budget* const host = runtime->Budgets().Find("host");
  ASSERT_NE(host, nullptr);
  const auto reserved = [&] {
    std::size_t bytes = 0;
    for (const arenas::Segment& segment : runtime->GetRegion().Segments()) {
      if (std::strcmp(segment.Name(), "driver") != 0 || segment.CommittedBytes() != 0)
        bytes += segment.ReservedBytes();
    }
    return bytes;
  };
  EXPECT_EQ(host->UsedBytes(), reserved());
  const std::uint64_t before = host->UsedBytes();
  ASSERT_TRUE(runtime->OpenDriverSegment());
  EXPECT_EQ(host->UsedBytes(), before + (std::size_t{1} << 20));
  EXPECT_EQ(host->UsedBytes(), reserved());
  ASSERT_TRUE(runtime->OpenDriverSegment());
  EXPECT_EQ(host->UsedBytes(), reserved()) << "once";
}

TEST(RuntimeBudgets, Ba_OverHardIsRefusedWithTheNumbers) {
  RuntimeOptions options = Small(0);
  const std::uint64_t needed = Runtime::Create(options).Value()->Budgets().Find("host")->UsedBytes();
  options.hostBudget = {.softBytes = needed, .hardBytes = needed};
  {
    const RuntimePtr runtime = Runtime::Create(options).Value();
    EXPECT_TRUE(runtime->Budgets().Find("host")->IsThrottled());
    const Result<arenas::Segment*> driver = runtime->OpenDriverSegment();
    ASSERT_FALSE(driver);
    EXPECT_EQ(driver.GetError().Code(), ErrorCode::CapacityExceeded);
    EXPECT_THAT(driver.GetError().Message(), HasSubstr("budget 'host' refused 1.0 MiB for driver"));
    const AuditReport report = runtime->BuildAudit();
    ASSERT_EQ(report.budgets.size(), 1u);
    EXPECT_TRUE(report.budgets[0].isThrottled);
    EXPECT_EQ(report.budgets[0].refused, 1u);
  }
  options.hostBudget = {.softBytes = needed - 1, .hardBytes = needed - 1};
  const Result<RuntimePtr> refused = Runtime::Create(options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_THAT(refused.GetError().Message(), HasSubstr("budget 'host' refused"));
}

TEST(RuntimeBudgets, Bb_TasksTakeTheirThrottleFromABudget) {
  const RuntimePtr runtime = Runtime::Create(Small(0)).Value();
  Budget* const textures =
      runtime->Budgets().AddSubsystem("textures", {.softBytes = 1000, .hardBytes = 2000}).Value();
  ASSERT_TRUE(textures->TryReserve(600));
  const TaskBudget budget = MakeTaskBudget(*textures);
  EXPECT_EQ(budget.bytesSoft, 1000u);
  EXPECT_EQ(budget.bytesInUse, 600u);
  EXPECT_EQ(budget.throttlePercent, 85u);
  EXPECT_EQ(budget.resumePercent, 75u);
  EXPECT_EQ(budget.costMax, kNoTaskLimit);
}

TEST(RuntimeBudgets, Bb_WhatATaskBudgetPutsOffIsTheFramesDeferral) {
  const RuntimePtr runtime = Runtime::Create(Small(0)).Value();
  ASSERT_TRUE(runtime->SealSetup());
  FrameContext* const frame = runtime->Frames().Begin().Value();
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(runtime->Tasks().Submit([] {}, {.cost = 10}));
  static_cast<void>(runtime->Tasks().ExecuteParallel(*frame, {.costMax = 25}));
  EXPECT_EQ(frame->budgetDeferrals, 3u);
  static_cast<void>(runtime->Tasks().ExecuteParallel(*frame, {.costMax = 25}));
  EXPECT_EQ(frame->budgetDeferrals, 4u);
  static_cast<void>(runtime->Tasks().ExecuteParallel(*frame, {.costMax = 25}));
  EXPECT_EQ(frame->budgetDeferrals, 4u) << "nothing is left";
  runtime->Frames().End(frame->completionValue);
}

// A and B take more together than the throttle allows. Whoever has A waits for C, so the other worker meets B
// while A runs: B is put off.
TEST(RuntimeBudgets, Bb_AWaitForTheThrottleIsTheFramesDeferral) {
  const RuntimePtr runtime = Runtime::Create(Small(1)).Value();
  ASSERT_TRUE(runtime->SealSetup());
  FrameContext* const frame = runtime->Frames().Begin().Value();
  std::atomic<bool> hasCEnded{false};
  ASSERT_TRUE(runtime->Tasks().Submit(
      [&hasCEnded] {
        while (!hasCEnded) std::this_thread::yield();
      },
      {.bytes = 80}));
  ASSERT_TRUE(runtime->Tasks().Submit([] {}, {.bytes = 80}));
  ASSERT_TRUE(runtime->Tasks().Submit([&hasCEnded] { hasCEnded = true; }));
  const TaskReport report = runtime->Tasks().ExecuteParallel(*frame, {.bytesSoft = 100});
  EXPECT_EQ(report.ran, 3u);
  EXPECT_EQ(report.throttled, 1u);
  EXPECT_EQ(frame->budgetDeferrals, 1u);
  runtime->Frames().End(frame->completionValue);
}

}  // namespace
}  // namespace stadial::runtime
