#include "stadial/runtime/log.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "test_support.h"

namespace stadial::runtime {
namespace {

using testing::CountedScope;
using testing::LogCapture;

TEST(Log, PassesTextLevelAndUserData) {
  LogCapture capture;
  capture.Sink().Format(LogLevel::Warning, "%s %d", "seven", 7);
  EXPECT_EQ(capture.lines, 1u);
  EXPECT_EQ(capture.lastLevel, LogLevel::Warning);
  EXPECT_STREQ(capture.last, "seven 7");
}

TEST(Log, QuieterLevelsAreNotPassed) {
  LogCapture capture;
  LogSink sink = capture.Sink();
  sink.levelMin = LogLevel::Error;
  sink.Format(LogLevel::Warning, "quiet");
  sink.Format(LogLevel::Error, "loud");
  EXPECT_EQ(capture.lines, 1u);
  EXPECT_STREQ(capture.last, "loud");
}

TEST(Log, LongTextIsCut) {
  LogCapture capture;
  capture.Sink().Format(LogLevel::Info, "%s", std::string(5000, 'x').c_str());
  EXPECT_EQ(std::string(capture.last).size(), kLogTextBytesMax - 1);
}

TEST(Log, DefaultSinkWritesOneLineToStandardError) {
  ::testing::internal::CaptureStderr();
  LogSink().Format(LogLevel::Error, "arena '%s'", "lane 2");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "stadial: error: arena 'lane 2'\n");
}

TEST(Log, E9_LoggingNeverAllocates) {
  STADIAL_ASSERT_ARMED();
  ::testing::internal::CaptureStderr();
  std::uint64_t allocations = 0;
  {
    const CountedScope counted;
    for (int i = 0; i < 100; ++i)
      LogSink().Format(LogLevel::Info, "%d %s %zu %#x", i, "text", sizeof i, 255u);
    allocations = counted.Allocations() + counted.Frees();
  }
  ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(allocations, 0u);
}

}  // namespace
}  // namespace stadial::runtime
