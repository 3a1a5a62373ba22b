// Lights that stand for glowing cells, so that a lantern lights what is around it.
//
// One light per brick that holds glowing stone: in the mean of their exposed faces, with the intensity a
// convex body of as many exposed faces would have (radiance times a quarter of the surface). Lights closer
// than a brick become one, so that a lantern on a brick's border does not count twice. The strongest
// kLightsMax are kept, and per chunk the kLightsPerSlot that give its middle the most.
#include <algorithm>
#include <cmath>
#include <utility>

#include "world_builder.h"

namespace stadial::sandbox {
namespace {

// A light ends where it would give less than this irradiance; its radius stays within two chunks.
constexpr float kLightCutoff = 0.04F;
constexpr float kLightRadiusMin = 6.0F;
constexpr float kLightRadiusMax = 64.0F;
// Merging compares all pairs: beyond so many lights only the strongest take part.
constexpr std::size_t kMergedLightsMax = 4096;

float Luminance(const float (&rgb)[4]) noexcept {
  return 0.2126F * rgb[0] + 0.7152F * rgb[1] + 0.0722F * rgb[2];
}

struct BrickGlow {
  Vec3 positionSum;
  Vec3 radiancePerFace;
  std::uint32_t faces = 0;
};

class CellReader {
 public:
  explicit CellReader(const World& world) : world_(world) {}
  std::uint32_t operator()(std::int32_t x, std::int32_t y, std::int32_t z) const noexcept {
    const std::int32_t slot = world_.SlotOf(x, y, z);
    if (slot < 0) return 0;
    const auto ux = static_cast<std::uint32_t>(x);
    return CellInWord(world_.Cells()[WordIndex(static_cast<std::uint32_t>(slot), ux,
                                               static_cast<std::uint32_t>(y), static_cast<std::uint32_t>(z))],
                      ux);
  }

 private:
  const World& world_;
};

std::uint32_t ExposedFaces(const CellReader& cell, const MaterialTable& materials, const CellPosition& p) {
  std::uint32_t faces = 0;
  for (std::size_t a = 0; a < 3; ++a) {
    for (const std::int32_t step : {-1, 1}) {
      CellPosition q = p;
      q[a] += step;
      const MaterialClass cls = materials.ClassOf(cell(q[0], q[1], q[2]));
      faces += cls == MaterialClass::Empty || cls == MaterialClass::Water;
    }
  }
  return faces;
}

BrickGlow GlowOfBrick(const World& world, const CellReader& cell, const CellPosition& corner) {
  constexpr auto kBrick = static_cast<std::int32_t>(kBrickEdgeCells);
  const MaterialTable& table = world.Materials();
  BrickGlow glow;
  for (std::int32_t i = 0; i < kBrick * kBrick * kBrick; ++i) {
    const CellPosition p{corner[0] + i % kBrick, corner[1] + i / kBrick % kBrick,
                         corner[2] + i / (kBrick * kBrick)};
    const std::uint32_t id = cell(p[0], p[1], p[2]);
    const Material& material = table.materials[id];
    if (material.cls != MaterialClass::Stone || material.emission <= 0.0F) continue;
    const std::uint32_t faces = ExposedFaces(cell, table, p);
    if (faces == 0) continue;
    glow.faces += faces;
    const Vec3 middle{static_cast<float>(p[0]) + 0.5F, static_cast<float>(p[1]) + 0.5F,
                      static_cast<float>(p[2]) + 0.5F};
    glow.positionSum = glow.positionSum + middle * static_cast<float>(faces);
    glow.radiancePerFace =
        glow.radiancePerFace + material.albedo * (material.emission * static_cast<float>(faces) * 0.25F);
  }
  return glow;
}

void SetRadius(LightUniform& light) {
  const float radius = std::sqrt(Luminance(light.intensity) / kLightCutoff);
  light.position[3] = std::clamp(radius, kLightRadiusMin, kLightRadiusMax);
}

LightUniform MakeLight(const BrickGlow& glow) {
  LightUniform light{};
  const Vec3 position = glow.positionSum * (1.0F / static_cast<float>(glow.faces));
  light.position[0] = position.x;
  light.position[1] = position.y;
  light.position[2] = position.z;
  light.intensity[0] = glow.radiancePerFace.x;
  light.intensity[1] = glow.radiancePerFace.y;
  light.intensity[2] = glow.radiancePerFace.z;
  SetRadius(light);
  return light;
}

// Brighter first; of equally bright ones the one nearer the world's corner, so that every sort gives the same
// order.
bool Brighter(const LightUniform& a, const LightUniform& b) noexcept {
  const float brightnessA = Luminance(a.intensity);
  const float brightnessB = Luminance(b.intensity);
  if (brightnessA != brightnessB) return brightnessA > brightnessB;
  return std::lexicographical_compare(a.position, a.position + 3, b.position, b.position + 3);
}

// Adds b's light to a, which moves towards b by b's share.
void Absorb(LightUniform& a, const LightUniform& b) {
  const float share = Luminance(b.intensity) / (Luminance(a.intensity) + Luminance(b.intensity));
  for (std::size_t i = 0; i < 3; ++i) {
    a.position[i] += (b.position[i] - a.position[i]) * share;
    a.intensity[i] += b.intensity[i];
  }
  SetRadius(a);
}

// Lets each light, the brightest first, absorb those within a brick's length of it. Expects them sorted.
void MergeNeighbours(std::vector<LightUniform>& lights) {
  constexpr auto kReach = static_cast<float>(kBrickEdgeCells);
  std::vector<LightUniform> merged;
  for (const LightUniform& light : lights) {
    const auto near = std::find_if(merged.begin(), merged.end(), [&](const LightUniform& other) {
      const Vec3 d{other.position[0] - light.position[0], other.position[1] - light.position[1],
                   other.position[2] - light.position[2]};
      return Dot(d, d) < kReach * kReach;
    });
    if (near == merged.end()) {
      merged.push_back(light);
    } else {
      Absorb(*near, light);
    }
  }
  std::sort(merged.begin(), merged.end(), Brighter);
  lights = std::move(merged);
}

}  // namespace

void WorldBuilder::MakeLights() {
  if (!world_.materials_.hasGlow) return;
  constexpr auto kBrick = static_cast<std::int32_t>(kBrickEdgeCells);
  constexpr auto kChunk = static_cast<std::int32_t>(kChunkEdgeCells);
  const CellReader cell(world_);
  for (std::uint32_t slot = 0; slot < world_.SlotCount(); ++slot) {
    const std::uint32_t packed = world_.slotChunks_[slot];
    const CellPosition chunk{static_cast<std::int32_t>(packed & 1023U),
                             static_cast<std::int32_t>(packed >> 10 & 1023U),
                             static_cast<std::int32_t>(packed >> 20)};
    for (std::uint32_t brick = 0; brick < kBricksPerChunk; ++brick) {
      if ((world_.occupancy_[slot * kOccupancyWordsPerSlot + brick / 32] >> (brick % 32) & 1U) == 0) continue;
      const auto b = static_cast<std::int32_t>(brick);
      const BrickGlow glow =
          GlowOfBrick(world_, cell,
                      {chunk[0] * kChunk + b % 4 * kBrick, chunk[1] * kChunk + b / 4 % 4 * kBrick,
                       chunk[2] * kChunk + b / 16 * kBrick});
      if (glow.faces != 0) world_.lights_.push_back(MakeLight(glow));
    }
  }
  std::vector<LightUniform>& lights = world_.lights_;
  std::sort(lights.begin(), lights.end(), Brighter);
  std::size_t dropped = lights.size() - std::min(lights.size(), kMergedLightsMax);
  lights.resize(lights.size() - dropped);
  MergeNeighbours(lights);
  if (lights.size() > kLightsMax) {
    dropped += lights.size() - kLightsMax;
    lights.resize(kLightsMax);
  }
  if (dropped != 0) {
    world_.statistics_.droppedLights = static_cast<std::uint32_t>(dropped);
    Warn("%u lights are kept: the %zu weakest glow without lighting what is around them", kLightsMax,
         dropped);
  }
  world_.statistics_.lights = static_cast<std::uint32_t>(world_.lights_.size());
}

void WorldBuilder::AssignLights() {
  constexpr auto kChunk = static_cast<float>(kChunkEdgeCells);
  constexpr float kHalfDiagonal = 0.5F * kChunk * 1.7320508F;
  world_.slotLights_.assign(std::size_t{world_.SlotCount()} * kLightWordsPerSlot, 0);
  std::vector<std::pair<float, std::uint32_t>> near;
  for (std::uint32_t slot = 0; slot < world_.SlotCount(); ++slot) {
    const std::uint32_t packed = world_.slotChunks_[slot];
    const Vec3 middle{(static_cast<float>(packed & 1023U) + 0.5F) * kChunk,
                      (static_cast<float>(packed >> 10 & 1023U) + 0.5F) * kChunk,
                      (static_cast<float>(packed >> 20) + 0.5F) * kChunk};
    near.clear();
    for (std::uint32_t i = 0; i < world_.lights_.size(); ++i) {
      const LightUniform& light = world_.lights_[i];
      const Vec3 position{light.position[0], light.position[1], light.position[2]};
      const float distance = Length(position - middle);
      if (distance > light.position[3] + kHalfDiagonal) continue;
      near.emplace_back(-Luminance(light.intensity) / (1.0F + distance * distance), i);
    }
    std::sort(near.begin(), near.end());
    for (std::uint32_t k = 0; k < near.size() && k < kLightsPerSlot; ++k) {
      world_.slotLights_[slot * kLightWordsPerSlot + k / 2] |= (near[k].second + 1) << (16 * (k % 2));
    }
  }
}

void World::FillSceneUniforms(SceneUniforms& uniforms) const noexcept {
  uniforms = SceneUniforms{};
  for (std::size_t i = 0; i < kMaterialCount; ++i) {
    const Material& material = materials_.materials[i];
    uniforms.materials[i][0] = material.albedo.x;
    uniforms.materials[i][1] = material.albedo.y;
    uniforms.materials[i][2] = material.albedo.z;
    uniforms.materials[i][3] = material.emission;
  }
  std::copy(lights_.begin(), lights_.end(), uniforms.lights);
}

}  // namespace stadial::sandbox
