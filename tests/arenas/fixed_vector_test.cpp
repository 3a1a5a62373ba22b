#include "stadial/arenas/fixed_vector.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <vector>

#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

TEST(FixedVector, FillsToItsCapacityAndNoFurther) {
  ArenaBuffer buffer;
  FixedVector<int> vector(buffer.arena, 3);
  EXPECT_TRUE(vector.IsEmpty());
  vector.PushBack(1);
  vector.EmplaceBack(2);
  EXPECT_TRUE(vector.TryPushBack(3));
  EXPECT_TRUE(vector.IsFull());
  EXPECT_FALSE(vector.TryPushBack(4));
  EXPECT_EQ(vector.TryEmplaceBack(4), nullptr);
  EXPECT_EQ(vector.Size(), 3u);
  EXPECT_EQ(vector.Back(), 3);
  int sum = 0;
  for (const int value : vector) sum += value;
  EXPECT_EQ(sum, 6);
}

TEST(FixedVector, OfNothing) {
  FixedVector<int> none;
  EXPECT_EQ(none.Capacity(), 0u);
  EXPECT_FALSE(none.TryPushBack(1));
  ArenaBuffer buffer;
  FixedVector<int> zero(buffer.arena, 0);
  EXPECT_FALSE(zero.TryPushBack(1));
}

TEST(FixedVector, MovesItsStorageOver) {
  ArenaBuffer buffer;
  FixedVector<int> source(buffer.arena, 2);
  source.PushBack(7);
  FixedVector<int> target(std::move(source));
  EXPECT_EQ(target[0], 7);
  EXPECT_EQ(source.Capacity(), 0u);  // NOLINT(bugprone-use-after-move): that is what is tested
  source = std::move(target);
  EXPECT_EQ(source.Span()[0], 7);
}

TEST(FixedVector, InsertsAndRemovesInOrder) {
  ArenaBuffer buffer;
  FixedVector<int> vector(buffer.arena, 5);
  vector.Append(std::array{1, 2, 4});
  EXPECT_EQ(vector.Insert(2, 3), 3);
  EXPECT_EQ(vector.Insert(0, vector.Back()), 4) << "an element of the vector itself";
  EXPECT_THAT(vector.Span(), ::testing::ElementsAre(4, 1, 2, 3, 4));
  EXPECT_EQ(vector.TryInsert(1, 9), nullptr);
  EXPECT_FALSE(vector.TryAppend(std::array{9}));
  vector.Remove(0);
  EXPECT_THAT(vector.Span(), ::testing::ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(vector.RemoveIf([](int value) { return value % 2 == 0; }), 2u);
  EXPECT_THAT(vector.Span(), ::testing::ElementsAre(1, 3));
  vector.Resize(4);
  EXPECT_THAT(vector.Span(), ::testing::ElementsAre(1, 3, 0, 0));
  EXPECT_FALSE(vector.TryResize(6));
  EXPECT_EQ(vector.Size(), 4u) << "a refusal changes nothing";
}

TEST(FixedVector, AppendsItself) {
  ArenaBuffer buffer;
  FixedVector<int> vector(buffer.arena, 4);
  vector.Append(std::array{1, 2});
  vector.Append(vector.Span());
  EXPECT_THAT(vector.Span(), ::testing::ElementsAre(1, 2, 1, 2));
  EXPECT_FALSE(vector.TryAppend(vector.Span()));
}

TEST(FixedVector, IsReadThroughConst) {
  ArenaBuffer buffer;
  FixedVector<int> vector(buffer.arena, 3);
  vector.Append(std::array{5, 6, 7});
  const FixedVector<int>& constant = vector;
  EXPECT_EQ(constant.Front(), 5);
  EXPECT_EQ(constant[1], 6);
  EXPECT_EQ(constant.Back(), 7);
  EXPECT_EQ(constant.Span().data(), constant.Data());
  EXPECT_EQ(std::accumulate(constant.begin(), constant.end(), 0), 18);
}

struct Wide {
  alignas(64) int value;
};
TEST(FixedVector, KeepsTheElementsAlignment) {
  ArenaBuffer buffer;
  (void)buffer.arena.Allocate(1);
  FixedVector<Wide> vector(buffer.arena, 2);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(vector.Data()) % 64, 0u);
}

std::string RunVectorProgram(OpRandom& random, bool broken) {
  ArenaBuffer buffer;
  const std::size_t capacity = 1 + random.Below(40);
  FixedVector<std::uint64_t> vector(buffer.arena, capacity);
  std::vector<std::uint64_t> model;
  for (int step = 0; step < 5000; ++step) {
    const std::size_t choice = random.Below(100);
    if (choice < 40) {
      const std::uint64_t value = random.Next();
      const bool pushed = vector.TryPushBack(value);
      if (pushed != (model.size() < capacity))
        return Differs("step %d: push at size %zu", step, model.size());
      if (pushed) model.push_back(value);
    } else if (choice < 50) {
      const std::uint64_t value = random.Next();
      const std::size_t index = random.Below(model.size() + 1);
      const bool inserted = vector.TryInsert(index, value) != nullptr;
      if (inserted != (model.size() < capacity)) return Differs("step %d: insert", step);
      if (inserted) model.insert(model.begin() + static_cast<std::ptrdiff_t>(index), value);
    } else if (choice < 55) {
      const std::vector<std::uint64_t> values(random.Below(4), random.Next());
      const bool appended = vector.TryAppend(values);
      if (appended != (values.size() <= capacity - model.size())) return Differs("step %d: append", step);
      if (appended) model.insert(model.end(), values.begin(), values.end());
    } else if (choice < 70 && !model.empty()) {
      vector.PopBack();
      model.pop_back();
    } else if (choice < 80 && !model.empty()) {
      const std::size_t index = random.Below(model.size());
      vector.Remove(index);
      model.erase(model.begin() + static_cast<std::ptrdiff_t>(index));
    } else if (choice < 82) {
      const auto isOdd = [](std::uint64_t value) { return value % 2 == 1; };
      if (vector.RemoveIf(isOdd) != std::erase_if(model, isOdd)) return Differs("step %d: remove if", step);
    } else if (choice < 84) {
      const std::size_t size = random.Below(2 * capacity);
      if (vector.TryResize(size) != (size <= capacity)) return Differs("step %d: resize", step);
      if (size <= capacity) model.resize(size);
    } else if (choice < 95 && !model.empty()) {
      const std::size_t index = random.Below(model.size());
      vector.SwapRemove(index);
      if (broken) {
        model.erase(model.begin() + static_cast<std::ptrdiff_t>(index));
      } else {
        model[index] = model.back();
        model.pop_back();
      }
    } else if (choice == 95) {
      vector.Clear();
      model.clear();
    } else if (choice > 95) {
      const std::size_t size = random.Below(model.size() + 1);
      vector.Truncate(size);
      model.resize(size);
    }
    if (!std::equal(vector.begin(), vector.end(), model.begin(), model.end()))
      return Differs("step %d: contents", step);
  }
  return "";
}

TEST(FixedVector, ProgramAgreesWithModel) {
  testing::ExpectAgreement("fixed_vector", [](OpRandom& random) { return RunVectorProgram(random, false); });
}
TEST(FixedVector, ProgramCanary) {
  testing::ExpectCanary("fixed_vector", [](OpRandom& random) { return RunVectorProgram(random, true); });
}

TEST(FixedVectorDeathTest, OneTooManyAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  FixedVector<int> vector(buffer.arena, 1);
  vector.PushBack(1);
  EXPECT_DEATH(vector.PushBack(2), "\\(1 vs 1\\).*FixedVector is full");
  EXPECT_DEATH((void)vector.Insert(0, 2), "\\(1 vs 1\\).*FixedVector is full");
  vector.Clear();
  EXPECT_DEATH(vector.Append(std::array{1, 2}), "\\(2 vs 1\\).*no room for so many");
  EXPECT_DEATH(vector.Resize(2), "\\(2 vs 1\\).*no room for so many");
}

}  // namespace
}  // namespace stadial::arenas
