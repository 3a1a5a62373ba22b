#include "allocation_tracker_tables.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "stadial/arenas/assert.h"
#include "stadial/runtime/clock.h"

namespace stadial::runtime {
namespace {

constexpr std::size_t AlignUp(std::size_t bytes) noexcept { return (bytes + 63) & ~std::size_t{63}; }

}  // namespace

std::size_t AllocationTracker::Tables::BytesFor(std::size_t blocksMax) noexcept {
  return AlignUp(sizeof(Tables)) + AlignUp(TrackedBlocks::BytesFor(blocksMax)) +
         AlignUp(TrackedOrigins::BytesFor(blocksMax));
}

AllocationTracker::Tables* AllocationTracker::Tables::Place(std::byte* memory,
                                                            std::size_t blocksMax) noexcept {
  auto* const tables = ::new (memory) Tables{};
  std::byte* const blocks = memory + AlignUp(sizeof(Tables));
  tables->blocks.Place(blocks, blocksMax);
  tables->origins.Place(blocks + AlignUp(TrackedBlocks::BytesFor(blocksMax)), blocksMax);
  tables->Clear();
  return tables;
}

void AllocationTracker::Tables::Clear() noexcept {
  totals = AllocationSnapshot{};
  totals.timeNs = NowNs();
  std::ranges::fill(countByPhase, 0u);
  std::ranges::fill(bytesByPhase, 0u);
  std::ranges::fill(sources, SourceStats{});
  driverCount = driverBytes = otherCount = otherBytes = dropped = otherFrees = 0;
  largest = first = TrackedAllocation{};
  std::ranges::fill(components, Component{});
  std::memcpy(components[kTrackedComponentsMax].name, "(other components)", sizeof "(other components)");
  componentCount = 0;
  starter = nullptr;
  origins.Clear();
  blocks.Clear();
}

std::uint16_t AllocationTracker::Tables::InternComponent(std::string_view name) noexcept {
  name = name.substr(0, kTrackedComponentNameBytesMax - 1);
  for (std::size_t index = 0; index < componentCount; ++index) {
    if (ComponentName(index) == name) return static_cast<std::uint16_t>(index);
  }
  if (componentCount == kTrackedComponentsMax) return kTrackedComponentsMax;
  Component& added = components[componentCount];
  std::memcpy(added.name, name.data(), name.size());
  added.name[name.size()] = '\0';
  return static_cast<std::uint16_t>(componentCount++);
}

std::uint32_t AllocationTracker::Tables::OriginOf(const AllocationSite& site) noexcept {
  TrackedOrigins::Recent& recent = origins.RecentOf(site);
  if (!recent.Is(site)) {
    const std::uint16_t component = InternComponent(site.component);
    const std::uint32_t unneeded = origins.Learn(recent, site, component, components[component].name);
    if (unneeded != 0) Drop(unneeded);
  }
  return recent.origin;
}

void AllocationTracker::Tables::Add(const void* ptr, std::size_t sizeBytes,
                                    const AllocationSite& site) noexcept {
  const std::uint32_t origin = OriginOf(site);
  if (origins[origin].count % kCountPerReading == 0) ReadTime();
  if (first.ptr == nullptr || sizeBytes > largest.size) NoteLargest(ptr, sizeBytes, origin);
  // The same address again: its free came through a path that nobody reported.
  if (const TrackedBlocks::Block* const stale = blocks.Remove(ptr); stale != nullptr)
    Forget(stale->origin, stale->size);
  if (TrackedBlocks::Block* const block = blocks.Insert(ptr); block != nullptr) {
    block->size = sizeBytes;
    block->timeNs = timeNs;
    block->origin = origin;
    origins.CountAllocation(origin, sizeBytes);
  } else {
    ++dropped;
    origins.CountAllocation(origin, sizeBytes);
    Forget(origin, sizeBytes);
  }
}

bool AllocationTracker::Tables::Remove(const void* ptr) noexcept {
  const TrackedBlocks::Block* const block = blocks.Remove(ptr);
  if (block != nullptr) CountFree(block->origin, block->size);
  return block != nullptr;
}

void AllocationTracker::Tables::ReadTime() noexcept { timeNs = NowNs(); }

void AllocationTracker::Tables::NoteLargest(const void* ptr, std::size_t sizeBytes,
                                            std::uint32_t origin) noexcept {
  ReadTime();
  largest = Describe({.ptr = ptr, .size = sizeBytes, .timeNs = timeNs, .origin = origin, .nextFree = 0});
  if (first.ptr == nullptr) first = largest;
  totals.largestAllocation = largest.component;
}

void AllocationTracker::Tables::Forget(std::uint32_t origin, std::uint64_t sizeBytes) noexcept {
  --totals.frees;
  totals.freedBytes -= sizeBytes;
  CountFree(origin, sizeBytes);
}

void AllocationTracker::Tables::SettleOrigin(std::uint32_t number) noexcept {
  const OriginTally news = origins.TakeNews(number);
  const TrackedOrigins::Origin& origin = origins[number];
  const std::size_t phase = static_cast<std::size_t>(origin.phase) % kTrackedPhases;
  countByPhase[phase] += news.count;
  bytesByPhase[phase] += news.bytes;
  Component& component = components[origin.component];
  component.count += news.count;
  component.bytes += news.bytes;
  component.countByPhase[phase] += news.count;
  component.bytesByPhase[phase] += news.bytes;
  component.liveCount += news.count - news.freed;
  component.liveBytes += news.bytes - news.freedBytes;
  totals.count += news.count;
  totals.totalBytes += news.bytes;
  totals.frees += news.freed;
  totals.freedBytes += news.freedBytes;
  totals.liveCount += news.count - news.freed;
  totals.liveBytes += news.bytes - news.freedBytes;
}

AllocationSnapshot AllocationTracker::Tables::Totals() noexcept {
  origins.ForEachDirty([this](std::uint32_t number) noexcept { SettleOrigin(number); });
  ReadTime();
  AllocationSnapshot now = totals;
  now.frees += otherFrees;
  now.timeNs = timeNs;
  return now;
}

void AllocationTracker::Tables::Drop(std::uint32_t origin) noexcept {
  SettleOrigin(origin);
  origins.Remove(origin);
}

TrackedAllocation AllocationTracker::Tables::Describe(const TrackedBlocks::Block& block) const noexcept {
  TrackedAllocation described;
  described.ptr = block.ptr;
  described.size = block.size;
  described.timeNs = block.timeNs;
  described.component = ComponentName(origins[block.origin].component);
  described.phase = origins[block.origin].phase;
  const auto stack = origins.Stack(block.origin);
  described.stack.depth = static_cast<std::uint32_t>(stack.size());
  std::ranges::copy(stack, described.stack.frames.begin());
  return described;
}

}  // namespace stadial::runtime
