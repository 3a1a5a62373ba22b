// CompiledPlan: what a graph compile produces, as flat arrays in Compile memory, read-only once sealed. Every
// node is named by its index (NodeHandle::index); positions are places in the execution order. Thread rules:
// immutable, readable from any thread. Pointers into it stay valid until the second compile after it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "stadial/graph/barriers.h"
#include "stadial/graph/node.h"

namespace stadial::graph {

inline constexpr std::uint32_t kNotInPlan = std::numeric_limits<std::uint32_t>::max();

// One connection, from an output slot to an input slot.
struct PlanEdge {
  std::uint32_t producer = 0;
  std::uint32_t consumer = 0;
  std::uint16_t outputSlot = 0;
  std::uint16_t inputSlot = 0;
};

// The positions, both inclusive, between which an output's value must stay intact: from its producer to its
// last reader. Nobody reads it: last equals first. Culled: both kNotInPlan.
struct OutputLifetime {
  std::uint32_t firstPosition = kNotInPlan;
  std::uint32_t lastPosition = kNotInPlan;
};

// The nodes wavePositions[begin .. end), of which those before `shared` run on the frame thread.
struct PlanWave {
  std::uint32_t begin = 0;
  std::uint32_t shared = 0;
  std::uint32_t end = 0;
};

// The memory that the transients of one class share.
struct PlanMemoryClass {
  std::uint32_t memoryClass = 0;
  std::uint32_t transients = 0;
  std::uint64_t totalBytes = 0;      // offsets and sizes lie within
  std::uint64_t boundBytes = 0;      // what is alive at once: no plan can need less
  std::uint64_t unaliasedBytes = 0;  // each for itself
};

struct CompiledPlan {
  std::uint64_t generation = 0;                // 1 for the first plan of the graph
  std::span<const NodeHandle> order;           // executed nodes, producers before consumers
  std::span<const std::uint32_t> positionOf;   // by node: its place in `order`, or kNotInPlan when culled
  std::span<const std::uint32_t> edgeBegin;    // by node, one more than nodes: its incoming edges are
  std::span<const PlanEdge> edges;             //   edges[edgeBegin[n] .. edgeBegin[n + 1]), by input slot
  std::span<const std::uint32_t> outputBegin;  // by node, one more than nodes: its outputs' lifetimes are
  std::span<const OutputLifetime> lifetimes;   //   lifetimes[outputBegin[n] + slot]
  std::span<const InputBinding> bindings;      // all nodes' inputs, one after another
  std::span<const void* const> arrayValues;    // what the bindings of Array inputs point to
  std::span<const std::uint32_t>
      cascadeBegin;  // by node, one more than nodes: who must recompile with it are
  std::span<const std::uint32_t> cascadeTargets;  //   cascadeTargets[cascadeBegin[n] .. cascadeBegin[n + 1])
  // Waves, when the graph executes in them (otherwise empty): a node's wave is one behind the last of its
  // producers'. `wavePositions` holds places in `order`, wave by wave, in each first those of the frame
  // thread.
  std::span<const PlanWave> waves;
  std::span<const std::uint32_t> wavePositions;
  // Barriers, queues and semaphores by position. A resource is named by the output that it first comes from:
  // outputBegin[node] + slot.
  SyncPlan sync;
  // Transients of the executed nodes, and the memory classes they stand in; both empty where no node has any.
  std::span<const std::uint32_t> transientBegin;  // by node, one more than nodes: its own are
  std::span<const PlanTransient> transients;      //   transients[transientBegin[n] .. transientBegin[n + 1])
  std::span<const PlanMemoryClass> memoryClasses;

  std::uint32_t NodeCount() const noexcept { return static_cast<std::uint32_t>(positionOf.size()); }
  std::span<const PlanEdge> EdgesInto(std::uint32_t node) const noexcept {
    return edges.subspan(edgeBegin[node], edgeBegin[node + 1] - edgeBegin[node]);
  }
  std::span<const PlanTransient> TransientsOf(std::uint32_t node) const noexcept {
    if (transientBegin.empty()) return {};
    return transients.subspan(transientBegin[node], transientBegin[node + 1] - transientBegin[node]);
  }
  OutputLifetime LifetimeOf(std::uint32_t node, std::uint32_t outputSlot) const noexcept {
    return lifetimes[outputBegin[node] + outputSlot];
  }
};

}  // namespace stadial::graph
