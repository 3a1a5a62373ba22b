// What the runtime itself costs a frame: Begin and End with nothing between, the gate at trap, counters and
// audit on; with the kernel witness and without; and with a gap between frames, in which the fault count must
// be read again.
#include <benchmark/benchmark.h>

#include "stadial/runtime/runtime.h"

namespace {

using stadial::runtime::FrameContext;
using stadial::runtime::NowNs;
using stadial::runtime::Runtime;
using stadial::runtime::RuntimeOptions;
using stadial::runtime::RuntimePtr;

void RunEmptyFrames(benchmark::State& state, const RuntimeOptions& options, std::uint64_t gapNs) {
  const RuntimePtr runtime = Runtime::Create(options).Value();
  if (!runtime->SealSetup()) state.SkipWithError("SealSetup failed");
  for (auto _ : state) {
    if (gapNs != 0) {
      const std::uint64_t startNs = NowNs();
      while (NowNs() - startNs < gapNs) {
      }
    }
    FrameContext* const frame = runtime->Frames().Begin().Value();
    runtime->Frames().End(frame->completionValue);
  }
  const auto& audit = runtime->Audit();
  state.counters["p50_ns"] = audit.OverheadTimes().PercentileNs(0.5);
  state.counters["p99_ns"] = audit.OverheadTimes().PercentileNs(0.99);
  state.counters["checksum"] =
      static_cast<double>(audit.Steady().heapAllocations + audit.Steady().vmSyscalls);
}

void BM_EmptyFrame(benchmark::State& state) { RunEmptyFrames(state, {}, 0); }
void BM_EmptyFrameNoWitness(benchmark::State& state) { RunEmptyFrames(state, {.kernelWitness = false}, 0); }
void BM_EmptyFrameAfterGap(benchmark::State& state) { RunEmptyFrames(state, {}, 2000); }
// Cost per frame must not grow with frames in flight or lanes that nobody used.
void BM_EmptyFrameInFlight(benchmark::State& state) {
  RunEmptyFrames(state, {.framesInFlight = static_cast<std::uint32_t>(state.range(0))}, 0);
}

BENCHMARK(BM_EmptyFrame);
BENCHMARK(BM_EmptyFrameNoWitness);
BENCHMARK(BM_EmptyFrameAfterGap);
BENCHMARK(BM_EmptyFrameInFlight)->Arg(1)->Arg(2)->Arg(8);

}  // namespace

BENCHMARK_MAIN();
