#include "stadial/runtime/event_inbox.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "stadial/runtime/event_bus.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using testing::LogCapture;
using testing::Repetitions;
using testing::TestArena;
using Mode = EventBus::AllocationMode;

constexpr EventType kPing = MakeEventType(EventCategory::User, 1);

TEST(EventInbox, Eh_KeepsTheOrderOfALaneAndIsBounded) {
  TestArena arena(1 << 16);
  EventInbox inbox(arena.Get(), 2, 3);
  EXPECT_EQ(inbox.LaneCount(), 2u);
  EXPECT_EQ(inbox.CapacityPerLane(), 4u);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(inbox.TryEmit(0, {.type = kPing, .data = i}));
  EXPECT_FALSE(inbox.TryEmit(0, {.type = kPing}));
  EXPECT_TRUE(inbox.TryEmit(1, {.type = kPing, .data = 10}));
  EXPECT_EQ(inbox.RefusedCount(), 1u);
  Event event;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(inbox.TryTake(0, event));
    EXPECT_EQ(event.data, i);
  }
  EXPECT_FALSE(inbox.TryTake(0, event));
  EXPECT_TRUE(inbox.TryTake(1, event));
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

// Producers on threads of their own while the bus drains: every event arrives once, in its lane's order.
TEST(EventInbox, Eh_WorkersReachTheBusWithoutLosingAnEvent) {
  constexpr std::uint32_t kProducers = 3;
  const std::int64_t perProducer = static_cast<std::int64_t>(Repetitions(50'000));
  TestArena arena(1 << 20);
  EventInbox inbox(arena.Get(), kProducers, 256);
  LogCapture log;
  EventBus bus(EventBusOptions{.log = log.Sink()});
  bus.PreAllocate(2 * kProducers * 256, Mode::Strict);
  bus.AttachInbox(&inbox);
  struct Seen {
    std::int64_t next[kProducers] = {};
    std::int64_t outOfOrder = 0;
    void OnEvent(const Event& event) { outOfOrder += event.data != next[event.key]++; }
  } seen;
  const auto subscription = bus.Subscribe<&Seen::OnEvent>(kPing, &seen);
  std::vector<std::thread> producers;
  for (std::uint32_t lane = 0; lane < kProducers; ++lane) {
    producers.emplace_back([&inbox, lane] {
      for (std::int64_t i = 0; i < perProducer;) {
        if (inbox.TryEmit(lane, {.type = kPing, .data = i, .key = lane})) {
          ++i;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  std::size_t delivered = 0;
  const std::size_t total = static_cast<std::size_t>(perProducer) * kProducers;
  while (delivered < total) delivered += bus.ProcessEvents();
  for (std::thread& producer : producers) producer.join();
  EXPECT_EQ(delivered, total);
  EXPECT_EQ(seen.outOfOrder, 0);
  EXPECT_EQ(bus.ProcessEvents(), 0u);
}

}  // namespace
}  // namespace stadial::runtime
