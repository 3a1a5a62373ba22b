#include "voxel_canvas.h"

#include "stadial/arenas/assert.h"

namespace stadial::sandbox {

std::int32_t SquareRoot(std::int32_t value) noexcept {
  std::int32_t root = 0;
  for (std::int32_t bit = 1 << 15; bit != 0; bit >>= 1) {
    const std::int64_t next = root + bit;
    if (next * next <= value) root += bit;
  }
  return root;
}

std::int32_t Noise2(std::int32_t x, std::int32_t y, std::int32_t period, std::int32_t seed) noexcept {
  STADIAL_ASSERT_COMPARE(x, >=, 0, "noise is made for coordinates from 0 on");
  STADIAL_ASSERT_COMPARE(y, >=, 0, "noise is made for coordinates from 0 on");
  const std::int32_t cellX = x / period;
  const std::int32_t cellY = y / period;
  const std::int32_t fx = Smooth256(x % period * 256 / period);
  const std::int32_t fy = Smooth256(y % period * 256 / period);
  const auto corner = [&](std::int32_t dx, std::int32_t dy) {
    return static_cast<std::int32_t>(HashOf(cellX + dx, cellY + dy, seed) & 255U);
  };
  const std::int32_t low = corner(0, 0) * (256 - fx) + corner(1, 0) * fx;
  const std::int32_t high = corner(0, 1) * (256 - fx) + corner(1, 1) * fx;
  return (low / 256 * (256 - fy) + high / 256 * fy) / 256;
}

VoxelCanvas::VoxelCanvas(std::int32_t width, std::int32_t depth, std::int32_t height)
    : width_(width), depth_(depth), height_(height) {
  for (const std::int32_t edge : {width, depth, height}) {
    STADIAL_ASSERT(edge >= 1 && edge <= 256, "a canvas has edges of 1..256 cells");
  }
  cells_.assign(
      static_cast<std::size_t>(width) * static_cast<std::size_t>(depth) * static_cast<std::size_t>(height),
      0);
}

std::uint8_t VoxelCanvas::Get(std::int32_t x, std::int32_t y, std::int32_t z) const noexcept {
  if (x < 0 || y < 0 || z < 0 || x >= width_ || y >= depth_ || z >= height_) return 0;
  return cells_[Index(x, y, z)];
}

void VoxelCanvas::Set(std::int32_t x, std::int32_t y, std::int32_t z, std::uint8_t colour) noexcept {
  if (x < 0 || y < 0 || z < 0 || x >= width_ || y >= depth_ || z >= height_) return;
  cells_[Index(x, y, z)] = colour;
}

void VoxelCanvas::Box(std::int32_t x0, std::int32_t y0, std::int32_t z0, std::int32_t x1, std::int32_t y1,
                      std::int32_t z1, std::uint8_t colour, std::uint32_t shades) noexcept {
  for (std::int32_t z = z0; z <= z1; ++z) {
    for (std::int32_t y = y0; y <= y1; ++y) {
      for (std::int32_t x = x0; x <= x1; ++x)
        Set(x, y, z, colour == 0 ? colour : Shade(colour, shades, x, y, z));
    }
  }
}

bool VoxelCanvas::IsBuried(std::int32_t x, std::int32_t y, std::int32_t z,
                           std::uint8_t firstLoose) const noexcept {
  for (std::int32_t k = 0; k < 27; ++k) {
    const std::int32_t level = z + k / 9 - 1;
    const std::uint8_t colour = Get(x + k % 3 - 1, y + k / 3 % 3 - 1, level);
    if (level >= 0 && (colour == 0 || colour >= firstLoose)) return false;
  }
  return true;
}

template <class Keep>
VoxModel VoxelCanvas::Collect(Keep&& keep) const {
  VoxModel model;
  model.size = {width_, depth_, height_};
  for (std::int32_t z = 0; z < height_; ++z) {
    for (std::int32_t y = 0; y < depth_; ++y) {
      for (std::int32_t x = 0; x < width_; ++x) {
        const std::uint8_t colour = cells_[Index(x, y, z)];
        if (colour == 0 || !keep(x, y, z)) continue;
        model.voxels.push_back({static_cast<std::uint8_t>(x), static_cast<std::uint8_t>(y),
                                static_cast<std::uint8_t>(z), colour});
      }
    }
  }
  return model;
}

VoxModel VoxelCanvas::ToModel() const {
  return Collect([](std::int32_t, std::int32_t, std::int32_t) { return true; });
}

VoxModel VoxelCanvas::ToHollowModel(std::uint8_t firstLoose) const {
  return Collect(
      [&](std::int32_t x, std::int32_t y, std::int32_t z) { return !IsBuried(x, y, z, firstLoose); });
}

}  // namespace stadial::sandbox
