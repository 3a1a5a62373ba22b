// Budget against the form that it usually has: a counter, a flag and a mutex. One pair is a reservation and
// its release. On two threads both sides fight for one cache line.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <mutex>

#include "stadial/runtime/budget.h"

namespace {

constexpr std::uint64_t kSoft = std::uint64_t{4} << 30;
constexpr std::uint64_t kHard = std::uint64_t{7} << 30;

class LockedBudget {
 public:
  bool TryReserve(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    if (used_ + bytes > kHard) return false;
    used_ += bytes;
    if (used_ > peak_) peak_ = used_;
    if (used_ >= kSoft / 100 * 85) isThrottled_ = true;
    return true;
  }
  void Release(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    used_ -= bytes;
    if (used_ <= kSoft / 100 * 75) isThrottled_ = false;
  }

 private:
  std::mutex mutex_;
  std::uint64_t used_ = 0;
  std::uint64_t peak_ = 0;
  bool isThrottled_ = false;
};

stadial::runtime::Budget ours("bench", {.softBytes = kSoft, .hardBytes = kHard});
LockedBudget locked;

template <class Budget>
void Pairs(benchmark::State& state, Budget& budget) {
  std::uint64_t granted = 0;
  std::uint64_t bytes = 0;
  for (auto _ : state) {
    bytes = (bytes + 4096) & 0xFFFFF;
    if (!budget.TryReserve(bytes)) continue;
    ++granted;
    budget.Release(bytes);
  }
  if (granted != static_cast<std::uint64_t>(state.iterations())) state.SkipWithError("refused");
  state.counters["checksum"] = benchmark::Counter(granted == 0 ? 0.0 : 1.0, benchmark::Counter::kAvgThreads);
}

void BM_BudgetPair(benchmark::State& state) { Pairs(state, ours); }
void BM_LockedPair(benchmark::State& state) { Pairs(state, locked); }
BENCHMARK(BM_BudgetPair)->Threads(1)->Threads(2)->UseRealTime();
BENCHMARK(BM_LockedPair)->Threads(1)->Threads(2)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
