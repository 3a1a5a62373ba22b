// FixedString: text of a fixed capacity, always zero-terminated, in arena memory.
//
// Growth:       never.
// Exhaustion:   Append, AppendFormat, Insert and Assign assert (in every build); the Try forms return
//               false and change nothing; AppendTruncated and AppendFormatTruncated keep what fits, cut
//               before a UTF-8 sequence rather than in it, and return whether all of it fitted.
// Alignment:    1.
// Destructors:  none run.
// Threads:      one at a time; concurrent readers without a writer are fine.
// Invalidation: nothing moves: a view of the text stays valid and shows what is changed in place. Not
//               copyable; a moved-from string is empty and has capacity 0.
//
// Cost: appending is a memcpy, up to 16 bytes one without a call. Formatting writes straight into the free
// room, once. The text given to any function here may be part of the string itself.
#pragma once

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"

namespace stadial::arenas {

class FixedString {
 public:
  FixedString() noexcept = default;  // capacity 0
  // Room for `capacity` bytes of text; the terminating zero is added.
  FixedString(Arena& arena, std::size_t capacity) noexcept;

  FixedString(FixedString&& other) noexcept { Swap(other); }
  FixedString& operator=(FixedString&& other) noexcept {
    FixedString taken(std::move(other));
    Swap(taken);
    return *this;
  }
  FixedString(const FixedString&) = delete;
  FixedString& operator=(const FixedString&) = delete;

  void Append(std::string_view text) noexcept {
    if (!TryAppend(text)) [[unlikely]]
      FailFull(text.size());
  }
  [[nodiscard]] bool TryAppend(std::string_view text) noexcept {
    if (text.size() > capacity_ - size_) [[unlikely]]
      return false;
    // A part of this string ends where the copy begins, so the two never overlap.
    CopyText(data_ + size_, text.data(), text.size());
    SetSize(size_ + text.size());
    return true;
  }
  bool AppendTruncated(std::string_view text) noexcept STADIAL_NONALLOCATING;
  void PushBack(char character) noexcept { Append({&character, 1}); }
  [[nodiscard]] bool TryPushBack(char character) noexcept { return TryAppend({&character, 1}); }

  // printf's format. A malformed one asserts.
  [[gnu::format(printf, 2, 3)]] void AppendFormat(const char* format, ...) noexcept STADIAL_NONALLOCATING;
  [[nodiscard, gnu::format(printf, 2, 3)]] bool TryAppendFormat(const char* format,
                                                                ...) noexcept STADIAL_NONALLOCATING;
  [[gnu::format(printf, 2, 3)]] bool AppendFormatTruncated(const char* format,
                                                           ...) noexcept STADIAL_NONALLOCATING;

  // Before the byte at `index`; index Size() appends.
  void Insert(std::size_t index, std::string_view text) noexcept {
    if (!TryInsert(index, text)) [[unlikely]]
      FailFull(text.size());
  }
  [[nodiscard]] bool TryInsert(std::size_t index, std::string_view text) noexcept STADIAL_NONALLOCATING;
  // Replaces the whole text.
  void Assign(std::string_view text) noexcept {
    if (!TryAssign(text)) [[unlikely]]
      FailFull(text.size());
  }
  [[nodiscard]] bool TryAssign(std::string_view text) noexcept STADIAL_NONALLOCATING;

  // Removes `count` bytes from `first` on; both must lie within the text.
  void Remove(std::size_t first, std::size_t count) noexcept STADIAL_NONALLOCATING;
  void PopBack() noexcept {
    STADIAL_ASSERT_COMPARE(size_, >, std::size_t{0}, "PopBack of an empty FixedString");
    SetSize(size_ - 1);
  }
  // Drops the bytes from `size` on; `size` must not exceed Size().
  void Truncate(std::size_t size) noexcept {
    STADIAL_ASSERT_COMPARE(size, <=, size_, "Truncate cannot grow");
    SetSize(size);
  }
  void Clear() noexcept { SetSize(0); }

  char& operator[](std::size_t index) noexcept {
    STADIAL_ASSERT_COMPARE(index, <, size_, "no such character");
    return data_[index];
  }
  char operator[](std::size_t index) const noexcept {
    STADIAL_ASSERT_COMPARE(index, <, size_, "no such character");
    return data_[index];
  }
  std::string_view View() const noexcept { return {CString(), size_}; }
  operator std::string_view() const noexcept { return View(); }  // NOLINT(google-explicit-constructor)
  // Never nullptr.
  const char* CString() const noexcept { return data_ == nullptr ? "" : data_; }
  friend bool operator==(const FixedString& left, std::string_view right) noexcept {
    return left.View() == right;
  }

  // All in bytes, the terminating zero not counted.
  std::size_t Size() const noexcept { return size_; }
  std::size_t Capacity() const noexcept { return capacity_; }
  std::size_t RemainingBytes() const noexcept { return capacity_ - size_; }
  bool IsEmpty() const noexcept { return size_ == 0; }
  bool IsFull() const noexcept { return size_ == capacity_; }

 private:
  // Formats behind the text; returns the length that was wanted. Size() stays as it is.
  std::size_t FormatBehind(const char* format, std::va_list arguments) noexcept STADIAL_NONALLOCATING;
  // Most of what is appended is short: copied in two words that may overlap, without a call.
  static void CopyText(char* to, const char* from, std::size_t bytes) noexcept {
    if (bytes > 2 * sizeof(std::uint64_t)) {
      std::memcpy(to, from, bytes);
    } else if (bytes >= sizeof(std::uint64_t)) {
      CopyEnds<std::uint64_t>(to, from, bytes);
    } else if (bytes >= sizeof(std::uint32_t)) {
      CopyEnds<std::uint32_t>(to, from, bytes);
    } else if (bytes >= sizeof(std::uint16_t)) {
      CopyEnds<std::uint16_t>(to, from, bytes);
    } else if (bytes != 0) {
      *to = *from;
    }
  }
  // The first word and the last: at least one word's bytes, at most two's.
  template <class Word>
  static void CopyEnds(char* to, const char* from, std::size_t bytes) noexcept {
    Word first;
    Word last;
    std::memcpy(&first, from, sizeof first);
    std::memcpy(&last, from + bytes - sizeof last, sizeof last);
    std::memcpy(to, &first, sizeof first);
    std::memcpy(to + bytes - sizeof last, &last, sizeof last);
  }
  void SetSize(std::size_t size) noexcept {
    size_ = size;
    if (data_ != nullptr) data_[size] = '\0';
  }
  void Swap(FixedString& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }
  [[gnu::cold, gnu::noinline]] void FailFull(std::size_t moreBytes) const noexcept STADIAL_NONALLOCATING;

  char* data_ = nullptr;  // capacity_ + 1 bytes, or nullptr
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace stadial::arenas
