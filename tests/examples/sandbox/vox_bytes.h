// Files built by hand, byte by byte, so that the reader is not tested with the writer alone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace stadial::sandbox::testing {

class VoxBytes {
 public:
  VoxBytes& Raw(std::string_view text) {
    for (const char c : text) bytes_.push_back(static_cast<std::byte>(c));
    return *this;
  }
  VoxBytes& Int(std::int64_t value) {
    const auto bits = static_cast<std::uint32_t>(value);
    for (unsigned i = 0; i < 4; ++i) bytes_.push_back(static_cast<std::byte>((bits >> (8 * i)) & 0xffU));
    return *this;
  }
  VoxBytes& Float(float value) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return Int(bits);
  }
  VoxBytes& Byte(unsigned value) {
    bytes_.push_back(static_cast<std::byte>(value));
    return *this;
  }
  VoxBytes& Text(std::string_view text) { return Int(static_cast<std::int64_t>(text.size())).Raw(text); }
  VoxBytes& Pairs(std::initializer_list<std::pair<std::string_view, std::string_view>> pairs) {
    Int(static_cast<std::int64_t>(pairs.size()));
    for (const auto& [key, value] : pairs) Text(key).Text(value);
    return *this;
  }
  // A chunk with this content and no children.
  VoxBytes& Chunk(std::string_view id, const VoxBytes& content) {
    Raw(id).Int(static_cast<std::int64_t>(content.bytes_.size())).Int(0);
    bytes_.insert(bytes_.end(), content.bytes_.begin(), content.bytes_.end());
    return *this;
  }
  VoxBytes& Append(const VoxBytes& other) {
    bytes_.insert(bytes_.end(), other.bytes_.begin(), other.bytes_.end());
    return *this;
  }

  const std::vector<std::byte>& Bytes() const { return bytes_; }
  std::size_t Size() const { return bytes_.size(); }

 private:
  std::vector<std::byte> bytes_;
};

// The header and MAIN around these chunks.
inline std::vector<std::byte> VoxFile(const VoxBytes& chunks) {
  VoxBytes file;
  file.Raw("VOX ").Int(150).Raw("MAIN").Int(0).Int(static_cast<std::int64_t>(chunks.Size())).Append(chunks);
  return file.Bytes();
}

// SIZE and XYZI of a model with these (x, y, z, colour) records.
inline VoxBytes ModelChunks(int width, int depth, int height,
                            std::initializer_list<std::array<unsigned, 4>> voxels) {
  VoxBytes content;
  content.Int(static_cast<std::int64_t>(voxels.size()));
  for (const auto& voxel : voxels) {
    for (const unsigned byte : voxel) content.Byte(byte);
  }
  VoxBytes chunks;
  chunks.Chunk("SIZE", VoxBytes().Int(width).Int(depth).Int(height)).Chunk("XYZI", content);
  return chunks;
}

}  // namespace stadial::sandbox::testing
