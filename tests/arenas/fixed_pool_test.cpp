#include "stadial/arenas/fixed_pool.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

TEST(FixedPool, GivesEachSlotOnceAndTakesItBack) {
  ArenaBuffer buffer;
  FixedPool<int> pool(buffer.arena, 2);
  int* const first = pool.New(1);
  int* const second = pool.New(2);
  EXPECT_NE(first, second);
  EXPECT_TRUE(pool.IsFull());
  EXPECT_EQ(pool.TryNew(3), nullptr);
  EXPECT_EQ(pool.IndexOf(second), 1u);
  pool.Delete(first);
  EXPECT_FALSE(pool.IsLive(first));
  EXPECT_TRUE(pool.IsLive(second));
  EXPECT_EQ(pool.New(3), first) << "the freed slot is used again";
  EXPECT_EQ(*second, 2);
  pool.Delete(nullptr);
  EXPECT_EQ(pool.Size(), 2u);
}

TEST(FixedPool, OfNothing) {
  FixedPool<int> none;
  EXPECT_EQ(none.TryNew(1), nullptr);
  const int elsewhere = 0;
  EXPECT_FALSE(none.IsLive(&elsewhere));
  none.Clear();
  none.ForEach([](int&) { FAIL(); });
}

struct Wide {
  alignas(64) int value;
};
TEST(FixedPool, KeepsTheObjectsAlignment) {
  ArenaBuffer buffer;
  (void)buffer.arena.Allocate(1);
  FixedPool<Wide> pool(buffer.arena, 3);
  for (int count = 0; count < 3; ++count) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(pool.New()) % 64, 0u);
  }
}

TEST(FixedPool, ForeignAddressesAreNotLive) {
  ArenaBuffer buffer;
  FixedPool<std::uint64_t> pool(buffer.arena, 2);
  FixedPool<std::uint64_t> other(buffer.arena, 2);
  std::uint64_t* const mine = pool.New(1u);
  std::uint64_t* const theirs = other.New(1u);
  EXPECT_TRUE(pool.IsLive(mine));
  EXPECT_FALSE(pool.IsLive(theirs));
  EXPECT_FALSE(other.IsLive(mine));
  EXPECT_FALSE(pool.IsLive(mine + 1)) << "a slot never used";
  EXPECT_FALSE(pool.IsLive(nullptr));
  // In the middle of an object.
  EXPECT_FALSE(pool.IsLive(reinterpret_cast<std::uint64_t*>(reinterpret_cast<std::uintptr_t>(mine) + 4)));
}

// Slots of every kind of size: powers of two, odd ones and mixed. Their numbers are found without a division.
template <std::size_t kBytes>
struct Bytes {
  char bytes[kBytes];
};
template <class T>
class FixedPoolOf : public ::testing::Test {};
using Objects = ::testing::Types<Bytes<1>, Bytes<3>, Bytes<12>, Bytes<24>, Bytes<56>, Bytes<64>, Bytes<77>>;
TYPED_TEST_SUITE(FixedPoolOf, Objects);
TYPED_TEST(FixedPoolOf, KnowsWhereItsObjectsStart) {
  ArenaBuffer buffer;
  constexpr std::size_t kCount = 50;
  FixedPool<TypeParam> pool(buffer.arena, kCount + 1);
  std::vector<TypeParam*> objects;
  for (std::size_t index = 0; index < kCount; ++index) objects.push_back(pool.New());
  const auto first = reinterpret_cast<std::uintptr_t>(objects[0]);
  const auto at = [&](std::uintptr_t address) { return reinterpret_cast<const TypeParam*>(address); };
  for (std::size_t index = 0; index < kCount; ++index) {
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(objects[index]), first + index * sizeof(TypeParam));
    EXPECT_EQ(pool.IndexOf(objects[index]), index);
  }
  for (std::size_t offset = 0; offset < kCount * sizeof(TypeParam); ++offset) {
    EXPECT_EQ(pool.IsLive(at(first + offset)), offset % sizeof(TypeParam) == 0) << offset;
  }
  for (std::size_t distance = 1; distance < 200; ++distance) {
    EXPECT_FALSE(pool.IsLive(at(first - distance))) << distance;
    EXPECT_FALSE(pool.IsLive(at(first + kCount * sizeof(TypeParam) + distance - 1))) << distance;
  }
}

TEST(FixedPool, AVisitorMayDeleteWhatItIsGiven) {
  ArenaBuffer buffer;
  FixedPool<int> pool(buffer.arena, 100);
  for (int value = 0; value < 100; ++value) pool.New(value);
  pool.ForEach([&](int& value) {
    if (value % 2 == 0) pool.Delete(&value);
  });
  EXPECT_EQ(pool.Size(), 50u);
  int sum = 0;
  const FixedPool<int>& constant = pool;
  constant.ForEach([&](const int& value) { sum += value; });
  EXPECT_EQ(sum, 2500);
}

TEST(FixedPool, MovesItsStorageOver) {
  ArenaBuffer buffer;
  FixedPool<int> source(buffer.arena, 1);
  int* const object = source.New(7);
  FixedPool<int> target = std::move(source);
  EXPECT_TRUE(target.IsLive(object));
  EXPECT_EQ(source.Capacity(), 0u);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(source.TryNew(1), nullptr);
  source = std::move(target);
  source.Delete(object);
  EXPECT_TRUE(source.IsEmpty());
}

#if STADIAL_ADDRESS_SANITIZER
TEST(FixedPool, DeletedAndUnusedObjectsAreHostile) {
  ArenaBuffer buffer;
  FixedPool<std::uint64_t> pool(buffer.arena, 2);
  std::uint64_t* const object = pool.New(1u);
  EXPECT_FALSE(IsPoisoned(object));
  EXPECT_TRUE(IsPoisoned(object + 1)) << "never used";
  pool.Delete(object);
  EXPECT_TRUE(IsPoisoned(object));
}
#endif

// The model: which addresses are live, and what was written there.
std::string RunPoolProgram(OpRandom& random, bool broken) {
  struct Live {
    std::uint64_t* object;
    std::uint64_t value;
  };
  ArenaBuffer buffer;
  const std::size_t capacity = 1 + random.Below(80);
  FixedPool<std::uint64_t> pool(buffer.arena, capacity);
  std::vector<Live> model;
  for (int step = 0; step < 4000; ++step) {
    const std::size_t choice = random.Below(100);
    if (choice < 55) {
      const std::uint64_t value = random.Next();
      std::uint64_t* const object = pool.TryNew(value);
      if ((object != nullptr) != (model.size() < capacity)) return Differs("step %d: new", step);
      if (object != nullptr) model.push_back({object, value});
    } else if (choice < 99 && !model.empty()) {
      const std::size_t index = random.Below(model.size());
      pool.Delete(model[index].object);
      if (pool.IsLive(model[index].object)) return Differs("step %d: live after its Delete", step);
      if (!broken || step % 16 != 0) model.erase(model.begin() + static_cast<std::ptrdiff_t>(index));
    } else if (choice == 99) {
      pool.Clear();
      model.clear();
    }
    if (pool.Size() != model.size()) return Differs("step %d: size", step);
    std::set<std::size_t> slots;
    for (const Live& each : model) {
      if (!pool.IsLive(each.object)) return Differs("step %d: not live", step);
      if (*each.object != each.value) return Differs("step %d: value", step);
      slots.insert(pool.IndexOf(each.object));
    }
    if (slots.size() != model.size()) return Differs("step %d: one slot given twice", step);
    std::size_t visited = 0;
    pool.ForEach([&](std::uint64_t& object) { visited += slots.count(pool.IndexOf(&object)); });
    if (visited != model.size()) return Differs("step %d: iteration", step);
  }
  return "";
}

TEST(FixedPool, ProgramAgreesWithModel) {
  testing::ExpectAgreement("fixed_pool", [](OpRandom& random) { return RunPoolProgram(random, false); });
}
TEST(FixedPool, ProgramCanary) {
  testing::ExpectCanary("fixed_pool", [](OpRandom& random) { return RunPoolProgram(random, true); });
}

TEST(FixedPoolDeathTest, MisuseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  FixedPool<std::uint64_t> pool(buffer.arena, 1);
  [[maybe_unused]] std::uint64_t* const object = pool.New(1u);
  EXPECT_DEATH(pool.New(2u), "\\(1 vs 1\\).*FixedPool is full");
#if STADIAL_ASSERT_LEVEL >= 1
  std::uint64_t elsewhere = 0;
  EXPECT_DEATH(pool.Delete(&elsewhere), "lies outside this FixedPool");
  auto* const inside = reinterpret_cast<std::uint64_t*>(reinterpret_cast<std::uintptr_t>(object) + 4);
  EXPECT_DEATH(pool.Delete(inside), "no object of this FixedPool starts here");
  pool.Delete(object);
  EXPECT_DEATH(pool.Delete(object), "given back to this FixedPool before");
#endif
}

}  // namespace
}  // namespace stadial::arenas
