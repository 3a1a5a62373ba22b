// DescriptorSetPool: one VkDescriptorPool sized exactly from declared requirements, and all its sets,
// allocated at once. After Build the only operations are "which set?" and writing it; a frame only binds.
//
// The sum, in sight. For every requirement r of every node n (traps D4, D7, D8):
//   copies(n)         = lcm(replay period of n, frames in flight)
//   sets(n, r)        = r.setCount x copies(n)
//   descriptors(type) = sum over n, r and bindings b of that type: b.count x sets(n, r)
//
// The layer counts for itself: lavapipe never answers OUT_OF_POOL_MEMORY, so that error proves nothing there.
// Sets belong to one (node, requirement, copy, index) and are never shared (trap D12); one pool serves all
// nodes (D5) and Reset gives everything back (D9). Results of every driver call are checked (D6), storage is
// really allocated (D3). Thread rules: one thread; not in a frame.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "stadial/arenas/fixed_vector.h"
#include "stadial/gpu/compute_pipeline.h"
#include "stadial/gpu/device.h"
#include "stadial/gpu/gpu_memory.h"
#include "stadial/graph/requirements.h"

namespace stadial::gpu {

inline constexpr std::size_t kDescriptorTypeCount = 11;  // VK_DESCRIPTOR_TYPE_SAMPLER ... INPUT_ATTACHMENT

struct DescriptorPoolStats {
  std::uint32_t setsSized = 0;                                         // maxSets of the pool
  std::uint32_t setsAllocated = 0;                                     // equal after Build: exactness
  std::array<std::uint32_t, kDescriptorTypeCount> descriptorsSized{};  // indexed by VkDescriptorType
  std::uint32_t builds = 0;
};

struct DescriptorPoolOptions {
  std::uint32_t setsMax = 1024;
  std::uint32_t requirementsMax = 256;
};

class DescriptorSetPool {
 public:
  static Result<Owned<DescriptorSetPool>> Create(PipelineLibrary& library,
                                                 const DescriptorPoolOptions& options) noexcept;
  DescriptorSetPool(PipelineLibrary& library, const DescriptorPoolOptions& options,
                    arenas::Arena& memory) noexcept;
  ~DescriptorSetPool();
  DescriptorSetPool(const DescriptorSetPool&) = delete;
  DescriptorSetPool& operator=(const DescriptorSetPool&) = delete;

  // Declares the needs of one owner (a node); returns the owner's number, to be used in Set(). Between Reset
  // and Build. Errors: capacity (with the knob's name), a bad layout, copies or setCount of 0.
  Result<std::uint32_t> Declare(const char* ownerName,
                                std::span<const graph::DescriptorSetRequirement> requirements,
                                std::uint32_t copies) noexcept;

  // Creates the pool for exactly what was declared and allocates every set.
  Result<void> Build() noexcept;

  // The set number `index` (0 .. setCount-1) of requirement number `requirement` for copy `copy` of `owner`.
  // Asserts on numbers that were not declared.
  VkDescriptorSet Set(std::uint32_t owner, std::uint32_t requirement, std::uint32_t copy,
                      std::uint32_t index = 0) const noexcept;

  // Destroys the pool with its sets and forgets the declarations. The GPU is done with them: drain first.
  void Reset() noexcept;

  const DescriptorPoolStats& Stats() const noexcept { return stats_; }

 private:
  struct Entry {  // one requirement of one owner; its sets lie copy by copy from firstSet on
    std::uint32_t setCount = 0;
    std::uint32_t copies = 0;
    std::uint32_t firstSet = 0;
  };
  Result<void> AllocateSets() noexcept;

  PipelineLibrary& library_;
  VkDescriptorPool pool_ = VK_NULL_HANDLE;
  arenas::FixedVector<Entry> entries_;
  arenas::FixedVector<std::uint32_t> firstEntry_;  // by owner
  arenas::FixedVector<VkDescriptorSet> sets_;
  arenas::FixedVector<VkDescriptorSetLayout> layoutOfSet_;
  DescriptorPoolStats stats_{};
};

// Collects descriptor writes and hands them to the driver in one call. Fixed capacity; flushes itself when
// full and on destruction. Not in a frame.
class DescriptorWriter {
 public:
  explicit DescriptorWriter(Device& device) noexcept : device_(device) {}
  ~DescriptorWriter() { Flush(); }
  DescriptorWriter(const DescriptorWriter&) = delete;
  DescriptorWriter& operator=(const DescriptorWriter&) = delete;

  DescriptorWriter& StorageBuffer(VkDescriptorSet set, std::uint32_t binding, const Buffer& buffer,
                                  VkDeviceSize offsetBytes = 0,
                                  VkDeviceSize rangeBytes = VK_WHOLE_SIZE) noexcept;
  DescriptorWriter& UniformBuffer(VkDescriptorSet set, std::uint32_t binding, const Buffer& buffer,
                                  VkDeviceSize offsetBytes, VkDeviceSize rangeBytes) noexcept;
  DescriptorWriter& StorageImage(VkDescriptorSet set, std::uint32_t binding, const Image& image,
                                 std::uint32_t arrayElement = 0) noexcept;
  void Flush() noexcept;

 private:
  DescriptorWriter& Add(VkDescriptorSet set, std::uint32_t binding, std::uint32_t element,
                        VkDescriptorType type, const VkDescriptorBufferInfo* buffer,
                        const VkDescriptorImageInfo* image) noexcept;
  static constexpr std::uint32_t kWritesMax = 32;
  Device& device_;
  std::uint32_t count_ = 0;
  std::array<VkWriteDescriptorSet, kWritesMax> writes_{};
  std::array<VkDescriptorBufferInfo, kWritesMax> buffers_{};
  std::array<VkDescriptorImageInfo, kWritesMax> images_{};
};

}  // namespace stadial::gpu
