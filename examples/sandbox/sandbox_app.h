// The sandbox as an object: everything from the runtime to the last frame. main.cpp drives it for a user, the
// picture tests drive it for themselves.
//
//   auto app = SandboxApp::Create(options, log).Value();   // Setup and Compile: scene, device, graph, plan
//   app->Run();                                            // the frames, then a drain
//   app->Audit();  app->Pictures();  app->Cells();         // what came of them
//
// Memory: the heap in Setup (scene, world), the runtime's region from then on. Threads: one, which becomes
// the runtime's frame thread.
#pragma once

#include <memory>
#include <span>

#include "cells_node.h"
#include "frame_node.h"
#include "gpu_stack.h"
#include "options.h"
#include "picture_node.h"
#include "picture_store.h"
#include "stadial/gpu/gpu_executor.h"
#include "stadial/graph/render_graph.h"
#include "stadial/runtime/audit.h"
#include "stadial/runtime/runtime.h"
#include "stadial/runtime/sizing_profile.h"
#include "world.h"

namespace stadial::sandbox {

// Called between two frames, with the frames done so far.
struct FrameObserver {
  void (*onFrame)(void* self, std::uint64_t framesDone) = nullptr;
  void* self = nullptr;
};

class SandboxApp {
 public:
  // Errors: the scene, the device, address space, memory; each names the thing and the remedy.
  // `sizing` may be null: capacities are then those that are known to suffice.
  static Result<std::unique_ptr<SandboxApp>> Create(const Options& options, const runtime::LogSink& log,
                                                    const runtime::SizingProfile* sizing = nullptr);
  ~SandboxApp();
  SandboxApp(const SandboxApp&) = delete;
  SandboxApp& operator=(const SandboxApp&) = delete;

  // All frames of the options, then waits for the device. Errors: the device was lost, or stopped answering.
  Result<void> Run(const FrameObserver& observer = {});

  // After Run.
  runtime::AuditReport Audit();
  // What the run used of every capacity.
  Result<runtime::SizingProfile> Sizing();
  std::span<const Picture> Pictures() const noexcept { return pictures_.Pictures(); }
  // One byte per cell, slot by slot. Options::cellsPath must not be empty (asserted).
  Result<std::span<const std::byte>> Cells();
  // The uniforms of the last frame.
  const FrameUniforms& LastUniforms() const noexcept { return frame_->Slots().Out(FrameConfig::FRAME); }

  const World& GetWorld() const noexcept { return world_; }
  const Options& GetOptions() const noexcept { return options_; }
  const gpu::Device& GetDevice() const noexcept { return *gpu_.device; }
  const gpu::GpuExecutor& Executor() const noexcept { return *executor_; }
  const gpu::GpuMemory& GpuMemoryInUse() const noexcept { return *gpu_.memory; }
  const graph::RenderGraph& Graph() const noexcept { return *graph_; }
  gpu::HostMemoryStats HostStats() const noexcept { return gpu_.hostMemory->Stats(); }
  gpu::SubmitThreadStats SubmitStats() const noexcept { return gpu_.submit->Stats(); }
  std::uint32_t RecompileCount() const noexcept { return recompiles_; }
  double SetupSeconds() const noexcept { return setupSeconds_; }
  double FrameSeconds() const noexcept { return frameSeconds_; }

 private:
  SandboxApp(const Options& options, const runtime::LogSink& log) : options_(options), log_(log) {}

  Result<void> Initialize(const runtime::SizingProfile* sizing);
  Result<void> CreateRuntime(const runtime::SizingProfile* sizing);
  Result<void> LoadWorld();
  Result<void> BuildGraph();
  Result<FrameNodeOptions> ChooseCamera(std::uint32_t stepsPerFrame) const;
  Result<void> CompileGraph();
  Result<void> RunFrame(std::uint64_t index);
  // The compile point, between two frames: everything dirty is compiled in one pass, and recorded anew.
  Result<void> Recompile();
  void BeginKernelProof();
  void EmitResizesFor(std::uint64_t frame);

  // Destroyed from the last to the first: what is made from something goes before it.
  Options options_;
  runtime::LogSink log_;
  runtime::RuntimePtr runtime_;
  VoxScene scene_;
  World world_;
  GpuStack gpu_;
  PictureStore pictures_;
  graph::RenderGraphPtr graph_{nullptr, nullptr};
  gpu::Owned<gpu::GpuExecutor> executor_;
  graph::NodeRef<FrameNode> frame_;
  graph::NodeRef<PictureNode> picture_;
  graph::NodeRef<CellsNode> cells_;
  std::uint32_t recompiles_ = 0;
  double setupSeconds_ = 0;
  double frameSeconds_ = 0;
};

}  // namespace stadial::sandbox
