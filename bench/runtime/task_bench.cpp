// TaskSystem on two threads: tasks submitted and run, tasks spawned by a task, chains of dependencies, and
// the barrier of a wave. Other libraries' are in peers/, programs of their own, since their idle threads
// spin.
#include <benchmark/benchmark.h>

#include "stadial/runtime/task_system.h"
#include "stadial/runtime/worker_threads.h"
#include "task_workload.h"

namespace {

using namespace stadial::runtime;

class Tasks {
 public:
  explicit Tasks(std::uint64_t count)
      : options_{.tasksMax = static_cast<std::uint32_t>(count + 1)},
        bytes_(TaskSystem::CalculateBytes(kTaskBenchThreads, options_) + (64 << 10)),
        memory_(new std::byte[bytes_]),
        arena_("bench", memory_.get(), bytes_),
        workers_(WorkerThreads::Create(arena_, {.workerCount = kTaskBenchThreads}).Value()),
        tasks_(TaskSystem::Create(arena_, *workers_, options_).Value()) {}
  TaskSystem* operator->() { return tasks_; }

 private:
  TaskSystemOptions options_;
  std::size_t bytes_;
  std::unique_ptr<std::byte[]> memory_;
  stadial::arenas::Arena arena_;
  WorkerThreadsPtr workers_;
  TaskSystem* tasks_;
};

void Check(benchmark::State& state, bool isRight) {
  if (!isRight) state.SkipWithError("a task was refused");
}

void BM_Tasks(benchmark::State& state) {
  const auto steps = static_cast<std::uint64_t>(state.range(0));
  const auto count = static_cast<std::uint64_t>(state.range(1));
  Tasks tasks(count);
  TaskResults results(count);
  MeasureRounds(state, count, "ns_per_task", [&] {
    std::uint64_t* const values = results.values.get();
    for (std::uint64_t i = 0; i < count; ++i)
      static_cast<void>(tasks->Submit([values, i, steps] { values[i] = TaskBody(i, steps); }));
    Check(state, tasks->ExecuteParallel().ran == count);
  });
  state.counters["checksum"] = results.Checksum();
}

// Submitted by a task that runs, as the peers do it: the others begin at once.
void BM_TasksSpawned(benchmark::State& state) {
  const auto steps = static_cast<std::uint64_t>(state.range(0));
  const auto count = static_cast<std::uint64_t>(state.range(1));
  Tasks tasks(count);
  TaskResults results(count);
  MeasureRounds(state, count, "ns_per_task", [&] {
    std::uint64_t* const values = results.values.get();
    static_cast<void>(tasks->Submit([values, count, steps](TaskContext& task) {
      for (std::uint64_t i = 0; i < count; ++i) {
        const auto body = [values, i, steps] { values[i] = TaskBody(i, steps); };
        if (!task.Spawn(body)) body();
      }
    }));
    Check(state, tasks->ExecuteParallel().ran == count + 1);
  });
  state.counters["checksum"] = results.Checksum();
}

// Each task waits for the one before the last: two chains side by side.
void BM_TasksInChains(benchmark::State& state) {
  const auto count = static_cast<std::uint64_t>(state.range(1));
  Tasks tasks(count);
  TaskResults results(count);
  MeasureRounds(state, count, "ns_per_task", [&] {
    std::uint64_t* const values = results.values.get();
    TaskId last[2];
    for (std::uint64_t i = 0; i < count; ++i) {
      TaskId& before = last[i % 2];
      before = tasks->Submit([values, i] { values[i] = TaskBody(i, 0); }, {.after = {&before, 1}}).id;
    }
    Check(state, tasks->ExecuteParallel().ran == count);
  });
  state.counters["checksum"] = results.Checksum();
}

// Both threads must come: each waits for the other inside the job, and Run waits for both.
void BM_WaveBarrier(benchmark::State& state) {
  std::byte memory[1 << 14];
  stadial::arenas::Arena arena("bench", memory, sizeof(memory));
  const WorkerThreadsPtr workers = WorkerThreads::Create(arena, {.workerCount = kTaskBenchThreads}).Value();
  Rendezvous both;
  MeasureRounds(state, 1, "ns_per_wave", [&] {
    workers->Run([](void* data, std::uint32_t) noexcept { static_cast<Rendezvous*>(data)->Meet(); }, &both);
  });
}

void BM_WaveOfTwoChunks(benchmark::State& state) {
  std::byte memory[1 << 14];
  stadial::arenas::Arena arena("bench", memory, sizeof(memory));
  const WorkerThreadsPtr workers = WorkerThreads::Create(arena, {.workerCount = kTaskBenchThreads}).Value();
  TaskResults results(kTaskBenchThreads * 8);
  MeasureRounds(state, 1, "ns_per_wave", [&] {
    ParallelFor(*workers, kTaskBenchThreads, 1,
                [&](const TaskChunk& chunk) { ++results.values[chunk.index * 8]; });
  });
  Check(state, results.values[0] == results.values[8]);
}

// A wave of the task system: two tasks, submitted, run and waited for.
void BM_WaveOfTwoTasks(benchmark::State& state) {
  Tasks tasks(16);
  TaskResults results(kTaskBenchThreads * 8);
  MeasureRounds(state, 1, "ns_per_wave", [&] {
    std::uint64_t* const values = results.values.get();
    for (int i = 0; i < kTaskBenchThreads; ++i)
      static_cast<void>(tasks->Submit([values, i] { ++values[i * 8]; }));
    tasks->ExecuteParallel();
  });
  Check(state, results.values[0] == results.values[8]);
}

BENCHMARK(BM_Tasks)->Apply(TaskArguments)->Apply(TaskCurveArguments);
BENCHMARK(BM_TasksSpawned)->Apply(TaskArguments)->Apply(TaskCurveArguments);
BENCHMARK(BM_TasksInChains)->Apply(TaskCurveArguments);
BENCHMARK(BM_WaveBarrier)->UseManualTime();
BENCHMARK(BM_WaveOfTwoChunks)->UseManualTime();
BENCHMARK(BM_WaveOfTwoTasks)->UseManualTime();

}  // namespace

BENCHMARK_MAIN();
