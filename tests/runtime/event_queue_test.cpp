#include "stadial/runtime/event_queue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

#include "test_support.h"

namespace stadial::runtime {
namespace {

using arenas::AllocationMode;
using ::testing::ElementsAre;
using testing::TestArena;

constexpr EventType kPing = MakeEventType(EventCategory::User, 1);

EventQueue MakeQueue(TestArena& arena, std::size_t capacity, AllocationMode mode) {
  return EventQueue(arena.Get(), {.capacity = capacity, .mode = mode, .coalesceKeysMax = 16}, nullptr);
}

bool PushPlain(EventQueue& queue, std::int64_t data) {
  std::byte* payload = nullptr;
  return queue.TryPushPlain({.type = kPing, .data = data}, false, payload);
}

std::vector<std::int64_t> TakeAll(EventQueue& queue) {
  std::vector<std::int64_t> taken;
  queue.TakeUntil(queue.End(), [&](const Event& event, EventType) { taken.push_back(event.data); });
  return taken;
}

TEST(EventQueue, E6_CalculateBytesIsWhatTheConstructorTakes) {
  for (const AllocationMode mode :
       {AllocationMode::Strict, AllocationMode::Fallback, AllocationMode::Discard}) {
    for (const std::size_t capacity : std::initializer_list<std::size_t>{0, 1, 7, 64, 1000}) {
      const EventQueue::Options options{.capacity = capacity, .mode = mode, .coalesceKeysMax = 16};
      const std::size_t bytes = EventQueue::CalculateBytes(options, nullptr);
      TestArena exact(bytes);
      const EventQueue queue(exact.Get(), options, nullptr);  // would abort if it took more
      EXPECT_EQ(queue.Capacity(), capacity);
      EXPECT_LE(bytes - exact.Get().UsedBytes(), 256u) << "asks for much more than it takes";
    }
  }
}

TEST(EventQueue, TakesOnlyWhatStandsBeforeTheEnd) {
  TestArena arena(1 << 16);
  EventQueue queue = MakeQueue(arena, 8, AllocationMode::Strict);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(PushPlain(queue, i));
  const EventQueue::Position end = queue.End();
  for (int i = 3; i < 5; ++i) ASSERT_TRUE(PushPlain(queue, i));
  std::vector<std::int64_t> taken;
  EXPECT_EQ(queue.TakeUntil(end, [&](const Event& event, EventType) { taken.push_back(event.data); }), 3u);
  EXPECT_THAT(taken, ElementsAre(0, 1, 2));
  EXPECT_THAT(TakeAll(queue), ElementsAre(3, 4));
}

// The one slot more than the capacity: filling the queue from inside a visitor must not touch the visitor's
// event.
TEST(EventQueue, E7_TheVisitedEventOutlivesAFullRing) {
  for (const AllocationMode mode :
       {AllocationMode::Strict, AllocationMode::Fallback, AllocationMode::Discard}) {
    for (std::size_t start = 0; start < 4; ++start) {  // every position of the ring's wrap
      TestArena arena(1 << 18);
      EventQueue queue = MakeQueue(arena, 3, mode);
      for (std::size_t i = 0; i < start; ++i) {
        ASSERT_TRUE(queue.Push({.type = kPing}).result);
        TakeAll(queue);
      }
      ASSERT_TRUE(queue.Push({.type = kPing, .data = 77}).result);
      queue.TakeUntil(queue.End(), [&](const Event& event, EventType) {
        for (int i = 0; i < 20; ++i) static_cast<void>(queue.Push({.type = kPing, .data = i}).result);
        EXPECT_EQ(event.data, 77);
      });
    }
  }
}

TEST(EventQueue, E13_AdoptingKeepsOrderAndCounts) {
  TestArena arena(1 << 18);
  EventQueue first = MakeQueue(arena, 2, AllocationMode::Fallback);
  for (int i = 0; i < 70; ++i) ASSERT_TRUE(first.Push({.type = kPing, .data = i}).result);
  first.TakeUntil({.stream = 10, .pinned = 0}, [](const Event&, EventType) {});
  EventQueue second = MakeQueue(arena, 100, AllocationMode::Discard);
  second.AdoptFrom(first);
  EXPECT_TRUE(first.IsEmpty());
  EXPECT_EQ(first.GrowthCapacity(), 0u);
  EXPECT_EQ(second.Size(), 60u);
  EXPECT_EQ(second.EmittedCount(), 70u);
  EXPECT_EQ(second.TakenCount(), 10u);
  const std::vector<std::int64_t> rest = TakeAll(second);
  EXPECT_EQ(rest.front(), 10);
  EXPECT_EQ(rest.back(), 69);
  EXPECT_EQ(second.TakenCount(), 70u);
  EXPECT_EQ(second.GetCounters().peak, 70u);
}

}  // namespace
}  // namespace stadial::runtime
