// Graphs for the benchmarks: a fixed seed, an order of addition that is not an execution order, two inputs a
// node.
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

#include "stadial/graph/render_graph.h"
#include "stadial/runtime/runtime.h"

namespace stadial::graph::bench {

struct PassConfig : NodeConfig<PassConfig> {
  INPUT_SLOT(SOURCES, std::uint32_t, SlotMode::Array);
  INPUT_SLOT(SIZE, std::uint32_t, SlotMode::Optional, SlotRole::Compile);
  OUTPUT_SLOT(RESULT, std::uint32_t);
  OUTPUT_SLOT(NEW_SIZE, std::uint32_t, SlotRole::Compile);
};
class PassNode final : public TypedNode<PassConfig> {
 public:
  Result<void> Compile(CompileContext& ctx) override {
    const std::uint32_t* size = ctx.In(SIZE);
    ctx.Out(NEW_SIZE, size == nullptr ? 1u : *size + 1u);
    return {};
  }
  void Execute(ExecuteContext& ctx) override {
    std::uint32_t sum = 1;
    for (const std::uint32_t value : ctx.In(SOURCES)) sum += value;
    ctx.Out(RESULT, sum);
  }
};

// The same wiring between nodes that use GPU resources: each reads what its producers have made, and makes
// something itself.
struct GpuPassConfig : NodeConfig<GpuPassConfig> {
  INPUT_SLOT(SOURCES, std::uint32_t, SlotMode::Array, graph::Access::ComputeSampled);
  OUTPUT_SLOT(RESULT, std::uint32_t, graph::Access::ComputeStorageWrite);
};
class GpuPassNode final : public TypedNode<GpuPassConfig> {
 public:
  void Execute(ExecuteContext&) override {}
};

// Nanoseconds per item, for an iteration of `count` items (shown with an "s" by the library, which inverts a
// rate).
inline benchmark::Counter PerItem(std::uint32_t count) {
  return benchmark::Counter(static_cast<double>(count) * 1e-9,
                            benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

using Wires = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

// Two producers per node, each earlier in a secret order and never far from it: as in a frame, where a pass
// reads what was made a few passes before.
inline Wires MakeWires(std::uint32_t nodes, std::uint32_t seed) {
  std::mt19937 engine(seed);
  std::vector<std::uint32_t> order(nodes);
  std::iota(order.begin(), order.end(), 0u);
  std::shuffle(order.begin(), order.end(), engine);
  Wires wires;
  for (std::uint32_t place = 1; place < nodes; ++place) {
    for (int k = 0; k < 2; ++k) {
      const std::uint32_t back = 1 + static_cast<std::uint32_t>(engine() % 64);
      if (back <= place) wires.emplace_back(order[place - back], order[place]);
    }
  }
  return wires;
}

template <class T>
T Must(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "%s\n", result.GetError().Message());
    std::abort();
  }
  if constexpr (!std::is_void_v<T>) return std::move(result).Value();
}

// A graph of NodeT, set up and compiled.
template <class NodeT>
struct BenchGraph {
  runtime::RuntimePtr runtime;
  std::unique_ptr<RenderGraph> graph;
  std::vector<NodeRef<NodeT>> nodes;

  // `workers` besides the calling thread: execution is in waves unless there are none.
  template <class Connect>
  BenchGraph(std::uint32_t count, std::uint32_t connections, Connect&& connect, std::uint32_t workers = 0) {
    runtime::RuntimeOptions options;
    options.name = "bench";
    options.setupBytes = (std::size_t{8} << 20) + std::size_t{count} * 2048 + std::size_t{connections} * 192;
    options.compileBytes = (std::size_t{1} << 20) + std::size_t{count} * 256 + std::size_t{connections} * 64;
    options.eventCapacity = 64;
    options.kernelWitness = false;
    options.workers = workers;
    runtime = Must(runtime::Runtime::Create(options));
    graph = std::make_unique<RenderGraph>(
        *runtime,
        GraphOptions{.nodesMax = count, .connectionsMax = connections, .executeInWaves = workers != 0});
    for (std::uint32_t i = 0; i < count; ++i) {
      char name[24];
      std::snprintf(name, sizeof(name), "node %u", i);
      nodes.push_back(graph->template AddNode<NodeT>(name));
    }
    connect(*graph, nodes);
    Must(graph->Setup());
    Must(runtime->SealSetup());
    Must(graph->Compile());
  }
};

template <class NodeT, class ConfigT>
BenchGraph<NodeT> MakeWiredGraph(std::uint32_t count) {
  const Wires wires = MakeWires(count, 42);
  return BenchGraph<NodeT>(count, static_cast<std::uint32_t>(wires.size()),
                           [&wires](RenderGraph& graph, auto& nodes) {
                             for (const auto& [from, to] : wires)
                               graph.Connect(nodes[from], ConfigT::RESULT, nodes[to], ConfigT::SOURCES);
                           });
}
inline BenchGraph<PassNode> MakePassGraph(std::uint32_t count) {
  return MakeWiredGraph<PassNode, PassConfig>(count);
}

}  // namespace stadial::graph::bench
