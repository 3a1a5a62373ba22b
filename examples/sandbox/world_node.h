// The world on the device: a node that only produces. It uploads the chunk atlas and its tables once, before
// the first frame; they live as long as the program, through every resize.
#pragma once

#include "cell_buffers.h"
#include "stadial/gpu/gpu_node.h"
#include "stadial/gpu/upload.h"
#include "world.h"

namespace stadial::sandbox {

struct WorldConfig : graph::NodeConfig<WorldConfig> {
  // Filled before the first frame; no frame's commands of this node touch them.
  OUTPUT_SLOT(CELLS, CellBuffers, SlotRole::Descriptor, graph::Access::None);
  OUTPUT_SLOT(CHUNK_TABLE, gpu::Buffer, SlotRole::Descriptor, graph::Access::None);
  OUTPUT_SLOT(SLOT_CHUNKS, gpu::Buffer, SlotRole::Descriptor, graph::Access::None);
  OUTPUT_SLOT(SLOT_LIGHTS, gpu::Buffer, SlotRole::Descriptor, graph::Access::None);
  OUTPUT_SLOT(SCENE, gpu::Buffer, SlotRole::Descriptor, graph::Access::None);  // SceneUniforms
};

class WorldNode final : public gpu::GpuTypedNode<WorldConfig> {
 public:
  // `world` and `uploader` must outlive the first Prepare.
  WorldNode(const World& world, gpu::SetupUploader& uploader, std::uint32_t stepsPerFrame) noexcept
      : world_(world), uploader_(uploader), stepsPerFrame_(stepsPerFrame) {}

  graph::PreAllocRequirements GetPreAllocRequirements() const override { return {.declared = true}; }
  graph::ResourceEstimate GetResourceEstimate() const override;
  gpu::Result<void> CreatePipelines(gpu::GpuSetupContext& ctx) override;
  void Record(gpu::RecordContext&) override {}
  void Execute(ExecuteContext&) override {}

 private:
  const World& world_;
  gpu::SetupUploader& uploader_;
  std::uint32_t stepsPerFrame_;
};

}  // namespace stadial::sandbox
