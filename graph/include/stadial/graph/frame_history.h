// FrameHistory: which resources a node kept in the last frames. A ring of depth = frames of history + the
// current frame; frame i lives in slot i % depth, so the same index picks the physical copy of a resource and
// the recorded commands that read it.
//
//   history.Rotate(frameIndex);                         // at frame start: the slot is cleared and stamped
//   history.Store(kColor, handle, ResourceKind::Image);
//   HistoryLookup previous = history.Get(1, kColor);    // null handle and a reason when there is none
//
// The six answers: never grows; a full slot refuses (StoreResult::Full); natural alignment; plain values,
// nothing is destructed; one thread; lookups return values, no pointer leaves. Storage comes from an arena at
// construction (about 24 B per resource and slot). Cost: Rotate O(1); Get O(ids of a frame); Store O(depth ×
// ids of a frame).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/graph/resources.h"

namespace stadial::graph {

// The node's own name for something it keeps: any number, unique within the node.
using ResourceId = std::uint32_t;

enum class HistoryReason : std::uint8_t {
  Available,     // the handle is good
  FirstFrame,    // that frame lies before the first one
  SkippedFrame,  // that frame never began here
  NotStored,     // the frame ran, but the node did not store this id in it
  Resized,       // stored, but invalidated since, or the resource is gone
  OutOfRange,    // further back than the history reaches
};
const char* ToString(HistoryReason reason) noexcept;

struct HistoryLookup {
  ResourceHandle handle;
  HistoryReason reason = HistoryReason::NotStored;
  explicit operator bool() const noexcept { return reason == HistoryReason::Available; }
};

enum class StoreResult : std::uint8_t {
  Stored,
  Replaced,      // the same id was stored before in this frame
  Full,          // no room for another id in a frame; nothing stored
  KindConflict,  // the id is in use for the other kind, or the resource is of it; nothing stored
  NullHandle,    // null or stale handle; nothing stored
};
const char* ToString(StoreResult result) noexcept;

struct FrameHistoryOptions {
  std::uint32_t historyFrames = 4;           // earlier frames to keep; 0 keeps the current frame only
  std::uint32_t resourcesPerFrame = 4;       // ids per frame
  std::uint32_t framesInFlight = 1;          // see PhysicalCopies
  const ResourceTable* resources = nullptr;  // when given, a dead handle is never returned
};

class FrameHistory {
 public:
  // Depth 1, no room for resources: everything is refused or not found.
  FrameHistory() noexcept = default;
  // Asserts where the arena is too small.
  FrameHistory(arenas::Arena& memory, const FrameHistoryOptions& options);
  static std::size_t BytesFor(const FrameHistoryOptions& options) noexcept;

  // Starts frame `frameIndex`: its slot is cleared and stamped. The same index again does nothing; a smaller
  // one asserts; a gap leaves the frames between unstamped (SkippedFrame).
  void Rotate(std::uint64_t frameIndex) noexcept STADIAL_NONALLOCATING;

  // Into the current frame. Before the first Rotate, frame 0 is current.
  StoreResult Store(ResourceId id, ResourceHandle handle, ResourceKind kind) noexcept STADIAL_NONALLOCATING;

  // framesAgo: 0 the current frame, 1 the one before, ... HistoryFrames() the oldest.
  HistoryLookup Get(std::uint32_t framesAgo, ResourceId id) const noexcept STADIAL_NONALLOCATING;

  // Everything stored so far becomes Resized: call it when what the history means has changed (resize,
  // reconfiguration, camera cut).
  void Invalidate() noexcept { ++generation_; }

  std::uint32_t HistoryFrames() const noexcept { return depth_ - 1; }
  std::uint32_t Depth() const noexcept { return depth_; }
  std::uint32_t CurrentSlot() const noexcept { return current_; }
  std::uint64_t CurrentFrame() const noexcept { return frameIndex_; }
  std::uint32_t Generation() const noexcept { return generation_; }
  // Copies of a resource that the host writes each frame and later frames read as history: while frame i is
  // written, i - historyFrames may still be read by frame i - framesInFlight + 1, so
  // historyFrames + framesInFlight. What only the GPU writes, in order on one queue, needs Depth().
  std::uint32_t PhysicalCopies() const noexcept { return HistoryFrames() + framesInFlight_; }
  std::uint64_t RefusedStores() const noexcept { return refusedStores_; }

 private:
  struct Entry {
    ResourceId id;
    ResourceHandle handle;
    std::uint32_t generation;
    ResourceKind kind;
  };
  struct FrameSlot {
    std::uint64_t frameIndex;
    std::uint32_t count;
    bool stamped;
  };
  Entry* EntriesOf(std::uint32_t slot) const noexcept {
    return entries_.data() + std::size_t{slot} * perFrame_;
  }
  bool ConflictsInKind(ResourceId id, ResourceKind kind) const noexcept;

  std::span<FrameSlot> slots_;
  std::span<Entry> entries_;
  const ResourceTable* resources_ = nullptr;
  std::uint64_t frameIndex_ = 0;
  std::uint64_t firstFrame_ = 0;
  std::uint64_t refusedStores_ = 0;
  std::uint32_t depth_ = 1;
  std::uint32_t perFrame_ = 0;
  std::uint32_t framesInFlight_ = 1;
  std::uint32_t current_ = 0;
  std::uint32_t generation_ = 0;
  bool begun_ = false;
};

}  // namespace stadial::graph
