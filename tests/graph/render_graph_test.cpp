#include "stadial/graph/render_graph.h"

#include <algorithm>
#include <thread>

#include "graph_fixture.h"

namespace stadial::graph::testing {
namespace {

class RenderGraphTest : public GraphTest {};

TEST_F(RenderGraphTest, G1_ValuesFlowThroughTypedSlots) {
  RenderGraph graph(*runtime_);
  const auto sum = graph.AddNode<SumNode>("sum");  // added before what it reads
  const auto a = graph.AddNode<SourceNode>("a", 3.0f);
  const auto b = graph.AddNode<SourceNode>("b", 4.0f);
  const auto doubled = graph.AddNode<ScaleNode>("doubled", 2.0f);
  graph.Connect(a, SourceConfig::VALUE, sum, SumConfig::TERMS);
  graph.Connect(b, SourceConfig::VALUE, doubled, ScaleConfig::SOURCE);
  graph.Connect(doubled, ScaleConfig::RESULT, sum, SumConfig::TERMS);
  graph.Connect(a, SourceConfig::VALUE, sum, SumConfig::OFFSET);
  Start(graph);
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_EQ(sum->Slots().Out(SumConfig::SUM), 3.0f + 8.0f + 3.0f);
  a->value = 1.0f;
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_EQ(sum->Slots().Out(SumConfig::SUM), 1.0f + 8.0f + 1.0f);
}

TEST_F(RenderGraphTest, G10_RunsWithoutAnyGpuFor1000Frames) {
  RenderGraph graph(*runtime_);
  const auto a = graph.AddNode<SourceNode>("a", 0.0f);
  const auto b = graph.AddNode<ScaleNode>("b", 2.0f);
  graph.Connect(a, SourceConfig::VALUE, b, ScaleConfig::SOURCE);
  Start(graph);
  for (int frame = 0; frame < 1000; ++frame) {
    a->value = static_cast<float>(frame);
    ASSERT_TRUE(Ok(graph.Execute()));
    ASSERT_EQ(b->Slots().Out(ScaleConfig::RESULT), 2.0f * static_cast<float>(frame));
  }
  EXPECT_EQ(runtime_->Frames().FrameIndex(), 1000u);
}

TEST_F(RenderGraphTest, G3_OrderOfAdditionIsKeptWhereItIsRight) {
  RenderGraph graph(*runtime_);
  const auto c = graph.AddNode<ScaleNode>("c", 1.0f);
  const auto lone = graph.AddNode<SourceNode>("lone", 1.0f);
  const auto a = graph.AddNode<SourceNode>("a", 1.0f);
  const auto b = graph.AddNode<ScaleNode>("b", 1.0f);
  graph.Connect(a, SourceConfig::VALUE, b, ScaleConfig::SOURCE);
  graph.Connect(b, ScaleConfig::RESULT, c, ScaleConfig::SOURCE);
  Start(graph);
  const auto order = graph.CurrentPlan().order;
  const NodeHandle expected[] = {a, b, c, lone};
  EXPECT_TRUE(std::equal(order.begin(), order.end(), std::begin(expected), std::end(expected)));
}

TEST_F(RenderGraphTest, G3_DeadNodesAreCulledOnRequest) {
  RenderGraph graph(*runtime_, {.cullDeadNodes = true});
  const auto a = graph.AddNode<ProbeNode>("a");
  const auto dead = graph.AddNode<ProbeNode>("dead");
  const auto sink = graph.AddNode<DynamicNode>("sink", 1u, 0u);
  const auto source = graph.AddNode<DynamicNode>("source", 0u, 1u);
  graph.ConnectUntyped(source, 0, sink, 0);
  graph.Connect(a, ProbeConfig::FRAME_OUT, dead, ProbeConfig::FRAME_IN);
  Start(graph);
  EXPECT_EQ(graph.CurrentPlan().order.size(), 2u);
  EXPECT_EQ(graph.CurrentPlan().positionOf[dead.Handle().index], kNotInPlan);
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_EQ(a->executes + dead->executes + a->compiles + dead->compiles, 0);
  graph.MarkDirty(dead);
  EXPECT_FALSE(graph.HasDirtyNodes()) << "a culled node has nothing to recompile";
  graph.Cleanup();
  EXPECT_EQ(dead->cleanups, 1) << "what was set up is cleaned up";
}

// SPEC's Setup -> SealSetup -> Compile order, and what each call says when it comes at the wrong time.
TEST_F(RenderGraphTest, R4_CallsOutOfOrderAreErrors) {
  RenderGraph graph(*runtime_);
  const auto a = graph.AddNode<SourceNode>("a", 1.0f);
  EXPECT_EQ(graph.Compile().GetError().Code(), ErrorCode::WrongPhase) << "still Setup";
  ASSERT_TRUE(Ok(graph.Setup()));
  EXPECT_EQ(graph.Compile().GetError().Code(), ErrorCode::WrongPhase) << "Setup is not sealed";
  ASSERT_TRUE(Ok(runtime_->SealSetup()));
  EXPECT_EQ(graph.Setup().GetError().Code(), ErrorCode::WrongPhase);
  EXPECT_EQ(RenderGraph::Create(*runtime_).GetError().Code(), ErrorCode::WrongPhase);
  ASSERT_TRUE(Ok(graph.Compile()));

  EXPECT_FALSE(graph.AddNode<SourceNode>("late", 1.0f)) << "R5: Setup memory is sealed";
  graph.Connect(a, SourceConfig::VALUE, graph.AddNode<ScaleNode>("late2", 1.0f), ScaleConfig::SOURCE);
  EXPECT_EQ(graph.NodeCount(), 1u);
  ASSERT_TRUE(Ok(graph.Execute())) << "the running plan is unharmed";
  auto report = graph.Validate();
  ASSERT_TRUE(Ok(report));
  ASSERT_EQ(report->totalCount, 2u);
  EXPECT_NE(std::string_view(report->faults[0].text).find("2 nodes (first: 'late') came after"),
            std::string_view::npos);
  EXPECT_FALSE(graph.Compile());
  EXPECT_TRUE(Ok(graph.Execute())) << "a failed compile leaves the old plan in use";
}

TEST_F(RenderGraphTest, R4_RecompilingBetweenFramesSwapsThePlan) {
  RenderGraph graph(*runtime_);
  const auto a = graph.AddNode<SourceNode>("a", 5.0f);
  const auto b = graph.AddNode<ScaleNode>("b", 2.0f);
  graph.Connect(a, SourceConfig::VALUE, b, ScaleConfig::SOURCE);
  Start(graph);
  for (std::uint64_t generation = 1; generation <= 20; ++generation) {
    EXPECT_EQ(graph.CurrentPlan().generation, generation);
    ASSERT_TRUE(Ok(graph.Execute()));
    ASSERT_EQ(b->Slots().Out(ScaleConfig::RESULT), 10.0f);
    ASSERT_TRUE(Ok(graph.Compile()));
  }
}

TEST_F(RenderGraphTest, R4_CompileWorksAtTheCompilePointOfAFrame) {
  RenderGraph graph(*runtime_);
  const auto probe = graph.AddNode<ProbeNode>("probe");
  Start(graph);
  runtime::FrameContext* frame = runtime_->Frames().Begin().Value();
  ASSERT_TRUE(Ok(graph.Compile()));
  graph.Execute(*frame);
  runtime_->Frames().End(frame->completionValue);
  EXPECT_EQ(probe->executes, 1);
  EXPECT_EQ(probe->compiles, 2);
  ASSERT_TRUE(Ok(graph.Execute()));
}

TEST_F(RenderGraphTest, Ee_EventBusIsSizedFromTheNodes) {
  RenderGraph graph(*runtime_, {.nodesMax = 512});
  EXPECT_EQ(graph.Events().GetStats().capacity, 64u);
  graph.AddNode<SourceNode>("first", 1.0f);
  ASSERT_TRUE(Ok(graph.Setup()));
  EXPECT_EQ(graph.Events().GetStats().capacity, 128u) << "max(1 * 3, 64) * 2";
  for (std::uint32_t i = 1; i < 300; ++i) graph.AddNode<SourceNode>(Numbered("n", i).c_str(), 1.0f);
  ASSERT_TRUE(Ok(graph.Setup()));
  EXPECT_EQ(graph.Events().GetStats().capacity, 1800u) << "sized again: 300 * 3 * 2";
  EXPECT_EQ(graph.Events().Mode(), arenas::AllocationMode::Fallback);
}

TEST_F(RenderGraphTest, Ee_ItsThreeNumbersAreOptions) {
  RenderGraph graph(*runtime_, {.nodesMax = 512,
                                .events = {.eventsPerNode = 10, .eventsMin = 5, .headroom = 3},
                                .eventMode = arenas::AllocationMode::Strict});
  for (std::uint32_t i = 0; i < 10; ++i) graph.AddNode<SourceNode>(Numbered("n", i).c_str(), 1.0f);
  ASSERT_TRUE(Ok(graph.Setup()));
  EXPECT_EQ(graph.Events().GetStats().capacity, 300u);
  EXPECT_EQ(graph.Events().Mode(), arenas::AllocationMode::Strict);
}

TEST_F(RenderGraphTest, G7_CleanupIsReverseTopologicalEachOnce) {
  std::vector<std::string> log;
  {
    RenderGraph graph(*runtime_);
    const auto c = graph.AddNode<ProbeNode>("c", &log);
    const auto a = graph.AddNode<ProbeNode>("a", &log);
    const auto b = graph.AddNode<ProbeNode>("b", &log);
    graph.Connect(a, ProbeConfig::FRAME_OUT, b, ProbeConfig::FRAME_IN);
    graph.Connect(b, ProbeConfig::FRAME_OUT, c, ProbeConfig::FRAME_IN);
    graph.Connect(a, ProbeConfig::FRAME_OUT, c, ProbeConfig::FRAME_IN);
    Start(graph);
    log.clear();
    graph.Cleanup();
    EXPECT_EQ(log, (std::vector<std::string>{"cleanup c", "cleanup b", "cleanup a"}));
    graph.Cleanup();
    EXPECT_EQ(log.size(), 3u);
    log.clear();
  }
  EXPECT_EQ(log, (std::vector<std::string>{"~c", "~b", "~a"})) << "destructors follow the same order";
}

// The critique's case: a dependency over a node in between, found only by a full topological sort.
TEST_F(RenderGraphTest, G7_CleanupScopeIsTransitive) {
  RenderGraph graph(*runtime_);
  const auto d = graph.AddNode<ProbeNode>("d");
  const auto a = graph.AddNode<ProbeNode>("a");
  const auto b = graph.AddNode<ProbeNode>("b");
  const auto c = graph.AddNode<ProbeNode>("c");
  graph.Connect(a, ProbeConfig::FRAME_OUT, b, ProbeConfig::FRAME_IN);
  graph.Connect(b, ProbeConfig::FRAME_OUT, c, ProbeConfig::FRAME_IN);
  graph.Connect(a, ProbeConfig::SIZE_OUT, d, ProbeConfig::SIZE_IN);
  ASSERT_TRUE(Ok(graph.Setup()));
  std::vector<NodeHandle> scope(8);
  ASSERT_EQ(graph.GetCleanupScope(b, scope), 2u);
  EXPECT_EQ(scope[0], c.Handle());
  EXPECT_EQ(scope[1], b.Handle());
  ASSERT_EQ(graph.GetCleanupScope(a, scope), 4u);
  EXPECT_EQ(scope[3], a.Handle());
  EXPECT_EQ(graph.GetCleanupScope(a, {}), 4u) << "counting needs no room";
  EXPECT_EQ(graph.GetCleanupScope({}, scope), 0u);
  EXPECT_EQ(a->cleanups + b->cleanups + c->cleanups + d->cleanups, 0) << "a dry run";
}

TEST_F(RenderGraphTest, G7_OnlySetUpNodesAreCleanedUp) {
  std::vector<std::string> log;
  {
    RenderGraph graph(*runtime_);
    graph.AddNode<ProbeNode>("first", &log);
    ASSERT_TRUE(Ok(graph.Setup()));
    graph.AddNode<ProbeNode>("second", &log);
  }
  EXPECT_EQ(log, (std::vector<std::string>{"cleanup first", "~second", "~first"}));
}

class SetupFailsNode final : public TypedNode<SourceConfig> {
 public:
  Result<void> Setup(SetupContext&) override {
    return Error::Format(ErrorCode::NotFound, "no such file: sky.png");
  }
  void Execute(ExecuteContext&) override {}
};

TEST_F(RenderGraphTest, G4_SetupErrorNamesTheNode) {
  RenderGraph graph(*runtime_);
  graph.AddNode<SetupFailsNode>("sky");
  const Result<void> result = graph.Setup();
  ASSERT_FALSE(result);
  EXPECT_EQ(result.GetError().Code(), ErrorCode::NotFound);
  EXPECT_STREQ(result.GetError().Message(),
               "graph 'graph': Setup of node 'sky' failed: no such file: sky.png");
}

TEST_F(RenderGraphTest, G2_LookupsAreGenerationChecked) {
  RenderGraph graph(*runtime_);
  const auto a = graph.AddNode<SourceNode>("a", 1.0f);
  const auto b = graph.AddNode<SourceNode>("b", 1.0f);
  EXPECT_EQ(graph.NodeAt(a), a.Get());
  EXPECT_EQ(graph.NodeAt({.index = a.Handle().index, .generation = 7}), nullptr);
  EXPECT_EQ(graph.NodeAt({}), nullptr);
  EXPECT_EQ(graph.FindNode("b"), b.Handle());
  EXPECT_TRUE(graph.FindNode("c").IsNull());
  EXPECT_EQ(graph.HandleAt(1), b.Handle());
  EXPECT_TRUE(graph.HandleAt(2).IsNull());
  EXPECT_EQ(NodeHandle::FromEventData(b.Handle().EventData()), b.Handle());
  EXPECT_EQ(b.Handle().EventData(), 1) << "the seeds write .data = 1";
}

TEST_F(RenderGraphTest, R9_CreateSaysHowMuchSetupMemoryIsNeeded) {
  const auto tooLarge = RenderGraph::Create(*runtime_, {.name = "huge", .nodesMax = 1000000});
  ASSERT_FALSE(tooLarge);
  EXPECT_EQ(tooLarge.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_NE(std::string_view(tooLarge.GetError().Message()).find("setupBytes"), std::string_view::npos);
  EXPECT_TRUE(RenderGraph::Create(*runtime_, {.nodesMax = 10}));
}

// Node code is not the runtime's own time.
class SleepyNode final : public TypedNode<SourceConfig> {
 public:
  void Execute(ExecuteContext&) override { std::this_thread::sleep_for(std::chrono::milliseconds(2)); }
};
TEST_F(RenderGraphTest, NodeTimeIsExcludedFromTheRuntimesOwn) {
  RenderGraph graph(*runtime_);
  graph.AddNode<SleepyNode>("sleepy");
  Start(graph);
  runtime::FrameContext* frame = runtime_->Frames().Begin().Value();
  graph.Execute(*frame);
  EXPECT_GE(frame->excludedNs, 2'000'000u - RenderGraph::kDispatchNsPerNode);
  runtime_->Frames().End(frame->completionValue);
}

TEST_F(RenderGraphTest, NodeAllocationsAreAttributedToTheNode) {
  struct Local {
    static const char*& Seen() {
      static const char* seen = "";
      return seen;
    }
  };
  class NamedNode final : public TypedNode<SourceConfig> {
   public:
    void Execute(ExecuteContext&) override { Local::Seen() = runtime::detail::gateThread.component; }
  };
  RenderGraph graph(*runtime_);
  graph.AddNode<NamedNode>("water");
  Start(graph);
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_STREQ(Local::Seen(), "water");
}

TEST(RenderGraphDeathTest, ExecuteBeforeCompileAsserts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto runtime = MakeRuntime();
  RenderGraph graph(*runtime);
  runtime::FrameContext frame;
  EXPECT_DEATH(graph.Execute(frame), "call RenderGraph::Compile before Execute");
  EXPECT_DEATH(static_cast<void>(graph.CurrentPlan()), "no plan yet");
  const NodeRef<SourceNode> null;
  EXPECT_DEATH(static_cast<void>(null->value), "AddNode was refused");
}

}  // namespace
}  // namespace stadial::graph::testing
