// What an AllocationTracker remembers: totals, components, and the live blocks, in one piece of reserved
// memory. Private to the runtime. Nothing here locks: the tracker does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "stadial/arenas/effects.h"
#include "stadial/runtime/allocation_tracker.h"

namespace stadial::runtime {

struct AllocationTracker::Tables {
  struct Record {
    const void* ptr;  // null: free
    std::uint64_t size;
    std::uint64_t timeNs;
    std::uint16_t component;
    Phase phase;
    std::uint8_t depth;
    std::uint32_t nextFree;  // index + 1 of the next free record; 0: none
    const void* frames[kTrackedStackDepthMax];
  };
  struct Component {
    char name[kTrackedComponentNameBytesMax];
    std::uint64_t count;
    std::uint64_t bytes;
    std::uint64_t liveCount;
    std::uint64_t liveBytes;
    std::uint64_t countByPhase[kTrackedPhases];
    std::uint64_t bytesByPhase[kTrackedPhases];
  };
  // One allocation, as the gate or Record tells it.
  struct Seen {
    void* ptr;
    std::size_t size;
    std::string_view component;
    Phase phase;
    const void* caller;
  };

  // Bytes that the tables take for this many records (a power of two).
  static std::size_t BytesFor(std::size_t recordsMax) noexcept;
  // Places the tables at the start of zeroed `memory` of BytesFor(recordsMax) bytes.
  static Tables* Place(std::byte* memory, std::size_t recordsMax) noexcept;

  void Clear() noexcept;
  void Add(const Seen& seen) noexcept;
  // True when the block was followed.
  bool Remove(const void* ptr) noexcept;
  std::string_view ComponentName(std::size_t index) const noexcept { return components[index].name; }
  TrackedAllocation Describe(const Record& record) const noexcept;

  AllocationSnapshot totals;
  std::uint64_t countByPhase[kTrackedPhases];
  std::uint64_t bytesByPhase[kTrackedPhases];
  SourceStats sources[kAllocationSourceCount];
  std::uint64_t driverCount;
  std::uint64_t driverBytes;
  std::uint64_t otherCount;
  std::uint64_t otherBytes;
  std::uint64_t dropped;
  Record largest;  // ptr null: none yet
  Record first;

  Component components[kTrackedComponentsMax + 1];  // the last one is "(other components)"
  std::size_t componentCount;
  const void* starter;  // the thread that called StartTracking

  std::span<Record> records;
  std::span<std::uint32_t> homes;  // open addressing, linear probing: record index + 1, 0: empty
  std::uint32_t firstFree;

 private:
  std::size_t HomeOf(const void* ptr) const noexcept;
  // The position in `homes` that holds `ptr`; homes.size() when there is none.
  std::size_t FindHome(const void* ptr) const noexcept;
  void EraseHome(std::size_t at) noexcept;
  std::uint16_t InternComponent(std::string_view name) noexcept;
  void Follow(const Record& record) noexcept;
  // The component's live blocks: one of `bytes` more, or less.
  void AddLive(std::uint16_t component, std::uint64_t bytes) noexcept {
    ++components[component].liveCount;
    components[component].liveBytes += bytes;
  }
  void RemoveLive(std::uint16_t component, std::uint64_t bytes) noexcept {
    --components[component].liveCount;
    components[component].liveBytes -= bytes;
  }
};

// Holds the tracker's spin lock.
class AllocationTracker::Lock {
 public:
  explicit Lock(const AllocationTracker& tracker) noexcept STADIAL_NONALLOCATING;
  ~Lock() noexcept STADIAL_NONALLOCATING;
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  std::atomic<std::uint32_t>& locked_;
};

}  // namespace stadial::runtime
