// Binary size literals for capacities: `using namespace stadial::arenas::literals; 64_KiB`.
// Each is a std::size_t in bytes; a value that does not fit does not compile.
#pragma once

#include <cstddef>

namespace stadial::arenas {
inline namespace literals {

// Not constexpr on purpose: a literal that reaches it does not compile.
void SizeLiteralDoesNotFit();

consteval std::size_t operator""_KiB(unsigned long long count) {
  if (count > (static_cast<std::size_t>(-1) >> 10)) SizeLiteralDoesNotFit();
  return static_cast<std::size_t>(count) << 10;
}
consteval std::size_t operator""_MiB(unsigned long long count) {
  if (count > (static_cast<std::size_t>(-1) >> 20)) SizeLiteralDoesNotFit();
  return static_cast<std::size_t>(count) << 20;
}
consteval std::size_t operator""_GiB(unsigned long long count) {
  if (count > (static_cast<std::size_t>(-1) >> 30)) SizeLiteralDoesNotFit();
  return static_cast<std::size_t>(count) << 30;
}

}  // namespace literals
}  // namespace stadial::arenas
