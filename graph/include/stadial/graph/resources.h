// Resources the graph owns, named by generation-checked handles (G2). The table knows what a resource is, not
// where it lives: gpu maps a handle's index to its VkImage or VkBuffer.
//
// The six answers: capacity is fixed at construction (Arena memory, about 64 B each); a full table refuses
// (CapacityExceeded); records have natural alignment; records are plain values, nothing is destructed; one
// thread at a time, no locks; a handle dies with Destroy (its generation moves on) and no pointer is handed
// out for longer than the next Create or Destroy.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/result.h"

namespace stadial::graph {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

enum class ResourceKind : std::uint8_t { Buffer, Image };
const char* ToString(ResourceKind kind) noexcept;

// Default-constructed: the null handle. Equal handles name the same resource in the same life.
struct ResourceHandle {
  static constexpr std::uint32_t kNullIndex = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t index = kNullIndex;
  std::uint32_t generation = 0;

  constexpr bool IsNull() const noexcept { return index == kNullIndex; }
  constexpr explicit operator bool() const noexcept { return !IsNull(); }
  friend constexpr bool operator==(ResourceHandle, ResourceHandle) = default;
};

struct ResourceDescription {
  ResourceKind kind = ResourceKind::Buffer;
  const char* name = "unnamed";  // must outlive the resource
  std::uint64_t sizeBytes = 0;   // buffers; images: an estimate, 0 when unknown
  std::uint32_t width = 0;       // images, in texels
  std::uint32_t height = 0;
  std::uint32_t depth = 1;
  std::uint32_t format = 0;  // images: a VkFormat value, opaque here
  std::uint32_t copies = 1;  // physical copies behind the handle (history, frames in flight)
};

class ResourceTable {
 public:
  ResourceTable() noexcept = default;
  // Carves the table; asserts where the arena is too small. Setup only.
  ResourceTable(arenas::Arena& memory, std::uint32_t capacity);
  static std::size_t BytesFor(std::uint32_t capacity) noexcept;

  // O(1). CapacityExceeded when full, InvalidArgument for zero copies.
  Result<ResourceHandle> Create(const ResourceDescription& description) noexcept STADIAL_NONALLOCATING;
  // O(1). NotFound for a null, stale or foreign handle; every handle to the resource is stale afterwards.
  Result<void> Destroy(ResourceHandle handle) noexcept STADIAL_NONALLOCATING;

  // Null for a null or stale handle.
  const ResourceDescription* Get(ResourceHandle handle) const noexcept {
    return IsAlive(handle) ? &descriptions_[handle.index] : nullptr;
  }
  bool IsAlive(ResourceHandle handle) const noexcept {
    return handle.index < generations_.size() && generations_[handle.index] == handle.generation &&
           (handle.generation & 1u) != 0;
  }
  std::uint32_t LiveCount() const noexcept { return liveCount_; }
  std::uint64_t LiveBytes() const noexcept { return liveBytes_; }  // sum of size × copies
  std::uint32_t PeakCount() const noexcept { return peakCount_; }
  std::uint32_t Capacity() const noexcept { return static_cast<std::uint32_t>(generations_.size()); }

 private:
  std::span<ResourceDescription> descriptions_;
  std::span<std::uint32_t> generations_;  // odd: alive; even: free
  std::span<std::uint32_t> nextFree_;
  std::uint32_t firstFree_ = ResourceHandle::kNullIndex;
  std::uint32_t liveCount_ = 0;
  std::uint64_t liveBytes_ = 0;
  std::uint32_t peakCount_ = 0;
};

}  // namespace stadial::graph
