// Taking blocks of one size from the arena, with what the compiler knows (size, or nothing at all), beside
// the unchecked ideal in the same memory. The peers run the same batches in programs of their own (peers/).
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>

#include "ideal_bump.h"
#include "process_probe.h"
#include "region_memory.h"
#include "stadial/arenas/arena.h"

namespace {

using namespace stadial::bench;
using stadial::arenas::Arena;

RegionMemory& Memory() {
  static RegionMemory memory(kBumpBytesMax);
  return memory;
}

template <std::size_t kBytes>
void RunArenaConstant(benchmark::State& state) {
  Arena arena = Memory().MakeArena();
  RunAllocateBatches(
      state, static_cast<std::size_t>(state.range(0)), [&] { return arena.Allocate(kBytes); },
      [&](std::uint64_t**) { arena.Reset(); });
  state.SetLabel(ModuleOfMalloc());
}

// Neither size nor alignment known to the compiler.
void RunArenaRunTime(benchmark::State& state, std::size_t bytes) {
  Arena arena = Memory().MakeArena();
  std::size_t alignment = 16;
  benchmark::DoNotOptimize(bytes);
  benchmark::DoNotOptimize(alignment);
  RunAllocateBatches(
      state, static_cast<std::size_t>(state.range(0)), [&] { return arena.Allocate(bytes, alignment); },
      [&](std::uint64_t**) { arena.Reset(); });
  state.SetLabel(ModuleOfMalloc());
}

template <std::size_t kBytes>
void RegisterArena() {
  RegisterIdealsOf<kBytes>([] { return Memory().Base(); });
  RegisterBump("constant", kBytes, "arena", RunArenaConstant<kBytes>);
  RegisterBump("run_time", kBytes, "arena", [](benchmark::State& state) { RunArenaRunTime(state, kBytes); });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  RegisterArena<16>();
  RegisterArena<64>();
  RegisterArena<256>();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
