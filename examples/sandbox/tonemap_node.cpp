#include "tonemap_node.h"

#include "tonemap.comp.h"

namespace stadial::sandbox {
namespace {

using graph::DescriptorBinding;
using graph::DescriptorType;

constexpr DescriptorBinding kBindings[] = {
    {.binding = TonemapBindings::kFrame, .type = DescriptorType::UniformBuffer},
    {.binding = TonemapBindings::kColour, .type = DescriptorType::StorageImage},
    {.binding = TonemapBindings::kPixels, .type = DescriptorType::StorageBuffer},
};
constexpr graph::DescriptorSetRequirement kSets[] = {
    {.setIndex = 0, .bindings = kBindings, .debugName = "tonemap"}};

}  // namespace

std::span<const graph::DescriptorSetRequirement> TonemapNode::GetDescriptorRequirements() const {
  return kSets;
}

gpu::Result<void> TonemapNode::CreatePipelines(gpu::GpuSetupContext& ctx) {
  STADIAL_ASSIGN_OR_RETURN(pipeline_, ctx.pipelines.CreatePipeline(
                                          {.name = "tonemap", .spirv = kTonemapCompSpirv, .sets = kSets}));
  return {};
}

gpu::Result<void> TonemapNode::CreateResources(gpu::GpuResourceContext& ctx) {
  const ImageSize& size = Slots().In(EXTENT);
  STADIAL_ASSIGN_OR_RETURN(
      Slots().Out(PIXELS),
      ctx.memory.CreateBuffer(
          {.name = "pixels", .sizeBytes = std::uint64_t{size.width} * size.height * kPixelBytes}));
  return {};
}

void TonemapNode::WriteDescriptors(gpu::GpuDescriptorContext& ctx) {
  const VkDescriptorSet set = ctx.Set(0);
  const gpu::UniformRing& uniforms = Slots().In(UNIFORMS);
  ctx.writer
      .UniformBuffer(set, TonemapBindings::kFrame, uniforms.GetBuffer(), uniforms.OffsetBytes(ctx.frameSlot),
                     sizeof(FrameUniforms))
      .StorageImage(set, TonemapBindings::kColour, Slots().In(ACCUMULATED).Current(ctx.copy))
      .StorageBuffer(set, TonemapBindings::kPixels, Slots().Out(PIXELS));
}

void TonemapNode::Record(gpu::RecordContext& ctx) {
  const ImageSize& size = Slots().In(EXTENT);
  ctx.recorder.BindPipeline(pipeline_);
  ctx.recorder.BindSet(pipeline_, 0, ctx.Set(0));
  ctx.recorder.Dispatch(ImageGroups(size.width), ImageGroups(size.height));
}

}  // namespace stadial::sandbox
