// What an AllocationTracker tells: snapshots and their differences, statistics, text.
#include <algorithm>

#include "allocation_tracker_tables.h"
#include "gate_stack.h"
#include "gate_text.h"

namespace stadial::runtime {
namespace {

std::int64_t Difference(std::uint64_t later, std::uint64_t earlier) noexcept {
  return static_cast<std::int64_t>(later - earlier);
}

void AppendAllocation(detail::GateText& text, std::string_view label,
                      const TrackedAllocation& allocation) noexcept {
  text.Append(label)
      .Append(": ")
      .AppendDecimal(allocation.size)
      .Append(" B, component '")
      .Append(allocation.component);
  text.Append("', phase ").Append(ToString(allocation.phase)).Append("\n");
  detail::AppendStack(text, allocation.stack.frames.data(), allocation.stack.depth);
}

}  // namespace

SnapshotDelta operator-(const AllocationSnapshot& later, const AllocationSnapshot& earlier) noexcept {
  SnapshotDelta delta;
  delta.count = Difference(later.count, earlier.count);
  delta.totalBytes = Difference(later.totalBytes, earlier.totalBytes);
  delta.frees = Difference(later.frees, earlier.frees);
  delta.freedBytes = Difference(later.freedBytes, earlier.freedBytes);
  delta.liveCount = Difference(later.liveCount, earlier.liveCount);
  delta.liveBytes = Difference(later.liveBytes, earlier.liveBytes);
  delta.elapsedNs = Difference(later.timeNs, earlier.timeNs);
  delta.largestAllocation = later.largestAllocation;
  return delta;
}

const ComponentStats* ComponentTable::Find(std::string_view name) const noexcept {
  const auto* const found =
      std::find_if(begin(), end(), [=](const ComponentStats& entry) noexcept { return entry.name == name; });
  return found == end() ? nullptr : found;
}

std::uint64_t ComponentTable::operator[](std::string_view name) const noexcept {
  const ComponentStats* const found = Find(name);
  return found == nullptr ? 0 : found->bytes;
}

AllocationSnapshot AllocationTracker::Snapshot() const noexcept {
  if (tables_ == nullptr) return {};
  const BiasedLock::Guard guard(lock_);
  return tables_->Totals();
}

AllocationTracker::Allocations AllocationTracker::GetAllocations() const noexcept {
  if (tables_ == nullptr) return {};
  const BiasedLock::Guard guard(lock_);
  const AllocationSnapshot totals = tables_->Totals();
  return {totals.count, totals.totalBytes, totals.frees, totals.liveCount, totals.liveBytes};
}

AllocationTracker::Stats AllocationTracker::GetStats() const noexcept {
  Stats stats;
  if (tables_ == nullptr) return stats;
  const BiasedLock::Guard guard(lock_);
  const AllocationSnapshot totals = tables_->Totals();
  const Tables& tables = *tables_;
  stats.count = totals.count;
  stats.totalBytes = totals.totalBytes;
  stats.frees = totals.frees;
  stats.liveCount = totals.liveCount;
  stats.liveBytes = totals.liveBytes;
  for (std::size_t index = 0; index <= kTrackedComponentsMax; ++index) {
    const Tables::Component& component = tables.components[index];
    if (component.count == 0) continue;
    ComponentStats& entry = stats.byComponent.entries_[stats.byComponent.size_++];
    entry = {.name = component.name,
             .count = component.count,
             .bytes = component.bytes,
             .liveCount = component.liveCount,
             .liveBytes = component.liveBytes};
    std::ranges::copy(component.countByPhase, entry.countByPhase.begin());
    std::ranges::copy(component.bytesByPhase, entry.bytesByPhase.begin());
  }
  std::ranges::copy(tables.countByPhase, stats.countByPhase.begin());
  std::ranges::copy(tables.bytesByPhase, stats.bytesByPhase.begin());
  std::ranges::copy(tables.sources, stats.bySource.begin());
  stats.largest = tables.largest;
  stats.largestAllocation = stats.largest.component;
  stats.largestSize = stats.largest.size;
  stats.largestSite = stats.largest.stack.depth > 0 ? stats.largest.stack.frames[0] : nullptr;
  stats.first = tables.first;
  stats.driverCount = tables.driverCount;
  stats.driverBytes = tables.driverBytes;
  stats.otherThreadsCount = tables.otherCount;
  stats.otherThreadsBytes = tables.otherBytes;
  stats.droppedRecords = tables.dropped;
  return stats;
}

std::size_t AllocationTracker::CopyLive(TrackedAllocation* out, std::size_t capacity) const noexcept {
  if (tables_ == nullptr) return 0;
  const BiasedLock::Guard guard(lock_);
  std::size_t copied = 0;
  tables_->blocks.ForEach([&](const TrackedBlocks::Block& block) noexcept {
    if (copied == capacity) return false;
    out[copied++] = tables_->Describe(block);
    return true;
  });
  return copied;
}

std::size_t AllocationTracker::Describe(char* text, std::size_t textBytes) const noexcept {
  if (textBytes == 0) return 0;
  detail::GateText description(text, textBytes);
  const Stats stats = GetStats();
  description.AppendDecimal(stats.count)
      .Append(" allocations of ")
      .AppendDecimal(stats.totalBytes)
      .Append(" B, ");
  description.AppendDecimal(stats.frees).Append(" frees");
  if (stats.driverCount != 0) description.Append("; the driver's own: ").AppendDecimal(stats.driverCount);
  if (stats.otherThreadsCount != 0)
    description.Append("; on other threads: ").AppendDecimal(stats.otherThreadsCount);
  if (stats.droppedRecords != 0) description.Append("; not followed: ").AppendDecimal(stats.droppedRecords);
  description.Append("\n");
  if (stats.count != 0) {
    AppendAllocation(description, "first", stats.first);
    AppendAllocation(description, "largest", stats.largest);
  }
  return description.Length();
}

}  // namespace stadial::runtime
