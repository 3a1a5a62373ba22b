// GPU nodes. A complete one:
//
//   struct BlurConfig : graph::NodeConfig<BlurConfig> {
//     INPUT_SLOT(SOURCE, gpu::Image, graph::Access::ComputeStorageRead);
//     OUTPUT_SLOT(RESULT, gpu::Image, graph::Access::ComputeStorageWrite);
//   };
//   class BlurNode final : public gpu::GpuTypedNode<BlurConfig> {
//    public:
//     std::span<const graph::DescriptorSetRequirement> GetDescriptorRequirements() const override {
//       return kSets;
//     }
//     Result<void> CreatePipelines(gpu::GpuSetupContext& ctx) override {  // once
//       STADIAL_ASSIGN_OR_RETURN(pipeline_, ctx.pipelines.CreatePipeline(
//                                               {.name = Name(), .spirv = kBlurCompSpirv, .sets = kSets}));
//       return {};
//     }
//     Result<void> CreateResources(gpu::GpuResourceContext& ctx) override {  // at each Prepare
//       STADIAL_ASSIGN_OR_RETURN(Slots().Out(RESULT), ctx.memory.CreateImage(
//                                                         {.name = "blurred", .width = 640, .height = 480}));
//       return {};
//     }
//     void WriteDescriptors(gpu::GpuDescriptorContext& ctx) override {  // once per copy
//       ctx.writer.StorageImage(ctx.Set(0), 0, Slots().In(SOURCE));
//       ctx.writer.StorageImage(ctx.Set(0), 1, Slots().Out(RESULT));
//     }
//     void Record(gpu::RecordContext& ctx) override {  // once per replay index
//       ctx.recorder.BindPipeline(pipeline_);
//       ctx.recorder.BindSet(pipeline_, 0, ctx.Set(0));
//       ctx.recorder.Dispatch(gpu::GroupsCovering(640, 8), gpu::GroupsCovering(480, 8));
//     }
//     void Execute(ExecuteContext&) override {}  // per frame: write uniforms, nothing else
//    ...
//
// The order, driven by GpuExecutor: CreatePipelines once; then at every Prepare, each step for all nodes in
// plan order before the next step starts: CreateResources, WriteDescriptors (per copy), RecordOnce, Record
// (per replay index), RecordCapture (per replay index). Producers come before consumers, so an input's Image
// or Buffer is there in CreateResources; what comes the other way round (history) is there in
// WriteDescriptors.
//
// Copies and replay indices. Frame f submits the command buffer recorded for replay index f % period. A node
// with ReplayPeriod() p has lcm(p, frames in flight) copies of its descriptor sets; replay index r uses copy
// r % copies, frame slot r % frames in flight, and history image r % depth. Per-frame data lies in a
// UniformRing, per frame slot.
//
// Barriers follow from the accesses that the slots state (graph/barriers.h), against the nodes before and
// against the frame before. Inside a node the node places its own (Recorder::PassBarrier). What a node uses
// must stand in a slot: a buffer that it keeps for itself is an output, what it takes from another node
// without a connection is told by GetSideAccesses. A slot of gpu::Image, gpu::Buffer or gpu::HistoryImages
// without an access does not compile; graph::Access::None says that no frame touches it. RecordOnce and
// RecordCapture stand between barriers of their own. Thread rules: the frame thread, in Compile. Only Execute
// runs in a frame, and it makes no Vulkan call.
#pragma once

#include <cstdint>

#include "stadial/gpu/commands.h"
#include "stadial/gpu/compute_pipeline.h"
#include "stadial/gpu/descriptor_pool.h"
#include "stadial/gpu/gpu_memory.h"
#include "stadial/graph/node.h"
#include "stadial/graph/timeline.h"

namespace stadial::gpu {

struct GpuSetupContext {
  Device& device;
  GpuMemory& memory;  // Lifetime::Setup objects may be made here too (uniform rings, tables)
  PipelineLibrary& pipelines;
  std::uint32_t framesInFlight;
};

struct GpuResourceContext {
  Device& device;
  GpuMemory& memory;  // objects of Lifetime::Compile die at the next Prepare
  std::uint32_t framesInFlight;
};

struct GpuDescriptorContext {
  Device& device;
  DescriptorWriter& writer;
  const DescriptorSetPool& pool;
  std::uint32_t owner;
  std::uint32_t copy;       // 0 .. copies-1; also the replay index to resolve history with
  std::uint32_t frameSlot;  // copy % frames in flight

  // Set `index` of the node's requirement number `requirement` (its place in GetDescriptorRequirements), for
  // this copy.
  VkDescriptorSet Set(std::uint32_t requirement, std::uint32_t index = 0) const noexcept {
    return pool.Set(owner, requirement, copy, index);
  }
};

struct RecordContext {
  Recorder& recorder;
  const DescriptorSetPool& pool;
  std::uint32_t owner;
  std::uint32_t replayIndex;
  std::uint32_t copy;       // replayIndex % copies
  std::uint32_t frameSlot;  // replayIndex % frames in flight

  VkDescriptorSet Set(std::uint32_t requirement, std::uint32_t index = 0) const noexcept {
    return pool.Set(owner, requirement, copy, index);
  }
};

// The GPU side of a node. Mixed into a graph::NodeInstance; the executor finds it by dynamic_cast at the
// compile point.
class GpuNode {
 public:
  virtual ~GpuNode() = default;

  virtual Result<void> CreatePipelines(GpuSetupContext&) { return {}; }
  virtual Result<void> CreateResources(GpuResourceContext&) { return {}; }
  virtual void WriteDescriptors(GpuDescriptorContext&) {}
  // Commands that run once, before the first frame after a Prepare. All new images are in GENERAL and zero by
  // then.
  virtual void RecordOnce(Recorder&) {}
  // The node's part of a frame.
  virtual void Record(RecordContext&) = 0;
  // Commands that run after the frame's, and only in frames submitted with capture: copies into Readbacks.
  virtual void RecordCapture(RecordContext&) {}
};

// A typed graph node with a GPU side. Execute is left to the node; most write their uniforms there.
template <class ConfigT>
class GpuTypedNode : public graph::TypedNode<ConfigT>, public GpuNode {};

// The same with a history in the graph (graph/timeline.h); its images are a HistoryImages.
template <class ConfigT>
class GpuTimelineTypedNode : public graph::TimelineTypedNode<ConfigT>, public GpuNode {};

}  // namespace stadial::gpu
