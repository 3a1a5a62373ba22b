#include "world.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <limits>

#include "world_builder.h"

namespace stadial::sandbox {
namespace {

constexpr std::uint8_t kOccupied = 1;  // a chunk mark: some voxel lies in it
constexpr std::uint8_t kChosen = 2;    // a chunk mark: resident
constexpr std::int64_t kEdge = kChunkEdgeCells;

struct Bounds {
  std::array<std::int64_t, 3> low{}, high{};
};

// The box of a model's voxels in its own cells; false without voxels.
bool ModelBounds(const VoxModel& model, Bounds& bounds) {
  if (model.voxels.empty()) return false;
  std::array<std::int64_t, 3> low{255, 255, 255};
  std::array<std::int64_t, 3> high{0, 0, 0};
  for (const VoxVoxel& voxel : model.voxels) {
    const std::array<std::int64_t, 3> v{voxel.x, voxel.y, voxel.z};
    for (std::size_t a = 0; a < 3; ++a) {
      low[a] = std::min(low[a], v[a]);
      high[a] = std::max(high[a], v[a]);
    }
  }
  bounds = {low, high};
  return true;
}

// For "%lld", whatever std::int64_t is on this platform.
long long Printed(std::int64_t value) noexcept { return value; }

// Where half of the voxels lie below and half above: a lone model far out does not move it.
std::int64_t MedianCentre(const std::vector<PlacedModel>& placed, const VoxScene& scene, std::size_t axis) {
  std::vector<std::pair<std::int64_t, std::uint64_t>> centres;
  std::uint64_t total = 0;
  for (const PlacedModel& p : placed) {
    const std::uint64_t weight = scene.models[p.instance.model].voxels.size();
    centres.emplace_back((p.low[axis] + p.high[axis]) / 2, weight);
    total += weight;
  }
  std::sort(centres.begin(), centres.end());
  std::uint64_t below = 0;
  for (const auto& [centre, weight] : centres) {
    below += weight;
    if (2 * below >= total) return centre;
  }
  return centres.back().first;
}

}  // namespace

void WorldBuilder::Warn(const char* format, ...) {
  char text[320];
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  world_.warnings_.emplace_back(text);
}

template <class Visit>
std::uint64_t WorldBuilder::ForEachVoxel(const PlacedModel& placed, Visit&& visit) const {
  const VoxModel& model = scene_.models[placed.instance.model];
  // Placing is affine: along each world axis a sign and an offset, found from the cell (0, 0, 0).
  const VoxRotation& rotation = placed.instance.rotation;
  std::array<std::int64_t, 3> offset = placed.instance.Place({0, 0, 0}, model.size);
  for (std::size_t a = 0; a < 3; ++a) offset[a] -= world_.origin_[a];
  const CellPosition counts = world_.CellCounts();
  std::uint64_t outside = 0;
  for (const VoxVoxel& voxel : model.voxels) {
    const std::int64_t v[3] = {voxel.x, voxel.y, voxel.z};
    std::int64_t p[3];
    bool inside = true;
    for (std::size_t a = 0; a < 3; ++a) {
      p[a] = rotation.sign[a] * v[rotation.axis[a]] + offset[a];
      inside = inside && p[a] >= 0 && p[a] < counts[a];
    }
    if (inside) {
      visit(static_cast<std::uint32_t>(p[0]), static_cast<std::uint32_t>(p[1]),
            static_cast<std::uint32_t>(p[2]), voxel.colourIndex);
    } else {
      ++outside;
    }
  }
  return outside;
}

Result<World> WorldBuilder::Build() {
  if (options_.atlasBytesMax < kChunkBytes) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "an atlas of %zu bytes holds no chunk of %u; raise the budget",
                         options_.atlasBytesMax, kChunkBytes);
  }
  STADIAL_RETURN_IF_ERROR(PlaceModels());
  STADIAL_RETURN_IF_ERROR(ChooseBox());
  MarkOccupied();
  if (world_.statistics_.occupiedChunks == 0) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "%s: no voxel of the scene lies in the %u-cell box around its middle; move its parts together", name_,
        kWorldEdgeCellsMax);
  }
  ChooseResident();
  FillCells();
  CountCells();
  MakeLights();
  AssignLights();
  return std::move(world_);
}

Result<void> WorldBuilder::PlaceModels() {
  STADIAL_ASSIGN_OR_RETURN(const VoxFlattened flat, FlattenVox(scene_, options_.flatten));
  WorldStatistics& statistics = world_.statistics_;
  statistics.models = static_cast<std::uint32_t>(scene_.models.size());
  statistics.hiddenNodes = flat.hiddenNodes;
  statistics.animationFrames = static_cast<std::uint32_t>(flat.animationFrames.size());

  std::vector<Bounds> bounds(scene_.models.size());
  std::vector<bool> hasVoxels(scene_.models.size());
  std::array<bool, kVoxPaletteEntries> used{};
  std::vector<bool> seen(scene_.models.size());
  for (const VoxInstance& instance : flat.instances) {
    const VoxModel& model = scene_.models[instance.model];
    if (!seen[instance.model]) {
      seen[instance.model] = true;
      hasVoxels[instance.model] = ModelBounds(model, bounds[instance.model]);
      for (const VoxVoxel& voxel : model.voxels) used[voxel.colourIndex] = true;
    }
    if (!hasVoxels[instance.model]) continue;
    statistics.placedVoxels += model.voxels.size();
    if (statistics.placedVoxels > options_.placedVoxelsMax) {
      return Error::Format(ErrorCode::CapacityExceeded,
                           "%s: the scene places more than %llu voxels (%zu models, %zu instances)", name_,
                           static_cast<unsigned long long>(options_.placedVoxelsMax), scene_.models.size(),
                           flat.instances.size());
    }
    PlacedModel placed{instance, instance.Place(bounds[instance.model].low, model.size),
                       instance.Place(bounds[instance.model].high, model.size)};
    for (std::size_t a = 0; a < 3; ++a) {
      if (placed.low[a] > placed.high[a]) std::swap(placed.low[a], placed.high[a]);
    }
    placed_.push_back(placed);
  }
  statistics.instances = static_cast<std::uint32_t>(placed_.size());
  if (placed_.empty()) {
    return Error::Format(ErrorCode::NotFound,
                         "%s: the scene shows no voxel (%zu models, %zu nodes, %u of them hidden)", name_,
                         scene_.models.size(), scene_.nodes.size(), flat.hiddenNodes);
  }
  STADIAL_ASSIGN_OR_RETURN(world_.materials_, MakeMaterialTable(scene_, used, options_.rules));
  return {};
}

Result<void> WorldBuilder::ChooseBox() {
  constexpr std::int64_t kMax = kWorldEdgeCellsMax;
  for (std::size_t a = 0; a < 3; ++a) {
    std::int64_t low = std::numeric_limits<std::int64_t>::max();
    std::int64_t high = std::numeric_limits<std::int64_t>::min();
    for (const PlacedModel& p : placed_) {
      low = std::min(low, p.low[a]);
      high = std::max(high, p.high[a]);
    }
    if (high - low + 1 > kMax) {
      const std::int64_t middle = MedianCentre(placed_, scene_, a);
      const std::int64_t cropLow = std::clamp(middle - kMax / 2, low, high - kMax + 1);
      Warn("the scene spans %lld cells along %c (%lld to %lld), more than %lld: cropped to %lld to %lld",
           Printed(high - low + 1), "xyz"[a], Printed(low), Printed(high), Printed(kMax), Printed(cropLow),
           Printed(cropLow + kMax - 1));
      low = cropLow;
      high = cropLow + kMax - 1;
    }
    const std::int64_t extent = high - low + 1;
    const std::int64_t chunks = (extent + kEdge - 1) / kEdge;
    world_.chunkCounts_[a] = static_cast<std::int32_t>(chunks);
    // In the middle of the whole chunks along x and y, on the floor along z.
    const std::int64_t margin = a == 2 ? 0 : (chunks * kEdge - extent) / 2;
    world_.origin_[a] = low - margin;
    world_.contentMin_[a] = static_cast<std::int32_t>(margin);
    world_.contentMax_[a] = static_cast<std::int32_t>(margin + extent - 1);
  }
  return {};
}

CellPosition WorldBuilder::ChunkAt(std::uint32_t index) const noexcept {
  const auto i = static_cast<std::int32_t>(index);
  const CellPosition& n = world_.chunkCounts_;
  return {i % n[0], i / n[0] % n[1], i / (n[0] * n[1])};
}

std::uint32_t WorldBuilder::ChunkIndex(std::int32_t x, std::int32_t y, std::int32_t z) const noexcept {
  const CellPosition& n = world_.chunkCounts_;
  return static_cast<std::uint32_t>(x + n[0] * (y + n[1] * z));
}

void WorldBuilder::MarkOccupied() {
  const CellPosition& n = world_.chunkCounts_;
  const std::size_t chunks =
      static_cast<std::size_t>(n[0]) * static_cast<std::size_t>(n[1]) * static_cast<std::size_t>(n[2]);
  chunkMarks_.assign(chunks, 0);
  WorldStatistics& statistics = world_.statistics_;
  statistics.boxChunks = static_cast<std::uint32_t>(chunks);
  for (const PlacedModel& placed : placed_) {
    statistics.croppedVoxels +=
        ForEachVoxel(placed, [&](std::uint32_t x, std::uint32_t y, std::uint32_t z, std::uint8_t) {
          const auto c = [](std::uint32_t v) { return static_cast<std::int32_t>(v / kChunkEdgeCells); };
          chunkMarks_[ChunkIndex(c(x), c(y), c(z))] = kOccupied;
        });
  }
  for (const std::uint8_t mark : chunkMarks_) statistics.occupiedChunks += mark == kOccupied;
  if (statistics.croppedVoxels != 0) {
    Warn("%llu of %llu voxels lie outside the box and are left out",
         static_cast<unsigned long long>(statistics.croppedVoxels),
         static_cast<unsigned long long>(statistics.placedVoxels));
  }
}

void WorldBuilder::ChooseResident() {
  const std::size_t fitting = std::min<std::size_t>(options_.atlasBytesMax / kChunkBytes, kSlotsMax);
  const auto budget = static_cast<std::uint32_t>(fitting);
  std::vector<std::uint32_t> chosen;
  for (std::uint32_t i = 0; i < chunkMarks_.size(); ++i) {
    if (chunkMarks_[i] == kOccupied) chosen.push_back(i);
  }
  if (chosen.size() > budget) {
    KeepNearest(chosen, budget);
    world_.statistics_.droppedChunks = world_.statistics_.occupiedChunks - budget;
    Warn(
        "%u chunks hold voxels, %u fit the atlas budget of %zu bytes: the %u farthest from the middle are "
        "left out; "
        "raise the budget to see them",
        world_.statistics_.occupiedChunks, budget, options_.atlasBytesMax, world_.statistics_.droppedChunks);
  }
  for (const std::uint32_t i : chosen) chunkMarks_[i] |= kChosen;
  if (world_.materials_.HasMovable()) {
    AddBelow(chosen, budget);
    for (std::uint32_t ring = 0; ring < options_.emptyRingsMax; ++ring) AddRing(chosen, budget);
  }
  AssignSlots(std::move(chosen));
}

void WorldBuilder::KeepNearest(std::vector<std::uint32_t>& chosen, std::uint32_t budget) {
  std::array<std::int64_t, 3> sum{};
  for (const std::uint32_t i : chosen) {
    const CellPosition c = ChunkAt(i);
    for (std::size_t a = 0; a < 3; ++a) sum[a] += c[a];
  }
  const auto count = static_cast<std::int64_t>(chosen.size());
  std::vector<std::pair<std::int64_t, std::uint32_t>> byDistance;
  byDistance.reserve(chosen.size());
  for (const std::uint32_t i : chosen) {
    const CellPosition c = ChunkAt(i);
    std::int64_t squared = 0;
    for (std::size_t a = 0; a < 3; ++a) {
      const std::int64_t d = c[a] - sum[a] / count;
      squared += d * d;
    }
    byDistance.emplace_back(squared, i);
  }
  std::sort(byDistance.begin(), byDistance.end());
  chosen.clear();
  for (std::uint32_t i = 0; i < budget; ++i) chosen.push_back(byDistance[i].second);
}

void WorldBuilder::AddBelow(std::vector<std::uint32_t>& chosen, std::uint32_t budget) {
  const std::size_t count = chosen.size();
  for (std::size_t i = 0; i < count; ++i) {
    const CellPosition c = ChunkAt(chosen[i]);
    for (std::int32_t z = c[2] - 1; z >= 0 && chosen.size() < budget; --z) {
      const std::uint32_t below = ChunkIndex(c[0], c[1], z);
      if ((chunkMarks_[below] & kChosen) != 0) continue;
      chunkMarks_[below] |= kChosen;
      chosen.push_back(below);
    }
  }
}

void WorldBuilder::AddRing(std::vector<std::uint32_t>& chosen, std::uint32_t budget) {
  const CellPosition& n = world_.chunkCounts_;
  const std::size_t count = chosen.size();
  for (std::size_t i = 0; i < count && chosen.size() < budget; ++i) {
    const CellPosition c = ChunkAt(chosen[i]);
    for (std::int32_t k = 0; k < 27; ++k) {
      const std::int32_t x = c[0] + k % 3 - 1;
      const std::int32_t y = c[1] + k / 3 % 3 - 1;
      const std::int32_t z = c[2] + k / 9 - 1;
      if (x < 0 || y < 0 || z < 0 || x >= n[0] || y >= n[1] || z >= n[2] || chosen.size() >= budget) continue;
      const std::uint32_t neighbour = ChunkIndex(x, y, z);
      if ((chunkMarks_[neighbour] & kChosen) != 0) continue;
      chunkMarks_[neighbour] |= kChosen;
      chosen.push_back(neighbour);
    }
  }
}

void WorldBuilder::AssignSlots(std::vector<std::uint32_t> chosen) {
  std::sort(chosen.begin(), chosen.end());  // neighbours in space stay near each other in the atlas
  world_.chunkTable_.assign(chunkMarks_.size(), 0);
  world_.slotChunks_.reserve(chosen.size());
  for (const std::uint32_t i : chosen) {
    const CellPosition c = ChunkAt(i);
    world_.slotChunks_.push_back(static_cast<std::uint32_t>(c[0] | c[1] << 10 | c[2] << 20));
    world_.chunkTable_[i] = static_cast<std::uint32_t>(world_.slotChunks_.size());
  }
  world_.statistics_.residentChunks = world_.SlotCount();
  world_.cells_.assign(chosen.size() * kChunkWords, 0);
  world_.occupancy_.assign(chosen.size() * kOccupancyWordsPerSlot, 0);
}

void WorldBuilder::FillCells() {
  for (const PlacedModel& placed : placed_) {
    ForEachVoxel(placed, [&](std::uint32_t x, std::uint32_t y, std::uint32_t z, std::uint8_t colourIndex) {
      const std::int32_t slot = world_.SlotOf(static_cast<std::int32_t>(x), static_cast<std::int32_t>(y),
                                              static_cast<std::int32_t>(z));
      if (slot < 0) {
        ++world_.statistics_.droppedVoxels;
        return;
      }
      std::uint32_t& word = world_.cells_[WordIndex(static_cast<std::uint32_t>(slot), x, y, z)];
      const std::uint32_t shift = 8 * (x % kCellsPerWord);
      word = (word & ~(0xffU << shift)) | std::uint32_t{world_.materials_.idOf[colourIndex]} << shift;
    });
  }
  ComputeOccupancy(world_.cells_, world_.occupancy_);
}

void WorldBuilder::CountCells() {
  WorldStatistics& statistics = world_.statistics_;
  for (const std::uint32_t word : world_.cells_) {
    if (word == 0) continue;
    for (std::uint32_t x = 0; x < kCellsPerWord; ++x) {
      const MaterialClass cls = world_.materials_.ClassOf(CellInWord(word, x));
      statistics.cells += cls != MaterialClass::Empty;
      statistics.sandCells += cls == MaterialClass::Sand;
      statistics.waterCells += cls == MaterialClass::Water;
    }
  }
}

CellPosition World::CellCounts() const noexcept {
  constexpr auto kCells = static_cast<std::int32_t>(kChunkEdgeCells);
  return {chunkCounts_[0] * kCells, chunkCounts_[1] * kCells, chunkCounts_[2] * kCells};
}

std::int32_t World::SlotOf(std::int32_t x, std::int32_t y, std::int32_t z) const noexcept {
  const CellPosition counts = CellCounts();
  if (x < 0 || y < 0 || z < 0 || x >= counts[0] || y >= counts[1] || z >= counts[2]) return -1;
  const std::int32_t shift = 5;
  static_assert(kChunkEdgeCells == 1U << 5);
  const std::int32_t chunk = (x >> shift) + chunkCounts_[0] * ((y >> shift) + chunkCounts_[1] * (z >> shift));
  return static_cast<std::int32_t>(chunkTable_[static_cast<std::size_t>(chunk)]) - 1;
}

void ComputeOccupancy(std::span<const std::uint32_t> cells, std::span<std::uint32_t> occupancy) noexcept {
  std::fill(occupancy.begin(), occupancy.end(), 0U);
  constexpr std::uint32_t kWordsPerRow = kChunkEdgeCells / kCellsPerWord;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (cells[i] == 0) continue;
    const std::size_t slot = i / kChunkWords;
    const auto inChunk = static_cast<std::uint32_t>(i % kChunkWords);
    const std::uint32_t x = inChunk % kWordsPerRow * kCellsPerWord / kBrickEdgeCells;
    const std::uint32_t y = inChunk / kWordsPerRow % kChunkEdgeCells / kBrickEdgeCells;
    const std::uint32_t z = inChunk / (kWordsPerRow * kChunkEdgeCells) / kBrickEdgeCells;
    const std::uint32_t brick = x + 4 * y + 16 * z;
    occupancy[slot * kOccupancyWordsPerSlot + brick / 32] |= 1U << (brick % 32);
  }
}

Result<World> World::Build(const VoxScene& scene, const WorldOptions& options, const char* name) {
  return WorldBuilder(scene, options, name).Build();
}

}  // namespace stadial::sandbox
