// The island of the default scene: its heights, its strata, and the water in it.
#include <algorithm>

#include "default_scene_parts.h"

namespace stadial::sandbox {
namespace {

struct Point {
  std::int32_t x = 0, y = 0;
};

constexpr Point kIslandMiddle{64, 64};
constexpr std::int32_t kShoreRadius = 58;

constexpr Point kHill{38, 94};
constexpr std::int32_t kHillRadius = 46;
constexpr std::int32_t kHillHeight = 36;

constexpr Point kPond{80, 38};
constexpr Point kPondRadii{27, 19};
constexpr std::int32_t kPondFloor = 5;
constexpr std::int32_t kRim = kSeaLevel + 3;  // the pond has room for what the spring brings

// The spring: a round tank on the hill, from which a trough of stone leads over the cliff's edge. From its
// open end the water falls into the plunge pool, which a brook at the pond's level joins to the pond.
constexpr Point kSpring{52, 84};
constexpr std::int32_t kSpringRadius = 11;
constexpr std::int32_t kSpringLevel = 39;  // surface of the tank's water
constexpr std::int32_t kTroughFloor = 31;
constexpr std::int32_t kTroughHalfWidth = 4;
constexpr std::int32_t kCliffEdge = 72;  // y of the cliff's face
constexpr std::int32_t kTroughEnd = 67;

constexpr Point kPool{52, 64};
constexpr std::int32_t kPoolRadius = 9;
constexpr std::int32_t kPoolFloor = 6;

constexpr Point kBrook[] = {{52, 63}, {58, 55}, {66, 48}};
constexpr std::int32_t kBrookBed = 8;
constexpr std::int32_t kBrookHalfWidth = 3;
constexpr std::int32_t kBrookBank = 6;

constexpr Point kPathPoints[] = {{90, 68}, {86, 62}, {76, 58}, {60, 56}, {50, 54}, {44, 48}, {40, 42}};
constexpr std::int32_t kPathHalfWidth = 2;

// Squared distance to a segment, and how far along it the nearest point lies, 0..256.
struct Nearest {
  std::int32_t squared = 0;
  std::int32_t along = 0;
};
Nearest NearestOn(Point a, Point b, std::int32_t x, std::int32_t y) noexcept {
  const std::int32_t dx = b.x - a.x;
  const std::int32_t dy = b.y - a.y;
  const std::int32_t length = dx * dx + dy * dy;
  const std::int32_t along = std::clamp(((x - a.x) * dx + (y - a.y) * dy) * 256 / length, 0, 256);
  const std::int32_t ex = (x - a.x) * 256 - along * dx;
  const std::int32_t ey = (y - a.y) * 256 - along * dy;
  return {(ex / 16 * (ex / 16) + ey / 16 * (ey / 16)) / 256, along};
}

std::int32_t Mix(std::int32_t a, std::int32_t b, std::int32_t t256) noexcept {
  return (a * (256 - t256) + b * t256) / 256;
}

std::int32_t Squared(std::int32_t v) noexcept { return v * v; }

bool OnIsland(std::int32_t x, std::int32_t y) noexcept {
  if (x < 0 || y < 0 || x >= kIslandEdge || y >= kIslandEdge) return false;
  // A square with round corners: the fourth root of the sum of fourth powers.
  const std::int32_t dx = Squared(x - kIslandMiddle.x);
  const std::int32_t dy = Squared(y - kIslandMiddle.y);
  const std::int32_t distance = SquareRoot(SquareRoot(dx * dx + dy * dy));
  return distance <= kShoreRadius + (Noise2(x, y, 21, 1) - 128) / 24;
}

// 0 in the middle of the pond, 256 on its shore.
std::int32_t PondDistance(std::int32_t x, std::int32_t y) noexcept {
  return Squared(x - kPond.x) * 256 / Squared(kPondRadii.x) +
         Squared(y - kPond.y) * 256 / Squared(kPondRadii.y);
}

// 256 inside a rectangle around (x0, y0), falling to 0 over `blend` cells outside it.
std::int32_t Plateau(std::int32_t x, std::int32_t y, Point middle, Point half, std::int32_t blend) noexcept {
  const std::int32_t outX = std::max(std::abs(x - middle.x) - half.x, 0);
  const std::int32_t outY = std::max(std::abs(y - middle.y) - half.y, 0);
  return Smooth256(256 - SquareRoot(Squared(outX) + Squared(outY)) * 256 / blend);
}

std::int32_t BrookDistanceSquared(std::int32_t x, std::int32_t y) noexcept {
  std::int32_t nearest = 1 << 20;
  for (std::size_t i = 0; i + 1 < std::size(kBrook); ++i) {
    nearest = std::min(nearest, NearestOn(kBrook[i], kBrook[i + 1], x, y).squared);
  }
  return nearest;
}

bool InBrook(std::int32_t x, std::int32_t y) noexcept {
  return BrookDistanceSquared(x, y) <= Squared(kBrookHalfWidth);
}

std::int32_t Distance(Point p, std::int32_t x, std::int32_t y) noexcept {
  return SquareRoot(Squared(x - p.x) + Squared(y - p.y));
}

// The land before water is cut into it.
std::int32_t LandHeight(std::int32_t x, std::int32_t y) noexcept {
  std::int32_t height16 = 15 * 16 + (Noise2(x, y, 26, 3) - 100) / 5 + (Noise2(x, y, 9, 4) - 128) / 16;
  const std::int32_t hill =
      Smooth256(256 - SquareRoot(Squared(x - kHill.x) + Squared(y - kHill.y)) * 256 / kHillRadius);
  std::int32_t rise16 = hill * kHillHeight / 16 + hill * (Noise2(x, y, 11, 5) - 128) / 512;
  if (rise16 > 6 * 16) {
    // Steep rock between ledges: steps of six cells whose edges wander.
    const std::int32_t step16 = 6 * 16;
    const std::int32_t wander = (Noise2(x, y, 8, 6) - 128) / 4;
    const std::int32_t level = (rise16 + wander) / step16 * step16;
    rise16 = Mix(level, rise16, 60);
  }
  height16 += std::max(rise16, 0);
  height16 = Mix(height16, kTempleLevel * 16, Plateau(x, y, {kTempleX, kTempleY}, {19, 23}, 9));
  height16 = Mix(height16, kTowerLevel * 16, Plateau(x, y, {kTowerX, kTowerY}, {13, 13}, 8));
  return height16 / 16;
}

}  // namespace

std::int32_t GroundHeight(std::int32_t x, std::int32_t y) noexcept {
  if (!OnIsland(x, y)) return 0;
  std::int32_t height = LandHeight(x, y);
  const std::int32_t pond = PondDistance(x, y);
  if (pond < 256) {
    height = kPondFloor + (kSeaLevel - kPondFloor) * pond / 256;
  } else if (pond < 520) {
    // The beach rises from the water to the rim and on to the land.
    const std::int32_t beach = kSeaLevel + 1 + (kRim - kSeaLevel) * (pond - 256) / 264;
    height = std::clamp(height, beach, std::max(beach, Mix(beach, height, Smooth256(pond - 264))));
  }
  // Banks and rims first, then what is cut into them.
  const std::int32_t spring = Distance(kSpring, x, y);
  const std::int32_t pool = Distance(kPool, x, y);
  if (pond >= 256 && (pool <= kPoolRadius + 3 || BrookDistanceSquared(x, y) <= Squared(kBrookBank))) {
    height = std::max(height, kRim);
  }
  if (std::abs(x - kSpring.x) <= kSpringRadius && y >= kCliffEdge && y <= kSpring.y) {
    height = std::max(height, kSpringLevel - 2 + static_cast<std::int32_t>(HashOf(x / 3, y / 3, 14) % 3));
  }
  if (spring <= kSpringRadius + 2) height = std::max(height, kSpringLevel + 1);
  if (pool <= kPoolRadius && y < kCliffEdge) height = kPoolFloor + pool / 3;
  if (InBrook(x, y) && y < kCliffEdge) height = std::min(height, kBrookBed);
  if (spring <= kSpringRadius) height = kTroughFloor + spring * 2 / 3;
  if (std::abs(x - kSpring.x) <= kTroughHalfWidth && y >= kCliffEdge && y <= kSpring.y) height = kTroughFloor;
  return height;
}

namespace {

bool OnPath(std::int32_t x, std::int32_t y) noexcept {
  for (std::size_t i = 0; i + 1 < std::size(kPathPoints); ++i) {
    const std::int32_t wobble = static_cast<std::int32_t>(HashOf(x, y, 9) % 3);
    if (NearestOn(kPathPoints[i], kPathPoints[i + 1], x, y).squared <= Squared(kPathHalfWidth) + wobble - 1)
      return true;
  }
  return false;
}

std::int32_t Steepness(std::int32_t x, std::int32_t y, std::int32_t height) noexcept {
  std::int32_t steepest = 0;
  for (const Point step : {Point{1, 0}, Point{-1, 0}, Point{0, 1}, Point{0, -1}}) {
    steepest = std::max(steepest, std::abs(height - GroundHeight(x + step.x, y + step.y)));
  }
  return steepest;
}

// Layers of earth and rock, thicker and thinner by place, as the island's edge shows them.
std::uint8_t Stratum(std::int32_t x, std::int32_t y, std::int32_t z, std::int32_t depth) noexcept {
  if (depth < 3 + static_cast<std::int32_t>(HashOf(x, y, 7) % 2)) return Shade(kDirt, 3, x, y, z);
  const std::int32_t layer = (z + (Noise2(x, y, 16, 8) - 128) / 40) / 2;
  const std::uint32_t band = HashOf(layer, 0, 11) % 3;
  return static_cast<std::uint8_t>(kRock + band + HashOf(x, y, z) % 2);
}

std::uint8_t SurfaceColour(std::int32_t x, std::int32_t y, std::int32_t height,
                           std::int32_t steepness) noexcept {
  const std::int32_t pond = PondDistance(x, y);
  if (height <= kSeaLevel && pond >= 256) return Shade(kRock, 4, x, y, height);
  if (pond < 400 && steepness <= 1 && height <= kRim) return Shade(kSand, 4, x, y, height);
  if (steepness > 2) return Shade(kRock, 4, x, y, height);
  if (OnPath(x, y)) return Shade(kPath, 3, x, y, 0);
  // Grass in patches of tone, with a speckle.
  const std::int32_t tone = Noise2(x, y, 13, 12) + static_cast<std::int32_t>(HashOf(x, y, 13) % 80);
  return static_cast<std::uint8_t>(kGrass + std::clamp(tone / 84, 0, 3));
}

void FillColumn(VoxelCanvas& canvas, std::int32_t x, std::int32_t y) {
  const std::int32_t height = GroundHeight(x, y);
  if (height == 0) return;
  for (std::int32_t z = 0; z < height; ++z) canvas.Set(x, y, z, Stratum(x, y, z, height - 1 - z));
  const std::int32_t steepness = Steepness(x, y, height);
  const std::uint8_t surface = SurfaceColour(x, y, height, steepness);
  canvas.Set(x, y, height - 1, surface);
  const bool grass = surface >= kGrass && surface < kGrass + 4;
  if (grass && HashOf(x, y, 21) % 61 == 0) canvas.Set(x, y, height, Shade(kFlower, 3, x, y, 22));
}

void FillWater(VoxelCanvas& canvas, std::int32_t x, std::int32_t y) {
  const std::int32_t height = GroundHeight(x, y);
  if (height == 0) return;
  const bool trough = std::abs(x - kSpring.x) <= kTroughHalfWidth && y >= kCliffEdge && y <= kSpring.y;
  const bool tank = trough || Distance(kSpring, x, y) <= kSpringRadius;
  const std::int32_t level = tank ? kSpringLevel : kSeaLevel;
  for (std::int32_t z = height; z < level; ++z) canvas.Set(x, y, z, Shade(kWater, 2, x, y, z));
}

// The part of the trough that reaches over the pool: a ledge of rock with mossy walls at its sides and an
// open end.
void BuildTrough(VoxelCanvas& canvas) {
  constexpr std::int32_t kInner = kTroughHalfWidth;
  constexpr std::int32_t kOuter = kInner + 2;
  const std::int32_t x = kSpring.x;
  for (std::int32_t y = kTroughEnd; y <= kCliffEdge + 1; ++y) {
    for (std::int32_t dx = -kOuter; dx <= kOuter; ++dx) {
      const bool wall = std::abs(dx) > kInner;
      const std::int32_t ragged = static_cast<std::int32_t>(HashOf(dx, y, 31) % 2);
      const std::int32_t bottom = kTroughFloor - 2 - (y - kTroughEnd) - ragged;
      const std::int32_t top = wall ? kSpringLevel - 1 - std::max(0, kTroughEnd + 4 - y) : kTroughFloor - 1;
      for (std::int32_t z = bottom; z <= top; ++z) canvas.Set(x + dx, y, z, Stratum(x + dx, y, z, 9));
      if (wall) canvas.Box(x + dx, y, top, x + dx, y, top + ragged, kGrass, 4);
    }
  }
  canvas.Box(x - kInner, kTroughEnd + 3, kTroughFloor, x + kInner, kCliffEdge + 1, kSpringLevel + 1, 0);
  canvas.Box(x - kInner, kTroughEnd + 3, kTroughFloor, x + kInner, kCliffEdge + 1, kSpringLevel - 3, kWater,
             2);
}

}  // namespace

VoxModel MakeTerrain() {
  constexpr std::int32_t kHeight = 64;
  VoxelCanvas canvas(kIslandEdge, kIslandEdge, kHeight);
  for (std::int32_t y = 0; y < kIslandEdge; ++y) {
    for (std::int32_t x = 0; x < kIslandEdge; ++x) {
      FillColumn(canvas, x, y);
      FillWater(canvas, x, y);
    }
  }
  BuildTrough(canvas);
  return canvas.ToHollowModel(kSand);
}

}  // namespace stadial::sandbox
