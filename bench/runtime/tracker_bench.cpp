// What a tracker costs a frame: the snapshots and differences at its boundaries and the statistics by
// component, with 10,000 live records; and 10,000 blocks recorded and freed in one frame, which is the work
// of a program that allocates in its frames. The slowest cost of a frame that allocates nothing is the first.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <memory>

#include "stadial/runtime/allocation_tracker.h"
#include "stadial/runtime/clock.h"

namespace {

using namespace stadial::runtime;

constexpr std::uintptr_t kRecords = 10'000;

void* AddressOf(std::uintptr_t index) { return reinterpret_cast<void*>((index + 1) * 64); }

template <class Frame>
void RunFrames(benchmark::State& state, std::uintptr_t live, Frame frame) {
  const auto tracker = std::make_unique<AllocationTracker>();
  tracker->StartTracking();
  for (std::uintptr_t index = 0; index < live; ++index)
    tracker->Record(AddressOf(index), 32 + index % 64, "live");
  std::uint64_t quietestNs = ~std::uint64_t{0};
  std::int64_t checksum = 0;
  for (auto _ : state) {
    const std::uint64_t startNs = NowNs();
    checksum = frame(*tracker);
    quietestNs = std::min(quietestNs, NowNs() - startNs);
  }
  state.counters["ns_per_frame"] = static_cast<double>(quietestNs);
  state.counters["checksum"] = static_cast<double>(checksum);
}

void BM_TrackedFrame(benchmark::State& state) {
  RunFrames(state, static_cast<std::uintptr_t>(state.range(0)), [](AllocationTracker& tracker) {
    const AllocationSnapshot begin = tracker.Snapshot();
    const AllocationTracker::Stats stats = tracker.GetStats();
    const SnapshotDelta delta = tracker.Snapshot() - begin;
    return delta.liveCount + static_cast<std::int64_t>(stats.liveCount);
  });
}

void BM_RecordInAFrame(benchmark::State& state) {
  RunFrames(state, 0, [](AllocationTracker& tracker) {
    for (std::uintptr_t index = 0; index < kRecords; ++index) tracker.Record(AddressOf(index), 64, "frame");
    for (std::uintptr_t index = 0; index < kRecords; ++index) tracker.RecordFree(AddressOf(index));
    return static_cast<std::int64_t>(tracker.GetAllocations().liveCount);
  });
}

BENCHMARK(BM_TrackedFrame)->Arg(100)->Arg(kRecords);
BENCHMARK(BM_RecordInAFrame);

}  // namespace

BENCHMARK_MAIN();
