#include "stadial/runtime/event_bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "event_bus_support.h"

namespace stadial::runtime {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(EventBus, Ea_PreAllocateReservesInSetupAndDefaultsTo1024AndFallback) {
  TestArena setup(4 << 20);
  EventBus bus(setup.Get(), nullptr, {});
  const std::size_t before = setup.Get().UsedBytes();
  bus.PreAllocate();
  EXPECT_EQ(bus.GetStats().capacity, 1024u);
  EXPECT_EQ(bus.Mode(), Mode::Fallback);
  const std::size_t reserved = setup.Get().UsedBytes();
  EXPECT_GE(reserved - before, 1024 * sizeof(Event));
  // It is all there: the whole capacity, of the biggest events, takes nothing more.
  for (int i = 0; i < 1024; ++i) ASSERT_EQ(bus.Emit(MakeEvent(kPing, i, 7)).Get(), EmitResult::Accepted);
  EXPECT_EQ(setup.Get().UsedBytes(), reserved);
}

// An event keeps what it has, and gets nothing of the events whose place it takes.
TEST(EventBus, Ef_EveryShapeOfEventArrivesAsItWasEmitted) {
  EventBus bus;
  bus.PreAllocate(8, Mode::Strict);
  struct Seen {
    std::vector<Event> events;
    void OnEvent(const Event& event) { events.push_back(event); }
  } seen;
  const auto subscription = bus.Subscribe<&Seen::OnEvent>(kPing, &seen);
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(bus.Emit({.type = kPing, .data = 1, .key = 2, .origins = 3}));
    ASSERT_TRUE(bus.Emit(MakeEvent(kPing, 4.5, 5)));
    ASSERT_TRUE(bus.Emit(kPing, 6.5, 7));
    ASSERT_TRUE(bus.Emit({.type = kPing, .data = 8}));
    ASSERT_EQ(bus.ProcessEvents(), 4u);
    ASSERT_EQ(seen.events.size(), 4u);
    EXPECT_EQ(seen.events[0].key, 2u);
    EXPECT_EQ(seen.events[0].origins, 3u);
    EXPECT_EQ(PayloadOf<double>(seen.events[1]), 4.5);
    EXPECT_EQ(seen.events[1].key, 5u);
    EXPECT_EQ(PayloadOf<double>(seen.events[2]), 6.5);
    EXPECT_EQ(seen.events[2].key, 7u);
    EXPECT_EQ(seen.events[3].data, 8);
    EXPECT_EQ(seen.events[3].key, 0u);
    EXPECT_EQ(seen.events[3].origins, 0u);
    EXPECT_EQ(seen.events[3].flags, 0u);
    EXPECT_EQ(seen.events[3].payloadTag, 0u);
    seen.events.clear();
  }
}

// Types whose bits fall on the filter's bits of a type with a policy have none all the same.
TEST(EventBus, Eb_APolicyIsOfItsTypeAlone) {
  EventBus bus;
  constexpr std::uint32_t kMany = 20'000;
  bus.PreAllocate(2 * kMany, Mode::Strict);
  for (std::uint32_t i = 0; i < kMany; ++i) {
    for (int twice = 0; twice < 2; ++twice)
      ASSERT_EQ(Emit(bus, MakeEventType(EventCategory::User, i), 0), EmitResult::Accepted) << i;
  }
  EXPECT_EQ(bus.GetStats().coalesced, 0u);
}

TEST(EventBus, Eb_StrictRejectsAndKeepsTheOld) {
  LogCapture log;
  EventBus bus(EventBusOptions{.name = "tight", .log = log.Sink()});
  bus.PreAllocate(2, Mode::Strict);
  Recorder recorder(bus);
  EXPECT_EQ(Emit(bus, kPing, 1), EmitResult::Accepted);
  EXPECT_EQ(Emit(bus, kPing, 2), EmitResult::Accepted);
  EXPECT_EQ(Emit(bus, kPing, 3), EmitResult::Rejected);
  EXPECT_THAT(log.last,
              HasSubstr("event bus 'tight' rejects events: 2 queued, capacity 2 with growth, mode Strict"));
  bus.ProcessEvents();
  EXPECT_THAT(recorder.data, ElementsAre(1, 2));
}

TEST(EventBus, Eb_CoalescingCollapsesByTypeAndKey) {
  EventBus bus;
  bus.PreAllocate(8, Mode::Strict);
  ASSERT_TRUE(bus.SetTypePolicy(kPing, kEventCoalesce));
  struct Seen {
    std::vector<std::pair<std::int64_t, std::uint64_t>> events;
    void OnEvent(const Event& event) { events.emplace_back(event.data, event.origins); }
  } seen;
  const auto subscription = bus.Subscribe<&Seen::OnEvent>(kPing, &seen);
  EXPECT_TRUE(bus.Emit({.type = kPing, .data = 1, .key = 7, .origins = 1}));
  EXPECT_TRUE(bus.Emit({.type = kPing, .data = 2, .key = 8}));
  EXPECT_EQ(bus.Emit({.type = kPing, .data = 3, .key = 7, .origins = 4}).Get(), EmitResult::Coalesced);
  EXPECT_EQ(bus.GetStats().coalesced, 1u);
  EXPECT_EQ(bus.ProcessEvents(), 2u);
  EXPECT_THAT(seen.events, ElementsAre(std::pair{3, 5u}, std::pair{2, 0u}));
  // Delivered events are not merged into.
  EXPECT_EQ(bus.Emit({.type = kPing, .data = 4, .key = 7}).Get(), EmitResult::Accepted);
}

TEST(EventBus, Eb_CoalescingWorksOnAFullQueueAndInGrowth) {
  LogCapture log;
  Growth growth;
  TestArena setup(1 << 20);
  EventBus bus(setup.Get(), growth.site, {.log = log.Sink()});
  bus.PreAllocate(1, Mode::Fallback);
  ASSERT_TRUE(bus.Emit({.type = kPing}));
  EXPECT_EQ(Emit(bus, kPong, 1, kEventCoalesce, 3), EmitResult::AcceptedAfterGrowth);
  EXPECT_EQ(Emit(bus, kPong, 2, kEventCoalesce, 3), EmitResult::Coalesced);
  EXPECT_EQ(bus.GetStats().eventCount, 2u);
  EXPECT_EQ(bus.ProcessEvents(), 2u);
}

TEST(EventBus, Eb_ADroppedEventIsNoLongerMergedInto) {
  LogCapture log;
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(2, Mode::Discard);
  Recorder recorder(bus);
  ASSERT_EQ(Emit(bus, kPing, 1, kEventCoalesce, 3), EmitResult::Accepted);
  ASSERT_EQ(Emit(bus, kPing, 2), EmitResult::Accepted);
  ASSERT_EQ(Emit(bus, kPing, 3), EmitResult::AcceptedOlderDropped);
  EXPECT_EQ(Emit(bus, kPing, 4, kEventCoalesce, 3), EmitResult::AcceptedOlderDropped);
  bus.ProcessEvents();
  EXPECT_THAT(recorder.data, ElementsAre(3, 4));
}

TEST(EventBus, Ec_ResultsConvertToBoolAsTheSeedsUseThem) {
  EXPECT_TRUE(EmitResult(EmitResult::Accepted));
  EXPECT_TRUE(EmitResult(EmitResult::AcceptedAfterGrowth));
  EXPECT_TRUE(EmitResult(EmitResult::AcceptedOlderDropped));
  EXPECT_TRUE(EmitResult(EmitResult::Coalesced));
  EXPECT_FALSE(EmitResult(EmitResult::Rejected));
}

TEST(EventBus, Ed_StatsAccountForEveryEvent) {
  LogCapture log;
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(4, Mode::Discard);
  for (int i = 0; i < 10; ++i)
    static_cast<void>(bus.Emit({.type = kPing, .flags = kEventCoalesce, .key = std::uint64_t(i % 6)}));
  bus.ProcessEvents();
  for (int i = 0; i < 3; ++i) static_cast<void>(bus.Emit({.type = kPing}));
  const EventBus::QueueStats stats = bus.GetStats();
  EXPECT_EQ(stats.emitted, 13u);
  EXPECT_EQ(stats.emitted,
            stats.delivered + stats.discarded + stats.rejected + stats.coalesced + stats.eventCount);
  EXPECT_EQ(stats.eventCount, 3u);
  EXPECT_EQ(stats.peak, 4u);
  EXPECT_EQ(stats.utilization, 0.75f);
}

TEST(EventBus, Ee_SizingRuleAndItsThreeNumbers) {
  EXPECT_EQ(CalculateEventCapacity(0), 128u);
  EXPECT_EQ(CalculateEventCapacity(21), 128u);
  EXPECT_EQ(CalculateEventCapacity(22), 132u);
  EXPECT_EQ(CalculateEventCapacity(1000), 6000u);
  EXPECT_EQ(CalculateEventCapacity(10, {.eventsPerNode = 5, .eventsMin = 8, .headroom = 3}), 150u);
}

TEST(EventBus, Ei_SixThousandEventsAFrameWithoutAnyAllocation) {
  STADIAL_ASSERT_ARMED();
  constexpr std::size_t kNodes = 1000;
  constexpr std::size_t kEvents = 6000;
  EventBus bus(EventBusOptions{.subscriptionsMax = kNodes});
  bus.PreAllocate(CalculateEventCapacity(kNodes), Mode::Strict);
  struct Node {
    Subscription subscription;
    std::uint64_t sum = 0;
    void OnEvent(const Event& event) { sum += static_cast<std::uint64_t>(event.data); }
  };
  std::vector<Node> nodes(kNodes);
  for (std::size_t i = 0; i < kNodes; ++i) {
    nodes[i].subscription =
        bus.Subscribe<&Node::OnEvent>(MakeEventType(EventCategory::User, static_cast<std::uint32_t>(i)),
                                      &nodes[i])
            .Value();
  }
  std::uint64_t allocations = 0;
  bool accepted = true;
  std::size_t delivered = 0;
  {
    const CountedScope counted;
    for (int frame = 0; frame < 20; ++frame) {
      bus.BeginFrame();
      for (std::size_t i = 0; i < kEvents; ++i) {
        accepted =
            bus.Emit({.type = MakeEventType(EventCategory::User, static_cast<std::uint32_t>(i % kNodes)),
                      .data = 1}) &&
            accepted;
      }
      delivered += bus.ProcessEvents();
    }
    allocations = counted.Allocations() + counted.Frees();
  }
  EXPECT_TRUE(accepted);
  EXPECT_EQ(delivered, 20 * kEvents);
  EXPECT_EQ(nodes[17].sum, 20u * 6u);
  EXPECT_EQ(allocations, 0u);
}

TEST(EventBus, PolicyTableIsBoundedAndSaysSo) {
  EventBus bus(EventBusOptions{.typePoliciesMax = 5});
  EXPECT_TRUE(bus.SetTypePolicy(kPing, kEventPinned));
  EXPECT_TRUE(bus.SetTypePolicy(kPing, kEventCoalesce));
  const Result<void> refused = bus.SetTypePolicy(kPong, kEventPinned);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_FALSE(bus.SetTypePolicy(kPing, 0x80));
}

TEST(EventBus, PreAllocateBeyondTheSetupArenaIsAClearError) {
  TestArena setup(64 << 10);
  EventBus bus(setup.Get(), nullptr, {});
  const Result<void> reserved = bus.TryPreAllocate(1 << 20, Mode::Strict);
  ASSERT_FALSE(reserved);
  EXPECT_EQ(reserved.GetError().Code(), ErrorCode::OutOfMemory);
  EXPECT_THAT(reserved.GetError().Message(), HasSubstr("raise RuntimeOptions::setupBytes"));
  const Result<void> absurd = bus.TryPreAllocate(~std::size_t{0}, Mode::Strict);
  ASSERT_FALSE(absurd);
  EXPECT_EQ(absurd.GetError().Code(), ErrorCode::InvalidArgument);
}

TEST(EventBusDeathTest, Ef_DestroyedByItsOwnHandlerAsserts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto bus = std::make_unique<EventBus>();
  bus->PreAllocate(1, Mode::Strict);
  // Never ended: its bus would be gone.
  auto* const subscription = new Subscription(
      bus->Subscribe(
             kPing, [](void* self, const Event&) { static_cast<std::unique_ptr<EventBus>*>(self)->reset(); },
             &bus)
          .Value());
  ASSERT_TRUE(bus->Emit({.type = kPing}));
  EXPECT_DEATH(bus->ProcessEvents(), "destroyed by one of its own handlers");
  delete subscription;
}

TEST(EventBusDeathTest, PlainPreAllocateAsserts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  TestArena setup(64 << 10);
  EventBus bus(setup.Get(), nullptr, {});
  EXPECT_DEATH(bus.PreAllocate(1 << 20, Mode::Strict), "raise RuntimeOptions::setupBytes");
}

}  // namespace
}  // namespace stadial::runtime
