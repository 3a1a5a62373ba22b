// Takes the pictures that are to be kept from the device into the PictureStore, without a frame ever waiting
// for one: frame f's capture commands copy the pixels into the readback buffer of f's frame slot, and when
// the slot comes round again, FrameLoop::Begin has seen f complete, so the copy out is a memcpy.
#pragma once

#include <array>
#include <optional>

#include "options.h"
#include "picture_store.h"
#include "stadial/gpu/gpu_node.h"
#include "stadial/gpu/readback.h"
#include "stadial/gpu/submit_thread.h"

namespace stadial::sandbox {

struct PictureConfig : graph::NodeConfig<PictureConfig> {
  INPUT_SLOT(EXTENT, ImageSize, SlotRole::Compile);
  INPUT_SLOT(PIXELS, gpu::Buffer, SlotRole::Descriptor, graph::Access::None);  // read by captures alone
};

class PictureNode final : public gpu::GpuTypedNode<PictureConfig> {
 public:
  PictureNode(PictureStore& store, gpu::SubmitThread& submit) noexcept : store_(store), submit_(submit) {}

  graph::PreAllocRequirements GetPreAllocRequirements() const override { return {.declared = true}; }

  // At a resize: takes what the old readback buffers still hold. Every frame has completed by then.
  gpu::Result<void> Compile(CompileContext& ctx) override;
  gpu::Result<void> CreateResources(gpu::GpuResourceContext& ctx) override;
  void Record(gpu::RecordContext&) override {}
  void RecordCapture(gpu::RecordContext& ctx) override;
  void Execute(ExecuteContext& ctx) override;

  // After the last frame, and after a drain: everything that is still in a readback buffer. The first error
  // of any readback of the run.
  gpu::Result<void> Finish();

 private:
  struct Pending {
    Picture* picture = nullptr;
    std::uint64_t value = 0;  // complete when the pixels are there
  };
  void Collect(std::uint32_t slot) noexcept;

  PictureStore& store_;
  gpu::SubmitThread& submit_;
  std::array<gpu::Readback, kFramesInFlightLimit> readbacks_{};
  std::array<Pending, kFramesInFlightLimit> pending_{};
  std::optional<gpu::Error> error_;
};

}  // namespace stadial::sandbox
