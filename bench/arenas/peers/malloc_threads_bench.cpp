// The process's malloc under the threads of threads_bench.cpp and the blocks of long life of churn_bench.cpp.
// See malloc_bench.cpp on the programs made of this.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "churn_workload.h"
#include "peer_main.h"
#include "thread_workload.h"

namespace {

using namespace stadial::bench;

void* TakeOrAbort(std::size_t bytes) {
  void* const block = std::malloc(bytes);
  if (block == nullptr) [[unlikely]]
    std::abort();
  return block;
}

void RunMallocThreads(benchmark::State& state) {
  RunOwnThreads(state, [](std::size_t, std::uint64_t** blocks) {
    return RunThreadBatches(
        blocks, [] { return TakeOrAbort(kThreadBlockBytes); },
        [](std::uint64_t** taken) {
          for (std::size_t index = 0; index < kThreadBlocks; ++index) std::free(taken[index]);
        });
  });
}

struct MallocHandover {
  void BeginFrame(std::size_t) {}
  void* Take() { return TakeOrAbort(kThreadBlockBytes); }
  void GiveBack(void* block) { std::free(block); }
};

struct MallocChurn {
  void* Take(std::size_t bytes) { return TakeOrAbort(bytes); }
  void GiveBack(void* block) { std::free(block); }
  void* Grow(void* block, std::size_t, std::size_t bytes) {
    void* const grown = std::realloc(block, bytes);
    if (grown == nullptr) std::abort();
    return grown;
  }
};

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    constexpr const char* kName = STADIAL_BENCH_MALLOC_NAME;
    RegisterChurn(kName, [](benchmark::State& state) {
      MallocChurn peer;
      RunChurn(state, peer);
    });
    RegisterHuge(kName, [](benchmark::State& state) {
      MallocChurn peer;
      RunHuge(state, peer);
    });
    RegisterOwnThreads(kName, RunMallocThreads);
    RegisterHandover(kName, [](benchmark::State& state) {
      MallocHandover peer;
      RunHandover(state, peer);
    });
  });
}
