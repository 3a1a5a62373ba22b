// Committed memory of a region for the programs that measure Stadial's own side.
#pragma once

#include <cstddef>
#include <utility>

#include "stadial/arenas/region.h"

namespace stadial::bench {

// A segment of a region of its own, all committed. Aborts when the machine has not that much memory.
class RegionMemory {
 public:
  explicit RegionMemory(std::size_t bytes) : region_(Reserve(bytes)) {
    segment_ = *region_.AddSegment({.name = "bench", .sizeBytes = bytes});
    STADIAL_ASSERT_ALWAYS(segment_->CommitAll(), "the bench needs its memory");
  }
  arenas::Segment& Segment() { return *segment_; }
  std::byte* Base() { return segment_->Base(); }
  // All of it as one arena.
  arenas::Arena MakeArena() {
    return segment_->MakeArena({.name = "bench", .kind = "frame"}, 0, segment_->CommittedBytes());
  }

 private:
  static arenas::Region Reserve(std::size_t bytes) {
    auto reserved = arenas::Region::Reserve({.sizeBytes = bytes + (std::size_t{64} << 20)});
    return std::move(reserved).Value();
  }

  arenas::Region region_;
  arenas::Segment* segment_ = nullptr;
};

}  // namespace stadial::bench
