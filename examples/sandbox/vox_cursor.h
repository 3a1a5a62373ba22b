// A bounds-checked reader over the content of one chunk of a .vox file. Private to the reader.
// The first failing read keeps an Error that names the chunk, the offset and the numbers; every later read
// fails too, so that a sequence of reads is checked once, at its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "vox_file.h"

namespace stadial::sandbox {

// A chunk's four-character id in printable form: bytes that are not printable ASCII become '?'.
struct VoxChunkId {
  char text[5] = {};

  explicit VoxChunkId(const std::byte* bytes) noexcept {
    std::memcpy(text, bytes, 4);
    for (char& c : text) {
      if (&c != text + 4 && (c < ' ' || c > '~')) c = '?';
    }
  }
  bool Is(const char (&id)[5]) const noexcept { return std::memcmp(text, id, 4) == 0; }
};

class VoxCursor {
 public:
  // `content` lies at byte `offset` of the file called `file`.
  VoxCursor(const char* file, VoxChunkId id, std::span<const std::byte> content, std::size_t offset) noexcept
      : file_(file), id_(id), content_(content), offset_(offset) {}

  bool Ok() const noexcept { return !error_.has_value(); }
  const Error& GetError() const noexcept {
    STADIAL_ASSERT_ALWAYS(error_.has_value(), "VoxCursor::GetError called while all reads are good");
    return *error_;
  }
  std::size_t Left() const noexcept { return content_.size() - position_; }
  std::size_t Offset() const noexcept { return offset_ + position_; }
  const char* File() const noexcept { return file_; }
  const char* Id() const noexcept { return id_.text; }

  std::int32_t Int32(const char* what) noexcept {
    std::uint32_t value = 0;
    const std::byte* bytes = Take(4, what);
    if (bytes == nullptr) return 0;
    for (unsigned i = 0; i < 4; ++i) value |= std::to_integer<std::uint32_t>(bytes[i]) << (8 * i);
    return static_cast<std::int32_t>(value);
  }

  float Float32(const char* what) noexcept {
    const auto bits = static_cast<std::uint32_t>(Int32(what));
    float value = 0.0F;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }

  // A number of records that follow, each at least `recordBytesMin` long: never negative, never more than can
  // fit.
  std::size_t Count(const char* what, std::size_t recordBytesMin) noexcept {
    const std::size_t at = Offset();
    const std::int32_t count = Int32(what);
    if (!Ok()) return 0;
    if (count < 0 || static_cast<std::size_t>(count) > Left() / recordBytesMin) {
      Fail("%s: chunk '%s' at byte %zu: %s is %d, but only %zu bytes follow (at least %zu each)", file_,
           id_.text, at, what, count, Left(), recordBytesMin);
      return 0;
    }
    return static_cast<std::size_t>(count);
  }

  std::string_view Text(const char* what) noexcept {
    const std::size_t length = Count(what, 1);
    const std::byte* bytes = Take(length, what);
    return bytes == nullptr ? std::string_view{}
                            : std::string_view{reinterpret_cast<const char*>(bytes), length};
  }

  std::span<const std::byte> Bytes(std::size_t count, const char* what) noexcept {
    const std::byte* bytes = Take(count, what);
    return bytes == nullptr ? std::span<const std::byte>{} : std::span{bytes, count};
  }

  [[gnu::format(printf, 2, 3)]] void Fail(const char* format, ...) noexcept;

 private:
  const std::byte* Take(std::size_t count, const char* what) noexcept {
    if (!Ok()) return nullptr;
    if (count > Left()) {
      Fail("%s: chunk '%s' ends early: %s needs %zu bytes at byte %zu, %zu left of %zu", file_, id_.text,
           what, count, Offset(), Left(), content_.size());
      return nullptr;
    }
    const std::byte* bytes = content_.data() + position_;
    position_ += count;
    return bytes;
  }

  const char* file_;
  VoxChunkId id_;
  std::span<const std::byte> content_;
  std::size_t offset_;
  std::size_t position_ = 0;
  std::optional<Error> error_;
};

}  // namespace stadial::sandbox
