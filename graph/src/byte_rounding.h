// What allocations from an Arena take, so that budgets can be exact.
#pragma once

#include <cstddef>

#include "stadial/arenas/arena.h"

namespace stadial::graph {

constexpr std::size_t ArenaBytes(std::size_t sizeBytes) noexcept {
  return (sizeBytes + arenas::kArenaGranularityBytes - 1) & ~(arenas::kArenaGranularityBytes - 1);
}

// Of Arena::NewArray<T>(count), for types aligned to no more than the arena's granularity.
template <class T>
constexpr std::size_t ArenaBytes(std::size_t count) noexcept {
  static_assert(alignof(T) <= arenas::kArenaGranularityBytes);
  return ArenaBytes(count * sizeof(T));
}

}  // namespace stadial::graph
