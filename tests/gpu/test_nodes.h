// Three GPU nodes with history, and their model on the CPU:
//   seed (buffer) -> accumulate (history of two images) -> finish (buffer, read back on capture)
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "accumulate.comp.h"
#include "finish.comp.h"
#include "seed.comp.h"
#include "stadial/gpu/gpu_executor.h"
#include "stadial/gpu/gpu_node.h"
#include "stadial/gpu/history_images.h"
#include "stadial/gpu/readback.h"
#include "stadial/gpu/uniform_ring.h"
#include "stadial/graph/render_graph.h"

namespace stadial::gpu::testing {

inline constexpr std::uint32_t kItems = 256;  // 16 x 16 texels
inline constexpr std::uint32_t kMask = 0x5a5a5a5a;
inline constexpr std::uint32_t kAddend = 7;

struct FrameUniforms {
  std::uint32_t frameNumber = 0;
  std::uint32_t count = kItems;
  std::uint32_t historyFrames = 0;
};

inline graph::DescriptorBinding Binding(std::uint32_t number, graph::DescriptorType type) {
  return {.binding = number, .type = type};
}

struct SeedConfig : graph::NodeConfig<SeedConfig> {
  OUTPUT_SLOT(VALUES, gpu::Buffer, graph::Access::ComputeStorageWrite);
};

class SeedNode final : public GpuTypedNode<SeedConfig> {
 public:
  std::span<const graph::DescriptorSetRequirement> GetDescriptorRequirements() const override {
    return sets_;
  }
  Result<void> CreatePipelines(GpuSetupContext& ctx) override {
    ++pipelinesMade_;
    STADIAL_ASSIGN_OR_RETURN(
        pipeline_, ctx.pipelines.CreatePipeline({.name = Name(), .spirv = kSeedCompSpirv, .sets = sets_}));
    STADIAL_ASSIGN_OR_RETURN(uniforms_, UniformRing::Create(ctx.memory, "seed uniforms",
                                                            sizeof(FrameUniforms), ctx.framesInFlight));
    return {};
  }
  Result<void> CreateResources(GpuResourceContext& ctx) override {
    STADIAL_ASSIGN_OR_RETURN(Slots().Out(VALUES),
                             ctx.memory.CreateBuffer({.name = "values", .sizeBytes = kItems * 4}));
    return {};
  }
  void WriteDescriptors(GpuDescriptorContext& ctx) override {
    ctx.writer
        .UniformBuffer(ctx.Set(0), 0, uniforms_.GetBuffer(), uniforms_.OffsetBytes(ctx.frameSlot),
                       sizeof(FrameUniforms))
        .StorageBuffer(ctx.Set(0), 1, Slots().Out(VALUES));
  }
  void Record(RecordContext& ctx) override {
    ctx.recorder.BindPipeline(pipeline_);
    ctx.recorder.BindSet(pipeline_, 0, ctx.Set(0));
    ctx.recorder.Dispatch(GroupsCovering(kItems, 64));
  }
  void Execute(ExecuteContext& ctx) override {
    uniforms_.Write(ctx.Frame().slot,
                    FrameUniforms{.frameNumber = static_cast<std::uint32_t>(ctx.Frame().frameIndex)});
  }
  std::uint32_t PipelinesMade() const { return pipelinesMade_; }

 private:
  static constexpr std::array<graph::DescriptorBinding, 2> kBindings{
      {{.binding = 0, .type = graph::DescriptorType::UniformBuffer},
       {.binding = 1, .type = graph::DescriptorType::StorageBuffer}}};
  std::array<graph::DescriptorSetRequirement, 1> sets_{
      {{.setIndex = 0, .bindings = kBindings, .debugName = "seed set"}}};
  ComputePipeline pipeline_;
  UniformRing uniforms_;
  std::uint32_t pipelinesMade_ = 0;
};

struct AccumulateConfig : graph::NodeConfig<AccumulateConfig> {
  INPUT_SLOT(VALUES, gpu::Buffer, graph::Access::ComputeStorageRead);
  OUTPUT_SLOT(CURRENT, gpu::HistoryImages, graph::Access::ComputeStorageReadWrite);
};

class AccumulateNode final : public GpuTimelineTypedNode<AccumulateConfig> {
 public:
  static constexpr std::uint32_t kHistoryFrames = 2;
  static constexpr graph::ResourceId kSum{1};

  explicit AccumulateNode(std::uint32_t width = 16) : width_(width) {}
  void Resize(std::uint32_t width) { width_ = width; }

  std::uint32_t GetMaxHistoryFrames() const override { return kHistoryFrames; }
  std::uint32_t ReplayPeriod() const override { return kHistoryFrames + 1; }
  std::span<const graph::DescriptorSetRequirement> GetDescriptorRequirements() const override {
    return sets_;
  }
  Result<void> CreatePipelines(GpuSetupContext& ctx) override {
    STADIAL_ASSIGN_OR_RETURN(pipeline_, ctx.pipelines.CreatePipeline(
                                            {.name = Name(), .spirv = kAccumulateCompSpirv, .sets = sets_}));
    STADIAL_ASSIGN_OR_RETURN(uniforms_, UniformRing::Create(ctx.memory, "accumulate uniforms",
                                                            sizeof(FrameUniforms), ctx.framesInFlight));
    return {};
  }
  Result<void> CreateResources(GpuResourceContext& ctx) override {
    const ImageOptions options{.name = "sum", .format = VK_FORMAT_R32_UINT, .width = width_, .height = 16};
    STADIAL_ASSIGN_OR_RETURN(images_, HistoryImages::Create(ctx.memory, options, kHistoryFrames + 1));
    Slots().Out(CURRENT) = images_;
    return {};
  }
  void WriteDescriptors(GpuDescriptorContext& ctx) override {
    ctx.writer
        .UniformBuffer(ctx.Set(0), 0, uniforms_.GetBuffer(), uniforms_.OffsetBytes(ctx.frameSlot),
                       sizeof(FrameUniforms))
        .StorageBuffer(ctx.Set(0), 1, Slots().In(VALUES))
        .StorageImage(ctx.Set(0), 2, images_.Current(ctx.copy))
        .StorageImage(ctx.Set(0), 3, images_.Previous(ctx.copy, 1))
        .StorageImage(ctx.Set(0), 4, images_.Previous(ctx.copy, 2));
  }
  void Record(RecordContext& ctx) override {
    ctx.recorder.BindPipeline(pipeline_);
    ctx.recorder.BindSet(pipeline_, 0, ctx.Set(0));
    ctx.recorder.Dispatch(GroupsCovering(kItems, 64));
  }
  Result<void> Compile(CompileContext& ctx) override {
    if (handle_.IsNull()) {
      graph::ResourceDescription description;
      description.kind = graph::ResourceKind::Image;
      description.name = "sum";
      description.copies = kHistoryFrames + 1;
      STADIAL_ASSIGN_OR_RETURN(handle_, ctx.Resources().Create(description));
    }
    Invalidate();
    return {};
  }
  void Execute(ExecuteContext& ctx) override {
    FrameUniforms uniforms;
    while (uniforms.historyFrames < kHistoryFrames &&
           GetPreviousFrameResource(uniforms.historyFrames + 1, kSum)) {
      ++uniforms.historyFrames;
    }
    uniforms_.Write(ctx.Frame().slot, uniforms);
    static_cast<void>(StoreCurrentFrameResource(kSum, handle_, true));
  }

 private:
  static constexpr std::array<graph::DescriptorBinding, 5> kBindings{
      {{.binding = 0, .type = graph::DescriptorType::UniformBuffer},
       {.binding = 1, .type = graph::DescriptorType::StorageBuffer},
       {.binding = 2, .type = graph::DescriptorType::StorageImage},
       {.binding = 3, .type = graph::DescriptorType::StorageImage},
       {.binding = 4, .type = graph::DescriptorType::StorageImage}}};
  std::array<graph::DescriptorSetRequirement, 1> sets_{
      {{.setIndex = 0, .bindings = kBindings, .debugName = "accumulate set"}}};
  std::uint32_t width_;
  ComputePipeline pipeline_;
  UniformRing uniforms_;
  HistoryImages images_;
  graph::ResourceHandle handle_;
};

struct FinishConfig : graph::NodeConfig<FinishConfig> {
  INPUT_SLOT(CURRENT, gpu::HistoryImages, graph::Access::ComputeStorageRead);
  OUTPUT_SLOT(RESULTS, gpu::Buffer, graph::Access::ComputeStorageWrite);
};

class FinishNode final : public GpuTypedNode<FinishConfig> {
 public:
  std::uint32_t ReplayPeriod() const override { return AccumulateNode::kHistoryFrames + 1; }
  std::span<const graph::DescriptorSetRequirement> GetDescriptorRequirements() const override {
    return sets_;
  }
  Result<void> CreatePipelines(GpuSetupContext& ctx) override {
    const std::uint32_t constants[] = {kAddend};
    STADIAL_ASSIGN_OR_RETURN(pipeline_, ctx.pipelines.CreatePipeline({.name = Name(),
                                                                      .spirv = kFinishCompSpirv,
                                                                      .sets = sets_,
                                                                      .pushConstantBytes = 8,
                                                                      .specialization = constants}));
    STADIAL_ASSIGN_OR_RETURN(readback_,
                             Readback::Create(ctx.memory, "results readback", kItems * 4, Lifetime::Setup));
    return {};
  }
  Result<void> CreateResources(GpuResourceContext& ctx) override {
    STADIAL_ASSIGN_OR_RETURN(Slots().Out(RESULTS),
                             ctx.memory.CreateBuffer({.name = "results", .sizeBytes = kItems * 4}));
    return {};
  }
  void WriteDescriptors(GpuDescriptorContext& ctx) override {
    ctx.writer.StorageImage(ctx.Set(0), 0, Slots().In(CURRENT).Current(ctx.copy))
        .StorageBuffer(ctx.Set(0), 1, Slots().Out(RESULTS));
  }
  void Record(RecordContext& ctx) override {
    const std::array<std::uint32_t, 2> push{kMask, kItems};
    ctx.recorder.BindPipeline(pipeline_);
    ctx.recorder.BindSet(pipeline_, 0, ctx.Set(0));
    ctx.recorder.PushConstants(pipeline_, push);
    ctx.recorder.Dispatch(GroupsCovering(kItems, 64));
  }
  void RecordCapture(RecordContext& ctx) override {
    readback_.RecordBuffer(ctx.recorder, Slots().Out(RESULTS), kItems * 4);
  }
  void Execute(ExecuteContext&) override {}
  const Readback& Results() const { return readback_; }

 private:
  static constexpr std::array<graph::DescriptorBinding, 2> kBindings{
      {{.binding = 0, .type = graph::DescriptorType::StorageImage},
       {.binding = 1, .type = graph::DescriptorType::StorageBuffer}}};
  std::array<graph::DescriptorSetRequirement, 1> sets_{
      {{.setIndex = 0, .bindings = kBindings, .debugName = "finish set"}}};
  ComputePipeline pipeline_;
  Readback readback_;
};

// The same three steps on the CPU. Step once per frame, Forget at a resize.
class Model {
 public:
  void Forget() { history_ = 0; }
  void Step(std::uint32_t frame) {
    for (std::uint32_t i = 0; i < kItems; ++i) {
      std::uint32_t h = i * 2654435761u + frame * 40503u + 12345u;
      std::uint32_t sum = h ^ (h >> 13);
      if (history_ >= 1) sum += 3 * previous1_[i];
      if (history_ >= 2) sum += previous2_[i];
      previous2_[i] = previous1_[i];
      previous1_[i] = sum;
    }
    if (history_ < 2) ++history_;
  }
  std::uint32_t Result(std::uint32_t i) const { return (previous1_[i] ^ kMask) + kAddend; }

 private:
  std::uint32_t history_ = 0;
  std::array<std::uint32_t, kItems> previous1_{};
  std::array<std::uint32_t, kItems> previous2_{};
};

}  // namespace stadial::gpu::testing
