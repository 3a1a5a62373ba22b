// The MagicaVoxel .vox file format: what such a file holds, a reader that trusts nothing, and a writer.
//
// The format (little endian): "VOX ", version, then one MAIN chunk whose children are SIZE/XYZI pairs (one
// pair per model), the scene graph (nTRN transform, nGRP group, nSHP shape), LAYR layers, RGBA palette, MATL
// or old MATT materials. z points up. Source: MagicaVoxel-file-format-vox.txt and its extension, by the
// author of MagicaVoxel.
//
// The reader accepts files of any age and skips chunks it does not know. Whatever it cannot honour without
// guessing is an Error that names the chunk, its byte offset and the numbers; oddities that do no harm are
// kept as warnings. Memory is bounded by the size of the file (a voxel takes 4 bytes there and here; a node,
// name or frame takes at most kVoxNodeBytesPerFileByteMax times its bytes in the file). Time is linear in the
// size of the file. Thread rules: plain values and pure functions. Everything here uses the heap and belongs
// to Setup.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "stadial/arenas/result.h"

namespace stadial::sandbox {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

inline constexpr std::uint32_t kVoxPaletteEntries = 256;
// A coordinate is one byte in the file, so no model can show more; a larger SIZE only moves the pivot.
inline constexpr std::int32_t kVoxModelEdgeMax = 2048;
inline constexpr std::size_t kVoxNameBytesMax = 63;
inline constexpr std::size_t kVoxWarningsMax = 16;
inline constexpr std::size_t kVoxNodeBytesPerFileByteMax = 16;

struct VoxColour {
  std::uint8_t r = 0, g = 0, b = 0, a = 0;
  bool operator==(const VoxColour&) const = default;
};

// One XYZI record, byte for byte. colourIndex 1..255; 0 means empty and never leaves the reader.
struct VoxVoxel {
  std::uint8_t x = 0, y = 0, z = 0, colourIndex = 0;
  bool operator==(const VoxVoxel&) const = default;
};

struct VoxModel {
  std::array<std::int32_t, 3> size{};  // cells along x, y, z
  std::vector<VoxVoxel> voxels;        // each inside size; order and duplicates as in the file
  bool operator==(const VoxModel&) const = default;
};

// The packed rotation byte: bits 0-1 and 2-3 say which column holds the non-zero entry of rows 0 and 1, bits
// 4-6 the signs of rows 0-2 (set: negative). Identity is 4.
inline constexpr std::uint8_t kVoxRotationIdentity = 4;

// One key frame of a transform node.
struct VoxTransformFrame {
  std::int32_t frame = 0;                        // _f; 0 where the file does not say
  std::uint8_t rotation = kVoxRotationIdentity;  // _r; always a valid rotation
  std::array<std::int32_t, 3> translation{};     // _t, cells
  bool operator==(const VoxTransformFrame&) const = default;
};

// One model a shape node shows, from which frame on.
struct VoxShapeModel {
  std::int32_t model = 0;
  std::int32_t frame = 0;
  bool operator==(const VoxShapeModel&) const = default;
};

enum class VoxNodeKind : std::uint8_t { Transform, Group, Shape };
const char* ToString(VoxNodeKind kind) noexcept;

struct VoxNode {
  VoxNodeKind kind = VoxNodeKind::Group;
  std::int32_t id = 0;
  bool hidden = false;
  std::string name;         // cut at kVoxNameBytesMax bytes
  std::int32_t layer = -1;  // Transform only; -1: none
  std::vector<std::int32_t>
      children;  // node ids: exactly one for Transform, any number for Group, none for Shape
  std::vector<VoxTransformFrame> frames;  // Transform only, at least one
  std::vector<VoxShapeModel> models;      // Shape only, at least one
  bool operator==(const VoxNode&) const = default;
};

struct VoxLayer {
  std::int32_t id = 0;
  bool hidden = false;
  std::string name;
  bool operator==(const VoxLayer&) const = default;
};

enum class VoxMaterialType : std::uint8_t { Diffuse, Metal, Glass, Emit, Blend, Media, Unknown };
const char* ToString(VoxMaterialType type) noexcept;

// What a cell made of this material does, where the file says so with the key "_stadial" (sand, water or
// stone); other programs ignore that key. Unset in files from elsewhere: see MaterialRules in world.h.
enum class VoxBehaviour : std::uint8_t { Unset, Stone, Sand, Water };

// MATL (or MATT) of one palette entry. Numbers are as in the file and finite; absent ones have these
// defaults.
struct VoxMaterial {
  VoxMaterialType type = VoxMaterialType::Diffuse;
  VoxBehaviour behaviour = VoxBehaviour::Unset;
  float weight = 1.0F;  // _weight
  float rough = 0.1F;   // _rough
  float metal = 0.0F;   // _metal
  float alpha = 1.0F;   // _alpha, or 1 - _trans
  float emit = 0.0F;    // _emit (MATT: weight of an emissive material)
  float flux = 0.0F;    // _flux, an exponent
  float ior = 0.3F;     // _ior
  bool operator==(const VoxMaterial&) const = default;
};

struct VoxScene {
  std::int32_t version = 150;
  std::vector<VoxModel> models;
  std::vector<VoxNode> nodes;  // in file order; ids are unique; empty in old files
  std::vector<VoxLayer> layers;
  bool hasPalette = false;                                  // false: palette is the default palette
  std::array<VoxColour, kVoxPaletteEntries> palette{};      // indexed by colourIndex; [0] is transparent
  std::array<VoxMaterial, kVoxPaletteEntries> materials{};  // indexed by colourIndex
  std::vector<std::string> warnings;  // at most kVoxWarningsMax; not written by WriteVox
  std::uint32_t warningsDropped = 0;  // further ones
};

// The palette of files without an RGBA chunk: entry 0 transparent; 1..215 the web-safe colour cube without
// black (levels ff cc 99 66 33 00; blue runs fastest, red slowest); then ramps of ten steps (ee dd bb aa 88
// 77 55 44 22 11) in red, green, blue and grey. Cost: 256 assignments.
std::array<VoxColour, kVoxPaletteEntries> MakeDefaultVoxPalette() noexcept;

// Reads a whole file image. `name` stands in messages. Errors: CorruptData, CapacityExceeded.
Result<VoxScene> ReadVox(std::span<const std::byte> bytes, const char* name);

// Reads a file of at most `fileBytesMax` bytes. Errors: as ReadVox, and Io, NotFound.
inline constexpr std::size_t kVoxFileBytesMax = std::size_t{1} << 30;
Result<VoxScene> LoadVox(const char* path, std::size_t fileBytesMax = kVoxFileBytesMax);

// The file image of a scene; ReadVox gives the scene back (version, models, nodes, layers, palette,
// materials). Materials equal to the default are left out. Errors: InvalidArgument where the scene cannot be
// a .vox file (a voxel outside its model, a name too long, a node of the wrong shape).
Result<std::vector<std::byte>> WriteVox(const VoxScene& scene);

// Writes bytes to a file, replacing it. Errors: Io.
Result<void> SaveFile(const char* path, std::span<const std::byte> bytes);

}  // namespace stadial::sandbox
