// One line to standard error through write(2), without allocating, and the end of the process. Private to the
// layer.
#pragma once

namespace stadial::arenas {

[[noreturn, gnu::cold, gnu::format(printf, 1, 2)]] void AbortWithLine(const char* format, ...) noexcept;

}  // namespace stadial::arenas
