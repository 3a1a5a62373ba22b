#include "frame_node.h"

#include "stadial/runtime/frame_loop.h"

namespace stadial::sandbox {

gpu::Result<void> FrameNode::Setup(graph::SetupContext& ctx) {
  events_ = &ctx.Events();
  STADIAL_ASSIGN_OR_RETURN(resizes_,
                           events_->Subscribe<&FrameNode::OnResize>(runtime::EventType::WindowResize, this));
  return {};
}

gpu::Result<void> FrameNode::Compile(CompileContext& ctx) {
  ctx.Out(EXTENT) = options_.size;
  return {};
}

gpu::Result<void> FrameNode::CreatePipelines(gpu::GpuSetupContext& ctx) {
  STADIAL_ASSIGN_OR_RETURN(
      Slots().Out(UNIFORMS),
      gpu::UniformRing::Create(ctx.memory, "frame uniforms", sizeof(FrameUniforms), ctx.framesInFlight));
  return {};
}

void FrameNode::Execute(ExecuteContext& ctx) {
  const std::uint64_t index = ctx.Frame().frameIndex;
  const Camera camera = MakeCamera(options_.camera, options_.turnPerFrame * static_cast<float>(index));
  if (index == 0) previousCamera_ = camera;
  const FrameParameters parameters{
      .camera = camera,
      .previousCamera = previousCamera_,
      .jitter = HaltonJitter(index),
      .width = options_.size.width,
      .height = options_.size.height,
      .still = camera == previousCamera_ && options_.stepsPerFrame == 0,
      // The automaton counts steps in 32 bits, and wraps.
      .step = static_cast<std::uint32_t>(index * options_.stepsPerFrame),
      .seed = options_.seed,
  };
  previousCamera_ = camera;
  const FrameUniforms uniforms = MakeFrameUniforms(world_, options_.environment, parameters);
  ctx.Out(FRAME, uniforms);
  Slots().Out(UNIFORMS).Write(ctx.Frame().slot, uniforms);
}

void FrameNode::OnResize(const ImageSize& size) {
  if (size == options_.size) return;
  options_.size = size;
  const runtime::EmitResult emitted = events_->Emit(
      {.type = runtime::EventType::NodeDirty, .data = static_cast<std::int64_t>(Handle().index)});
  STADIAL_ASSERT(emitted, "the event bus was sized for this node's event, and must take it");
}

}  // namespace stadial::sandbox
