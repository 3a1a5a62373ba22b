#include "stadial/arenas/assert.h"

#include <gtest/gtest.h>

namespace stadial::arenas {
namespace {

class AssertDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST(Assert, HoldingConditionsPassAndEvaluateOnce) {
  int evaluated = 0;
  STADIAL_ASSERT_ALWAYS(++evaluated == 1, "once");
  STADIAL_ASSERT_COMPARE_ALWAYS(++evaluated, ==, 2, "once");
  EXPECT_EQ(evaluated, 2);
}

TEST_F(AssertDeathTest, ShowsExpressionValuesPlaceAndMessage) {
  const unsigned size = 9;
  const unsigned capacity = 4;
  EXPECT_DEATH(
      STADIAL_ASSERT_COMPARE_ALWAYS(size, <, capacity, "too many"),
      "assertion failed: size < capacity \\(9 vs 4\\) at .*assert_test\\.cpp:[0-9]+ in .*: too many");
  EXPECT_DEATH(STADIAL_ASSERT_ALWAYS(size == 0, "must be empty"),
               "assertion failed: size == 0 at .*: must be empty");
}

TEST_F(AssertDeathTest, LevelsDecideWhatIsChecked) {
#if STADIAL_ASSERT_LEVEL >= 1
  EXPECT_DEATH(STADIAL_ASSERT(false, "fast"), "fast");
#else
  STADIAL_ASSERT(false, "fast");
#endif
#if STADIAL_ASSERT_LEVEL >= 2
  EXPECT_DEATH(STADIAL_ASSERT_FULL(false, "full"), "full");
#else
  STADIAL_ASSERT_FULL(false, "full");
#endif
}

}  // namespace
}  // namespace stadial::arenas
