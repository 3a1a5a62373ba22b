#include "stadial/gpu/gpu_executor.h"

#include <algorithm>
#include <numeric>

#include "stadial/gpu/plan_barriers.h"
#include "stadial/graph/render_graph.h"
#include "stadial/runtime/runtime.h"

namespace stadial::gpu {

using graph::RenderGraph;

Result<Owned<GpuExecutor>> GpuExecutor::Create(GpuMemory& memory, SubmitThread& submit,
                                               PipelineLibrary& pipelines, RenderGraph& graph,
                                               const GpuExecutorOptions& options) noexcept {
  Device& device = memory.GetDevice();
  runtime::Runtime& runtime = device.GetRuntime();
  STADIAL_RETURN_IF_ERROR(runtime.Phases().Require(runtime::Phase::Setup, "gpu::GpuExecutor::Create"));
  STADIAL_ASSIGN_OR_RETURN(Owned<GpuExecutor> executor,
                           MakeOwned<GpuExecutor>(runtime.SetupArena(), "gpu::GpuExecutor", memory, submit,
                                                  pipelines, graph, options, runtime.SetupArena()));
  STADIAL_ASSIGN_OR_RETURN(executor->descriptors_, DescriptorSetPool::Create(pipelines, options.descriptors));
  STADIAL_ASSIGN_OR_RETURN(executor->frames_,
                           CommandBuffers::Create(device, "frames", options.replayPeriodMax));
  STADIAL_ASSIGN_OR_RETURN(executor->captures_,
                           CommandBuffers::Create(device, "captures", options.replayPeriodMax));
  STADIAL_ASSIGN_OR_RETURN(executor->once_, CommandBuffers::Create(device, "initialisation", 1));
  runtime.Frames().SetCompletionSource(&submit);
  return executor;
}

GpuExecutor::GpuExecutor(GpuMemory& memory, SubmitThread& submit, PipelineLibrary& pipelines,
                         RenderGraph& graph, const GpuExecutorOptions& options, arenas::Arena& arena) noexcept
    : memory_(memory),
      submit_(submit),
      pipelines_(pipelines),
      graph_(graph),
      device_(memory.GetDevice()),
      options_(options),
      nodes_(arena, options.nodesMax),
      withPipelines_(arena, options.nodesMax),
      framesInFlight_(device_.GetRuntime().Frames().FramesInFlight()) {}

GpuExecutor::~GpuExecutor() {
  runtime::Runtime& runtime = device_.GetRuntime();
  runtime::FrameLoop& frames = runtime.Frames();
  const bool isSource = &frames.Source() == &submit_;
  // An error path may have left a frame open, or ended one that was never submitted: close it, and signal its
  // value.
  if (isSource && frames.IsFrameOpen())
    frames.End(std::max(frames.LastStatedValue(), submit_.SubmittedValue()));
  if (isSource && frames.LastStatedValue() > submit_.SubmittedValue()) {
    static_cast<void>(submit_.Submit(VK_NULL_HANDLE, VK_NULL_HANDLE, frames.LastStatedValue()));
  }
  if (auto drained = submit_.Drain(); !drained) {
    runtime.Options().log.Format(runtime::LogLevel::Error, "GPU work was still running at teardown: %s",
                                 drained.GetError().Message());
    device_.Quarantine(drained.GetError().Message());
    return;  // the loop keeps its source: frames that never complete cannot be handed back
  }
  if (isSource) frames.SetCompletionSource(nullptr);
}

Result<void> GpuExecutor::Prepare() noexcept {
  runtime::Runtime& runtime = device_.GetRuntime();
  STADIAL_RETURN_IF_ERROR(runtime.Phases().Require(runtime::Phase::Compile, "gpu::GpuExecutor::Prepare"));
  prepared_ = false;
  STADIAL_RETURN_IF_ERROR(submit_.Drain());
  HostMemory& hostMemory = device_.GetInstance().Memory();
  hostMemory.Unseal();
  STADIAL_RETURN_IF_ERROR(PrepareUnsealed());
  hostMemory.Seal(options_.hostHeadroomBytes);
  prepared_ = true;
  return {};
}

Result<void> GpuExecutor::PrepareUnsealed() noexcept {
  descriptors_->Reset();
  memory_.ResetCompile();
  STADIAL_RETURN_IF_ERROR(CheckBarriers());
  STADIAL_RETURN_IF_ERROR(CollectNodes());
  STADIAL_RETURN_IF_ERROR(CreatePipelinesOnce());
  STADIAL_RETURN_IF_ERROR(CreateResources());
  STADIAL_RETURN_IF_ERROR(BuildDescriptors());
  STADIAL_RETURN_IF_ERROR(RunOnce());
  STADIAL_RETURN_IF_ERROR(frames_->Reset());
  STADIAL_RETURN_IF_ERROR(captures_->Reset());
  for (std::uint32_t index = 0; index < period_; ++index) {
    STADIAL_RETURN_IF_ERROR(RecordReplay(index));
    STADIAL_RETURN_IF_ERROR(RecordCaptures(index));
  }
  return {};
}

// The GPU nodes of the plan in its order, with the copies each needs, and the replay period of all.
Result<void> GpuExecutor::CollectNodes() noexcept {
  nodes_.Clear();
  std::uint64_t period = std::lcm<std::uint64_t>(graph_.ReplayPeriod(), framesInFlight_);
  const std::span<const graph::NodeHandle> order = graph_.CurrentPlan().order;
  for (std::uint32_t position = 0; position < order.size(); ++position) {
    graph::NodeInstance* node = graph_.NodeAt(order[position]);
    auto* gpuNode = dynamic_cast<GpuNode*>(node);
    if (gpuNode == nullptr) continue;
    Entry entry;
    entry.gpu = gpuNode;
    entry.node = node;
    entry.position = position;
    entry.copies = std::lcm(std::max(node->ReplayPeriod(), 1u), framesInFlight_);
    period = std::lcm<std::uint64_t>(period, entry.copies);
    if (!nodes_.TryPushBack(entry)) {
      return Error::Format(ErrorCode::CapacityExceeded,
                           "the plan has more than %zu GPU nodes; raise GpuExecutorOptions::nodesMax",
                           nodes_.Capacity());
    }
    if (period > options_.replayPeriodMax) {
      return Error::Format(ErrorCode::CapacityExceeded,
                           "frames repeat after %llu frames (the least common multiple of the nodes' replay "
                           "periods, the last one "
                           "'%s' with %u, and %u frames in flight), %u can be recorded; raise "
                           "GpuExecutorOptions::replayPeriodMax",
                           static_cast<unsigned long long>(period), node->Name(), node->ReplayPeriod(),
                           framesInFlight_, options_.replayPeriodMax);
    }
  }
  if (period > options_.replayPeriodMax) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "frames repeat after %llu frames, %u can be recorded; raise GpuExecutorOptions::replayPeriodMax",
        static_cast<unsigned long long>(period), options_.replayPeriodMax);
  }
  period_ = static_cast<std::uint32_t>(period);
  return {};
}

namespace {

Error InNode(const graph::NodeInstance& node, const char* step, const Error& error) noexcept {
  return Error::Format(error.Code(), "node '%s', %s: %s", node.Name(), step, error.Message());
}

}  // namespace

Result<void> GpuExecutor::CreatePipelinesOnce() noexcept {
  GpuSetupContext context{device_, memory_, pipelines_, framesInFlight_};
  for (const Entry& entry : nodes_) {
    if (std::ranges::find(withPipelines_, entry.gpu) != withPipelines_.end()) continue;
    if (withPipelines_.IsFull()) {
      return Error::Format(ErrorCode::CapacityExceeded,
                           "more than %zu GPU nodes have come and gone; raise GpuExecutorOptions::nodesMax",
                           withPipelines_.Capacity());
    }
    if (auto made = entry.gpu->CreatePipelines(context); !made)
      return InNode(*entry.node, "CreatePipelines", made.GetError());
    withPipelines_.PushBack(entry.gpu);
  }
  return {};
}

Result<void> GpuExecutor::CreateResources() noexcept {
  GpuResourceContext context{device_, memory_, framesInFlight_};
  for (const Entry& entry : nodes_) {
    if (auto made = entry.gpu->CreateResources(context); !made)
      return InNode(*entry.node, "CreateResources", made.GetError());
  }
  return {};
}

Result<void> GpuExecutor::BuildDescriptors() noexcept {
  for (Entry& entry : nodes_) {
    auto owner =
        descriptors_->Declare(entry.node->Name(), entry.node->GetDescriptorRequirements(), entry.copies);
    if (!owner) return owner.GetError();
    entry.owner = *owner;
  }
  STADIAL_RETURN_IF_ERROR(descriptors_->Build());
  DescriptorWriter writer(device_);
  for (const Entry& entry : nodes_) {
    for (std::uint32_t copy = 0; copy < entry.copies; ++copy) {
      GpuDescriptorContext context{device_, writer, *descriptors_, entry.owner, copy, copy % framesInFlight_};
      entry.gpu->WriteDescriptors(context);
    }
  }
  return {};
}

// New images go to GENERAL and are cleared, so that what a first frame reads as history is the same on every
// device.
Result<void> GpuExecutor::RunOnce() noexcept {
  STADIAL_ASSIGN_OR_RETURN(Recorder recorder, once_->Begin(0, false));
  recorder.BeginLabel("initialisation");
  BarrierBatch batch;
  for (const Image& image : memory_.ImagesAwaitingLayout()) {
    if (batch.IsFull()) recorder.Barrier(batch);
    batch.ToGeneral(image);
  }
  recorder.Barrier(batch);
  for (const Image& image : memory_.ImagesAwaitingLayout()) recorder.ClearImage(image);
  recorder.PassBarrier();
  for (const Entry& entry : nodes_) {
    entry.gpu->RecordOnce(recorder);
    recorder.PassBarrier();
  }
  recorder.EndLabel();
  STADIAL_RETURN_IF_ERROR(once_->End(0));
  STADIAL_RETURN_IF_ERROR(submit_.RunOnce((*once_)[0]));
  memory_.ClearImagesAwaitingLayout();
  return {};
}

Result<void> GpuExecutor::CheckBarriers() noexcept {
  const graph::CompiledPlan& plan = graph_.CurrentPlan();
  if (plan.sync.queueCount > 1) {
    return Error::Format(ErrorCode::NotSupported,
                         "the graph was compiled for %u queues, this executor submits to one; leave "
                         "GraphOptions::queues as they are",
                         plan.sync.queueCount);
  }
  for (const graph::Barrier& barrier : plan.sync.barriers) {
    if (barrier.IsGlobal()) continue;
    return Error::Format(ErrorCode::NotSupported,
                         "node '%s' uses an image in layout '%s', images stay in layout 'general'; state "
                         "accesses without Access::In",
                         graph_.NodeAt(plan.order[barrier.position])->Name(), ToString(barrier.newLayout));
  }
  barriers_ = static_cast<std::uint32_t>(plan.sync.barriers.size());
  return {};
}

// All barriers of the plan are recorded, also those before nodes without a GPU side: later ones count on
// them.
Result<void> GpuExecutor::RecordReplay(std::uint32_t index) noexcept {
  const graph::SyncPlan& sync = graph_.CurrentPlan().sync;
  const auto positions = static_cast<std::uint32_t>(graph_.CurrentPlan().order.size());
  STADIAL_ASSIGN_OR_RETURN(Recorder recorder, frames_->Begin(index, true));
  const Entry* entry = nodes_.begin();
  for (std::uint32_t position = 0; position < positions; ++position) {
    RecordBarriers(recorder, sync.BarriersAt(position));
    if (entry == nodes_.end() || entry->position != position) continue;
    recorder.BeginLabel(entry->node->Name());
    RecordContext context{recorder, *descriptors_,         entry->owner,
                          index,    index % entry->copies, index % framesInFlight_};
    entry->gpu->Record(context);
    recorder.EndLabel();
    ++entry;
  }
  return frames_->End(index);
}

Result<void> GpuExecutor::RecordCaptures(std::uint32_t index) noexcept {
  STADIAL_ASSIGN_OR_RETURN(Recorder recorder, captures_->Begin(index, true));
  recorder.BeginLabel("capture");
  recorder.PassBarrier();
  for (const Entry& entry : nodes_) {
    RecordContext context{recorder, *descriptors_,        entry.owner,
                          index,    index % entry.copies, index % framesInFlight_};
    entry.gpu->RecordCapture(context);
  }
  recorder.PassBarrier();  // the next frame knows nothing of captures
  recorder.EndLabel();
  return captures_->End(index);
}

Result<void> GpuExecutor::SubmitFrame(const runtime::FrameContext& frame, bool capture) noexcept {
  if (!prepared_) [[unlikely]] {
    return Error::Format(ErrorCode::WrongPhase,
                         "frame %llu submitted with nothing prepared; GpuExecutor::Prepare comes first",
                         static_cast<unsigned long long>(frame.frameIndex));
  }
  if (!steady_ && device_.GetRuntime().Audit().IsSteady()) [[unlikely]] {
    steady_ = true;
    callbacksAtSteady_ = CallbacksInFrames();
  }
  const auto index = static_cast<std::uint32_t>(frame.frameIndex % period_);
  return submit_.Submit((*frames_)[index], capture ? (*captures_)[index] : VK_NULL_HANDLE,
                        frame.completionValue);
}

std::uint64_t GpuExecutor::CallbacksInFrames() const noexcept {
  const HostMemoryPhaseStats frames = STADIAL_EFFECTS_REVIEWED(
      "short locks that are held for a few loads",
      device_.GetInstance().Memory().Stats().byPhase[static_cast<std::size_t>(runtime::Phase::Frame)]);
  return frames.allocations + frames.reallocations;
}

void GpuExecutor::FillAudit(runtime::AuditReport& report) const {
  const DeviceInfo& info = device_.Info();
  runtime::AuditDevice device;
  device.name = info.name;
  device.type = ToString(info.type);
  device.driver = std::string(info.driverName) + (info.driverInfo[0] != '\0' ? " " : "") + info.driverInfo;
  device.apiVersion = std::to_string(VK_API_VERSION_MAJOR(info.apiVersion)) + "." +
                      std::to_string(VK_API_VERSION_MINOR(info.apiVersion)) + "." +
                      std::to_string(VK_API_VERSION_PATCH(info.apiVersion));
  const SubmitThreadStats stats = submit_.Stats();
  device.note = std::to_string(stats.submits) + " submits, " + std::to_string(stats.waits) +
                " blocking waits, all on the submit thread";
  report.devices.push_back(std::move(device));
  report.validationMessages = device_.GetInstance().ValidationMessages();
  const std::uint64_t callbacks = steady_ ? CallbacksInFrames() - callbacksAtSteady_ : 0;
  report.driver.callbackAllocationsPerFrame =
      report.frames.steady == 0 ? 0.0
                                : static_cast<double>(callbacks) / static_cast<double>(report.frames.steady);
  // The runtime knows the segment, but not what the heap in it has handed out.
  for (runtime::AuditArena& arena : report.arenas) {
    if (arena.name == device_.GetRuntime().DriverSegment().Name())
      arena.peakBytes = device_.GetInstance().Memory().Stats().peakBytes;
  }
}

}  // namespace stadial::gpu
