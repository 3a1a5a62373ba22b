// From accumulated linear light to the bytes of a picture: exposure, film curve, sRGB.
#pragma once

#include "options.h"
#include "shader_interface.h"
#include "stadial/gpu/gpu_node.h"
#include "stadial/gpu/history_images.h"
#include "stadial/gpu/uniform_ring.h"
#include "stadial/graph/timeline.h"

namespace stadial::sandbox {

inline constexpr std::uint32_t kPixelBytes = 4;  // RGBA8

struct TonemapConfig : graph::NodeConfig<TonemapConfig> {
  INPUT_SLOT(EXTENT, ImageSize, SlotRole::Compile);
  INPUT_SLOT(UNIFORMS, gpu::UniformRing, SlotRole::Descriptor);
  INPUT_SLOT(ACCUMULATED, gpu::HistoryImages, SlotRole::Descriptor, graph::Access::ComputeStorageRead);
  // kPixelBytes each, row by row from the top.
  OUTPUT_SLOT(PIXELS, gpu::Buffer, SlotRole::Descriptor, graph::Access::ComputeStorageWrite);
};

class TonemapNode final : public gpu::GpuTypedNode<TonemapConfig> {
 public:
  // `source`: whose history ACCUMULATED is.
  explicit TonemapNode(const graph::TimelineNode& source) noexcept : source_(source) {}

  std::span<const graph::DescriptorSetRequirement> GetDescriptorRequirements() const override;
  graph::PreAllocRequirements GetPreAllocRequirements() const override {
    return {.descriptorSetCount = 1, .declared = true};
  }
  std::uint32_t ReplayPeriod() const override { return source_.History().Depth(); }

  gpu::Result<void> CreatePipelines(gpu::GpuSetupContext& ctx) override;
  gpu::Result<void> CreateResources(gpu::GpuResourceContext& ctx) override;
  void WriteDescriptors(gpu::GpuDescriptorContext& ctx) override;
  void Record(gpu::RecordContext& ctx) override;
  void Execute(ExecuteContext&) override {}

 private:
  const graph::TimelineNode& source_;
  gpu::ComputePipeline pipeline_;
};

}  // namespace stadial::sandbox
