#include "stadial/arenas/fixed_ring.h"

#include <gtest/gtest.h>

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

std::string RunRingProgram(OpRandom& random, bool broken) {
  ArenaBuffer buffer;
  const std::size_t capacity = 1 + random.Below(17);
  FixedRing<std::uint64_t> ring(buffer.arena, capacity);
  std::deque<std::uint64_t> model;
  for (int step = 0; step < 6000; ++step) {
    const std::size_t choice = random.Below(100);
    if (choice < 52) {
      const std::uint64_t value = random.Next();
      const bool pushed = ring.TryPushBack(value);
      if (pushed != (model.size() < capacity))
        return Differs("step %d: push at size %zu", step, model.size());
      if (pushed) model.push_back(value);
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
  ring.PushBack(1);
  EXPECT_DEATH(ring.PushBack(2), "\\(1 vs 1\\).*FixedRing is full");
}

}  // namespace
}  // namespace stadial::arenas
