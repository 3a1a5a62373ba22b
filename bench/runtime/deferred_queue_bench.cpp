// DeferredQueue against what engines usually have: a std::deque of (value, std::function). One round enqueues
// `count` destructions and retires them; "ns_per_record", of the median round, is what rows.json compares.
// The same objects, the same destroy function behind a pointer, the peer's deque and closures at their best:
// two words captured, which std::function keeps inline.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

#include "stadial/arenas/arena.h"
#include "stadial/runtime/clock.h"
#include "stadial/runtime/deferred_queue.h"
#include "stadial/runtime/time_histogram.h"

namespace {

using stadial::runtime::DeferredQueue;
using stadial::runtime::MakeDeferredRecord;
using stadial::runtime::NowNs;
using stadial::runtime::TimeHistogram;

struct Device {
  std::uint64_t sum = 0;
};

// As opaque as a driver's function.
[[gnu::noinline]] void Destroy(Device* device, std::uint64_t handle) noexcept { device->sum += handle; }

template <class Enqueue, class Retire>
void Measure(benchmark::State& state, Device& device, Enqueue&& enqueue, Retire&& retire) {
  const auto count = static_cast<std::uint64_t>(state.range(0));
  const auto times = std::make_unique<TimeHistogram>();
  std::uint64_t value = 0;
  for (auto _ : state) {
    ++value;
    const std::uint64_t startNs = NowNs();
    for (std::uint64_t i = 0; i < count; ++i) enqueue(i & 7, value);
    retire(value);
    const std::uint64_t ns = NowNs() - startNs;
    times->Record(ns);
    state.SetIterationTime(static_cast<double>(ns) * 1e-9);
  }
  if (times->Count() == 0) return;
  state.counters["ns_per_record"] = times->PercentileNs(0.5) / static_cast<double>(count);
  // Every round destroys the same handles, so the same program prints the same checksum.
  state.counters["checksum"] = static_cast<double>(device.sum) / static_cast<double>(times->Count());
}

void BM_DeferredStadial(benchmark::State& state) {
  const auto capacity = static_cast<std::size_t>(state.range(0));
  const std::size_t bytes = DeferredQueue::CalculateBytes(capacity) + 64;
  // Zeroed, so that the pages are there before the first round.
  const auto memory = std::make_unique<std::byte[]>(bytes);
  stadial::arenas::Arena arena("bench", memory.get(), bytes);
  DeferredQueue queue(arena, {.name = "bench", .capacity = capacity});
  Device device;
  bool accepted = true;
  Measure(
      state, device,
      [&](std::uint64_t handle, std::uint64_t value) {
        accepted = queue.Enqueue(MakeDeferredRecord<&Destroy>(&device, handle, value)) && accepted;
      },
      [&](std::uint64_t value) { queue.Retire(value); });
  if (!accepted) state.SkipWithError("a record was rejected");
}

void BM_DeferredFunctions(benchmark::State& state) {
  std::deque<std::pair<std::uint64_t, std::function<void()>>> queue;
  Device device;
  Device* const owner = &device;
  Measure(
      state, device,
      [&](std::uint64_t handle, std::uint64_t value) {
        queue.emplace_back(value, [owner, handle] { Destroy(owner, handle); });
      },
      [&](std::uint64_t value) {
        while (!queue.empty() && queue.front().first <= value) {
          queue.front().second();
          queue.pop_front();
        }
      });
}

BENCHMARK(BM_DeferredStadial)->Arg(64)->Arg(1000)->Arg(100'000)->Arg(1'000'000)->UseManualTime();
BENCHMARK(BM_DeferredFunctions)->Arg(1000)->Arg(1'000'000)->UseManualTime();

}  // namespace

BENCHMARK_MAIN();
