// Monotonic time in nanoseconds. One vDSO call, about 20 ns; no system call, no allocation.
#pragma once

#include <time.h>

#include <cstdint>

#include "stadial/arenas/effects.h"

namespace stadial::runtime {

inline std::uint64_t NowNs() noexcept STADIAL_NONALLOCATING {
  timespec now;
  STADIAL_EFFECTS_REVIEWED("a read of the clock, without a system call",
                           ::clock_gettime(CLOCK_MONOTONIC, &now));
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace stadial::runtime
