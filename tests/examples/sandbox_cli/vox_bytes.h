// Scene files made in memory, for tests that run the sandbox.
#pragma once

#include <cstdint>
#include <string>

namespace stadial::tests {

inline std::string Little(std::uint32_t value) {
  std::string bytes(4, '\0');
  for (std::size_t i = 0; i < 4; ++i) bytes[i] = static_cast<char>(value >> (8 * i));
  return bytes;
}

inline std::string Chunk(const char* id, const std::string& content, const std::string& children = {}) {
  return id + Little(static_cast<std::uint32_t>(content.size())) +
         Little(static_cast<std::uint32_t>(children.size())) + content + children;
}

inline std::string VoxOf(const std::string& children) {
  return std::string("VOX ") + Little(150) + Chunk("MAIN", {}, children);
}

// A floor (colour 1) in a box of 16 cells each way, and above it two blocks in the air: colours 2 and 3.
inline std::string FallingBlocksVox() {
  constexpr int kEdge = 16, kBlocksBegin = 8, kBlocksEnd = 12;
  std::string voxels;
  const auto add = [&](int x, int y, int z, int colour) {
    for (const int byte : {x, y, z, colour}) voxels.push_back(static_cast<char>(byte));
  };
  for (int x = 0; x < kEdge; ++x) {
    for (int y = 0; y < kEdge; ++y) {
      add(x, y, 0, 1);
      for (int z = kBlocksBegin; z < kBlocksEnd; ++z) add(x, y, z, x < kEdge / 2 ? 2 : 3);
    }
  }
  const std::string edge = Little(kEdge);
  return VoxOf(Chunk("SIZE", edge + edge + edge) +
               Chunk("XYZI", Little(static_cast<std::uint32_t>(voxels.size() / 4)) + voxels));
}

}  // namespace stadial::tests
