// AllocationTracker: who allocated what between StartTracking and now (A-a, A-b). It listens to the gate, so
// it sees the malloc family and every form of new and delete. What comes from the region instead is told to
// it by its sources and counted apart (Stats::bySource): designated fallbacks by each block, arenas by what
// their cursors say when they are rewound or sealed, Vulkan callbacks by NoteAllocation. A program's own
// allocator may use Record and RecordFree, which count like the heap's.
//
// The six questions. It grows: never; its table of live blocks (liveBlocksMax records) and of components is
// reserved and pre-faulted at construction, outside any heap. Exhaustion: a block that finds no record is
// still counted, but not followed: droppedRecords says how many, and liveCount and liveBytes are lower
// bounds from then on; component names beyond kTrackedComponentsMax are counted under "(other components)".
// Alignment: none of the caller's concern. Destructors: the destructor stops tracking. Threads: every method
// is safe from any thread, but not from a signal handler; recording takes the tracker's BiasedLock.
// Invalidation: names in Stats point into the tracker and live as long as it.
//
// It allocates nothing itself. Cost: while none is active, nothing. Record and RecordFree of a block, on the
// one thread that records, take about 11 ns: a stack that has not changed since the last allocation of its
// call site is compared, not walked again, and the clock is not read for each block (TrackedAllocation).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "stadial/arenas/effects.h"
#include "stadial/runtime/biased_lock.h"
#include "stadial/runtime/gate_state.h"
#include "stadial/runtime/phase.h"

namespace stadial::runtime {

// Whose allocations count. Whatever is left out is still tallied: Stats::otherThreadsCount.
enum class TrackedThreads : std::uint8_t {
  Ours,     // the thread that called StartTracking, and every registered thread
  Current,  // only the thread that called StartTracking
  All,
};

struct AllocationTrackerOptions {
  std::size_t liveBlocksMax =
      16384;  // blocks followed at once, 290 bytes of reserve each; rounded up to a power of two
  TrackedThreads threads = TrackedThreads::Ours;
};

inline constexpr std::size_t kTrackedComponentsMax = 64;
inline constexpr std::size_t kTrackedComponentNameBytesMax = 48;
inline constexpr std::size_t kTrackedStackDepthMax = 16;

// Running totals since StartTracking. `live` means: allocated since then and not yet freed.
struct AllocationSnapshot {
  std::uint64_t count = 0;       // allocations
  std::uint64_t totalBytes = 0;  // as requested
  std::uint64_t frees = 0;       // all frees, of older blocks too
  std::uint64_t freedBytes = 0;  // of blocks that were followed
  std::uint64_t liveCount = 0;
  std::uint64_t liveBytes = 0;
  std::uint64_t timeNs = 0;            // monotonic clock
  std::string_view largestAllocation;  // component of the largest allocation so far
};

// later - earlier, signed: a phase that frees more than it allocates has a negative live difference.
struct SnapshotDelta {
  std::int64_t count = 0;
  std::int64_t totalBytes = 0;
  std::int64_t frees = 0;
  std::int64_t freedBytes = 0;
  std::int64_t liveCount = 0;
  std::int64_t liveBytes = 0;
  std::int64_t elapsedNs = 0;
  std::string_view largestAllocation;  // of the later snapshot
};
SnapshotDelta operator-(const AllocationSnapshot& later,
                        const AllocationSnapshot& earlier) noexcept STADIAL_NONALLOCATING;

inline constexpr std::size_t kTrackedPhases = 4;  // tables by phase are indexed by Phase

struct ComponentStats {
  std::string_view name;
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  std::uint64_t liveCount = 0;  // of the blocks that are followed
  std::uint64_t liveBytes = 0;
  std::array<std::uint64_t, kTrackedPhases> countByPhase{};
  std::array<std::uint64_t, kTrackedPhases> bytesByPhase{};
};

// Memory that is not the heap's.
enum class AllocationSource : std::uint8_t {
  Arena,           // bytes bump-allocated, told once when an arena is sealed or its frame ends
  Fallback,        // blocks of designated fallbacks (a mimalloc heap in the region)
  DriverCallback,  // blocks that a driver asked for through VkAllocationCallbacks
};
inline constexpr std::size_t kAllocationSourceCount = 3;
struct SourceStats {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  std::uint64_t frees = 0;
  std::uint64_t freedBytes = 0;
};

// Is there a tracker that listens? One load.
inline bool TrackersListen() noexcept {
  return (detail::gateProcessFlags.load(std::memory_order_relaxed) & detail::kGateTrackersActive) != 0;
}
// Tell every tracker that listens; from any thread. Nothing for 0 bytes. While none listens: one load.
void NoteAllocation(AllocationSource source, std::size_t sizeBytes) noexcept STADIAL_NONALLOCATING;
void NoteFree(AllocationSource source, std::size_t sizeBytes) noexcept STADIAL_NONALLOCATING;

// Components in order of first appearance. byComponent["water"] is that component's bytes, 0 when it is
// absent.
class ComponentTable {
 public:
  std::uint64_t operator[](std::string_view name) const noexcept;
  const ComponentStats* Find(std::string_view name) const noexcept;
  const ComponentStats* begin() const noexcept { return entries_.data(); }
  const ComponentStats* end() const noexcept { return entries_.data() + size_; }
  std::size_t size() const noexcept { return size_; }

 private:
  friend class AllocationTracker;
  std::array<ComponentStats, kTrackedComponentsMax + 1> entries_;
  std::size_t size_ = 0;
};

// Return addresses, innermost (the caller of malloc) first.
struct TrackedStack {
  std::array<const void*, kTrackedStackDepthMax> frames{};
  std::uint32_t depth = 0;
};

// One allocation, as followed.
struct TrackedAllocation {
  const void* ptr = nullptr;
  std::uint64_t size = 0;
  // Monotonic clock. Exact for the first and the largest; otherwise it was read at or after the last
  // snapshot, and since then at every 256th allocation of a call site.
  std::uint64_t timeNs = 0;
  std::string_view component;
  Phase phase = Phase::Setup;
  TrackedStack stack;
};

class AllocationTracker {
 public:
  struct Stats {
    std::size_t count = 0;
    std::size_t totalBytes = 0;
    std::size_t frees = 0;
    std::size_t liveCount = 0;
    std::size_t liveBytes = 0;
    ComponentTable byComponent;
    std::array<std::uint64_t, kTrackedPhases> countByPhase{};
    std::array<std::uint64_t, kTrackedPhases> bytesByPhase{};
    std::array<SourceStats, kAllocationSourceCount> bySource{};  // indexed by AllocationSource; not in count
    std::string_view largestAllocation;                          // component of the largest one
    std::size_t largestSize = 0;
    const void* largestSite = nullptr;  // the return address of its malloc or new
    TrackedAllocation largest;          // all about it; ptr is null when there was none
    TrackedAllocation first;            // the first one: usually the one to look at
    std::size_t driverCount = 0;        // inside DriverCallScope: the driver's, not in count
    std::size_t driverBytes = 0;
    std::size_t otherThreadsCount = 0;  // on threads that are not tracked, not in count
    std::size_t otherThreadsBytes = 0;
    std::size_t droppedRecords = 0;  // blocks that could not be followed
  };

  // Stats without the tables.
  struct Allocations {
    std::size_t count = 0;
    std::size_t totalBytes = 0;
    std::size_t frees = 0;
    std::size_t liveCount = 0;
    std::size_t liveBytes = 0;
  };

  AllocationTracker() noexcept : AllocationTracker(AllocationTrackerOptions{}) {}
  // Reserves its tables from the kernel. A refusal is not fatal: the tracker then counts without following
  // blocks (droppedRecords) and IsArmed is false.
  explicit AllocationTracker(const AllocationTrackerOptions& options) noexcept;
  ~AllocationTracker();
  AllocationTracker(const AllocationTracker&) = delete;
  AllocationTracker& operator=(const AllocationTracker&) = delete;

  // Forgets everything and starts; again while tracking: starts over. Runs the gate's self-test if nobody
  // has, then plants one allocation of its own and demands to see it, so that a tracker that hears nothing
  // is not ARMED. At most kActiveTrackersMax trackers listen at once; one more is not ARMED.
  void StartTracking() noexcept;
  // Freezes the totals. Idempotent.
  void StopTracking() noexcept;
  bool IsTracking() const noexcept;

  // Did the gate's self-test find it ARMED, and did this tracker see the allocation planted at its last
  // start? Any test that asserts "0 allocations" must assert this first.
  bool IsArmed() const noexcept;
  // Why not; "armed" when it is.
  const char* WhyNotArmed() const noexcept;

  // For sources that the gate cannot see. Ignored while not tracking. `component` is copied.
  void Record(void* ptr, std::size_t size, std::string_view component) noexcept;
  void RecordFree(void* ptr) noexcept;

  AllocationSnapshot Snapshot() const noexcept STADIAL_NONALLOCATING;
  Stats GetStats() const noexcept;
  Allocations GetAllocations() const noexcept;

  // Copies up to `capacity` live blocks, in no order; returns how many.
  std::size_t CopyLive(TrackedAllocation* out, std::size_t capacity) const noexcept;

  // Writes counts, the largest and the first allocation with their stacks (module+offset and symbol) into
  // `text`, zero-terminated and cut to fit; returns the length. Allocates nothing.
  std::size_t Describe(char* text, std::size_t textBytes) const noexcept;

  static constexpr std::size_t kActiveTrackersMax = 16;

 private:
  friend struct AllocationTrackerAccess;  // the gate's side: notifications
  struct Tables;                          // live-block table, components and totals, in reserved memory
  void RecordSlowly(void* ptr, std::size_t size, std::string_view component, std::uintptr_t frame) noexcept;
  void RecordFreeSlowly(void* ptr) noexcept;

  AllocationTrackerOptions options_;
  Tables* tables_ = nullptr;
  std::size_t tablesBytes_ = 0;
  mutable BiasedLock lock_;
  std::atomic<bool> tracking_{false};
  bool sawPlant_ = false;
  bool listening_ = false;
};

}  // namespace stadial::runtime
