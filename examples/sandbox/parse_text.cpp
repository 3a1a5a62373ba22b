#include "parse_text.h"

#include <charconv>
#include <cinttypes>
#include <utility>

namespace stadial::sandbox {
namespace {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

// What of a text is shown in a message.
constexpr std::size_t kShownBytesMax = 80;
int ShownLength(std::string_view text) {
  return static_cast<int>(text.size() < kShownBytesMax ? text.size() : kShownBytesMax);
}

bool ReadDigits(std::string_view text, std::uint64_t& value) {
  if (text.empty()) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 10);
  return error == std::errc{} && end == text.data() + text.size();
}

// Digits that from_chars refuses because they are too many, as opposed to something that is no number.
bool IsAllDigits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

Result<std::uint64_t> ParseUnsigned(const char* option, std::string_view text, std::uint64_t min,
                                    std::uint64_t max, const char* unit) {
  std::uint64_t value = 0;
  if (ReadDigits(text, value) && value >= min && value <= max) return value;
  if (!IsAllDigits(text)) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "%s: '%.*s' is not a whole number; it takes %" PRIu64 " to %" PRIu64 " %s", option,
                         ShownLength(text), text.data(), min, max, unit);
  }
  return Error::Format(ErrorCode::InvalidArgument,
                       "%s: %.*s is out of range; it takes %" PRIu64 " to %" PRIu64 " %s", option,
                       ShownLength(text), text.data(), min, max, unit);
}

Result<float> ParseDegrees(const char* option, std::string_view text, float max) {
  float value = 0.0F;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && end == text.data() + text.size() && value >= -max && value <= max) return value;
  return Error::Format(ErrorCode::InvalidArgument, "%s: '%.*s' is not a number from %g to %g degrees", option,
                       ShownLength(text), text.data(), static_cast<double>(-max), static_cast<double>(max));
}

Result<ImageSize> ParseImageSize(const char* option, std::string_view text) {
  const std::size_t cross = text.find('x');
  std::uint64_t width = 0;
  std::uint64_t height = 0;
  const bool isForm = cross != std::string_view::npos && IsAllDigits(text.substr(0, cross)) &&
                      IsAllDigits(text.substr(cross + 1));
  if (!isForm) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "%s: '%.*s' is not a size; write width x height in pixels, as in 640x360", option,
                         ShownLength(text), text.data());
  }
  const bool fits = ReadDigits(text.substr(0, cross), width) && ReadDigits(text.substr(cross + 1), height) &&
                    width >= kImageEdgeMin && width <= kImageEdgeMax && height >= kImageEdgeMin &&
                    height <= kImageEdgeMax;
  if (!fits) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "%s: %.*s pixels is out of range; each side takes %" PRIu32 " to %" PRIu32, option,
                         ShownLength(text), text.data(), kImageEdgeMin, kImageEdgeMax);
  }
  if (width * height > kImagePixelsMax) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "%s: %.*s is %" PRIu64 " pixels, more than the %" PRIu64
                         " (3840x2160) that one picture may have",
                         option, ShownLength(text), text.data(), width * height, kImagePixelsMax);
  }
  return ImageSize{static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height)};
}

Result<ResizeStep> ParseResize(const char* option, std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "%s: '%.*s' names no frame; write FRAME:WxH, as in 100:320x180", option,
                         ShownLength(text), text.data());
  }
  STADIAL_ASSIGN_OR_RETURN(const std::uint64_t frame, ParseUnsigned(option, text.substr(0, colon), 1,
                                                                    kFramesMax - 1, "as the frame's number"));
  STADIAL_ASSIGN_OR_RETURN(const ImageSize size, ParseImageSize(option, text.substr(colon + 1)));
  return ResizeStep{frame, size};
}

Result<runtime::GatePolicy> ParseGatePolicy(const char* option, std::string_view text) {
  constexpr std::pair<std::string_view, runtime::GatePolicy> kPolicies[] = {
      {"allow", runtime::GatePolicy::Allow},
      {"count", runtime::GatePolicy::Count},
      {"report", runtime::GatePolicy::Report},
      {"trap", runtime::GatePolicy::Trap}};
  for (const auto& [name, policy] : kPolicies) {
    if (text == name) return policy;
  }
  return Error::Format(ErrorCode::InvalidArgument,
                       "%s: '%.*s' is no policy; it takes allow, count, report or trap", option,
                       ShownLength(text), text.data());
}

}  // namespace stadial::sandbox
