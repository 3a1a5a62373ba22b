#include "ray_march_node.h"

#include "ray_march.comp.h"

namespace stadial::sandbox {
namespace {

using graph::DescriptorBinding;
using graph::DescriptorType;

constexpr DescriptorBinding kBindings[] = {
    {.binding = RayMarchBindings::kFrame, .type = DescriptorType::UniformBuffer},
    {.binding = RayMarchBindings::kScene, .type = DescriptorType::UniformBuffer},
    {.binding = RayMarchBindings::kChunkTable, .type = DescriptorType::StorageBuffer},
    {.binding = RayMarchBindings::kCells, .type = DescriptorType::StorageBuffer},
    {.binding = RayMarchBindings::kOccupancy, .type = DescriptorType::StorageBuffer},
    {.binding = RayMarchBindings::kSlotLights, .type = DescriptorType::StorageBuffer},
    {.binding = RayMarchBindings::kColour, .type = DescriptorType::StorageImage},
};
constexpr graph::DescriptorSetRequirement kSets[] = {
    {.setIndex = 0, .bindings = kBindings, .debugName = "ray march"}};

}  // namespace

std::span<const graph::DescriptorSetRequirement> RayMarchNode::GetDescriptorRequirements() const {
  return kSets;
}

gpu::Result<void> RayMarchNode::CreatePipelines(gpu::GpuSetupContext& ctx) {
  STADIAL_ASSIGN_OR_RETURN(pipeline_, ctx.pipelines.CreatePipeline(
                                          {.name = "ray march", .spirv = kRayMarchCompSpirv, .sets = kSets}));
  return {};
}

gpu::Result<void> RayMarchNode::CreateResources(gpu::GpuResourceContext& ctx) {
  const ImageSize& size = Slots().In(EXTENT);
  STADIAL_ASSIGN_OR_RETURN(Slots().Out(COLOUR),
                           ctx.memory.CreateImage({.name = "colour",
                                                   .format = VK_FORMAT_R32G32B32A32_SFLOAT,
                                                   .width = size.width,
                                                   .height = size.height}));
  return {};
}

void RayMarchNode::WriteDescriptors(gpu::GpuDescriptorContext& ctx) {
  const VkDescriptorSet set = ctx.Set(0);
  const gpu::UniformRing& uniforms = Slots().In(UNIFORMS);
  ctx.writer
      .UniformBuffer(set, RayMarchBindings::kFrame, uniforms.GetBuffer(), uniforms.OffsetBytes(ctx.frameSlot),
                     sizeof(FrameUniforms))
      .UniformBuffer(set, RayMarchBindings::kScene, Slots().In(SCENE), 0, sizeof(SceneUniforms))
      .StorageBuffer(set, RayMarchBindings::kChunkTable, Slots().In(CHUNK_TABLE))
      .StorageBuffer(set, RayMarchBindings::kCells, Slots().In(CELLS).After(ctx.copy))
      .StorageBuffer(set, RayMarchBindings::kOccupancy, Slots().In(OCCUPANCY))
      .StorageBuffer(set, RayMarchBindings::kSlotLights, Slots().In(SLOT_LIGHTS))
      .StorageImage(set, RayMarchBindings::kColour, Slots().Out(COLOUR));
}

void RayMarchNode::Record(gpu::RecordContext& ctx) {
  const ImageSize& size = Slots().In(EXTENT);
  ctx.recorder.BindPipeline(pipeline_);
  ctx.recorder.BindSet(pipeline_, 0, ctx.Set(0));
  ctx.recorder.Dispatch(ImageGroups(size.width), ImageGroups(size.height));
}

}  // namespace stadial::sandbox
