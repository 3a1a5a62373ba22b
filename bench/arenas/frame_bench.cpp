// Frames on the arena, beside the floor of addresses computed beforehand in the same memory. The peers run
// the same frames in programs of their own (peers/).
#include <benchmark/benchmark.h>

#include <cstddef>

#include "frame_workload.h"
#include "region_memory.h"
#include "stadial/arenas/arena.h"

namespace {

using namespace stadial::bench;
using stadial::arenas::Arena;

class ArenaPeer {
 public:
  static constexpr bool kFreesBlocks = false;
  explicit ArenaPeer(Arena arena) : arena_(std::move(arena)) {}
  [[gnu::always_inline]] void* Take(std::size_t bytes, std::size_t alignment) {
    return arena_.Allocate(bytes, alignment);
  }
  void EndBatch() { arena_.Reset(); }

 private:
  Arena arena_;
};

RegionMemory& Memory() {
  static RegionMemory memory(FrameBytesMax());
  return memory;
}

template <Touch kTouch>
void RunArenaFrames(benchmark::State& state) {
  ArenaPeer peer(Memory().MakeArena());
  RunFrames<kTouch>(state, peer);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  RegisterFloor([] { return Memory().Base(); });
  RegisterFrame("light", "arena", RunArenaFrames<Touch::Light>);
  RegisterFrame("full", "arena", RunArenaFrames<Touch::Full>);
  // The heap is aged all the same: an arena must not notice.
  RegisterFrame("aged", "arena", [](benchmark::State& state) {
    const AgedHeap aged;
    RunArenaFrames<Touch::Light>(state);
  });
  RegisterFrame("aged", "floor", [](benchmark::State& state) {
    const AgedHeap aged;
    FloorPeer floor(Memory().Base());
    RunFrames<Touch::Light>(state, floor);
  });
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
