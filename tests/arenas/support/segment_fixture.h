// A committed segment of a region of its own, for tests of what lives in one.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <utility>

#include "stadial/arenas/region.h"
#include "stadial/arenas/size_literals.h"

namespace stadial::arenas::testing {

class SegmentFixture {
 public:
  explicit SegmentFixture(std::size_t bytes, const char* name = "Libraries")
      : region_(Make()), segment_(Open(bytes, name)) {}
  Segment& GetSegment() { return *segment_; }

 private:
  static Region Make() {
    auto region = Region::Reserve({.sizeBytes = 1_GiB});
    return std::move(region).Value();
  }
  Segment* Open(std::size_t bytes, const char* name) {
    Segment* const segment = *region_.AddSegment({.name = name, .sizeBytes = bytes});
    EXPECT_TRUE(segment->CommitAll());
    return segment;
  }
  Region region_;
  Segment* segment_;
};

}  // namespace stadial::arenas::testing
