#pragma once

#include <cstdint>

#include "lifetime_tables.h"

namespace stadial::graph::packing {

// How what is alive at the busiest moment is put back to back.
enum class Ground : std::uint8_t { LongestFirst, LatestEndFirst, LargestFirst };

// From the busiest moment to the end and to the start. Fills tables.offsets; returns the bytes needed.
// O(count log count), the logarithm only where much starts at once.
std::uint64_t Sweep(Tables& tables, Ground ground) noexcept;

}  // namespace stadial::graph::packing
