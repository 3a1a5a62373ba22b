// One frame of the falling-sand automaton: a number of passes over the chunk atlas.
#pragma once

#include "cell_buffers.h"
#include "shader_interface.h"
#include "stadial/gpu/gpu_node.h"
#include "stadial/gpu/uniform_ring.h"

namespace stadial::sandbox {

struct SimulateConfig : graph::NodeConfig<SimulateConfig> {
  INPUT_SLOT(UNIFORMS, gpu::UniformRing, SlotRole::Descriptor);  // FrameUniforms
  INPUT_SLOT(CELLS, CellBuffers, SlotRole::Descriptor, graph::Access::ComputeStorageRead);
  INPUT_SLOT(CHUNK_TABLE, gpu::Buffer, SlotRole::Descriptor, graph::Access::ComputeStorageRead);
  INPUT_SLOT(SLOT_CHUNKS, gpu::Buffer, SlotRole::Descriptor, graph::Access::ComputeStorageRead);
  // The same buffers, once the frame's passes are done.
  OUTPUT_SLOT(STEPPED, CellBuffers, SlotRole::Descriptor, graph::Access::ComputeStorageWrite, Inplace(CELLS));
};

class SimulateNode final : public gpu::GpuTypedNode<SimulateConfig> {
 public:
  std::span<const graph::DescriptorSetRequirement> GetDescriptorRequirements() const override;
  graph::PreAllocRequirements GetPreAllocRequirements() const override {
    return {.descriptorSetCount = kCellBufferCount, .declared = true};
  }
  std::uint32_t ReplayPeriod() const override { return kCellBufferCount; }

  gpu::Result<void> CreatePipelines(gpu::GpuSetupContext& ctx) override;
  void WriteDescriptors(gpu::GpuDescriptorContext& ctx) override;
  void Record(gpu::RecordContext& ctx) override;
  // Everything a frame needs is in the recorded commands and in the frame's uniforms.
  void Execute(ExecuteContext& ctx) override;

 private:
  gpu::ComputePipeline pipeline_;
};

}  // namespace stadial::sandbox
