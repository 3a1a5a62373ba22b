// What stands on the island of the default scene.
#include <algorithm>
#include <cstdlib>
#include <utility>

#include "default_scene_parts.h"

namespace stadial::sandbox {
namespace {

std::int32_t Squared(std::int32_t v) noexcept { return v * v; }

// A round slab of radius r about (x + 1/2, y + 1/2), with a hole of radius `hole` (-1: none).
void Disc(VoxelCanvas& canvas, std::int32_t x, std::int32_t y, std::int32_t z, std::int32_t r,
          std::int32_t hole, std::uint8_t colour, std::uint32_t shades) {
  for (std::int32_t dy = -r; dy <= r; ++dy) {
    for (std::int32_t dx = -r; dx <= r; ++dx) {
      const std::int32_t d = Squared(dx) + Squared(dy);
      if (d > Squared(r) + r || (hole >= 0 && d <= Squared(hole) + hole)) continue;
      canvas.Set(x + dx, y + dy, z, Shade(colour, shades, x + dx, y + dy, z));
    }
  }
}

void Ball(VoxelCanvas& canvas, std::int32_t x, std::int32_t y, std::int32_t z, std::int32_t r,
          std::uint8_t colour, std::uint32_t shades) {
  for (std::int32_t dz = -r; dz <= r; ++dz) {
    for (std::int32_t dy = -r; dy <= r; ++dy) {
      for (std::int32_t dx = -r; dx <= r; ++dx) {
        const std::int32_t ragged = static_cast<std::int32_t>(HashOf(x + dx, y + dy, z + dz) % 5);
        if (Squared(dx) + Squared(dy) + Squared(dz) > Squared(r) + ragged) continue;
        // Darker below, lighter above, so that a crown has shape even in flat light.
        const std::int32_t tone = (dz + r) * static_cast<std::int32_t>(shades) / (2 * r + 1);
        const std::int32_t speckle = HashOf(x + dx, y + dy, z + dz + 7) % 4 == 0 ? 1 : 0;
        canvas.Set(x + dx, y + dy, z + dz,
                   static_cast<std::uint8_t>(
                       colour + std::min(tone + speckle, static_cast<std::int32_t>(shades) - 1)));
      }
    }
  }
}

}  // namespace

VoxModel MakeTemple() {
  constexpr std::int32_t kWidth = 34;
  constexpr std::int32_t kDepth = 42;
  constexpr std::int32_t kColumnTop = 4 + 15;  // steps and floor, then the columns' height
  VoxelCanvas canvas(kWidth, kDepth, 36);
  for (std::int32_t step = 0; step < 3; ++step) {
    canvas.Box(step, step, step, kWidth - 1 - step, kDepth - 1 - step, step, kMarble, 3);
  }
  canvas.Box(3, 3, 3, kWidth - 4, kDepth - 4, 3, kBrick, 3);
  canvas.Box(4, 4, 3, kWidth - 5, kDepth - 5, 3, kMarble, 2);
  // The beam on the columns, and a ceiling that leaves the middle open to the roof.
  canvas.Box(3, 3, kColumnTop, kWidth - 4, kDepth - 4, kColumnTop + 1, kMarble, 3);
  canvas.Box(2, 2, kColumnTop + 2, kWidth - 3, kDepth - 3, kColumnTop + 2, kMarble, 2);
  canvas.Box(8, 8, kColumnTop, kWidth - 9, kDepth - 9, kColumnTop + 2, 0);
  for (std::int32_t x = 5; x < kWidth - 5; x += 4) {
    canvas.Box(x, 3, kColumnTop + 1, x + 1, 3, kColumnTop + 1, kGold);
    canvas.Box(x, kDepth - 4, kColumnTop + 1, x + 1, kDepth - 4, kColumnTop + 1, kGold);
  }
  // A gable roof along y, with a set-back gable wall at each end.
  for (std::int32_t rise = 0; rise < 11; ++rise) {
    const std::int32_t z = kColumnTop + 3 + rise;
    const std::int32_t left = 1 + rise * 3 / 2;
    const std::int32_t right = kWidth - 2 - rise * 3 / 2;
    if (left > right) break;
    canvas.Box(left, 1, z, std::min(left + 2, right), kDepth - 2, z, kRoof, 3);
    canvas.Box(std::max(right - 2, left), 1, z, right, kDepth - 2, z, kRoof, 3);
    canvas.Box(left + 3, 3, z, right - 3, 4, z, kMarble, 2);
    canvas.Box(left + 3, kDepth - 5, z, right - 3, kDepth - 4, z, kMarble, 2);
  }
  canvas.Box(kWidth / 2 - 2, 3, kColumnTop + 5, kWidth / 2 + 1, 3, kColumnTop + 7, kGold);
  return canvas.ToModel();
}

VoxModel MakeColumn() {
  VoxelCanvas canvas(4, 4, 15);
  canvas.Box(0, 0, 0, 3, 3, 1, kMarble, 2);
  for (std::int32_t z = 2; z < 13; ++z) {
    canvas.Box(1, 0, z, 2, 3, z, kMarble, 3);
    canvas.Box(0, 1, z, 3, 2, z, kMarble, 3);
  }
  canvas.Box(0, 0, 13, 3, 3, 14, kMarble, 2);
  return canvas.ToModel();
}

VoxModel MakeTower() {
  constexpr std::int32_t kEdge = 29;
  constexpr std::int32_t kMiddle = kEdge / 2;
  constexpr std::int32_t kThroat = 26;    // where the funnel's hole is
  constexpr std::int32_t kShoulder = 38;  // where the cone becomes a cylinder
  constexpr std::int32_t kTop = 45;
  VoxelCanvas canvas(kEdge, kEdge, 58);
  // Pillars on the axes, so that the sand is seen between them from a corner.
  for (const auto& [x, y] : {std::pair{1, kMiddle - 1}, std::pair{kEdge - 4, kMiddle - 1},
                             std::pair{kMiddle - 1, 1}, std::pair{kMiddle - 1, kEdge - 4}}) {
    canvas.Box(x - 1, y - 1, 0, x + 3, y + 3, 2, kBrick, 3);
    canvas.Box(x, y, 3, x + 2, y + 2, kShoulder, kBrick, 3);
    canvas.Box(x - 1, y - 1, kShoulder - 3, x + 3, y + 3, kShoulder - 3, kMarble, 2);
  }
  for (std::int32_t z = kThroat; z <= kTop; ++z) {
    const std::int32_t inner = z < kShoulder ? 1 + (z - kThroat) * 10 / (kShoulder - kThroat) : 11;
    const std::int32_t outer = inner + 2;
    const bool band = z == kTop || z == kShoulder || z == kThroat;
    Disc(canvas, kMiddle, kMiddle, z, outer, inner, band ? kMarble : kBrick, band ? 2 : 3);
    if (z > kThroat) Disc(canvas, kMiddle, kMiddle, z, inner, -1, kSand, 4);
  }
  // The heap above the rim.
  for (std::int32_t rise = 1; rise <= 9; ++rise)
    Disc(canvas, kMiddle, kMiddle, kTop + rise, 10 - rise, -1, kSand, 4);
  return canvas.ToModel();
}

VoxModel MakeBasin() {
  constexpr std::int32_t kEdge = 27;
  constexpr std::int32_t kMiddle = kEdge / 2;
  VoxelCanvas canvas(kEdge, kEdge, 8);
  Disc(canvas, kMiddle, kMiddle, 0, 12, -1, kBrick, 3);
  for (std::int32_t z = 1; z <= 2; ++z)
    Disc(canvas, kMiddle, kMiddle, z, 12, 10, z == 2 ? kMarble : kBrick, 3);
  for (std::int32_t z = 1; z <= 6; ++z) Disc(canvas, kMiddle, kMiddle, z, 7 - z, -1, kSand, 4);
  return canvas.ToModel();
}

VoxModel MakeBridge() {
  constexpr std::int32_t kLength = 20;
  constexpr std::int32_t kWidth = 7;
  VoxelCanvas canvas(kLength, kWidth, 12);
  for (std::int32_t x = 0; x < kLength; ++x) {
    const std::int32_t out = std::abs(2 * x - (kLength - 1));  // odd, 1 in the middle
    const std::int32_t z = 4 - Squared(out) / 90;
    canvas.Box(x, 0, z, x, kWidth - 1, z, kWood, 3);
    canvas.Box(x, 1, std::max(z - 1, 0), x, kWidth - 2, std::max(z - 1, 0), kWood, 2);
    for (const std::int32_t y : {0, kWidth - 1}) {
      canvas.Set(x, y, z + 3, Shade(kWood, 2, x, y, z));
      if (x % 4 == 1 || x == kLength - 1) canvas.Box(x, y, z + 1, x, y, z + 3, kWood);
    }
  }
  return canvas.ToModel();
}

VoxModel MakePine() {
  VoxelCanvas canvas(13, 13, 24);
  canvas.Box(6, 6, 0, 6, 6, 20, kWood, 2);
  canvas.Box(5, 6, 0, 7, 6, 1, kWood, 2);
  canvas.Box(6, 5, 0, 6, 7, 1, kWood, 2);
  for (std::int32_t z = 4; z < 23; ++z) {
    const std::int32_t tier = (z - 4) / 5;
    const std::int32_t within = (z - 4) % 5;
    const std::int32_t r = std::max(6 - tier - within, z < 21 ? 1 : 0);
    for (std::int32_t dy = -r; dy <= r; ++dy) {
      for (std::int32_t dx = -r; dx <= r; ++dx) {
        const std::int32_t ragged = static_cast<std::int32_t>(HashOf(dx, dy, z) % 3);
        if (Squared(dx) + Squared(dy) > Squared(r) + ragged) continue;
        canvas.Set(6 + dx, 6 + dy, z,
                   static_cast<std::uint8_t>(kLeaf + std::min(within / 2 + ragged / 2, 2)));
      }
    }
  }
  return canvas.ToModel();
}

VoxModel MakeBlossomTree() {
  VoxelCanvas canvas(23, 21, 24);
  canvas.Box(10, 9, 0, 12, 11, 1, kWood, 2);
  canvas.Box(11, 9, 2, 12, 10, 10, kWood, 2);
  for (std::int32_t i = 0; i < 6; ++i) {
    canvas.Box(12 + i / 2, 10, 8 + i, 13 + i / 2, 11, 8 + i, kWood, 2);
    canvas.Box(10 - i / 2, 9 + i / 3, 9 + i, 11 - i / 2, 10 + i / 3, 9 + i, kWood, 2);
  }
  Ball(canvas, 11, 10, 17, 6, kBlossom, 3);
  Ball(canvas, 16, 11, 14, 5, kBlossom, 3);
  Ball(canvas, 6, 11, 14, 5, kBlossom, 3);
  Ball(canvas, 11, 5, 14, 4, kBlossom, 3);
  return canvas.ToModel();
}

VoxModel MakeLantern() {
  VoxelCanvas canvas(5, 5, 13);
  canvas.Box(1, 1, 0, 3, 3, 0, kBrick, 3);
  canvas.Box(2, 2, 1, 2, 2, 7, kWood);
  canvas.Box(1, 1, 7, 3, 3, 7, kWood);
  canvas.Box(1, 1, 8, 3, 3, 10, kLanternGlow);
  canvas.Box(0, 0, 11, 4, 4, 11, kRoof, 3);
  canvas.Box(1, 1, 12, 3, 3, 12, kRoof, 3);
  return canvas.ToModel();
}

VoxModel MakeBrazier() {
  VoxelCanvas canvas(7, 7, 9);
  canvas.Box(2, 2, 0, 4, 4, 3, kMarble, 3);
  Disc(canvas, 3, 3, 4, 3, -1, kGold, 1);
  Disc(canvas, 3, 3, 5, 3, 2, kGold, 1);
  Disc(canvas, 3, 3, 5, 2, -1, kFireGlow, 1);
  Disc(canvas, 3, 3, 6, 1, -1, kFireGlow, 1);
  canvas.Box(3, 3, 7, 3, 3, 8, kFireGlow);
  return canvas.ToModel();
}

}  // namespace stadial::sandbox
