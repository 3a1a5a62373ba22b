#include "stadial/arenas/byte_text.h"

#include <gtest/gtest.h>

namespace stadial::arenas {
namespace {

TEST(ByteText, SmallCountsAreExactAndLargeOnesReadable) {
  EXPECT_STREQ(FormatBytes(0).Get(), "0 B");
  EXPECT_STREQ(FormatBytes(4096).Get(), "4096 B");
  EXPECT_STREQ(FormatBytes(10 * 1024 - 1).Get(), "10239 B");
  EXPECT_STREQ(FormatBytes(10 * 1024).Get(), "10.0 KiB");
  EXPECT_STREQ(FormatBytes(1u << 20).Get(), "1.0 MiB");
  EXPECT_STREQ(FormatBytes((1u << 20) - 1).Get(), "1.0 MiB") << "never 1024.0 of a smaller unit";
  EXPECT_STREQ(FormatBytes(std::uint64_t{64} << 30).Get(), "64.0 GiB");
  EXPECT_STREQ(FormatBytes(UINT64_MAX).Get(), "16.0 EiB");
}

}  // namespace
}  // namespace stadial::arenas
