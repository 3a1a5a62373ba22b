// Recorded traces on memory of the region, in three ways:
//
//   arenas           blocks that die in their frame in the frame's arena, the rest in a size-class heap: what
//                    a program gains that was written with arenas (trace_file.h knows which block is which,
//                    by hindsight);
//   size_class_heap  every block in a size-class heap: what a program gains that is only given another
//   malloc; recycler         the same in a recycler.
//
// Heaps replay the same traces in programs of their own (malloc_trace_bench.cpp).
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "region_memory.h"
#include "replay_workload.h"
#include "stadial/arenas/arena.h"
#include "stadial/arenas/recycler.h"
#include "stadial/arenas/size_class_heap.h"

namespace {

using namespace stadial::bench;
using stadial::arenas::Arena;
using stadial::arenas::Recycler;
using stadial::arenas::SizeClassHeap;

// What size classes and the gaps between blocks may add.
std::size_t HeapBytes(std::uint64_t liveRounded) { return 2 * liveRounded + (std::size_t{16} << 20); }

std::size_t AllBytes(const ReplayTrace& trace) {
  return HeapBytes(trace.liveBytesMax + trace.slots * std::uint64_t{128});
}

std::size_t AlignmentOf(const ReplayStep& step) { return std::size_t{1} << step.alignmentLog2; }

class RecyclerReplay {
 public:
  explicit RecyclerReplay(std::size_t bytes) : memory_(bytes), recycler_("trace", memory_.Segment()) {}
  void* Take(const ReplayStep& step) { return Checked(recycler_.Allocate(step.bytes, AlignmentOf(step))); }
  void GiveBack(void* block, const ReplayStep&) { recycler_.Free(block); }
  void* Grow(void* block, const ReplayStep& step) {
    if (step.bytes != 0) return Checked(recycler_.Reallocate(block, step.bytes, AlignmentOf(step)));
    recycler_.Free(block);
    return Take(step);
  }
  void EndFrame() {}
  double HeldKib() const { return static_cast<double>(recycler_.Stats().carvedBytes) / 1024.0; }

 private:
  static void* Checked(void* block) {
    STADIAL_ASSERT_ALWAYS(block != nullptr, "the trace needs more memory than was computed");
    return block;
  }

  RegionMemory memory_;
  Recycler recycler_;
};

class SizeClassReplay {
 public:
  explicit SizeClassReplay(std::size_t bytes) : memory_(bytes) {}
  ~SizeClassReplay() { heap_.Close(); }
  void* Take(const ReplayStep& step) { return heap_.Allocate(step.bytes, AlignmentOf(step)); }
  void GiveBack(void* block, const ReplayStep&) { heap_.Free(block); }
  void* Grow(void* block, const ReplayStep& step) {
    if (step.bytes == 0) {
      heap_.Free(block);
      return Take(step);
    }
    void* const grown = heap_.TryReallocate(block, step.bytes, AlignmentOf(step));
    STADIAL_ASSERT_ALWAYS(grown != nullptr, "the trace needs more memory than was computed");
    return grown;
  }
  void EndFrame() {}
  double HeldKib() const { return static_cast<double>(heap_.Stats().peakBytes) / 1024.0; }

 private:
  RegionMemory memory_;
  SizeClassHeap& heap_ = **SizeClassHeap::Create({.name = "trace", .shards = 1}, memory_.Segment());
};

class ArenasReplay {
 public:
  explicit ArenasReplay(const ReplayTrace& trace)
      : memory_(trace.frameArenaBytesMax + (std::size_t{1} << 20)),
        arena_(memory_.MakeArena()),
        others_(HeapBytes(trace.longLivedRoundedMax)) {}
  void* Take(const ReplayStep& step) {
    return step.isOfFrame ? arena_.Allocate(step.bytes, AlignmentOf(step)) : others_.Take(step);
  }
  void GiveBack(void* block, const ReplayStep& step) {
    if (!step.isOfFrame) others_.GiveBack(block, step);
  }
  void* Grow(void* block, const ReplayStep& step) {
    if (!step.isOfFrame) return others_.Grow(block, step);
    void* const grown = arena_.Allocate(step.bytes, AlignmentOf(step));
    std::memcpy(grown, block, step.bytes < step.oldBytes ? step.bytes : step.oldBytes);
    return grown;
  }
  void EndFrame() { arena_.Reset(); }
  double HeldKib() const { return static_cast<double>(arena_.PeakBytes()) / 1024.0 + others_.HeldKib(); }

 private:
  RegionMemory memory_;
  Arena arena_;
  SizeClassReplay others_;
};

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const std::vector<NamedTrace> traces = LoadTraces();
  RegisterReplays(traces, "arenas", [](benchmark::State& state, const ReplayTrace& trace) {
    ArenasReplay peer(trace);
    RunReplay(state, peer, trace);
  });
  RegisterReplays(traces, "recycler", [](benchmark::State& state, const ReplayTrace& trace) {
    RecyclerReplay peer(AllBytes(trace));
    RunReplay(state, peer, trace);
  });
  RegisterReplays(traces, "size_class_heap", [](benchmark::State& state, const ReplayTrace& trace) {
    SizeClassReplay peer(AllBytes(trace));
    RunReplay(state, peer, trace);
  });
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
