// A SizeClassHeap in a segment of its own, for tests.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>

#include "stadial/arenas/size_class_heap.h"
#include "support/segment_fixture.h"

namespace stadial::arenas::testing {

class HeapFixture : public SegmentFixture {
 public:
  explicit HeapFixture(std::size_t bytes = 8_MiB, std::uint32_t shards = 4, const char* name = "middleware")
      : HeapFixture({.name = name, .shards = shards}, bytes) {}
  explicit HeapFixture(const SizeClassHeapOptions& options, std::size_t bytes)
      : SegmentFixture(bytes), heap(Create(options)) {}

 private:
  SizeClassHeap& Create(const SizeClassHeapOptions& options) {
    auto created = SizeClassHeap::Create(options, GetSegment());
    EXPECT_TRUE(created) << created.GetError().Message();
    return **created;
  }

 public:
  SizeClassHeap& heap;
};

}  // namespace stadial::arenas::testing
