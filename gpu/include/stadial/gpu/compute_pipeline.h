// PipelineLibrary: descriptor set layouts, pipeline layouts and compute pipelines, made in Setup (or at the
// compile point) and kept until teardown. Set layouts are cached by content: two nodes with the same bindings
// share one. Thread rules: one thread at a time; nothing here is called in a frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/arenas/fixed_vector.h"
#include "stadial/gpu/device.h"
#include "stadial/graph/requirements.h"

namespace stadial::gpu {

inline constexpr std::uint32_t kSetLayoutsPerPipelineMax =
    4;  // what every Vulkan device allows (maxBoundDescriptorSets)

// A plain value; the library owns the objects.
struct ComputePipeline {
  VkPipeline handle = VK_NULL_HANDLE;
  VkPipelineLayout layout = VK_NULL_HANDLE;
  std::uint32_t pushConstantBytes = 0;
  explicit operator bool() const noexcept { return handle != VK_NULL_HANDLE; }
};

struct ComputePipelineOptions {
  const char* name = "pipeline";
  std::span<const std::uint32_t> spirv = {};  // words, as stadial_add_shaders makes them
  const char* entryPoint = "main";
  // Layouts of sets 0, 1, ... in the order of their setIndex.
  std::span<const graph::DescriptorSetRequirement> sets = {};
  std::uint32_t pushConstantBytes = 0;  // a multiple of 4, at most maxPushConstantsSize
  std::span<const std::uint32_t> specialization =
      {};  // values of constants 0, 1, ... (u32, i32, f32 or bool bits)
};

struct PipelineLibraryOptions {
  std::uint32_t pipelinesMax = 64;
  std::uint32_t layoutsMax = 64;
};

class PipelineLibrary {
 public:
  static Result<Owned<PipelineLibrary>> Create(Device& device,
                                               const PipelineLibraryOptions& options) noexcept;
  PipelineLibrary(Device& device, const PipelineLibraryOptions& options, arenas::Arena& memory) noexcept;
  ~PipelineLibrary();
  PipelineLibrary(const PipelineLibrary&) = delete;
  PipelineLibrary& operator=(const PipelineLibrary&) = delete;

  // The cached layout with these bindings, in any order. Errors (trap D6: the create info is checked before
  // the driver sees it): two bindings of one number, a count of 0, a type the layer does not know, too many
  // layouts.
  Result<VkDescriptorSetLayout> SetLayout(const graph::DescriptorSetRequirement& requirement) noexcept;

  // Errors: not SPIR-V, set numbers that are not 0, 1, 2, ..., push constants too large, driver refusals,
  // capacity.
  Result<ComputePipeline> CreatePipeline(const ComputePipelineOptions& options) noexcept;

  Device& GetDevice() const noexcept { return device_; }
  std::size_t LayoutCount() const noexcept { return layouts_.Size(); }
  std::size_t PipelineCount() const noexcept { return pipelines_.Size(); }

 private:
  static constexpr std::uint32_t kBindingsPerLayoutMax = 16;
  struct CachedLayout {
    VkDescriptorSetLayout handle = VK_NULL_HANDLE;
    std::uint32_t bindingCount = 0;
    VkDescriptorSetLayoutBinding bindings[kBindingsPerLayoutMax] = {};
  };
  Result<VkPipelineLayout> CreateLayout(const ComputePipelineOptions& options) noexcept;
  Result<VkPipeline> CreateHandle(const ComputePipelineOptions& options, VkPipelineLayout layout) noexcept;

  Device& device_;
  arenas::FixedVector<CachedLayout> layouts_;
  arenas::FixedVector<ComputePipeline> pipelines_;
};

}  // namespace stadial::gpu
