// Event-driven invalidation: marks, the batched pass, cascades, failures.
#include <algorithm>
#include <random>
#include <set>

#include "graph_fixture.h"

namespace stadial::graph::testing {
namespace {

class RecompileTest : public GraphTest {
 protected:
  void Start(RenderGraph& graph) {
    GraphTest::Start(graph);
    log_.clear();
  }
  void Dirty(RenderGraph& graph, NodeHandle node) {
    ASSERT_TRUE(graph.Events().Emit({.type = runtime::EventType::NodeDirty, .data = node.EventData()}));
  }
  std::vector<std::string> log_;
};

TEST_F(RecompileTest, G5_AnEventRecompilesItsNode) {
  RenderGraph graph(*runtime_);
  const auto a = graph.AddNode<ProbeNode>("a");
  const auto b = graph.AddNode<ProbeNode>("b");
  Start(graph);
  Dirty(graph, b);
  EXPECT_FALSE(graph.HasDirtyNodes()) << "not before ProcessEvents";
  EXPECT_EQ(graph.ProcessEvents(), 1u);
  EXPECT_TRUE(graph.HasDirtyNodes());
  ASSERT_TRUE(Ok(graph.RecompileDirtyNodes()));
  EXPECT_EQ(a->compiles, 1);
  EXPECT_EQ(b->compiles, 2);
  EXPECT_FALSE(graph.HasDirtyNodes());
  EXPECT_EQ(graph.LastRecompile().nodesRecompiled, 1u);
  EXPECT_EQ(graph.LastRecompile().passes, 1u);
}

TEST_F(RecompileTest, G5_ManyEventsOnePassInOrderEachOnce) {
  RenderGraph graph(*runtime_);
  const auto c = graph.AddNode<ProbeNode>("c", &log_);
  const auto b = graph.AddNode<ProbeNode>("b", &log_);
  const auto a = graph.AddNode<ProbeNode>("a", &log_);
  graph.Connect(a, ProbeConfig::FRAME_OUT, b, ProbeConfig::FRAME_IN);
  graph.Connect(b, ProbeConfig::FRAME_OUT, c, ProbeConfig::FRAME_IN);
  Start(graph);
  for (const NodeHandle node : {c.Handle(), a.Handle(), c.Handle(), b.Handle(), a.Handle()})
    Dirty(graph, node);
  graph.ProcessEvents();
  ASSERT_TRUE(Ok(graph.RecompileDirtyNodes()));
  EXPECT_EQ(log_, (std::vector<std::string>{"compile a", "compile b", "compile c"}));
  EXPECT_EQ(graph.LastRecompile().eventsReceived, 5u);
  EXPECT_EQ(graph.LastRecompile().nodesRecompiled, 3u);
  EXPECT_EQ(graph.LastRecompile().passes, 1u);
}

TEST_F(RecompileTest, G5_CascadeFollowsCompileInputsOnly) {
  RenderGraph graph(*runtime_);
  const auto late = graph.AddNode<ProbeNode>("late", &log_);
  const auto swapchain = graph.AddNode<ProbeNode>("swapchain", &log_);
  const auto framebuffer = graph.AddNode<ProbeNode>("framebuffer", &log_);
  const auto reader = graph.AddNode<ProbeNode>("reader", &log_);
  graph.Connect(swapchain, ProbeConfig::SIZE_OUT, framebuffer, ProbeConfig::SIZE_IN);
  graph.Connect(framebuffer, ProbeConfig::SIZE_OUT, late, ProbeConfig::SIZE_IN);
  graph.Connect(swapchain, ProbeConfig::FRAME_OUT, reader, ProbeConfig::FRAME_IN);  // in Execute only
  Start(graph);
  swapchain->own = 100;
  Dirty(graph, swapchain);
  graph.ProcessEvents();
  ASSERT_TRUE(Ok(graph.RecompileDirtyNodes()));
  EXPECT_EQ(log_, (std::vector<std::string>{"compile swapchain", "compile framebuffer", "compile late"}));
  EXPECT_EQ(late->Slots().Out(ProbeConfig::SIZE_OUT), 102) << "the new size has arrived at the end";
  EXPECT_EQ(graph.LastRecompile().eventsReceived, 1u);
  EXPECT_EQ(graph.LastRecompile().nodesRecompiled, 3u);
}

TEST_F(RecompileTest, G5_ANodeDirtiedDuringThePassWaitsForTheNext) {
  RenderGraph graph(*runtime_);
  const auto node = graph.AddNode<ProbeNode>("node");
  Start(graph);
  node->dirtyInCompile = true;
  graph.MarkDirty(node);
  for (int frame = 1; frame <= 5; ++frame) {
    ASSERT_TRUE(Ok(graph.RecompileDirtyNodes()));
    EXPECT_EQ(node->compiles, 1 + frame) << "once per pass, never more";
    EXPECT_TRUE(graph.HasDirtyNodes());
  }
}

TEST_F(RecompileTest, G5_FailingNodeIsIsolatedAndTheRestRuns) {
  RenderGraph graph(*runtime_);
  const auto a = graph.AddNode<ProbeNode>("a");
  const auto bad = graph.AddNode<ProbeNode>("bad");
  const auto c = graph.AddNode<ProbeNode>("c");
  graph.Connect(a, ProbeConfig::SIZE_OUT, bad, ProbeConfig::SIZE_IN);
  graph.Connect(bad, ProbeConfig::SIZE_OUT, c, ProbeConfig::SIZE_IN);
  graph.Connect(bad, ProbeConfig::FRAME_OUT, c, ProbeConfig::FRAME_IN);
  Start(graph);
  ASSERT_TRUE(Ok(graph.Execute()));
  bad->failuresLeft = 1;
  graph.MarkDirty(a);
  const Result<void> result = graph.RecompileDirtyNodes();
  ASSERT_FALSE(result);
  EXPECT_NE(std::string_view(result.GetError().Message())
                .find("node 'bad' failed (1 in a row): probe was told to fail"),
            std::string_view::npos)
      << result.GetError().Message();
  EXPECT_EQ(graph.StateOf(bad), NodeState::Failed);
  EXPECT_EQ(graph.LastRecompile().nodesFailed, 1u);
  EXPECT_EQ(c->compiles, 1) << "nothing new came out of the failed node";
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_EQ(a->executes, 2);
  EXPECT_EQ(bad->executes, 1) << "isolated";
  EXPECT_EQ(c->executes, 2) << "goes on with the last values";

  graph.MarkDirty(bad);
  ASSERT_TRUE(Ok(graph.RecompileDirtyNodes())) << "its next Compile succeeds";
  EXPECT_EQ(graph.StateOf(bad), NodeState::Ready);
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_EQ(bad->executes, 2);
}

TEST_F(RecompileTest, G5_ANodeThatKeepsFailingCannotLoop) {
  RenderGraph graph(*runtime_, {.recompileFailuresMax = 3});
  const auto bad = graph.AddNode<ProbeNode>("bad");
  const auto good = graph.AddNode<ProbeNode>("good");
  Start(graph);
  bad->failuresLeft = 1 << 30;
  bad->dirtyInCompile = true;  // and asks for more each time
  for (int frame = 0; frame < 50; ++frame) {
    Dirty(graph, bad);
    Dirty(graph, good);
    graph.ProcessEvents();
    static_cast<void>(graph.RecompileDirtyNodes());
    runtime::FrameContext* ctx = runtime_->Frames().Begin().Value();
    graph.Execute(*ctx);
    runtime_->Frames().End(ctx->completionValue);
  }
  EXPECT_EQ(bad->compiles, 1 + 3);
  EXPECT_EQ(graph.StateOf(bad), NodeState::Quarantined);
  EXPECT_EQ(good->compiles, 1 + 50);
  EXPECT_EQ(good->executes, 50);
  EXPECT_EQ(bad->executes, 0);
  EXPECT_EQ(graph.LastRecompile().eventsIgnored, 1u);

  bad->failuresLeft = 0;
  bad->dirtyInCompile = false;
  graph.ReadmitNode(bad);
  ASSERT_TRUE(Ok(graph.RecompileDirtyNodes()));
  EXPECT_EQ(graph.StateOf(bad), NodeState::Ready);
}

TEST_F(RecompileTest, G5_CascadesLeaveAQuarantinedNodeAlone) {
  RenderGraph graph(*runtime_, {.recompileFailuresMax = 1});
  const auto producer = graph.AddNode<ProbeNode>("producer");
  const auto bad = graph.AddNode<ProbeNode>("bad");
  graph.Connect(producer, ProbeConfig::SIZE_OUT, bad, ProbeConfig::SIZE_IN);
  Start(graph);
  bad->failuresLeft = 1 << 30;
  for (int pass = 0; pass < 5; ++pass) {
    graph.MarkDirty(producer);
    EXPECT_EQ(graph.RecompileDirtyNodes().HasValue(), pass > 0);
  }
  EXPECT_EQ(producer->compiles, 1 + 5);
  EXPECT_EQ(bad->compiles, 1 + 1);
}

TEST_F(RecompileTest, G5_FailuresInTheGraphCompileAreAllCountedAndIsolated) {
  RenderGraph graph(*runtime_);
  const auto a = graph.AddNode<ProbeNode>("a");
  const auto b = graph.AddNode<ProbeNode>("b");
  const auto c = graph.AddNode<ProbeNode>("c");
  a->failuresLeft = b->failuresLeft = 1;
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime_->SealSetup()));
  const Result<void> result = graph.Compile();
  ASSERT_FALSE(result);
  EXPECT_NE(std::string_view(result.GetError().Message()).find("'a'"), std::string_view::npos);
  EXPECT_NE(std::string_view(result.GetError().Message()).find("1 more node"), std::string_view::npos)
      << result.GetError().Message();
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_EQ(a->executes + b->executes, 0);
  EXPECT_EQ(c->executes, 1);
  ASSERT_TRUE(Ok(graph.Compile())) << "a graph compile tries everybody again";
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_EQ(a->executes + b->executes, 2);
}

TEST_F(RecompileTest, G5_EventsForNobodyAreIgnoredAndCounted) {
  RenderGraph graph(*runtime_);
  const auto a = graph.AddNode<ProbeNode>("a");
  Start(graph);
  for (const std::int64_t data :
       {std::int64_t{1}, std::int64_t{-1}, std::int64_t{1} << 40, INT64_MIN, INT64_MAX}) {
    ASSERT_TRUE(graph.Events().Emit({.type = runtime::EventType::NodeDirty, .data = data}));
  }
  graph.ProcessEvents();
  EXPECT_FALSE(graph.HasDirtyNodes());
  ASSERT_TRUE(graph.Events().Emit({.type = runtime::EventType::NodeDirty}));  // as in the seeds: node 0
  graph.ProcessEvents();
  ASSERT_TRUE(Ok(graph.RecompileDirtyNodes()));
  EXPECT_EQ(a->compiles, 2);
  EXPECT_EQ(graph.LastRecompile().eventsReceived, 6u);
  EXPECT_EQ(graph.LastRecompile().eventsIgnored, 5u);
}

TEST_F(RecompileTest, G5_UnchangedFrameRecompilesNothing) {
  RenderGraph graph(*runtime_);
  const auto a = graph.AddNode<ProbeNode>("a");
  Start(graph);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_EQ(a->compiles, 1);
  EXPECT_EQ(graph.LastRecompile().passes, 0u);
}

// Random graphs and marks: the nodes recompiled are exactly the marked ones and what they reach along Compile
// edges, in an order that respects the edges.
TEST_F(RecompileTest, G5_RandomPassesAgainstModel) {
  const std::uint32_t seed = 555;
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 engine(seed);
  const auto random = [&engine](std::uint32_t below) { return static_cast<std::uint32_t>(engine() % below); };
  constexpr std::uint32_t kNodes = 300;  // several words of the pass's bits
  RenderGraph graph(*runtime_, {.nodesMax = kNodes, .connectionsMax = 4 * kNodes});
  std::vector<NodeRef<ProbeNode>> nodes;
  for (std::uint32_t i = 0; i < kNodes; ++i)
    nodes.push_back(graph.AddNode<ProbeNode>(Numbered("n", i).c_str(), &log_));
  std::vector<std::uint32_t> rank(kNodes);
  for (std::uint32_t i = 0; i < kNodes; ++i) rank[i] = i;
  std::shuffle(rank.begin(), rank.end(), engine);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> compileEdges;
  for (std::uint32_t to = 0; to < kNodes; ++to) {
    const std::uint32_t from = random(kNodes);
    if (rank[from] < rank[to]) {
      graph.Connect(nodes[from], ProbeConfig::SIZE_OUT, nodes[to], ProbeConfig::SIZE_IN);
      compileEdges.emplace_back(from, to);
    }
    for (std::uint32_t k = 0; k < 3; ++k) {
      const std::uint32_t other = random(kNodes);
      if (rank[other] < rank[to])
        graph.Connect(nodes[other], ProbeConfig::FRAME_OUT, nodes[to], ProbeConfig::FRAME_IN);
    }
  }
  Start(graph);
  for (int pass = 0; pass < 200; ++pass) {
    std::set<std::uint32_t> expected;
    for (std::uint32_t n = random(4); n > 0; --n) {
      const std::uint32_t node = random(kNodes);
      expected.insert(node);
      graph.MarkDirty(nodes[node]);
    }
    for (bool grew = true; grew;) {
      grew = false;
      for (const auto& [from, to] : compileEdges)
        grew |= expected.contains(from) && expected.insert(to).second;
    }
    log_.clear();
    ASSERT_TRUE(Ok(graph.RecompileDirtyNodes()));
    std::vector<std::string> names;
    for (const NodeHandle handle : graph.CurrentPlan().order) {
      if (expected.contains(handle.index)) names.push_back(Numbered("compile n", handle.index));
    }
    ASSERT_EQ(log_, names);
  }
}

TEST(RecompileDeathTest, RecompilingFromInsideANodeAsserts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  class ReentrantNode final : public TypedNode<SourceConfig> {
   public:
    void Execute(ExecuteContext& ctx) override { ctx.Graph().Execute(ctx.Frame()); }
  };
  const auto runtime = MakeRuntime();
  RenderGraph graph(*runtime);
  graph.AddNode<ReentrantNode>("node");
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime->SealSetup()));
  ASSERT_TRUE(Ok(graph.Compile()));
  EXPECT_DEATH(static_cast<void>(graph.Execute()), "cannot be executed from inside");
}

}  // namespace
}  // namespace stadial::graph::testing
