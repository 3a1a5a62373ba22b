// What several threads ask of memory, in two forms:
//
//   own       each thread takes batches of blocks for itself, writes them and gives them back;
//   handover  one thread takes a frame's blocks and writes them, another reads them and gives them back,
//             while the first is at the next frame already.
//
// Wall time over all blocks of all threads: perfect scaling on two threads is half of one thread's figure.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "crew.h"
#include "process_probe.h"

namespace stadial::bench {

inline constexpr std::size_t kThreadBlockBytes = 64;
inline constexpr std::size_t kThreadBlocks = 10'000;  // in a batch
inline constexpr std::size_t kThreadBatches = 32;     // of each thread between two looks at the clock
inline constexpr std::size_t kThreadsMax = 2;
inline constexpr std::size_t kHandoverFrames = 32;

// One for each thread, on cache lines of its own. take() -> a block of kThreadBlockBytes; endBatch(blocks).
template <class Take, class EndBatch>
std::uint64_t RunThreadBatches(std::uint64_t** blocks, Take&& take, EndBatch&& endBatch) {
  std::uint64_t sum = 0;
  for (std::size_t batch = 0; batch < kThreadBatches; ++batch) {
    for (std::size_t index = 0; index < kThreadBlocks; ++index) {
      auto* const block = static_cast<std::uint64_t*>(static_cast<void*>(take()));
      *block = index;
      blocks[index] = block;
    }
    benchmark::DoNotOptimize(blocks);
    benchmark::ClobberMemory();
    sum += *blocks[batch];
    endBatch(blocks);
  }
  return sum;
}

inline void SetThreadCounters(benchmark::State& state, std::size_t operations, const LeastTime& least,
                              std::uint64_t checksum) {
  state.counters["checksum"] = static_cast<double>(checksum % 1'000'000'007);
  state.counters["ns_per_op"] = benchmark::Counter(
      static_cast<double>(operations) * 1e-9,
      benchmark::Counter::Flags(benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert));
  state.counters["least_ns_per_op"] = least.Nanoseconds(operations);
  state.SetLabel(ModuleOfMalloc());
}

// perThread(worker, blocks) -> checksum: RunThreadBatches with what that worker takes from.
template <class PerThread>
void RunOwnThreads(benchmark::State& state, PerThread&& perThread) {
  const auto threads = static_cast<std::size_t>(state.range(0));
  Crew crew(threads);
  struct alignas(64) Own {
    std::vector<std::uint64_t*> blocks = std::vector<std::uint64_t*>(kThreadBlocks);
    std::uint64_t sum = 0;
  };
  std::vector<Own> own(threads);
  const auto work = [&](std::size_t worker) {
    own[worker].sum = perThread(worker, own[worker].blocks.data());
  };
  crew.Run(work);
  LeastTime least;
  for ([[maybe_unused]] auto _ : state) state.SetIterationTime(least.Add(crew.Run(work)));
  std::uint64_t checksum = 0;
  for (const Own& one : own) checksum += one.sum;
  SetThreadCounters(state, threads * kThreadBatches * kThreadBlocks, least, checksum);
}

// Peer: BeginFrame(slot) and Take() on the producing thread, GiveBack(block) on the consuming one. A slot, 0
// or 1, begins again only when the consumer has read all of it.
template <class Peer>
void RunHandover(benchmark::State& state, Peer& peer) {
  Crew crew(2);
  struct alignas(64) Slot {
    std::vector<std::uint64_t*> blocks = std::vector<std::uint64_t*>(kThreadBlocks);
    std::atomic<bool> isFull{false};
  };
  Slot slots[2];
  std::uint64_t checksum = 0;
  const auto produce = [&] {
    for (std::size_t frame = 0; frame < kHandoverFrames; ++frame) {
      Slot& slot = slots[frame % 2];
      while (slot.isFull.load(std::memory_order_acquire)) Crew::Relax();
      peer.BeginFrame(frame % 2);
      for (std::size_t index = 0; index < kThreadBlocks; ++index) {
        auto* const block = static_cast<std::uint64_t*>(peer.Take());
        *block = index + frame;
        slot.blocks[index] = block;
      }
      slot.isFull.store(true, std::memory_order_release);
    }
  };
  const auto consume = [&] {
    std::uint64_t sum = 0;
    for (std::size_t frame = 0; frame < kHandoverFrames; ++frame) {
      Slot& slot = slots[frame % 2];
      while (!slot.isFull.load(std::memory_order_acquire)) Crew::Relax();
      for (std::size_t index = 0; index < kThreadBlocks; ++index) {
        sum += *slot.blocks[index];
        peer.GiveBack(slot.blocks[index]);
      }
      slot.isFull.store(false, std::memory_order_release);
    }
    checksum = sum;
  };
  const auto work = [&](std::size_t worker) { worker == 0 ? consume() : produce(); };
  crew.Run(work);
  LeastTime least;
  for ([[maybe_unused]] auto _ : state) state.SetIterationTime(least.Add(crew.Run(work)));
  constexpr std::uint64_t kExpected = kHandoverFrames * (kThreadBlocks * (kThreadBlocks - 1) / 2) +
                                      kThreadBlocks * (kHandoverFrames * (kHandoverFrames - 1) / 2);
  if (checksum != kExpected) state.SkipWithError("a block arrived with something else than was written");
  SetThreadCounters(state, kHandoverFrames * kThreadBlocks, least, checksum);
}

// "Threads_own/arena/2/manual_time".
template <class Run>
void RegisterOwnThreads(const char* peer, Run run) {
  auto* const registered = benchmark::RegisterBenchmark((std::string("Threads_own/") + peer).c_str(), run);
  for (std::size_t threads = 1; threads <= kThreadsMax; ++threads) {
    registered->Arg(static_cast<std::int64_t>(threads));
  }
  registered->UseManualTime();
}
// "Threads_handover/arena/manual_time".
template <class Run>
void RegisterHandover(const char* peer, Run run) {
  benchmark::RegisterBenchmark((std::string("Threads_handover/") + peer).c_str(), run)->UseManualTime();
}

}  // namespace stadial::bench
