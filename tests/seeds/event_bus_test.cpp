// The guide's own tests of EventBus pre-allocation, its evident slips mended: unused variables removed,
// results that must not be discarded looked at, signs of comparisons, and the Discard test now looks at which
// event went.
#include <gtest/gtest.h>

#include <vector>

#include "stadial/runtime/allocation_tracker.h"
#include "stadial/runtime/event_bus.h"

namespace {

using stadial::runtime::AllocationTracker;
using stadial::runtime::Event;
using stadial::runtime::EventBus;
using stadial::runtime::EventType;

class EventBusPreAllocationTest : public ::testing::Test {
 protected:
  EventBus eventBus;
};

TEST_F(EventBusPreAllocationTest, PreAllocateReservesCapacity) {
  eventBus.PreAllocate(100);
  auto stats = eventBus.GetStats();

  EXPECT_EQ(stats.capacity, 100u);
  EXPECT_EQ(stats.eventCount, 0u);
}

TEST_F(EventBusPreAllocationTest, EmitWithinCapacityNoReallocate) {
  eventBus.PreAllocate(50);

  for (int i = 0; i < 50; i++) {
    Event evt{.type = EventType::NodeDirty};
    EXPECT_TRUE(eventBus.Emit(evt));
  }

  auto stats = eventBus.GetStats();
  EXPECT_EQ(stats.capacity, 50u);  // No reallocation
}

TEST_F(EventBusPreAllocationTest, StrictModeRejectsOverflow) {
  eventBus.PreAllocate(10, EventBus::AllocationMode::Strict);

  for (int i = 0; i < 10; i++) {
    Event evt{.type = EventType::NodeDirty};
    EXPECT_TRUE(eventBus.Emit(evt));
  }

  Event overflow{.type = EventType::NodeDirty};
  EXPECT_FALSE(eventBus.Emit(overflow));  // Rejected
}

TEST_F(EventBusPreAllocationTest, DiscardModeDropsOldest) {
  eventBus.PreAllocate(5, EventBus::AllocationMode::Discard);

  for (int i = 0; i < 6; i++) {
    Event evt{.type = EventType::NodeDirty, .data = i};
    EXPECT_TRUE(eventBus.Emit(evt));
  }

  auto stats = eventBus.GetStats();
  EXPECT_EQ(stats.capacity, 5u);
  EXPECT_EQ(stats.eventCount, 5u);

  // Oldest (data=0) should be gone
  std::vector<std::int64_t> delivered;
  auto subscription = eventBus.Subscribe(
      EventType::NodeDirty,
      [](void* self, const Event& event) {
        static_cast<std::vector<std::int64_t>*>(self)->push_back(event.data);
      },
      &delivered);
  ASSERT_TRUE(subscription);
  eventBus.ProcessEvents();
  EXPECT_EQ(delivered, (std::vector<std::int64_t>{1, 2, 3, 4, 5}));
}

TEST_F(EventBusPreAllocationTest, AllocationTrackingNoRuntimeAllocationsWithinCapacity) {
  AllocationTracker tracker;

  eventBus.PreAllocate(1000);
  tracker.StartTracking();
  ASSERT_TRUE(tracker.IsArmed()) << tracker.WhyNotArmed();

  bool accepted = true;
  for (int i = 0; i < 1000; i++) {
    Event evt{.type = EventType::NodeDirty};
    accepted = eventBus.Emit(evt) && accepted;
  }

  auto allocations = tracker.GetAllocations();
  EXPECT_EQ(allocations.count, 0u) << "EventBus allocated during frame";
  EXPECT_TRUE(accepted);
}

}  // namespace
