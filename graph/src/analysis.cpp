// The analyses behind Validate, Plan and Compile: connections grouped by input slot, an execution order, and
// the nodes worth executing. All linear in nodes and connections, all in the scratch tables.
#include <algorithm>
#include <utility>

#include "graph_state.h"

namespace stadial::graph {

// Counting sort by input slot, counted over the whole graph; stable, so an Array slot keeps the order of
// connection.
void GraphState::SortConnections() const {
  const std::uint32_t inputs = inputBase[nodeCount];
  const std::span<std::uint32_t> begin = scratch.inputBegin.first(inputs + 1);
  std::fill(begin.begin(), begin.end(), 0u);
  for (const Connection& c : connections.first(connectionCount)) {
    if (c.graphInput != kNone) ++begin[c.graphInput];
  }
  std::uint32_t sum = 0;
  for (std::uint32_t& count : begin) sum += std::exchange(count, sum);
  for (std::uint32_t node = 0; node <= nodeCount; ++node) scratch.edgeBegin[node] = begin[inputBase[node]];
  for (const Connection& c : connections.first(connectionCount)) {
    if (c.graphInput == kNone) continue;
    scratch.edges[begin[c.graphInput]++] = {c.value,
                                            c.producer,
                                            c.graphOutput,
                                            static_cast<std::uint16_t>(c.outputSlot),
                                            static_cast<std::uint16_t>(c.inputSlot),
                                            c.isArray,
                                            c.cascades};
  }
  // Filling moved every begin to its end, which is the next one's begin: shift back by one.
  for (std::uint32_t i = inputs; i > 0; --i) begin[i] = begin[i - 1];
  begin[0] = 0;
}

// An execution order, which equals the order of addition wherever that already is one. False as soon as a
// cycle closes.
bool GraphState::OrderAcyclic() const {
  return runtime::OrderByDependencies(IncomingEdges{scratch}, nodeCount,
                                      {scratch.marks, scratch.callNode, scratch.callCursor}, scratch.order)
      .empty();
}

// The same order for a graph with cycles, by Tarjan's strongly connected components: the members of a cycle
// stand together in it, and `component` names them alike.
void GraphState::OrderComponents() const {
  std::fill_n(scratch.visitIndex.begin(), nodeCount, 0u);          // 0: not visited
  std::fill_n(scratch.marks.begin(), nodeCount, std::uint8_t{0});  // 1: on the component stack
  const std::span<std::uint32_t> low = scratch.component;
  std::uint32_t visited = 0;
  std::uint32_t ordered = 0;
  std::uint32_t stacked = 0;

  const auto open = [&](std::uint32_t node, std::uint32_t depth) {
    scratch.visitIndex[node] = low[node] = ++visited;
    scratch.componentStack[stacked++] = node;
    scratch.marks[node] = 1;
    scratch.callNode[depth] = node;
    scratch.callCursor[depth] = scratch.edgeBegin[node];
  };
  for (std::uint32_t root = 0; root < nodeCount; ++root) {
    if (scratch.visitIndex[root] != 0) continue;
    std::uint32_t depth = 0;
    open(root, 0);
    for (;;) {
      const std::uint32_t node = scratch.callNode[depth];
      if (scratch.callCursor[depth] < scratch.edgeBegin[node + 1]) {
        const std::uint32_t producer = scratch.edges[scratch.callCursor[depth]++].producer;
        if (scratch.visitIndex[producer] == 0) {
          open(producer, ++depth);
        } else if (scratch.marks[producer] != 0) {
          low[node] = std::min(low[node], scratch.visitIndex[producer]);
        }
        continue;
      }
      const std::uint32_t lowest = low[node];
      if (lowest == scratch.visitIndex[node]) {
        std::uint32_t member;
        do {
          member = scratch.componentStack[--stacked];
          scratch.marks[member] = 0;
          low[member] = lowest;
          scratch.order[ordered++] = member;
        } while (member != node);
      }
      if (depth == 0) break;
      const std::uint32_t caller = scratch.callNode[--depth];
      low[caller] = std::min(low[caller], lowest);
    }
  }
}

bool GraphState::OrderNodes() const {
  SortConnections();
  if (connected.areInOrder) {
    for (std::uint32_t node = 0; node < nodeCount; ++node) scratch.order[node] = node;
    return true;
  }
  if (OrderAcyclic()) return true;
  OrderComponents();
  return false;
}

// Live: has no outputs, has side effects, or feeds a live node. Then places and edges are counted over live
// nodes.
void GraphState::FindLiveNodes(Analysis& analysis) const {
  if (!options.cullDeadNodes) {
    for (std::uint32_t i = 0; i < nodeCount; ++i) scratch.position[scratch.order[i]] = i;
    analysis.liveNodes = nodeCount;
    analysis.liveEdges = connected.valid;
    analysis.arrayValues = connected.arrayValues;
    analysis.cascades = connected.cascades;
    return;
  }
  const std::span<std::uint8_t> isLive = scratch.marks.first(nodeCount);
  std::fill(isLive.begin(), isLive.end(), std::uint8_t{0});
  for (std::uint32_t i = nodeCount; i-- > 0;) {  // consumers before producers
    const std::uint32_t node = scratch.order[i];
    if (isLive[node] == 0 && (layouts[node].outputs.empty() || instances[node]->HasSideEffects()))
      isLive[node] = 1;
    if (isLive[node] == 0) continue;
    for (const SortedEdge& edge : EdgesInto(node)) {
      isLive[edge.producer] = 1;
      ++analysis.liveEdges;
      analysis.arrayValues += edge.isArray ? 1 : 0;
      analysis.cascades += edge.cascades ? 1 : 0;
    }
  }
  for (const std::uint32_t node : scratch.order.first(nodeCount)) {
    scratch.position[node] = isLive[node] != 0 ? analysis.liveNodes++ : kNone;
  }
}

// A node's wave is one behind the last of its producers', which stand before it in the order.
void GraphState::FindWaves(Analysis& analysis) const {
  for (const std::uint32_t node : scratch.order.first(nodeCount)) {
    if (scratch.position[node] == kNone) continue;
    std::uint32_t wave = 0;
    for (const SortedEdge& edge : EdgesInto(node)) wave = std::max(wave, scratch.wave[edge.producer] + 1);
    scratch.wave[node] = wave;
    analysis.waves = std::max(analysis.waves, wave + 1);
  }
}

Analysis GraphState::Analyze() const {
  Analysis analysis;
  analysis.isAcyclic = OrderNodes();
  FindLiveNodes(analysis);
  if (analysis.isAcyclic && HasWaves()) FindWaves(analysis);
  if (analysis.isAcyclic) DeriveSync(analysis);
  return analysis;
}

}  // namespace stadial::graph
