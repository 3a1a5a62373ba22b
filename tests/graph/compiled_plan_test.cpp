// Random graphs against an oracle that knows nothing of the graph's tables: it keeps the connections as they
// were made and answers by reachability, in O(N²) and worse.
#include "stadial/graph/compiled_plan.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <sstream>

#include "graph_fixture.h"

namespace stadial::graph::testing {
namespace {

struct Wire {
  std::uint32_t from, output, to, input;
};

// A graph as made, and everything about it that can be answered without an algorithm worth the name.
struct Oracle {
  std::vector<std::uint32_t> inputs, outputs;  // by node
  std::vector<bool> sideEffects;
  std::vector<Wire> wires;
  std::vector<std::vector<bool>> reach;  // reach[a][b]: a path of at least one edge from a to b

  std::uint32_t Count() const { return static_cast<std::uint32_t>(inputs.size()); }

  void Close() {
    const std::uint32_t n = Count();
    reach.assign(n, std::vector<bool>(n, false));
    for (const Wire& wire : wires) reach[wire.from][wire.to] = true;
    for (std::uint32_t k = 0; k < n; ++k) {
      for (std::uint32_t i = 0; i < n; ++i) {
        if (!reach[i][k]) continue;
        for (std::uint32_t j = 0; j < n; ++j) {
          if (reach[k][j]) reach[i][j] = true;
        }
      }
    }
  }
  // Sets of at least two nodes that reach each other.
  std::uint32_t CycleCount() const {
    std::uint32_t count = 0;
    for (std::uint32_t i = 0; i < Count(); ++i) {
      bool isFirst = false;
      for (std::uint32_t j = 0; j < Count(); ++j) {
        if (i == j || !reach[i][j] || !reach[j][i]) continue;
        isFirst = j > i;
        break;
      }
      if (isFirst) ++count;
    }
    return count;
  }
  bool IsInOrderOfAddition() const {
    return std::all_of(wires.begin(), wires.end(), [](const Wire& w) { return w.from < w.to; });
  }
  bool IsLive(std::uint32_t node) const {
    const auto isRoot = [this](std::uint32_t n) { return outputs[n] == 0 || sideEffects[n]; };
    if (isRoot(node)) return true;
    for (std::uint32_t other = 0; other < Count(); ++other) {
      if (reach[node][other] && isRoot(other)) return true;
    }
    return false;
  }
  // What the node's Execute leaves in `hash`, by recursion.
  std::uint32_t Hash(std::uint32_t node, std::vector<std::optional<std::uint32_t>>& known) const {
    if (known[node]) return *known[node];
    std::uint32_t hash = 2166136261u ^ node;
    for (std::uint32_t slot = 0; slot < inputs[node]; ++slot) {
      for (const Wire& wire : wires) {
        if (wire.to == node && wire.input == slot)
          hash = (hash ^ (Hash(wire.from, known) + wire.output)) * 16777619u + slot;
      }
    }
    known[node] = hash;
    return hash;
  }
};

// The first thing wrong with the plan, or an empty string.
std::string Check(const Oracle& oracle, const CompiledPlan& plan, bool cull) {
  std::ostringstream wrong;
  const std::uint32_t n = oracle.Count();
  std::vector<std::uint32_t> place(n, kNotInPlan);
  if (plan.positionOf.size() != n) wrong << "positionOf has " << plan.positionOf.size() << " entries; ";
  for (std::uint32_t i = 0; i < plan.order.size(); ++i) {
    const std::uint32_t node = plan.order[i].index;
    if (node >= n || place[node] != kNotInPlan)
      return Numbered("order names node ", node) + " wrongly or twice";
    place[node] = i;
  }
  for (std::uint32_t node = 0; node < n; ++node) {
    if (plan.positionOf[node] != place[node]) wrong << "positionOf[" << node << "] is off; ";
    const bool isLive = !cull || oracle.IsLive(node);
    if (isLive != (place[node] != kNotInPlan))
      wrong << "node " << node << (isLive ? " is missing; " : " should be culled; ");
  }
  for (const Wire& wire : oracle.wires) {
    if (place[wire.to] == kNotInPlan) continue;
    if (place[wire.from] >= place[wire.to]) wrong << wire.from << " must come before " << wire.to << "; ";
  }
  if (oracle.IsInOrderOfAddition() &&
      !std::is_sorted(plan.order.begin(), plan.order.end(),
                      [](NodeHandle a, NodeHandle b) { return a.index < b.index; })) {
    wrong << "the order of addition was right and was not kept; ";
  }
  std::size_t edges = 0;
  for (std::uint32_t node = 0; node < n; ++node) {
    for (std::uint32_t slot = 0; slot < oracle.outputs[node]; ++slot) {
      std::uint32_t last = place[node];
      for (const Wire& wire : oracle.wires) {
        if (wire.from == node && wire.output == slot && place[wire.to] != kNotInPlan)
          last = std::max(last, place[wire.to]);
      }
      if (place[node] == kNotInPlan) last = kNotInPlan;
      const OutputLifetime lifetime = plan.LifetimeOf(node, slot);
      if (lifetime.firstPosition != place[node] || lifetime.lastPosition != last) {
        wrong << "lifetime of " << node << "." << slot << " is " << lifetime.firstPosition << ".."
              << lifetime.lastPosition << "; ";
      }
    }
    // Incoming edges: by slot, then in the order of connection.
    std::vector<Wire> expected;
    for (std::uint32_t slot = 0; slot < oracle.inputs[node]; ++slot) {
      for (const Wire& wire : oracle.wires) {
        if (wire.to == node && wire.input == slot) expected.push_back(wire);
      }
    }
    if (place[node] == kNotInPlan) expected.clear();
    const auto actual = plan.EdgesInto(node);
    edges += actual.size();
    if (!std::equal(expected.begin(), expected.end(), actual.begin(), actual.end(),
                    [](const Wire& w, const PlanEdge& e) {
                      return w.from == e.producer && w.to == e.consumer && w.output == e.outputSlot &&
                             w.input == e.inputSlot;
                    })) {
      wrong << "edges into " << node << " are off; ";
    }
  }
  if (edges != plan.edges.size()) wrong << "edges are left over; ";
  return wrong.str();
}

enum class Shape { AnyOrder, InOrder, MayCycle };

Oracle MakeRandom(std::mt19937& engine, Shape shape) {
  const auto random = [&engine](std::uint32_t below) { return static_cast<std::uint32_t>(engine() % below); };
  Oracle oracle;
  const std::uint32_t n = 1 + random(24);
  for (std::uint32_t i = 0; i < n; ++i) {
    oracle.inputs.push_back(random(4));
    oracle.outputs.push_back(random(4));
    oracle.sideEffects.push_back(random(8) == 0);
  }
  // A secret order makes the graph acyclic whatever the order of addition.
  std::vector<std::uint32_t> rank(n);
  for (std::uint32_t i = 0; i < n; ++i) rank[i] = i;
  if (shape == Shape::AnyOrder) std::shuffle(rank.begin(), rank.end(), engine);
  for (std::uint32_t tries = random(3 * n + 1); tries > 0; --tries) {
    const std::uint32_t from = random(n);
    const std::uint32_t to = random(n);
    if (from == to || oracle.outputs[from] == 0 || oracle.inputs[to] == 0) continue;
    if (shape != Shape::MayCycle && rank[from] > rank[to]) continue;
    oracle.wires.push_back({from, random(oracle.outputs[from]), to, random(oracle.inputs[to])});
  }
  oracle.Close();
  return oracle;
}

class CompiledPlanTest : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kGraphs = 500;  // per runtime: all are made before Setup is sealed

  RenderGraphPtr Build(const Oracle& oracle, bool cull) {
    auto created =
        RenderGraph::Create(*runtime_, {.nodesMax = oracle.Count(),
                                        .connectionsMax = static_cast<std::uint32_t>(oracle.wires.size()) + 1,
                                        .resourcesMax = 1,
                                        .faultsMax = 32,
                                        .compileScratchBytes = 64,
                                        .cullDeadNodes = cull});
    EXPECT_TRUE(Ok(created));
    RenderGraphPtr graph = std::move(created).Value();
    std::vector<NodeHandle> handles;
    for (std::uint32_t node = 0; node < oracle.Count(); ++node) {
      const bool sideEffects = oracle.sideEffects[node];
      handles.push_back(graph->AddNode<DynamicNode>(Numbered("n", node).c_str(), oracle.inputs[node],
                                                    oracle.outputs[node], sideEffects));
    }
    for (const Wire& wire : oracle.wires)
      graph->ConnectUntyped(handles[wire.from], wire.output, handles[wire.to], wire.input);
    EXPECT_TRUE(Ok(graph->Setup()));
    return graph;
  }

  // Builds kGraphs graphs, seals Setup, then lets `check` compile each one.
  template <class CheckOne>
  void ForRandomGraphs(Shape shape, bool cull, std::uint32_t seed, CheckOne&& check) {
    std::mt19937 engine(seed);
    std::vector<Oracle> oracles;
    std::vector<RenderGraphPtr> graphs;
    for (std::uint32_t i = 0; i < kGraphs; ++i) {
      oracles.push_back(MakeRandom(engine, shape));
      graphs.push_back(Build(oracles.back(), cull));
    }
    ASSERT_TRUE(Ok(runtime_->SealSetup()));
    for (std::uint32_t i = 0; i < kGraphs; ++i) {
      SCOPED_TRACE(::testing::Message() << "seed " << seed << " graph " << i);
      check(oracles[i], *graphs[i]);
      if (HasFatalFailure()) return;
    }
  }

  runtime::RuntimePtr runtime_ = MakeRuntime({.setupBytes = 48_MiB,
                                              .compileBytes = 256_KiB,
                                              .eventCapacity = 1024,
                                              .subscriptionsMax = kGraphs + 8});
};

void ExpectRight(const Oracle& oracle, RenderGraph& graph, bool cull) {
  ASSERT_TRUE(Ok(graph.Compile()));
  ASSERT_EQ(Check(oracle, graph.CurrentPlan(), cull), "");
  ASSERT_TRUE(Ok(graph.Execute()));
  std::vector<std::optional<std::uint32_t>> known(oracle.Count());
  for (const NodeHandle handle : graph.CurrentPlan().order) {
    const auto& node = static_cast<const DynamicNode&>(*graph.NodeAt(handle));
    ASSERT_EQ(node.lastHash, oracle.Hash(handle.index, known))
        << "node " << handle.index << " read the wrong values";
  }
}

TEST_F(CompiledPlanTest, G3_RandomGraphsAgainstOracle) {
  ForRandomGraphs(Shape::AnyOrder, false, 1001,
                  [](const Oracle& o, RenderGraph& g) { ExpectRight(o, g, false); });
}
TEST_F(CompiledPlanTest, G3_RandomGraphsAgainstOracleOtherSeed) {
  ForRandomGraphs(Shape::AnyOrder, false, 1002,
                  [](const Oracle& o, RenderGraph& g) { ExpectRight(o, g, false); });
}
TEST_F(CompiledPlanTest, G3_RandomGraphsAddedInOrder) {
  ForRandomGraphs(Shape::InOrder, false, 2001,
                  [](const Oracle& o, RenderGraph& g) { ExpectRight(o, g, false); });
}
TEST_F(CompiledPlanTest, G3_RandomGraphsWithCulling) {
  ForRandomGraphs(Shape::AnyOrder, true, 3001,
                  [](const Oracle& o, RenderGraph& g) { ExpectRight(o, g, true); });
}

TEST_F(CompiledPlanTest, G4_RandomCyclesAgainstOracle) {
  std::uint32_t cyclic = 0;
  ForRandomGraphs(Shape::MayCycle, false, 4001, [&cyclic](const Oracle& oracle, RenderGraph& graph) {
    auto report = graph.Validate();
    ASSERT_TRUE(Ok(report));
    ASSERT_EQ(report->totalCount, oracle.CycleCount());
    for (const Fault& fault : report->faults) {
      ASSERT_EQ(fault.kind, FaultKind::Cycle);
      ASSERT_TRUE(oracle.reach[fault.node.index][fault.node.index]) << fault.text;
    }
    if (report->totalCount > 0) {
      ++cyclic;
      ASSERT_FALSE(graph.Compile());
    } else {
      ExpectRight(oracle, graph, false);
    }
  });
  EXPECT_GT(cyclic, kGraphs / 8) << "too few cycles to mean anything";
  EXPECT_LT(cyclic, kGraphs * 7 / 8);
}

// The checker must be able to fail: every kind of damage to a right plan is seen.
TEST_F(CompiledPlanTest, G3_CanaryDamagedPlansAreCaught) {
  Oracle oracle;
  oracle.inputs = {0, 1, 1, 2};
  oracle.outputs = {1, 1, 1, 1};
  oracle.sideEffects = {false, false, false, true};
  oracle.wires = {{0, 0, 1, 0}, {0, 0, 2, 0}, {1, 0, 3, 0}, {2, 0, 3, 1}};
  oracle.Close();
  const RenderGraphPtr graph = Build(oracle, false);
  ASSERT_TRUE(Ok(runtime_->SealSetup()));
  ASSERT_TRUE(Ok(graph->Compile()));
  const CompiledPlan& plan = graph->CurrentPlan();
  ASSERT_EQ(Check(oracle, plan, false), "");

  const auto damaged = [&](auto&& damage) {
    std::vector<NodeHandle> order(plan.order.begin(), plan.order.end());
    std::vector<std::uint32_t> positionOf(plan.positionOf.begin(), plan.positionOf.end());
    std::vector<PlanEdge> edges(plan.edges.begin(), plan.edges.end());
    std::vector<OutputLifetime> lifetimes(plan.lifetimes.begin(), plan.lifetimes.end());
    damage(order, positionOf, edges, lifetimes);
    CompiledPlan copy = plan;
    copy.order = order;
    copy.positionOf = positionOf;
    copy.edges = edges;
    copy.lifetimes = lifetimes;
    return Check(oracle, copy, false);
  };
  EXPECT_EQ(damaged([](auto&, auto&, auto&, auto&) {}), "");
  EXPECT_NE(damaged([](auto& order, auto& positionOf, auto&, auto&) {
              std::swap(order[1], order[3]);
              std::swap(positionOf[1], positionOf[3]);
            }),
            "")
      << "a consumer before its producer";
  EXPECT_NE(damaged([](auto& order, auto&, auto&, auto&) { order[2] = order[1]; }), "") << "a node twice";
  EXPECT_NE(damaged([](auto& order, auto&, auto&, auto&) { order.pop_back(); }), "") << "a node missing";
  EXPECT_NE(damaged([](auto&, auto&, auto&, auto& lifetimes) { --lifetimes[0].lastPosition; }), "")
      << "a lifetime too short";
  EXPECT_NE(damaged([](auto&, auto&, auto&, auto& lifetimes) { ++lifetimes[0].lastPosition; }), "")
      << "a lifetime too long";
  EXPECT_NE(damaged([](auto&, auto&, auto& edges, auto&) { edges[0].producer = 2; }), "") << "a wrong edge";
}

TEST_F(CompiledPlanTest, G3_EmptyGraphCompilesAndExecutes) {
  auto created = RenderGraph::Create(*runtime_, {.nodesMax = 0});
  ASSERT_TRUE(Ok(created));
  RenderGraph& graph = **created;
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime_->SealSetup()));
  ASSERT_TRUE(Ok(graph.Compile()));
  EXPECT_TRUE(graph.CurrentPlan().order.empty());
  EXPECT_TRUE(Ok(graph.Execute()));
}

// R5: the plan is hardware read-only.
TEST(CompiledPlanDeathTest, R5_WritingToTheSealedPlanFaults) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto runtime = MakeRuntime();
  RenderGraph graph(*runtime);
  graph.AddNode<SourceNode>("a", 1.0f);
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime->SealSetup()));
  ASSERT_TRUE(Ok(graph.Compile()));
  auto* order = const_cast<NodeHandle*>(graph.CurrentPlan().order.data());
  EXPECT_DEATH(order[0].index = 5, "");
}

}  // namespace
}  // namespace stadial::graph::testing
