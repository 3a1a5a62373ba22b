// Where a heap is at home, and an arena is not: blocks of long life that go one by one in any order, and one
// large block that grows and is hardly touched.
//
//   churn  100,000 live blocks of log-normal size; a step gives a random one back and takes another one of
//          another size;
//   huge   a block grows by doubling from 1 MiB to 64 MiB; a word is written at the start of each new half.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <random>
#include <string>
#include <vector>

#include "process_probe.h"

namespace stadial::bench {

inline constexpr std::size_t kChurnBlocks = 100'000;
inline constexpr std::size_t kChurnSteps = 1 << 16;  // a power of two: the steps come round again
inline constexpr std::size_t kChurnBytesMax = 8192;
inline constexpr std::size_t kHugeBytesFirst = std::size_t{1} << 20;
inline constexpr std::size_t kHugeBytesLast = std::size_t{64} << 20;
// Of what is live in the churn: enough for any allocator here, waste included.
inline constexpr std::size_t kChurnMemoryBytes = std::size_t{64} << 20;

struct ChurnStep {
  std::uint32_t block;
  std::uint32_t bytes;
};

// The standard's distributions differ between libraries: these do not.
inline std::vector<ChurnStep> MakeChurnSteps(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto uniform = [&] { return (static_cast<double>(random() >> 11) + 1.0) * 0x1p-53; };
  std::vector<ChurnStep> steps(count);
  for (ChurnStep& step : steps) {
    const double radius = std::sqrt(-2.0 * std::log(uniform()));
    const double normal = radius * std::cos(2.0 * std::numbers::pi * uniform());
    step.bytes = static_cast<std::uint32_t>(
        std::clamp(64.0 * std::exp(normal), 16.0, static_cast<double>(kChurnBytesMax)));
    step.block = static_cast<std::uint32_t>(random() % kChurnBlocks);
  }
  return steps;
}

// Peer: Take(bytes), GiveBack(block).
template <class Peer>
void RunChurn(benchmark::State& state, Peer& peer) {
  const std::vector<ChurnStep> first = MakeChurnSteps(kChurnBlocks, 1);
  const std::vector<ChurnStep> steps = MakeChurnSteps(kChurnSteps, 2);
  std::vector<std::uint64_t*> blocks(kChurnBlocks);
  for (std::size_t index = 0; index < kChurnBlocks; ++index) {
    blocks[index] = static_cast<std::uint64_t*>(peer.Take(first[index].bytes));
    *blocks[index] = index;
  }
  std::size_t next = 0;
  const auto step = [&] {
    const ChurnStep& now = steps[next++ % kChurnSteps];
    const std::uint64_t kept = *blocks[now.block];
    peer.GiveBack(blocks[now.block]);
    auto* const block = static_cast<std::uint64_t*>(peer.Take(now.bytes));
    *block = kept;
    blocks[now.block] = block;
  };
  for (std::size_t warmup = 0; warmup < 4 * kChurnSteps; ++warmup) step();
  for ([[maybe_unused]] auto _ : state) step();
  std::uint64_t checksum = 0;
  for (std::uint64_t* const block : blocks) {
    checksum += *block;
    peer.GiveBack(block);
  }
  if (checksum != kChurnBlocks * (kChurnBlocks - 1) / 2) {
    state.SkipWithError("a block read back something else than was written");
  }
  state.counters["checksum"] = static_cast<double>(checksum % 1'000'000'007);
  state.SetLabel(ModuleOfMalloc());
}

// Peer: Take(bytes), Grow(block, oldBytes, newBytes), GiveBack(block).
template <class Peer>
void RunHuge(benchmark::State& state, Peer& peer) {
  std::uint64_t checksum = 0;
  for ([[maybe_unused]] auto _ : state) {
    auto* block = static_cast<std::uint64_t*>(peer.Take(kHugeBytesFirst));
    *block = 1;
    for (std::size_t bytes = kHugeBytesFirst; bytes < kHugeBytesLast; bytes *= 2) {
      block = static_cast<std::uint64_t*>(peer.Grow(block, bytes, 2 * bytes));
      block[bytes / sizeof(std::uint64_t)] = *block;
    }
    checksum = block[kHugeBytesLast / 2 / sizeof(std::uint64_t)];
    peer.GiveBack(block);
  }
  state.counters["checksum"] = static_cast<double>(checksum);
  state.SetLabel(ModuleOfMalloc());
}

// "Churn/recycler", "Huge/arena".
template <class Run>
void RegisterChurn(const char* peer, Run run) {
  benchmark::RegisterBenchmark((std::string("Churn/") + peer).c_str(), run);
}
template <class Run>
void RegisterHuge(const char* peer, Run run) {
  benchmark::RegisterBenchmark((std::string("Huge/") + peer).c_str(), run)->Unit(benchmark::kMicrosecond);
}

}  // namespace stadial::bench
