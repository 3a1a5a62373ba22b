#include "stadial/runtime/worker_threads.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <thread>
#include <vector>

#include "stadial/runtime/gate.h"
#include "stadial/runtime/task_runner.h"
#include "stadial/runtime/thread_registry.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using testing::Repetitions;
using testing::TestArena;

// A job that ends only when every worker has come, so that Run can take no share of it back.
class Meeting {
 public:
  explicit Meeting(std::uint32_t count) : count_(count) {}
  void Attend() {
    const std::uint32_t round = present_.fetch_add(1) / count_;
    while (present_ < (round + 1) * count_) std::this_thread::yield();
  }

 private:
  std::uint32_t count_;
  std::atomic<std::uint32_t> present_{0};
};

TEST(WorkerThreads, Ka_EveryJobRunsOnceOnARegisteredThreadOfItsOwn) {
  TestArena arena(1 << 16);
  const std::uint32_t before = RegisteredThreadCount();
  for (const std::uint32_t count : {1u, 2u, 3u, 8u}) {
    const WorkerThreadsPtr workers = WorkerThreads::Create(arena.Get(), {.workerCount = count}).Value();
    EXPECT_EQ(workers->WorkerCount(), count);
    EXPECT_EQ(RegisteredThreadCount(), before + count - 1);
    struct Seen {
      std::atomic<std::uint32_t> calls{0};
      ThreadRole role = ThreadRole::Unregistered;
      char name[kThreadNameBytesMax] = {};
      pthread_t thread = {};
    };
    struct Job {
      Meeting meeting;
      std::vector<Seen> seen;
    } shared{.meeting = Meeting(count), .seen = std::vector<Seen>(count)};
    std::vector<Seen>& seen = shared.seen;
    for (std::uint32_t run = 1; run <= 3; ++run) {
      workers->Run(
          [](void* data, std::uint32_t worker) noexcept {
            auto& job = *static_cast<Job*>(data);
            job.meeting.Attend();
            Seen& own = job.seen[worker];
            const bool isFirst = own.calls++ == 0;
            EXPECT_TRUE(isFirst || ::pthread_equal(own.thread, ::pthread_self()) != 0);
            own.role = CurrentThreadRole();
            own.thread = ::pthread_self();
            std::strcpy(own.name, CurrentThreadName());
          },
          &shared);
      for (const Seen& own : seen) EXPECT_EQ(own.calls, run);
    }
    EXPECT_TRUE(::pthread_equal(seen[0].thread, ::pthread_self()) != 0);
    for (std::uint32_t i = 1; i < count; ++i) {
      EXPECT_EQ(seen[i].role, ThreadRole::Worker);
      EXPECT_EQ(std::string(seen[i].name), "worker " + std::to_string(i));
      for (std::uint32_t k = 0; k < i; ++k)
        EXPECT_TRUE(::pthread_equal(seen[i].thread, seen[k].thread) == 0) << i << " and " << k;
    }
  }
  EXPECT_EQ(RegisteredThreadCount(), before);
}

// The barrier: plain memory written by jobs is seen after Run, and the other way round.
TEST(WorkerThreads, Ka_ABarrierOrdersPlainMemory) {
  TestArena arena(1 << 16);
  for (const std::uint32_t count : {2u, 3u, 8u}) {
    for (const std::uint64_t spinNs : {std::uint64_t{0}, std::uint64_t{50'000}}) {
      const WorkerThreadsPtr workers =
          WorkerThreads::Create(arena.Get(), {.workerCount = count, .spinNs = spinNs}).Value();
      struct Shared {
        Meeting meeting;
        std::uint64_t input = 0;
        std::uint64_t output[kTaskWorkersMax] = {};
      } shared{.meeting = Meeting(count)};
      const std::uint64_t rounds = Repetitions(count == 8 || spinNs == 0 ? 1'000 : 10'000);
      for (std::uint64_t round = 1; round <= rounds; ++round) {
        shared.input = round;
        workers->Run(
            [](void* data, std::uint32_t worker) noexcept {
              auto& memory = *static_cast<Shared*>(data);
              if (memory.input % 2 == 0) memory.meeting.Attend();
              memory.output[worker] += memory.input;
            },
            &shared);
        // Odd rounds: who comes in time. Nobody comes later.
        std::uint64_t sum = 0;
        for (std::uint32_t i = 0; i < count; ++i) {
          ASSERT_TRUE(round % 2 == 0 || i == 0 || shared.output[i] == 0 || shared.output[i] == round);
          if (round % 2 == 0) sum += shared.output[i];
        }
        ASSERT_EQ(shared.output[0], round);
        ASSERT_EQ(sum, round % 2 == 0 ? round * count : 0);
        std::fill(std::begin(shared.output), std::end(shared.output), 0);
      }
    }
  }
}

TEST(WorkerThreads, Ka_CalculateBytesSuffices) {
  for (const std::uint32_t count : {1u, 2u, 7u, 16u}) {
    TestArena arena(WorkerThreads::CalculateBytes(count));
    EXPECT_TRUE(WorkerThreads::Create(arena.Get(), {.workerCount = count})) << count;
  }
}

// Of the started threads alone, complete after Run, whether they spin or sleep between the jobs.
TEST(WorkerThreads, R6_CountersSumWhatJobsDid) {
  STADIAL_ASSERT_ARMED();
  TestArena arena(1 << 16);
  for (const std::uint64_t spinNs : {std::uint64_t{0}, std::uint64_t{50'000}}) {
    const WorkerThreadsPtr workers =
        WorkerThreads::Create(arena.Get(), {.workerCount = 3, .spinNs = spinNs, .policy = GatePolicy::Count})
            .Value();
    EXPECT_STREQ(workers->WhyNoWitness(), "switched off by WorkerThreadsOptions::kernelWitness");
    Meeting meeting(3);
    for (std::uint64_t run = 1; run <= 100; ++run) {
      workers->Run(
          [](void* data, std::uint32_t worker) noexcept {
            static_cast<Meeting*>(data)->Attend();
            for (std::uint32_t i = 0; i < worker; ++i) {
              void* volatile block = std::malloc(8);
              std::free(block);
            }
          },
          &meeting);
      if (run % 10 == 0) workers->Rendezvous();
      const WorkerCounters counters = workers->Counters();
      ASSERT_EQ(counters.heapAllocations, run * 3);
      ASSERT_EQ(counters.heapFrees, run * 3);
    }
  }
}

TEST(WorkerThreads, R6_NothingAllocatesOnceTheyAreStarted) {
  STADIAL_ASSERT_ARMED();
  TestArena arena(1 << 16);
  const WorkerThreadsPtr workers = WorkerThreads::Create(arena.Get(), {.workerCount = 3}).Value();
  GateThreadCounters before;
  CountersByRole(ThreadRole::Worker, before);
  std::uint64_t allocations = 0;
  {
    const testing::CountedScope counted;
    Meeting meeting(3);
    for (int i = 0; i < 1000; ++i) {
      workers->Run([](void* data, std::uint32_t) noexcept { static_cast<Meeting*>(data)->Attend(); },
                   &meeting);
    }
    allocations = counted.Allocations() + counted.Frees();
  }
  GateThreadCounters after;
  CountersByRole(ThreadRole::Worker, after);
  EXPECT_EQ(allocations, 0u);
  EXPECT_EQ(after.allocations, before.allocations);
  EXPECT_EQ(after.frees, before.frees);
}

// The control of the test above: a job that allocates on a worker is counted there.
TEST(WorkerThreads, R6_AJobThatAllocatesIsSeen) {
  STADIAL_ASSERT_ARMED();
  TestArena arena(1 << 16);
  const WorkerThreadsPtr workers =
      WorkerThreads::Create(arena.Get(), {.workerCount = 2, .policy = GatePolicy::Count}).Value();
  GateThreadCounters before;
  CountersByRole(ThreadRole::Worker, before);
  Meeting meeting(2);
  workers->Run(
      [](void* data, std::uint32_t worker) noexcept {
        static_cast<Meeting*>(data)->Attend();
        if (worker != 1) return;
        void* volatile block = std::malloc(100);
        std::free(block);
      },
      &meeting);
  GateThreadCounters after;
  CountersByRole(ThreadRole::Worker, after);
  EXPECT_EQ(after.allocations, before.allocations + 1);
  EXPECT_EQ(after.frees, before.frees + 1);
}

TEST(WorkerThreadsDeathTest, R6_AJobThatAllocatesTraps) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        RunGateSelfTest();
        TestArena arena(1 << 16);
        const WorkerThreadsPtr workers = WorkerThreads::Create(arena.Get(), {.workerCount = 2}).Value();
        Meeting meeting(2);
        workers->Run(
            [](void* data, std::uint32_t worker) noexcept {
              static_cast<Meeting*>(data)->Attend();
              if (worker != 1) return;
              void* volatile block = std::malloc(100);
              std::free(block);
            },
            &meeting);
      },
      "worker 1");
}

TEST(WorkerThreads, BadOptionsAreNamed) {
  TestArena arena(1 << 16);
  const auto message = [&](const WorkerThreadsOptions& options) {
    auto result = WorkerThreads::Create(arena.Get(), options);
    return result ? std::string() : std::string(result.GetError().Message());
  };
  EXPECT_NE(message({.workerCount = 65}).find("workerCount is 65; it must be 0 (one per core) to 64"),
            std::string::npos);
  EXPECT_NE(message({.stackBytes = 4096}).find("stackPrefaultBytes is 65536"), std::string::npos);
  EXPECT_NE(message({.policy = static_cast<GatePolicy>(9)}).find("policy is 9"), std::string::npos);
  TestArena tiny(64);
  EXPECT_EQ(WorkerThreads::Create(tiny.Get(), {.workerCount = 4}).GetError().Code(),
            ErrorCode::CapacityExceeded);
}

// T7: the second thread cannot be started; the first is stopped again.
TEST(WorkerThreads, T7_AThreadThatCannotBeStartedIsAnError) {
  TestArena arena(1 << 16);
  const std::uint32_t before = RegisteredThreadCount();
  auto result = WorkerThreads::Create(arena.Get(), {.workerCount = 3, .stackBytes = std::size_t{1} << 46});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.GetError().Code(), ErrorCode::OutOfMemory);
  EXPECT_NE(std::string(result.GetError().Message()).find("of 2 could not be started with a stack of"),
            std::string::npos)
      << result.GetError().Message();
  EXPECT_EQ(RegisteredThreadCount(), before);
}

TEST(WorkerThreadsDeathTest, ARunInsideAJobIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        TestArena arena(1 << 16);
        const WorkerThreadsPtr workers = WorkerThreads::Create(arena.Get(), {.workerCount = 1}).Value();
        workers->Run(
            [](void* data, std::uint32_t) noexcept {
              static_cast<WorkerThreads*>(data)->Run([](void*, std::uint32_t) noexcept {}, nullptr);
            },
            workers.get());
      },
      "inside a job");
}

}  // namespace
}  // namespace stadial::runtime
