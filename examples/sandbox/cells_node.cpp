#include "cells_node.h"

namespace stadial::sandbox {

gpu::Result<void> CellsNode::CreatePipelines(gpu::GpuSetupContext& ctx) {
  STADIAL_ASSIGN_OR_RETURN(readback_,
                           gpu::Readback::Create(ctx.memory, "cells", Slots().In(CELLS).buffers[0].sizeBytes,
                                                 gpu::Lifetime::Setup));
  return {};
}

void CellsNode::RecordCapture(gpu::RecordContext& ctx) {
  readback_.RecordBuffer(ctx.recorder, Slots().In(CELLS).After(ctx.replayIndex), readback_.SizeBytes());
}

gpu::Result<std::span<const std::byte>> CellsNode::Read(gpu::SubmitThread& submit) const noexcept {
  return readback_.Read(submit, submit.SubmittedValue(), 0);
}

}  // namespace stadial::sandbox
