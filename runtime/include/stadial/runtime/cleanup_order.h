// CleanupOrder: in which order things that depend on each other are taken down (G7). Every node comes before
// all that it depends on, directly or through others, each exactly once; a cycle is refused with its path.
// Nodes are indices; what they stand for is the caller's business.
//
//   const DependencyEdge edges[] = {{.dependent = kView, .dependency = kImage}, ...};
//   DependencyTable table = BuildDependencyTable(nodeCount, edges, setup).Value();
//   CleanupOrder order(setup, nodesMax);
//   if (auto calculated = order.Calculate(table); !calculated) ...     // names the cycle
//   for (std::uint32_t node : order.Order()) Destroy(node);
//
// Removed nodes: a table may be kept when nodes go. Marked as removed, they are not listed, and what was
// ordered through them stays ordered.
//
// The six answers. Growth: never; 17 bytes per node are carved at construction. Exhaustion: more nodes than
// nodesMax is an error. Alignment: natural. Destructors: none. Threads: one at a time. Invalidation: Order()
// and Cycle() until the next Calculate or GetScope.
//
// Cost: linear in nodes and edges; no recursion, no allocation.
#pragma once

#include <cstdint>
#include <span>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/result.h"
#include "stadial/runtime/dependency_order.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

struct DependencyEdge {
  std::uint32_t dependent = 0;
  std::uint32_t dependency = 0;
};

// Compressed rows: node i depends on targets[begin[i]] to before targets[begin[i + 1]]. The spans are not
// copied.
struct DependencyTable {
  std::span<const std::uint32_t> begin;  // one more than there are nodes
  std::span<const std::uint32_t> targets;

  std::uint32_t NodeCount() const noexcept {
    return begin.empty() ? 0 : static_cast<std::uint32_t>(begin.size() - 1);
  }
  // What dependency_order.h asks for.
  std::uint32_t EdgeBegin(std::uint32_t node) const noexcept { return begin[node]; }
  std::uint32_t EdgeEnd(std::uint32_t node) const noexcept { return begin[node + 1]; }
  std::uint32_t DependencyOf(std::uint32_t edge) const noexcept { return targets[edge]; }
};

// Sorts the edges by dependent (stable) into tables carved from `memory`: 4 bytes per node and per edge. The
// same edge twice is fine. Errors: InvalidArgument (an end that is no node; 2^32 - 1 nodes or edges and
// more), CapacityExceeded (the arena is too small; nothing is taken from it).
Result<DependencyTable> BuildDependencyTable(std::uint32_t nodeCount, std::span<const DependencyEdge> edges,
                                             arenas::Arena& memory) noexcept;

// What a node is called in the error that names a cycle. Null: its number.
struct NodeNames {
  const char* (*name)(const void* self, std::uint32_t node) noexcept = nullptr;
  const void* self = nullptr;
};

class CleanupOrder {
 public:
  CleanupOrder() noexcept = default;  // room for no node
  CleanupOrder(arenas::Arena& memory, std::uint32_t nodesMax) noexcept;
  static std::size_t CalculateBytes(std::uint32_t nodesMax) noexcept;

  // `isRemoved`: empty, or one element per node, not 0 for those that are gone. Errors, after which Order()
  // is empty:
  //   Invalid           there is a cycle; the message has its path ("a -> b -> a": a depends on b), cut in
  //                     the middle when it is long; Cycle() has all of it
  //   InvalidArgument   a malformed table: rows that overlap or end outside, a target that is no node
  //   CapacityExceeded  more nodes than nodesMax
  Result<void> Calculate(const DependencyTable& table, std::span<const std::uint8_t> isRemoved = {},
                         const NodeNames& names = {}) noexcept;

  // Dependents before what they depend on.
  std::span<const std::uint32_t> Order() const noexcept { return order_.first(orderCount_); }
  // Of the last Calculate, if it found one: each node depends on the next, the last on the first.
  std::span<const std::uint32_t> Cycle() const noexcept { return cycle_; }

  // The dry run: `node` and all that depend on it, in the order in which they would be taken down. Returns
  // their number, of which as many are written as `scope` has room for; 0 for a node that is none or that is
  // removed. `table` as in the last Calculate, which must have succeeded.
  std::uint32_t GetScope(const DependencyTable& table, std::uint32_t node,
                         std::span<std::uint32_t> scope) noexcept;

  std::uint32_t NodesMax() const noexcept { return static_cast<std::uint32_t>(marks_.size()); }

 private:
  Result<void> Check(const DependencyTable& table, std::span<const std::uint8_t> isRemoved) const noexcept;
  Error CycleError(const NodeNames& names) const noexcept;

  std::span<std::uint8_t> marks_;
  std::span<std::uint32_t> callNode_;
  std::span<std::uint32_t> callCursor_;
  std::span<std::uint32_t> sorted_;  // every node, dependencies first
  std::span<std::uint32_t> order_;
  std::span<const std::uint32_t> cycle_;
  std::uint32_t nodeCount_ = 0;  // of the last Calculate, if it succeeded
  std::uint32_t orderCount_ = 0;
};

}  // namespace stadial::runtime
