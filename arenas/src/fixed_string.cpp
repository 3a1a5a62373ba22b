#include "stadial/arenas/fixed_string.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>

namespace stadial::arenas {
namespace {

// The number of bytes that a UTF-8 sequence with this first byte has; 0 for a byte that begins none.
std::size_t SequenceBytes(unsigned char first) noexcept {
  if (first < 0x80) return 1;
  if (first >= 0xC2 && first < 0xE0) return 2;
  if (first >= 0xE0 && first < 0xF0) return 3;
  if (first >= 0xF0 && first < 0xF5) return 4;
  return 0;
}

// How much of `text`, the front part of a longer one, to keep: without a UTF-8 sequence cut short at its end.
// What is not UTF-8 there is kept as it is.
std::size_t WholeSequences(const char* text, std::size_t size) noexcept {
  for (std::size_t back = 1; back <= std::min<std::size_t>(size, 3); ++back) {
    const auto byte = static_cast<unsigned char>(text[size - back]);
    const bool continues = byte >= 0x80 && byte < 0xC0;
    if (continues) continue;
    return SequenceBytes(byte) > back ? size - back : size;
  }
  return size;
}

}  // namespace

FixedString::FixedString(Arena& arena, std::size_t capacity) noexcept : capacity_(capacity) {
  STADIAL_ASSERT_COMPARE_ALWAYS(capacity, <, std::numeric_limits<std::size_t>::max(),
                                "capacity out of range");
  data_ = arena.NewArrayUninitialized<char>(capacity + 1).data();
  data_[0] = '\0';
}

bool FixedString::AppendTruncated(std::string_view text) noexcept {
  if (TryAppend(text)) return true;
  const bool kept = TryAppend({text.data(), WholeSequences(text.data(), RemainingBytes())});
  STADIAL_ASSERT_ALWAYS(kept, "the part that fits does not fit");
  return false;
}

std::size_t FixedString::FormatBehind(const char* format, std::va_list arguments) noexcept {
  char nowhere[1];
  const int length =
      data_ == nullptr
          ? STADIAL_EFFECTS_REVIEWED("cut off; no wide floating-point values",
                                     std::vsnprintf(nowhere, sizeof nowhere, format, arguments))
          : STADIAL_EFFECTS_REVIEWED("into the string; no wide floating-point values",
                                     std::vsnprintf(data_ + size_, RemainingBytes() + 1, format, arguments));
  STADIAL_ASSERT_COMPARE_ALWAYS(length, >=, 0, "malformed format");
  return static_cast<std::size_t>(length);
}

void FixedString::AppendFormat(const char* format, ...) noexcept {
  std::va_list arguments;
  va_start(arguments, format);
  const std::size_t length = FormatBehind(format, arguments);
  va_end(arguments);
  if (length > RemainingBytes()) [[unlikely]]
    FailFull(length);
  SetSize(size_ + length);
}

bool FixedString::TryAppendFormat(const char* format, ...) noexcept {
  std::va_list arguments;
  va_start(arguments, format);
  const std::size_t length = FormatBehind(format, arguments);
  va_end(arguments);
  const bool fits = length <= RemainingBytes();
  SetSize(fits ? size_ + length : size_);
  return fits;
}

bool FixedString::AppendFormatTruncated(const char* format, ...) noexcept {
  std::va_list arguments;
  va_start(arguments, format);
  const std::size_t length = FormatBehind(format, arguments);
  va_end(arguments);
  const bool fits = length <= RemainingBytes();
  SetSize(size_ + (fits ? length : WholeSequences(CString() + size_, RemainingBytes())));
  return fits;
}

bool FixedString::TryInsert(std::size_t index, std::string_view text) noexcept {
  STADIAL_ASSERT_COMPARE(index, <=, size_, "no such place");
  if (text.size() > RemainingBytes()) return false;
  if (text.empty()) return true;
  // Written behind the text and rotated into its place, so that `text` may be a part of this string.
  std::memcpy(data_ + size_, text.data(), text.size());
  std::rotate(data_ + index, data_ + size_, data_ + size_ + text.size());
  SetSize(size_ + text.size());
  return true;
}

bool FixedString::TryAssign(std::string_view text) noexcept {
  if (text.size() > capacity_) return false;
  if (!text.empty()) std::memmove(data_, text.data(), text.size());
  SetSize(text.size());
  return true;
}

void FixedString::Remove(std::size_t first, std::size_t count) noexcept {
  STADIAL_ASSERT_COMPARE(first, <=, size_, "no such place");
  STADIAL_ASSERT_COMPARE(count, <=, size_ - first, "the range ends behind the text");
  if (count == 0) return;
  std::memmove(data_ + first, data_ + first + count, size_ - first - count);
  SetSize(size_ - count);
}

void FixedString::FailFull(std::size_t moreBytes) const noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(moreBytes, <=, RemainingBytes(),
                                "FixedString is full; raise the capacity it was given");
}

}  // namespace stadial::arenas
