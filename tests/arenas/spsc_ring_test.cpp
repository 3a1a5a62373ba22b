#include "stadial/arenas/spsc_ring.h"

#include <gtest/gtest.h>

#include <deque>
#include <thread>

#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

TEST(SpscRing, RoundsItsCapacityToAPowerOfTwo) {
  ArenaBuffer buffer;
  for (const auto& [asked, given] :
       {std::pair{0u, 1u}, {1u, 1u}, {2u, 2u}, {3u, 4u}, {64u, 64u}, {65u, 128u}}) {
    SpscRing<int> ring(buffer.arena, asked);
    EXPECT_EQ(ring.Capacity(), given);
    for (unsigned index = 0; index < given; ++index) EXPECT_TRUE(ring.TryPush(1));
    EXPECT_FALSE(ring.TryPush(1));
    EXPECT_EQ(ring.Size(), given);
  }
}

TEST(SpscRing, LivesInAnArena) {
  ArenaBuffer buffer;
  auto* const ring = buffer.arena.New<SpscRing<int>>(buffer.arena, 4u);
  ring->Push(3);
  ASSERT_NE(ring->Front(), nullptr);
  EXPECT_EQ(*ring->Front(), 3);
  ring->Drop();
  EXPECT_EQ(ring->Front(), nullptr);
}

std::string RunSpscProgram(OpRandom& random, bool broken) {
  ArenaBuffer buffer;
  SpscRing<std::uint64_t> ring(buffer.arena, 1 + random.Below(9));
  std::deque<std::uint64_t> model;
  for (int step = 0; step < 6000; ++step) {
    if (random.OneIn(2)) {
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

// Every value arrives once, in order, whole: the two words of an element must be from the same push.
TEST(SpscRing, TwoThreadsLoseNothingAndTearNothing) {
  struct Pair {
    std::uint64_t value;
    std::uint64_t check;
  };
  constexpr std::uint64_t kCount = 50'000;
  for (const std::size_t capacity : {1u, 2u, 64u}) {
    ArenaBuffer buffer;
    SpscRing<Pair> ring(buffer.arena, capacity);
    std::thread producer([&] {
      for (std::uint64_t value = 0; value < kCount;) {
        if (ring.TryPush({value, ~value})) {
          ++value;
        } else {
          std::this_thread::yield();
        }
      }
    });
    std::uint64_t expected = 0;
    std::uint64_t wrong = 0;
    while (expected < kCount) {
      Pair pair{};
      if (!ring.TryPop(pair)) {
        std::this_thread::yield();
        continue;
      }
      wrong += pair.value != expected || pair.check != ~expected;
      ++expected;
    }
    producer.join();
    EXPECT_EQ(wrong, 0u) << "capacity " << capacity;
    EXPECT_EQ(ring.Size(), 0u);
  }
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
