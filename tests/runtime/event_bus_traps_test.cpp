// The traps of the seeds' own EventBus, E1 to E17: each must stay closed.
#include "stadial/runtime/event_bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <type_traits>
#include <vector>

#include "event_bus_support.h"

namespace stadial::runtime {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(EventBus, E1_FallbackKeepsEveryEvent) {
  LogCapture log;
  Growth growth;
  TestArena setup(1 << 20);
  EventBus bus(setup.Get(), growth.site, {.log = log.Sink()});
  bus.PreAllocate(5, Mode::Fallback);
  Recorder recorder(bus);
  std::vector<std::int64_t> emitted;
  for (int i = 0; i < 1000; ++i) {
    const auto result = Emit(bus, kPing, i);
    EXPECT_EQ(result, i < 5 ? EmitResult::Accepted : EmitResult::AcceptedAfterGrowth) << i;
    emitted.push_back(i);
  }
  EXPECT_EQ(bus.GetStats().eventCount, 1000u);
  EXPECT_EQ(bus.GetStats().discarded, 0u);
  EXPECT_EQ(bus.ProcessEvents(), 1000u);
  EXPECT_EQ(recorder.data, emitted) << "the first event was dropped, or the order changed";
}

TEST(EventBus, E1_WithoutASiteTheReserveIsBoundedAndSaysSo) {
  LogCapture log;
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(4, Mode::Fallback);
  Recorder recorder(bus);
  int accepted = 0;
  while (Emit(bus, kPing, accepted) != EmitResult::Rejected) ++accepted;
  EXPECT_EQ(accepted, 4 + 4 * 64);
  EXPECT_EQ(bus.GetStats().rejected, 1u);
  EXPECT_EQ(log.lastLevel, LogLevel::Error);
  EXPECT_EQ(bus.ProcessEvents(), static_cast<std::size_t>(accepted));
  EXPECT_EQ(Emit(bus, kPing, 1), EmitResult::Accepted);
}

TEST(EventBus, E2_ModeIsPublicVocabulary) {
  static_assert(std::is_same_v<EventBus::AllocationMode, arenas::AllocationMode>);
  EventBus bus;
  bus.PreAllocate(3, EventBus::AllocationMode::Strict);
  EXPECT_EQ(bus.Mode(), EventBus::AllocationMode::Strict);
}

// With an erase at the front this would move 10^11 events, and time out.
TEST(EventBus, E3_DiscardCostDoesNotGrowWithTheQueue) {
  constexpr std::size_t kCapacity = 1 << 17;
  LogCapture log;
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(kCapacity, Mode::Discard);
  constexpr std::int64_t kEmitted = kCapacity * 8;
  for (std::int64_t i = 0; i < kEmitted; ++i) ASSERT_TRUE(bus.Emit({.type = kPing, .data = i}));
  EXPECT_EQ(bus.GetStats().discarded, kCapacity * 7);
  struct {
    std::int64_t expected = kCapacity * 7;
    std::int64_t mismatches = 0;
  } order;
  auto subscription = bus.Subscribe(
      kPing,
      [](void* self, const Event& event) {
        auto* const state = static_cast<decltype(order)*>(self);
        state->mismatches += event.data != state->expected++;
      },
      &order);
  EXPECT_EQ(bus.ProcessEvents(), kCapacity);
  EXPECT_EQ(order.mismatches, 0);
}

TEST(EventBus, E4_CapacityZeroIsDefinedInEveryMode) {
  LogCapture log;
  EventBus strict(EventBusOptions{.log = log.Sink()});
  strict.PreAllocate(0, Mode::Strict);
  EXPECT_EQ(Emit(strict, kPing, 1), EmitResult::Rejected);
  EXPECT_EQ(strict.ProcessEvents(), 0u);

  EventBus discard(EventBusOptions{.log = log.Sink()});
  discard.PreAllocate(0, Mode::Discard);
  EXPECT_EQ(Emit(discard, kPing, 1), EmitResult::Rejected);
  EXPECT_EQ(Emit(discard, kPing, 1, kEventPinned), EmitResult::Rejected);
  EXPECT_EQ(discard.GetStats().discarded, 0u);

  EventBus fallback(EventBusOptions{.log = log.Sink()});
  fallback.PreAllocate(0, Mode::Fallback);
  Recorder recorder(fallback);
  EXPECT_EQ(Emit(fallback, kPing, 7), EmitResult::AcceptedAfterGrowth);
  EXPECT_EQ(fallback.ProcessEvents(), 1u);
  EXPECT_THAT(recorder.data, ElementsAre(7));
}

TEST(EventBus, E4_NeverPreAllocatedRejectsAndSaysWhy) {
  LogCapture log;
  EventBus bus(EventBusOptions{.name = "bare", .log = log.Sink()});
  EXPECT_FALSE(bus.Emit({.type = kPing}));
  EXPECT_THAT(log.last, HasSubstr("'bare'"));
  EXPECT_THAT(log.last, HasSubstr("PreAllocate has reserved nothing"));
}

TEST(EventBus, E5_UtilizationNeverDividesByZero) {
  EventBus bus;
  EXPECT_EQ(bus.GetStats().utilization, 0.0f);
  bus.PreAllocate(0, Mode::Strict);
  EXPECT_EQ(bus.GetStats().utilization, 0.0f);
  bus.PreAllocate(4, Mode::Strict);
  EXPECT_EQ(Emit(bus, kPing, 0), EmitResult::Accepted);
  EXPECT_EQ(bus.GetStats().utilization, 0.25f);
}

TEST(EventBus, E6_CapacityIsReallyReserved) {
  TestArena setup(4 << 20);
  EventBus bus(setup.Get(), nullptr, {});
  const std::size_t before = setup.Get().UsedBytes();
  bus.PreAllocate(1000, Mode::Strict);
  EXPECT_GE(setup.Get().UsedBytes() - before, 1000 * sizeof(Event));
  EXPECT_EQ(bus.GetStats().capacity, 1000u);
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(Emit(bus, kPing, i), EmitResult::Accepted);
}

TEST(EventBus, E6_ReportedCapacityIncludesBorrowedStorage) {
  LogCapture log;
  Growth growth;
  TestArena setup(1 << 20);
  EventBus bus(setup.Get(), growth.site, {.log = log.Sink()});
  bus.PreAllocate(10, Mode::Fallback);
  for (int i = 0; i < 11; ++i) ASSERT_TRUE(bus.Emit({.type = kPing}));
  EXPECT_EQ(bus.GetStats().growthEvents, 64u);
  EXPECT_EQ(bus.GetStats().capacity, 74u);
  EXPECT_EQ(growth.site->Stats().allocations, 1u);
  bus.ProcessEvents();
  EXPECT_EQ(bus.GetStats().capacity, 10u);
}

struct Chain {
  EventBus& bus;
  int left;
  void OnPing(const Event& event) {
    if (left-- > 0) {
      EXPECT_TRUE(bus.Emit({.type = kPing, .data = event.data + 1}));
    }
  }
};

TEST(EventBus, E7_EventsEmittedByAHandlerAreDeliveredInTheSameCall) {
  EventBus bus;
  bus.PreAllocate(16);
  Chain chain{bus, 3};
  Recorder recorder(bus);
  const auto subscription = bus.Subscribe<&Chain::OnPing>(kPing, &chain);
  EXPECT_EQ(Emit(bus, kPing, 10), EmitResult::Accepted);
  EXPECT_EQ(bus.ProcessEvents(), 4u);
  EXPECT_THAT(recorder.data, ElementsAre(10, 11, 12, 13));
}

TEST(EventBus, E7_CascadeIsBoundedAndNothingIsLost) {
  LogCapture log;
  EventBus bus(EventBusOptions{.cascadeDepthMax = 4, .log = log.Sink()});
  bus.PreAllocate(16, Mode::Strict);
  Chain chain{bus, 11};
  Recorder recorder(bus);
  const auto subscription = bus.Subscribe<&Chain::OnPing>(kPing, &chain);
  EXPECT_EQ(Emit(bus, kPing, 0), EmitResult::Accepted);
  EXPECT_EQ(bus.ProcessEvents(), 5u);  // the event and four levels below it
  EXPECT_EQ(bus.GetStats().eventCount, 1u);
  EXPECT_EQ(bus.GetStats().deferredCascades, 1u);
  EXPECT_THAT(log.last, HasSubstr("circle"));
  EXPECT_EQ(bus.ProcessEvents(), 5u);
  EXPECT_EQ(bus.ProcessEvents(), 2u);
  EXPECT_EQ(recorder.data.size(), 12u);
}

TEST(EventBus, E7_AFullQueueAcceptsOneEventWhileOneIsDelivered) {
  EventBus bus;
  bus.PreAllocate(1, Mode::Strict);
  Chain chain{bus, 3};
  Recorder recorder(bus);
  const auto subscription = bus.Subscribe<&Chain::OnPing>(kPing, &chain);
  EXPECT_EQ(Emit(bus, kPing, 0), EmitResult::Accepted);
  EXPECT_EQ(bus.ProcessEvents(), 4u);
}

TEST(EventBus, E7_DiscardInsideAHandlerDoesNotTouchTheEventInHand) {
  LogCapture log;
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(4, Mode::Discard);
  struct Storm {
    EventBus& bus;
    bool isDone = false;
    void OnPing(const Event& event) {
      if (isDone) return;
      isDone = true;
      for (int i = 0; i < 64; ++i) EXPECT_TRUE(bus.Emit({.type = kPong, .data = i}));
      EXPECT_EQ(event.data, 1);
    }
  } storm{bus};
  const auto subscription = bus.Subscribe<&Storm::OnPing>(kPing, &storm);
  Recorder recorder(bus, {kPing, kPong});
  for (int i = 1; i <= 4; ++i) ASSERT_TRUE(bus.Emit({.type = kPing, .data = i}));
  bus.ProcessEvents();
  EXPECT_THAT(recorder.data, ElementsAre(1, 60, 61, 62, 63));
}

TEST(EventBus, E7_ProcessEventsInsideAHandlerDoesNothing) {
  EventBus bus;
  bus.PreAllocate(8);
  struct Nested {
    EventBus& bus;
    std::size_t inner = 99;
    void OnPing(const Event&) { inner = bus.ProcessEvents(); }
  } nested{bus};
  const auto subscription = bus.Subscribe<&Nested::OnPing>(kPing, &nested);
  EXPECT_EQ(Emit(bus, kPing, 0), EmitResult::Accepted);
  EXPECT_EQ(Emit(bus, kPong, 0), EmitResult::Accepted);
  EXPECT_EQ(bus.ProcessEvents(), 2u);
  EXPECT_EQ(nested.inner, 0u);
}

TEST(EventBus, E8_GrowthIsGivenBackAfterTheDrain) {
  LogCapture log;
  Growth growth(std::size_t{1} << 20);
  TestArena setup(1 << 20);
  EventBus bus(setup.Get(), growth.site, {.log = log.Sink()});
  bus.PreAllocate(32, Mode::Fallback);
  // A thousand bursts of 32 times the capacity: anything that stayed would break the budget after a few.
  for (int burst = 0; burst < 1000; ++burst) {
    bus.BeginFrame();
    growth.registry->BeginFrame();
    for (int i = 0; i < 1024; ++i) ASSERT_TRUE(bus.Emit({.type = kPing, .data = i}));
    ASSERT_EQ(bus.ProcessEvents(), 1024u);
    ASSERT_EQ(bus.GetStats().capacity, 32u);
    ASSERT_EQ(growth.site->Stats().bytes, 0u);
  }
  EXPECT_EQ(growth.site->Stats().refused, 0u);
  EXPECT_EQ(growth.heap->LiveBlocks(), 0u);
  EXPECT_EQ(bus.GetStats().peak, 1024u);
}

TEST(EventBus, E8_GrowthIsBoundedByTheSitesBudget) {
  LogCapture log;
  Growth growth(std::size_t{64} << 10);
  TestArena setup(1 << 20);
  EventBus bus(setup.Get(), growth.site, {.log = log.Sink()});
  bus.PreAllocate(16, Mode::Fallback);
  std::uint64_t accepted = 0;
  while (bus.Emit({.type = kPing})) ++accepted;
  EXPECT_EQ(accepted, 16u + 15u * 64u);  // fifteen chunks of 4,160 bytes fit 64 KiB
  EXPECT_EQ(growth.site->Stats().refused, 1u);
  EXPECT_EQ(bus.ProcessEvents(), accepted);
  EXPECT_TRUE(bus.Emit({.type = kPing}));
}

TEST(EventBus, E8_ABusThatEndsWithEventsInGrowthGivesItBack) {
  LogCapture log;
  Growth growth;
  TestArena setup(1 << 20);
  {
    EventBus bus(setup.Get(), growth.site, {.log = log.Sink()});
    bus.PreAllocate(4, Mode::Fallback);
    for (int i = 0; i < 500; ++i) ASSERT_TRUE(bus.Emit({.type = kPing}));
    EXPECT_GT(growth.site->Stats().bytes, 0u);
  }
  EXPECT_EQ(growth.site->Stats().bytes, 0u);
}

TEST(EventBus, E9_OverflowWarnsOncePerFrameWithoutAllocating) {
  STADIAL_ASSERT_ARMED();
  LogCapture log;
  Growth growth;
  TestArena setup(1 << 20);
  EventBus bus(setup.Get(), growth.site, {.name = "storm", .log = log.Sink()});
  bus.PreAllocate(8, Mode::Fallback);
  std::uint64_t allocations = 0;
  {
    const CountedScope counted;
    for (int frame = 0; frame < 10; ++frame) {
      bus.BeginFrame();
      growth.registry->BeginFrame();
      for (int pass = 0; pass < 3; ++pass) {
        for (int i = 0; i < 100; ++i) static_cast<void>(bus.Emit({.type = kPing}));
        bus.ProcessEvents();
      }
    }
    allocations = counted.Allocations() + counted.Frees();
  }
  EXPECT_EQ(log.lines, 10u);
  EXPECT_EQ(log.lastLevel, LogLevel::Warning);
  EXPECT_THAT(log.last,
              HasSubstr("'storm' is full: 9 events queued, capacity 8; growing from fallback 'growth'"));
  EXPECT_EQ(allocations, 0u);
}

TEST(EventBus, E9_WithoutFramesEveryProcessEventsReArmsTheWarning) {
  LogCapture log;
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(1, Mode::Strict);
  for (int i = 0; i < 50; ++i) static_cast<void>(bus.Emit({.type = kPing}));
  EXPECT_EQ(log.lines, 1u);
  bus.ProcessEvents();
  for (int i = 0; i < 50; ++i) static_cast<void>(bus.Emit({.type = kPing}));
  EXPECT_EQ(log.lines, 2u);
}

TEST(EventBus, E13_PreAllocateKeepsPendingEventsAndSubscriptions) {
  EventBus bus;
  bus.PreAllocate(4, Mode::Strict);
  Recorder recorder(bus);
  for (int i = 0; i < 4; ++i) ASSERT_EQ(Emit(bus, kPing, i), EmitResult::Accepted);
  bus.PreAllocate(100, Mode::Strict);
  EXPECT_EQ(bus.GetStats().eventCount, 4u);
  EXPECT_EQ(bus.GetStats().emitted, 4u);
  ASSERT_EQ(Emit(bus, kPing, 4), EmitResult::Accepted);
  bus.PreAllocate(5, Mode::Discard);
  EXPECT_EQ(bus.ProcessEvents(), 5u);
  EXPECT_THAT(recorder.data, ElementsAre(0, 1, 2, 3, 4));
}

TEST(EventBus, E13_PreAllocateKeepsGrownPinnedAndCoalescingEvents) {
  LogCapture log;
  Growth growth;
  TestArena setup(4 << 20);
  EventBus bus(setup.Get(), growth.site, {.log = log.Sink()});
  bus.PreAllocate(2, Mode::Fallback);
  Recorder recorder(bus);
  ASSERT_EQ(Emit(bus, kPing, 1, kEventPinned), EmitResult::Accepted);
  ASSERT_EQ(Emit(bus, kPing, 2, kEventCoalesce, 5), EmitResult::Accepted);
  ASSERT_EQ(Emit(bus, kPing, 3), EmitResult::AcceptedAfterGrowth);
  bus.PreAllocate(3, Mode::Discard);
  EXPECT_EQ(growth.site->Stats().bytes, 0u);
  EXPECT_EQ(Emit(bus, kPing, 20, kEventCoalesce, 5), EmitResult::Coalesced);
  EXPECT_EQ(Emit(bus, kPing, 4), EmitResult::AcceptedOlderDropped);  // drops 20, not the pinned 1
  bus.ProcessEvents();
  EXPECT_THAT(recorder.data, ElementsAre(1, 3, 4));
  EXPECT_EQ(bus.GetStats().emitted, 5u);
}

TEST(EventBus, E13_PreAllocateBelowThePendingCountChangesNothing) {
  EventBus bus;
  bus.PreAllocate(8, Mode::Strict);
  for (int i = 0; i < 6; ++i) ASSERT_EQ(Emit(bus, kPing, i), EmitResult::Accepted);
  const Result<void> shrunk = bus.TryPreAllocate(5, Mode::Strict);
  ASSERT_FALSE(shrunk);
  EXPECT_EQ(shrunk.GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_THAT(shrunk.GetError().Message(),
              HasSubstr("6 events are queued and would not fit a capacity of 5"));
  EXPECT_EQ(bus.GetStats().capacity, 8u);
  EXPECT_EQ(bus.ProcessEvents(), 6u);
}

TEST(EventBus, E13_PreAllocateInsideAHandlerIsRefused) {
  EventBus bus;
  bus.PreAllocate(8, Mode::Strict);
  struct Resizer {
    EventBus& bus;
    bool wasRefused = false;
    void OnPing(const Event&) { wasRefused = !bus.TryPreAllocate(100) && !bus.ReserveSubscriptions(1000); }
  } resizer{bus};
  const auto subscription = bus.Subscribe<&Resizer::OnPing>(kPing, &resizer);
  ASSERT_TRUE(bus.Emit({.type = kPing}));
  bus.ProcessEvents();
  EXPECT_TRUE(resizer.wasRefused);
}

TEST(EventBus, E16_DiscardDropsTheOldestAndKeepsTheRestInOrder) {
  LogCapture log;
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(5, Mode::Discard);
  Recorder recorder(bus);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(Emit(bus, kPing, i), i < 5 ? EmitResult::Accepted : EmitResult::AcceptedOlderDropped);
  }
  bus.ProcessEvents();
  EXPECT_THAT(recorder.data, ElementsAre(3, 4, 5, 6, 7));
  EXPECT_EQ(bus.GetStats().discarded, 3u);
}

TEST(EventBus, E17_DiscardNeverDropsAPinnedEvent) {
  LogCapture log;
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(4, Mode::Discard);
  Recorder recorder(bus);
  ASSERT_EQ(Emit(bus, kPing, 0, kEventPinned), EmitResult::Accepted);
  ASSERT_EQ(Emit(bus, kPing, 1), EmitResult::Accepted);
  ASSERT_EQ(Emit(bus, kPing, 2, kEventPinned), EmitResult::Accepted);
  ASSERT_EQ(Emit(bus, kPing, 3), EmitResult::Accepted);
  EXPECT_EQ(Emit(bus, kPing, 4), EmitResult::AcceptedOlderDropped);                // 1 goes
  EXPECT_EQ(Emit(bus, kPing, 5, kEventPinned), EmitResult::AcceptedOlderDropped);  // 3 goes
  EXPECT_EQ(Emit(bus, kPing, 6), EmitResult::AcceptedOlderDropped);                // 4 goes
  EXPECT_EQ(bus.ProcessEvents(), 4u);
  EXPECT_THAT(recorder.data, ElementsAre(0, 2, 5, 6));
}

TEST(EventBus, E17_WhenAllArePinnedTheNewEventIsRejectedAndCounted) {
  LogCapture log;
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(2, Mode::Discard);
  Recorder recorder(bus);
  ASSERT_TRUE(bus.Emit({.type = kPing, .flags = kEventPinned, .data = 1}));
  ASSERT_TRUE(bus.Emit({.type = kPing, .flags = kEventPinned, .data = 2}));
  EXPECT_FALSE(bus.Emit({.type = kPing, .data = 3}));
  EXPECT_FALSE(bus.Emit({.type = kPing, .flags = kEventPinned, .data = 4}));
  EXPECT_EQ(bus.GetStats().rejected, 2u);
  EXPECT_EQ(bus.GetStats().pinnedRejected, 1u);
  bus.ProcessEvents();
  EXPECT_THAT(recorder.data, ElementsAre(1, 2));
}

TEST(EventBus, E17_BuiltInInvalidationsSurviveAStorm) {
  LogCapture log;
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(8, Mode::Discard);
  Recorder recorder(bus, {EventType::GraphInvalidated, EventType::DeviceLost});
  ASSERT_TRUE(bus.Emit({.type = EventType::GraphInvalidated, .data = 1}));
  ASSERT_TRUE(bus.Emit({.type = EventType::DeviceLost, .data = 2}));
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(bus.Emit({.type = kPing}));
  bus.ProcessEvents();
  EXPECT_THAT(recorder.data, ElementsAre(1, 2));
}

TEST(EventBus, E17_MergingAPinnedEventIntoAnUnpinnedOneDoesNotUnpinIt) {
  LogCapture log;
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(2, Mode::Discard);
  Recorder recorder(bus);
  ASSERT_EQ(Emit(bus, kPing, 1, kEventCoalesce, 9), EmitResult::Accepted);
  ASSERT_EQ(Emit(bus, kPing, 2, kEventCoalesce | kEventPinned, 9), EmitResult::Accepted);
  EXPECT_EQ(Emit(bus, kPing, 3, kEventCoalesce, 9), EmitResult::Coalesced);  // into the pinned one
  EXPECT_EQ(Emit(bus, kPing, 4), EmitResult::AcceptedOlderDropped);
  EXPECT_EQ(Emit(bus, kPing, 5), EmitResult::AcceptedOlderDropped);
  bus.ProcessEvents();
  EXPECT_THAT(recorder.data, ElementsAre(3, 5));
}

}  // namespace
}  // namespace stadial::runtime
