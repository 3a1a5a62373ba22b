// Size classes: what heaps and pools round a request up to, so that equal requests can use each other's
// blocks. 16 B apart up to 128 B, then four to a doubling (160, 192, 224, 256, 320, ...): above
// 64 B at most 20 % of a block is rounding.
//
// Alignment comes for free: a request rounded up to a multiple of its alignment lands in a class whose size
// is a multiple of that alignment, because the steps between classes are powers of two themselves.
// Pure functions; any thread.
#pragma once

#include <bit>
#include <cstddef>

namespace stadial::arenas {

inline constexpr std::size_t kSizeClassGranularityBytes = 16;
inline constexpr unsigned kSizeClassesPerDoubling = 4;
inline constexpr unsigned kSizeClassesLinear = 8;  // up to 128 B, where a quarter of a doubling is below 16 B
inline constexpr std::size_t kSizeClassLinearBytesMax = kSizeClassesLinear * kSizeClassGranularityBytes;
// Larger requests have no class: nothing of that size fits a region.
inline constexpr std::size_t kSizeClassBytesMax = std::size_t{1} << 46;

// The smallest class that holds `sizeBytes`, which is at most kSizeClassBytesMax. 0 B belongs to the first.
constexpr unsigned SizeClassOf(std::size_t sizeBytes) noexcept {
  if (sizeBytes <= kSizeClassLinearBytesMax) {
    return sizeBytes == 0 ? 0 : static_cast<unsigned>((sizeBytes - 1) / kSizeClassGranularityBytes);
  }
  constexpr unsigned kStepBits = std::countr_zero(kSizeClassesPerDoubling);
  constexpr auto kFirstDoubling = static_cast<unsigned>(std::countr_zero(kSizeClassLinearBytesMax));
  const unsigned doubling = static_cast<unsigned>(std::bit_width(sizeBytes - 1)) - 1;
  const auto step =
      static_cast<unsigned>((sizeBytes - 1) >> (doubling - kStepBits)) % kSizeClassesPerDoubling;
  return kSizeClassesLinear + (doubling - kFirstDoubling) * kSizeClassesPerDoubling + step;
}

constexpr std::size_t SizeClassBytes(unsigned sizeClass) noexcept {
  if (sizeClass < kSizeClassesLinear) return (sizeClass + 1) * kSizeClassGranularityBytes;
  const unsigned doubling = (sizeClass - kSizeClassesLinear) / kSizeClassesPerDoubling;
  const unsigned step = (sizeClass - kSizeClassesLinear) % kSizeClassesPerDoubling;
  const std::size_t base = kSizeClassLinearBytesMax << doubling;
  return base + (step + 1) * (base / kSizeClassesPerDoubling);
}

inline constexpr unsigned kSizeClassCount = SizeClassOf(kSizeClassBytesMax) + 1;

static_assert(SizeClassBytes(SizeClassOf(kSizeClassBytesMax)) == kSizeClassBytesMax);

}  // namespace stadial::arenas
