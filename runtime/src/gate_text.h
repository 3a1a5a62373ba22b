// Text built in a caller's buffer, for reports that must not allocate: no stdio, no locale, nothing that can
// fail. What does not fit is cut.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace stadial::runtime::detail {

class GateText {
 public:
  // `capacityBytes` includes the terminating zero, which is always there. At least 1.
  GateText(char* data, std::size_t capacityBytes) noexcept : data_(data), capacity_(capacityBytes) {
    data_[0] = '\0';
  }

  GateText& Append(std::string_view text) noexcept;
  GateText& Append(const char* text) noexcept {
    return Append(text == nullptr ? std::string_view("(none)") : std::string_view(text));
  }
  GateText& AppendDecimal(std::uint64_t value) noexcept;
  GateText& AppendHex(std::uint64_t value) noexcept;  // "0x1a"
  GateText& AppendPointer(const void* value) noexcept {
    return AppendHex(reinterpret_cast<std::uintptr_t>(value));
  }

  // A C++ symbol as people read it, without its parameters: "_ZN5world4StepEv" becomes "world::Step", and
  // template arguments become "<...>". Anything it does not understand is appended as it is. (__cxa_demangle
  // allocates.)
  GateText& AppendSymbol(const char* mangled) noexcept;

  const char* Data() const noexcept { return data_; }
  std::size_t Length() const noexcept { return length_; }

 private:
  char* data_;
  std::size_t capacity_;
  std::size_t length_ = 0;
};

}  // namespace stadial::runtime::detail
