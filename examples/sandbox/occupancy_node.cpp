#include "occupancy_node.h"

#include "occupancy.comp.h"

namespace stadial::sandbox {
namespace {

using graph::DescriptorBinding;
using graph::DescriptorType;

constexpr DescriptorBinding kBindings[] = {
    {.binding = OccupancyBindings::kCells, .type = DescriptorType::StorageBuffer},
    {.binding = OccupancyBindings::kOccupancy, .type = DescriptorType::StorageBuffer},
};
constexpr graph::DescriptorSetRequirement kSets[] = {
    {.setIndex = 0, .bindings = kBindings, .debugName = "occupancy"}};

}  // namespace

std::span<const graph::DescriptorSetRequirement> OccupancyNode::GetDescriptorRequirements() const {
  return kSets;
}

gpu::Result<void> OccupancyNode::CreatePipelines(gpu::GpuSetupContext& ctx) {
  STADIAL_ASSIGN_OR_RETURN(
      pipeline_,
      ctx.pipelines.CreatePipeline({.name = "occupancy", .spirv = kOccupancyCompSpirv, .sets = kSets}));
  const std::uint64_t words = std::uint64_t{Slots().In(CELLS).slotCount} * kOccupancyWordsPerSlot;
  STADIAL_ASSIGN_OR_RETURN(Slots().Out(OCCUPANCY),
                           ctx.memory.CreateBuffer({.name = "occupancy",
                                                    .sizeBytes = words * sizeof(std::uint32_t),
                                                    .lifetime = gpu::Lifetime::Setup}));
  return {};
}

void OccupancyNode::WriteDescriptors(gpu::GpuDescriptorContext& ctx) {
  ctx.writer.StorageBuffer(ctx.Set(0), OccupancyBindings::kCells, Slots().In(CELLS).After(ctx.copy))
      .StorageBuffer(ctx.Set(0), OccupancyBindings::kOccupancy, Slots().Out(OCCUPANCY));
}

void OccupancyNode::Record(gpu::RecordContext& ctx) {
  ctx.recorder.BindPipeline(pipeline_);
  ctx.recorder.BindSet(pipeline_, 0, ctx.Set(0));
  ctx.recorder.Dispatch(Slots().In(CELLS).slotCount);
}

}  // namespace stadial::sandbox
