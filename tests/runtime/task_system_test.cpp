#include "stadial/runtime/task_system.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "stadial/runtime/runtime.h"
#include "task_system_support.h"

namespace stadial::runtime {
namespace {

using testing::ExpectBalanced;
using testing::Random;
using testing::Repetitions;
using testing::TestArena;
using testing::TestSeed;
using testing::TestTasks;
using Mode = TaskSystem::AllocationMode;

// The order in which bodies ran, on any worker.
struct Journal {
  std::atomic<std::uint32_t> count{0};
  std::uint32_t entries[4096] = {};
  void Note(std::uint32_t entry) { entries[count.fetch_add(1)] = entry; }
  std::vector<std::uint32_t> Entries() const { return {entries, entries + count}; }
};

TEST(TaskSystem, Ka_RunsWhatIsSubmittedAndNothingBefore) {
  TestTasks tasks(2);
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(tasks->Submit([&ran] { ++ran; }));
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(tasks->QueuedCount(), 100u);
  const TaskReport report = tasks->ExecuteParallel();
  EXPECT_EQ(ran, 100);
  EXPECT_EQ(report.ran, 100u);
  EXPECT_EQ(report.deferred, 0u);
  EXPECT_EQ(report.waves, 1u);
  EXPECT_EQ(tasks->ExecuteParallel().ran, 0u);
  ExpectBalanced(tasks->GetStats());
}

TEST(TaskSystem, Ka_ATaskWaitsForAllThatItComesAfter) {
  for (const std::uint32_t workers : {1u, 2u, 4u}) {
    TestTasks tasks(workers);
    for (std::uint64_t round = 0; round < Repetitions(300); ++round) {
      Journal journal;
      TaskId first[8];
      for (std::uint32_t i = 0; i < 8; ++i) first[i] = tasks->Submit([&journal, i] { journal.Note(i); }).id;
      const TaskResult middle = tasks->Submit([&journal] { journal.Note(100); }, {.after = first});
      ASSERT_TRUE(tasks->Submit([&journal] { journal.Note(200); }, {.after = {&middle.id, 1}}));
      tasks->ExecuteParallel();
      const std::vector<std::uint32_t> order = journal.Entries();
      ASSERT_EQ(order.size(), 10u);
      ASSERT_EQ(order[8], 100u);
      ASSERT_EQ(order[9], 200u);
    }
  }
}

TEST(TaskSystem, Ka_TheSameTaskTwiceIsOneObstacle) {
  TestTasks tasks(2);
  std::atomic<int> ran{0};
  const TaskId first = tasks->Submit([&ran] { ++ran; }).id;
  const TaskId twice[] = {first, first};
  EXPECT_TRUE(tasks->Submit([&ran] { ++ran; }, {.after = twice}));
  tasks->ExecuteParallel();
  EXPECT_EQ(ran, 2);
  EXPECT_FALSE(tasks->IsQueued(first));
  // A task that has ended is no obstacle, nor is no task.
  const TaskId gone[] = {first, TaskId()};
  EXPECT_TRUE(tasks->Submit([&ran] { ++ran; }, {.after = gone}));
  EXPECT_EQ(tasks->ExecuteParallel().ran, 1u);
}

TEST(TaskSystem, Ka_AWaveBeginsWhenTheLastHasEnded) {
  for (const std::uint32_t workers : {1u, 2u, 8u}) {
    TestTasks tasks(workers);
    std::atomic<std::uint32_t> ended[5] = {};
    std::atomic<std::uint32_t> early{0};
    for (std::uint32_t wave = 0; wave < 5; ++wave) {
      for (std::uint32_t i = 0; i < 50; ++i) {
        ASSERT_TRUE(tasks->Submit([&ended, &early, wave](TaskContext& task) {
          if (wave > 0) early += ended[wave - 1] != 100;
          // The barrier waits for what bodies spawn, too.
          ASSERT_TRUE(task.Spawn([&ended, wave] { ++ended[wave]; }));
          ++ended[wave];
        }));
      }
      ASSERT_TRUE(tasks->NextWave());
      ASSERT_TRUE(tasks->NextWave());  // of nothing: no change
    }
    const TaskReport report = tasks->ExecuteParallel();
    EXPECT_EQ(report.waves, 5u);
    EXPECT_EQ(report.ran, 500u);
    EXPECT_EQ(report.spawned, 250u);
    EXPECT_EQ(early, 0u);
  }
}

TEST(TaskSystem, Ka_WavesAreBounded) {
  TestTasks tasks(1, {.wavesMax = 3});
  const auto submit = [&] { return static_cast<bool>(tasks->Submit([] {})); };
  ASSERT_TRUE(submit());
  ASSERT_TRUE(tasks->NextWave());
  ASSERT_TRUE(submit());
  ASSERT_TRUE(tasks->NextWave());
  ASSERT_TRUE(submit());
  EXPECT_FALSE(tasks->NextWave());
  EXPECT_TRUE(submit());  // into the last
  EXPECT_EQ(tasks->ExecuteParallel().waves, 3u);
  EXPECT_TRUE(submit());
  EXPECT_TRUE(tasks->NextWave());
}

TEST(TaskSystem, Ka_HigherPrioritiesRunFirst) {
  TestTasks tasks(1);
  Journal journal;
  for (std::uint32_t i = 0; i < 300; ++i) {
    ASSERT_TRUE(tasks->Submit([&journal, i] { journal.Note(2 - i % 3); },
                              {.priority = static_cast<TaskPriority>(2 - i % 3)}));
  }
  tasks->ExecuteParallel();
  const std::vector<std::uint32_t> order = journal.Entries();
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  // Also what a body spawns goes before what is left.
  Journal spawned;
  for (std::uint32_t i = 0; i < 50; ++i) {
    ASSERT_TRUE(tasks->Submit([&spawned](TaskContext& task) {
      spawned.Note(1);
      ASSERT_TRUE(task.Spawn([&spawned] { spawned.Note(0); }, {.priority = TaskPriority::High}));
    }));
  }
  tasks->ExecuteParallel();
  for (std::uint32_t i = 0; i < 100; ++i) ASSERT_EQ(spawned.entries[i], i % 2 == 0 ? 1u : 0u);
}

TEST(TaskSystem, Ka_EachWorkerHasItsOwnLane) {
  const RuntimePtr runtime = Runtime::Create({.setupBytes = 4 << 20, .lanes = 4}).Value();
  const WorkerThreadsPtr workers = WorkerThreads::Create(runtime->SetupArena(), {.workerCount = 4}).Value();
  TaskSystem* const tasks = TaskSystem::Create(runtime->SetupArena(), *workers).Value();
  ASSERT_TRUE(runtime->SealSetup());
  for (std::uint32_t round = 0; round < 20; ++round) {
    FrameContext* const frame = runtime->Frames().Begin().Value();
    std::atomic<std::uint32_t> wrong{0};
    for (std::uint32_t i = 0; i < 200; ++i) {
      ASSERT_TRUE(tasks->Submit([frame, &wrong](TaskContext& task) {
        wrong += &task.Lane() != &frame->lanes->Lane(task.WorkerIndex());
        auto* const words = task.Lane().NewArray<std::uint32_t>(16).data();
        for (std::uint32_t k = 0; k < 16; ++k) words[k] = task.WorkerIndex();
        ASSERT_TRUE(task.Spawn([words, &wrong, worker = task.WorkerIndex()] {
          for (std::uint32_t k = 0; k < 16; ++k) wrong += words[k] != worker;
        }));
      }));
    }
    EXPECT_EQ(tasks->ExecuteParallel(*frame).ran, 400u);
    EXPECT_EQ(wrong, 0u);
    std::size_t used = 0;
    for (std::uint32_t i = 0; i < 4; ++i) used += frame->lanes->Lane(i).UsedBytes();
    EXPECT_EQ(used, 200u * 64);
    runtime->Frames().End(frame->completionValue);
  }
}

// The claim "no allocation per task", on every thread, for submitting, spawning, dependencies and the
// throttle.
TEST(TaskSystem, R6_NoTaskAllocates) {
  STADIAL_ASSERT_ARMED();
  for (const std::uint32_t workers : {1u, 2u, 4u}) {
    TestTasks tasks(workers, {.tasksMax = 1024});
    GateThreadCounters before;
    CountersByRole(ThreadRole::Worker, before);
    std::uint64_t allocations = 0, frees = 0;
    std::atomic<std::uint64_t> ran{0};
    {
      const testing::CountedScope counted;
      for (std::uint64_t round = 0; round < Repetitions(100); ++round) {
        TaskId last;
        for (std::uint32_t i = 0; i < 500; ++i) {
          TaskOptions options{.bytes = i % 7, .after = {&last, i % 3 == 0 ? 1u : 0u}};
          options.priority = static_cast<TaskPriority>(i % 3);
          last = tasks
                     ->Submit(
                         [&ran](TaskContext& task) {
                           ++ran;
                           if (!task.Spawn([&ran] { ++ran; })) ++ran;
                         },
                         options)
                     .id;
          if (i % 100 == 99) static_cast<void>(tasks->NextWave());
        }
        tasks->ExecuteParallel({.bytesSoft = 20});
      }
      allocations = counted.Allocations();
      frees = counted.Frees();
    }
    GateThreadCounters after;
    CountersByRole(ThreadRole::Worker, after);
    EXPECT_EQ(ran, Repetitions(100) * 1000);
    EXPECT_EQ(allocations, 0u);
    EXPECT_EQ(frees, 0u);
    EXPECT_EQ(after.allocations, before.allocations);
    EXPECT_EQ(after.frees, before.frees);
  }
}

// Its control: one body of a thousand allocates, on whichever worker.
TEST(TaskSystem, R6_ABodyThatAllocatesIsSeen) {
  STADIAL_ASSERT_ARMED();
  TestTasks tasks(2, {.policy = GatePolicy::Count});
  GateThreadCounters before, after;
  CountersByRole(ThreadRole::Worker, before);
  const std::uint64_t ownBefore = CurrentThreadCounters().allocations;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    ASSERT_TRUE(tasks->Submit([i] {
      if (i != 777) return;
      void* volatile block = std::malloc(100);
      std::free(block);
    }));
  }
  tasks->ExecuteParallel();
  CountersByRole(ThreadRole::Worker, after);
  EXPECT_EQ(after.allocations - before.allocations + CurrentThreadCounters().allocations - ownBefore, 1u);
}

TEST(TaskSystemDeathTest, R6_ABodyThatAllocatesTraps) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        RunGateSelfTest();
        TestTasks tasks(1);
        static_cast<void>(tasks->Submit([] {
          void* volatile block = std::malloc(100);
          std::free(block);
        }));
        tasks->ExecuteParallel();
      },
      "task");
}

TEST(TaskSystem, Ka_SpawnsToAnyDepthAndOnlyOnce) {
  struct Tree {
    std::atomic<std::uint64_t> nodes{0};
    std::atomic<std::uint64_t> inPlace{0};
    void Visit(TaskContext& task, std::uint32_t depth) {
      ++nodes;
      for (int child = 0; depth != 0 && child < 2; ++child) {
        const auto body = [this, depth](TaskContext& inner) { Visit(inner, depth - 1); };
        if (task.Spawn(body)) continue;
        ++inPlace;
        body(task);
      }
    }
  };
  for (const std::uint32_t workers : {1u, 2u, 4u, 8u}) {
    TestTasks tasks(workers, {.tasksMax = 96, .dequeMax = 64});
    const std::uint32_t depth = testing::kIsSanitized ? 10 : 14;
    Tree tree;
    ASSERT_TRUE(tasks->Submit([&](TaskContext& task) { tree.Visit(task, depth); }));
    const TaskReport report = tasks->ExecuteParallel();
    EXPECT_EQ(tree.nodes, (2u << depth) - 1);
    EXPECT_EQ(report.ran + tree.inPlace, tree.nodes);
    EXPECT_EQ(tasks->GetStats().spawnRejected, tree.inPlace);
    ExpectBalanced(tasks->GetStats());
  }
}

TEST(TaskSystem, Ka_ChainsAndFansOfTenThousand) {
  for (const std::uint32_t workers : {1u, 2u, 4u}) {
    constexpr std::uint32_t kCount = 10'000;
    TestTasks tasks(workers, {.tasksMax = kCount + 2});
    std::uint32_t next = 0;  // plain: the chain orders it
    std::uint32_t wrong = 0;
    TaskId last;
    for (std::uint32_t i = 0; i < kCount; ++i) {
      last = tasks->Submit([&next, &wrong, i] { wrong += next++ != i; }, {.after = {&last, 1}}).id;
    }
    EXPECT_EQ(tasks->ExecuteParallel().ran, kCount);
    EXPECT_EQ(wrong, 0u);
    // One before many before one.
    std::uint32_t before = 0;
    std::atomic<std::uint32_t> middle{0};
    std::uint32_t after = 0;
    std::vector<TaskId> fan(kCount);
    const TaskId first = tasks->Submit([&before] { before = 1; }).id;
    for (TaskId& id : fan) id = tasks->Submit([&] { middle += before; }, {.after = {&first, 1}}).id;
    ASSERT_TRUE(tasks->Submit([&] { after = middle; }, {.after = fan}));
    EXPECT_EQ(tasks->ExecuteParallel().ran, kCount + 2);
    EXPECT_EQ(after, kCount);
  }
}

TEST(TaskSystem, Ka_StrictRejectsAndSaysSo) {
  TestTasks tasks(2, {.tasksMax = 100, .edgesMax = 1});
  TaskId id;
  for (int i = 0; i < 99; ++i) id = tasks->Submit([] {}).id;
  const TaskId both[] = {id, tasks->Submit([] {}).id};
  EXPECT_EQ(tasks->Submit([] {}).outcome, TaskOutcome::Rejected);
  EXPECT_EQ(tasks->GetStats().rejected, 1u);
  EXPECT_EQ(tasks->GetStats().queuedPeak, 100u);
  tasks->ExecuteParallel();
  // Edges are bounded as well, and come back.
  for (int i = 0; i < 3; ++i) {
    const TaskId first = tasks->Submit([] {}).id;
    const TaskId two[] = {first, tasks->Submit([] {}).id};
    EXPECT_FALSE(tasks->Submit([] {}, {.after = two}));
    EXPECT_TRUE(tasks->Submit([] {}, {.after = {two, 1}}));
    EXPECT_FALSE(tasks->Submit([] {}, {.after = {two, 1}}));
    EXPECT_EQ(tasks->ExecuteParallel().ran, 3u);
  }
  EXPECT_FALSE(tasks->IsQueued(both[1]));
  ExpectBalanced(tasks->GetStats());
}

TEST(TaskSystem, Ka_FallbackTakesTheReserveAndCounts) {
  TestTasks tasks(2, {.tasksMax = 100, .reserveTasks = 10, .mode = Mode::Fallback});
  std::atomic<int> ran{0};
  for (int round = 1; round <= 3; ++round) {
    for (int i = 0; i < 100; ++i) EXPECT_EQ(tasks->Submit([&ran] { ++ran; }).outcome, TaskOutcome::Accepted);
    for (int i = 0; i < 10; ++i)
      EXPECT_EQ(tasks->Submit([&ran] { ++ran; }).outcome, TaskOutcome::AcceptedFromReserve);
    EXPECT_EQ(tasks->Submit([&ran] { ++ran; }).outcome, TaskOutcome::Rejected);
    EXPECT_EQ(tasks->ExecuteParallel().ran, 110u);
    EXPECT_EQ(tasks->GetStats().fromReserve, 10u * static_cast<unsigned>(round));
  }
  EXPECT_EQ(ran, 330);
  ExpectBalanced(tasks->GetStats());
}

TEST(TaskSystem, Ka_DiscardDropsTheOldestUnpinnedOfTheLowestPriority) {
  TestTasks tasks(1, {.tasksMax = 4, .mode = Mode::Discard});
  Journal journal;
  const auto submit = [&](std::uint32_t entry, const TaskOptions& options) {
    return tasks->Submit([&journal, entry] { journal.Note(entry); }, options).outcome;
  };
  EXPECT_EQ(submit(1, {.priority = TaskPriority::Low, .isPinned = true}), TaskOutcome::Accepted);
  EXPECT_EQ(submit(2, {}), TaskOutcome::Accepted);
  EXPECT_EQ(submit(3, {.priority = TaskPriority::Low}), TaskOutcome::Accepted);
  EXPECT_EQ(submit(4, {}), TaskOutcome::Accepted);
  EXPECT_EQ(submit(5, {.isPinned = true}), TaskOutcome::AcceptedOlderDropped);                // 3
  EXPECT_EQ(submit(6, {.priority = TaskPriority::High}), TaskOutcome::AcceptedOlderDropped);  // 2
  EXPECT_EQ(submit(7, {.priority = TaskPriority::High, .isPinned = true}),
            TaskOutcome::AcceptedOlderDropped);                                 // 4
  EXPECT_EQ(submit(8, {.isPinned = true}), TaskOutcome::AcceptedOlderDropped);  // 6
  EXPECT_EQ(submit(9, {}), TaskOutcome::Rejected);                              // all are pinned
  tasks->ExecuteParallel();
  EXPECT_EQ(journal.Entries(), (std::vector<std::uint32_t>{7, 5, 8, 1}));
  EXPECT_EQ(tasks->GetStats().dropped, 4u);
  ExpectBalanced(tasks->GetStats());
}

TEST(TaskSystem, Ka_WhatWaitsForADroppedTaskIsDroppedToo) {
  TestTasks tasks(2, {.tasksMax = 4, .mode = Mode::Discard});
  Journal journal;
  const auto submit = [&](std::uint32_t entry, std::span<const TaskId> after, bool isPinned) {
    return tasks->Submit([&journal, entry] { journal.Note(entry); }, {.isPinned = isPinned, .after = after});
  };
  const TaskId pinned = submit(1, {}, true).id;
  const TaskId oldest = submit(2, {}, false).id;
  const TaskId both[] = {pinned, oldest};
  ASSERT_TRUE(submit(3, both, true));          // waits for the oldest as well
  ASSERT_TRUE(submit(4, {&oldest, 1}, true));  // waits for nothing else: goes with it
  EXPECT_EQ(submit(5, {}, false).outcome, TaskOutcome::AcceptedOlderDropped);
  EXPECT_EQ(tasks->QueuedCount(), 3u);  // 1, 3, 5
  const TaskReport report = tasks->ExecuteParallel();
  EXPECT_EQ(report.ran, 2u);
  EXPECT_EQ(report.dropped, 1u);
  std::vector<std::uint32_t> order = journal.Entries();
  std::sort(order.begin(), order.end());
  EXPECT_EQ(order, (std::vector<std::uint32_t>{1, 5}));
  EXPECT_EQ(tasks->GetStats().dropped, 3u);
  ExpectBalanced(tasks->GetStats());
  // The task that would have had to wait for the dropped one is rejected.
  TaskId first = submit(6, {}, false).id;
  for (std::uint32_t i = 7; i < 10; ++i) ASSERT_TRUE(submit(i, {}, true));
  EXPECT_FALSE(submit(10, {&first, 1}, true));
  EXPECT_EQ(tasks->ExecuteParallel().ran, 3u);
  ExpectBalanced(tasks->GetStats());
}

TEST(TaskSystem, Bb_ABudgetStartsInOrderAndDefersTheRest) {
  TestTasks tasks(2);
  std::atomic<std::uint32_t> ran{0};
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(tasks->Submit([&ran] { ++ran; }, {.cost = 3}));
  TaskReport report = tasks->ExecuteParallel({.costMax = 10});
  EXPECT_EQ(report.ran, 3u);
  EXPECT_EQ(report.cost, 9u);
  EXPECT_EQ(report.deferred, 7u);
  EXPECT_EQ(tasks->ExecuteParallel({.costMax = 12}).ran, 4u);
  EXPECT_EQ(tasks->ExecuteParallel({.costMax = 0}).ran, 1u);  // progress
  EXPECT_EQ(tasks->ExecuteParallel().ran, 2u);
  EXPECT_EQ(ran, 10u);
  // A task dearer than the whole budget runs alone.
  ASSERT_TRUE(tasks->Submit([&ran] { ++ran; }, {.cost = 1000}));
  ASSERT_TRUE(tasks->Submit([&ran] { ++ran; }, {.cost = 1}));
  EXPECT_EQ(tasks->ExecuteParallel({.costMax = 10}).ran, 1u);
  EXPECT_EQ(tasks->ExecuteParallel({.costMax = 10}).ran, 1u);
  ExpectBalanced(tasks->GetStats());
}

TEST(TaskSystem, Bb_ABudgetRespectsDependenciesPrioritiesAndWaves) {
  TestTasks tasks(2);
  Journal journal;
  const auto submit = [&](std::uint32_t entry, const TaskOptions& options) {
    return tasks->Submit([&journal, entry] { journal.Note(entry); }, options).id;
  };
  const TaskId low = submit(1, {.priority = TaskPriority::Low});
  submit(2, {});
  submit(3, {.priority = TaskPriority::High, .after = {&low, 1}});
  submit(4, {.priority = TaskPriority::High});
  ASSERT_TRUE(tasks->NextWave());
  submit(5, {.priority = TaskPriority::High});
  EXPECT_EQ(tasks->ExecuteParallel({.costMax = 1}).ran, 1u);
  EXPECT_EQ(tasks->ExecuteParallel({.costMax = 1}).ran, 1u);
  EXPECT_EQ(tasks->ExecuteParallel({.costMax = 2}).ran, 2u);
  EXPECT_EQ(tasks->ExecuteParallel({.costMax = 2}).ran, 1u);
  EXPECT_EQ(journal.Entries(), (std::vector<std::uint32_t>{4, 2, 1, 3, 5}));
}

// Tasks that take bytes while they run: their sum stays below 85 % of the soft limit, though all could run.
TEST(TaskSystem, Bb_AboveTheThrottleTasksWaitAndAllRunInTheEnd) {
  for (const std::uint32_t workers : {1u, 2u, 4u, 8u}) {
    TestTasks tasks(workers);
    struct Meter {
      std::atomic<std::uint64_t> bytes{0}, peak{0}, ran{0};
      void Use(std::uint64_t own) {
        const std::uint64_t now = bytes += own;
        std::uint64_t seen = peak;
        while (seen < now && !peak.compare_exchange_weak(seen, now)) {
        }
        const std::uint64_t untilNs = NowNs() + 2'000;
        while (NowNs() < untilNs) {
        }
        bytes -= own;
        ++ran;
      }
    } meter;
    Random random(TestSeed(3));
    const std::uint64_t count = Repetitions(3000);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t bytes = random.Below(100);
      ASSERT_TRUE(tasks->Submit([&meter, bytes] { meter.Use(bytes); },
                                {.priority = static_cast<TaskPriority>(i % 3), .bytes = bytes}));
    }
    const TaskReport report = tasks->ExecuteParallel({.bytesSoft = 400, .bytesInUse = 200});
    EXPECT_EQ(report.ran, count);
    EXPECT_EQ(meter.ran, count);
    EXPECT_LE(meter.peak, 140u) << "340 are 85 % of 400, and 200 are taken";
    EXPECT_LE(tasks->GetStats().bytesPeak, 140u);
    EXPECT_TRUE(workers != 1 || report.throttled == 0);
  }
}

TEST(TaskSystem, Bb_AtLeastOneTaskAlwaysProgresses) {
  for (const std::uint32_t workers : {1u, 2u, 8u}) {
    TestTasks tasks(workers);
    std::atomic<std::uint32_t> running{0}, most{0}, ran{0};
    for (int i = 0; i < 200; ++i) {
      ASSERT_TRUE(tasks->Submit(
          [&] {
            const std::uint32_t now = ++running;
            std::uint32_t seen = most;
            while (seen < now && !most.compare_exchange_weak(seen, now)) {
            }
            ++ran;
            --running;
          },
          {.bytes = 1000}));
    }
    // Others hold more than everything, and every task is larger than the limit.
    EXPECT_EQ(tasks->ExecuteParallel({.bytesSoft = 10, .bytesInUse = 5000}).ran, 200u);
    EXPECT_EQ(ran, 200u);
    EXPECT_EQ(most, 1u);
  }
}

// A runner as a game might have it: jobs in any order, and not all at once.
TEST(TaskSystem, Ka_RunsOnAGamesOwnJobSystem) {
  class Backwards final : public TaskRunner {
   public:
    std::uint32_t WorkerCount() const noexcept override { return 3; }
    void Run(Job job, void* data) noexcept override {
      for (std::uint32_t worker = 3; worker-- > 0;) job(data, worker);
    }
  } runner;
  const TaskSystemOptions options{.tasksMax = 64};
  TestArena arena(TaskSystem::CalculateBytes(3, options));
  TaskSystem* const tasks = TaskSystem::Create(arena.Get(), runner, options).Value();
  for (int round = 0; round < 10; ++round) {
    std::atomic<int> ran{0};
    TaskId last;
    for (int i = 0; i < 32; ++i) {
      last = tasks
                 ->Submit(
                     [&ran](TaskContext& task) {
                       ++ran;
                       if (!task.Spawn([&ran] { ++ran; })) ++ran;
                     },
                     {.bytes = 7, .after = {&last, 1}})
                 .id;
    }
    tasks->ExecuteParallel({.bytesSoft = 10});
    EXPECT_EQ(ran, 64);
  }
  ExpectBalanced(tasks->GetStats());
}

// A runner that has other threads every time, and lets some workers come and some not: lanes go from one
// thread to the next with their worker.
TEST(TaskSystem, Ka_AWorkerMayBeAnotherThreadInEachWave) {
  class FreshThreads final : public TaskRunner {
   public:
    std::uint32_t WorkerCount() const noexcept override { return 3; }
    void Run(Job job, void* data) noexcept override {
      std::vector<std::thread> threads;
      threads.emplace_back([=] { job(data, 0); });
      if (++runs_ % 3 != 0) threads.emplace_back([=, worker = 1 + runs_ % 2] { job(data, worker); });
      for (std::thread& thread : threads) thread.join();
    }

   private:
    std::uint32_t runs_ = 0;
  } runner;
  const RuntimePtr runtime =
      Runtime::Create({.setupBytes = 4 << 20, .lanes = 3, .gate = GatePolicy::Allow}).Value();
  TaskSystem* const tasks = TaskSystem::Create(runtime->SetupArena(), runner).Value();
  ASSERT_TRUE(runtime->SealSetup());
  for (std::uint32_t round = 0; round < 10; ++round) {
    FrameContext* const frame = runtime->Frames().Begin().Value();
    frame->lane->New<std::uint64_t>(round);
    std::atomic<std::uint32_t> ran{0};
    for (std::uint32_t i = 0; i < 90; ++i) {
      ASSERT_TRUE(
          tasks->Submit([&ran, i](TaskContext& task) { ran += *task.Lane().New<std::uint32_t>(i) == i; }));
      ASSERT_TRUE(i % 30 != 29 || tasks->NextWave());
    }
    EXPECT_EQ(tasks->ExecuteParallel(*frame).ran, 90u);
    EXPECT_EQ(ran, 90u);
    frame->lane->New<std::uint64_t>(round);
    runtime->Frames().End(frame->completionValue);
  }
}

TEST(TaskSystem, Ka_EndsWithWorkPending) {
  std::atomic<int> ran{0};
  for (const std::uint32_t workers : {1u, 2u, 8u}) {
    TestTasks tasks(workers);
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(tasks->Submit([&ran] { ++ran; }));
    if (workers == 2) tasks->ExecuteParallel({.costMax = 10});
    EXPECT_EQ(tasks->GetStats().queued, workers == 2 ? 90u : 100u);
  }
  EXPECT_EQ(ran, 10);
}

TEST(TaskSystem, Ka_DropAllForgetsEverythingQueued) {
  TestTasks tasks(2, {.tasksMax = 64});
  for (int round = 0; round < 10; ++round) {
    TaskId last;
    for (int i = 0; i < 64; ++i) {
      last =
          tasks->Submit([] { FAIL(); }, {.isPinned = i % 2 == 0, .after = {&last, i % 5 == 0 ? 0u : 1u}}).id;
      ASSERT_TRUE(i % 20 != 19 || tasks->NextWave());
    }
    EXPECT_EQ(tasks->QueuedCount(), 64u);
    tasks->DropAll();
    EXPECT_EQ(tasks->QueuedCount(), 0u);
    EXPECT_FALSE(tasks->IsQueued(last));
  }
  EXPECT_EQ(tasks->ExecuteParallel().ran, 0u);
  EXPECT_EQ(tasks->GetStats().dropped, 640u);
  ExpectBalanced(tasks->GetStats());
}

TEST(TaskSystem, TakesWhatItCalculatesAndNoMore) {
  for (const Mode mode : {Mode::Strict, Mode::Fallback, Mode::Discard}) {
    for (const std::uint32_t tasksMax : {1u, 63u, 64u, 65u, 1000u}) {
      const TaskSystemOptions options{.tasksMax = tasksMax, .wavesMax = 5, .mode = mode};
      SerialTaskRunner runner(3);
      const std::size_t bytes = TaskSystem::CalculateBytes(3, options);
      TestArena enough(bytes);
      auto tasks = TaskSystem::Create(enough.Get(), runner, options);
      ASSERT_TRUE(tasks);
      std::uint32_t accepted = 0;
      if (mode == Mode::Discard) continue;
      while (tasks.Value()->Submit([] {})) ++accepted;
      EXPECT_EQ(accepted, mode == Mode::Fallback ? tasksMax + tasksMax / 4 : tasksMax);
    }
  }
}

TEST(TaskSystem, BadOptionsAreNamed) {
  TestArena arena(1 << 20);
  SerialTaskRunner runner;
  const auto message = [&](const TaskSystemOptions& options) {
    auto result = TaskSystem::Create(arena.Get(), runner, options);
    return result ? std::string() : std::string(result.GetError().Message());
  };
  EXPECT_EQ(message({.tasksMax = 0}), "TaskSystemOptions::tasksMax is 0; it must be 1 to 16777216");
  EXPECT_EQ(message({.wavesMax = 0}), "TaskSystemOptions::wavesMax is 0; it must be 1 to 65535");
  EXPECT_EQ(message({.dequeMax = 10}), "TaskSystemOptions::dequeMax is 10; it must be 64 to 1048576");
  EXPECT_NE(message({.mode = static_cast<Mode>(3)}).find("mode is 3"), std::string::npos);
  EXPECT_NE(message({.policy = static_cast<GatePolicy>(9)}).find("policy is 9"), std::string::npos);
  EXPECT_NE(message({.tasksMax = 1 << 20}).find("lower TaskSystemOptions::tasksMax"), std::string::npos);
}

TEST(TaskSystemDeathTest, MisuseIsNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  static TaskSystem* tasks = nullptr;
  const auto run = [](auto body) {
    TestTasks owner(1);
    tasks = &owner.Get();
    static_cast<void>(tasks->Submit(body));
    tasks->ExecuteParallel();
  };
  EXPECT_DEATH(run([] { static_cast<void>(tasks->Submit([] {})); }), "TaskContext::Spawn");
  EXPECT_DEATH(run([] { tasks->ExecuteParallel(); }), "ExecuteParallel inside a body");
  EXPECT_DEATH(run([](TaskContext& task) { static_cast<void>(task.Lane()); }), "given no lanes");
  EXPECT_DEATH(run([](TaskContext& task) {
                 const TaskId id;
                 static_cast<void>(task.Spawn([] {}, {.after = {&id, 1}}));
               }),
               "waits for nothing");
}

}  // namespace
}  // namespace stadial::runtime
