// The guide's timeline tests, their evident slips mended: resources are handles, the history gets its memory
// where the seeds said Setup(), frames rotate (the seeds' loops never did), and what the calls answer is
// looked at.
#include <gtest/gtest.h>

#include <cstddef>

#include "stadial/arenas/arena.h"
#include "stadial/graph/timeline.h"
#include "stadial/runtime/allocation_tracker.h"

namespace {

using stadial::arenas::Arena;
using stadial::graph::HistoryReason;
using stadial::graph::ResourceHandle;
using stadial::graph::ResourceId;
using stadial::graph::ResourceKind;
using stadial::graph::ResourceTable;
using stadial::graph::StoreResult;
using stadial::graph::TimelineNode;
using stadial::runtime::AllocationTracker;

constexpr ResourceId COLOR_RESOURCE = 1;

class TAATimelineNode : public TimelineNode {
 public:
  void Setup(Arena& memory, const ResourceTable& resources) {
    PreAllocateHistory(
        memory, {.historyFrames = GetMaxHistoryFrames(), .resourcesPerFrame = 2, .resources = &resources});
  }
};

class TimelinePreAllocationTest : public ::testing::Test {
 protected:
  ResourceHandle CreateTestResource() {
    return resources.Create({.kind = ResourceKind::Image, .name = "test"}).Value();
  }

  alignas(64) std::byte memory[16384];
  Arena arena{"test", memory, sizeof(memory)};
  ResourceTable resources{arena, 8};
};

TEST_F(TimelinePreAllocationTest, FrameHistoryPreAllocated) {
  TAATimelineNode taa;
  const std::size_t before = arena.UsedBytes();
  taa.Setup(arena, resources);

  // Verify history ring buffer allocated
  EXPECT_GT(arena.UsedBytes(), before);
  EXPECT_EQ(taa.History().HistoryFrames(), 4u);
  EXPECT_EQ(taa.History().Depth(), 5u);  // and the current one
}

TEST_F(TimelinePreAllocationTest, GetPreviousFrameNoAllocation) {
  AllocationTracker tracker;
  TAATimelineNode taa;
  taa.Setup(arena, resources);

  tracker.StartTracking();
  ASSERT_TRUE(tracker.IsArmed()) << tracker.WhyNotArmed();

  for (std::uint64_t frame = 0; frame < 10; frame++) {
    taa.BeginFrame(frame);
    auto prev = taa.GetPreviousFrameResource(1, COLOR_RESOURCE);
    if (prev || prev.reason != (frame == 0 ? HistoryReason::FirstFrame : HistoryReason::NotStored)) {
      ADD_FAILURE() << "nothing was ever stored: " << ToString(prev.reason);
    }
  }

  EXPECT_EQ(tracker.GetAllocations().count, 0u);
}

TEST_F(TimelinePreAllocationTest, StoreCurrentFrameNoAllocation) {
  AllocationTracker tracker;
  TAATimelineNode taa;
  taa.Setup(arena, resources);

  auto resource = CreateTestResource();
  tracker.StartTracking();
  ASSERT_TRUE(tracker.IsArmed()) << tracker.WhyNotArmed();

  std::uint32_t stored = 0;
  std::uint32_t found = 0;
  for (std::uint64_t frame = 0; frame < 10; frame++) {
    taa.BeginFrame(frame);
    if (taa.StoreCurrentFrameResource(COLOR_RESOURCE, resource, true) == StoreResult::Stored) stored++;
    if (taa.GetPreviousFrameResource(1, COLOR_RESOURCE).handle == resource) found++;
  }

  EXPECT_EQ(tracker.GetAllocations().count, 0u);
  EXPECT_EQ(stored, 10u);
  EXPECT_EQ(found, 9u);
}

}  // namespace
