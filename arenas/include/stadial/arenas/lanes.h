// LaneSet: one Arena per registered thread, so that the hot path needs no atomic. Each lane has its own pages
// (no false sharing of data) and its own cache lines (none of the arenas themselves).
//
// Growth:       none; the bytes are divided evenly, each lane a whole number of pages.
// Exhaustion:   of one lane as of any Arena; lanes do not borrow from each other. The message names the lane.
// Alignment:    as Arena; each lane starts at a page when `base` does.
// Destructors:  none run.
// Threads:      lane i belongs to the thread of index i. ResetAll: when no lane is in use.
// Invalidation: ResetAll invalidates everything in every lane. The LaneSet itself is a view: copies are the
//               same set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/result.h"

namespace stadial::arenas {

struct LaneOptions {
  const char* name = "";  // "frame"; becomes the lanes' kind
  std::uint32_t count = 0;
  const char* remedy = "raise the bytes per lane";
  // Checked builds: so many of each lane's bytes are for guards and not capacity (ArenaOptions::guardBytes).
  std::size_t guardBytes = 0;
};

class LaneSet {
 public:
  LaneSet() noexcept = default;  // no lanes

  // Divides [base, base+bytes) into lanes. The arenas and their names ("lane 2") live in `tableMemory`; name
  // and remedy are not copied. In checked builds each lane belongs to one thread (ArenaOptions::oneThread).
  // Errors: InvalidArgument for no lanes or less than a page each, guardBytes included; CapacityExceeded when
  // tableMemory is too small.
  static Result<LaneSet> Carve(const LaneOptions& options, std::byte* base, std::size_t bytes,
                               Arena& tableMemory,
                               std::source_location site = std::source_location::current());
  static Result<LaneSet> Carve(const char* name, std::byte* base, std::size_t bytes, std::uint32_t laneCount,
                               Arena& tableMemory, const char* remedy = "raise the bytes per lane",
                               std::source_location site = std::source_location::current()) {
    return Carve(LaneOptions{.name = name, .count = laneCount, .remedy = remedy}, base, bytes, tableMemory,
                 site);
  }

  Arena& Lane(std::uint32_t index) const noexcept {
    STADIAL_ASSERT_COMPARE(index, <, count_, "no such lane");
    return lanes_[index];
  }
  std::uint32_t Count() const noexcept { return count_; }
  // O(lanes).
  void ResetAll(std::source_location site = std::source_location::current()) const noexcept
      STADIAL_NONALLOCATING;
  // The lanes, which must be empty, use [base, base + bytes) of other memory from now on (quarantine.h).
  void MoveAll(std::byte* base) const noexcept STADIAL_NONALLOCATING;
  // Sums over the lanes.
  std::size_t UsedBytes() const noexcept STADIAL_NONALLOCATING;
  std::size_t PeakBytes() const noexcept STADIAL_NONALLOCATING;
  std::size_t CapacityBytes() const noexcept;
  // Of the fullest lane: what the bytes per lane have to cover.
  std::size_t LanePeakBytesMax() const noexcept;

 private:
  LaneSet(Arena* lanes, std::uint32_t count) noexcept : lanes_(lanes), count_(count) {}
  Arena* lanes_ = nullptr;
  std::uint32_t count_ = 0;
};

}  // namespace stadial::arenas
