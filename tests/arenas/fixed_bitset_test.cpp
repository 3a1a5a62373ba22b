#include "stadial/arenas/fixed_bitset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

TEST(FixedBitset, SingleBits) {
  ArenaBuffer buffer;
  FixedBitset bits(buffer.arena, 130);
  EXPECT_TRUE(bits.None());
  for (const std::size_t index : {0u, 63u, 64u, 129u}) {
    EXPECT_FALSE(bits.TestAndSet(index));
    EXPECT_TRUE(bits.TestAndSet(index));
  }
  EXPECT_EQ(bits.Count(), 4u);
  bits.Flip(63);
  bits.Assign(1, true);
  bits.Assign(129, false);
  EXPECT_TRUE(bits.TestAndReset(64));
  EXPECT_FALSE(bits.Test(64));
  std::vector<std::size_t> seen;
  bits.ForEachSet([&](std::size_t index) { seen.push_back(index); });
  EXPECT_EQ(seen, (std::vector<std::size_t>{0, 1}));
}

TEST(FixedBitset, OfNothing) {
  FixedBitset none;
  EXPECT_EQ(none.FindSet(), FixedBitset::kNoBit);
  EXPECT_EQ(none.FindReset(), FixedBitset::kNoBit);
  EXPECT_TRUE(none.All());
  EXPECT_TRUE(none.None());
  none.SetAll();
  none.ResetAll();
  EXPECT_EQ(none.Count(), 0u);
  EXPECT_EQ(none, FixedBitset());
}

// The bits that the last word has to spare are neither counted nor found.
TEST(FixedBitset, EndsExactlyAtItsSize) {
  for (std::size_t size = 1; size <= 130; ++size) {
    ArenaBuffer buffer;
    FixedBitset bits(buffer.arena, size);
    EXPECT_EQ(bits.FindReset(size - 1), size - 1);
    bits.SetAll();
    EXPECT_EQ(bits.Count(), size);
    EXPECT_TRUE(bits.All());
    EXPECT_EQ(bits.FindReset(), FixedBitset::kNoBit);
    EXPECT_EQ(bits.FindSet(size - 1), size - 1);
    EXPECT_EQ(bits.FindSet(size), FixedBitset::kNoBit);
    EXPECT_EQ(bits.FindSet(FixedBitset::kNoBit), FixedBitset::kNoBit);
  }
}

TEST(FixedBitset, MovesItsStorageOver) {
  ArenaBuffer buffer;
  FixedBitset source(buffer.arena, 10);
  source.Set(3);
  FixedBitset target = std::move(source);
  EXPECT_TRUE(target.Test(3));
  EXPECT_EQ(source.Size(), 0u);  // NOLINT(bugprone-use-after-move): that is what is tested
  source = std::move(target);
  EXPECT_TRUE(source.Test(3));
}

using Model = std::vector<bool>;

std::string RunPair(OpRandom& random, FixedBitset& bits, const FixedBitset& other, Model& model,
                    const Model& otherModel) {
  const auto combine = [&](auto&& operation) {
    for (std::size_t index = 0; index < model.size(); ++index) {
      model[index] = operation(bool{model[index]}, bool{otherModel[index]});
    }
  };
  bool intersects = false;
  for (std::size_t index = 0; index < model.size(); ++index) intersects |= model[index] && otherModel[index];
  if (bits.Intersects(other) != intersects) return "intersects";
  if ((bits == other) != (model == otherModel)) return "equality";
  switch (random.Below(5)) {
    case 0:
      bits.And(other);
      combine([](bool mine, bool theirs) { return mine && theirs; });
      break;
    case 1:
      bits.AndNot(other);
      combine([](bool mine, bool theirs) { return mine && !theirs; });
      break;
    case 2:
      bits.Or(other);
      combine([](bool mine, bool theirs) { return mine || theirs; });
      break;
    case 3:
      bits.Xor(other);
      combine([](bool mine, bool theirs) { return mine != theirs; });
      break;
    default:
      bits.CopyFrom(other);
      model = otherModel;
      break;
  }
  return "";
}

std::string CompareBits(const FixedBitset& bits, const Model& model, std::size_t from) {
  for (std::size_t index = 0; index < model.size(); ++index) {
    if (bits.Test(index) != model[index]) return Differs("bit %zu", index);
  }
  const auto count = static_cast<std::size_t>(std::count(model.begin(), model.end(), true));
  if (bits.Count() != count) return "count";
  if (bits.Any() != (count != 0) || bits.None() != (count == 0) || bits.All() != (count == model.size()))
    return "any, none, all";
  const auto find = [&](bool value) {
    const auto begin = model.begin() + static_cast<std::ptrdiff_t>(std::min(from, model.size()));
    const auto found = std::find(begin, model.end(), value);
    return found == model.end() ? FixedBitset::kNoBit : static_cast<std::size_t>(found - model.begin());
  };
  if (bits.FindSet(from) != find(true)) return Differs("first set from %zu", from);
  if (bits.FindReset(from) != find(false)) return Differs("first clear from %zu", from);
  std::size_t last = 0;
  std::size_t visited = 0;
  bool ascending = true;
  bits.ForEachSet([&](std::size_t index) {
    ascending &= visited == 0 || index > last;
    last = index;
    visited += model[index] ? 1u : 0u;
  });
  return ascending && visited == count ? "" : "iteration";
}

std::string RunBitsetProgram(OpRandom& random, bool broken) {
  ArenaBuffer buffer;
  const std::size_t size = 1 + random.Below(200);
  FixedBitset bits(buffer.arena, size);
  FixedBitset other(buffer.arena, size);
  Model model(size, false);
  Model otherModel(size, false);
  for (int step = 0; step < 2000; ++step) {
    const std::size_t index = random.Below(size);
    const std::size_t count = random.Below(size - index + 1);
    const auto first = model.begin() + static_cast<std::ptrdiff_t>(index);
    std::string difference;
    switch (random.Below(8)) {
      case 0:
        bits.Set(index);
        model[index] = true;
        break;
      case 1:
        bits.Reset(index);
        model[index] = false;
        break;
      case 2:
        bits.Flip(index);
        model[index] = !model[index];
        break;
      case 3:
        bits.SetRange(index, count);
        std::fill_n(first, broken && count > 3 ? count - 1 : count, true);
        break;
      case 4:
        bits.ResetRange(index, count);
        std::fill_n(first, count, false);
        break;
      case 5:
        other.Assign(index, random.OneIn(2));
        otherModel[index] = other.Test(index);
        break;
      case 6:
        difference = RunPair(random, bits, other, model, otherModel);
        break;
      default:
        if (bits.TestAndSet(index) != model[index]) difference = "test and set";
        model[index] = true;
        break;
    }
    if (difference.empty()) difference = CompareBits(bits, model, random.Below(size + 2));
    if (!difference.empty()) return Differs("step %d of %zu bits: %s", step, size, difference.c_str());
  }
  return "";
}

TEST(FixedBitset, ProgramAgreesWithModel) {
  testing::ExpectAgreement("fixed_bitset", [](OpRandom& random) { return RunBitsetProgram(random, false); });
}
TEST(FixedBitset, ProgramCanary) {
  testing::ExpectCanary("fixed_bitset", [](OpRandom& random) { return RunBitsetProgram(random, true); });
}

#if STADIAL_ASSERT_LEVEL >= 1
TEST(FixedBitsetDeathTest, BitsThatAreNotThereAbort) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  FixedBitset bits(buffer.arena, 10);
  FixedBitset longer(buffer.arena, 11);
  EXPECT_DEATH(bits.Set(10), "\\(10 vs 10\\).*no such bit");
  EXPECT_DEATH(bits.SetRange(8, 3), "\\(3 vs 2\\).*ends behind the last bit");
  EXPECT_DEATH(bits.Or(longer), "\\(10 vs 11\\).*differ in size");
}
#endif

}  // namespace
}  // namespace stadial::arenas
