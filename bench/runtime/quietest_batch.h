// Operations of a few nanoseconds, timed in batches of which the quietest one counts.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>

#include "stadial/runtime/clock.h"

namespace stadial::bench {

inline constexpr int kBatch = 1000;

// Sets "ns_per_op".
template <class Operation>
void RunBatches(benchmark::State& state, Operation operation) {
  std::uint64_t quietestNs = ~std::uint64_t{0};
  for ([[maybe_unused]] auto _ : state) {
    const std::uint64_t startNs = runtime::NowNs();
    for (int index = 0; index < kBatch; ++index) operation();
    quietestNs = std::min(quietestNs, runtime::NowNs() - startNs);
  }
  state.counters["ns_per_op"] = static_cast<double>(quietestNs) / kBatch;
}

}  // namespace stadial::bench
