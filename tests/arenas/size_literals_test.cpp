#include "stadial/arenas/size_literals.h"

#include <gtest/gtest.h>

namespace stadial::arenas {
namespace {

TEST(SizeLiterals, AreBinary) {
  static_assert(1_KiB == 1024);
  static_assert(3_MiB == 3 * 1024 * 1024);
  static_assert(64_GiB == std::size_t{64} << 30);
  EXPECT_EQ(0_GiB, 0u);
}

}  // namespace
}  // namespace stadial::arenas
