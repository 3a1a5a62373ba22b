#pragma once

#include <cstdint>
#include <limits>

#include "lifetime_tables.h"

namespace stadial::graph::packing {

// What comes first when items are placed one after another.
enum class Order : std::uint8_t {
  Largest,            // in size times the fourth power of the load it lives under
  LargestAndLongest,  // the same, times the root of its length
  LargestPlain,       // in size alone
  LongestOfItsSize,   // in half powers of two of the size, the longest first in each
  Busiest,            // in the load it lives under
};
inline constexpr std::uint32_t kOrderCount = 5;

// What PlaceInOrder will take in steps, about. O(count).
std::uint64_t EstimatePlacement(const Tables& tables) noexcept;
// Cuts time into blocks. Once, before the first placement.
void FindBlocks(Tables& tables) noexcept;
// Fills tables.list.
void FindOrder(Tables& tables, Order order) noexcept;
// Brings what ended above `height` to the front of tables.list.
void RaiseThoseAbove(Tables& tables, std::uint64_t height) noexcept;

inline constexpr std::uint64_t kNotPlaced = std::numeric_limits<std::uint64_t>::max();
// Places the items in the order of tables.list, each into the lowest gap among those placed before. Fills
// tables.offsets and returns the bytes needed, or kNotPlaced as soon as tables.work passes `workMax`.
std::uint64_t PlaceInOrder(Tables& tables, std::uint64_t workMax) noexcept;

}  // namespace stadial::graph::packing
