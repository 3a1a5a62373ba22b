// What recording costs with the driver's host memory served by our callbacks, against the driver's own
// allocations: range(0) times a barrier and a fill into one command buffer, begun and ended.
#include <benchmark/benchmark.h>

#include "bench_device.h"
#include "stadial/gpu/commands.h"

namespace {

using namespace stadial;  // NOLINT(google-build-using-namespace)

void Record(benchmark::State& state, bool callbacks) {
  std::string error;
  bench::BenchDevice bench = bench::BenchDevice::Open(callbacks, error);
  if (!bench) return state.SkipWithError(error.c_str());
  auto commands = gpu::CommandBuffers::Create(*bench.device, "record", 1).Value();
  const gpu::Buffer buffer = bench.memory->CreateBuffer({.name = "target", .sizeBytes = 4096}).Value();
  const auto pairs = static_cast<std::uint32_t>(state.range(0));
  for (auto _ : state) {
    gpu::Recorder recorder = commands->Begin(0, true).Value();
    for (std::uint32_t i = 0; i < pairs; ++i) {
      recorder.PassBarrier();
      recorder.FillBuffer(buffer, i);
    }
    if (!commands->End(0)) return state.SkipWithError("recording failed");
  }
  const gpu::HostMemoryStats stats = bench.instance->Memory().Stats();
  state.counters["us_per_buffer"] =
      benchmark::Counter(1e-6, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.counters["callbacks"] =
      static_cast<double>(stats.callbackCalls) / static_cast<double>(state.iterations());
  state.counters["checksum"] = static_cast<double>(pairs);
}

void BM_RecordWithCallbacks(benchmark::State& state) { Record(state, true); }
void BM_RecordDriversOwn(benchmark::State& state) { Record(state, false); }

BENCHMARK(BM_RecordWithCallbacks)->Arg(10)->Arg(1000);
BENCHMARK(BM_RecordDriversOwn)->Arg(10)->Arg(1000);

}  // namespace

BENCHMARK_MAIN();
