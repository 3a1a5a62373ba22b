#include "taa_node.h"

#include "stadial/runtime/frame_loop.h"
#include "taa.comp.h"

namespace stadial::sandbox {
namespace {

using graph::DescriptorBinding;
using graph::DescriptorType;

constexpr VkFormat kFormat = VK_FORMAT_R32G32B32A32_SFLOAT;
constexpr std::uint32_t kTexelBytes = 16;

constexpr DescriptorBinding kBindings[] = {
    {.binding = TaaBindings::kFrame, .type = DescriptorType::UniformBuffer},
    {.binding = TaaBindings::kCurrent, .type = DescriptorType::StorageImage},
    {.binding = TaaBindings::kHistoryIn, .type = DescriptorType::StorageImage},
    {.binding = TaaBindings::kHistoryOut, .type = DescriptorType::StorageImage},
};
constexpr graph::DescriptorSetRequirement kSets[] = {
    {.setIndex = 0, .bindings = kBindings, .debugName = "taa"}};

}  // namespace

std::span<const graph::DescriptorSetRequirement> TaaNode::GetDescriptorRequirements() const { return kSets; }

graph::PreAllocRequirements TaaNode::GetPreAllocRequirements() const {
  return {.descriptorSetCount = 1,
          .historyFrames = GetMaxHistoryFrames(),
          .historyResources = GetHistoryResourceCount(),
          .declared = true};
}

gpu::Result<void> TaaNode::Compile(CompileContext& ctx) {
  // A new size is a new resource: the timeline answers `Resized` for frames that stored the old one.
  if (accumulated_) {
    STADIAL_RETURN_IF_ERROR(ctx.Resources().Destroy(accumulated_));
    accumulated_ = {};
  }
  const ImageSize& size = ctx.In(EXTENT);
  STADIAL_ASSIGN_OR_RETURN(accumulated_, ctx.Resources().Create({.kind = graph::ResourceKind::Image,
                                                                 .name = "accumulated",
                                                                 .sizeBytes = std::uint64_t{size.width} *
                                                                              size.height * kTexelBytes,
                                                                 .width = size.width,
                                                                 .height = size.height,
                                                                 .format = kFormat,
                                                                 .copies = History().Depth()}));
  return {};
}

gpu::Result<void> TaaNode::CreatePipelines(gpu::GpuSetupContext& ctx) {
  STADIAL_ASSIGN_OR_RETURN(
      pipeline_, ctx.pipelines.CreatePipeline({.name = "taa", .spirv = kTaaCompSpirv, .sets = kSets}));
  STADIAL_ASSIGN_OR_RETURN(uniforms_, gpu::UniformRing::Create(ctx.memory, "taa uniforms",
                                                               sizeof(FrameUniforms), ctx.framesInFlight));
  return {};
}

gpu::Result<void> TaaNode::CreateResources(gpu::GpuResourceContext& ctx) {
  const ImageSize& size = Slots().In(EXTENT);
  STADIAL_ASSIGN_OR_RETURN(
      Slots().Out(ACCUMULATED),
      gpu::HistoryImages::Create(
          ctx.memory, {.name = "accumulated", .format = kFormat, .width = size.width, .height = size.height},
          History().Depth()));
  return {};
}

void TaaNode::WriteDescriptors(gpu::GpuDescriptorContext& ctx) {
  const VkDescriptorSet set = ctx.Set(0);
  const gpu::HistoryImages& accumulated = Slots().Out(ACCUMULATED);
  ctx.writer
      .UniformBuffer(set, TaaBindings::kFrame, uniforms_.GetBuffer(), uniforms_.OffsetBytes(ctx.frameSlot),
                     sizeof(FrameUniforms))
      .StorageImage(set, TaaBindings::kCurrent, Slots().In(COLOUR))
      .StorageImage(set, TaaBindings::kHistoryIn, accumulated.Previous(ctx.copy, 1))
      .StorageImage(set, TaaBindings::kHistoryOut, accumulated.Current(ctx.copy));
}

void TaaNode::Record(gpu::RecordContext& ctx) {
  const ImageSize& size = Slots().In(EXTENT);
  ctx.recorder.BindPipeline(pipeline_);
  ctx.recorder.BindSet(pipeline_, 0, ctx.Set(0));
  ctx.recorder.Dispatch(ImageGroups(size.width), ImageGroups(size.height));
}

void TaaNode::Execute(ExecuteContext& ctx) {
  FrameUniforms uniforms = ctx.In(FRAME);
  const graph::HistoryLookup previous = GetPreviousFrameResource(1, kAccumulated);
  if (previous) {
    uniforms.image[2] |= kFrameHistoryValid;
  } else {
    uniforms.image[2] &= ~static_cast<std::uint32_t>(kFrameHistoryValid);
  }
  uniforms_.Write(ctx.Frame().slot, uniforms);
  StoreCurrentFrameResource(kAccumulated, accumulated_, true);
}

}  // namespace stadial::sandbox
