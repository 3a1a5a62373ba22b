// The blocks of a Recycler, shared by its operations and its integrity check.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "stadial/arenas/recycler.h"

namespace stadial::arenas {

inline constexpr std::size_t kUnitBytes = 16;
inline constexpr std::uint32_t kNoUnit = std::numeric_limits<std::uint32_t>::max();
inline constexpr std::uint32_t kBlockUnitsMin = 2;  // a header, and the links of a free block
inline constexpr std::uint32_t kBlockUnitsMax = std::uint32_t{1} << 31;
// Mixed with the block's position, so that a copied header is not mistaken for a live one.
inline constexpr std::uint32_t kLiveMagic = 0x4c697665;
inline constexpr std::uint32_t kFreeMagic = 0x66726565;
inline constexpr std::uint32_t kQuickMagic = 0x71756963;

// Stands in front of every payload. Blocks tile [0, carvedUnits_) without gaps.
struct Recycler::Header {
  std::uint32_t magic;
  std::uint32_t units;          // of the whole block, header included
  std::uint32_t previousUnits;  // of the block before this one; 0 for the first
  std::uint32_t slackBytes;     // live: payload bytes beyond what was asked for

  std::byte* Payload() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  FreeLinks* Links() noexcept { return reinterpret_cast<FreeLinks*>(this + 1); }
  std::size_t PayloadBytes() const noexcept { return (std::size_t{units} - 1) * kUnitBytes; }
  std::size_t RequestedBytes() const noexcept { return PayloadBytes() - slackBytes; }
};

// In the payload of a free block.
struct Recycler::FreeLinks {
  std::uint32_t next;
  std::uint32_t previous;
};

}  // namespace stadial::arenas
