#include "stadial/arenas/arena.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace stadial::arenas {

const char* Arena::CopyString(std::string_view text) noexcept {
  STADIAL_ASSERT_COMPARE(text.size(), <, std::numeric_limits<std::size_t>::max(), "text length out of range");
  char* const copy = static_cast<char*>(Allocate(text.size() + 1, 1));
  if (!text.empty()) std::memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  return copy;
}

const char* Arena::Format(const char* format, ...) noexcept {
  std::va_list arguments;
  std::va_list measured;
  va_start(arguments, format);
  va_copy(measured, arguments);
  const int length = STADIAL_EFFECTS_REVIEWED("measures; no wide floating-point values",
                                              std::vsnprintf(nullptr, 0, format, measured));
  va_end(measured);
  STADIAL_ASSERT_COMPARE_ALWAYS(length, >=, 0, "malformed format");
  const std::size_t bytes = static_cast<std::size_t>(length) + 1;
  char* const text = static_cast<char*>(Allocate(bytes, 1));
  STADIAL_EFFECTS_REVIEWED("into the arena; no wide floating-point values",
                           std::vsnprintf(text, bytes, format, arguments));
  va_end(arguments);
  return text;
}

}  // namespace stadial::arenas
