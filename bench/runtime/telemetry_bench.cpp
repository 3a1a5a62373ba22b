// What telemetry and hitch detection cost a frame: publishing a record as a runtime does it, with all its
// tables; the whole empty frame beside it; a copy of a record's bytes as the floor; and the hitch detector on
// frames that are all long enough to be looked at. Batches of 1,000, the quietest one counts.
#include <benchmark/benchmark.h>

#include <cstring>

#include "quietest_batch.h"
#include "stadial/runtime/runtime.h"
#include "stadial/runtime/telemetry_reader.h"

namespace {

using namespace stadial::runtime;
using stadial::bench::RunBatches;

RuntimePtr Publishing() {
  RuntimePtr runtime = Runtime::Create({.name = "telemetry_bench", .telemetry = {.publish = true}}).Value();
  runtime->SealSetup().HasValue();
  return runtime;
}

void BM_Publish(benchmark::State& state) {
  const RuntimePtr runtime = Publishing();
  Telemetry& telemetry = *runtime->GetTelemetry();
  FrameSample sample;
  RunBatches(state, [&] {
    ++sample.frameIndex;
    telemetry.Publish(sample);
  });
  // The last record as another process would see it.
  TelemetryReader reader = TelemetryReader::OpenSegment(telemetry.SegmentName()).Value();
  TelemetryRecord record;
  reader.Latest(record).HasValue();
  state.counters["checksum"] = static_cast<double>(record.frameIndex - sample.frameIndex);
}

// What no publisher of 1 KiB can be faster than.
void BM_CopyRecord(benchmark::State& state) {
  static TelemetryRecord ring[1024];
  TelemetryRecord record;
  std::uint64_t next = 0;
  RunBatches(state, [&] {
    benchmark::DoNotOptimize(record);
    std::memcpy(&ring[next++ % 1024], &record, sizeof record);
    benchmark::ClobberMemory();
  });
  state.counters["checksum"] = 0;
}

void BM_EmptyFrameTelemetry(benchmark::State& state) {
  const RuntimePtr runtime = Publishing();
  RunBatches(state, [&] {
    FrameContext* const frame = runtime->Frames().Begin().Value();
    runtime->Frames().End(frame->completionValue);
  });
  state.counters["checksum"] = static_cast<double>(runtime->Audit().Steady().heapAllocations);
}

void BM_HitchOfLongFrames(benchmark::State& state) {
  HitchDetector detector;
  std::uint64_t frame = 0;
  RunBatches(state, [&] {
    ++frame;
    benchmark::DoNotOptimize(detector.Judge({.frameIndex = frame, .frameNs = 16'000'000 + frame % 1024}));
  });
  state.counters["checksum"] = static_cast<double>(detector.Count());
}

BENCHMARK(BM_Publish);
BENCHMARK(BM_CopyRecord);
BENCHMARK(BM_EmptyFrameTelemetry);
BENCHMARK(BM_HitchOfLongFrames);

}  // namespace

BENCHMARK_MAIN();
