// A log-linear histogram of durations: every power of two of nanoseconds is cut into kSubBuckets equal
// buckets, so a percentile is at most 1 / (2 * kSubBuckets) = 0.4 % off; the maximum is exact. Fixed storage
// inside the object (about 18 KiB: carve it in Setup). Cost: Record is a bit scan and an increment. Threads:
// one at a time.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace stadial::runtime {

class TimeHistogram {
 public:
  static constexpr std::uint32_t kSubBucketBits = 7;
  static constexpr std::uint32_t kSubBuckets = 1u << kSubBucketBits;
  static constexpr std::uint32_t kValueBitsMax = 40;  // longer than 2^40 ns (18 minutes) counts as that
  // One linear run of kSubBuckets, then one run per power of two above it.
  static constexpr std::size_t kBuckets = kSubBuckets * (kValueBitsMax - kSubBucketBits + 1);

  void Record(std::uint64_t ns) noexcept {
    ++buckets_[BucketOf(ns)];
    ++count_;
    if (ns > maxNs_) maxNs_ = ns;
  }
  std::uint64_t Count() const noexcept { return count_; }
  std::uint64_t MaxNs() const noexcept { return maxNs_; }
  // The smallest duration that at least `fraction` (0 to 1) of the samples do not exceed; 0 without samples.
  double PercentileNs(double fraction) const noexcept;
  void Clear() noexcept { *this = TimeHistogram(); }

  static constexpr std::size_t BucketOf(std::uint64_t ns) noexcept {
    if (ns < kSubBuckets) return static_cast<std::size_t>(ns);
    const auto bits = static_cast<std::uint32_t>(std::bit_width(ns));
    if (bits > kValueBitsMax) return kBuckets - 1;
    const std::uint32_t shift = bits - kSubBucketBits - 1;
    return static_cast<std::size_t>(kSubBuckets) * shift + static_cast<std::size_t>(ns >> shift);
  }
  // The smallest duration of a bucket, and how many durations it holds.
  static constexpr std::uint64_t BucketStartNs(std::size_t bucket) noexcept {
    if (bucket < 2 * kSubBuckets) return bucket;
    const std::size_t shift = bucket / kSubBuckets - 1;
    return (static_cast<std::uint64_t>(bucket % kSubBuckets) + kSubBuckets) << shift;
  }
  static constexpr std::uint64_t BucketWidthNs(std::size_t bucket) noexcept {
    return bucket < 2 * kSubBuckets ? 1 : std::uint64_t{1} << (bucket / kSubBuckets - 1);
  }

 private:
  std::array<std::uint32_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0;
  std::uint64_t maxNs_ = 0;
};

}  // namespace stadial::runtime
