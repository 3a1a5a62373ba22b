// What the tests of EventBus share: event types, a recorder of deliveries, and a Fallback segment with one
// site.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

#include "stadial/arenas/fallback_heap.h"
#include "stadial/arenas/region.h"
#include "stadial/runtime/designated_fallback.h"
#include "stadial/runtime/event_bus.h"
#include "test_support.h"

namespace stadial::runtime::testing {

using Mode = EventBus::AllocationMode;

inline constexpr EventType kPing = MakeEventType(EventCategory::User, 1);
inline constexpr EventType kPong = MakeEventType(EventCategory::User, 2);
inline constexpr EventType kOther = MakeEventType(MakeUserCategory(1), 1);

// Remembers the `data` of every event it is called with. Fixed storage, so that it can be used under a closed
// gate.
struct Recorder {
  std::vector<std::int64_t> data;
  std::vector<Subscription> subscriptions;

  explicit Recorder(EventBus& bus, std::initializer_list<EventType> types = {kPing}) {
    data.reserve(1 << 14);
    for (const EventType type : types)
      subscriptions.push_back(bus.Subscribe<&Recorder::OnEvent>(type, this).Value());
  }
  void OnEvent(const Event& event) { data.push_back(event.data); }
};

inline EmitResult::Value Emit(EventBus& bus, EventType type, std::int64_t data, std::uint16_t flags = 0,
                              std::uint64_t key = 0) {
  return bus.Emit({.type = type, .flags = flags, .data = data, .key = key}).Get();
}

// A Fallback segment with one site, as a Runtime has it.
struct Growth {
  explicit Growth(std::size_t budgetBytes = std::size_t{8} << 20, std::uint32_t countPerFrameMax = 0)
      : region(arenas::Region::Reserve({.name = "event_bus_test", .sizeBytes = std::size_t{256} << 20})
                   .Value()) {
    constexpr std::size_t kBytes = arenas::FallbackHeap::kSegmentAlignmentBytes;
    arenas::Segment* const segment =
        region.AddSegment({.name = "fallback", .sizeBytes = kBytes, .alignmentBytes = kBytes}).Value();
    EXPECT_TRUE(segment->CommitAll());
    heap = arenas::FallbackHeap::Create("test", *segment, kBytes, memory.Get()).Value();
    registry = FallbackRegistry::Create(*heap, 4, memory.Get()).Value();
    site = registry->Register("growth", "event bus test", budgetBytes, countPerFrameMax).Value();
  }
  ~Growth() { EXPECT_EQ(heap->Close(), 0u) << "growth was not given back"; }

  arenas::Region region;
  TestArena memory{1 << 16};
  arenas::FallbackHeap* heap = nullptr;
  FallbackRegistry* registry = nullptr;
  FallbackSite* site = nullptr;
};

}  // namespace stadial::runtime::testing
