#include "stadial/arenas/mpsc_ring.h"

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

TEST(MpscRing, PushesAllOrNone) {
  ArenaBuffer buffer;
  MpscRing<int> ring(buffer.arena, 4);
  const std::vector<int> three{1, 2, 3};
  EXPECT_TRUE(ring.TryPushAll(three));
  EXPECT_FALSE(ring.TryPushAll(std::vector<int>{4, 5}));
  EXPECT_FALSE(ring.TryPushAll(std::vector<int>(5, 0))) << "more than the ring ever holds";
  EXPECT_TRUE(ring.TryPushAll({}));
  EXPECT_EQ(ring.Size(), 3u);
  int value = 0;
  EXPECT_TRUE(ring.TryPop(value));
  EXPECT_TRUE(ring.TryPushAll(std::vector<int>{4, 5}));
  std::vector<int> taken;
  EXPECT_EQ(ring.Consume([&](int each) { taken.push_back(each); }), 4u);
  EXPECT_EQ(taken, (std::vector<int>{2, 3, 4, 5}));
}

// A visitor that answers everything it takes must not keep the consumer for ever.
TEST(MpscRing, OneConsumeTakesNoMoreThanTheRingHolds) {
  ArenaBuffer buffer;
  MpscRing<int> ring(buffer.arena, 4);
  ring.Push(0);
  EXPECT_EQ(ring.Consume([&](int value) { ring.Push(value + 1); }), 4u);
  EXPECT_EQ(*ring.Front(), 4);
}

std::string RunMpscProgram(OpRandom& random, bool broken) {
  ArenaBuffer buffer;
  MpscRing<std::uint64_t> ring(buffer.arena, 1 + random.Below(9));
  std::deque<std::uint64_t> model;
  for (int step = 0; step < 6000; ++step) {
    const std::size_t choice = random.Below(100);
    const std::size_t room = ring.Capacity() - model.size();
    if (choice < 40) {
      const std::uint64_t value = random.Next();
      if (ring.TryPush(value) != (room > (broken ? 1u : 0u))) return Differs("step %d: push", step);
      if (room > 0) model.push_back(value);
    } else if (choice < 50) {
      const std::vector<std::uint64_t> values(random.Below(6), random.Next());
      if (ring.TryPushAll(values) != (values.size() <= room)) return Differs("step %d: push all", step);
      if (values.size() <= room) model.insert(model.end(), values.begin(), values.end());
    } else if (choice < 90) {
      std::uint64_t value = 0;
      if (ring.TryPop(value) != !model.empty()) return Differs("step %d: pop", step);
      if (!model.empty() && value != model.front()) return Differs("step %d: popped another value", step);
      if (!model.empty()) model.pop_front();
    } else {
      const std::size_t countMax = random.Below(6);
      std::vector<std::uint64_t> values;
      const std::size_t taken = ring.Consume([&](std::uint64_t value) { values.push_back(value); }, countMax);
      if (taken != std::min(countMax, model.size()) || taken != values.size() ||
          !std::equal(values.begin(), values.end(), model.begin()))
        return Differs("step %d: consume", step);
      model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(taken));
    }
    if (ring.Size() != model.size()) return Differs("step %d: size", step);
  }
  return "";
}

TEST(MpscRing, ProgramAgreesWithModel) {
  testing::ExpectAgreement("mpsc_ring", [](OpRandom& random) { return RunMpscProgram(random, false); });
}
TEST(MpscRing, ProgramCanary) {
  testing::ExpectCanary("mpsc_ring", [](OpRandom& random) { return RunMpscProgram(random, true); });
}

TEST(MpscRing, ThreadsLoseNothingAndTearNothing) {
  for (const std::size_t capacity : {2u, 64u, 1024u}) {
    EXPECT_EQ(testing::SendThroughMpscRing<MpscRing<testing::Parcel>>(capacity, 3, 20'000), "")
        << "capacity " << capacity;
  }
}

// The parts of one push stand side by side, whoever else pushes meanwhile.
TEST(MpscRing, ThreadsDoNotMixWhatWasPushedTogether) {
  ArenaBuffer buffer;
  MpscRing<testing::Parcel> ring(buffer.arena, 16);
  constexpr std::uint32_t kParts = 3;
  const std::uint32_t count = testing::Parcels(30'000) / kParts * kParts;
  std::size_t part = 0;
  std::uint32_t sender = 0;
  const std::string fault = testing::RunTraffic(
      3, count / kParts,
      [&](std::uint32_t from) {
        return [&ring, from](std::uint32_t number) {
          const std::vector<testing::Parcel> parts(kParts, testing::Parcel::Make(from, number));
          return ring.TryPushAll(parts);
        };
      },
      [&](testing::Receiver& receiver) {
        ring.Consume([&](const testing::Parcel& parcel) {
          if (part == 0) sender = parcel.sender;
          if (parcel.sender != sender) receiver.Note("another sender's part in between");
          part = (part + 1) % kParts;
          if (part == 0) receiver.Take(parcel);
        });
      });
  EXPECT_EQ(fault, "");
}

TEST(MpscRingDeathTest, OneTooManyAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  MpscRing<int> ring(buffer.arena, 2);
#if STADIAL_ASSERT_LEVEL >= 1
  EXPECT_DEATH(ring.Drop(), "Drop without a Front");
#endif
  ring.Push(1);
  ring.Push(2);
  EXPECT_DEATH(ring.Push(3), "MpscRing is full");
}

}  // namespace
}  // namespace stadial::arenas
