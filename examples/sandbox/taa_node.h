// Temporal accumulation: blends the frame just drawn with the accumulated picture of the frame before, which
// the node keeps in its timeline history. Whether there is such a picture (first frame, resize) is the
// timeline's to know; the shader learns it from a flag in the node's own uniforms.
#pragma once

#include "options.h"
#include "shader_interface.h"
#include "stadial/gpu/gpu_node.h"
#include "stadial/gpu/history_images.h"
#include "stadial/gpu/uniform_ring.h"
#include "stadial/graph/timeline.h"

namespace stadial::sandbox {

struct TaaConfig : graph::NodeConfig<TaaConfig> {
  INPUT_SLOT(EXTENT, ImageSize, SlotRole::Compile);
  INPUT_SLOT(FRAME, FrameUniforms);
  INPUT_SLOT(COLOUR, gpu::Image, SlotRole::Descriptor, graph::Access::ComputeStorageRead);
  // Frame f's is Current(f), made from the one before.
  OUTPUT_SLOT(ACCUMULATED, gpu::HistoryImages, SlotRole::Descriptor, graph::Access::ComputeStorageReadWrite);
};

class TaaNode final : public gpu::GpuTypedNode<TaaConfig>, public graph::TimelineNode {
 public:
  static constexpr graph::ResourceId kAccumulated = 0;  // in the timeline

  // The recurrence reads one frame back; everything older is already in it.
  std::uint32_t GetMaxHistoryFrames() const override { return 1; }
  std::uint32_t GetHistoryResourceCount() const override { return 1; }
  std::span<const graph::DescriptorSetRequirement> GetDescriptorRequirements() const override;
  graph::PreAllocRequirements GetPreAllocRequirements() const override;
  // Frame f reads and writes other images than frame f + 1; after Depth() frames it starts over.
  std::uint32_t ReplayPeriod() const override { return History().Depth(); }

  gpu::Result<void> Compile(CompileContext& ctx) override;
  gpu::Result<void> CreatePipelines(gpu::GpuSetupContext& ctx) override;
  gpu::Result<void> CreateResources(gpu::GpuResourceContext& ctx) override;
  void WriteDescriptors(gpu::GpuDescriptorContext& ctx) override;
  void Record(gpu::RecordContext& ctx) override;
  void Execute(ExecuteContext& ctx) override;

 private:
  gpu::ComputePipeline pipeline_;
  gpu::UniformRing uniforms_;
  graph::ResourceHandle accumulated_;
};

}  // namespace stadial::sandbox
