// Several threads on memory of one region: a lane each, against one cursor that all of them share, and frames
// handed from one thread to another. Heaps run the same in programs of their own (peers/).
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "region_memory.h"
#include "stadial/arenas/lanes.h"
#include "thread_workload.h"

namespace {

using namespace stadial::bench;
using stadial::arenas::Arena;
using stadial::arenas::LaneSet;

// A power of two, so that the shared cursor can wrap by a mask. A batch fits 1.6 times.
constexpr std::size_t kLaneBytes = std::size_t{1} << 20;
static_assert(kLaneBytes >= kThreadBlocks * kThreadBlockBytes);
// Two lanes share no cache line: neither of their memory, which is pages, nor of the arenas themselves.
static_assert(alignof(Arena) >= 64 && sizeof(Arena) % 64 == 0);

RegionMemory& Memory() {
  static RegionMemory memory(kThreadsMax * kLaneBytes);
  return memory;
}

class Lanes {
 public:
  explicit Lanes(std::uint32_t count)
      : table_("lane table", tableMemory_, sizeof tableMemory_),
        set_(*LaneSet::Carve("bench", Memory().Base(), count * kLaneBytes, count, table_)) {}
  Arena& operator[](std::size_t index) { return set_.Lane(static_cast<std::uint32_t>(index)); }

 private:
  alignas(64) std::byte tableMemory_[4096];
  Arena table_;
  LaneSet set_;
};

void RunLanes(benchmark::State& state) {
  Lanes lanes(static_cast<std::uint32_t>(state.range(0)));
  RunOwnThreads(state, [&](std::size_t worker, std::uint64_t** blocks) {
    Arena& arena = lanes[worker];
    return RunThreadBatches(
        blocks, [&] { return arena.Allocate(kThreadBlockBytes); }, [&](std::uint64_t**) { arena.Reset(); });
  });
}

// What an arena for all threads would be: one cursor, moved by an atomic addition. It wraps instead of being
// reset, which costs less than the agreement of all threads that a reset would need.
void RunSharedCursor(benchmark::State& state) {
  alignas(64) std::atomic<std::size_t> cursor{0};
  std::byte* const base = Memory().Base();
  RunOwnThreads(state, [&](std::size_t, std::uint64_t** blocks) {
    return RunThreadBatches(
        blocks,
        [&] {
          const std::size_t offset = cursor.fetch_add(kThreadBlockBytes, std::memory_order_relaxed);
          return base + (offset & (kThreadsMax * kLaneBytes - 1));
        },
        [](std::uint64_t**) {});
  });
}

// The shared cursor gives out 64 KiB at a time, which each thread cuts up for itself.
void RunSharedChunks(benchmark::State& state) {
  constexpr std::size_t kChunkBytes = std::size_t{64} << 10;
  alignas(64) std::atomic<std::size_t> cursor{0};
  std::byte* const base = Memory().Base();
  RunOwnThreads(state, [&](std::size_t, std::uint64_t** blocks) {
    std::byte* next = nullptr;
    std::byte* end = nullptr;
    return RunThreadBatches(
        blocks,
        [&] {
          if (next == end) [[unlikely]] {
            const std::size_t offset = cursor.fetch_add(kChunkBytes, std::memory_order_relaxed);
            next = base + (offset & (kThreadsMax * kLaneBytes - 1));
            end = next + kChunkBytes;
          }
          std::byte* const block = next;
          next += kThreadBlockBytes;
          return block;
        },
        [](std::uint64_t**) {});
  });
}

// An arena for each of two frames in flight; the reader gives nothing back, the writer rewinds.
class ArenaHandover {
 public:
  void BeginFrame(std::size_t slot) {
    arena_ = &lanes_[slot];
    arena_->Reset();
  }
  [[gnu::always_inline]] void* Take() { return arena_->Allocate(kThreadBlockBytes); }
  void GiveBack(void*) {}

 private:
  Lanes lanes_{2};
  Arena* arena_ = nullptr;
};

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  RegisterOwnThreads("lanes", RunLanes);
  RegisterOwnThreads("shared_cursor", RunSharedCursor);
  RegisterOwnThreads("shared_chunks", RunSharedChunks);
  RegisterHandover("arena", [](benchmark::State& state) {
    ArenaHandover peer;
    RunHandover(state, peer);
  });
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
