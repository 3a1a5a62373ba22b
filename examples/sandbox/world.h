// The chunk atlas: a scene's models merged into cells, cut into chunks, and a budgeted set of chunks made
// resident. Layout: see shader_interface.h. World coordinates are cells from the corner of the world's box;
// Origin() tells where that corner lies in the scene's own coordinates. The box is whole chunks; the scene
// stands in the middle of it in x and y and on its floor.
//
// Residency, in this order until the budget is used up: chunks that hold a voxel (where these alone are too
// many, those nearest their common centre); then, in worlds with sand or water, the chunks below them; then
// their neighbours, ring by ring. What is left out and why stands in Warnings(). Thread rules: built in Setup
// by one thread; const afterwards. Memory: the heap; at most atlasBytesMax for cells, 5 bytes per chunk of
// the box (262,144 at most) while building. Cost: two passes over every placed voxel.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "materials.h"
#include "shader_interface.h"
#include "vox_scene_graph.h"

namespace stadial::sandbox {

using CellPosition = std::array<std::int32_t, 3>;

struct WorldOptions {
  std::size_t atlasBytesMax = std::size_t{64} << 20;  // one atlas buffer; also at most maxStorageBufferRange
  std::uint32_t emptyRingsMax = 2;                    // rings of empty chunks around the others
  std::uint64_t placedVoxelsMax = std::uint64_t{1} << 30;  // over all instances; bounds the time to build
  MaterialRules rules{};
  VoxFlattenOptions flatten{};
};

struct WorldStatistics {
  std::uint32_t models = 0, instances = 0, hiddenNodes = 0, animationFrames = 0;
  std::uint64_t placedVoxels = 0;   // over all instances
  std::uint64_t croppedVoxels = 0;  // outside the box
  std::uint64_t droppedVoxels = 0;  // in chunks that the budget left out
  std::uint64_t cells = 0;          // cells that are not empty
  std::uint64_t sandCells = 0, waterCells = 0;
  std::uint32_t boxChunks = 0, occupiedChunks = 0, residentChunks = 0, droppedChunks = 0;
  std::uint32_t lights = 0, droppedLights = 0;
};

class World {
 public:
  // Errors: CapacityExceeded (limits above), InvalidArgument (budget below one chunk), NotFound (no visible
  // voxel), and those of FlattenVox. `name` stands in messages.
  static Result<World> Build(const VoxScene& scene, const WorldOptions& options, const char* name);

  const CellPosition& ChunkCounts() const noexcept { return chunkCounts_; }
  CellPosition CellCounts() const noexcept;
  const std::array<std::int64_t, 3>& Origin() const noexcept { return origin_; }
  std::uint32_t SlotCount() const noexcept { return static_cast<std::uint32_t>(slotChunks_.size()); }

  std::span<const std::uint32_t> ChunkTable() const noexcept { return chunkTable_; }
  std::span<const std::uint32_t> SlotChunks() const noexcept {
    return slotChunks_;
  }  // cx | cy << 10 | cz << 20
  std::span<const std::uint32_t> Cells() const noexcept { return cells_; }
  std::span<const std::uint32_t> Occupancy() const noexcept { return occupancy_; }
  std::span<const std::uint32_t> SlotLights() const noexcept { return slotLights_; }
  std::span<const LightUniform> Lights() const noexcept { return lights_; }
  const MaterialTable& Materials() const noexcept { return materials_; }
  void FillSceneUniforms(SceneUniforms& uniforms) const noexcept;

  // The box around the voxels that are there, in world cells: for the camera.
  const CellPosition& ContentMin() const noexcept { return contentMin_; }
  const CellPosition& ContentMax() const noexcept { return contentMax_; }  // inclusive

  // Slot of the chunk that holds a cell; -1 outside the box or not resident.
  std::int32_t SlotOf(std::int32_t x, std::int32_t y, std::int32_t z) const noexcept;

  const WorldStatistics& Statistics() const noexcept { return statistics_; }
  const std::vector<std::string>& Warnings() const noexcept { return warnings_; }

  // Frees the host copy of the cells once they are uploaded; Cells() is empty then.
  void ReleaseCells() noexcept { std::vector<std::uint32_t>().swap(cells_); }

 private:
  friend class WorldBuilder;
  CellPosition chunkCounts_{};
  std::array<std::int64_t, 3> origin_{};
  CellPosition contentMin_{}, contentMax_{};
  std::vector<std::uint32_t> chunkTable_, slotChunks_, cells_, occupancy_, slotLights_;
  std::vector<LightUniform> lights_;
  MaterialTable materials_;
  WorldStatistics statistics_;
  std::vector<std::string> warnings_;
};

// The bit of a cell's brick and the word's place in an atlas: shared by all that walk the atlas on the CPU.
constexpr std::uint32_t WordIndex(std::uint32_t slot, std::uint32_t x, std::uint32_t y,
                                  std::uint32_t z) noexcept {
  return slot * kChunkWords + (x % kChunkEdgeCells) / kCellsPerWord +
         kChunkEdgeCells / kCellsPerWord * (y % kChunkEdgeCells) +
         kChunkEdgeCells / kCellsPerWord * kChunkEdgeCells * (z % kChunkEdgeCells);
}
constexpr std::uint32_t CellInWord(std::uint32_t word, std::uint32_t x) noexcept {
  return (word >> (8 * (x % kCellsPerWord))) & 0xffU;
}

// Recomputes the occupancy bits of an atlas, as occupancy.comp does. Sizes: kChunkWords and
// kOccupancyWordsPerSlot per slot. Cost: one pass over the cells.
void ComputeOccupancy(std::span<const std::uint32_t> cells, std::span<std::uint32_t> occupancy) noexcept;

}  // namespace stadial::sandbox
