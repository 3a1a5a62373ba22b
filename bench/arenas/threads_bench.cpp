// Several threads on memory of one region: a lane each, against one cursor that all of them share, and frames
// handed from one thread to another. Heaps run the same in programs of their own (peers/).
#include <algorithm>
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

// A frame's arena, and one more for the frame that is read meanwhile. With twice as many, used in turn, what
// is written next has left the reader's cache before: taking a line that another core still holds is dear.
constexpr std::uint32_t kHandoverArenas = 2;
constexpr std::uint32_t kHandoverArenasMax = 4;
// A power of two, so that the shared cursor can wrap by a mask. A batch fits 1.6 times.
constexpr std::size_t kLaneBytes = std::size_t{1} << 20;
static_assert(kLaneBytes >= kThreadBlocks * kThreadBlockBytes);
// Two lanes share no cache line: neither of their memory, which is pages, nor of the arenas themselves.
static_assert(alignof(Arena) >= 64 && sizeof(Arena) % 64 == 0);

RegionMemory& Memory() {
  static RegionMemory memory(std::max<std::size_t>(kThreadsMax, kHandoverArenasMax) * kLaneBytes);
  return memory;
}

class Lanes {
 public:
  explicit Lanes(std::uint32_t count)
      : table_("lane table", tableMemory_, sizeof tableMemory_),
        set_(*LaneSet::Carve("bench", Memory().Base(), count * kLaneBytes, count, table_)) {}
  Arena& operator[](std::size_t index) { return set_.Lane(static_cast<std::uint32_t>(index)); }

 private:
  alignas(64) std::byte tableMemory_[8192];
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

// `kArenas` arenas, a frame in each in turn: the reader gives nothing back, the writer rewinds.
template <std::uint32_t kArenas>
class ArenaHandover {
 public:
  void BeginFrame(std::size_t) {
    frame_ = frame_ + 1 == kArenas ? 0 : frame_ + 1;
    arena_ = &lanes_[frame_];
    arena_->Reset();
  }
  [[gnu::always_inline]] void* Take() { return arena_->Allocate(kThreadBlockBytes); }
  void GiveBack(void*) {}

 private:
  Lanes lanes_{kArenas};
  std::size_t frame_ = 0;
  Arena* arena_ = nullptr;
};

// The floor: addresses known beforehand, on lines that lie as the arenas' do. What is left is the lines' way
// from one core to the other.
template <std::uint32_t kPlaces>
class FloorHandover {
 public:
  void BeginFrame(std::size_t) {
    frame_ = frame_ + 1 == kPlaces ? 0 : frame_ + 1;
    next_ = Memory().Base() + frame_ * kLaneBytes;
  }
  [[gnu::always_inline]] void* Take() {
    std::byte* const block = next_;
    next_ += kThreadBlockBytes;
    return block;
  }
  void GiveBack(void*) {}

 private:
  std::size_t frame_ = 0;
  std::byte* next_ = nullptr;
};

template <class Peer>
void RunHandoverOf(benchmark::State& state) {
  Peer peer;
  RunHandover(state, peer);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  RegisterOwnThreads("lanes", RunLanes);
  RegisterOwnThreads("shared_cursor", RunSharedCursor);
  RegisterOwnThreads("shared_chunks", RunSharedChunks);
  RegisterHandover("floor", RunHandoverOf<FloorHandover<kHandoverArenas>>);
  RegisterHandover("arena", RunHandoverOf<ArenaHandover<kHandoverArenas>>);
  RegisterHandover("floor_of_four", RunHandoverOf<FloorHandover<kHandoverArenasMax>>);
  RegisterHandover("arena_of_four", RunHandoverOf<ArenaHandover<kHandoverArenasMax>>);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
