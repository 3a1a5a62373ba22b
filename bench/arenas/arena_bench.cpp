// What taking memory costs by the other routes: alignments that change, std::pmr, the recycler. The plain
// arena against the ideal and its peers is measured in bump_bench.cpp, what a reset costs in
// memory_bench.cpp.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <utility>

#include "allocate_workload.h"
#include "stadial/arenas/arena.h"
#include "stadial/arenas/pmr.h"
#include "stadial/arenas/recycler.h"
#include "stadial/arenas/region.h"

namespace {

using namespace stadial::arenas;
using stadial::bench::kBlocks;
using stadial::bench::RunAllocateBatches;

constexpr std::size_t kBlockBytesMax = 256;
// The largest batch, with the worst padding of the run-time alignment bench.
constexpr std::size_t kMemoryBytes = kBlocks * kBlockBytesMax * 2;

Segment& Memory() {
  static Region region = [] {
    auto reserved = Region::Reserve({.sizeBytes = 1_GiB});
    return std::move(reserved).Value();
  }();
  static Segment* const segment = [] {
    Segment* const added = *region.AddSegment({.name = "bench", .sizeBytes = kMemoryBytes});
    STADIAL_ASSERT_ALWAYS(added->CommitAll(), "the bench needs its memory");
    return added;
  }();
  return *segment;
}

Arena MakeArena(std::size_t bytes = kMemoryBytes) { return Memory().MakeArena({.name = "bench"}, 0, bytes); }

void BM_ArenaRunTimeSize(benchmark::State& state) {
  Arena arena = MakeArena();
  auto bytes = static_cast<std::size_t>(state.range(0));
  benchmark::DoNotOptimize(bytes);
  RunAllocateBatches(
      state, [&] { return arena.Allocate(bytes); }, [&](std::uint64_t**) { arena.Reset(); });
}

// Size and alignment unknown, alignment changing from block to block: what a branch would mispredict on.
void BM_ArenaRunTimeAlignment(benchmark::State& state) {
  Arena arena = MakeArena();
  auto bytes = static_cast<std::size_t>(state.range(0));
  benchmark::DoNotOptimize(bytes);
  std::uint32_t random = 1;
  RunAllocateBatches(
      state,
      [&] {
        random = random * 1664525u + 1013904223u;
        return arena.Allocate(bytes, std::size_t{8} << (random >> 30));
      },
      [&](std::uint64_t**) { arena.Reset(); });
}

void BM_PmrMonotonic(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  std::pmr::monotonic_buffer_resource resource(Memory().Base(), kMemoryBytes,
                                               std::pmr::null_memory_resource());
  RunAllocateBatches(
      state, [&] { return resource.allocate(bytes, 16); }, [&](std::uint64_t**) { resource.release(); });
}

// The arena behind the standard interface: what the virtual call costs.
void BM_PmrArena(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  Arena arena = MakeArena();
  ArenaResource arenaResource(arena);
  std::pmr::memory_resource* resource = &arenaResource;
  benchmark::DoNotOptimize(resource);
  RunAllocateBatches(
      state, [&] { return resource->allocate(bytes, 16); }, [&](std::uint64_t**) { arena.Reset(); });
}

void BM_Recycler(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  Recycler recycler("bench", Memory());
  RunAllocateBatches(
      state, [&] { return recycler.Allocate(bytes); },
      [&](std::uint64_t** blocks) {
        for (std::size_t index = 0; index < kBlocks; ++index) recycler.Free(blocks[index]);
      });
}

BENCHMARK(BM_ArenaRunTimeSize)->Arg(16)->Arg(64)->Arg(256);
BENCHMARK(BM_ArenaRunTimeAlignment)->Arg(16)->Arg(64)->Arg(256);
BENCHMARK(BM_PmrMonotonic)->Arg(16)->Arg(64)->Arg(256);
BENCHMARK(BM_PmrArena)->Arg(16)->Arg(64)->Arg(256);
BENCHMARK(BM_Recycler)->Arg(16)->Arg(64)->Arg(256);

}  // namespace

BENCHMARK_MAIN();
