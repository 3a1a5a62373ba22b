#include <algorithm>
#include <atomic>

#include "graph_state.h"
#include "stadial/runtime/clock.h"
#include "stadial/runtime/gate.h"

namespace stadial::graph {

namespace {

// Nodes that a worker takes at once: few enough that the last ones to end keep nobody waiting for long, as
// many as make the taking cheap when a wave is wide.
constexpr std::size_t kTakesPerWorker = 16;
constexpr std::size_t kNodesPerTakeMax = 32;

void Call(const ExecuteEntry& entry, ExecuteContext& ctx) {
  const runtime::ComponentScope component(entry.node->Name());  // an allocation in there is this node's
  entry.function(*entry.node, ctx);
}

struct WaveJob {
  GraphState& state;
  std::span<const std::uint32_t> own;     // the frame thread's
  std::span<const std::uint32_t> shared;  // whoever comes first
  std::size_t grain;
  runtime::GateRule rule;
  alignas(64) std::atomic<std::size_t> next{0};

  void Work(std::uint32_t worker) noexcept {
    ExecuteContext ctx(state.graph, state.workerFrames[worker]);
    if (worker == 0) {
      for (const std::uint32_t position : own) Call(state.entries[position], ctx);
      Share(ctx);
    } else {
      // A game's own job system need not have closed the gate.
      const runtime::GateScope gate(rule.allocate, rule.free, runtime::Phase::Frame, "graph");
      Share(ctx);
    }
  }
  void Share(ExecuteContext& ctx) noexcept {
    for (;;) {
      const std::size_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= shared.size()) return;
      for (const std::uint32_t position : shared.subspan(begin, std::min(grain, shared.size() - begin)))
        Call(state.entries[position], ctx);
    }
  }
};

}  // namespace

void RenderGraph::BeginFrame(runtime::FrameContext& frame) noexcept {
  // T5: a plain call at frame start, before any node or event handler can ask for history.
  for (TimelineNode* timeline : state_->timelines.first(state_->timelineCount))
    timeline->BeginFrame(frame.frameIndex);
}

void GraphState::ExecuteInWaves(runtime::FrameContext& frame) noexcept {
  runtime::TaskRunner& runner = runtime.Runner();
  const std::uint32_t workers = runner.WorkerCount();
  STADIAL_ASSERT_ALWAYS(workers != 0 && frame.lanes != nullptr && frame.lanes->Count() >= workers,
                        "a graph that executes in waves needs a frame with a lane for each worker");
  for (std::uint32_t worker = 0; worker < workers; ++worker) {
    workerFrames[worker] = frame;
    workerFrames[worker].lane = &frame.lanes->Lane(worker);
  }
  for (const PlanWave& wave : plan->waves) {
    const std::span<const std::uint32_t> nodes =
        plan->wavePositions.subspan(wave.begin, wave.end - wave.begin);
    const std::size_t own = wave.shared - wave.begin;
    const std::size_t shared = wave.end - wave.shared;
    WaveJob job{.state = *this,
                .own = nodes.first(own),
                .shared = nodes.subspan(own),
                .grain = std::clamp(shared / (workers * kTakesPerWorker), std::size_t{1}, kNodesPerTakeMax),
                .rule = runtime.Options().gate.Of(runtime::GateRole::Worker, runtime::Phase::Frame)};
    if (shared == 0 || nodes.size() == 1) {
      job.Work(0);
    } else {
      runner.Run(
          [](void* data, std::uint32_t worker) noexcept STADIAL_NONALLOCATING {
            static_cast<WaveJob*>(data)->Work(worker);
          },
          &job);
    }
  }
}

void RenderGraph::Execute(runtime::FrameContext& frame) noexcept {
  GraphState& s = *state_;
  STADIAL_ASSERT_ALWAYS(s.plan != nullptr,
                        "the graph has no plan yet; call RenderGraph::Compile before Execute");
  STADIAL_ASSERT_ALWAYS(!s.isCleanedUp, "the graph was cleaned up and cannot execute");
  STADIAL_ASSERT_ALWAYS(!s.isExecuting && !s.isInPass,
                        "a graph cannot be executed from inside one of its nodes");
  BeginFrame(frame);
  s.isExecuting = true;
  const std::uint64_t startNs = runtime::NowNs();
  const std::size_t waves = s.plan->waves.size();
  if (waves == 0) {
    ExecuteContext ctx(*this, frame);
    for (const ExecuteEntry& entry : s.entries.first(s.entryCount)) Call(entry, ctx);
  } else {
    s.ExecuteInWaves(frame);
  }
  // One pair of clock readings for the whole loop: a pair per node would cost ten times the dispatch. What is
  // called node time is therefore cut by an upper bound of the dispatch, so that our own part is never
  // understated.
  const std::uint64_t elapsedNs = runtime::NowNs() - startNs;
  const std::uint64_t dispatchNs = s.entryCount * kDispatchNsPerNode + waves * kDispatchNsPerWave;
  if (elapsedNs > dispatchNs) frame.excludedNs += elapsedNs - dispatchNs;
  s.isExecuting = false;
}

Result<void> RenderGraph::Execute() noexcept {
  runtime::FrameLoop& frames = state_->runtime.Frames();
  STADIAL_ASSIGN_OR_RETURN(runtime::FrameContext* const frame, frames.Begin());
  BeginFrame(*frame);
  ProcessEvents();
  Result<void> recompiled = RecompileDirtyNodes();
  Execute(*frame);
  frames.End(frame->completionValue);
  return recompiled;
}

}  // namespace stadial::graph
