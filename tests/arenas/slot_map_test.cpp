#include "stadial/arenas/slot_map.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

TEST(SlotMap, HandlesFindTheirElementUntilItIsErased) {
  ArenaBuffer buffer;
  SlotMap<int> map(buffer.arena, 2);
  const auto first = map.Insert(1);
  const auto second = map.Insert(2);
  EXPECT_EQ(*map.Get(first), 1);
  EXPECT_EQ(*map.Get(second), 2);
  EXPECT_TRUE(map.IsFull());
  EXPECT_TRUE(map.TryInsert(3).IsNull());
  EXPECT_TRUE(map.Erase(first));
  EXPECT_EQ(map.Get(first), nullptr);
  EXPECT_FALSE(map.Erase(first));
  const auto third = map.Insert(3);
  EXPECT_EQ(third.index, first.index) << "the freed slot is used again";
  EXPECT_EQ(map.Get(first), nullptr) << "and the old handle stays stale";
  EXPECT_EQ(*map.Get(third), 3);
}

TEST(SlotMap, NullAndForeignHandlesFindNothing) {
  ArenaBuffer buffer;
  SlotMap<int> map(buffer.arena, 2);
  EXPECT_EQ(map.Get({}), nullptr);
  EXPECT_FALSE(SlotMap<int>::Handle{});
  const auto handle = map.Insert(1);
  EXPECT_EQ(map.Get({handle.index + 1, handle.generation}), nullptr) << "a slot never used";
  EXPECT_EQ(map.Get({99, 1}), nullptr);
  EXPECT_EQ(map.Get({handle.index, handle.generation + 1}), nullptr);
  EXPECT_EQ(map.Get({handle.index, handle.generation + 2}), nullptr);
}

TEST(SlotMap, ElementsDoNotMove) {
  ArenaBuffer buffer;
  SlotMap<int> map(buffer.arena, 64);
  const auto kept = map.Insert(42);
  const int* const address = map.Get(kept);
  for (int round = 0; round < 1000; ++round) map.Erase(map.Insert(round));
  EXPECT_EQ(map.Get(kept), address);
  EXPECT_EQ(*address, 42);
}

TEST(SlotMap, ASlotWithoutGenerationsLeftIsRetired) {
  ArenaBuffer buffer;
  SlotMap<int, 5> map(buffer.arena, 2);  // generations 1, 3, 5
  std::vector<SlotMapHandle<int>> seen;
  for (int use = 0; use < 6; ++use) {
    const auto handle = map.TryInsert(use);
    ASSERT_FALSE(handle.IsNull()) << use;
    for (const auto& old : seen) ASSERT_NE(old, handle);
    seen.push_back(handle);
    ASSERT_TRUE(map.Erase(handle));
  }
  EXPECT_EQ(map.Capacity(), 0u);
  EXPECT_TRUE(map.TryInsert(7).IsNull()) << "used up, not recycled";
  for (const auto& old : seen) EXPECT_EQ(map.Get(old), nullptr);
}

TEST(SlotMap, ClearMakesEveryHandleStale) {
  ArenaBuffer buffer;
  SlotMap<int> map(buffer.arena, 8);
  std::vector<SlotMap<int>::Handle> handles;
  for (int value = 0; value < 8; ++value) handles.push_back(map.Insert(value));
  map.Clear();
  EXPECT_TRUE(map.IsEmpty());
  for (const auto& handle : handles) EXPECT_EQ(map.Get(handle), nullptr);
  for (int value = 0; value < 8; ++value) EXPECT_TRUE(map.TryInsert(value));
}

struct OfMeshes {};
struct OfImages {};
template <class Map, class Handle>
concept Takes = requires(Map map, Handle handle) {
  map.Get(handle);
};
TEST(SlotMap, HandlesOfAnotherTagDoNotCompile) {
  using Meshes = SlotMap<int, UINT32_MAX, OfMeshes>;
  using Images = SlotMap<int, UINT32_MAX, OfImages>;
  EXPECT_TRUE((Takes<Meshes, Meshes::Handle>));
  EXPECT_FALSE((Takes<Meshes, Images::Handle>));
  EXPECT_FALSE((Takes<Meshes, SlotMap<int>::Handle>));
}

TEST(SlotMap, NamesTheHandleOfAnElement) {
  ArenaBuffer buffer;
  SlotMap<std::uint16_t> map(buffer.arena, 3);
  map.Insert(1);
  const auto handle = map.Insert(2);
  EXPECT_EQ(map.HandleOf(map.Get(handle)), handle);
}

TEST(SlotMap, AVisitorMayEraseAndInsert) {
  ArenaBuffer buffer;
  SlotMap<int> map(buffer.arena, 4);
  for (int value = 0; value < 3; ++value) map.Insert(value);
  std::vector<int> seen;
  map.ForEach([&](SlotMap<int>::Handle handle, int& value) {
    seen.push_back(value);
    if (value == 1) {
      map.Erase(handle);
      map.Insert(10);  // into the slot just left, which was passed
      map.Insert(11);  // further on
    }
  });
  EXPECT_EQ(seen, (std::vector<int>{0, 1, 2, 11}));
  EXPECT_EQ(map.Size(), 4u);
}

TEST(SlotMap, RequiredBytesIsWhatItTakes) {
  for (const std::size_t capacity : {0u, 1u, 7u, 100u}) {
    ArenaBuffer buffer;
    SlotMap<std::uint64_t> map(buffer.arena, capacity);
    EXPECT_EQ(buffer.arena.UsedBytes(), SlotMap<std::uint64_t>::RequiredBytes(capacity));
  }
}

#if STADIAL_ADDRESS_SANITIZER
TEST(SlotMap, ErasedAndUnusedElementsAreHostile) {
  ArenaBuffer buffer;
  SlotMap<std::uint64_t> map(buffer.arena, 2);
  const auto handle = map.Insert(1);
  const std::uint64_t* const element = map.Get(handle);
  EXPECT_FALSE(IsPoisoned(element));
  EXPECT_TRUE(IsPoisoned(element + 2)) << "the next slot's element";
  map.Erase(handle);
  EXPECT_TRUE(IsPoisoned(element));
  map.Insert(2);
  EXPECT_FALSE(IsPoisoned(element));
}
#endif

std::string RunSlotMapProgram(OpRandom& random, bool broken) {
  struct Known {
    SlotMapHandle<std::uint64_t> handle;
    std::uint64_t value;
    bool live;
  };
  ArenaBuffer buffer;
  const std::size_t capacity = 1 + random.Below(30);
  SlotMap<std::uint64_t> map(buffer.arena, capacity);
  std::vector<Known> known;  // every handle ever given out
  std::size_t live = 0;
  for (int step = 0; step < 1500; ++step) {
    const std::size_t choice = random.Below(100);
    if (choice < 55) {
      const std::uint64_t value = random.Next();
      const auto handle = map.TryInsert(value);
      if (static_cast<bool>(handle) != (live < capacity))
        return Differs("step %d: insert at %zu", step, live);
      if (handle) known.push_back({handle, value, true});
      live += handle ? 1u : 0u;
    } else if (choice < 99 && !known.empty()) {
      Known& each = known[random.Below(known.size())];
      if (map.Erase(each.handle) != each.live) return Differs("step %d: erase", step);
      live -= each.live ? 1u : 0u;
      if (!broken) each.live = false;
    } else if (choice == 99) {
      map.Clear();
      for (Known& each : known) each.live = false;
      live = 0;
    }
    if (map.Size() != live) return Differs("step %d: size", step);
    std::size_t visited = 0;
    map.ForEach([&](SlotMapHandle<std::uint64_t> handle, const std::uint64_t& value) {
      visited += map.Get(handle) == &value;
    });
    if (visited != live) return Differs("step %d: iteration", step);
    for (const Known& each : known) {
      const std::uint64_t* const got = map.Get(each.handle);
      if ((got != nullptr) != each.live) return Differs("step %d: liveness of %u", step, each.handle.index);
      if (got != nullptr && *got != each.value) return Differs("step %d: value", step);
    }
  }
  return "";
}

TEST(SlotMap, ProgramAgreesWithModel) {
  testing::ExpectAgreement("slot_map", [](OpRandom& random) { return RunSlotMapProgram(random, false); });
}
TEST(SlotMap, ProgramCanary) {
  testing::ExpectCanary("slot_map", [](OpRandom& random) { return RunSlotMapProgram(random, true); });
}

TEST(SlotMapDeathTest, OneTooManyAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  SlotMap<int> map(buffer.arena, 1);
  map.Insert(1);
  EXPECT_DEATH(map.Insert(2), "SlotMap is full");
#if STADIAL_ASSERT_LEVEL >= 1
  const int elsewhere = 0;
  EXPECT_DEATH((void)map.HandleOf(&elsewhere), "lies outside this SlotMap");
#endif
}

}  // namespace
}  // namespace stadial::arenas
