// Event-driven invalidation (G5): events mark, one pass recompiles.
#include <algorithm>
#include <bit>

#include "graph_state.h"
#include "stadial/runtime/clock.h"
#include "stadial/runtime/gate.h"

namespace stadial::graph {

namespace {

// Takes the place of a failed node's function.
void SkipNode(NodeInstance&, ExecuteContext&) STADIAL_NONALLOCATING {}

}  // namespace

Result<void> GraphState::CompileNodeAt(std::uint32_t node, bool isRecompile) {
  NodeInstance& instance = *instances[node];
  ExecuteEntry& entry = entries[plan->positionOf[node]];
  const arenas::ArenaScope scope(compileScratch);
  CompileContext ctx(graph, instance.Handle(), compileScratch, isRecompile);
  const runtime::ComponentScope component(instance.Name());
  const Result<void> result = instance.CompileNode(ctx);
  if (result) {
    nodeStates[node] = NodeState::Ready;
    failures[node] = 0;
    entry = callbacks[node];
    return {};
  }
  if (failures[node] < 255) ++failures[node];
  nodeStates[node] =
      failures[node] >= options.recompileFailuresMax ? NodeState::Quarantined : NodeState::Failed;
  entry = {&SkipNode, &instance};
  return Error::Format(
      result.GetError().Code(), "graph '%s': Compile of node '%s' failed (%u in a row%s): %s", options.name,
      instance.Name(), failures[node],
      nodeStates[node] == NodeState::Quarantined ? ", not tried again until ReadmitNode" : "",
      result.GetError().Message());
}

Result<void> GraphState::CompileAllNodes() {
  Result<void> first;
  isInPass = true;
  std::uint32_t failed = 0;
  for (const NodeHandle handle : plan->order) {
    Result<void> result = CompileNodeAt(handle.index, false);
    if (!result && failed++ == 0) {
      first.~Result();
      ::new (&first) Result<void>(result.GetError());
    }
  }
  isInPass = false;
  if (failed > 1) {
    return Error::Format(first.GetError().Code(), "%s (and %u more nodes failed)", first.GetError().Message(),
                         failed - 1);
  }
  return first;
}

bool GraphState::MarkDirty(std::uint32_t node) {
  if (plan == nullptr || plan->positionOf[node] == kNotInPlan || nodeStates[node] == NodeState::Quarantined)
    return false;
  if (isPending[node] == 0) {
    isPending[node] = 1;
    pending[pendingCount++] = node;
  }
  return true;
}

void GraphState::OnNodeDirty(const runtime::Event& event) {
  const NodeHandle handle = NodeHandle::FromEventData(event.data);
  ++eventsReceived;
  if (!IsCurrent(handle) || !MarkDirty(handle.index)) ++eventsIgnored;
}

void GraphState::AddToPass(std::uint32_t node) {
  const std::uint32_t position = plan->positionOf[node];
  passBits[position / 64] |= std::uint64_t{1} << (position % 64);
  passFirst = std::min(passFirst, position / 64);
  passLast = std::max(passLast, position / 64);
}

// Those that read an output of `node` in Compile join the running pass; they stand behind it.
void GraphState::CascadeFrom(std::uint32_t node) {
  for (std::uint32_t i = plan->cascadeBegin[node]; i < plan->cascadeBegin[node + 1]; ++i) {
    const std::uint32_t target = plan->cascadeTargets[i];
    if (nodeStates[target] == NodeState::Quarantined) continue;
    AddToPass(target);
  }
}

std::size_t RenderGraph::ProcessEvents() noexcept { return Events().ProcessEvents(); }

void RenderGraph::MarkDirty(NodeHandle node) noexcept {
  if (state_->IsCurrent(node)) state_->MarkDirty(node.index);
}

bool RenderGraph::HasDirtyNodes() const noexcept { return state_->pendingCount != 0; }

void RenderGraph::ReadmitNode(NodeHandle node) noexcept {
  GraphState& s = *state_;
  if (!s.IsCurrent(node) || s.nodeStates[node.index] == NodeState::Ready) return;
  s.failures[node.index] = 0;
  s.nodeStates[node.index] = NodeState::Failed;
  s.MarkDirty(node.index);
}

NodeState RenderGraph::StateOf(NodeHandle node) const noexcept {
  return state_->IsCurrent(node) ? state_->nodeStates[node.index] : NodeState::Ready;
}

const RecompileStats& RenderGraph::LastRecompile() const noexcept { return state_->stats; }

Result<void> RenderGraph::RecompileDirtyNodes() noexcept {
  GraphState& s = *state_;
  if (s.pendingCount == 0) [[likely]]
    return {};
  STADIAL_ASSERT_ALWAYS(!s.isExecuting && !s.isInPass, "dirty nodes cannot be recompiled from inside a node");
  const std::uint64_t startNs = runtime::NowNs();
  s.passFirst = kNone;
  s.passLast = 0;
  for (const std::uint32_t node : s.pending.first(s.pendingCount)) {
    s.isPending[node] = 0;
    // A node may have marked itself in the very Compile that put it into quarantine.
    if (s.nodeStates[node] == NodeState::Quarantined) continue;
    s.AddToPass(node);
  }
  s.pendingCount = 0;

  s.stats.eventsReceived = std::exchange(s.eventsReceived, 0);
  s.stats.eventsIgnored = std::exchange(s.eventsIgnored, 0);
  s.stats.nodesRecompiled = 0;
  s.stats.nodesFailed = 0;
  ++s.stats.passes;

  // Positions only grow during the pass: a cascade sets bits that are still ahead, so each node comes once.
  // What a node marks itself goes to `pending`, for the next pass.
  s.isInPass = true;
  Result<void> first;
  for (std::size_t word = s.passFirst; word <= s.passLast; ++word) {
    while (s.passBits[word] != 0) {
      const auto bit = static_cast<std::uint32_t>(std::countr_zero(s.passBits[word]));
      s.passBits[word] &= s.passBits[word] - 1;
      const std::uint32_t node = s.plan->order[word * 64 + bit].index;
      Result<void> result = s.CompileNodeAt(node, true);
      ++s.stats.nodesRecompiled;
      if (result) {
        s.CascadeFrom(node);
      } else if (s.stats.nodesFailed++ == 0) {
        first.~Result();
        ::new (&first) Result<void>(result.GetError());
      }
    }
  }
  s.isInPass = false;
  s.stats.elapsedNs = runtime::NowNs() - startNs;
  return first;
}

}  // namespace stadial::graph
