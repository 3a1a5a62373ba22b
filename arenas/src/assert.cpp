#include "stadial/arenas/assert.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace stadial::arenas {
namespace {

// Longest line printed; longer ones are cut, never allocated for.
constexpr std::size_t kLineBytesMax = 1024;

void WriteLine(const char* line, int formatted) noexcept {
  if (formatted <= 0) return;
  const std::size_t length = static_cast<std::size_t>(formatted) < kLineBytesMax
                                 ? static_cast<std::size_t>(formatted)
                                 : kLineBytesMax - 1;
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line, length);
}

}  // namespace

void AssertionFailed(const char* expression, const char* message, std::source_location where) noexcept {
  char line[kLineBytesMax];
  WriteLine(line, std::snprintf(line, sizeof line, "stadial: assertion failed: %s at %s:%u in %s: %s\n",
                                expression, where.file_name(), static_cast<unsigned>(where.line()),
                                where.function_name(), message));
  std::abort();
}

void AssertionFailed(const char* expression, const char* message, std::uint64_t left, std::uint64_t right,
                     std::source_location where) noexcept {
  char line[kLineBytesMax];
  WriteLine(
      line,
      std::snprintf(line, sizeof line, "stadial: assertion failed: %s (%llu vs %llu) at %s:%u in %s: %s\n",
                    expression, static_cast<unsigned long long>(left), static_cast<unsigned long long>(right),
                    where.file_name(), static_cast<unsigned>(where.line()), where.function_name(), message));
  std::abort();
}

}  // namespace stadial::arenas
