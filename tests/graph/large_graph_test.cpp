// Graphs of ten thousand nodes in the shapes that break naive algorithms: deep recursion, wide fan-out and
// fan-in, an order of addition that is exactly backwards.
#include <algorithm>
#include <memory>
#include <numeric>
#include <random>

#include "graph_fixture.h"

namespace stadial::graph::testing {
namespace {

constexpr std::uint32_t kNodes = 10000;

class LargeGraphTest : public ::testing::Test {
 protected:
  void Build(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& wires) {
    options_.nodesMax = kNodes;
    options_.connectionsMax = static_cast<std::uint32_t>(wires.size());
    graph_ = std::make_unique<RenderGraph>(*runtime_, options_);
    for (std::uint32_t i = 0; i < kNodes; ++i)
      nodes_.push_back(graph_->AddNode<SumNode>(Numbered("n", i).c_str()));
    for (const auto& [from, to] : wires)
      graph_->Connect(nodes_[from], SumConfig::SUM, nodes_[to], SumConfig::TERMS);
    ASSERT_TRUE(Ok(graph_->Setup()));
    ASSERT_TRUE(Ok(runtime_->SealSetup()));
  }
  void CompileAndCheck(const std::vector<std::pair<std::uint32_t, std::uint32_t>>& wires) {
    ASSERT_TRUE(Ok(graph_->Compile()));
    const CompiledPlan& plan = graph_->CurrentPlan();
    ASSERT_EQ(plan.order.size(), kNodes);
    std::vector<std::uint32_t> last(kNodes);
    for (std::uint32_t node = 0; node < kNodes; ++node) last[node] = plan.positionOf[node];
    for (const auto& [from, to] : wires) {
      ASSERT_LT(plan.positionOf[from], plan.positionOf[to]);
      last[from] = std::max(last[from], plan.positionOf[to]);
    }
    for (std::uint32_t node = 0; node < kNodes; ++node)
      ASSERT_EQ(plan.LifetimeOf(node, 0).lastPosition, last[node]);
    for (int frame = 0; frame < 3; ++frame) ASSERT_TRUE(Ok(graph_->Execute()));
  }

  runtime::RuntimePtr runtime_ =
      MakeRuntime({.setupBytes = 24_MiB, .compileBytes = 4_MiB, .eventCapacity = 1024});
  GraphOptions options_;
  std::unique_ptr<RenderGraph> graph_;
  std::vector<NodeRef<SumNode>> nodes_;
};

TEST_F(LargeGraphTest, G3_BackwardsChain) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> wires;
  for (std::uint32_t i = 1; i < kNodes; ++i) wires.emplace_back(i, i - 1);
  Build(wires);
  CompileAndCheck(wires);
  EXPECT_EQ(graph_->CurrentPlan().order[0], nodes_.back().Handle());
}

TEST_F(LargeGraphTest, G3_FanOutAndFanIn) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> wires;
  for (std::uint32_t i = 1; i + 1 < kNodes; ++i) {
    wires.emplace_back(kNodes - 1, i);  // the last one added feeds everybody
    wires.emplace_back(i, 0);           // everybody feeds the first
  }
  Build(wires);
  CompileAndCheck(wires);
}

TEST_F(LargeGraphTest, G3_RandomWithFourConnectionsEach) {
  const std::uint32_t seed = 77;
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 engine(seed);
  std::vector<std::uint32_t> rank(kNodes);
  std::iota(rank.begin(), rank.end(), 0u);
  std::shuffle(rank.begin(), rank.end(), engine);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> wires;
  for (std::uint32_t i = 0; i < 4 * kNodes; ++i) {
    const auto from = static_cast<std::uint32_t>(engine() % kNodes);
    const auto to = static_cast<std::uint32_t>(engine() % kNodes);
    if (rank[from] < rank[to]) wires.emplace_back(from, to);
  }
  Build(wires);
  CompileAndCheck(wires);
}

TEST_F(LargeGraphTest, G4_OneCycleThroughAllOfThem) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> wires;
  for (std::uint32_t i = 0; i < kNodes; ++i) wires.emplace_back(i, (i + 1) % kNodes);
  Build(wires);
  auto report = graph_->Validate();
  ASSERT_TRUE(Ok(report));
  ASSERT_EQ(report->totalCount, 1u);
  EXPECT_EQ(report->faults[0].kind, FaultKind::Cycle);
  EXPECT_NE(std::string_view(report->faults[0].text).find("10000 nodes in a circle"), std::string_view::npos)
      << report->faults[0].text;
}

TEST_F(LargeGraphTest, G4_FiveThousandCyclesAreCountedInBoundedMemory) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> wires;
  for (std::uint32_t i = 0; i < kNodes; i += 2) {
    wires.emplace_back(i, i + 1);
    wires.emplace_back(i + 1, i);
  }
  Build(wires);
  auto report = graph_->Validate();
  ASSERT_TRUE(Ok(report));
  EXPECT_EQ(report->totalCount, kNodes / 2);
  EXPECT_EQ(report->faults.size(), graph_->Options().faultsMax);
}

TEST_F(LargeGraphTest, Ei_SixThousandEventsAFrame) {
  Build({});
  ASSERT_TRUE(Ok(graph_->Compile()));
  EXPECT_EQ(graph_->Events().GetStats().capacity, kNodes * 6u);
  for (int frame = 0; frame < 5; ++frame) {
    for (std::uint32_t i = 0; i < 6000; ++i) {
      ASSERT_TRUE(graph_->Events().Emit(
          {.type = runtime::EventType::NodeDirty, .data = static_cast<std::int64_t>(i % 1000)}));
    }
    EXPECT_EQ(graph_->ProcessEvents(), 6000u);
    ASSERT_TRUE(Ok(graph_->RecompileDirtyNodes()));
    EXPECT_EQ(graph_->LastRecompile().nodesRecompiled, 1000u);
    ASSERT_TRUE(Ok(graph_->Execute()));
  }
  EXPECT_EQ(graph_->Events().GetStats().growths, 0u);
}

}  // namespace
}  // namespace stadial::graph::testing
