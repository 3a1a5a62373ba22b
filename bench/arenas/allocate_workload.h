// The workload of every allocator here: a batch of blocks of one size, each block's first word written and
// its address kept, then everything given back. What differs is only how a block is taken and how the batch
// ends. A peer that replaces malloc gets a program of its own, so this header knows no allocator.
#pragma once

#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace stadial::bench {

inline constexpr std::size_t kBlocks = 10'000;

// Minor faults of this thread so far. Costs a system call (about 0.2 us).
inline long ThreadFaults() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt;
}

// open() -> what takes the blocks of one batch, an object of its own or a reference: called, it gives an
// address. giveBack(blocks) ends a batch of `blockCount` blocks. Reports ns_per_op (one block taken and given
// back, its share of the batch), the checksum of the words written, and the page faults of a batch.
template <class Open, class GiveBack>
void RunOpenedBatches(benchmark::State& state, std::size_t blockCount, Open&& open, GiveBack&& giveBack) {
  // Typed, as a program's own pointers are: a store through void* could be one to the allocator's cursor.
  const std::unique_ptr<std::uint64_t*[]> blocks(new std::uint64_t*[blockCount]);
  const auto batch = [&] {
    std::uint64_t** const kept = blocks.get();
    auto&& take = open();
    for (std::size_t index = 0; index < blockCount; ++index) {
      auto* const block = static_cast<std::uint64_t*>(static_cast<void*>(take()));
      *block = index;
      kept[index] = block;
    }
    benchmark::DoNotOptimize(kept);
    benchmark::ClobberMemory();
  };
  // Small batches need several rounds until caches and heaps are at rest; the first touches every page.
  const std::size_t warmups = std::clamp<std::size_t>(100'000 / blockCount, 2, 10);
  for (std::size_t warmup = 0; warmup < warmups; ++warmup) {
    batch();
    giveBack(blocks.get());
  }
  const long faultsBefore = ThreadFaults();
  for ([[maybe_unused]] auto _ : state) {
    batch();
    giveBack(blocks.get());
  }
  const long faults = ThreadFaults() - faultsBefore;
  batch();
  std::uint64_t checksum = 0;
  for (std::size_t index = 0; index < blockCount; ++index) checksum = checksum * 31 + *blocks[index];
  giveBack(blocks.get());
  state.counters["checksum"] = static_cast<double>(checksum % 1'000'000'007);
  state.counters["faults_per_batch"] =
      benchmark::Counter(static_cast<double>(faults), benchmark::Counter::kAvgIterations);
  state.counters["ns_per_op"] = benchmark::Counter(
      static_cast<double>(blockCount) * 1e-9,
      benchmark::Counter::Flags(benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert));
}

// take() -> an address.
template <class Take, class GiveBack>
void RunAllocateBatches(benchmark::State& state, std::size_t blockCount, Take&& take, GiveBack&& giveBack) {
  RunOpenedBatches(
      state, blockCount, [&]() -> auto& { return take; }, giveBack);
}

template <class Take, class GiveBack>
void RunAllocateBatches(benchmark::State& state, Take&& take, GiveBack&& giveBack) {
  RunAllocateBatches(state, kBlocks, take, giveBack);
}

}  // namespace stadial::bench
