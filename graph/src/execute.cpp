#include "graph_state.h"
#include "stadial/runtime/clock.h"
#include "stadial/runtime/gate.h"

namespace stadial::graph {

void RenderGraph::BeginFrame(runtime::FrameContext& frame) noexcept {
  // T5: a plain call at frame start, before any node or event handler can ask for history.
  for (TimelineNode* timeline : state_->timelines.first(state_->timelineCount))
    timeline->BeginFrame(frame.frameIndex);
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
  ExecuteContext ctx(*this, frame);
  const std::uint64_t startNs = runtime::NowNs();
  for (const ExecuteEntry& entry : s.entries.first(s.entryCount)) {
    const runtime::ComponentScope component(entry.node->Name());  // an allocation in there is this node's
    entry.function(*entry.node, ctx);
  }
  // One pair of clock readings for the whole loop: a pair per node would cost ten times the dispatch. What is
  // called node time is therefore cut by an upper bound of the dispatch, so that our own part is never
  // understated.
  const std::uint64_t elapsedNs = runtime::NowNs() - startNs;
  const std::uint64_t dispatchNs = s.entryCount * kDispatchNsPerNode;
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
