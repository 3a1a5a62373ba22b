#include "stadial/runtime/log.h"

#include <unistd.h>

#include <cstdarg>
#include <cstdio>

#include "stadial/runtime/realtime_sanitizer.h"

namespace stadial::runtime {

const char* ToString(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::Info:
      return "info";
    case LogLevel::Warning:
      return "warning";
    case LogLevel::Error:
      return "error";
  }
  return "unknown";
}

void WriteLogToStderr(void*, LogLevel level, const char* text, std::size_t lengthBytes) noexcept {
  // One write per line, so that lines of several threads do not mix.
  char line[kLogTextBytesMax + 32];
  const int length =
      STADIAL_EFFECTS_REVIEWED("strings, into a buffer of its own",
                               std::snprintf(line, sizeof line, "stadial: %s: %.*s\n", ToString(level),
                                             static_cast<int>(lengthBytes), text));
  if (length <= 0) return;
  const std::size_t bytes =
      static_cast<std::size_t>(length) < sizeof line ? static_cast<std::size_t>(length) : sizeof line - 1;
  const detail::RealtimePause pause;
  [[maybe_unused]] const auto written =
      STADIAL_EFFECTS_REVIEWED("a system call that keeps nothing", ::write(STDERR_FILENO, line, bytes));
}

void WriteLogNowhere(void*, LogLevel, const char*, std::size_t) noexcept {}

void LogSink::Format(LogLevel level, const char* format, ...) const noexcept {
  if (level < levelMin || write == nullptr) return;
  char text[kLogTextBytesMax];
  std::va_list arguments;
  va_start(arguments, format);
  const int length = STADIAL_EFFECTS_REVIEWED("the caller's contract: no floating-point values",
                                              std::vsnprintf(text, sizeof text, format, arguments));
  va_end(arguments);
  if (length < 0) return;
  write(userData, level, text,
        static_cast<std::size_t>(length) < sizeof text ? static_cast<std::size_t>(length) : sizeof text - 1);
}

}  // namespace stadial::runtime
