// From palette entries to the material ids that cells hold.
//
// What a palette entry becomes, first rule that applies:
//   1. it is named in MaterialRules (the command line's --stone, --sand and --water lists);
//   2. its MATL has the key "_stadial" with the value stone, sand or water (what our own scenes use);
//   3. its MATL has the type _media (MagicaVoxel's cloud and liquid material) and its colour is more blue
//      than red: water;
//   4. stone. So a file from elsewhere stands still unless it says otherwise.
// Glow: MATL type _emit gives 2 * _emit * 2^_flux (old MATT: weight), at most kEmissionMax; sand and water
// glow too.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "shader_interface.h"
#include "vector_math.h"
#include "vox_file.h"

namespace stadial::sandbox {

enum class MaterialClass : std::uint8_t { Empty, Stone, Sand, Water };
const char* ToString(MaterialClass cls) noexcept;

inline constexpr float kEmissionMax = 64.0F;

// Colour indices 1..255. An index in more than one list takes the last of stone, sand, water.
struct MaterialRules {
  std::vector<std::uint8_t> stone, sand, water;
};

// Parses "3,17,40-44" into indices. Errors: InvalidArgument, naming the text and the place.
Result<std::vector<std::uint8_t>> ParseColourList(const char* text);

struct Material {
  MaterialClass cls = MaterialClass::Empty;
  std::uint8_t colourIndex = 0;
  VoxColour colour;       // sRGB, as in the file
  Vec3 albedo;            // linear
  float emission = 0.0F;  // factor on the albedo
};

// Ids are sorted by class (see shader_interface.h), so that a class is a comparison.
struct MaterialTable {
  std::array<Material, kMaterialCount> materials{};     // by id; [0] is empty
  std::array<std::uint8_t, kVoxPaletteEntries> idOf{};  // by colour index; 0: not used by any model
  std::uint32_t sandBegin = kMaterialCount;
  std::uint32_t waterBegin = kMaterialCount;
  bool hasGlow = false;  // some stone emits

  MaterialClass ClassOf(std::uint32_t id) const noexcept {
    return id == 0           ? MaterialClass::Empty
           : id < sandBegin  ? MaterialClass::Stone
           : id < waterBegin ? MaterialClass::Sand
                             : MaterialClass::Water;
  }
  bool HasMovable() const noexcept { return sandBegin < kMaterialCount; }
};

// `used[c]`: some placed voxel has colour c. Only used colours get an id. Errors: CapacityExceeded when more
// than kMovableMaterialsMax used colours are sand or water.
Result<MaterialTable> MakeMaterialTable(const VoxScene& scene,
                                        const std::array<bool, kVoxPaletteEntries>& used,
                                        const MaterialRules& rules);

// sRGB byte to linear, IEC 61966-2-1.
float SrgbToLinear(std::uint8_t value) noexcept;

}  // namespace stadial::sandbox
