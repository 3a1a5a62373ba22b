// What taking memory costs: the arena with sizes known at compile time and at run time, the ideal it is
// measured against (a bump that checks nothing), and peers that can share a program. glibc's malloc cannot:
// see malloc_bench.cpp.
#include <benchmark/benchmark.h>
#include <mimalloc.h>

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
constexpr std::size_t kResetBytesMax = 64_MiB;

Segment& Memory() {
  static Region region = [] {
    auto reserved = Region::Reserve({.sizeBytes = 1_GiB});
    return std::move(reserved).Value();
  }();
  static Segment* const segment = [] {
    Segment* const added = *region.AddSegment({.name = "bench", .sizeBytes = kResetBytesMax});
    STADIAL_ASSERT_ALWAYS(added->CommitAll(), "the bench needs its memory");
    return added;
  }();
  return *segment;
}

Arena MakeArena(std::size_t bytes = kMemoryBytes) { return Memory().MakeArena({.name = "bench"}, 0, bytes); }

// The ideal: the arena without its limit, its rounding and its bookkeeping, but as an object that others may
// see, so that its cursor is written to memory each time.
struct UncheckedBump {
  std::byte* cursor;
};

template <std::size_t kBytes>
void BM_IdealBump(benchmark::State& state) {
  std::byte* const base = Memory().Base();
  UncheckedBump bump{base};
  benchmark::DoNotOptimize(&bump);
  RunAllocateBatches(
      state,
      [&] {
        std::byte* const block = std::exchange(bump.cursor, bump.cursor + kBytes);
        asm volatile("" : : "m"(bump.cursor));  // somebody may look: the store has to happen
        return block;
      },
      [&](std::uint64_t**) { bump.cursor = base; });
}

// The floor: a local cursor that never leaves its register. No object that is passed by reference can be
// that.
template <std::size_t kBytes>
void BM_RegisterBump(benchmark::State& state) {
  std::byte* const base = Memory().Base();
  std::byte* cursor = base;
  RunAllocateBatches(
      state, [&] { return std::exchange(cursor, cursor + kBytes); }, [&](std::uint64_t**) { cursor = base; });
}

template <std::size_t kBytes>
void BM_ArenaConstantSize(benchmark::State& state) {
  Arena arena = MakeArena();
  RunAllocateBatches(
      state, [&] { return arena.Allocate(kBytes); }, [&](std::uint64_t**) { arena.Reset(); });
}

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

void BM_Mimalloc(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  RunAllocateBatches(
      state, [&] { return mi_malloc(bytes); },
      [](std::uint64_t** blocks) {
        for (std::size_t index = 0; index < kBlocks; ++index) mi_free(blocks[index]);
      });
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

// O(1) means: the same at 4 KiB and at 64 MiB used.
void BM_ArenaReset(benchmark::State& state) {
  Arena arena = MakeArena(kResetBytesMax);
  const auto bytes = static_cast<std::size_t>(state.range(0));
  std::uint64_t used = 0;
  for ([[maybe_unused]] auto _ : state) {
    void* memory = arena.Allocate(bytes);
    benchmark::DoNotOptimize(memory);
    used = arena.UsedBytes();
    arena.Reset();
    benchmark::ClobberMemory();
  }
  state.counters["checksum"] = static_cast<double>(used);
}

BENCHMARK_TEMPLATE(BM_IdealBump, 16);
BENCHMARK_TEMPLATE(BM_IdealBump, 64);
BENCHMARK_TEMPLATE(BM_IdealBump, 256);
BENCHMARK_TEMPLATE(BM_RegisterBump, 16);
BENCHMARK_TEMPLATE(BM_RegisterBump, 64);
BENCHMARK_TEMPLATE(BM_RegisterBump, 256);
BENCHMARK_TEMPLATE(BM_ArenaConstantSize, 16);
BENCHMARK_TEMPLATE(BM_ArenaConstantSize, 64);
BENCHMARK_TEMPLATE(BM_ArenaConstantSize, 256);
BENCHMARK(BM_ArenaRunTimeSize)->Arg(16)->Arg(64)->Arg(256);
BENCHMARK(BM_ArenaRunTimeAlignment)->Arg(16)->Arg(64)->Arg(256);
BENCHMARK(BM_PmrMonotonic)->Arg(16)->Arg(64)->Arg(256);
BENCHMARK(BM_PmrArena)->Arg(16)->Arg(64)->Arg(256);
BENCHMARK(BM_Mimalloc)->Arg(16)->Arg(64)->Arg(256);
BENCHMARK(BM_Recycler)->Arg(16)->Arg(64)->Arg(256);
BENCHMARK(BM_ArenaReset)->Arg(4 << 10)->Arg(64 << 10)->Arg(1 << 20)->Arg(16 << 20)->Arg(64 << 20);

}  // namespace

BENCHMARK_MAIN();
