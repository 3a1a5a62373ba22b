#include "stadial/arenas/size_class.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace stadial::arenas {
namespace {

// Every size up to 64 KiB, and the edges of every class above.
template <class Visit>
void ForSizes(Visit&& visit) {
  for (std::size_t size = 0; size <= 65536; ++size) visit(size);
  for (unsigned sizeClass = SizeClassOf(65536); sizeClass + 1 < kSizeClassCount; ++sizeClass) {
    visit(SizeClassBytes(sizeClass));
    visit(SizeClassBytes(sizeClass) + 1);
  }
}

TEST(SizeClass, IsTheSmallestThatHoldsTheSize) {
  ForSizes([](std::size_t size) {
    const unsigned sizeClass = SizeClassOf(size);
    ASSERT_LT(sizeClass, kSizeClassCount);
    ASSERT_GE(SizeClassBytes(sizeClass), size);
    if (sizeClass != 0) {
      ASSERT_LT(SizeClassBytes(sizeClass - 1), size);
    }
  });
}

TEST(SizeClass, RisesAndIsAMultipleOfTheGranularity) {
  for (unsigned sizeClass = 0; sizeClass < kSizeClassCount; ++sizeClass) {
    EXPECT_EQ(SizeClassBytes(sizeClass) % kSizeClassGranularityBytes, 0u);
    if (sizeClass != 0) {
      EXPECT_GT(SizeClassBytes(sizeClass), SizeClassBytes(sizeClass - 1));
    }
  }
}

TEST(SizeClass, RoundingIsBounded) {
  ForSizes([](std::size_t size) {
    if (size <= 64) return;
    const auto block = static_cast<double>(SizeClassBytes(SizeClassOf(size)));
    ASSERT_LE((block - static_cast<double>(size)) / block, 0.20) << size;
  });
}

TEST(SizeClass, ARoundedRequestKeepsItsAlignment) {
  for (std::size_t alignment = 1; alignment <= 4096; alignment *= 2) {
    for (std::size_t size = 1; size <= 16384; ++size) {
      const std::size_t rounded = (size + alignment - 1) & ~(alignment - 1);
      ASSERT_EQ(SizeClassBytes(SizeClassOf(rounded)) % alignment, 0u) << size << " at " << alignment;
    }
  }
}

}  // namespace
}  // namespace stadial::arenas
