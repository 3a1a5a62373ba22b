// The same tasks, waves and checksums for every task system that is measured. Times are those of whole
// rounds, the submitting included, of the median round; threads are always kTaskBenchThreads, the calling one
// among them.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

inline constexpr int kTaskBenchThreads = 2;

// About `steps` nanoseconds at 4 GHz: a chain of multiplications that no compiler shortens.
[[gnu::noinline]] inline std::uint64_t TaskBody(std::uint64_t start, std::uint64_t steps) {
  std::uint64_t value = start;
  for (std::uint64_t i = 0; i < steps; ++i) {
    value = value * 6364136223846793005u + 1442695040888963407u;
    asm volatile("" : "+r"(value));
  }
  return value;
}

// Where task i leaves its result.
struct TaskResults {
  explicit TaskResults(std::uint64_t number)
      : values(std::make_unique<std::uint64_t[]>(number)), count(number) {}
  std::unique_ptr<std::uint64_t[]> values;
  std::uint64_t count;
  // Of a round; the same in every program that did every task once.
  double Checksum() const {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < count; ++i) sum += values[i];
    return static_cast<double>(sum & 0xFFFFFF);
  }
};

// Where kTaskBenchThreads threads wait for each other, round after round.
class Rendezvous {
 public:
  void Meet() {
    const std::uint64_t mine = arrived_.fetch_add(1, std::memory_order_acq_rel);
    const std::uint64_t all = (mine / kTaskBenchThreads + 1) * kTaskBenchThreads;
    while (arrived_.load(std::memory_order_acquire) < all) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
    }
  }

 private:
  std::atomic<std::uint64_t> arrived_{0};
};

// Calls round() per iteration and reports the median, per item.
template <class Round>
void MeasureRounds(benchmark::State& state, std::uint64_t items, const char* counter, Round&& round) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  times.reserve(1 << 20);
  for (int i = 0; i < 3; ++i) round();
  for (auto _ : state) {
    const auto start = Clock::now();
    round();
    const double ns = std::chrono::duration<double, std::nano>(Clock::now() - start).count();
    state.SetIterationTime(ns * 1e-9);
    if (times.size() < times.capacity()) times.push_back(ns);
  }
  if (times.empty()) return;
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  state.counters[counter] = *middle / static_cast<double>(items);
}

// Bodies of 100 ns to 10 us, fewer of the long ones, and empty bodies in number.
inline void TaskArguments(benchmark::internal::Benchmark* bench) {
  bench->Args({100, 10'000})->Args({1'000, 4'000})->Args({10'000, 1'000})->UseManualTime();
}
inline void TaskCurveArguments(benchmark::internal::Benchmark* bench) {
  bench->Args({0, 1'000})->Args({0, 10'000})->Args({0, 100'000})->Args({0, 1'000'000})->UseManualTime();
}
