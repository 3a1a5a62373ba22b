#include "stadial/arenas/overflow.h"

#include <gtest/gtest.h>

namespace stadial::arenas {
namespace {

TEST(Overflow, ModesHaveNames) {
  EXPECT_STREQ(ToString(AllocationMode::Strict), "Strict");
  EXPECT_STREQ(ToString(AllocationMode::Fallback), "Fallback");
  EXPECT_STREQ(ToString(AllocationMode::Discard), "Discard");
  EXPECT_STREQ(ToString(static_cast<AllocationMode>(77)), "Unknown");
}

}  // namespace
}  // namespace stadial::arenas
