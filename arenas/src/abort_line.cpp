#include "abort_line.h"

#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace stadial::arenas {

void AbortWithLine(const char* format, ...) noexcept {
  char line[2048];
  std::va_list arguments;
  va_start(arguments, format);
  const int formatted = std::vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  if (formatted > 0) {
    // One byte is kept for the end of the line.
    const auto wanted = static_cast<std::size_t>(formatted);
    const std::size_t length = wanted < sizeof line - 1 ? wanted : sizeof line - 2;
    line[length] = '\n';
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line, length + 1);
  }
  std::abort();
}

}  // namespace stadial::arenas
