// A small dense grid to build a model in, and the integer noise the scene's generator draws with.
// Integers only, so that every machine and compiler builds the same bytes.
#pragma once

#include <cstdint>
#include <vector>

#include "vox_file.h"

namespace stadial::sandbox {

// A number that looks random, from three coordinates.
constexpr std::uint32_t HashOf(std::int32_t x, std::int32_t y, std::int32_t z) noexcept {
  std::uint32_t h = static_cast<std::uint32_t>(x) * 0x8da6b343U ^
                    static_cast<std::uint32_t>(y) * 0xd8163841U ^ static_cast<std::uint32_t>(z) * 0xcb1ab31fU;
  h = (h ^ (h >> 15)) * 0x2c1b3c6dU;
  h = (h ^ (h >> 12)) * 0x297a2d39U;
  return h ^ (h >> 15);
}

// 3t^2 - 2t^3 on 0..256.
constexpr std::int32_t Smooth256(std::int32_t t) noexcept {
  const std::int32_t c = t < 0 ? 0 : t > 256 ? 256 : t;
  return c * c * (768 - 2 * c) >> 16;
}

// Smooth noise, 0..255, that changes over `period` cells.
std::int32_t Noise2(std::int32_t x, std::int32_t y, std::int32_t period, std::int32_t seed) noexcept;

// The largest r with r * r <= value.
std::int32_t SquareRoot(std::int32_t value) noexcept;

class VoxelCanvas {
 public:
  // Edges of 1..256 cells.
  VoxelCanvas(std::int32_t width, std::int32_t depth, std::int32_t height);

  std::int32_t Width() const noexcept { return width_; }
  std::int32_t Depth() const noexcept { return depth_; }
  std::int32_t Height() const noexcept { return height_; }

  // Outside the grid: reads 0, writes nothing.
  std::uint8_t Get(std::int32_t x, std::int32_t y, std::int32_t z) const noexcept;
  void Set(std::int32_t x, std::int32_t y, std::int32_t z, std::uint8_t colour) noexcept;
  // Both corners included. `shades` successive colours from `colour` on, mixed by hash.
  void Box(std::int32_t x0, std::int32_t y0, std::int32_t z0, std::int32_t x1, std::int32_t y1,
           std::int32_t z1, std::uint8_t colour, std::uint32_t shades = 1) noexcept;

  VoxModel ToModel() const;
  // Without the cells whose 26 neighbours are all filled with firm colours (below `firstLoose`): what is left
  // is a shell that carries the loose cells and that no grain of sand slips through. Below the lowest layer
  // counts as filled.
  VoxModel ToHollowModel(std::uint8_t firstLoose) const;

 private:
  template <class Keep>
  VoxModel Collect(Keep&& keep) const;
  bool IsBuried(std::int32_t x, std::int32_t y, std::int32_t z, std::uint8_t firstLoose) const noexcept;
  std::size_t Index(std::int32_t x, std::int32_t y, std::int32_t z) const noexcept {
    const auto cells = [](std::int32_t v) { return static_cast<std::size_t>(v); };
    return cells(x) + cells(width_) * (cells(y) + cells(depth_) * cells(z));
  }

  std::int32_t width_, depth_, height_;
  std::vector<std::uint8_t> cells_;
};

// One of `shades` successive colours, by hash of the place.
constexpr std::uint8_t Shade(std::uint8_t colour, std::uint32_t shades, std::int32_t x, std::int32_t y,
                             std::int32_t z) noexcept {
  return static_cast<std::uint8_t>(colour + HashOf(x, y, z) % shades);
}

}  // namespace stadial::sandbox
