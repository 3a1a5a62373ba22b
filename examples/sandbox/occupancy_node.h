// The bits that let rays skip bricks without cells, computed anew after the automaton has moved them.
#pragma once

#include "cell_buffers.h"
#include "shader_interface.h"
#include "stadial/gpu/gpu_node.h"

namespace stadial::sandbox {

struct OccupancyConfig : graph::NodeConfig<OccupancyConfig> {
  INPUT_SLOT(CELLS, CellBuffers, SlotRole::Descriptor, graph::Access::ComputeStorageRead);
  OUTPUT_SLOT(OCCUPANCY, gpu::Buffer, SlotRole::Descriptor, graph::Access::ComputeStorageWrite);
};

class OccupancyNode final : public gpu::GpuTypedNode<OccupancyConfig> {
 public:
  std::span<const graph::DescriptorSetRequirement> GetDescriptorRequirements() const override;
  graph::PreAllocRequirements GetPreAllocRequirements() const override {
    return {.descriptorSetCount = 1, .declared = true};
  }
  std::uint32_t ReplayPeriod() const override { return kCellBufferCount; }

  gpu::Result<void> CreatePipelines(gpu::GpuSetupContext& ctx) override;
  void WriteDescriptors(gpu::GpuDescriptorContext& ctx) override;
  void Record(gpu::RecordContext& ctx) override;
  void Execute(ExecuteContext&) override {}

 private:
  gpu::ComputePipeline pipeline_;
};

}  // namespace stadial::sandbox
