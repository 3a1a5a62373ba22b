// A SizeClassHeap in a segment of its own, for tests.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <utility>

#include "stadial/arenas/region.h"
#include "stadial/arenas/size_class_heap.h"

namespace stadial::arenas::testing {

class HeapFixture {
 public:
  explicit HeapFixture(std::size_t bytes = 8_MiB, std::uint32_t shards = 4, const char* name = "middleware")
      : region_(Make()), segment_(Open(bytes)), heap(Create(name, shards)) {}
  Segment& GetSegment() { return *segment_; }

 private:
  static Region Make() {
    auto region = Region::Reserve({.sizeBytes = 1_GiB});
    return std::move(region).Value();
  }
  Segment* Open(std::size_t bytes) {
    Segment* const segment = *region_.AddSegment({.name = "Libraries", .sizeBytes = bytes});
    EXPECT_TRUE(segment->CommitAll());
    return segment;
  }
  SizeClassHeap& Create(const char* name, std::uint32_t shards) {
    auto created = SizeClassHeap::Create({.name = name, .shards = shards}, *segment_);
    EXPECT_TRUE(created) << created.GetError().Message();
    return **created;
  }
  Region region_;
  Segment* segment_;

 public:
  SizeClassHeap& heap;
};

}  // namespace stadial::arenas::testing
