#include "stadial/arenas/result.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>

namespace stadial::arenas {
namespace {

Result<int> Half(int value) {
  if (value % 2 != 0)
    return Error::Format(ErrorCode::InvalidArgument, "%d is odd; give an even number", value);
  return value / 2;
}
Result<int> Quarter(int value) {
  STADIAL_ASSIGN_OR_RETURN(const int half, Half(value));
  STADIAL_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}
Result<void> OnlyEven(int value) {
  STADIAL_RETURN_IF_ERROR(Half(value));
  return {};
}

TEST(Result, CarriesAValueOrAnError) {
  auto good = Half(8);
  ASSERT_TRUE(good);
  EXPECT_EQ(good.Value(), 4);
  EXPECT_EQ(*good, 4);
  const auto bad = Half(7);
  ASSERT_FALSE(bad.HasValue());
  EXPECT_EQ(bad.GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_STREQ(bad.GetError().Message(), "7 is odd; give an even number");
}

TEST(Result, MacrosPassErrorsOn) {
  EXPECT_EQ(Quarter(12).Value(), 3);
  EXPECT_STREQ(Quarter(6).GetError().Message(), "3 is odd; give an even number");
  EXPECT_TRUE(OnlyEven(2));
  EXPECT_FALSE(OnlyEven(3));
}

TEST(Result, MovesItsValueAndDestroysIt) {
  std::weak_ptr<int> watch;
  {
    Result<std::shared_ptr<int>> result = std::make_shared<int>(5);
    watch = result.Value();
    Result<std::shared_ptr<int>> moved = std::move(result);
    EXPECT_EQ(**moved, 5);
    const std::shared_ptr<int> taken = std::move(moved).Value();
    EXPECT_EQ(*taken, 5);
  }
  EXPECT_TRUE(watch.expired());
}

TEST(Result, LongMessagesAreCutNotAllocated) {
  const std::string longText(2 * kErrorMessageBytesMax, 'x');
  const Error error = Error::Format(ErrorCode::Io, "%s", longText.c_str());
  EXPECT_EQ(std::strlen(error.Message()), kErrorMessageBytesMax - 1);
}

TEST(Result, EveryCodeHasAName) {
  for (int code = 0; code <= static_cast<int>(ErrorCode::Invalid); ++code) {
    EXPECT_STRNE(ToString(static_cast<ErrorCode>(code)), "Unknown") << code;
  }
  EXPECT_STREQ(ToString(static_cast<ErrorCode>(9999)), "Unknown");
}

TEST(ResultDeathTest, AskingForWhatIsNotThereAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH((void)Half(7).Value(), "called on an error");
  EXPECT_DEATH((void)Half(8).GetError(), "called on a value");
}

}  // namespace
}  // namespace stadial::arenas
