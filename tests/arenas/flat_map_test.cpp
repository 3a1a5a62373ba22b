#include "stadial/arenas/flat_map.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

TEST(FlatMap, InsertsFindsErases) {
  ArenaBuffer buffer;
  FlatMap<int, int> map(buffer.arena, 4);
  EXPECT_EQ(map.Find(1), nullptr);
  bool inserted = false;
  EXPECT_EQ(*map.Insert(1, 10, &inserted), 10);
  EXPECT_TRUE(inserted);
  EXPECT_EQ(*map.Insert(1, 99, &inserted), 10) << "a present key keeps its value";
  EXPECT_FALSE(inserted);
  *map.Find(1) = 11;
  EXPECT_EQ(*map.Find(1), 11);
  EXPECT_TRUE(map.Erase(1));
  EXPECT_FALSE(map.Erase(1));
  EXPECT_FALSE(map.Contains(1));
}

TEST(FlatMap, HoldsItsCapacityExactlyAndKnowsPresentKeysWhenFull) {
  ArenaBuffer buffer;
  for (const std::size_t capacity : {1u, 2u, 3u, 12u, 100u, 1000u}) {
    ArenaScope scope(buffer.arena);
    FlatMap<std::size_t, std::size_t> map(buffer.arena, capacity);
    for (std::size_t key = 0; key < capacity; ++key) ASSERT_NE(map.TryInsert(key, key), nullptr);
    EXPECT_TRUE(map.IsFull());
    EXPECT_EQ(map.TryInsert(capacity, 0), nullptr);
    ASSERT_NE(map.TryInsert(0, 5), nullptr);
    EXPECT_EQ(*map.Find(0), 0u);
  }
}

TEST(FlatMap, OfNothing) {
  FlatMap<int, int> none;
  EXPECT_EQ(none.Find(1), nullptr);
  EXPECT_EQ(none.TryInsert(1, 1), nullptr);
  EXPECT_FALSE(none.Erase(1));
  none.Clear();
  none.ForEach([](int, int) { FAIL(); });
}

TEST(FlatMap, KeysOfSeveralKinds) {
  enum class Kind { A, B };
  ArenaBuffer buffer;
  FlatMap<Kind, int> kinds(buffer.arena, 2);
  kinds.Insert(Kind::B, 2);
  EXPECT_EQ(*kinds.Find(Kind::B), 2);
  FlatMap<std::string_view, int> names(buffer.arena, 8);
  names.Insert("albedo", 1);
  names.Insert("", 2);
  const std::string query = "albedo";
  EXPECT_EQ(*names.Find(query), 1);
  EXPECT_EQ(*names.Find(""), 2);
  EXPECT_EQ(names.Find("albed"), nullptr);
  FlatMap<const int*, int> pointers(buffer.arena, 2);
  const int target = 0;
  pointers.Insert(&target, 3);
  EXPECT_EQ(*pointers.Find(&target), 3);
}

TEST(FlatMap, AssignsPresentKeysOnRequest) {
  ArenaBuffer buffer;
  FlatMap<int, int> map(buffer.arena, 1);
  EXPECT_EQ(*map.InsertOrAssign(1, 10), 10);
  EXPECT_EQ(*map.InsertOrAssign(1, 11), 11);
  EXPECT_EQ(*map.TryInsertOrAssign(1, 12), 12);
  EXPECT_EQ(map.TryInsertOrAssign(2, 20), nullptr);
  EXPECT_EQ(*map.Find(1), 12);
  EXPECT_EQ(map.Size(), 1u);
}

TEST(FlatMap, TextsOfEveryLengthAreToldApart) {
  const std::string text(40, '\0');  // zeros, which the hash also fills its last word with
  std::set<std::uint64_t> hashes;
  for (std::size_t length = 0; length <= text.size(); ++length) {
    hashes.insert(FlatMapHash{}(std::string_view(text).substr(0, length)));
  }
  for (std::size_t place = 0; place < text.size(); ++place) {
    std::string changed = text;
    changed[place] = 1;
    hashes.insert(FlatMapHash{}(std::string_view(changed)));
  }
  EXPECT_EQ(hashes.size(), 2 * text.size() + 1);
}

TEST(FlatMap, RequiredBytesIsWhatItTakes) {
  for (const std::size_t capacity : {0u, 1u, 7u, 100u, 5000u}) {
    ArenaBuffer buffer;
    FlatMap<std::uint64_t, std::uint32_t> map(buffer.arena, capacity);
    EXPECT_EQ(buffer.arena.UsedBytes(), (FlatMap<std::uint64_t, std::uint32_t>::RequiredBytes(capacity)));
  }
}

TEST(FlatMap, MovesItsStorageOver) {
  ArenaBuffer buffer;
  FlatMap<int, int> source(buffer.arena, 2);
  source.Insert(1, 10);
  FlatMap<int, int> target = std::move(source);
  EXPECT_EQ(*target.Find(1), 10);
  EXPECT_EQ(source.Find(1), nullptr);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(source.Capacity(), 0u);
}

TEST(FlatMap, IterationOrderIsAFunctionOfTheOperations) {
  ArenaBuffer buffer;
  std::vector<int> orders[2];
  for (auto& order : orders) {
    FlatMap<int, int> map(buffer.arena, 100);
    for (int key = 0; key < 100; ++key) map.Insert(key * 37 % 101, key);
    for (int key = 0; key < 100; key += 3) map.Erase(key);
    map.ForEach([&](int key, int) { order.push_back(key); });
  }
  EXPECT_EQ(orders[0], orders[1]);
}

// Everything collides, and the probes wrap around the table's end.
struct WorstHash {
  std::uint64_t operator()(std::uint32_t) const { return 0xffffffffu; }
};
struct GoodHash : FlatMapHash {};

template <class Hash>
std::string RunMapProgram(OpRandom& random, bool broken) {
  ArenaBuffer buffer;
  const std::size_t capacity = 1 + random.Below(60);
  const std::size_t keys = 1 + random.Below(2 * capacity);
  FlatMap<std::uint32_t, std::uint64_t, Hash> map(buffer.arena, capacity);
  std::map<std::uint32_t, std::uint64_t> model;
  for (int step = 0; step < 4000; ++step) {
    const auto key = static_cast<std::uint32_t>(random.Below(keys));
    const std::size_t choice = random.Below(100);
    if (choice < 50) {
      const std::uint64_t value = random.Next();
      bool inserted = false;
      const std::uint64_t* const got = map.TryInsert(key, value, &inserted);
      const bool present = model.count(key) != 0;
      const bool expectInserted = !present && model.size() < capacity;
      if (inserted != expectInserted || (got != nullptr) != (present || expectInserted))
        return Differs("step %d: insert", step);
      if (inserted) model.emplace(key, value);
    } else if (choice < 97) {
      const bool present = model.count(key) != 0;
      if (map.Erase(key) != present) return Differs("step %d: erase", step);
      if (!broken || step % 16 != 0) model.erase(key);
    } else if (random.OneIn(2)) {
      std::map<std::uint32_t, int> asked;
      const auto goes = [&](std::uint32_t each) { return each % 3 == static_cast<unsigned>(step) % 3; };
      const std::size_t gone = map.EraseIf([&](std::uint32_t each, std::uint64_t&) {
        ++asked[each];
        return goes(each);
      });
      for (const auto& [each, value] : model) {
        if (asked[each] != 1) return Differs("step %d: asked %d times about %u", step, asked[each], each);
      }
      if (std::erase_if(model, [&](const auto& each) { return goes(each.first); }) != gone)
        return Differs("step %d: erase if", step);
    } else {
      map.Clear();
      model.clear();
    }
    if (map.Size() != model.size()) return Differs("step %d: size", step);
    for (std::uint32_t each = 0; each < keys; ++each) {
      const auto found = model.find(each);
      const std::uint64_t* const got = map.Find(each);
      if ((got != nullptr) != (found != model.end())) return Differs("step %d: presence of %u", step, each);
      if (got != nullptr && *got != found->second) return Differs("step %d: value of %u", step, each);
    }
    std::size_t visited = 0;
    map.ForEach([&](std::uint32_t each, std::uint64_t value) {
      visited += model.count(each) != 0 && model[each] == value;
    });
    if (visited != model.size()) return Differs("step %d: iteration", step);
  }
  return "";
}

TEST(FlatMap, ProgramAgreesWithModel) {
  testing::ExpectAgreement("flat_map",
                           [](OpRandom& random) { return RunMapProgram<GoodHash>(random, false); });
}
TEST(FlatMap, ProgramAgreesWithModelWhenEverythingCollides) {
  testing::ExpectAgreement("flat_map",
                           [](OpRandom& random) { return RunMapProgram<WorstHash>(random, false); });
}
TEST(FlatMap, ProgramCanary) {
  testing::ExpectCanary("flat_map", [](OpRandom& random) { return RunMapProgram<GoodHash>(random, true); });
}

// Neighbouring keys, as indices and pointers are, must not end up in the same slots.
TEST(FlatMap, HashSpreadsNeighbours) {
  for (const std::uint64_t stride :
       {std::uint64_t{1}, std::uint64_t{64}, std::uint64_t{4096}, std::uint64_t{1} << 32}) {
    std::set<std::uint64_t> slots;
    for (std::uint64_t key = 0; key < 1024; ++key) slots.insert(HashBits(key * stride) % 4096);
    EXPECT_GT(slots.size(), 800u) << "stride " << stride;  // random would give about 906
  }
}

TEST(FlatMapDeathTest, OneTooManyAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  FlatMap<int, int> map(buffer.arena, 1);
  map.Insert(1, 1);
  EXPECT_DEATH(map.Insert(2, 2), "\\(1 vs 1\\).*FlatMap is full");
}

}  // namespace
}  // namespace stadial::arenas
