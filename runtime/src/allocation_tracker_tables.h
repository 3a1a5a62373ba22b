// What an AllocationTracker remembers: totals, components, origins and the live blocks, in one piece of
// reserved memory. An allocation and a free count in their origin alone; totals and components hear of it
// when somebody asks (Totals). Private to the runtime. Nothing here locks: the tracker does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "gate_counters.h"
#include "stadial/arenas/effects.h"
#include "stadial/runtime/allocation_tracker.h"
#include "tracked_blocks.h"
#include "tracked_origins.h"

namespace stadial::runtime {

struct AllocationTracker::Tables {
  struct Component {
    char name[kTrackedComponentNameBytesMax];
    std::uint64_t count;
    std::uint64_t bytes;
    std::uint64_t liveCount;
    std::uint64_t liveBytes;
    std::uint64_t countByPhase[kTrackedPhases];
    std::uint64_t bytesByPhase[kTrackedPhases];
  };

  // Bytes that the tables take for this many blocks (a power of two).
  static std::size_t BytesFor(std::size_t blocksMax) noexcept;
  // Places the tables at the start of zeroed `memory` of BytesFor(blocksMax) bytes.
  static Tables* Place(std::byte* memory, std::size_t blocksMax) noexcept;

  void Clear() noexcept;
  std::string_view ComponentName(std::size_t index) const noexcept { return components[index].name; }
  TrackedAllocation Describe(const TrackedBlocks::Block& block) const noexcept;
  // Brings totals and components up to date, and returns the totals.
  AllocationSnapshot Totals() noexcept STADIAL_NONALLOCATING;

  // The two that a program waits for. The quick forms do what is usual, or nothing and return false.
  [[gnu::always_inline]] bool AddQuickly(const void* ptr, std::size_t sizeBytes,
                                         const AllocationSite& site) noexcept {
    const TrackedOrigins::Recent& recent = origins.RecentOf(site);
    if (!recent.Is(site) || sizeBytes > largest.size) [[unlikely]]
      return false;
    if (origins[recent.origin].count % kCountPerReading == 0) [[unlikely]]
      return false;
    TrackedBlocks::Block* const block = blocks.InsertQuickly(ptr);
    if (block == nullptr) [[unlikely]]
      return false;
    block->size = sizeBytes;
    block->timeNs = timeNs;
    block->origin = recent.origin;
    origins.CountAllocation(recent.origin, sizeBytes);
    return true;
  }
  void Add(const void* ptr, std::size_t sizeBytes, const AllocationSite& site) noexcept;
  [[gnu::always_inline]] bool RemoveQuickly(const void* ptr) noexcept {
    const TrackedBlocks::Block* const block = blocks.RemoveQuickly(
        ptr, [this](const auto& found) noexcept { return !origins.IsLastNeed(found.origin); });
    if (block == nullptr) [[unlikely]]
      return false;
    origins.CountFree(block->origin, block->size);
    return true;
  }
  // False when the block was not followed.
  bool Remove(const void* ptr) noexcept;

  AllocationSnapshot totals;
  std::uint64_t countByPhase[kTrackedPhases];
  std::uint64_t bytesByPhase[kTrackedPhases];
  SourceStats sources[kAllocationSourceCount];
  std::uint64_t driverCount;
  std::uint64_t driverBytes;
  std::uint64_t otherCount;
  std::uint64_t otherBytes;
  std::uint64_t dropped;
  std::uint64_t otherFrees;   // frees of blocks that were not followed
  TrackedAllocation largest;  // ptr null: none yet
  TrackedAllocation first;

  Component components[kTrackedComponentsMax + 1];  // the last one is "(other components)"
  std::size_t componentCount;
  const void* starter;  // the thread that called StartTracking

  TrackedOrigins origins;
  TrackedBlocks blocks;

 private:
  // A reading of the clock takes longer than all the rest.
  static constexpr std::uint64_t kCountPerReading = 256;

  void CountFree(std::uint32_t origin, std::uint64_t sizeBytes) noexcept {
    const bool isLast = origins.IsLastNeed(origin);
    origins.CountFree(origin, sizeBytes);
    if (isLast) Drop(origin);
  }
  std::uint32_t OriginOf(const AllocationSite& site) noexcept;
  std::uint16_t InternComponent(std::string_view name) noexcept;
  void NoteLargest(const void* ptr, std::size_t sizeBytes, std::uint32_t origin) noexcept;
  void ReadTime() noexcept STADIAL_NONALLOCATING;
  // A counted block that is no longer, or never was, followed: not live, and not freed either.
  void Forget(std::uint32_t origin, std::uint64_t sizeBytes) noexcept;
  void SettleOrigin(std::uint32_t origin) noexcept STADIAL_NONALLOCATING;
  void Drop(std::uint32_t origin) noexcept;

  std::uint64_t timeNs;  // the last reading of the clock
};

}  // namespace stadial::runtime
