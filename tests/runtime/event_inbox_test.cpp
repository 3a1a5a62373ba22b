#include "stadial/runtime/event_inbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "event_inbox_traffic.h"
#include "stadial/runtime/event_bus.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using ::testing::ElementsAre;
using testing::LogCapture;
using testing::Repetitions;
using testing::TestArena;
using Mode = EventBus::AllocationMode;

constexpr EventType kPing = MakeEventType(EventCategory::User, 1);

std::vector<std::int64_t> TakeAll(EventInbox& inbox, std::size_t eventsMax = arenas::kDrainAll) {
  std::vector<std::int64_t> taken;
  inbox.Drain([&](const Event& event) { taken.push_back(event.data); }, eventsMax);
  return taken;
}

TEST(EventInbox, Eh_KeepsTheOrderOfALaneAndIsBounded) {
  TestArena arena(1 << 16);
  EventInbox inbox(arena.Get(), 2, 3);
  EXPECT_EQ(inbox.LaneCount(), 2u);
  EXPECT_EQ(inbox.CapacityPerLane(), 3u);
  std::vector<std::int64_t> emitted;
  // The biggest there are.
  for (std::int64_t i = 0; inbox.TryEmit(0, {.type = kPing, .data = i, .key = 7}); ++i) emitted.push_back(i);
  EXPECT_GE(emitted.size(), 3u);
  EXPECT_LE(emitted.size(), EventInbox::CalculateLaneBytes(3) / sizeof(Event));
  EXPECT_TRUE(inbox.TryEmit(1, {.type = kPing, .data = 10}));
  EXPECT_EQ(inbox.RefusedCount(), 1u);
  emitted.push_back(10);
  EXPECT_EQ(TakeAll(inbox), emitted);
  EXPECT_THAT(TakeAll(inbox), ElementsAre());
}

// Wherever the ring stands, the capacity holds: a record that would cross its end leaves a gap.
TEST(EventInbox, Eh_CapacityHoldsAtEveryPositionOfTheRing) {
  TestArena arena(1 << 16);
  EventInbox inbox(arena.Get(), 1, 5);
  for (int start = 0; start < 200; ++start) {
    for (std::int64_t i = 0; i < 5; ++i) ASSERT_TRUE(inbox.TryEmit(0, {.type = kPing, .data = i, .key = 1}));
    ASSERT_THAT(TakeAll(inbox), ElementsAre(0, 1, 2, 3, 4));
    ASSERT_TRUE(inbox.TryEmit(0, {.type = kPing, .data = 9}));
    ASSERT_THAT(TakeAll(inbox), ElementsAre(9));
  }
  EXPECT_EQ(inbox.RefusedCount(), 0u);
}

TEST(EventInbox, Eh_EventsArriveWhole) {
  TestArena arena(1 << 16);
  EventInbox inbox(arena.Get(), 1, 8);
  const Event sent[] = {{.type = kPing, .data = -1}, {.type = kPing, .flags = kEventPinned},
                        {.type = kPing, .key = 1},   {.type = kPing, .origins = 1},
                        MakeEvent(kPing, 2.5),       {.type = kPing, .data = 3}};
  for (const Event& event : sent) ASSERT_TRUE(inbox.TryEmit(0, event));
  std::size_t index = 0;
  inbox.Drain([&](const Event& event) {
    EXPECT_EQ(std::memcmp(&event, &sent[index], sizeof event), 0) << index;
    ++index;
  });
  EXPECT_EQ(index, std::size(sent));
}

TEST(EventInbox, Eh_AStrictBusTakesOnlyWhatFits) {
  TestArena arena(1 << 16);
  EventInbox inbox(arena.Get(), 1, 8);
  EventBus bus;
  bus.PreAllocate(3, Mode::Strict);
  bus.AttachInbox(&inbox);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(inbox.TryEmit(0, {.type = kPing, .data = i}));
  EXPECT_EQ(bus.ProcessEvents(), 3u);
  EXPECT_EQ(bus.ProcessEvents(), 3u);
  EXPECT_EQ(bus.ProcessEvents(), 2u);
  EXPECT_EQ(bus.GetStats().rejected, 0u);
}

// What coalesces takes no room, and makes none wait.
TEST(EventInbox, Eh_AStrictBusTakesWhatCoalescesToo) {
  TestArena arena(1 << 16);
  EventInbox inbox(arena.Get(), 1, 8);
  EventBus bus;
  bus.PreAllocate(2, Mode::Strict);
  ASSERT_TRUE(bus.SetTypePolicy(kPing, kEventCoalesce));
  bus.AttachInbox(&inbox);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(inbox.TryEmit(0, {.type = kPing, .data = i, .key = 5}));
  EXPECT_EQ(bus.ProcessEvents(), 1u);
  EXPECT_EQ(bus.GetStats().coalesced, 7u);
}

TEST(EventInbox, Eh_WorkersReachTheBusWithoutLosingAnEvent) {
  constexpr std::uint32_t kProducers = 3;
  const auto perProducer = static_cast<std::int64_t>(Repetitions(50'000));
  TestArena arena(1 << 20);
  EventInbox inbox(arena.Get(), kProducers, 256);
  LogCapture log;
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(256, Mode::Strict);
  bus.AttachInbox(&inbox);
  testing::TrafficSeen seen(kProducers);
  const auto plain = bus.Subscribe<&testing::TrafficSeen::OnPlain>(testing::kTrafficPlain, &seen);
  const auto whole = bus.Subscribe<&testing::TrafficSeen::OnWhole>(testing::kTrafficWhole, &seen);
  testing::SendThroughInbox(inbox, kProducers, perProducer, seen, [&] { bus.ProcessEvents(); });
  EXPECT_EQ(seen.wrong, 0);
  EXPECT_EQ(bus.ProcessEvents(), 0u);
  EXPECT_EQ(bus.GetStats().rejected, 0u);
}

}  // namespace
}  // namespace stadial::runtime
