// From a scene graph to a flat list of placed models.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "vox_file.h"

namespace stadial::sandbox {

// A rotation by right angles, mirrors included: row r of the matrix has its one entry `sign[r]` in column
// `axis[r]`.
struct VoxRotation {
  std::array<std::uint8_t, 3> axis{0, 1, 2};
  std::array<std::int8_t, 3> sign{1, 1, 1};

  std::array<std::int64_t, 3> Apply(const std::array<std::int64_t, 3>& v) const noexcept;
  bool operator==(const VoxRotation&) const = default;
};

// The product a * b (b is applied first).
VoxRotation Multiply(const VoxRotation& a, const VoxRotation& b) noexcept;

// Unpacks the byte of VoxTransformFrame; false when two rows name one column, or column 3.
bool UnpackVoxRotation(std::uint8_t packed, VoxRotation& rotation) noexcept;
std::uint8_t PackVoxRotation(const VoxRotation& rotation) noexcept;

// A model in its place. MagicaVoxel turns and moves a model about its pivot floor(size / 2): the cell v of
// the model lands in the cell floor(R * (v + 1/2 - pivot) + t).
struct VoxInstance {
  std::uint32_t model = 0;
  VoxRotation rotation;
  std::array<std::int64_t, 3> translation{};

  // The cell of the scene that cell v of the model (of this size) lands in. Exact, integers only.
  std::array<std::int64_t, 3> Place(const std::array<std::int64_t, 3>& v,
                                    const std::array<std::int32_t, 3>& size) const noexcept;
  bool operator==(const VoxInstance&) const = default;
};

struct VoxFlattenOptions {
  bool includeHidden = false;  // nodes and layers with _hidden = 1
  std::uint32_t instancesMax = 65536;
  std::uint32_t visitsMax = 1U << 20;  // nodes entered, however often each
  std::uint32_t depthMax = 256;        // nodes on one path
};

struct VoxFlattened {
  std::vector<VoxInstance> instances;  // in scene order: where two overlap, the later one is seen
  std::uint32_t hiddenNodes = 0;       // nodes skipped because they or their layer are hidden
  std::vector<std::int32_t>
      animationFrames;  // frame numbers beyond the first, sorted, each once; they are not shown
};

// Walks the graph from its root (node 0, or the one node without a parent) and lists every model shown in
// frame 0. A file without a graph shows its first model; further models of such files are animation frames.
// A node may stand under several parents; a cycle, a missing node or model, and a graph that unfolds beyond
// the limits are errors (CorruptData, CapacityExceeded). No recursion. Cost: linear in the nodes entered.
Result<VoxFlattened> FlattenVox(const VoxScene& scene, const VoxFlattenOptions& options = {});

}  // namespace stadial::sandbox
