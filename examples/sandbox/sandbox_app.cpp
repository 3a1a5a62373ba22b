#include "sandbox_app.h"

#include <algorithm>
#include <cinttypes>

#include "default_scene.h"
#include "occupancy_node.h"
#include "ray_march_node.h"
#include "simulate_node.h"
#include "stadial/arenas/size_literals.h"
#include "stadial/runtime/clock.h"
#include "taa_node.h"
#include "tonemap_node.h"
#include "world_node.h"

namespace stadial::sandbox {

using namespace arenas::literals;

namespace {

constexpr double kSecondsPerNs = 1e-9;

// Frames whose counters are not judged: pages, caches and drivers settle. A short run has a short warm-up.
constexpr std::uint64_t kWarmupFramesMax = 60;
std::uint64_t WarmupFrames(std::uint64_t frames) noexcept { return std::min(kWarmupFramesMax, frames / 4); }

// Of a sizing profile: part of "runtime.setup" that follows from the command line.
constexpr const char* kPicturesEntry = "sandbox.pictures";

const char* SceneName(const Options& options) noexcept {
  return options.scene.empty() ? "the built-in scene" : options.scene.c_str();
}

}  // namespace

Result<std::unique_ptr<SandboxApp>> SandboxApp::Create(const Options& options, const runtime::LogSink& log,
                                                       const runtime::SizingProfile* sizing) {
  std::unique_ptr<SandboxApp> app(new SandboxApp(options, log));
  const std::uint64_t startNs = runtime::NowNs();
  STADIAL_RETURN_IF_ERROR(app->Initialize(sizing));
  app->setupSeconds_ = static_cast<double>(runtime::NowNs() - startNs) * kSecondsPerNs;
  return app;
}

SandboxApp::~SandboxApp() = default;

Result<void> SandboxApp::Initialize(const runtime::SizingProfile* sizing) {
  STADIAL_RETURN_IF_ERROR(CreateRuntime(sizing));
  // The file first: a mistake in it is told before a device is woken.
  if (options_.scene.empty()) {
    scene_ = MakeDefaultScene();
  } else {
    STADIAL_ASSIGN_OR_RETURN(scene_, LoadVox(options_.scene.c_str()));
  }
  std::uint32_t edge = 0;
  for (const std::uint64_t frame : PictureFrames(options_)) {
    const ImageSize size = SizeOfFrame(options_, frame);
    edge = std::max({edge, size.width, size.height});
  }
  STADIAL_RETURN_IF_ERROR(gpu_.Open(
      *runtime_, {.device = options_.device, .validation = options_.validation, .imageEdge = edge}));
  STADIAL_RETURN_IF_ERROR(LoadWorld());
  STADIAL_RETURN_IF_ERROR(BuildGraph());
  return CompileGraph();
}

Result<void> SandboxApp::CreateRuntime(const runtime::SizingProfile* sizing) {
  constexpr std::size_t kTablesBytes = 16_MiB;  // graph, gpu tables, queues; the audit shows what they take
  const std::size_t setupBytes = kTablesBytes + PictureStore::BytesFor(options_);
  runtime::RuntimeOptions wanted;
  wanted.name = "sandbox";
  wanted.setupBytes = setupBytes;
  if (sizing != nullptr) {
    runtime::ApplySizing(*sizing, wanted);
    // How many pictures are kept is asked anew each time.
    const runtime::SizingEntry* const pictures = sizing->Find(kPicturesEntry);
    if (pictures != nullptr && PictureStore::BytesFor(options_) > pictures->used)
      wanted.setupBytes += PictureStore::BytesFor(options_) - static_cast<std::size_t>(pictures->used);
  }
  // What all segments take, and as much again for their alignment and guards.
  wanted.region.retryBytes = 1_GiB + wanted.setupBytes;
  wanted.framesInFlight = options_.framesInFlight;
  wanted.gate = options_.gate;
  wanted.warmupFrames = WarmupFrames(options_.frames);
  wanted.telemetry.publish = options_.telemetry;
  wanted.log = log_;
  wanted.events.log = log_;
  STADIAL_ASSIGN_OR_RETURN(runtime_, runtime::Runtime::Create(wanted));
  return {};
}

Result<void> SandboxApp::LoadWorld() {
  WorldOptions wanted;
  wanted.atlasBytesMax = static_cast<std::size_t>(gpu_.AtlasBytesMax(std::uint64_t{options_.worldMib} << 20));
  wanted.rules = options_.rules;
  STADIAL_ASSIGN_OR_RETURN(world_, World::Build(scene_, wanted, SceneName(options_)));
  for (const std::string& warning : scene_.warnings)
    log_.Format(runtime::LogLevel::Warning, "%s", warning.c_str());
  for (const std::string& warning : world_.Warnings())
    log_.Format(runtime::LogLevel::Warning, "%s", warning.c_str());
  scene_ = {};
  return {};
}

Result<FrameNodeOptions> SandboxApp::ChooseCamera(std::uint32_t stepsPerFrame) const {
  FrameNodeOptions chosen;
  chosen.size = options_.size;
  chosen.stepsPerFrame = stepsPerFrame;
  chosen.seed = options_.seed;
  STADIAL_ASSIGN_OR_RETURN(chosen.camera, ParseCamera(options_.camera.c_str()));
  const float aspect = static_cast<float>(options_.size.width) / static_cast<float>(options_.size.height);
  AimAtWorld(world_, aspect, chosen.camera);
  chosen.turnPerFrame = options_.turnDegrees / static_cast<float>(options_.frames);
  return chosen;
}

Result<void> SandboxApp::BuildGraph() {
  pictures_ = PictureStore(runtime_->SetupArena(), options_);
  // The history's floor is 1 frame: the accumulation is a recurrence, and deeper history would only be images
  // that nobody reads.
  STADIAL_ASSIGN_OR_RETURN(
      graph_,
      graph::RenderGraph::Create(*runtime_, {.name = "sandbox", .nodesMax = 16, .historyFramesMin = 1}));
  const std::uint32_t steps = world_.Materials().HasMovable() ? options_.stepsPerFrame : 0;
  STADIAL_ASSIGN_OR_RETURN(const FrameNodeOptions frameOptions, ChooseCamera(steps));

  graph::RenderGraph& graph = *graph_;
  frame_ = graph.AddNode<FrameNode>("frame", world_, frameOptions);
  const auto world = graph.AddNode<WorldNode>("world", world_, *gpu_.uploader, steps);
  const auto simulate = graph.AddNode<SimulateNode>("simulate");
  const auto occupancy = graph.AddNode<OccupancyNode>("occupancy");
  const auto rayMarch = graph.AddNode<RayMarchNode>("ray march");
  const auto taa = graph.AddNode<TaaNode>("taa");
  const auto tonemap = graph.AddNode<TonemapNode>("tonemap", *taa);
  picture_ = graph.AddNode<PictureNode>("picture", pictures_, *gpu_.submit);

  graph.Connect(frame_, FrameConfig::UNIFORMS, simulate, SimulateConfig::UNIFORMS);
  graph.Connect(world, WorldConfig::CELLS, simulate, SimulateConfig::CELLS);
  graph.Connect(world, WorldConfig::CHUNK_TABLE, simulate, SimulateConfig::CHUNK_TABLE);
  graph.Connect(world, WorldConfig::SLOT_CHUNKS, simulate, SimulateConfig::SLOT_CHUNKS);

  graph.Connect(simulate, SimulateConfig::STEPPED, occupancy, OccupancyConfig::CELLS);

  graph.Connect(frame_, FrameConfig::EXTENT, rayMarch, RayMarchConfig::EXTENT);
  graph.Connect(frame_, FrameConfig::UNIFORMS, rayMarch, RayMarchConfig::UNIFORMS);
  graph.Connect(world, WorldConfig::SCENE, rayMarch, RayMarchConfig::SCENE);
  graph.Connect(world, WorldConfig::CHUNK_TABLE, rayMarch, RayMarchConfig::CHUNK_TABLE);
  graph.Connect(world, WorldConfig::SLOT_LIGHTS, rayMarch, RayMarchConfig::SLOT_LIGHTS);
  graph.Connect(simulate, SimulateConfig::STEPPED, rayMarch, RayMarchConfig::CELLS);
  graph.Connect(occupancy, OccupancyConfig::OCCUPANCY, rayMarch, RayMarchConfig::OCCUPANCY);

  graph.Connect(frame_, FrameConfig::EXTENT, taa, TaaConfig::EXTENT);
  graph.Connect(frame_, FrameConfig::FRAME, taa, TaaConfig::FRAME);
  graph.Connect(rayMarch, RayMarchConfig::COLOUR, taa, TaaConfig::COLOUR);

  graph.Connect(frame_, FrameConfig::EXTENT, tonemap, TonemapConfig::EXTENT);
  graph.Connect(frame_, FrameConfig::UNIFORMS, tonemap, TonemapConfig::UNIFORMS);
  graph.Connect(taa, TaaConfig::ACCUMULATED, tonemap, TonemapConfig::ACCUMULATED);

  graph.Connect(frame_, FrameConfig::EXTENT, picture_, PictureConfig::EXTENT);
  graph.Connect(tonemap, TonemapConfig::PIXELS, picture_, PictureConfig::PIXELS);

  if (!options_.cellsPath.empty()) {
    cells_ = graph.AddNode<CellsNode>("cells");
    graph.Connect(simulate, SimulateConfig::STEPPED, cells_, CellsConfig::CELLS);
  }
  return {};
}

Result<void> SandboxApp::CompileGraph() {
  STADIAL_ASSIGN_OR_RETURN(
      executor_, gpu::GpuExecutor::Create(*gpu_.memory, *gpu_.submit, *gpu_.pipelines, *graph_, {}));
  STADIAL_RETURN_IF_ERROR(graph_->Setup());
  STADIAL_RETURN_IF_ERROR(runtime_->SealSetup());
  STADIAL_RETURN_IF_ERROR(graph_->Compile());
  STADIAL_RETURN_IF_ERROR(executor_->Prepare());
  world_.ReleaseCells();
  return {};
}

Result<void> SandboxApp::Run(const FrameObserver& observer) {
  const std::uint64_t startNs = runtime::NowNs();
  for (std::uint64_t index = 0; index < options_.frames; ++index) {
    if (options_.kernelProof && index >= WarmupFrames(options_.frames)) BeginKernelProof();
    STADIAL_RETURN_IF_ERROR(RunFrame(index));
    if (observer.onFrame != nullptr) observer.onFrame(observer.self, index + 1);
    if (graph_->HasDirtyNodes()) STADIAL_RETURN_IF_ERROR(Recompile());
  }
  STADIAL_RETURN_IF_ERROR(runtime_->Frames().Drain());
  runtime_->EndKernelProof();
  frameSeconds_ = static_cast<double>(runtime::NowNs() - startNs) * kSecondsPerNs;
  return picture_->Finish();
}

void SandboxApp::BeginKernelProof() {
  // A software driver compiles shaders on threads of its own whenever it meets a new variant, and ends the
  // process when it cannot map them.
  const bool isSoftware = gpu_.device->Info().type == VK_PHYSICAL_DEVICE_TYPE_CPU;
  // Refused: the audit says why, and its verdict is then no pass.
  static_cast<void>(runtime_->BeginKernelProof(isSoftware ? runtime::KernelProofScope::Thread
                                                          : runtime::KernelProofScope::Process));
}

// Between Begin and End the gate is closed: nothing here may allocate, and with --gate trap nothing could and
// live.
Result<void> SandboxApp::RunFrame(std::uint64_t index) {
  STADIAL_ASSIGN_OR_RETURN(runtime::FrameContext* const frame, runtime_->Frames().Begin());
  EmitResizesFor(index + 1);
  graph_->ProcessEvents();
  graph_->Execute(*frame);
  const bool isKept = pictures_.Find(index) != nullptr;
  const Result<void> submitted = executor_->SubmitFrame(*frame, isKept);
  runtime_->Frames().End(frame->completionValue);
  return submitted ? Result<void>() : submitted.GetError();
}

Result<void> SandboxApp::Recompile() {
  STADIAL_RETURN_IF_ERROR(runtime_->Frames().Drain());
  runtime_->EndKernelProof();  // a compile may take memory; the next frame begins the proof again
  STADIAL_RETURN_IF_ERROR(runtime_->Phases().Transition(runtime::Phase::Compile));
  STADIAL_RETURN_IF_ERROR(graph_->RecompileDirtyNodes());
  ++recompiles_;
  return executor_->Prepare();
}

// As a window would: an event, whenever it happens. It is handled in this frame and takes effect at the
// compile point behind it.
void SandboxApp::EmitResizesFor(std::uint64_t frame) {
  for (const ResizeStep& step : options_.resizes) {
    if (step.frame != frame) continue;
    const runtime::EmitResult emitted =
        runtime_->Events().Emit(runtime::MakeEvent(runtime::EventType::WindowResize, step.size));
    STADIAL_ASSERT(emitted, "the event bus was sized for far more than one resize");
  }
}

runtime::AuditReport SandboxApp::Audit() {
  runtime::AuditReport report = runtime_->BuildAudit();
  executor_->FillAudit(report);
  runtime::Judge(report);
  if (options_.validation && report.verdict == runtime::AuditVerdict::Pass) {
    report.verdict = runtime::AuditVerdict::Incomplete;
    report.reasons.emplace_back(
        "the validation layer was on, and it allocates with every call: no zero-allocation claim is made");
  }
  return report;
}

Result<runtime::SizingProfile> SandboxApp::Sizing() {
  using runtime::SizingUnit;
  runtime::SizingProfile profile;
  STADIAL_RETURN_IF_ERROR(runtime::AddRuntime(profile, *runtime_));
  STADIAL_RETURN_IF_ERROR(profile.Add(kPicturesEntry, SizingUnit::Bytes, PictureStore::BytesFor(options_)));
  STADIAL_RETURN_IF_ERROR(
      profile.Add("gpu.driver", SizingUnit::Bytes, HostStats().peakBytes, runtime_->Options().driverBytes));
  return profile;
}

Result<std::span<const std::byte>> SandboxApp::Cells() {
  STADIAL_ASSERT_ALWAYS(cells_,
                        "Options::cellsPath was empty: the graph has no node that reads the cells back");
  return cells_->Read(*gpu_.submit);
}

}  // namespace stadial::sandbox
