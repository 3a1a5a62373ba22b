#include "stadial/runtime/work_deque.h"

#include <gtest/gtest.h>

#include <deque>

#include "work_deque_traffic.h"

namespace stadial::runtime {
namespace {

using testing::Random;
using testing::Repetitions;
using testing::SendThroughDeque;
using testing::TestArena;
using testing::TestSeed;

TEST(WorkDeque, NewestFirstForItsOwnerOldestFirstForThieves) {
  TestArena arena(4096);
  WorkDeque deque(arena.Get(), 4);
  EXPECT_EQ(deque.Capacity(), 4u);
  EXPECT_TRUE(deque.LooksEmpty());
  EXPECT_EQ(deque.TryPop(), WorkDeque::kNothing);
  EXPECT_EQ(deque.TrySteal(), WorkDeque::kNothing);
  for (std::uint32_t number = 1; number <= 4; ++number) EXPECT_TRUE(deque.TryPush(number));
  EXPECT_FALSE(deque.TryPush(5));
  EXPECT_FALSE(deque.LooksEmpty());
  EXPECT_EQ(deque.TryPop(), 4u);
  EXPECT_EQ(deque.TrySteal(), 1u);
  EXPECT_EQ(deque.TryPop(), 3u);
  EXPECT_EQ(deque.TrySteal(), 2u);
  EXPECT_EQ(deque.TryPop(), WorkDeque::kNothing);
}

TEST(WorkDeque, ASeriesIsPushedWholeOrNotAtAll) {
  TestArena arena(4096);
  WorkDeque deque(arena.Get(), 3);
  EXPECT_EQ(deque.Capacity(), 4u);
  const std::uint32_t series[] = {1, 2, 3};
  EXPECT_TRUE(deque.TryPush(series));
  EXPECT_FALSE(deque.TryPush(std::span(series, 2)));
  EXPECT_TRUE(deque.TryPush(std::span(series, 1)));
  EXPECT_FALSE(deque.TryPush(9));
  EXPECT_TRUE(deque.TryPush(std::span<const std::uint32_t>()));
  for (const std::uint32_t number : {1u, 3u, 2u, 1u}) EXPECT_EQ(deque.TryPop(), number);
}

// An operation of a random program on the deque and on its model; false when they differ. `isCanary`: the
// model lets thieves take the newest.
bool AgreesWithModel(std::uint64_t seed, std::uint64_t operations, bool isCanary) {
  TestArena arena(4096);
  Random random(seed);
  WorkDeque deque(arena.Get(), 16);
  std::deque<std::uint32_t> model;
  std::uint32_t next = 0;
  for (std::uint64_t i = 0; i < operations; ++i) {
    std::uint32_t expected = WorkDeque::kNothing;
    switch (random.Below(4)) {
      case 0:
      case 1: {
        std::uint32_t series[20];
        const std::size_t count = random.Below(3) == 0 ? random.Below(20) : 1;
        for (std::size_t k = 0; k < count; ++k) series[k] = next++;
        const bool fits = model.size() + count <= 16;
        if (deque.TryPush(std::span(series, count)) != fits) return false;
        if (fits) model.insert(model.end(), series, series + count);
        break;
      }
      case 2:
        if (!model.empty()) {
          expected = model.back();
          model.pop_back();
        }
        if (deque.TryPop() != expected) return false;
        break;
      default:
        if (!model.empty()) {
          expected = isCanary ? model.back() : model.front();
          isCanary ? model.pop_back() : model.pop_front();
        }
        if (deque.TrySteal() != expected) return false;
    }
    if (deque.LooksEmpty() != model.empty()) return false;
  }
  return true;
}

TEST(WorkDeque, AgreesWithItsModel) {
  const std::uint64_t seed = TestSeed(41);
  EXPECT_TRUE(AgreesWithModel(seed, Repetitions(2'000'000), false));
}
TEST(WorkDeque, CanaryAWrongModelIsNoticed) { EXPECT_FALSE(AgreesWithModel(TestSeed(41), 1000, true)); }

TEST(WorkDeque, EveryNumberIsTakenOnceByItsOwnerOrOneThief) {
  const std::uint64_t seed = TestSeed(7);
  for (const std::uint32_t thieves : {1u, 2u, 7u}) {
    EXPECT_EQ(SendThroughDeque<WorkDeque>(thieves, static_cast<std::uint32_t>(Repetitions(400'000)), seed),
              "")
        << thieves << " thieves";
  }
}

}  // namespace
}  // namespace stadial::runtime
