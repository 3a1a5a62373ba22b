// Teardown in reverse topological order (G7), and its dry run.
#include "graph_state.h"

namespace stadial::graph {

void RenderGraph::Cleanup() noexcept {
  GraphState& s = *state_;
  if (s.isCleanedUp) return;
  STADIAL_ASSERT_ALWAYS(!s.isExecuting && !s.isInPass,
                        "a graph cannot be cleaned up from inside one of its nodes");
  s.isCleanedUp = true;
  if (s.isSetUpCurrent) s.OrderNodes();
  for (std::uint32_t i = 0; i < s.nodeCount; ++i) {
    // Without a full Setup there is no table to sort in: the order of addition stands in.
    const std::uint32_t node = s.isSetUpCurrent ? s.scratch.order[i] : i;
    if (node >= s.setUpCount) continue;
    const bool isPushed = s.cleanups.TryPush(
        [](void* object) { static_cast<NodeInstance*>(object)->Cleanup(); }, s.instances[node]);
    STADIAL_ASSERT(isPushed, "the cleanup stack has room for every node");
    static_cast<void>(isPushed);
  }
  s.cleanups.Unwind();
  s.dirtySubscription.Reset();
}

// Destructors, in the order of the cleanup.
void GraphState::Teardown() {
  for (std::uint32_t i = nodeCount; i-- > 0;) {
    const std::uint32_t node = isSetUpCurrent ? scratch.order[i] : i;
    instances[node]->~NodeInstance();
  }
  nodeCount = 0;
}

std::uint32_t RenderGraph::GetCleanupScope(NodeHandle node, std::span<NodeHandle> scope) const noexcept {
  const GraphState& s = *state_;
  if (!s.IsCurrent(node) || !s.isSetUpCurrent || s.isCleanedUp) return 0;
  s.OrderNodes();
  const std::span<std::uint8_t> isInScope = s.scratch.marks;
  const std::uint32_t count = runtime::MarkDependents(
      IncomingEdges{s.scratch}, s.scratch.order.first(s.nodeCount), node.index, isInScope);
  std::uint32_t written = 0;
  for (std::uint32_t i = s.nodeCount; i-- > 0 && written < scope.size();) {
    const std::uint32_t member = s.scratch.order[i];
    if (isInScope[member] != 0) scope[written++] = s.instances[member]->Handle();
  }
  return count;
}

}  // namespace stadial::graph
