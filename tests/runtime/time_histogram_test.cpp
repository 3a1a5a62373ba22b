#include "stadial/runtime/time_histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "test_support.h"

namespace stadial::runtime {
namespace {

using testing::Random;

TEST(TimeHistogram, BucketsTileTheRange) {
  for (std::size_t bucket = 0; bucket + 1 < TimeHistogram::kBuckets; ++bucket) {
    const std::uint64_t start = TimeHistogram::BucketStartNs(bucket);
    const std::uint64_t width = TimeHistogram::BucketWidthNs(bucket);
    ASSERT_EQ(TimeHistogram::BucketOf(start), bucket);
    ASSERT_EQ(TimeHistogram::BucketOf(start + width - 1), bucket);
    ASSERT_EQ(TimeHistogram::BucketStartNs(bucket + 1), start + width);
  }
  EXPECT_EQ(TimeHistogram::BucketOf(~std::uint64_t{0}), TimeHistogram::kBuckets - 1);
}

TEST(TimeHistogram, PercentilesAreWithinOnePercentOfTheSortedSamples) {
  Random random(7);
  const auto histogram = std::make_unique<TimeHistogram>();
  std::vector<double> samples;
  for (int i = 0; i < 100'000; ++i) {
    // Six decades, as frame times and hitches have.
    const auto ns = static_cast<std::uint64_t>(
        std::pow(10.0, 2.0 + 6.0 * static_cast<double>(random.Below(1'000'000)) / 1e6));
    histogram->Record(ns);
    samples.push_back(static_cast<double>(ns));
  }
  std::sort(samples.begin(), samples.end());
  for (const double fraction : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const double exact =
        samples[static_cast<std::size_t>(std::ceil(fraction * static_cast<double>(samples.size()))) - 1];
    EXPECT_NEAR(histogram->PercentileNs(fraction), exact, exact * 0.01) << fraction;
  }
  EXPECT_EQ(static_cast<double>(histogram->MaxNs()), samples.back());
  EXPECT_EQ(histogram->PercentileNs(1.0), samples.back());
}

TEST(TimeHistogram, SmallNumbersAreExactAndEmptyIsZero) {
  const auto histogram = std::make_unique<TimeHistogram>();
  EXPECT_EQ(histogram->PercentileNs(0.5), 0.0);
  histogram->Record(5);
  histogram->Record(9);
  histogram->Record(100);
  EXPECT_EQ(histogram->PercentileNs(0.5), 9.0);
  EXPECT_EQ(histogram->Count(), 3u);
  histogram->Clear();
  EXPECT_EQ(histogram->Count(), 0u);
}

}  // namespace
}  // namespace stadial::runtime
