#include "gate_text.h"

#include <cstring>

namespace stadial::runtime::detail {
namespace {

constexpr bool IsDigit(char c) noexcept { return c >= '0' && c <= '9'; }

// Reads "4Step" at `at`; empty when there is none.
std::string_view ReadIdentifier(std::string_view mangled, std::size_t& at) noexcept {
  std::size_t length = 0;
  while (at < mangled.size() && IsDigit(mangled[at]))
    length = length * 10 + static_cast<std::size_t>(mangled[at++] - '0');
  if (length == 0 || length > mangled.size() - at) return {};
  const std::string_view identifier = mangled.substr(at, length);
  at += length;
  return identifier;
}

// Skips a template argument list, which starts at its 'I'. Literals and packs nest with their own 'E'; a
// name that happens to contain these letters is skipped as a whole by its length.
bool SkipTemplateArguments(std::string_view mangled, std::size_t& at) noexcept {
  std::size_t depth = 0;
  while (at < mangled.size()) {
    const char c = mangled[at];
    if (IsDigit(c)) {
      std::size_t probe = at;
      // After 'L' comes a literal's type and digits, not a length.
      if (ReadIdentifier(mangled, probe).empty()) return false;
      at = probe;
      continue;
    }
    if (c == 'L') {  // literal: L <type> <value> E
      while (at < mangled.size() && mangled[at] != 'E') ++at;
      if (at == mangled.size()) return false;
      ++at;
      continue;
    }
    if (c == 'I' || c == 'N' || c == 'J' || c == 'X' || c == 'F') ++depth;
    if (c == 'S' && at + 1 < mangled.size()) {  // St, Sa, S_, S0_: no nesting
      at += 2;
      continue;
    }
    ++at;
    if (c == 'E' && --depth == 0) return true;
  }
  return false;
}

}  // namespace

GateText& GateText::Append(std::string_view text) noexcept {
  const std::size_t room = capacity_ - 1 - length_;
  const std::size_t count = text.size() < room ? text.size() : room;
  std::memcpy(data_ + length_, text.data(), count);
  length_ += count;
  data_[length_] = '\0';
  return *this;
}

GateText& GateText::AppendDecimal(std::uint64_t value) noexcept {
  char digits[20];
  std::size_t at = sizeof digits;
  do {
    digits[--at] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value != 0);
  return Append(std::string_view(digits + at, sizeof digits - at));
}

GateText& GateText::AppendHex(std::uint64_t value) noexcept {
  char digits[18];
  std::size_t at = sizeof digits;
  do {
    digits[--at] = "0123456789abcdef"[value & 15];
    value >>= 4;
  } while (value != 0);
  digits[--at] = 'x';
  digits[--at] = '0';
  return Append(std::string_view(digits + at, sizeof digits - at));
}

GateText& GateText::AppendSymbol(const char* name) noexcept {
  const std::string_view mangled(name);
  if (!mangled.starts_with("_Z")) return Append(mangled);
  char readable[256];
  GateText text(readable, sizeof readable);
  std::size_t at = 2;
  if (at < mangled.size() && mangled[at] == 'L') ++at;  // internal linkage
  const bool nested = at < mangled.size() && mangled[at] == 'N';
  if (nested) ++at;
  while (nested && at < mangled.size() && (mangled[at] == 'K' || mangled[at] == 'V' || mangled[at] == 'R'))
    ++at;

  bool first = true;
  std::string_view last;
  while (at < mangled.size()) {
    if (nested && mangled[at] == 'E') break;
    if (mangled[at] == 'I') {
      if (first || !SkipTemplateArguments(mangled, at)) return Append(mangled);
      text.Append("<...>");
      continue;
    }
    std::string_view part;
    bool isDestructor = false;
    if (mangled.substr(at).starts_with("St")) {
      part = "std";
      at += 2;
    } else if (mangled.substr(at).starts_with("12_GLOBAL__N_1")) {
      part = "(anonymous namespace)";
      at += 14;
    } else if (nested && (mangled[at] == 'C' || mangled[at] == 'D') && at + 1 < mangled.size() &&
               IsDigit(mangled[at + 1])) {
      part = last;
      isDestructor = mangled[at] == 'D';
      at += 2;
    } else if (mangled[at] == 'L') {
      ++at;
      continue;
    } else {
      part = ReadIdentifier(mangled, at);
      last = part;
    }
    if (part.empty()) return Append(mangled);
    if (!first) text.Append("::");
    if (isDestructor) text.Append("~");
    text.Append(part);
    first = false;
    if (!nested && part != "std") break;
  }
  return first ? Append(mangled) : Append(std::string_view(text.Data(), text.Length()));
}

}  // namespace stadial::runtime::detail
