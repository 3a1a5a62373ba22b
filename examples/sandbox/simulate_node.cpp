#include "simulate_node.h"

#include "automaton.comp.h"
#include "canary.h"
#include "stadial/runtime/frame_loop.h"

namespace stadial::sandbox {
namespace {

using graph::DescriptorBinding;
using graph::DescriptorType;

constexpr DescriptorBinding kBindings[] = {
    {.binding = AutomatonBindings::kFrame, .type = DescriptorType::UniformBuffer},
    {.binding = AutomatonBindings::kChunkTable, .type = DescriptorType::StorageBuffer},
    {.binding = AutomatonBindings::kSlotChunks, .type = DescriptorType::StorageBuffer},
    {.binding = AutomatonBindings::kCellsIn, .type = DescriptorType::StorageBuffer},
    {.binding = AutomatonBindings::kCellsOut, .type = DescriptorType::StorageBuffer},
};
// One set per direction: set 0 steps from buffer 0 into buffer 1, set 1 back.
constexpr graph::DescriptorSetRequirement kSets[] = {
    {.setIndex = 0, .bindings = kBindings, .debugName = "automaton", .setCount = kCellBufferCount}};

}  // namespace

std::span<const graph::DescriptorSetRequirement> SimulateNode::GetDescriptorRequirements() const {
  return kSets;
}

gpu::Result<void> SimulateNode::CreatePipelines(gpu::GpuSetupContext& ctx) {
  STADIAL_ASSIGN_OR_RETURN(pipeline_,
                           ctx.pipelines.CreatePipeline({.name = "automaton",
                                                         .spirv = kAutomatonCompSpirv,
                                                         .sets = kSets,
                                                         .pushConstantBytes = sizeof(AutomatonPush)}));
  Slots().Out(STEPPED) = Slots().In(CELLS);
  return {};
}

void SimulateNode::WriteDescriptors(gpu::GpuDescriptorContext& ctx) {
  const gpu::UniformRing& uniforms = Slots().In(UNIFORMS);
  const CellBuffers& cells = Slots().In(CELLS);
  for (std::uint32_t from = 0; from < kCellBufferCount; ++from) {
    const VkDescriptorSet set = ctx.Set(0, from);
    ctx.writer
        .UniformBuffer(set, AutomatonBindings::kFrame, uniforms.GetBuffer(),
                       uniforms.OffsetBytes(ctx.frameSlot), sizeof(FrameUniforms))
        .StorageBuffer(set, AutomatonBindings::kChunkTable, Slots().In(CHUNK_TABLE))
        .StorageBuffer(set, AutomatonBindings::kSlotChunks, Slots().In(SLOT_CHUNKS))
        .StorageBuffer(set, AutomatonBindings::kCellsIn, cells.buffers[from])
        .StorageBuffer(set, AutomatonBindings::kCellsOut, cells.buffers[1 - from]);
  }
}

void SimulateNode::Record(gpu::RecordContext& ctx) {
  const CellBuffers& cells = Slots().In(CELLS);
  if (cells.stepsPerFrame == 0) return;
  ctx.recorder.BindPipeline(pipeline_);
  for (std::uint32_t pass = 0; pass < cells.stepsPerFrame; ++pass) {
    if (pass != 0) ctx.recorder.PassBarrier();
    const std::uint32_t from = (cells.IndexBefore(ctx.replayIndex) + pass) % kCellBufferCount;
    ctx.recorder.BindSet(pipeline_, 0, ctx.Set(0, from));
    ctx.recorder.PushConstants(pipeline_, AutomatonPush{.subStep = pass});
    ctx.recorder.Dispatch(cells.slotCount, kAutomatonGroupsY);
  }
}

void SimulateNode::Execute(ExecuteContext& ctx) { VisitCanary(ctx.Frame().frameIndex); }

}  // namespace stadial::sandbox
