// Reads the cells back after the last frame, for comparing runs and devices. In the graph only when that is
// asked for.
#pragma once

#include "cell_buffers.h"
#include "stadial/gpu/gpu_node.h"
#include "stadial/gpu/readback.h"
#include "stadial/gpu/submit_thread.h"

namespace stadial::sandbox {

struct CellsConfig : graph::NodeConfig<CellsConfig> {
  INPUT_SLOT(CELLS, CellBuffers, SlotRole::Descriptor, graph::Access::None);
};

class CellsNode final : public gpu::GpuTypedNode<CellsConfig> {
 public:
  graph::PreAllocRequirements GetPreAllocRequirements() const override { return {.declared = true}; }
  std::uint32_t ReplayPeriod() const override { return kCellBufferCount; }

  gpu::Result<void> CreatePipelines(gpu::GpuSetupContext& ctx) override;
  void Record(gpu::RecordContext&) override {}
  // With every capture; what remains is the last one's.
  void RecordCapture(gpu::RecordContext& ctx) override;
  void Execute(ExecuteContext&) override {}

  // The cells of the last captured frame, one byte each, slot by slot. After a drain.
  gpu::Result<std::span<const std::byte>> Read(gpu::SubmitThread& submit) const noexcept;

 private:
  gpu::Readback readback_;
};

}  // namespace stadial::sandbox
