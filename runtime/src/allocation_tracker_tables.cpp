#include "allocation_tracker_tables.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "gate_stack.h"
#include "stadial/arenas/assert.h"
#include "stadial/runtime/clock.h"

namespace stadial::runtime {
namespace {

constexpr std::size_t AlignUp(std::size_t bytes) noexcept { return (bytes + 63) & ~std::size_t{63}; }

}  // namespace

std::size_t AllocationTracker::Tables::BytesFor(std::size_t recordsMax) noexcept {
  // Twice as many homes as records keep probes short.
  return AlignUp(sizeof(Tables)) + AlignUp(recordsMax * sizeof(Record)) +
         2 * recordsMax * sizeof(std::uint32_t);
}

AllocationTracker::Tables* AllocationTracker::Tables::Place(std::byte* memory,
                                                            std::size_t recordsMax) noexcept {
  STADIAL_ASSERT(std::has_single_bit(recordsMax), "the number of records must be a power of two");
  auto* const tables = ::new (memory) Tables{};
  std::byte* const records = memory + AlignUp(sizeof(Tables));
  std::byte* const homes = records + AlignUp(recordsMax * sizeof(Record));
  tables->records = {reinterpret_cast<Record*>(records), recordsMax};
  tables->homes = {reinterpret_cast<std::uint32_t*>(homes), 2 * recordsMax};
  tables->Clear();
  return tables;
}

void AllocationTracker::Tables::Clear() noexcept {
  const std::span<Record> keptRecords = records;
  const std::span<std::uint32_t> keptHomes = homes;
  std::memset(static_cast<void*>(this), 0, sizeof *this);
  records = keptRecords;
  homes = keptHomes;
  totals = AllocationSnapshot{};
  totals.timeNs = NowNs();
  std::fill(homes.begin(), homes.end(), 0u);
  for (std::size_t index = 0; index < records.size(); ++index) {
    records[index].ptr = nullptr;
    records[index].nextFree = index + 1 == records.size() ? 0u : static_cast<std::uint32_t>(index + 2);
  }
  firstFree = records.empty() ? 0u : 1u;
  std::memcpy(components[kTrackedComponentsMax].name, "(other components)", sizeof "(other components)");
}

std::size_t AllocationTracker::Tables::HomeOf(const void* ptr) const noexcept {
  const std::uint64_t mixed = reinterpret_cast<std::uintptr_t>(ptr) * std::uint64_t{0x9E3779B97F4A7C15};
  return static_cast<std::size_t>(mixed >> 32) & (homes.size() - 1);
}

std::size_t AllocationTracker::Tables::FindHome(const void* ptr) const noexcept {
  if (homes.empty()) return 0;
  for (std::size_t at = HomeOf(ptr); homes[at] != 0; at = (at + 1) & (homes.size() - 1)) {
    if (records[homes[at] - 1].ptr == ptr) return at;
  }
  return homes.size();
}

// Moves later entries of the probe sequence back, so that no tombstones pile up.
void AllocationTracker::Tables::EraseHome(std::size_t at) noexcept {
  const std::size_t mask = homes.size() - 1;
  std::size_t hole = at;
  for (std::size_t next = (hole + 1) & mask; homes[next] != 0; next = (next + 1) & mask) {
    const std::size_t home = HomeOf(records[homes[next] - 1].ptr);
    if (((next - home) & mask) < ((next - hole) & mask)) continue;  // it would land before its home
    homes[hole] = homes[next];
    hole = next;
  }
  homes[hole] = 0;
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

void AllocationTracker::Tables::Add(const Seen& seen) noexcept {
  Record record{};
  record.ptr = seen.ptr;
  record.size = seen.size;
  record.timeNs = NowNs();
  record.component = InternComponent(seen.component);
  record.phase = seen.phase;
  record.depth =
      static_cast<std::uint8_t>(detail::CaptureStackFast(seen.caller, record.frames, kTrackedStackDepthMax));

  ++totals.count;
  totals.totalBytes += seen.size;
  const std::size_t phase = static_cast<std::size_t>(seen.phase) % kTrackedPhases;
  ++countByPhase[phase];
  bytesByPhase[phase] += seen.size;
  Component& component = components[record.component];
  ++component.count;
  component.bytes += seen.size;
  ++component.countByPhase[phase];
  component.bytesByPhase[phase] += seen.size;
  if (first.ptr == nullptr) first = record;
  if (largest.ptr == nullptr || seen.size > largest.size) {
    largest = record;
    totals.largestAllocation = ComponentName(record.component);
  }
  Follow(record);
}

void AllocationTracker::Tables::Follow(const Record& record) noexcept {
  // The same address again: its free came through a path that nobody reported.
  if (const std::size_t at = FindHome(record.ptr); at < homes.size()) {
    Record& stale = records[homes[at] - 1];
    totals.liveBytes += record.size - stale.size;
    RemoveLive(stale.component, stale.size);
    AddLive(record.component, record.size);
    const std::uint32_t nextFree = stale.nextFree;
    stale = record;
    stale.nextFree = nextFree;
    return;
  }
  if (firstFree == 0) {
    ++dropped;
    return;
  }
  const std::uint32_t taken = firstFree;
  Record& slot = records[taken - 1];
  firstFree = slot.nextFree;
  slot = record;
  slot.nextFree = 0;
  std::size_t at = HomeOf(record.ptr);
  while (homes[at] != 0) at = (at + 1) & (homes.size() - 1);
  homes[at] = taken;
  ++totals.liveCount;
  totals.liveBytes += record.size;
  AddLive(record.component, record.size);
}

bool AllocationTracker::Tables::Remove(const void* ptr) noexcept {
  const std::size_t at = FindHome(ptr);
  if (at >= homes.size()) return false;
  const std::uint32_t index = homes[at];
  Record& record = records[index - 1];
  EraseHome(at);
  --totals.liveCount;
  totals.liveBytes -= record.size;
  totals.freedBytes += record.size;
  RemoveLive(record.component, record.size);
  record.ptr = nullptr;
  record.nextFree = firstFree;
  firstFree = index;
  return true;
}

TrackedAllocation AllocationTracker::Tables::Describe(const Record& record) const noexcept {
  TrackedAllocation described;
  if (record.ptr == nullptr) return described;
  described.ptr = record.ptr;
  described.size = record.size;
  described.timeNs = record.timeNs;
  described.component = ComponentName(record.component);
  described.phase = record.phase;
  described.stack.depth = record.depth;
  std::copy(record.frames, record.frames + record.depth, described.stack.frames.begin());
  return described;
}

}  // namespace stadial::runtime
