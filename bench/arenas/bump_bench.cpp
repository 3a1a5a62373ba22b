// Taking blocks of one size from the arena, with what the compiler knows (size, or nothing at all), beside
// the unchecked ideal in the same memory. The peers run the same batches in programs of their own (peers/).
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>

#include "ideal_bump.h"
#include "process_probe.h"
#include "region_memory.h"
#include "stadial/arenas/arena.h"
#include "stadial/arenas/arena_cursor.h"

namespace {

using namespace stadial::bench;
using stadial::arenas::Arena;
using stadial::arenas::ArenaCursor;

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

// The same through a cursor in registers, one for each batch.
template <std::size_t kBytes>
struct TakeByCursor {
  ArenaCursor cursor;
  [[gnu::always_inline]] void* operator()() { return cursor.Allocate(kBytes); }
};
template <std::size_t kBytes>
void RunArenaCursor(benchmark::State& state) {
  Arena arena = Memory().MakeArena();
  RunOpenedBatches(
      state, static_cast<std::size_t>(state.range(0)),
      [&] { return TakeByCursor<kBytes>{ArenaCursor(arena)}; }, [&](std::uint64_t**) { arena.Reset(); });
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

// The same with a cache line left out after every 4 KiB. Blocks of 256 B side by side lie in every fourth
// line, so that a batch meets a quarter of the sets of each cache; the slabs of an allocator that takes its
// memory from malloc begin at odd addresses and meet them all. This shows what of a difference is that.
void RunArenaSpread(benchmark::State& state, std::size_t bytes) {
  Arena arena = Memory().MakeArena();
  std::size_t alignment = 16;
  benchmark::DoNotOptimize(bytes);
  benchmark::DoNotOptimize(alignment);
  const std::size_t blocksPerSlab = 4096 / bytes;
  std::size_t left = blocksPerSlab;
  RunAllocateBatches(
      state, static_cast<std::size_t>(state.range(0)),
      [&] {
        if (left-- == 0) {
          left = blocksPerSlab - 1;
          benchmark::DoNotOptimize(arena.Allocate(64));
        }
        return arena.Allocate(bytes, alignment);
      },
      [&](std::uint64_t**) {
        arena.Reset();
        left = blocksPerSlab;
      });
  state.SetLabel(ModuleOfMalloc());
}

template <std::size_t kBytes>
void RegisterArena() {
  RegisterIdealsOf<kBytes>([] { return Memory().Base(); });
  RegisterBump("constant", kBytes, "arena", RunArenaConstant<kBytes>);
  RegisterBump("constant", kBytes, "cursor", RunArenaCursor<kBytes>);
  RegisterBump("run_time", kBytes, "arena", [](benchmark::State& state) { RunArenaRunTime(state, kBytes); });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  RegisterArena<16>();
  RegisterArena<64>();
  RegisterArena<256>();
  RegisterBump("run_time", 256, "arena_spread", [](benchmark::State& state) { RunArenaSpread(state, 256); });
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
