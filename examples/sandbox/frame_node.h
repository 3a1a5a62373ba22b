// The source of every frame: its size, its camera and jitter, and the automaton's step, as the uniform block
// that all shaders read. It also is where a resize arrives: an event sets the new size and marks this node
// dirty, and the nodes that read EXTENT in Compile follow in the same batched recompile.
#pragma once

#include "frame_uniforms.h"
#include "options.h"
#include "stadial/gpu/gpu_node.h"
#include "stadial/gpu/uniform_ring.h"
#include "stadial/runtime/event_bus.h"

namespace stadial::sandbox {

struct FrameConfig : graph::NodeConfig<FrameConfig> {
  OUTPUT_SLOT(EXTENT, ImageSize, SlotRole::Compile);
  OUTPUT_SLOT(FRAME, FrameUniforms);                              // for nodes that add to it
  OUTPUT_SLOT(UNIFORMS, gpu::UniformRing, SlotRole::Descriptor);  // the same, per frame slot, for shaders
};

struct FrameNodeOptions {
  ImageSize size;
  CameraSpec camera;
  float turnPerFrame = 0.0F;  // degrees added to the yaw of an orbit
  Environment environment;
  std::uint32_t stepsPerFrame = 1;
  std::uint32_t seed = 1;
};

class FrameNode final : public gpu::GpuTypedNode<FrameConfig> {
 public:
  FrameNode(const World& world, const FrameNodeOptions& options) noexcept
      : world_(world), options_(options) {}

  graph::PreAllocRequirements GetPreAllocRequirements() const override {
    return {.eventsPerFrame = 1, .declared = true};  // its own NodeDirty after a resize
  }
  gpu::Result<void> Setup(graph::SetupContext& ctx) override;
  gpu::Result<void> Compile(CompileContext& ctx) override;
  gpu::Result<void> CreatePipelines(gpu::GpuSetupContext& ctx) override;
  void Record(gpu::RecordContext&) override {}
  void Execute(ExecuteContext& ctx) override;

  void OnResize(const ImageSize& size);

 private:
  const World& world_;
  FrameNodeOptions options_;
  runtime::EventBus* events_ = nullptr;
  runtime::Subscription resizes_;
  Camera previousCamera_;
};

}  // namespace stadial::sandbox
