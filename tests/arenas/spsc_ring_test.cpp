#include "stadial/arenas/spsc_ring.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <vector>

#include "support/arena_buffer.h"
#include "support/op_program.h"
#include "support/ring_traffic.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

std::string RunSpscProgram(OpRandom& random, bool broken) {
  ArenaBuffer buffer;
  SpscRing<std::uint64_t> ring(buffer.arena, 1 + random.Below(9));
  std::deque<std::uint64_t> model;
  for (int step = 0; step < 6000; ++step) {
    const std::size_t choice = random.Below(100);
    if (choice < 10) {
      const std::vector<std::uint64_t> values(random.Below(6), random.Next());
      const std::size_t pushed = ring.PushSome(values);
      if (pushed != std::min(values.size(), ring.Capacity() - model.size()))
        return Differs("step %d: pushed %zu of %zu", step, pushed, values.size());
      model.insert(model.end(), values.begin(), values.begin() + static_cast<std::ptrdiff_t>(pushed));
    } else if (choice < 20) {
      const std::size_t countMax = random.Below(6);
      std::vector<std::uint64_t> values;
      const std::size_t taken = ring.Consume([&](std::uint64_t value) { values.push_back(value); }, countMax);
      if (taken != std::min(countMax, model.size()) || taken != values.size() ||
          !std::equal(values.begin(), values.end(), model.begin()))
        return Differs("step %d: consumed %zu of %zu", step, taken, model.size());
      model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(taken));
    } else if (choice < 60) {
      const std::uint64_t value = random.Next();
      const bool pushed = ring.TryPush(value);
      const bool expected = model.size() < ring.Capacity() - (broken ? 1 : 0);
      if (pushed != expected) return Differs("step %d: push at size %zu", step, model.size());
      if (pushed) model.push_back(value);
    } else {
      std::uint64_t value = 0;
      const bool popped = ring.TryPop(value);
      if (popped != !model.empty()) return Differs("step %d: pop at size %zu", step, model.size());
      if (popped && value != model.front()) return Differs("step %d: popped another value", step);
      if (popped) model.pop_front();
    }
    if (ring.Size() != model.size()) return Differs("step %d: size", step);
  }
  return "";
}

TEST(SpscRing, ProgramAgreesWithModel) {
  testing::ExpectAgreement("spsc_ring", [](OpRandom& random) { return RunSpscProgram(random, false); });
}
TEST(SpscRing, ProgramCanary) {
  testing::ExpectCanary("spsc_ring", [](OpRandom& random) { return RunSpscProgram(random, true); });
}

TEST(SpscRing, SharesNoCacheLineWithItsNeighbours) {
  ArenaBuffer buffer;
  (void)buffer.arena.Allocate(1);
  SpscRing<int> ring(buffer.arena, 1);
  ring.Push(1);
  const auto element = reinterpret_cast<std::uintptr_t>(ring.Front());
  EXPECT_EQ(element % 64, 0u);
  EXPECT_GE(reinterpret_cast<std::uintptr_t>(buffer.arena.Allocate(1)), element + 64);
}

// Every value arrives once, in order, whole.
TEST(SpscRing, TwoThreadsLoseNothingAndTearNothing) {
  for (const std::size_t capacity : {1u, 2u, 64u}) {
    EXPECT_EQ(testing::SendThroughSpscRing<SpscRing<testing::Parcel>>(capacity, 50'000), "")
        << "capacity " << capacity;
  }
}

TEST(SpscRing, AProducerGoesOnWhereTheLastOneEnded) {
  ArenaBuffer buffer;
  SpscRing<int> ring(buffer.arena, 4);
  int expected = 0;
  for (int round = 0; round < 30; round += 3) {
    auto producer = ring.GetProducer();
    EXPECT_TRUE(producer.TryPush(round));
    EXPECT_EQ(producer.PushSome(std::vector<int>{round + 1}), 1u);
    EXPECT_TRUE(producer.TryPush(round + 2));
    EXPECT_EQ(ring.Consume([&](int value) { EXPECT_EQ(value, expected++); }), 3u);
  }
}

TEST(SpscRing, ShowsStagedElementsWhenPublished) {
  ArenaBuffer buffer;
  SpscRing<int> ring(buffer.arena, 2);
  {
    auto producer = ring.GetProducer();
    EXPECT_TRUE(producer.TryStage(1));
    EXPECT_TRUE(producer.TryStage(2));
    EXPECT_FALSE(producer.TryStage(3)) << "staged elements take room";
    EXPECT_EQ(ring.Front(), nullptr);
    producer.Publish();
    int value = 0;
    EXPECT_TRUE(ring.TryPop(value));
    EXPECT_TRUE(producer.TryStage(4));
  }
  EXPECT_EQ(ring.Size(), 1u) << "what was not published was never pushed";
  EXPECT_EQ(*ring.Front(), 2);
}

TEST(SpscRingDeathTest, OneTooManyAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  SpscRing<int> ring(buffer.arena, 1);
  ring.Push(1);
  EXPECT_DEATH(ring.Push(2), "SpscRing is full");
}

}  // namespace
}  // namespace stadial::arenas
