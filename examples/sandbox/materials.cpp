#include "materials.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <string_view>

namespace stadial::sandbox {

const char* ToString(MaterialClass cls) noexcept {
  switch (cls) {
    case MaterialClass::Empty:
      return "empty";
    case MaterialClass::Stone:
      return "stone";
    case MaterialClass::Sand:
      return "sand";
    case MaterialClass::Water:
      return "water";
  }
  return "unknown";
}

float SrgbToLinear(std::uint8_t value) noexcept {
  const float v = static_cast<float>(value) / 255.0F;
  return v <= 0.04045F ? v / 12.92F : std::pow((v + 0.055F) / 1.055F, 2.4F);
}

Result<std::vector<std::uint8_t>> ParseColourList(const char* text) {
  std::array<bool, kVoxPaletteEntries> listed{};
  const std::string_view all(text);
  const char* const end = all.data() + all.size();
  const char* at = all.data();
  while (true) {
    unsigned first = 0;
    const auto [afterFirst, firstError] = std::from_chars(at, end, first);
    unsigned last = first;
    const char* next = afterFirst;
    bool good = firstError == std::errc{};
    if (good && next != end && *next == '-') {
      const auto [afterLast, lastError] = std::from_chars(next + 1, end, last);
      good = lastError == std::errc{};
      next = afterLast;
    }
    good = good && first >= 1 && last <= 255 && first <= last && (next == end || *next == ',');
    if (!good) {
      return Error::Format(
          ErrorCode::InvalidArgument,
          "'%.80s' is not a list of colour indices (1..255) such as 3,17,40-44, at character %td", text,
          at - all.data() + 1);
    }
    std::fill(listed.begin() + first, listed.begin() + last + 1, true);
    if (next == end) break;
    at = next + 1;
  }
  std::vector<std::uint8_t> indices;
  for (std::size_t i = 1; i < listed.size(); ++i) {
    if (listed[i]) indices.push_back(static_cast<std::uint8_t>(i));
  }
  return indices;
}

namespace {

MaterialClass ClassOfColour(const VoxScene& scene, std::size_t index) {
  const VoxMaterial& material = scene.materials[index];
  switch (material.behaviour) {
    case VoxBehaviour::Stone:
      return MaterialClass::Stone;
    case VoxBehaviour::Sand:
      return MaterialClass::Sand;
    case VoxBehaviour::Water:
      return MaterialClass::Water;
    case VoxBehaviour::Unset:
      break;
  }
  const VoxColour& colour = scene.palette[index];
  const bool liquid = material.type == VoxMaterialType::Media && colour.b > colour.r;
  return liquid ? MaterialClass::Water : MaterialClass::Stone;
}

Material MakeMaterial(const VoxScene& scene, std::size_t index, MaterialClass cls) {
  Material result;
  result.cls = cls;
  result.colourIndex = static_cast<std::uint8_t>(index);
  result.colour = scene.palette[index];
  result.albedo = {SrgbToLinear(result.colour.r), SrgbToLinear(result.colour.g),
                   SrgbToLinear(result.colour.b)};
  const VoxMaterial& material = scene.materials[index];
  if (material.type == VoxMaterialType::Emit) {
    // A hostile exponent may overflow to infinity, a hostile factor may be negative: both end at a bound.
    const float emission = 2.0F * material.emit * std::exp2(std::clamp(material.flux, -8.0F, 8.0F));
    result.emission = std::clamp(emission, 0.0F, kEmissionMax);
  }
  return result;
}

}  // namespace

Result<MaterialTable> MakeMaterialTable(const VoxScene& scene,
                                        const std::array<bool, kVoxPaletteEntries>& used,
                                        const MaterialRules& rules) {
  std::array<MaterialClass, kVoxPaletteEntries> classes{};
  for (std::size_t i = 1; i < classes.size(); ++i) classes[i] = ClassOfColour(scene, i);
  for (const std::uint8_t i : rules.stone) classes[i] = MaterialClass::Stone;
  for (const std::uint8_t i : rules.sand) classes[i] = MaterialClass::Sand;
  for (const std::uint8_t i : rules.water) classes[i] = MaterialClass::Water;

  std::uint32_t sands = 0;
  std::uint32_t waters = 0;
  for (std::size_t i = 1; i < classes.size(); ++i) {
    sands += used[i] && classes[i] == MaterialClass::Sand;
    waters += used[i] && classes[i] == MaterialClass::Water;
  }
  if (sands + waters > kMovableMaterialsMax) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "%u colours are sand and %u water, together more than %u; list fewer with --sand and --water", sands,
        waters, kMovableMaterialsMax);
  }
  MaterialTable table;
  table.waterBegin = kMaterialCount - waters;
  table.sandBegin = table.waterBegin - sands;
  std::uint32_t nextStone = 1;
  std::uint32_t nextSand = table.sandBegin;
  std::uint32_t nextWater = table.waterBegin;
  for (std::size_t i = 1; i < classes.size(); ++i) {
    if (!used[i]) continue;
    std::uint32_t& next = classes[i] == MaterialClass::Sand    ? nextSand
                          : classes[i] == MaterialClass::Water ? nextWater
                                                               : nextStone;
    table.idOf[i] = static_cast<std::uint8_t>(next);
    table.materials[next] = MakeMaterial(scene, i, classes[i]);
    table.hasGlow =
        table.hasGlow || (classes[i] == MaterialClass::Stone && table.materials[next].emission > 0.0F);
    ++next;
  }
  return table;
}

}  // namespace stadial::sandbox
