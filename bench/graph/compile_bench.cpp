// Compiling a graph: validation, order, lifetimes, bindings, sealing, and every node's Compile.
#include <benchmark/benchmark.h>

#include "bench_graph.h"

namespace stadial::graph::bench {
namespace {

void BM_GraphCompile(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  const auto bench = MakePassGraph(count);
  for (auto _ : state) Must(bench.graph->Compile());
  std::uint64_t checksum = 0;
  for (const OutputLifetime& lifetime : bench.graph->CurrentPlan().lifetimes)
    checksum = checksum * 31 + lifetime.lastPosition;
  state.counters["checksum"] = static_cast<double>(checksum % 1000003);
  state.counters["ns_per_node"] = PerItem(count);
}
BENCHMARK(BM_GraphCompile)->Arg(1000)->Arg(10000)->Arg(100000)->Unit(benchmark::kMicrosecond);

// The same graph with a GPU resource for each output: barriers on top.
void BM_GraphCompileBarriers(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  const auto bench = MakeWiredGraph<GpuPassNode, GpuPassConfig>(count);
  for (auto _ : state) Must(bench.graph->Compile());
  const std::size_t barriers = bench.graph->CurrentPlan().sync.barriers.size();
  state.counters["checksum"] = static_cast<double>(barriers);
  state.counters["barriers_per_node"] = static_cast<double>(barriers) / static_cast<double>(count);
  state.counters["ns_per_node"] = PerItem(count);
}
BENCHMARK(BM_GraphCompileBarriers)->Arg(1000)->Arg(10000)->Arg(100000)->Unit(benchmark::kMicrosecond);

void BM_GraphValidate(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  const auto bench = MakePassGraph(count);
  std::uint64_t faults = 0;
  for (auto _ : state) faults += Must(bench.graph->Validate()).totalCount;
  state.counters["checksum"] = static_cast<double>(faults);
  state.counters["ns_per_node"] = PerItem(count);
}
BENCHMARK(BM_GraphValidate)->Arg(1000)->Arg(10000)->Arg(100000)->Unit(benchmark::kMicrosecond);

void BM_GraphPlan(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  const auto bench = MakePassGraph(count);
  std::uint64_t bytes = 0;
  for (auto _ : state) bytes = Must(bench.graph->Plan()).compileBytes;
  state.counters["checksum"] = static_cast<double>(bytes);
}
BENCHMARK(BM_GraphPlan)->Arg(1000)->Unit(benchmark::kMicrosecond);

// Setup of a whole graph: nodes, names, connections, tables.
void BM_GraphDeclare(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  const Wires wires = MakeWires(count, 42);
  for (auto _ : state) {
    state.PauseTiming();
    runtime::RuntimeOptions options;
    options.name = "bench";
    options.kernelWitness = false;
    const runtime::RuntimePtr runtime = Must(runtime::Runtime::Create(options));
    {
      RenderGraph graph(*runtime,
                        {.nodesMax = count, .connectionsMax = static_cast<std::uint32_t>(wires.size())});
      std::vector<NodeRef<PassNode>> nodes(count);
      state.ResumeTiming();
      for (std::uint32_t i = 0; i < count; ++i) {
        char name[24];
        std::snprintf(name, sizeof(name), "node %u", i);
        nodes[i] = graph.AddNode<PassNode>(name);
      }
      for (const auto& [from, to] : wires)
        graph.Connect(nodes[from], PassConfig::RESULT, nodes[to], PassConfig::SOURCES);
      Must(graph.Setup());
      state.PauseTiming();
    }
    state.ResumeTiming();
  }
  state.counters["checksum"] = static_cast<double>(wires.size());
}
BENCHMARK(BM_GraphDeclare)->Arg(1000)->Unit(benchmark::kMicrosecond)->Iterations(20);

// What one would write without a graph library: Kahn's algorithm over vectors of vectors, then lifetimes by a
// scan. It validates nothing, binds nothing and seals nothing.
void BM_TextbookKahn(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  const Wires wires = MakeWires(count, 42);
  std::uint64_t checksum = 0;
  for (auto _ : state) {
    std::vector<std::vector<std::uint32_t>> consumers(count);
    std::vector<std::uint32_t> waiting(count);
    for (const auto& [from, to] : wires) {
      consumers[from].push_back(to);
      ++waiting[to];
    }
    std::vector<std::uint32_t> order;
    for (std::uint32_t node = 0; node < count; ++node) {
      if (waiting[node] == 0) order.push_back(node);
    }
    for (std::size_t i = 0; i < order.size(); ++i) {
      for (const std::uint32_t consumer : consumers[order[i]]) {
        if (--waiting[consumer] == 0) order.push_back(consumer);
      }
    }
    std::vector<std::uint32_t> position(count);
    for (std::uint32_t i = 0; i < count; ++i) position[order[i]] = i;
    std::vector<std::uint32_t> last = position;
    for (const auto& [from, to] : wires) last[from] = std::max(last[from], position[to]);
    checksum = 0;
    for (std::uint32_t node = 0; node < count; node += 97) checksum += last[node];
    benchmark::DoNotOptimize(last.data());
  }
  state.counters["checksum"] = static_cast<double>(checksum % 1000003);
  state.counters["ns_per_node"] = PerItem(count);
}
BENCHMARK(BM_TextbookKahn)->Arg(1000)->Arg(10000)->Arg(100000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace stadial::graph::bench

BENCHMARK_MAIN();
