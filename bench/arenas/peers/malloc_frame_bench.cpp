// The process's malloc under the frames of frame_bench.cpp, first on a fresh heap, then on an aged one. See
// malloc_bench.cpp on the programs made of this.
#include <cstddef>
#include <cstdlib>

#include "peer_main.h"

namespace {

using namespace stadial::bench;

class MallocPeer {
 public:
  static constexpr bool kFreesBlocks = true;
  // Beyond what malloc promises, an aligned form: that is what a program has to call.
  void* Take(std::size_t bytes, std::size_t alignment) {
    void* block = nullptr;
    if (alignment <= alignof(std::max_align_t)) {
      block = std::malloc(bytes);
    } else if (posix_memalign(&block, alignment, bytes) != 0) {
      block = nullptr;
    }
    if (block == nullptr) [[unlikely]]
      std::abort();
    return block;
  }
  void GiveBack(void* block, std::size_t, std::size_t) { std::free(block); }
  void EndBatch() {}
};

template <Touch kTouch>
void RunMallocFrames(benchmark::State& state) {
  MallocPeer peer;
  RunFrames<kTouch>(state, peer);
}

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterFloor(FrameMemory);
    RegisterFrame("light", STADIAL_BENCH_MALLOC_NAME, RunMallocFrames<Touch::Light>);
    RegisterFrame("full", STADIAL_BENCH_MALLOC_NAME, RunMallocFrames<Touch::Full>);
    RegisterFrame("aged", STADIAL_BENCH_MALLOC_NAME, [](benchmark::State& state) {
      const AgedHeap aged;
      RunMallocFrames<Touch::Light>(state);
    });
  });
}
