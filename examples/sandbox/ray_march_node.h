// Draws the world: one ray per pixel, jittered within it, with sun, shadow, sky and glow. Linear light, no
// accumulation.
#pragma once

#include "cell_buffers.h"
#include "options.h"
#include "shader_interface.h"
#include "stadial/gpu/gpu_node.h"
#include "stadial/gpu/uniform_ring.h"

namespace stadial::sandbox {

struct RayMarchConfig : graph::NodeConfig<RayMarchConfig> {
  INPUT_SLOT(EXTENT, ImageSize, SlotRole::Compile);
  INPUT_SLOT(UNIFORMS, gpu::UniformRing, SlotRole::Descriptor);
  INPUT_SLOT(SCENE, gpu::Buffer, SlotRole::Descriptor, graph::Access::ComputeUniform);
  INPUT_SLOT(CHUNK_TABLE, gpu::Buffer, SlotRole::Descriptor, graph::Access::ComputeStorageRead);
  INPUT_SLOT(SLOT_LIGHTS, gpu::Buffer, SlotRole::Descriptor, graph::Access::ComputeStorageRead);
  INPUT_SLOT(CELLS, CellBuffers, SlotRole::Descriptor, graph::Access::ComputeStorageRead);
  INPUT_SLOT(OCCUPANCY, gpu::Buffer, SlotRole::Descriptor, graph::Access::ComputeStorageRead);
  OUTPUT_SLOT(COLOUR, gpu::Image, SlotRole::Descriptor, graph::Access::ComputeStorageWrite);
};

class RayMarchNode final : public gpu::GpuTypedNode<RayMarchConfig> {
 public:
  std::span<const graph::DescriptorSetRequirement> GetDescriptorRequirements() const override;
  graph::PreAllocRequirements GetPreAllocRequirements() const override {
    return {.descriptorSetCount = 1, .declared = true};
  }
  std::uint32_t ReplayPeriod() const override { return kCellBufferCount; }

  gpu::Result<void> CreatePipelines(gpu::GpuSetupContext& ctx) override;
  gpu::Result<void> CreateResources(gpu::GpuResourceContext& ctx) override;
  void WriteDescriptors(gpu::GpuDescriptorContext& ctx) override;
  void Record(gpu::RecordContext& ctx) override;
  void Execute(ExecuteContext&) override {}

 private:
  gpu::ComputePipeline pipeline_;
};

}  // namespace stadial::sandbox
