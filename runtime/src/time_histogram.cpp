#include "stadial/runtime/time_histogram.h"

#include <algorithm>
#include <cmath>

#include "stadial/arenas/assert.h"

namespace stadial::runtime {

static_assert(TimeHistogram::BucketOf((std::uint64_t{1} << TimeHistogram::kValueBitsMax) - 1) ==
              TimeHistogram::kBuckets - 1);

double TimeHistogram::PercentileNs(double fraction) const noexcept {
  STADIAL_ASSERT_ALWAYS(fraction >= 0.0 && fraction <= 1.0, "a percentile is a fraction from 0 to 1");
  if (count_ == 0) return 0.0;
  const auto wanted = std::max<std::uint64_t>(
      1, static_cast<std::uint64_t>(std::ceil(fraction * static_cast<double>(count_))));
  if (wanted >= count_) return static_cast<double>(maxNs_);
  std::uint64_t seen = 0;
  for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
    seen += buckets_[bucket];
    if (seen < wanted) continue;
    // The middle of the bucket, which is the value itself where the bucket holds one.
    const double middle =
        static_cast<double>(BucketStartNs(bucket)) + static_cast<double>(BucketWidthNs(bucket) - 1) / 2.0;
    return std::min(middle, static_cast<double>(maxNs_));
  }
  return static_cast<double>(maxNs_);
}

}  // namespace stadial::runtime
