// Recorded traces on the process's malloc. See malloc_bench.cpp on the programs made of this.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "peers/peer_main.h"
#include "replay_workload.h"

namespace {

using namespace stadial::bench;

struct MallocReplay {
  void* Take(const ReplayStep& step) {
    void* block = nullptr;
    const std::size_t alignment = std::size_t{1} << step.alignmentLog2;
    if (alignment <= alignof(std::max_align_t)) {
      block = std::malloc(step.bytes);
    } else if (posix_memalign(&block, alignment, step.bytes) != 0) {
      block = nullptr;
    }
    if (block == nullptr) [[unlikely]]
      std::abort();
    return block;
  }
  void GiveBack(void* block, const ReplayStep&) { std::free(block); }
  void* Grow(void* block, const ReplayStep& step) {
    // realloc to nothing frees in some libraries and not in others.
    if (step.bytes == 0) {
      std::free(block);
      return Take(step);
    }
    void* const grown = std::realloc(block, step.bytes);
    if (grown == nullptr) [[unlikely]]
      std::abort();
    return grown;
  }
  void EndFrame() {}
};

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    static const std::vector<NamedTrace> traces = LoadTraces();
    RegisterReplays(traces, STADIAL_BENCH_MALLOC_NAME, [](benchmark::State& state, const ReplayTrace& trace) {
      MallocReplay peer;
      RunReplay(state, peer, trace);
    });
  });
}
