// oneTBB's task_group and parallel_for on the same work.
#include <benchmark/benchmark.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/partitioner.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>

#include "task_workload.h"

namespace {

void BM_Tasks(benchmark::State& state) {
  const auto steps = static_cast<std::uint64_t>(state.range(0));
  const auto count = static_cast<std::uint64_t>(state.range(1));
  tbb::task_arena arena(kTaskBenchThreads);
  tbb::task_group group;
  TaskResults results(count);
  MeasureRounds(state, count, "ns_per_task", [&] {
    std::uint64_t* const values = results.values.get();
    arena.execute([&] {
      for (std::uint64_t i = 0; i < count; ++i)
        group.run([values, i, steps] { values[i] = TaskBody(i, steps); });
      group.wait();
    });
  });
  state.counters["checksum"] = results.Checksum();
}

void BM_WaveOfTwoChunks(benchmark::State& state) {
  tbb::task_arena arena(kTaskBenchThreads);
  TaskResults results(kTaskBenchThreads * 8);
  MeasureRounds(state, 1, "ns_per_wave", [&] {
    arena.execute([&] {
      tbb::parallel_for(
          0, kTaskBenchThreads, [&](int i) { ++results.values[static_cast<std::size_t>(i) * 8]; },
          tbb::simple_partitioner());
    });
  });
}

BENCHMARK(BM_Tasks)->Apply(TaskArguments)->Apply(TaskCurveArguments);
BENCHMARK(BM_WaveOfTwoChunks)->UseManualTime();

}  // namespace

int main(int argc, char** argv) {
  // The library's default is one thread per core, whatever an arena asks for.
  const tbb::global_control control(tbb::global_control::max_allowed_parallelism, kTaskBenchThreads);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
