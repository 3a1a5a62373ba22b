// The rows in which a heap is expected to win: blocks of long life that are freed in any order (our heaps are
// bounded, lie in a region and lock, against heaps that do none of it), and a large block that grows (an
// arena has to copy it).
#include <cstddef>
#include <cstring>

#include "churn_workload.h"
#include "region_memory.h"
#include "stadial/arenas/recycler.h"
#include "stadial/arenas/size_class_heap.h"

namespace {

using namespace stadial::bench;
using stadial::arenas::Arena;
using stadial::arenas::Recycler;
using stadial::arenas::SizeClassHeap;

// Every step of the growth lies behind the one before.
constexpr std::size_t kHugeMemoryBytes = 2 * kHugeBytesLast;

class RecyclerChurn {
 public:
  RecyclerChurn() : recycler_("churn", memory_.Segment()) {}
  void* Take(std::size_t bytes) {
    void* const block = recycler_.Allocate(bytes);
    STADIAL_ASSERT_ALWAYS(block != nullptr, "the churn bench needs more memory");
    return block;
  }
  void GiveBack(void* block) { recycler_.Free(block); }

 private:
  RegionMemory memory_{kChurnMemoryBytes};
  Recycler recycler_;
};

class SizeClassChurn {
 public:
  ~SizeClassChurn() { heap_.Close(); }
  void* Take(std::size_t bytes) { return heap_.Allocate(bytes); }
  void GiveBack(void* block) { heap_.Free(block); }

 private:
  RegionMemory memory_{kChurnMemoryBytes};
  SizeClassHeap& heap_ = **SizeClassHeap::Create({.name = "churn", .shards = 1}, memory_.Segment());
};

class ArenaHuge {
 public:
  void* Take(std::size_t bytes) { return arena_.Allocate(bytes); }
  void* Grow(void* block, std::size_t oldBytes, std::size_t bytes) {
    void* const grown = arena_.Allocate(bytes);
    std::memcpy(grown, block, oldBytes);
    return grown;
  }
  void GiveBack(void*) { arena_.Reset(); }

 private:
  RegionMemory memory_{kHugeMemoryBytes};
  Arena arena_ = memory_.MakeArena();
};

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  RegisterChurn("recycler", [](benchmark::State& state) {
    RecyclerChurn peer;
    RunChurn(state, peer);
  });
  RegisterChurn("size_class_heap", [](benchmark::State& state) {
    SizeClassChurn peer;
    RunChurn(state, peer);
  });
  RegisterHuge("arena", [](benchmark::State& state) {
    ArenaHuge peer;
    RunHuge(state, peer);
  });
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
