#include "picture_node.h"

#include <cstring>

#include "stadial/runtime/frame_loop.h"
#include "tonemap_node.h"

namespace stadial::sandbox {

static_assert(kFramesInFlightLimit == runtime::kFramesInFlightMax,
              "one readback buffer for each frame slot there can be");

gpu::Result<void> PictureNode::Compile(CompileContext&) { return Finish(); }

gpu::Result<void> PictureNode::CreateResources(gpu::GpuResourceContext& ctx) {
  const ImageSize& size = Slots().In(EXTENT);
  const VkDeviceSize bytes = VkDeviceSize{size.width} * size.height * kPixelBytes;
  for (std::uint32_t slot = 0; slot < ctx.framesInFlight; ++slot) {
    STADIAL_ASSIGN_OR_RETURN(readbacks_[slot],
                             gpu::Readback::Create(ctx.memory, "picture", bytes, gpu::Lifetime::Compile));
  }
  return {};
}

void PictureNode::RecordCapture(gpu::RecordContext& ctx) {
  const gpu::Readback& readback = readbacks_[ctx.frameSlot];
  readback.RecordBuffer(ctx.recorder, Slots().In(PIXELS), readback.SizeBytes());
}

void PictureNode::Execute(ExecuteContext& ctx) {
  const runtime::FrameContext& frame = ctx.Frame();
  Collect(frame.slot);
  pending_[frame.slot] = {store_.Find(frame.frameIndex), frame.completionValue};
}

gpu::Result<void> PictureNode::Finish() {
  for (std::uint32_t slot = 0; slot < kFramesInFlightLimit; ++slot) Collect(slot);
  if (error_) return *error_;
  return {};
}

void PictureNode::Collect(std::uint32_t slot) noexcept {
  const Pending pending = pending_[slot];
  pending_[slot] = {};
  if (pending.picture == nullptr) return;
  // The value is complete already, so the wait is none: 0 makes an error of any other case.
  auto bytes = readbacks_[slot].Read(submit_, pending.value, 0);
  if (!bytes) {
    if (!error_) error_ = bytes.GetError();
    return;
  }
  std::memcpy(pending.picture->pixels.data(), bytes->data(), pending.picture->pixels.size());
  pending.picture->isFilled = true;
}

}  // namespace stadial::sandbox
