#include "ray_march_cpu.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "stadial/arenas/assert.h"

namespace stadial::sandbox {
namespace {

constexpr float kEndless = 1.0e30F;
constexpr float kDirectionMin = 1.0e-6F;
constexpr float kFloorCellMax = 1.0e6F;  // floor cells farther out share a coordinate; nothing stands there

Vec3 ToVec3(const float (&v)[4]) noexcept { return {v[0], v[1], v[2]}; }

struct Ray {
  float origin[3];
  float direction[3];
  float inverse[3];

  Ray(Vec3 o, Vec3 d) noexcept {
    for (int a = 0; a < 3; ++a) {
      const float component = Component(d, a);
      const float size = std::max(std::fabs(component), kDirectionMin);
      origin[a] = Component(o, a);
      direction[a] = component < 0.0F ? -size : size;
      inverse[a] = 1.0F / direction[a];
    }
  }
  Vec3 At(float t) const noexcept {
    return {origin[0] + direction[0] * t, origin[1] + direction[1] * t, origin[2] + direction[2] * t};
  }
  Vec3 Direction() const noexcept { return {direction[0], direction[1], direction[2]}; }
  float To(int axis, std::int32_t plane) const noexcept {
    return (static_cast<float>(plane) - origin[axis]) * inverse[axis];
  }
};

// A place on a ray: a cell, and the face through which the ray came in.
struct Place {
  CellPosition cell{};
  float t = 0.0F;
  int axis = 2;
  std::uint32_t id = 0;
};

// A lit surface.
struct Surface {
  Vec3 point;
  Vec3 normal;
  int axis = 2;
  CellPosition front{};
  std::int32_t lanternSlot = -1;
};

class Tracer {
 public:
  Tracer(const World& world, std::span<const std::uint32_t> cells, const FrameUniforms& frame,
         const SceneUniforms& scene) noexcept
      : world_(world), cells_(cells), frame_(frame), scene_(scene), counts_(world.CellCounts()) {}

  PixelSample Primary(const Ray& ray) const noexcept {
    Place start;
    for (int a = 0; a < 3; ++a) {
      start.cell[static_cast<std::size_t>(a)] = static_cast<std::int32_t>(std::floor(ray.origin[a]));
    }
    PixelSample sample;
    sample.colour = Follow(ray, start, true, &sample.distance);
    return sample;
  }

 private:
  // --- cells ---
  bool Inside(const CellPosition& c) const noexcept {
    return c[0] >= 0 && c[1] >= 0 && c[2] >= 0 && c[0] < counts_[0] && c[1] < counts_[1] && c[2] < counts_[2];
  }
  std::uint32_t CellAt(const CellPosition& c) const noexcept {
    const std::int32_t slot = world_.SlotOf(c[0], c[1], c[2]);
    if (slot < 0) return 0;
    const auto x = static_cast<std::uint32_t>(c[0]);
    return CellInWord(cells_[WordIndex(static_cast<std::uint32_t>(slot), x, static_cast<std::uint32_t>(c[1]),
                                       static_cast<std::uint32_t>(c[2]))],
                      x);
  }
  bool IsWater(std::uint32_t id) const noexcept { return id >= frame_.automaton[3]; }
  bool IsSolid(std::uint32_t id) const noexcept { return id != 0 && !IsWater(id); }
  bool IsDark(std::uint32_t id) const noexcept { return IsSolid(id) && scene_.materials[id][3] <= 0.0F; }

  // --- walking ---
  std::optional<Place> EnterWorld(const Ray& ray) const noexcept {
    Place place;
    place.t = -kEndless;
    float leave = kEndless;
    for (int a = 0; a < 3; ++a) {
      const bool up = ray.direction[a] > 0.0F;
      const std::int32_t edge = counts_[static_cast<std::size_t>(a)];
      const float in = ray.To(a, up ? 0 : edge);
      leave = std::min(leave, ray.To(a, up ? edge : 0));
      if (in >= place.t) {
        place.t = in;
        place.axis = a;
      }
    }
    if (place.t <= 0.0F || place.t >= leave) return std::nullopt;
    const Vec3 p = ray.At(place.t);
    for (int a = 0; a < 3; ++a) {
      const auto k = static_cast<std::size_t>(a);
      const std::int32_t last = counts_[k] - 1;
      place.cell[k] = a == place.axis
                          ? (ray.direction[a] > 0.0F ? 0 : last)
                          : std::clamp(static_cast<std::int32_t>(std::floor(Component(p, a))), 0, last);
    }
    return place;
  }

  // Goes on cell by cell until `stop(id)`; nothing when the ray leaves the world or passes tMax first, and
  // then `place` is where it left.
  template <class Stop>
  bool Walk(const Ray& ray, float tMax, Place& place, Stop&& stop) const noexcept {
    if (!Inside(place.cell)) {
      const std::optional<Place> entered = EnterWorld(ray);
      if (!entered) return false;
      place = *entered;
    }
    while (Inside(place.cell) && place.t <= tMax) {
      place.id = CellAt(place.cell);
      if (stop(place.id)) return true;
      float next = kEndless;
      for (int a = 0; a < 3; ++a) {
        const std::int32_t cell = place.cell[static_cast<std::size_t>(a)];
        const float t = ray.To(a, ray.direction[a] > 0.0F ? cell + 1 : cell);
        if (t <= next) {
          next = t;
          place.axis = a;
        }
      }
      place.t = next;
      place.cell[static_cast<std::size_t>(place.axis)] += ray.direction[place.axis] > 0.0F ? 1 : -1;
    }
    return false;
  }

  // --- light ---
  Vec3 Sky(Vec3 direction) const noexcept {
    const float low = 1.0F - std::clamp(direction.z, 0.0F, 1.0F);
    Vec3 colour = Mix(ToVec3(frame_.skyZenith), ToVec3(frame_.skyHorizon), low * low * low);
    const float c = std::max(Dot(direction, ToVec3(frame_.sunDirection)), 0.0F);
    const float c2 = c * c;
    const float c4 = c2 * c2;
    const float c8 = c4 * c4;
    const float c16 = c8 * c8;
    const float c32 = c16 * c16;
    const Vec3 sun = ToVec3(frame_.sunColour);
    colour = colour + sun * (0.06F * c8 + 0.12F * (c32 * c32));
    if (c > frame_.sunDirection[3]) colour = colour + sun * 6.0F;
    return colour;
  }

  int Blocks(CellPosition cell, int axisU, int stepU, int axisV, int stepV) const noexcept {
    cell[static_cast<std::size_t>(axisU)] += stepU;
    cell[static_cast<std::size_t>(axisV)] += stepV;
    if (cell[2] < 0) return 1;
    return IsDark(CellAt(cell)) ? 1 : 0;
  }

  float Openness(const Surface& s) const noexcept {
    const int u = (s.axis + 1) % 3;
    const int v = (s.axis + 2) % 3;
    float corners[2][2];
    for (int j = 0; j < 2; ++j) {
      for (int i = 0; i < 2; ++i) {
        const int stepU = 2 * i - 1;
        const int stepV = 2 * j - 1;
        const int sideU = Blocks(s.front, u, stepU, v, 0);
        const int sideV = Blocks(s.front, u, 0, v, stepV);
        const int across = Blocks(s.front, u, stepU, v, stepV);
        const int touching = sideU + sideV == 2 ? 3 : sideU + sideV + across;
        corners[j][i] = 0.37F + 0.21F * static_cast<float>(3 - touching);
      }
    }
    const auto inFace = [&](int axis) {
      return std::clamp(
          Component(s.point, axis) - static_cast<float>(s.front[static_cast<std::size_t>(axis)]), 0.0F, 1.0F);
    };
    const float x = inFace(u);
    const float y = inFace(v);
    const float low = corners[0][0] * (1.0F - x) + corners[0][1] * x;
    const float high = corners[1][0] * (1.0F - x) + corners[1][1] * x;
    return low * (1.0F - y) + high * y;
  }

  Vec3 Ambient(const Surface& s) const noexcept {
    const Vec3 sky = Mix(ToVec3(frame_.skyZenith), ToVec3(frame_.skyHorizon), 0.5F);
    const Vec3 floor = ToVec3(frame_.groundColour) * ToVec3(frame_.sunColour) * 0.25F;
    const Vec3 both = Mix(floor, sky, 0.5F + 0.5F * s.normal.z);
    return both * (0.85F + 0.15F * Dot(s.normal, ToVec3(frame_.sunDirection))) *
           (frame_.skyHorizon[3] * Openness(s));
  }

  Vec3 Sun(const Surface& s) const noexcept {
    const Vec3 towards = ToVec3(frame_.sunDirection);
    const float facing = Dot(s.normal, towards);
    if (facing <= 0.0F) return {};
    Place place{s.front, 0.0F, s.axis, 0};
    if (Walk(Ray(s.point, towards), kEndless, place, [&](std::uint32_t id) { return IsSolid(id); }))
      return {};
    return ToVec3(frame_.sunColour) * facing;
  }

  Vec3 Lantern(const Surface& s, const LightUniform& light) const noexcept {
    const Vec3 delta = ToVec3(light.position) - s.point;
    const float squared = std::max(Dot(delta, delta), 1.0e-4F);
    const float window = 1.0F - squared / (light.position[3] * light.position[3]);
    if (window <= 0.0F) return {};
    const float reach = std::sqrt(squared);
    const Vec3 towards{delta.x / reach, delta.y / reach, delta.z / reach};
    const float facing = Dot(s.normal, towards);
    if (facing <= 0.0F) return {};
    Place place{s.front, 0.0F, s.axis, 0};
    if (Walk(Ray(s.point, towards), reach, place, [&](std::uint32_t id) { return IsDark(id); })) return {};
    return ToVec3(light.intensity) * (window * window / (squared + 4.0F)) * facing;
  }

  Vec3 Light(const Surface& s) const noexcept {
    Vec3 light = Ambient(s) + Sun(s);
    if (s.lanternSlot < 0) return light;
    const std::span<const std::uint32_t> words = world_.SlotLights();
    for (std::uint32_t i = 0; i < kLightsPerSlot; ++i) {
      const std::uint32_t word =
          words[static_cast<std::uint32_t>(s.lanternSlot) * kLightWordsPerSlot + i / 2];
      const std::uint32_t index = i % 2 == 0 ? word & 0xffffU : word >> 16;
      if (index == 0) break;
      light = light + Lantern(s, scene_.lights[index - 1]);
    }
    return light;
  }

  Vec3 Hazed(Vec3 colour, const Ray& ray, float t) const noexcept {
    const float ratio = t / frame_.haze[0];
    const float x = ratio * ratio;
    const Vec3 level{ray.direction[0], ray.direction[1], std::max(ray.direction[2], 0.0F)};
    return Mix(colour, Sky(level), x / (1.0F + x));
  }

  // --- surfaces ---
  Surface FaceAt(const Ray& ray, const Place& place) const noexcept {
    Surface s;
    const int back = ray.direction[place.axis] > 0.0F ? -1 : 1;
    s.point = ray.At(place.t);
    s.axis = place.axis;
    SetComponent(s.normal, place.axis, static_cast<float>(back));
    s.front = place.cell;
    s.front[static_cast<std::size_t>(place.axis)] += back;
    s.lanternSlot = world_.SlotOf(place.cell[0], place.cell[1], place.cell[2]);
    return s;
  }

  // What a ray sees that has left the world: the floor or the sky.
  Vec3 Beyond(const Ray& ray, float* distance) const noexcept {
    const float level = frame_.groundColour[3];
    const bool hasFloor = (frame_.image[2] & kFrameGroundPlane) != 0;
    if (!hasFloor || ray.direction[2] >= 0.0F || ray.origin[2] <= level) return Sky(ray.Direction());
    const float t = (level - ray.origin[2]) * ray.inverse[2];
    Surface s;
    s.point = ray.At(t);
    s.point.z = level;
    s.normal = {0.0F, 0.0F, 1.0F};
    const auto cell = [](float v) {
      return static_cast<std::int32_t>(std::floor(std::clamp(v, -kFloorCellMax, kFloorCellMax)));
    };
    s.front = {cell(s.point.x), cell(s.point.y), 0};
    s.lanternSlot = world_.SlotOf(s.front[0], s.front[1], 0);
    if (distance != nullptr) *distance = std::min(t, kDistanceMax);
    return Hazed(ToVec3(frame_.groundColour) * Light(s), ray, t);
  }

  // The colour seen along a ray from a place on it. `split`: water reflects and lets through, else it is
  // opaque.
  Vec3 Follow(const Ray& ray, Place place, bool split, float* distance) const noexcept {
    if (!Walk(ray, kEndless, place, [](std::uint32_t id) { return id != 0; })) return Beyond(ray, distance);
    if (distance != nullptr) *distance = std::min(place.t, kDistanceMax);
    const Surface surface = FaceAt(ray, place);
    const Vec3 light = Light(surface);
    const float* material = scene_.materials[place.id];
    const Vec3 albedo{material[0], material[1], material[2]};
    if (split && IsWater(place.id)) return Water(ray, place, surface, albedo, light);
    const float emission = material[3];
    return Hazed(albedo * (light + Vec3{emission, emission, emission}), ray, place.t);
  }

  Vec3 Water(const Ray& ray, const Place& entry, const Surface& surface, Vec3 albedo,
             Vec3 light) const noexcept {
    const float cosine = std::clamp(-Dot(ray.Direction(), surface.normal), 0.0F, 1.0F);
    const float m = 1.0F - cosine;
    const float m2 = m * m;
    const float fresnel = 0.03F + 0.97F * (m2 * m2 * m);

    Vec3 mirrored = ray.Direction();
    SetComponent(mirrored, surface.axis, -Component(mirrored, surface.axis));
    const Vec3 reflected =
        Follow(Ray(surface.point, mirrored), {surface.front, 0.0F, surface.axis, 0}, false, nullptr);

    Place place = entry;
    const bool ends = Walk(ray, kEndless, place, [&](std::uint32_t id) { return !IsWater(id); });
    const float depth = std::max(place.t - entry.t, 0.0F);
    const auto lets = [&](float channel) {
      const float x = 0.22F * depth * (1.0F - channel);
      return 1.0F / (1.0F + x + 0.5F * x * x);
    };
    const Vec3 through{lets(albedo.x), lets(albedo.y), lets(albedo.z)};
    const Vec3 behind = ends ? Follow(ray, place, false, nullptr) : Beyond(ray, nullptr);
    const Vec3 own = albedo * light * (Vec3{1.0F, 1.0F, 1.0F} - through);
    return reflected * fresnel + (own + behind * through) * (1.0F - fresnel);
  }

  const World& world_;
  std::span<const std::uint32_t> cells_;
  const FrameUniforms& frame_;
  const SceneUniforms& scene_;
  CellPosition counts_;
};

}  // namespace

RayMarchCpu::RayMarchCpu(const World& world, std::span<const std::uint32_t> cells,
                         const FrameUniforms& frame) noexcept
    : world_(world), cells_(cells), frame_(frame) {
  STADIAL_ASSERT_COMPARE(cells.size(), ==, std::size_t{world.SlotCount()} * kChunkWords,
                         "cells do not fit the world");
  world.FillSceneUniforms(scene_);
}

PixelSample RayMarchCpu::Pixel(std::uint32_t x, std::uint32_t y) const noexcept {
  const float atX = static_cast<float>(x) + 0.5F + frame_.jitter[0];
  const float atY = static_cast<float>(y) + 0.5F + frame_.jitter[1];
  const float planeX = 2.0F * atX / static_cast<float>(frame_.image[0]) - 1.0F;
  const float planeY = 2.0F * atY / static_cast<float>(frame_.image[1]) - 1.0F;
  const Vec3 direction =
      ToVec3(frame_.cameraForward) + ToVec3(frame_.cameraRight) * planeX - ToVec3(frame_.cameraUp) * planeY;
  return Tracer(world_, cells_, frame_, scene_)
      .Primary(Ray(ToVec3(frame_.cameraPosition), Normalize(direction)));
}

void RayMarchCpu::Rows(std::uint32_t rowBegin, std::uint32_t rowEnd,
                       std::span<PixelSample> image) const noexcept {
  const std::uint32_t width = frame_.image[0];
  for (std::uint32_t y = rowBegin; y < rowEnd; ++y) {
    for (std::uint32_t x = 0; x < width; ++x) image[std::size_t{y} * width + x] = Pixel(x, y);
  }
}

}  // namespace stadial::sandbox
