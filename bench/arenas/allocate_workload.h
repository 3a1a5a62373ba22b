// The workload of every allocator here: a batch of kBlocks blocks of one size, each block's first word
// written and its address kept, then everything given back. What differs is only how a block is taken and how
// the batch ends. A peer that replaces malloc gets a program of its own, so this header knows no allocator.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace stadial::bench {

inline constexpr std::size_t kBlocks = 10'000;

// take() -> an address; giveBack(blocks) ends the batch. Reports ns_per_op (one block taken and given back,
// its share of the batch) and the checksum of the words written.
template <class Take, class GiveBack>
void RunAllocateBatches(benchmark::State& state, Take&& take, GiveBack&& giveBack) {
  // Typed, as a program's own pointers are: a store through void* could be one to the allocator's cursor.
  const std::unique_ptr<std::uint64_t*[]> blocks(new std::uint64_t*[kBlocks]);
  const auto batch = [&] {
    for (std::size_t index = 0; index < kBlocks; ++index) {
      auto* const block = static_cast<std::uint64_t*>(static_cast<void*>(take()));
      *block = index;
      blocks[index] = block;
    }
    benchmark::DoNotOptimize(blocks.get());
    benchmark::ClobberMemory();
  };
  for (int warmup = 0; warmup < 10; ++warmup) {
    batch();
    giveBack(blocks.get());
  }
  for ([[maybe_unused]] auto _ : state) {
    batch();
    giveBack(blocks.get());
  }
  batch();
  std::uint64_t checksum = 0;
  for (std::size_t index = 0; index < kBlocks; ++index) checksum = checksum * 31 + *blocks[index];
  giveBack(blocks.get());
  state.counters["checksum"] = static_cast<double>(checksum % 1'000'000'007);
  state.counters["ns_per_op"] = benchmark::Counter(
      static_cast<double>(kBlocks) * 1e-9,
      benchmark::Counter::Flags(benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert));
}

}  // namespace stadial::bench
