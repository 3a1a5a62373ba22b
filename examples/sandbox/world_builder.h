// The steps of World::Build. Private to world.cpp and world_lights.cpp.
#pragma once

#include "world.h"

namespace stadial::sandbox {

// A model and where it stands in the scene, with its tight bounds.
struct PlacedModel {
  VoxInstance instance;
  std::array<std::int64_t, 3> low{}, high{};  // scene cells, inclusive
};

class WorldBuilder {
 public:
  WorldBuilder(const VoxScene& scene, const WorldOptions& options, const char* name)
      : scene_(scene), options_(options), name_(name) {}

  Result<World> Build();

 private:
  Result<void> PlaceModels();
  Result<void> ChooseBox();
  void MarkOccupied();
  void ChooseResident();
  void AddBelow(std::vector<std::uint32_t>& chosen, std::uint32_t budget);
  void AddRing(std::vector<std::uint32_t>& chosen, std::uint32_t budget);
  void KeepNearest(std::vector<std::uint32_t>& chosen, std::uint32_t budget);
  void AssignSlots(std::vector<std::uint32_t> chosen);
  void FillCells();
  void CountCells();
  void MakeLights();
  void AssignLights();
  CellPosition ChunkAt(std::uint32_t index) const noexcept;
  std::uint32_t ChunkIndex(std::int32_t x, std::int32_t y, std::int32_t z) const noexcept;
  [[gnu::format(printf, 2, 3)]] void Warn(const char* format, ...);

  // Calls visit(x, y, z, colourIndex) in world cells for each voxel inside the box; returns how many lay
  // outside.
  template <class Visit>
  std::uint64_t ForEachVoxel(const PlacedModel& placed, Visit&& visit) const;

  const VoxScene& scene_;
  const WorldOptions& options_;
  const char* name_;
  World world_;
  std::vector<PlacedModel> placed_;
  std::vector<std::uint8_t> chunkMarks_;  // per chunk of the box: kOccupied, kChosen
};

}  // namespace stadial::sandbox
