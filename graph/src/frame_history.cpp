#include "stadial/graph/frame_history.h"

#include "byte_rounding.h"
#include "stadial/arenas/assert.h"

namespace stadial::graph {

const char* ToString(HistoryReason reason) noexcept {
  switch (reason) {
    case HistoryReason::Available:
      return "Available";
    case HistoryReason::FirstFrame:
      return "FirstFrame";
    case HistoryReason::SkippedFrame:
      return "SkippedFrame";
    case HistoryReason::NotStored:
      return "NotStored";
    case HistoryReason::Resized:
      return "Resized";
    case HistoryReason::OutOfRange:
      return "OutOfRange";
  }
  return "unknown";
}

const char* ToString(StoreResult result) noexcept {
  switch (result) {
    case StoreResult::Stored:
      return "Stored";
    case StoreResult::Replaced:
      return "Replaced";
    case StoreResult::Full:
      return "Full";
    case StoreResult::KindConflict:
      return "KindConflict";
    case StoreResult::NullHandle:
      return "NullHandle";
  }
  return "unknown";
}

FrameHistory::FrameHistory(arenas::Arena& memory, const FrameHistoryOptions& options)
    // + 1: the current frame has a slot of its own, so that the oldest frame asked for is still there.
    : slots_(memory.NewArray<FrameSlot>(std::size_t{options.historyFrames} + 1)),
      entries_(memory.NewArray<Entry>((std::size_t{options.historyFrames} + 1) * options.resourcesPerFrame)),
      resources_(options.resources),
      depth_(options.historyFrames + 1),
      perFrame_(options.resourcesPerFrame),
      framesInFlight_(options.framesInFlight) {
  STADIAL_ASSERT_COMPARE(depth_, >, 0u, "a history of 2^32 - 1 frames has no ring");
  STADIAL_ASSERT_COMPARE(framesInFlight_, >, 0u, "at least one frame is in flight");
}

std::size_t FrameHistory::BytesFor(const FrameHistoryOptions& options) noexcept {
  const std::size_t depth = std::size_t{options.historyFrames} + 1;
  return ArenaBytes<FrameSlot>(depth) + ArenaBytes<Entry>(depth * options.resourcesPerFrame);
}

void FrameHistory::Rotate(std::uint64_t frameIndex) noexcept {
  if (begun_ && frameIndex == frameIndex_) return;
  if (begun_) {
    STADIAL_ASSERT_COMPARE(frameIndex, >, frameIndex_, "frames of a history go forward");
  } else {
    begun_ = true;
    firstFrame_ = frameIndex;
  }
  frameIndex_ = frameIndex;
  current_ = static_cast<std::uint32_t>(frameIndex % depth_);
  if (!slots_.empty()) slots_[current_] = {.frameIndex = frameIndex, .count = 0, .stamped = true};
}

bool FrameHistory::ConflictsInKind(ResourceId id, ResourceKind kind) const noexcept {
  for (std::uint32_t slot = 0; slot < slots_.size(); ++slot) {
    if (!slots_[slot].stamped) continue;
    for (const Entry& entry : std::span(EntriesOf(slot), slots_[slot].count)) {
      // An invalidated life of the id binds nobody: after a reconfiguration it may become the other kind.
      if (entry.id == id && entry.generation == generation_) return entry.kind != kind;
    }
  }
  return false;
}

StoreResult FrameHistory::Store(ResourceId id, ResourceHandle handle, ResourceKind kind) noexcept {
  if (!begun_) Rotate(0);
  const auto refuse = [this](StoreResult reason) {
    ++refusedStores_;
    return reason;
  };
  if (handle.IsNull() || (resources_ != nullptr && !resources_->IsAlive(handle)))
    return refuse(StoreResult::NullHandle);
  const bool isOtherKind = resources_ != nullptr && resources_->Get(handle)->kind != kind;
  if (isOtherKind || ConflictsInKind(id, kind)) return refuse(StoreResult::KindConflict);
  if (slots_.empty()) return refuse(StoreResult::Full);

  FrameSlot& slot = slots_[current_];
  Entry* const entries = EntriesOf(current_);
  const Entry fresh{.id = id, .handle = handle, .generation = generation_, .kind = kind};
  for (std::uint32_t i = 0; i < slot.count; ++i) {
    if (entries[i].id != id) continue;
    entries[i] = fresh;
    return StoreResult::Replaced;
  }
  if (slot.count == perFrame_) return refuse(StoreResult::Full);
  entries[slot.count++] = fresh;
  return StoreResult::Stored;
}

HistoryLookup FrameHistory::Get(std::uint32_t framesAgo, ResourceId id) const noexcept {
  if (framesAgo >= depth_) return {.handle = {}, .reason = HistoryReason::OutOfRange};
  if (!begun_ || frameIndex_ - firstFrame_ < framesAgo) {
    return {.handle = {}, .reason = framesAgo == 0 ? HistoryReason::NotStored : HistoryReason::FirstFrame};
  }
  if (slots_.empty()) return {.handle = {}, .reason = HistoryReason::NotStored};

  const std::uint64_t wanted = frameIndex_ - framesAgo;
  const auto index = static_cast<std::uint32_t>(wanted % depth_);
  const FrameSlot& slot = slots_[index];
  if (!slot.stamped || slot.frameIndex != wanted)
    return {.handle = {}, .reason = HistoryReason::SkippedFrame};
  for (const Entry& entry : std::span(EntriesOf(index), slot.count)) {
    if (entry.id != id) continue;
    if (entry.generation != generation_ || (resources_ != nullptr && !resources_->IsAlive(entry.handle))) {
      return {.handle = {}, .reason = HistoryReason::Resized};
    }
    return {.handle = entry.handle, .reason = HistoryReason::Available};
  }
  return {.handle = {}, .reason = HistoryReason::NotStored};
}

}  // namespace stadial::graph
