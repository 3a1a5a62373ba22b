// The process's malloc under the batches of bump_bench.cpp, in a program of its own: Stadial links mimalloc,
// whose library replaces malloc in every program it is part of. One source, one program for each malloc; the
// program says whose malloc is in force, and refuses to measure another under the name it was built for. With
// its default settings glibc gives large batches back to the kernel each time and faults them in again; that
// is what a program gets, and most of those rows.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "peers/peer_main.h"
#include "process_probe.h"

namespace {

using namespace stadial::bench;

void RunMalloc(benchmark::State& state, std::size_t bytes) {
  benchmark::DoNotOptimize(bytes);
  const auto blockCount = static_cast<std::size_t>(state.range(0));
  RunAllocateBatches(
      state, blockCount,
      [&] {
        void* const block = std::malloc(bytes);
        if (block == nullptr) std::abort();
        return block;
      },
      [blockCount](std::uint64_t** blocks) {
        for (std::size_t index = 0; index < blockCount; ++index) std::free(blocks[index]);
      });
  state.SetLabel(ModuleOfMalloc());
}

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterIdeals(BumpMemory);
    for (const std::size_t bytes : kBumpSizes) {
      RegisterBump("constant", bytes, STADIAL_BENCH_MALLOC_NAME,
                   [bytes](benchmark::State& state) { RunMalloc(state, bytes); });
    }
  });
}
