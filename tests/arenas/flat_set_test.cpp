#include "stadial/arenas/flat_set.h"

#include <gtest/gtest.h>

#include <set>
#include <string_view>
#include <vector>

#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

TEST(FlatSet, InsertsFindsErases) {
  ArenaBuffer buffer;
  FlatSet<std::string_view> set(buffer.arena, 2);
  EXPECT_TRUE(set.Insert("albedo"));
  EXPECT_FALSE(set.Insert("albedo"));
  EXPECT_EQ(set.TryInsert("normal"), FlatSetInsertion::Inserted);
  EXPECT_EQ(set.TryInsert("normal"), FlatSetInsertion::Present);
  EXPECT_EQ(set.TryInsert("depth"), FlatSetInsertion::NoRoom);
  EXPECT_TRUE(set.IsFull());
  EXPECT_TRUE(set.Contains("albedo"));
  EXPECT_FALSE(set.Contains("depth"));
  EXPECT_TRUE(set.Erase("albedo"));
  EXPECT_FALSE(set.Erase("albedo"));
  EXPECT_TRUE(set.Insert("depth"));
}

TEST(FlatSet, SpendsNothingOnValues) {
  ArenaBuffer buffer;
  FlatSet<std::uint64_t> set(buffer.arena, 100);
  EXPECT_EQ(buffer.arena.UsedBytes(), FlatSet<std::uint64_t>::RequiredBytes(100));
  // 256 slots of a key and a tag, and the mirrored tags rounded up.
  EXPECT_EQ(FlatSet<std::uint64_t>::RequiredBytes(100),
            256 * (sizeof(std::uint64_t) + 1) + kArenaGranularityBytes);
}

TEST(FlatSet, MovesItsStorageOver) {
  ArenaBuffer buffer;
  FlatSet<int> source(buffer.arena, 2);
  source.Insert(1);
  FlatSet<int> target = std::move(source);
  EXPECT_TRUE(target.Contains(1));
  EXPECT_FALSE(source.Contains(1));  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(source.TryInsert(1), FlatSetInsertion::NoRoom);
}

std::string RunSetProgram(OpRandom& random, bool broken) {
  ArenaBuffer buffer;
  const std::size_t capacity = 1 + random.Below(60);
  const std::size_t keys = 1 + random.Below(2 * capacity);
  FlatSet<std::uint32_t> set(buffer.arena, capacity);
  std::set<std::uint32_t> model;
  for (int step = 0; step < 4000; ++step) {
    const auto key = static_cast<std::uint32_t>(random.Below(keys));
    const std::size_t choice = random.Below(100);
    if (choice < 55) {
      const FlatSetInsertion expected = model.count(key) != 0      ? FlatSetInsertion::Present
                                        : model.size() == capacity ? FlatSetInsertion::NoRoom
                                                                   : FlatSetInsertion::Inserted;
      if (set.TryInsert(key) != expected) return Differs("step %d: insert %u", step, key);
      if (expected == FlatSetInsertion::Inserted) model.insert(key);
    } else if (choice < 97) {
      if (set.Erase(key) != (model.count(key) != 0)) return Differs("step %d: erase %u", step, key);
      if (!broken || step % 16 != 0) model.erase(key);
    } else if (choice < 99) {
      const auto goes = [&](std::uint32_t each) { return each % 3 == static_cast<unsigned>(step) % 3; };
      if (set.EraseIf(goes) != std::erase_if(model, goes)) return Differs("step %d: erase if", step);
    } else {
      set.Clear();
      model.clear();
    }
    std::set<std::uint32_t> visited;
    set.ForEach([&](std::uint32_t each) { visited.insert(each); });
    if (visited != model || set.Size() != model.size()) return Differs("step %d: contents", step);
    for (std::uint32_t each = 0; each < keys; ++each) {
      if (set.Contains(each) != (model.count(each) != 0))
        return Differs("step %d: presence of %u", step, each);
    }
  }
  return "";
}

TEST(FlatSet, ProgramAgreesWithModel) {
  testing::ExpectAgreement("flat_set", [](OpRandom& random) { return RunSetProgram(random, false); });
}
TEST(FlatSet, ProgramCanary) {
  testing::ExpectCanary("flat_set", [](OpRandom& random) { return RunSetProgram(random, true); });
}

TEST(FlatSetDeathTest, OneTooManyAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  FlatSet<int> set(buffer.arena, 1);
  set.Insert(1);
  EXPECT_DEATH(set.Insert(2), "\\(1 vs 1\\).*is full");
}

}  // namespace
}  // namespace stadial::arenas
