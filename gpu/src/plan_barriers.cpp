#include "stadial/gpu/plan_barriers.h"

namespace stadial::gpu {

// graph's numbers are Vulkan's.
static_assert(graph::stages::kDrawIndirect == VK_PIPELINE_STAGE_2_DRAW_INDIRECT_BIT);
static_assert(graph::stages::kVertexShader == VK_PIPELINE_STAGE_2_VERTEX_SHADER_BIT);
static_assert(graph::stages::kFragmentShader == VK_PIPELINE_STAGE_2_FRAGMENT_SHADER_BIT);
static_assert(graph::stages::kEarlyFragmentTests == VK_PIPELINE_STAGE_2_EARLY_FRAGMENT_TESTS_BIT);
static_assert(graph::stages::kLateFragmentTests == VK_PIPELINE_STAGE_2_LATE_FRAGMENT_TESTS_BIT);
static_assert(graph::stages::kColorAttachmentOutput == VK_PIPELINE_STAGE_2_COLOR_ATTACHMENT_OUTPUT_BIT);
static_assert(graph::stages::kCompute == VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT);
static_assert(graph::stages::kTransfer == VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT);
static_assert(graph::stages::kHost == VK_PIPELINE_STAGE_2_HOST_BIT);
static_assert(graph::stages::kIndexInput == VK_PIPELINE_STAGE_2_INDEX_INPUT_BIT);
static_assert(graph::stages::kVertexAttributeInput == VK_PIPELINE_STAGE_2_VERTEX_ATTRIBUTE_INPUT_BIT);
static_assert(graph::stages::kComposite ==
              (VK_PIPELINE_STAGE_2_TOP_OF_PIPE_BIT | VK_PIPELINE_STAGE_2_VERTEX_INPUT_BIT |
               VK_PIPELINE_STAGE_2_BOTTOM_OF_PIPE_BIT | VK_PIPELINE_STAGE_2_ALL_GRAPHICS_BIT |
               VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT | VK_PIPELINE_STAGE_2_PRE_RASTERIZATION_SHADERS_BIT |
               VK_PIPELINE_STAGE_2_COPY_BIT | VK_PIPELINE_STAGE_2_RESOLVE_BIT | VK_PIPELINE_STAGE_2_BLIT_BIT |
               VK_PIPELINE_STAGE_2_CLEAR_BIT));
static_assert(graph::accesses::kIndirectRead == VK_ACCESS_2_INDIRECT_COMMAND_READ_BIT);
static_assert(graph::accesses::kIndexRead == VK_ACCESS_2_INDEX_READ_BIT);
static_assert(graph::accesses::kVertexAttributeRead == VK_ACCESS_2_VERTEX_ATTRIBUTE_READ_BIT);
static_assert(graph::accesses::kUniformRead == VK_ACCESS_2_UNIFORM_READ_BIT);
static_assert(graph::accesses::kColorAttachmentRead == VK_ACCESS_2_COLOR_ATTACHMENT_READ_BIT);
static_assert(graph::accesses::kColorAttachmentWrite == VK_ACCESS_2_COLOR_ATTACHMENT_WRITE_BIT);
static_assert(graph::accesses::kDepthStencilRead == VK_ACCESS_2_DEPTH_STENCIL_ATTACHMENT_READ_BIT);
static_assert(graph::accesses::kDepthStencilWrite == VK_ACCESS_2_DEPTH_STENCIL_ATTACHMENT_WRITE_BIT);
static_assert(graph::accesses::kTransferRead == VK_ACCESS_2_TRANSFER_READ_BIT);
static_assert(graph::accesses::kTransferWrite == VK_ACCESS_2_TRANSFER_WRITE_BIT);
static_assert(graph::accesses::kHostRead == VK_ACCESS_2_HOST_READ_BIT);
static_assert(graph::accesses::kHostWrite == VK_ACCESS_2_HOST_WRITE_BIT);
static_assert(graph::accesses::kSampledRead == VK_ACCESS_2_SHADER_SAMPLED_READ_BIT);
static_assert(graph::accesses::kStorageRead == VK_ACCESS_2_SHADER_STORAGE_READ_BIT);
static_assert(graph::accesses::kStorageWrite == VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT);
static_assert(graph::accesses::kComposite == (VK_ACCESS_2_SHADER_READ_BIT | VK_ACCESS_2_SHADER_WRITE_BIT |
                                              VK_ACCESS_2_MEMORY_READ_BIT | VK_ACCESS_2_MEMORY_WRITE_BIT));
static_assert(static_cast<int>(graph::ImageLayout::General) == VK_IMAGE_LAYOUT_GENERAL);
static_assert(static_cast<int>(graph::ImageLayout::ColorAttachment) ==
              VK_IMAGE_LAYOUT_COLOR_ATTACHMENT_OPTIMAL);
static_assert(static_cast<int>(graph::ImageLayout::DepthStencilAttachment) ==
              VK_IMAGE_LAYOUT_DEPTH_STENCIL_ATTACHMENT_OPTIMAL);
static_assert(static_cast<int>(graph::ImageLayout::ShaderReadOnly) ==
              VK_IMAGE_LAYOUT_SHADER_READ_ONLY_OPTIMAL);
static_assert(static_cast<int>(graph::ImageLayout::TransferSource) == VK_IMAGE_LAYOUT_TRANSFER_SRC_OPTIMAL);
static_assert(static_cast<int>(graph::ImageLayout::TransferTarget) == VK_IMAGE_LAYOUT_TRANSFER_DST_OPTIMAL);

void RecordBarriers(Recorder& recorder, std::span<const graph::Barrier> barriers) noexcept {
  BarrierBatch batch;
  for (const graph::Barrier& barrier : barriers) {
    STADIAL_ASSERT_ALWAYS(barrier.IsGlobal(), "a barrier of a single image, which this layer never needs");
    if (batch.IsFull()) recorder.Barrier(batch);
    batch.Memory(barrier.sourceStages, barrier.sourceAccess, barrier.targetStages, barrier.targetAccess);
  }
  recorder.Barrier(batch);
}

}  // namespace stadial::gpu
