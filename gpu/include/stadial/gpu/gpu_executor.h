// GpuExecutor: turns a compiled graph into command buffers that are recorded once and replayed, and submits
// one a frame.
//
//   auto executor = GpuExecutor::Create(memory, submit, pipelines, graph, {}).Value();  // Setup
//   runtime.SealSetup();
//   graph.Compile();
//   executor->Prepare();  // phase Compile: resources, descriptors, recording
//   per frame: frame = Begin(); graph.Execute(*frame); executor->SubmitFrame(*frame);
//              End(frame->completionValue);
//   resize:    Phases().Transition(Compile); graph.Compile(); executor->Prepare();  // drains first
//
// Replay period = lcm(graph.ReplayPeriod(), frames in flight): frame f replays buffer f % period, whose last
// use was a multiple of the frames in flight ago and is therefore complete when Begin lets f start. From
// Create on the executor makes the SubmitThread the frame loop's completion source, so every frame that ends
// must have been submitted. Prepare seals the host memory (with headroom), and unseals it while it works.
// Thread rules: the frame thread. Cost of SubmitFrame: one push into a ring (submit_thread.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "stadial/arenas/effects.h"
#include "stadial/arenas/fixed_vector.h"
#include "stadial/gpu/commands.h"
#include "stadial/gpu/descriptor_pool.h"
#include "stadial/gpu/gpu_memory.h"
#include "stadial/gpu/gpu_node.h"
#include "stadial/gpu/owned.h"
#include "stadial/gpu/submit_thread.h"
#include "stadial/runtime/frame_loop.h"

namespace stadial::graph {
class RenderGraph;
}
namespace stadial::runtime {
struct AuditReport;
}

namespace stadial::gpu {

struct GpuExecutorOptions {
  std::uint32_t replayPeriodMax =
      32;  // command buffers: two per replay index (frame, capture), and one for RecordOnce
  std::uint32_t nodesMax = 256;  // GPU nodes in one plan
  DescriptorPoolOptions descriptors = {};
  // Headroom of the sealed host memory. The software drivers keep one or two blocks of a few hundred bytes
  // per frame in flight; 1 MiB leaves room for drivers that keep a thousand times that.
  std::size_t hostHeadroomBytes = std::size_t{1} << 20;
};

class GpuExecutor {
 public:
  // Setup phase. Errors: capacity, WrongPhase.
  static Result<Owned<GpuExecutor>> Create(GpuMemory& memory, SubmitThread& submit,
                                           PipelineLibrary& pipelines, graph::RenderGraph& graph,
                                           const GpuExecutorOptions& options) noexcept;
  GpuExecutor(GpuMemory& memory, SubmitThread& submit, PipelineLibrary& pipelines, graph::RenderGraph& graph,
              const GpuExecutorOptions& options, arenas::Arena& arena) noexcept;
  ~GpuExecutor();  // drains, gives the frame loop its own completion source back
  GpuExecutor(const GpuExecutor&) = delete;
  GpuExecutor& operator=(const GpuExecutor&) = delete;

  // Compile phase, after the graph has compiled; also after a resize or recompile. Drains; destroys what the
  // last Prepare made (descriptor sets, objects of Lifetime::Compile); runs the steps of gpu_node.h. After an
  // error nothing is prepared and SubmitFrame refuses; Prepare may be called again.
  Result<void> Prepare() noexcept;

  // Inside a frame: submits its command buffer, and with `capture` the capture commands behind it, with the
  // frame's completion value. Never blocks. Errors: those of SubmitThread::Submit, WrongPhase when nothing is
  // prepared.
  Result<void> SubmitFrame(const runtime::FrameContext& frame,
                           bool capture = false) noexcept STADIAL_NONALLOCATING;

  std::uint32_t ReplayPeriod() const noexcept { return period_; }
  std::uint32_t NodeCount() const noexcept { return static_cast<std::uint32_t>(nodes_.Size()); }
  // The plan's barriers, all recorded into each frame's command buffer; those of one node in one command.
  std::uint32_t BarriersPerFrame() const noexcept { return barriers_; }
  bool IsPrepared() const noexcept { return prepared_; }
  const DescriptorSetPool& Descriptors() const noexcept { return *descriptors_; }

  // Fills devices[], validation messages and callback allocations; call Judge again. Allocates; not in a
  // frame.
  void FillAudit(runtime::AuditReport& report) const;

 private:
  struct Entry {
    GpuNode* gpu = nullptr;
    graph::NodeInstance* node = nullptr;
    std::uint32_t copies = 0;
    std::uint32_t owner = 0;
    std::uint32_t position = 0;
  };
  Result<void> CollectNodes() noexcept;
  Result<void> CreatePipelinesOnce() noexcept;
  Result<void> CreateResources() noexcept;
  Result<void> BuildDescriptors() noexcept;
  Result<void> RunOnce() noexcept;
  Result<void> RecordReplay(std::uint32_t index) noexcept;
  Result<void> RecordCaptures(std::uint32_t index) noexcept;
  Result<void> PrepareUnsealed() noexcept;
  Result<void> CheckBarriers() noexcept;
  std::uint64_t CallbacksInFrames() const noexcept STADIAL_NONALLOCATING;

  GpuMemory& memory_;
  SubmitThread& submit_;
  PipelineLibrary& pipelines_;
  graph::RenderGraph& graph_;
  Device& device_;
  GpuExecutorOptions options_;
  Owned<DescriptorSetPool> descriptors_;
  Owned<CommandBuffers> frames_;
  Owned<CommandBuffers> captures_;
  Owned<CommandBuffers> once_;
  arenas::FixedVector<Entry> nodes_;
  arenas::FixedVector<GpuNode*> withPipelines_;  // nodes whose CreatePipelines has run
  std::uint32_t framesInFlight_ = 1;
  std::uint32_t period_ = 0;
  std::uint32_t barriers_ = 0;
  bool prepared_ = false;
  std::uint64_t callbacksAtSteady_ = 0;
  bool steady_ = false;
};

}  // namespace stadial::gpu
