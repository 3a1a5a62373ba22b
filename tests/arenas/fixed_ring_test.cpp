#include "stadial/arenas/fixed_ring.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

TEST(FixedRing, IsFirstInFirstOutForAnyCapacity) {
  for (const std::size_t capacity : {1u, 2u, 3u, 5u, 8u}) {
    ArenaBuffer buffer;
    FixedRing<int> ring(buffer.arena, capacity);
    EXPECT_EQ(ring.Capacity(), capacity);
    int pushed = 0;
    int popped = 0;
    for (int round = 0; round < 20; ++round) {
      while (ring.TryPushBack(pushed)) ++pushed;
      EXPECT_TRUE(ring.IsFull());
      EXPECT_EQ(ring.Size(), capacity);
      EXPECT_EQ(ring.Front(), popped);
      EXPECT_EQ(ring.Back(), pushed - 1);
      const std::size_t take = 1 + static_cast<std::size_t>(round) % capacity;
      for (std::size_t index = 0; index < take; ++index) EXPECT_EQ(ring.PopFront(), popped++);
    }
  }
}

TEST(FixedRing, OfNothing) {
  FixedRing<int> none;
  int value = 5;
  EXPECT_FALSE(none.TryPushBack(1));
  EXPECT_FALSE(none.TryPopFront(value));
  EXPECT_EQ(value, 5);
}

TEST(FixedRing, IsADeque) {
  ArenaBuffer buffer;
  FixedRing<int> ring(buffer.arena, 3);
  ring.PushFront(2);
  ring.PushFront(1);
  ring.PushBack(3);
  EXPECT_FALSE(ring.TryPushFront(0));
  EXPECT_EQ(ring.Front(), 1);
  EXPECT_EQ(ring.PopBack(), 3);
  EXPECT_EQ(ring.PopBack(), 2);
  EXPECT_EQ(ring.PopBack(), 1);
  int value = 5;
  EXPECT_FALSE(ring.TryPopBack(value));
  EXPECT_EQ(value, 5);
}

TEST(FixedRing, DiscardDropsTheOldestAndSaysSo) {
  ArenaBuffer buffer;
  FixedRing<int> ring(buffer.arena, 2);
  EXPECT_FALSE(ring.DiscardPushBack(1));
  EXPECT_FALSE(ring.DiscardPushBack(2));
  EXPECT_TRUE(ring.DiscardPushBack(3));
  EXPECT_THAT(ring, ::testing::ElementsAre(2, 3));
  EXPECT_TRUE(ring.DiscardPushBack(ring.Front())) << "the dropped element itself";
  EXPECT_THAT(ring, ::testing::ElementsAre(3, 2));
}

TEST(FixedRing, IsReadInOrderThroughConstAndByRuns) {
  ArenaBuffer buffer;
  FixedRing<int> ring(buffer.arena, 4);
  for (int value = 0; value < 6; ++value) ring.DiscardPushBack(value);
  const FixedRing<int>& constant = ring;
  EXPECT_THAT(constant, ::testing::ElementsAre(2, 3, 4, 5));
  EXPECT_THAT(constant.GetRuns().first, ::testing::ElementsAre(2, 3));
  EXPECT_THAT(constant.GetRuns().second, ::testing::ElementsAre(4, 5));
  for (int& value : ring) value *= 10;
  EXPECT_EQ(constant.Front(), 20);
  EXPECT_EQ(constant.Back(), 50);
  FixedRing<int> moved = std::move(ring);
  EXPECT_EQ(moved.Size(), 4u);
  EXPECT_EQ(ring.Capacity(), 0u);  // NOLINT(bugprone-use-after-move): that is what is tested
  ring = std::move(moved);
  EXPECT_THAT(ring, ::testing::ElementsAre(20, 30, 40, 50));
}

std::string RunRingProgram(OpRandom& random, bool broken) {
  ArenaBuffer buffer;
  const std::size_t capacity = 1 + random.Below(17);
  FixedRing<std::uint64_t> ring(buffer.arena, capacity);
  std::deque<std::uint64_t> model;
  for (int step = 0; step < 6000; ++step) {
    const std::size_t choice = random.Below(100);
    if (choice < 30) {
      const std::uint64_t value = random.Next();
      const bool pushed = ring.TryPushBack(value);
      if (pushed != (model.size() < capacity))
        return Differs("step %d: push at size %zu", step, model.size());
      if (pushed) model.push_back(value);
    } else if (choice < 45) {
      const std::uint64_t value = random.Next();
      const bool pushed = ring.TryPushFront(value);
      if (pushed != (model.size() < capacity)) return Differs("step %d: push in front", step);
      if (pushed) model.push_front(value);
    } else if (choice < 52) {
      const std::uint64_t value = random.Next();
      if (ring.DiscardPushBack(value) != (model.size() == capacity)) return Differs("step %d: discard", step);
      if (model.size() == capacity) model.pop_front();
      model.push_back(value);
    } else if (choice < 70) {
      std::uint64_t value = 0;
      const bool popped = ring.TryPopBack(value);
      if (popped != !model.empty()) return Differs("step %d: pop from behind", step);
      if (popped && value != model.back()) return Differs("step %d: popped another value", step);
      if (popped) model.pop_back();
    } else if (choice < 99) {
      std::uint64_t value = 0;
      const bool popped = ring.TryPopFront(value);
      if (popped != !model.empty()) return Differs("step %d: pop at size %zu", step, model.size());
      if (popped) {
        const std::uint64_t expected = broken ? model.back() : model.front();
        if (value != expected) return Differs("step %d: popped another value", step);
        broken ? model.pop_back() : model.pop_front();
      }
    } else {
      ring.Clear();
      model.clear();
    }
    if (ring.Size() != model.size()) return Differs("step %d: size", step);
    for (std::size_t index = 0; index < model.size(); ++index) {
      if (ring[index] != model[index]) return Differs("step %d: element %zu", step, index);
    }
    if (!std::equal(ring.begin(), ring.end(), model.begin(), model.end()))
      return Differs("step %d: iteration", step);
    const auto runs = ring.GetRuns();
    if (runs.first.size() + runs.second.size() != model.size() ||
        !std::equal(runs.first.begin(), runs.first.end(), model.begin()) ||
        !std::equal(runs.second.rbegin(), runs.second.rend(), model.rbegin()))
      return Differs("step %d: runs", step);
  }
  return "";
}

TEST(FixedRing, ProgramAgreesWithModel) {
  testing::ExpectAgreement("fixed_ring", [](OpRandom& random) { return RunRingProgram(random, false); });
}
TEST(FixedRing, ProgramCanary) {
  testing::ExpectCanary("fixed_ring", [](OpRandom& random) { return RunRingProgram(random, true); });
}

TEST(FixedRingDeathTest, OneTooManyOrTooFewAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  FixedRing<int> ring(buffer.arena, 1);
  EXPECT_DEATH((void)ring.PopFront(), "PopFront of an empty FixedRing");
  EXPECT_DEATH((void)ring.PopBack(), "PopBack of an empty FixedRing");
  ring.PushBack(1);
  EXPECT_DEATH(ring.PushBack(2), "\\(1 vs 1\\).*FixedRing is full");
  EXPECT_DEATH(ring.PushFront(2), "\\(1 vs 1\\).*FixedRing is full");
  EXPECT_DEATH(FixedRing<int>().DiscardPushBack(1), "capacity 0 holds nothing");
}

}  // namespace
}  // namespace stadial::arenas
