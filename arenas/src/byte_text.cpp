#include "stadial/arenas/byte_text.h"

#include <cstddef>
#include <cstdio>

namespace stadial::arenas {

ByteText FormatBytes(std::uint64_t bytes) noexcept {
  constexpr std::uint64_t kPlainBelow = 10 * 1024;
  constexpr const char* kUnits[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  ByteText result{};
  if (bytes < kPlainBelow) {
    STADIAL_EFFECTS_REVIEWED(
        "an integer, into a buffer of its own",
        std::snprintf(result.text, sizeof result.text, "%llu B", static_cast<unsigned long long>(bytes)));
    return result;
  }
  double value = static_cast<double>(bytes) / 1024.0;
  std::size_t unit = 0;
  // 1023.95 and above would print as "1024.0" of the smaller unit.
  while (value >= 1023.95 && unit + 1 < sizeof kUnits / sizeof kUnits[0]) {
    value /= 1024.0;
    ++unit;
  }
  STADIAL_EFFECTS_REVIEWED("a double below 1024, into a buffer of its own",
                           std::snprintf(result.text, sizeof result.text, "%.1f %s", value, kUnits[unit]));
  return result;
}

}  // namespace stadial::arenas
