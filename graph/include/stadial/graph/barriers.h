// Barriers and semaphores as data: from the accesses of a frame, in execution order, to what must stand
// between them. Knows neither nodes nor Vulkan.
//
//   SyncPlanner planner(arena, {.accesses = 3, .positions = 2, .resources = 2});
//   const ResourceAccess accesses[] = {{0, 0, Access::ComputeStorageWrite},   // position, resource
//                                      {1, 0, Access::ComputeSampled},
//                                      {1, 1, Access::ComputeStorageWrite}};
//   const SyncPlan plan = planner.Derive({.accesses = accesses, .positions = 2, .resources = 2});
//   for (const Barrier& barrier : plan.BarriersAt(1)) ...
//
// The rules. A frame is executed again and again: the first use of a resource is ordered after its last uses
// of the frame before, whose barriers are not counted upon (a frame may be skipped, captured, or recorded
// anew). Read after read needs nothing; write after read orders execution only; read or write after write
// makes memory visible. A barrier without a change of layout or owner covers all resources, and chains with
// later ones, so whatever an earlier barrier of the frame covers is left out; those of one position are
// issued together, and those with the same sources or the same target stages are one. A change of layout is a
// write. Between queues a semaphore orders everything; what another wait covers, directly or through third
// queues, is left out. Between families a resource changes its owner: a release behind its last use, an
// acquire before the next. Before the first frame every resource is as the end of a frame leaves it: layout,
// owner and release.
//
// The six answers: capacity is fixed at construction (BytesFor; about 100 B per access and 50 B per
// resource); more than that is a programming error (asserted); natural alignment; nothing is destructed; one
// thread; the spans of a SyncPlan are valid until the next Derive. Cost: O(accesses × kinds of access), some
// 30 ns each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/arenas/arena.h"
#include "stadial/graph/access.h"
#include "stadial/graph/queues.h"

namespace stadial::graph {

// One use of a resource. A position uses a resource at most once: several uses are one with `|`.
struct ResourceAccess {
  std::uint32_t position = 0;
  std::uint32_t resource = 0;
  Access access;
};

enum class BarrierReason : std::uint8_t {
  ReadAfterWrite,
  WriteAfterRead,
  WriteAfterWrite,
  LayoutChange,
  OwnerRelease,
  OwnerAcquire
};
const char* ToString(BarrierReason reason) noexcept;

struct Barrier {
  std::uint64_t sourceStages = 0;
  std::uint64_t sourceAccess = 0;  // 0: execution only
  std::uint64_t targetStages = 0;
  std::uint64_t targetAccess = 0;
  std::uint32_t resource = 0;        // that it stands for; of several, the first
  std::uint32_t resourceCount = 1;   // that need it
  std::uint32_t position = 0;        // stands before this position's work; a release stands behind it
  std::uint32_t sourcePosition = 0;  // whose use of `resource` comes first
  ImageLayout oldLayout = ImageLayout::Any;
  ImageLayout newLayout = ImageLayout::Any;
  std::uint8_t sourceQueue = 0;
  std::uint8_t targetQueue = 0;
  BarrierReason reason = BarrierReason::ReadAfterWrite;
  bool isFrameBefore = false;  // sourcePosition is one of the frame before

  // Covers all resources; otherwise it is about its own only.
  bool IsGlobal() const noexcept { return reason <= BarrierReason::WriteAfterWrite; }
};

// Before `position` its queue waits until `queue` has passed its signal number `value` of this frame, or of
// the frame before. With timelines that count on, that is value + (frame - isFrameBefore) * signalsPerFrame.
struct SemaphoreWait {
  std::uint32_t position = 0;
  std::uint32_t signalPosition = 0;
  std::uint32_t value = 0;
  std::uint8_t queue = 0;
  bool isFrameBefore = false;
};

// Behind `position` its queue signals `value`, counted from 1 in each frame.
struct SemaphoreSignal {
  std::uint32_t position = 0;
  std::uint32_t value = 0;
  std::uint8_t queue = 0;
};

struct SyncPlan {
  std::uint32_t queueCount = 1;
  std::array<std::uint32_t, kQueuesMax> signalsPerFrame{};  // by queue
  std::span<const std::uint32_t> barrierBegin;  // by position, one more; empty: no barriers at all
  std::span<const Barrier> barriers;
  // Of several queues only; otherwise empty.
  std::span<const std::uint8_t> queueOf;        // by position; kNoQueue: nothing to run
  std::span<const std::uint32_t> releaseBegin;  // by position, one more
  std::span<const Barrier> releases;
  std::span<const std::uint32_t> waitBegin;  // by position, one more
  std::span<const SemaphoreWait> waits;
  std::span<const SemaphoreSignal> signals;  // by position

  std::span<const Barrier> BarriersAt(std::uint32_t position) const noexcept {
    return Part(barrierBegin, barriers, position);
  }
  std::span<const Barrier> ReleasesBehind(std::uint32_t position) const noexcept {
    return Part(releaseBegin, releases, position);
  }
  std::span<const SemaphoreWait> WaitsAt(std::uint32_t position) const noexcept {
    return Part(waitBegin, waits, position);
  }

 private:
  template <class T>
  static std::span<const T> Part(std::span<const std::uint32_t> begin, std::span<const T> all,
                                 std::uint32_t position) noexcept {
    if (begin.empty()) return {};
    return all.subspan(begin[position], begin[position + 1] - begin[position]);
  }
};

struct SyncInput {
  std::span<const ResourceAccess> accesses = {};  // by position, ascending
  std::uint32_t positions = 0;
  std::uint32_t resources = 0;
  DeviceQueues queues = {};
  std::span<const std::uint8_t> queueOf = {};  // by position, for more than one queue (AssignQueues)
};

struct SyncCapacity {
  std::uint32_t accesses = 0;
  std::uint32_t positions = 0;
  std::uint32_t resources = 0;
  std::uint32_t queues = 1;
};

// Different stages and accesses that are told apart. Of a frame with more, the rest count as one kind that
// has all their bits: right, but with more waiting.
inline constexpr std::uint32_t kAccessKindsMax = 24;

class SyncPlanner {
 public:
  SyncPlanner() noexcept = default;
  // Asserts where the arena is too small.
  SyncPlanner(arenas::Arena& memory, const SyncCapacity& capacity);
  static std::size_t BytesFor(const SyncCapacity& capacity) noexcept;
  const SyncCapacity& Capacity() const noexcept { return capacity_; }

  SyncPlan Derive(const SyncInput& input) noexcept;

 private:
  friend class SyncDerivation;
  struct Tables;

  SyncCapacity capacity_;
  Tables* tables_ = nullptr;
};

}  // namespace stadial::graph
