// OpenMP's tasks and parallel regions, as the compiler's own runtime has them, on the same work.
#include <benchmark/benchmark.h>

#include "task_workload.h"

namespace {

void BM_Tasks(benchmark::State& state) {
  const auto steps = static_cast<std::uint64_t>(state.range(0));
  const auto count = static_cast<std::uint64_t>(state.range(1));
  TaskResults results(count);
  MeasureRounds(state, count, "ns_per_task", [&] {
    std::uint64_t* const values = results.values.get();
#pragma omp parallel num_threads(kTaskBenchThreads)
#pragma omp single
    for (std::uint64_t i = 0; i < count; ++i) {
#pragma omp task firstprivate(values, i, steps)
      values[i] = TaskBody(i, steps);
    }
  });
  state.counters["checksum"] = results.Checksum();
}

void BM_WaveBarrier(benchmark::State& state) {
  Rendezvous both;
  MeasureRounds(state, 1, "ns_per_wave", [&] {
#pragma omp parallel num_threads(kTaskBenchThreads)
    both.Meet();
  });
}

void BM_WaveOfTwoChunks(benchmark::State& state) {
  TaskResults results(kTaskBenchThreads * 8);
  MeasureRounds(state, 1, "ns_per_wave", [&] {
    std::uint64_t* const values = results.values.get();
#pragma omp parallel for num_threads(kTaskBenchThreads) schedule(dynamic, 1)
    for (int i = 0; i < kTaskBenchThreads; ++i) ++values[i * 8];
  });
}

BENCHMARK(BM_WaveOfTwoChunks)->UseManualTime();
BENCHMARK(BM_Tasks)->Apply(TaskArguments)->Apply(TaskCurveArguments);
BENCHMARK(BM_WaveBarrier)->UseManualTime();

}  // namespace

BENCHMARK_MAIN();
