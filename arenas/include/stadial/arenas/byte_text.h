// A byte count as a person reads it, for messages and reports: "112 B" below 10 KiB, then one decimal of the
// largest fitting binary unit ("1.0 MiB"). Plain value, no allocation, any thread.
#pragma once

#include <cstdint>

#include "stadial/arenas/effects.h"

namespace stadial::arenas {

struct ByteText {
  char text[24];
  const char* Get() const noexcept { return text; }
};

ByteText FormatBytes(std::uint64_t bytes) noexcept STADIAL_NONALLOCATING;

}  // namespace stadial::arenas
