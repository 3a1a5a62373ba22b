// The order of a cleanup: CleanupOrder against what engines do. "Paths": each node visits all that depends on
// it and only then itself, without remembering what was visited, as a recursive cleanup of shared
// dependencies does; its cost is the number of paths. "Kahn": counted predecessors and a queue, with the
// usual containers. Both sides are given the dependencies in a form they can use at once; what is timed is
// finding the order. "ns_per_node", of the median round, is what rows.json compares.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <memory>
#include <queue>
#include <vector>

#include "stadial/arenas/arena.h"
#include "stadial/runtime/cleanup_order.h"
#include "stadial/runtime/clock.h"
#include "stadial/runtime/time_histogram.h"

namespace {

using stadial::runtime::BuildDependencyTable;
using stadial::runtime::CleanupOrder;
using stadial::runtime::DependencyEdge;
using stadial::runtime::DependencyTable;
using stadial::runtime::NowNs;
using stadial::runtime::TimeHistogram;

// Rungs of three nodes (a top, two sides, the next top): 2^(nodes / 3) paths.
std::vector<DependencyEdge> Ladder(std::uint32_t nodes) {
  std::vector<DependencyEdge> edges;
  for (std::uint32_t top = 0; top + 3 < nodes; top += 3) {
    for (const std::uint32_t side : {top + 1, top + 2}) {
      edges.push_back({.dependent = side, .dependency = top});
      edges.push_back({.dependent = top + 3, .dependency = side});
    }
  }
  return edges;
}

template <class Order>
void Measure(benchmark::State& state, std::uint32_t nodes, Order&& order) {
  const auto times = std::make_unique<TimeHistogram>();
  std::uint64_t checksum = 0;
  for (auto _ : state) {
    const std::uint64_t startNs = NowNs();
    checksum = order();
    const std::uint64_t ns = NowNs() - startNs;
    times->Record(ns);
    state.SetIterationTime(static_cast<double>(ns) * 1e-9);
  }
  if (times->Count() == 0) return;
  state.counters["ns"] = times->PercentileNs(0.5);
  state.counters["ns_per_node"] = times->PercentileNs(0.5) / nodes;
  state.counters["checksum"] = static_cast<double>(checksum);
}

void BM_CleanupStadial(benchmark::State& state) {
  const auto nodes = static_cast<std::uint32_t>(state.range(0));
  const std::vector<DependencyEdge> edges = Ladder(nodes);
  const std::size_t bytes =
      CleanupOrder::CalculateBytes(nodes) + 4 * (nodes + edges.size()) + std::size_t{4096};
  const auto memory = std::make_unique<std::byte[]>(bytes);
  stadial::arenas::Arena arena("bench", memory.get(), bytes);
  const DependencyTable table = BuildDependencyTable(nodes, edges, arena).Value();
  CleanupOrder order(arena, nodes);
  Measure(state, nodes, [&] {
    if (!order.Calculate(table)) state.SkipWithError("a cycle");
    return std::uint64_t{order.Order().front()} + order.Order().size();
  });
}

struct Lists {
  explicit Lists(std::uint32_t nodes) : dependents(nodes), dependencies(nodes) {
    for (const DependencyEdge& edge : Ladder(nodes)) {
      dependents[edge.dependency].push_back(edge.dependent);
      dependencies[edge.dependent].push_back(edge.dependency);
    }
  }
  std::vector<std::vector<std::uint32_t>> dependents;
  std::vector<std::vector<std::uint32_t>> dependencies;
};

std::uint64_t CleanUpByPaths(const Lists& lists, std::uint32_t node) {
  std::uint64_t steps = 1;
  for (const std::uint32_t dependent : lists.dependents[node]) steps += CleanUpByPaths(lists, dependent);
  return steps;
}

void BM_CleanupPaths(benchmark::State& state) {
  const auto nodes = static_cast<std::uint32_t>(state.range(0));
  const Lists lists(nodes);
  Measure(state, nodes, [&] { return CleanUpByPaths(lists, 0); });
}

void BM_CleanupKahn(benchmark::State& state) {
  const auto nodes = static_cast<std::uint32_t>(state.range(0));
  const Lists lists(nodes);
  Measure(state, nodes, [&] {
    std::vector<std::uint32_t> left(nodes);
    std::queue<std::uint32_t> ready;
    std::vector<std::uint32_t> order;
    order.reserve(nodes);
    for (std::uint32_t node = 0; node < nodes; ++node) {
      left[node] = static_cast<std::uint32_t>(lists.dependents[node].size());
      if (left[node] == 0) ready.push(node);
    }
    while (!ready.empty()) {
      const std::uint32_t node = ready.front();
      ready.pop();
      order.push_back(node);
      for (const std::uint32_t dependency : lists.dependencies[node]) {
        if (--left[dependency] == 0) ready.push(dependency);
      }
    }
    return std::uint64_t{order.front()} + order.size();
  });
}

BENCHMARK(BM_CleanupStadial)->Arg(40)->Arg(1000)->Arg(100'000)->UseManualTime();
BENCHMARK(BM_CleanupPaths)->Arg(40)->UseManualTime();
BENCHMARK(BM_CleanupKahn)->Arg(40)->Arg(1000)->Arg(100'000)->UseManualTime();

}  // namespace

BENCHMARK_MAIN();
