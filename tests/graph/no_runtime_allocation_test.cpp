// What the graph promises about the heap, under the gate: Compile, Execute, ProcessEvents,
// RecompileDirtyNodes and Cleanup take nothing from it. Every claim first asserts that the gate is ARMED.
#include "stadial/runtime/testing/no_runtime_allocation_test.h"

#include <array>
#include <atomic>
#include <memory>
#include <thread>

#include "graph_fixture.h"

namespace stadial::graph::testing {
namespace {

constexpr ResourceId kColor = 1;

// History, lane memory and events, as a frame of a real game would use them.
struct BusyConfig : NodeConfig<BusyConfig> {
  INPUT_SLOT(VALUE, float);
  OUTPUT_SLOT(BLEND, float);
};
class BusyNode final : public TimelineTypedNode<BusyConfig> {
 public:
  Result<void> Setup(SetupContext& ctx) override {
    auto created = ctx.Resources().Create({.kind = ResourceKind::Image, .name = "colour"});
    if (!created) return created.GetError();
    image_ = *created;
    return {};
  }
  Result<void> Compile(CompileContext& ctx) override {
    ctx.Scratch().NewArray<std::byte>(4096);
    return {};
  }
  void Execute(ExecuteContext& ctx) override {
    const auto values = ctx.Lane().NewArray<float>(64);
    for (float& value : values) value = ctx.In(VALUE);
    const HistoryLookup previous = GetPreviousFrameResource(1, kColor);
    StoreCurrentFrameResource(kColor, image_, true);
    ctx.Out(BLEND, previous ? values[63] : 0.0f);
    emitted +=
        ctx.Graph().Events().Emit({.type = runtime::EventType::NodeDirty, .data = Handle().EventData()}) ? 1u
                                                                                                         : 0u;
  }
  std::uint32_t emitted = 0;

 private:
  ResourceHandle image_;
};

class GraphAllocationTest : public runtime::testing::NoRuntimeAllocationTest {
 protected:
  static constexpr std::uint32_t kPairs = 100;

  void SetUp() override {
    runtime_ = MakeRuntime({.setupBytes = 8_MiB});
    graph_ = std::make_unique<RenderGraph>(*runtime_, GraphOptions{.nodesMax = 512});
    source_ = graph_->AddNode<SourceNode>("source", 2.0f);
    NodeRef<SumNode> sum = graph_->AddNode<SumNode>("sum");
    for (std::uint32_t i = 0; i < kPairs; ++i) {
      busy_.push_back(graph_->AddNode<BusyNode>(Numbered("busy", i).c_str()));
      probes_.push_back(graph_->AddNode<ProbeNode>(Numbered("probe", i).c_str()));
      graph_->Connect(source_, SourceConfig::VALUE, busy_.back(), BusyConfig::VALUE);
      graph_->Connect(busy_.back(), BusyConfig::BLEND, sum, SumConfig::TERMS);
      if (i > 0) graph_->Connect(probes_[i - 1], ProbeConfig::SIZE_OUT, probes_[i], ProbeConfig::SIZE_IN);
    }
    sum_ = sum;
    ASSERT_TRUE(Ok(graph_->Setup()));
    ASSERT_TRUE(Ok(runtime_->SealSetup()));
    NoRuntimeAllocationTest::SetUp();
  }
  void TearDown() override {
    NoRuntimeAllocationTest::TearDown();
    graph_.reset();
  }

  runtime::RuntimePtr runtime_;
  std::unique_ptr<RenderGraph> graph_;
  NodeRef<SourceNode> source_;
  NodeRef<SumNode> sum_;
  std::vector<NodeRef<BusyNode>> busy_;
  std::vector<NodeRef<ProbeNode>> probes_;
};

TEST_F(GraphAllocationTest, G3_CompileTakesNoHeap) {
  ExpectNoAllocation("Compile", [this] {
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(graph_->Compile());
  });
  ExpectNoAllocation("Plan and Validate", [this] {
    ASSERT_TRUE(graph_->Plan());
    ASSERT_TRUE(graph_->Validate());
    static_cast<void>(graph_->GetResourceEstimate());
  });
}

TEST_F(GraphAllocationTest, R6_FramesTakeNoHeapWithTheGateAtTrap) {
  ASSERT_TRUE(graph_->Compile());
  ExpectNoAllocation("1,000 frames with events and recompiles", [this] {
    for (int frame = 0; frame < 1000; ++frame) {
      auto begun = runtime_->Frames().Begin();
      ASSERT_TRUE(begun);
      runtime::FrameContext* const ctx = *begun;
      graph_->BeginFrame(*ctx);
      graph_->ProcessEvents();
      ASSERT_TRUE(graph_->RecompileDirtyNodes());
      graph_->Execute(*ctx);
      runtime_->Frames().End(ctx->completionValue);
    }
  });
  EXPECT_EQ(graph_->LastRecompile().passes, 999u);
  EXPECT_EQ(graph_->LastRecompile().nodesRecompiled, kPairs);
  EXPECT_EQ(busy_[0]->emitted, 1000u);
  EXPECT_EQ(sum_->Slots().Out(SumConfig::SUM), 2.0f * kPairs);
}

TEST_F(GraphAllocationTest, G5_EventsAndCascadesTakeNoHeap) {
  ASSERT_TRUE(graph_->Compile());
  ExpectNoAllocation("a cascade through a hundred nodes", [this] {
    ASSERT_TRUE(graph_->Events().Emit(
        {.type = runtime::EventType::NodeDirty, .data = probes_[0].Handle().EventData()}));
    graph_->ProcessEvents();
    ASSERT_TRUE(graph_->RecompileDirtyNodes());
  });
  EXPECT_EQ(graph_->LastRecompile().nodesRecompiled, kPairs);
}

TEST_F(GraphAllocationTest, G5_FailuresTakeNoHeap) {
  ASSERT_TRUE(graph_->Compile());
  probes_[3]->failuresLeft = 10;
  ExpectNoAllocation("a node that fails until it is quarantined", [this] {
    for (int i = 0; i < 5; ++i) {
      graph_->MarkDirty(probes_[3]);
      static_cast<void>(graph_->RecompileDirtyNodes());
    }
  });
  EXPECT_EQ(graph_->StateOf(probes_[3]), NodeState::Quarantined);
}

TEST_F(GraphAllocationTest, G4_ErrorPathsTakeNoHeap) {
  ExpectNoAllocation("refusals and a failed validation", [this] {
    ASSERT_FALSE(graph_->AddNode<SourceNode>("late", 1.0f));
    graph_->ConnectUntyped(source_, 0, sum_, 0);
    ASSERT_FALSE(graph_->Compile());
    ASSERT_FALSE(graph_->Setup());
  });
}

TEST_F(GraphAllocationTest, G7_CleanupTakesNoHeap) {
  ASSERT_TRUE(graph_->Compile());
  std::array<NodeHandle, 512> scope;
  ExpectNoAllocation("Cleanup and its dry run", [&] {
    ASSERT_EQ(graph_->GetCleanupScope(probes_[0], scope), kPairs);
    graph_->Cleanup();
  });
  EXPECT_EQ(probes_[0]->cleanups, 1);
}

TEST(GraphWavesAllocation, G8_WavesOnTwoThreadsTakeNoHeap) {
  ASSERT_EQ(runtime::RunGateSelfTest().state, runtime::GateState::Armed) << runtime::RunGateSelfTest().why;
  runtime::RuntimeOptions options;
  options.name = "waves";
  options.setupBytes = 8_MiB;
  options.driverBytes = 0;
  options.warmupFrames = 5;
  options.workers = 1;
  const runtime::RuntimePtr runtime = runtime::Runtime::Create(options).Value();
  RenderGraph graph(*runtime, {.executeInWaves = true});
  const auto source = graph.AddNode<SourceNode>("source", 2.0f);
  const auto sum = graph.AddNode<SumNode>("sum");
  for (std::uint32_t i = 0; i < 100; ++i) {
    const auto scale = graph.AddNode<ScaleNode>(Numbered("scale", i).c_str(), 1.0f);
    graph.Connect(source, SourceConfig::VALUE, scale, ScaleConfig::SOURCE);
    graph.Connect(scale, ScaleConfig::RESULT, sum, SumConfig::TERMS);
  }
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime->SealSetup()));
  ASSERT_TRUE(Ok(graph.Compile()));
  for (int frame = 0; frame < 300; ++frame) ASSERT_TRUE(graph.Execute());
  EXPECT_EQ(sum->Slots().Out(SumConfig::SUM), 200.0f);
  const runtime::AuditReport report = runtime->BuildAudit();
  EXPECT_EQ(report.frames.steady, 295u);
  EXPECT_EQ(report.frameThreads.heapAllocations, 0u);
  EXPECT_EQ(report.frameThreads.heapFrees, 0u);
  EXPECT_EQ(report.frameThreads.vmSyscalls, 0u);
  EXPECT_EQ(report.frameThreads.minorFaults, 0u);
}

// An allocation of a node on another thread than the frame's is the node's, on that thread.
class AllocatingNode final : public TypedNode<SourceConfig> {
 public:
  void Execute(ExecuteContext&) override {
    ++present;
    while (present < 2) std::this_thread::yield();
    if (runtime::CurrentThreadRole() != runtime::ThreadRole::Worker) return;
    void* volatile block = std::malloc(40);
    std::free(block);
  }
  static inline std::atomic<int> present{0};
};

// Runs one frame of two such nodes on two threads; what the worker's one was seen to allocate.
std::uint64_t AllocationsOnAWorker(const runtime::GatePolicies& gate) {
  AllocatingNode::present = 0;
  runtime::RuntimeOptions options;
  options.name = "waves";
  options.driverBytes = 0;
  options.kernelWitness = false;
  options.workers = 1;
  options.gate = gate;
  const runtime::RuntimePtr runtime = runtime::Runtime::Create(options).Value();
  RenderGraph graph(*runtime, {.executeInWaves = true});
  graph.AddNode<AllocatingNode>("innocent looking");
  graph.AddNode<AllocatingNode>("innocent looking too");
  runtime::GateThreadCounters before;
  runtime::CountersByRole(runtime::ThreadRole::Worker, before);
  if (graph.Setup() && runtime->SealSetup() && graph.Compile()) static_cast<void>(graph.Execute());
  runtime::GateThreadCounters after;
  runtime::CountersByRole(runtime::ThreadRole::Worker, after);
  return after.allocations - before.allocations;
}

TEST(GraphWavesAllocationDeathTest, G8_AnAllocationOnAWorkerTrapsWithTheNodesName) {
  ASSERT_EQ(runtime::RunGateSelfTest().state, runtime::GateState::Armed) << runtime::RunGateSelfTest().why;
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(AllocationsOnAWorker({}), "thread 'worker 1'(.|\n)*component 'innocent looking");
}

TEST(GraphWavesAllocation, R6_NodesOnWorkersMeetTheWorkersPolicyNotTheFrames) {
  ASSERT_EQ(runtime::RunGateSelfTest().state, runtime::GateState::Armed) << runtime::RunGateSelfTest().why;
  runtime::GatePolicies gate;
  gate.Set(runtime::GateRole::Worker, runtime::Phase::Frame, runtime::GatePolicy::Count);
  EXPECT_EQ(AllocationsOnAWorker(gate), 1u);
}

// The canary: the same harness must see one allocation in one node's Execute.
TEST_F(GraphAllocationTest, Ab_CanaryOneAllocationInANodeIsSeen) {
  class LeakyNode final : public TypedNode<SourceConfig> {
   public:
    void Execute(ExecuteContext&) override { block = std::malloc(40); }
    void* volatile block = nullptr;
  };
  graph_.reset();
  runtime_.reset();
  runtime_ = MakeRuntime({.gate = runtime::GatePolicy::Count});
  RenderGraph graph(*runtime_);
  const auto leaky = graph.AddNode<LeakyNode>("leaky");
  ASSERT_TRUE(graph.Setup());
  ASSERT_TRUE(runtime_->SealSetup());
  ASSERT_TRUE(graph.Compile());
  tracker.StartTracking();
  ASSERT_TRUE(tracker.IsArmed()) << tracker.WhyNotArmed();
  ASSERT_TRUE(graph.Execute());
  tracker.StopTracking();
  const runtime::AllocationTracker::Stats stats = tracker.GetStats();
  EXPECT_EQ(stats.count, 1u);
  EXPECT_EQ(stats.largestSize, 40u);
  EXPECT_EQ(stats.largestAllocation, "leaky") << "and names the node";
  std::free(leaky->block);
  tracker.StartTracking();  // what TearDown judges
}

}  // namespace
}  // namespace stadial::graph::testing
