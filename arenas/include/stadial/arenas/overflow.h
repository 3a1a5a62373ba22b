// What a bounded thing does with one item too many. Every queue, pool and bus of Stadial says it in these
// words.
#pragma once

#include <cstdint>

namespace stadial::arenas {

enum class AllocationMode : std::uint8_t {
  Strict,    // the new item is rejected and the caller told
  Fallback,  // served from a designated, bounded, counted fallback; nothing is lost
  Discard,   // the oldest item makes room
};

// The mode's name, as printed in reports ("Strict").
constexpr const char* ToString(AllocationMode mode) noexcept {
  switch (mode) {
    case AllocationMode::Strict:
      return "Strict";
    case AllocationMode::Fallback:
      return "Fallback";
    case AllocationMode::Discard:
      return "Discard";
  }
  return "Unknown";
}

}  // namespace stadial::arenas
