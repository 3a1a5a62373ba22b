// The order of a dependency graph, over anything that can name its edges: nodes are 0 .. nodeCount - 1, and
// `Dependencies` answers, in constant time and without allocating,
//
//   std::uint32_t EdgeBegin(std::uint32_t node) const;     // the edges of a node are those from here
//   std::uint32_t EdgeEnd(std::uint32_t node) const;       // to before here
//   std::uint32_t DependencyOf(std::uint32_t edge) const;  // the node that the edge's owner depends on
//
// The six answers: nothing grows, all tables are the caller's; nothing can be exhausted; natural alignment;
// no destructors; any thread, on tables of its own; no pointer is kept. Cost: linear in nodes and edges,
// without recursion: a chain of any length is fine.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "stadial/arenas/assert.h"

namespace stadial::runtime {

// Working tables, at least one element per node each. Their contents live for one call.
struct OrderScratch {
  std::span<std::uint8_t> marks;
  std::span<std::uint32_t> callNode;
  std::span<std::uint32_t> callCursor;
};

// Writes all nodes to `order`, each once, dependencies (direct or not) before what depends on them; an order
// of addition that satisfies this is kept. Returns an empty span then, and otherwise the first cycle that was
// found: each node in it depends on the next, the last on the first; it lies in `scratch` and `order` is
// incomplete.
//
// Depth-first along the dependencies, from the nodes in order of their numbers: a node is finished after all
// that it depends on.
template <class Dependencies>
std::span<const std::uint32_t> OrderByDependencies(const Dependencies& dependencies, std::uint32_t nodeCount,
                                                   const OrderScratch& scratch,
                                                   std::span<std::uint32_t> order) noexcept {
  STADIAL_ASSERT_COMPARE(order.size(), >=, nodeCount, "the order has no room for every node");
  STADIAL_ASSERT_COMPARE(std::min({scratch.marks.size(), scratch.callNode.size(), scratch.callCursor.size()}),
                         >=, nodeCount, "a working table has no room for every node");
  enum : std::uint8_t { kNew, kOpen, kDone };
  const std::span<std::uint8_t> state = scratch.marks.first(nodeCount);
  std::fill(state.begin(), state.end(), std::uint8_t{kNew});
  std::uint32_t ordered = 0;
  for (std::uint32_t root = 0; root < nodeCount; ++root) {
    if (state[root] != kNew) continue;
    std::uint32_t depth = 0;
    std::uint32_t node = root;
    std::uint32_t cursor = dependencies.EdgeBegin(root);
    state[root] = kOpen;
    for (;;) {
      if (cursor < dependencies.EdgeEnd(node)) {
        const std::uint32_t dependency = dependencies.DependencyOf(cursor++);
        if (state[dependency] == kDone) continue;
        scratch.callNode[depth] = node;
        if (state[dependency] == kOpen) {
          // The open nodes are the path to here; its part from `dependency` on is the cycle.
          std::uint32_t first = depth;
          while (scratch.callNode[first] != dependency) --first;
          return scratch.callNode.subspan(first, depth + 1 - first);
        }
        state[dependency] = kOpen;
        scratch.callCursor[depth++] = cursor;
        node = dependency;
        cursor = dependencies.EdgeBegin(dependency);
        continue;
      }
      state[node] = kDone;
      order[ordered++] = node;
      if (depth == 0) break;
      node = scratch.callNode[--depth];
      cursor = scratch.callCursor[depth];
    }
  }
  return {};
}

// Sets `isDependent` to 1 for `root` and all that depend on it, directly or not, and to 0 for the others;
// returns how many. `order`: every node once, as OrderByDependencies left it.
template <class Dependencies>
std::uint32_t MarkDependents(const Dependencies& dependencies, std::span<const std::uint32_t> order,
                             std::uint32_t root, std::span<std::uint8_t> isDependent) noexcept {
  STADIAL_ASSERT_COMPARE(root, <, order.size(), "no such node");
  STADIAL_ASSERT_COMPARE(isDependent.size(), >=, order.size(), "the marks have no room for every node");
  std::fill_n(isDependent.begin(), order.size(), std::uint8_t{0});
  isDependent[root] = 1;
  std::uint32_t count = 1;
  for (const std::uint32_t candidate : order) {
    if (isDependent[candidate] != 0) continue;
    const std::uint32_t end = dependencies.EdgeEnd(candidate);
    for (std::uint32_t edge = dependencies.EdgeBegin(candidate); edge < end; ++edge) {
      if (isDependent[dependencies.DependencyOf(edge)] == 0) continue;
      isDependent[candidate] = 1;
      ++count;
      break;
    }
  }
  return count;
}

}  // namespace stadial::runtime
