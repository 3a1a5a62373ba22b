// Replays a trace against an allocator, on one thread whatever the trace had, and as fast as it goes: only
// memory is measured, not the program that asked for it. The first and last byte of every block are written
// when it begins or grows, and the first is read when it ends, so that blocks cost what their places in
// memory cost.
//
// Peer: Take(step), GiveBack(block, step), Grow(block, step), EndFrame(); and where it can tell, HeldKib():
// the most memory that it needed at once, in KiB, to be seen beside live_kib, what the program itself had at
// once.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "process_probe.h"
#include "trace_file.h"

namespace stadial::bench {

inline void TouchBlock(unsigned char* block, std::size_t bytes, std::uint32_t slot) {
  if (bytes == 0) return;
  block[bytes - 1] = 1;
  block[0] = static_cast<unsigned char>(slot);
}

// Returns the sum of what was read.
template <class Peer>
[[gnu::noinline]] std::uint64_t ReplayOnce(Peer& peer, const ReplayTrace& trace, unsigned char** blocks) {
  std::uint64_t sum = 0;
  for (const ReplayStep& step : trace.steps) {
    unsigned char*& block = blocks[step.slot];
    switch (step.op) {
      case TraceOp::Allocate:
        block = static_cast<unsigned char*>(peer.Take(step));
        TouchBlock(block, step.bytes, step.slot);
        break;
      case TraceOp::Free:
        if (step.oldBytes != 0) sum += *block;
        peer.GiveBack(block, step);
        break;
      case TraceOp::Reallocate:
        block = static_cast<unsigned char*>(peer.Grow(block, step));
        TouchBlock(block, step.bytes, step.slot);
        break;
      case TraceOp::Frame:
        peer.EndFrame();
        break;
    }
  }
  return sum;
}

inline std::uint64_t ExpectedSum(const ReplayTrace& trace) {
  std::uint64_t sum = 0;
  for (const ReplayStep& step : trace.steps) {
    if (step.op == TraceOp::Free && step.oldBytes != 0) sum += step.slot % 256;
  }
  return sum;
}

template <class Peer>
void RunReplay(benchmark::State& state, Peer& peer, const ReplayTrace& trace) {
  std::vector<unsigned char*> blocks(trace.slots);
  std::uint64_t sum = ReplayOnce(peer, trace, blocks.data());
  for ([[maybe_unused]] auto _ : state) sum = ReplayOnce(peer, trace, blocks.data());
  if (sum != ExpectedSum(trace)) state.SkipWithError("a block read back something else than was written");
  const auto operations = static_cast<double>(trace.operations);
  state.counters["ns_per_op"] = benchmark::Counter(
      operations * 1e-9,
      benchmark::Counter::Flags(benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert));
  state.counters["operations"] = operations;
  state.counters["frames"] = static_cast<double>(trace.frames);
  state.counters["of_frame_percent"] = 100.0 * static_cast<double>(trace.operationsOfFrames) / operations;
  state.counters["live_kib"] = static_cast<double>(trace.liveBytesMax) / 1024.0;
  if constexpr (requires { peer.HeldKib(); }) state.counters["held_kib"] = peer.HeldKib();
  state.counters["checksum"] = static_cast<double>(sum % 1'000'000'007);
  state.SetLabel(ModuleOfMalloc());
}

// "Trace_lua/arena": run(state, trace).
template <class Run>
void RegisterReplays(const std::vector<NamedTrace>& traces, const char* peer, Run run) {
  for (const NamedTrace& named : traces) {
    benchmark::RegisterBenchmark(("Trace_" + named.name + "/" + peer).c_str(), [&named, run](
                                                                                   benchmark::State& state) {
      run(state, named.trace);
    })->Unit(benchmark::kMillisecond);
  }
}

}  // namespace stadial::bench
