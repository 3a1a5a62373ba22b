// PackLifetimes against a checker that knows nothing of it: every pair is compared.
#include "stadial/graph/lifetime_packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <tuple>

#include "../arenas/support/op_program.h"
#include "../runtime/test_support.h"
#include "support/lifetime_cases.h"

namespace stadial::graph::testing {
namespace {

using arenas::testing::Differs;
using runtime::testing::Repetitions;
using runtime::testing::TestSeed;

constexpr std::uint64_t kTouched = 0xAAAAAAAAAAAAAAAAu;

struct Packed {
  PackingResult result;
  std::vector<std::uint64_t> offsets;
};

class Scratch {
 public:
  explicit Scratch(std::size_t bytes) : memory_(bytes + 16), arena_("packing", memory_.data(), bytes + 16) {}
  arenas::Arena& Get() { return arena_; }

 private:
  std::vector<std::byte> memory_;
  arenas::Arena arena_;
};

Packed Pack(const Lifetimes& items, const PackingOptions& options = {}) {
  Scratch scratch(PackLifetimesBytes(items.size()));
  Packed packed;
  packed.offsets.assign(items.size(), kTouched);
  auto result = PackLifetimes(items, packed.offsets, scratch.Get(), options);
  EXPECT_TRUE(result) << (result ? "" : result.GetError().Message());
  if (result) packed.result = *result;
  EXPECT_EQ(scratch.Get().UsedBytes(), 0u) << "scratch is given back";
  return packed;
}

// The load by a walk over every moment at which something starts: O(N²), nothing compressed or sorted.
std::uint64_t PlainMaxLive(const Lifetimes& items) {
  std::uint64_t most = 0;
  for (const LifetimeItem& at : items) {
    std::uint64_t live = 0;
    for (const LifetimeItem& item : items) {
      if (item.first <= at.first && at.first <= item.last) live += item.sizeBytes;
    }
    most = std::max(most, live);
  }
  return most;
}

// What is wrong with a packing, or nothing.
std::string FindFault(const Lifetimes& items, const std::vector<std::uint64_t>& offsets,
                      const PackingResult& result) {
  std::uint64_t top = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].sizeBytes == 0) {
      if (offsets[i] != 0)
        return Differs("item %zu takes nothing and has offset %llu", i,
                       static_cast<unsigned long long>(offsets[i]));
      continue;
    }
    if (offsets[i] % items[i].alignment != 0) return Differs("item %zu is not aligned", i);
    if (offsets[i] > result.totalBytes || items[i].sizeBytes > result.totalBytes - offsets[i])
      return Differs("item %zu ends behind the total", i);
    top = std::max(top, offsets[i] + items[i].sizeBytes);
    for (std::size_t k = 0; k < i; ++k) {
      const bool sharesTime = items[i].first <= items[k].last && items[k].first <= items[i].last;
      const bool sharesSpace =
          offsets[i] < offsets[k] + items[k].sizeBytes && offsets[k] < offsets[i] + items[i].sizeBytes;
      if (sharesTime && sharesSpace) return Differs("items %zu and %zu share bytes", k, i);
    }
  }
  if (result.totalBytes < result.boundBytes) return "the total is below the bound";
  if (result.boundBytes < PlainMaxLive(items)) return "the bound is below what is alive at once";
  std::uint64_t granule = std::numeric_limits<std::uint64_t>::max();
  for (const LifetimeItem& item : items) {
    if (item.sizeBytes != 0) granule = std::min(granule, item.alignment);
  }
  if (top > result.totalBytes || result.totalBytes - top >= granule)
    return "the total is not where the last item ends";
  return {};
}

void ExpectPacked(const Lifetimes& items, const PackingOptions& options = {}) {
  const Packed packed = Pack(items, options);
  ASSERT_EQ(FindFault(items, packed.offsets, packed.result), "");
}

double RatioOf(const PackingResult& result) {
  return static_cast<double>(result.totalBytes) / static_cast<double>(result.boundBytes);
}

TEST(LifetimePacking, NothingAndOne) {
  const Packed none = Pack({});
  EXPECT_EQ(none.result.totalBytes, 0u);
  EXPECT_EQ(none.result.boundBytes, 0u);
  const Packed one = Pack({{7, 7, 100, 64}});
  EXPECT_EQ(one.offsets[0], 0u);
  EXPECT_EQ(one.result.totalBytes, 128u) << "in whole multiples of the smallest alignment";
  EXPECT_EQ(one.result.boundBytes, 128u);
  EXPECT_EQ(one.result.unaliasedBytes, 128u);
}

TEST(LifetimePacking, BothEndsAreInclusive) {
  const Packed packed = Pack({{0, 5, 16, 16}, {5, 9, 16, 16}, {6, 9, 16, 16}});
  EXPECT_EQ(packed.result.totalBytes, 32u);
  EXPECT_NE(packed.offsets[0], packed.offsets[1]);
  EXPECT_EQ(packed.offsets[0], packed.offsets[2]);
}

TEST(LifetimePacking, ZeroSizesTakeNothing) {
  const Packed packed = Pack({{0, 9, 0, 4096}, {0, 9, 64, 64}, {0, 9, 0, 1}, {0, 9, 64, 64}});
  EXPECT_EQ(packed.result.totalBytes, 128u);
  EXPECT_EQ(packed.offsets[0], 0u);
  EXPECT_EQ(packed.offsets[2], 0u);
  EXPECT_EQ(Pack({{0, 1, 0, 1}, {3, 4, 0, 1}}).result.totalBytes, 0u);
}

TEST(LifetimePacking, TheEndsOfTimeAndOfSize) {
  constexpr std::uint32_t kEnd = std::numeric_limits<std::uint32_t>::max();
  ExpectPacked({{0, kEnd, 8, 8}, {kEnd, kEnd, 8, 8}, {0, 0, 8, 8}, {kEnd - 1, kEnd, 8, 8}});
  const std::uint64_t half = kPackingBytesMax / 2;
  const Packed packed = Pack({{0, 1, half, half}, {1, 2, half, 1}});
  EXPECT_EQ(packed.result.totalBytes, kPackingBytesMax);
  EXPECT_EQ(packed.result.boundBytes, kPackingBytesMax);
}

// Small things may stand in what alignment leaves behind a large one; equal alignments leave nothing to use.
TEST(LifetimePacking, TheBoundKnowsAlignments) {
  const Lifetimes images(3, {0, 1, 65536 + 256, 65536});
  const Packed alone = Pack(images);
  EXPECT_EQ(alone.result.totalBytes, 3u * 131072) << "rounded to the smallest alignment";
  Lifetimes mixed = images;
  mixed.push_back({0, 1, 512, 256});
  const Packed together = Pack(mixed);
  EXPECT_EQ(together.result.boundBytes, 2u * 131072 + 65536 + 256) << "two whole ones and the end of a third";
  EXPECT_EQ(together.result.totalBytes, together.result.boundBytes);
  EXPECT_EQ(FindFault(mixed, together.offsets, together.result), "");
}

TEST(LifetimePacking, EqualInputEqualOutput) {
  const Lifetimes items = MixedLifetimes(2000, 5);
  const Packed first = Pack(items);
  const Packed second = Pack(items);
  EXPECT_EQ(first.offsets, second.offsets);
  EXPECT_EQ(first.result.work, second.result.work);
}

TEST(LifetimePacking, WorkEndsTheSearch) {
  const Lifetimes items = CutLifetimes(1000, 1000, 1 << 20, 3);
  const Packed quick = Pack(items, {.workMax = 1});
  const Packed usual = Pack(items);
  const Packed patient = Pack(items, {.workMax = 20'000'000});
  EXPECT_EQ(FindFault(items, quick.offsets, quick.result), "");
  EXPECT_EQ(FindFault(items, patient.offsets, patient.result), "");
  EXPECT_LE(usual.result.totalBytes, quick.result.totalBytes);
  EXPECT_LE(patient.result.totalBytes, usual.result.totalBytes);
  EXPECT_LT(patient.result.totalBytes, quick.result.totalBytes);
  EXPECT_LT(quick.result.work, usual.result.work);
  EXPECT_LT(usual.result.work, kPackingWorkMin * 11 / 10);
}

TEST(LifetimePacking, RandomCasesOfEveryKind) {
  const std::uint64_t seed = TestSeed(20'261);
  const std::uint64_t cases = Repetitions(4000);
  CaseRandom random(seed);
  for (std::uint64_t i = 0; i < cases; ++i) {
    const auto count = static_cast<std::uint32_t>(random.Below(random.Below(20) == 0 ? 400 : 60));
    const auto time = static_cast<std::uint32_t>(random.Between(1, random.Below(4) == 0 ? 4 : 200));
    const bool isTiny = random.Below(2) == 0;
    Lifetimes items;
    for (std::uint32_t k = 0; k < count; ++k) {
      const std::uint32_t first = random.Moment(time);
      const std::uint32_t length = random.Below(8) == 0 ? random.Moment(time) : random.Moment(6);
      items.push_back({first, first + length,
                       isTiny ? random.Below(9) : RandomSize(random, SizeRule::LogNormal),
                       std::uint64_t{1} << random.Below(random.Below(2) == 0 ? 3 : 17)});
    }
    const Packed packed =
        Pack(items, {.enoughPermille = random.Moment(20), .workMax = random.Below(3) * 5000});
    ASSERT_EQ(FindFault(items, packed.offsets, packed.result), "")
        << "case " << i << " of seed " << seed << ", " << count << " items";
  }
}

TEST(LifetimePacking, ShapesAndHardCases) {
  ExpectPacked(ChainLifetimes(500));
  ExpectPacked(LadderLifetimes(500));
  ExpectPacked(FanLifetimes(500, 16));
  ExpectPacked(LayeredLifetimes(1000, 32, 1));
  ExpectPacked(DeferredLifetimes(16));
  ExpectPacked(NestedLifetimes(300, 1));
  ExpectPacked(CutLifetimes(500, 300, 1 << 20, 1));
  ExpectPacked(DoublingLifetimes(8));
  ExpectPacked(MixedLifetimes(1000, 1));
  ExpectPacked(Lifetimes(1000, {3, 3, 4096, 256}));
  for (const SizeRule rule : {SizeRule::Uniform, SizeRule::LogNormal, SizeRule::PowersOfTwo, SizeRule::Equal})
    ExpectPacked(RandomLifetimes(1000, 32, rule, kBufferAlignment, 2));
}

// What frames look like stays close to what must be alive at once.
TEST(LifetimePacking, FramesStayCloseToTheBound) {
  EXPECT_LE(RatioOf(Pack(ChainLifetimes(1000)).result), 1.0);
  EXPECT_LE(RatioOf(Pack(LadderLifetimes(1000)).result), 1.0);
  EXPECT_LE(RatioOf(Pack(FanLifetimes(1000, 16)).result), 1.0);
  EXPECT_LE(RatioOf(Pack(DoublingLifetimes(10)).result), 1.0) << "nothing of what defeats who sees no future";
  for (const std::uint32_t views : {1u, 2u, 8u, 40u})
    EXPECT_LE(RatioOf(Pack(DeferredLifetimes(views)).result), 1.01);
  double sum = 0;
  constexpr std::uint64_t kSeeds = 50;
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    for (const std::uint32_t count : {33u, 200u, 1000u}) {
      const double ratio = RatioOf(Pack(LayeredLifetimes(count, 4 + count / 32, seed)).result);
      EXPECT_LE(ratio, 1.1) << count << " items, seed " << seed
                            << ": one large image decides, and nothing fits";
      sum += ratio;
    }
  }
  EXPECT_LE(sum / static_cast<double>(3 * kSeeds), 1.01) << "on average";
}

// Every time alike, or far apart: neither quadratic time nor a table too small.
TEST(LifetimePacking, HundredThousand) {
  constexpr std::uint32_t kCount = 100'000;
  const auto check = [](const Lifetimes& items) {
    const Packed packed = Pack(items);
    // By moments, with what is alive in order of its offset: O(N log N) for what FindFault does in O(N²).
    std::vector<std::uint32_t> order(items.size());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return std::tie(packed.offsets[a], a) < std::tie(packed.offsets[b], b);
    });
    for (std::size_t i = 1; i < order.size();
         ++i) {  // neighbours in space suffice where all share their time
      const LifetimeItem& before = items[order[i - 1]];
      if (before.first == items[order[i]].first && before.last == items[order[i]].last) {
        ASSERT_LE(packed.offsets[order[i - 1]] + before.sizeBytes, packed.offsets[order[i]]);
      }
    }
    ASSERT_GE(packed.result.totalBytes, packed.result.boundBytes);
    ASSERT_LE(RatioOf(packed.result), 1.02);
  };
  Lifetimes together = MixedLifetimes(kCount, 1);
  for (LifetimeItem& item : together) item.first = item.last = 7;
  check(together);
  check(LayeredLifetimes(kCount, 16, 9));
}

// The checker itself: each kind of damage to a sound packing is found.
TEST(LifetimePacking, TheCheckerCatchesACanary) {
  const Lifetimes items = LayeredLifetimes(60, 8, 4);
  const Packed sound = Pack(items);
  ASSERT_EQ(FindFault(items, sound.offsets, sound.result), "");
  for (std::size_t i = 0; i < items.size(); ++i) {
    for (std::size_t k = 0; k < i; ++k) {
      if (items[i].first > items[k].last || items[k].first > items[i].last) continue;
      Packed broken = sound;
      broken.offsets[i] = broken.offsets[k] / items[i].alignment * items[i].alignment;
      broken.result.totalBytes += kImageAlignment * 1024;
      ASSERT_NE(FindFault(items, broken.offsets, broken.result), "") << i << " onto " << k;
    }
    Packed shifted = sound;
    shifted.offsets[i] += 1;
    EXPECT_NE(FindFault(items, shifted.offsets, shifted.result).find("not aligned"), std::string::npos);
  }
  Packed short_ = sound;
  short_.result.totalBytes -= 256;
  EXPECT_NE(FindFault(items, short_.offsets, short_.result), "");
  // A packer that treats ends as exclusive: the off-by-one that aliases what is still read.
  Lifetimes exclusive = items;
  for (LifetimeItem& item : exclusive) item.last = std::max(item.first, item.last - 1);
  const Packed wrong = Pack(exclusive);
  EXPECT_NE(FindFault(items, wrong.offsets, wrong.result), "");
}

class PackingFailure : public ::testing::Test {
 protected:
  void ExpectError(const Lifetimes& items, ErrorCode code, const char* words) {
    Scratch scratch(PackLifetimesBytes(items.size()));
    std::vector<std::uint64_t> offsets(items.size(), kTouched);
    auto result = PackLifetimes(items, offsets, scratch.Get());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.GetError().Code(), code);
    EXPECT_NE(std::string(result.GetError().Message()).find(words), std::string::npos)
        << result.GetError().Message();
    EXPECT_TRUE(std::all_of(offsets.begin(), offsets.end(), [](std::uint64_t o) { return o == kTouched; }));
    EXPECT_EQ(scratch.Get().UsedBytes(), 0u);
  }
};

TEST_F(PackingFailure, NamesTheItem) {
  ExpectError({{0, 1, 8, 8}, {5, 4, 8, 8}}, ErrorCode::InvalidArgument,
              "lifetime 1 of 2 ends at 4, before it starts at 5");
  ExpectError({{0, 1, 8, 0}}, ErrorCode::InvalidArgument, "lifetime 0 of 1 has an alignment of 0");
  ExpectError({{0, 1, 8, 8}, {0, 1, 8, 8}, {0, 1, 0, 24}}, ErrorCode::InvalidArgument,
              "lifetime 2 of 3 has an alignment of 24");
}

TEST_F(PackingFailure, RefusesWhatOverflows) {
  constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
  ExpectError({{0, 1, kMax, 1}}, ErrorCode::CapacityExceeded, "lifetime 0 of 1 (18446744073709551615 B");
  ExpectError({{0, 1, 1, std::uint64_t{1} << 63}}, ErrorCode::CapacityExceeded, "lifetime 0");
  ExpectError({{0, 1, kPackingBytesMax, 1}, {2, 3, 1, 1}}, ErrorCode::CapacityExceeded, "lifetime 1 of 2");
  ExpectError({{0, 1, kPackingBytesMax - 1, 256}, {2, 3, 256, 256}}, ErrorCode::CapacityExceeded,
              "lifetime 1 of 2");
}

TEST_F(PackingFailure, SaysWhatScratchLacks) {
  const Lifetimes items = ChainLifetimes(10);
  Scratch scratch(PackLifetimesBytes(items.size()) - 16 - 16);
  std::vector<std::uint64_t> offsets(items.size());
  auto result = PackLifetimes(items, offsets, scratch.Get());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_NE(std::string(result.GetError().Message()).find("PackLifetimesBytes(10)"), std::string::npos);
}

}  // namespace
}  // namespace stadial::graph::testing
