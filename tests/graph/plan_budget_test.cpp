#include "stadial/graph/plan_budget.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "graph_fixture.h"

namespace stadial::graph::testing {
namespace {

constexpr std::array kBindings = {
    DescriptorBinding{.binding = 0, .type = DescriptorType::StorageImage, .count = 2},
    DescriptorBinding{.binding = 1, .type = DescriptorType::UniformBuffer}};
constexpr std::array kSets = {
    DescriptorSetRequirement{.setIndex = 0, .bindings = kBindings, .debugName = "frame", .setCount = 3}};
constexpr std::array kTransients = {
    TransientRequirement{.debugName = "tmp", .sizeBytes = 1000, .alignment = 256}};

struct GreedyConfig : NodeConfig<GreedyConfig> {
  INPUT_SLOT(SOURCE, float);
};
class GreedyNode final : public TypedNode<GreedyConfig> {
 public:
  void Execute(ExecuteContext&) override {}
  std::span<const DescriptorSetRequirement> GetDescriptorRequirements() const override { return kSets; }
  PreAllocRequirements GetPreAllocRequirements() const override {
    return {.inputSlotCount = 1,
            .commandBufferSize = 64 * 1024,
            .primaryCommandBuffers = 1,
            .stagingBytes = 500,
            .eventsPerFrame = 40,
            .frameBytes = 2048,
            .transients = kTransients};
  }
  std::uint32_t ReplayPeriod() const override { return 3; }
};

struct KeepsConfig : NodeConfig<KeepsConfig> {};
class KeepsNode final : public TimelineTypedNode<KeepsConfig> {
 public:
  void Execute(ExecuteContext&) override {}
  std::uint32_t GetMaxHistoryFrames() const override { return 5; }
};

TEST(PlanBudget, X3_NamesEveryCapacity) {
  const auto runtime = MakeRuntime({.framesInFlight = 2});
  RenderGraph graph(*runtime, {.nodesMax = 8});
  const auto source = graph.AddNode<SourceNode>("source", 1.0f);
  const auto greedy = graph.AddNode<GreedyNode>("greedy");
  graph.Connect(source, SourceConfig::VALUE, greedy, GreedyConfig::SOURCE);
  ASSERT_TRUE(graph.Resources().Create({.name = "kept", .sizeBytes = 4096, .copies = 2}));
  ASSERT_TRUE(Ok(graph.Setup()));
  auto plan = graph.Plan();
  ASSERT_TRUE(Ok(plan));
  const PlanBudget budget = *plan;
  EXPECT_EQ(budget.nodes, 2u);
  EXPECT_EQ(budget.connections, 1u);
  EXPECT_EQ(budget.undeclaredNodes, 1u) << "the source states nothing";
  EXPECT_EQ(budget.frameBytes, 2048u);
  EXPECT_EQ(budget.frameBytesAvailable, 64_KiB);
  EXPECT_EQ(budget.eventCapacity, 128u) << "max(2 * 3, 64) * 2";
  EXPECT_EQ(budget.resources, 1u);
  EXPECT_EQ(budget.resourcesMax, 16u);
  EXPECT_EQ(budget.resourceBytes, 8192u);
  EXPECT_EQ(budget.replayPeriod, 3u);
  EXPECT_EQ(budget.copies, 6u) << "lcm(3, 2 frames in flight)";
  EXPECT_EQ(budget.descriptorSets, 3u * 6u);
  EXPECT_EQ(budget.descriptors[static_cast<std::size_t>(DescriptorType::StorageImage)], 3u * 2u * 6u);
  EXPECT_EQ(budget.descriptors[static_cast<std::size_t>(DescriptorType::UniformBuffer)], 3u * 6u);
  EXPECT_EQ(budget.primaryCommandBuffers, 6u);
  EXPECT_EQ(budget.commandBytes, 6u * 64u * 1024u);
  EXPECT_EQ(budget.stagingBytes, 1000u);
  EXPECT_EQ(budget.transientBytes, 1024u);
  EXPECT_EQ(budget.transientBoundBytes, 1024u);
  EXPECT_EQ(budget.transientUnaliasedBytes, 1024u);
  EXPECT_EQ(budget.deviceBytes, 1024u + 8192u);
  EXPECT_EQ(budget.timelineNodes, 0u);

  const ResourceEstimate estimate = graph.GetResourceEstimate();
  EXPECT_EQ(estimate.descriptorSets, 3u) << "one copy";
  EXPECT_EQ(estimate.commandBytes, 64u * 1024u);
}

// E-e: what the nodes state counts where it is more than the rule of thumb.
TEST(PlanBudget, Ee_StatedEventsRaiseTheQueue) {
  const auto runtime = MakeRuntime();
  RenderGraph graph(*runtime);
  const auto source = graph.AddNode<SourceNode>("source", 1.0f);
  for (const char* name : {"a", "b", "c", "d"}) {
    graph.Connect(source, SourceConfig::VALUE, graph.AddNode<GreedyNode>(name), GreedyConfig::SOURCE);
  }
  ASSERT_TRUE(Ok(graph.Setup()));
  auto plan = graph.Plan();
  ASSERT_TRUE(Ok(plan));
  EXPECT_EQ(plan->eventCapacity, (4u * 40u + 3u) * 2u);
  EXPECT_GE(graph.Events().GetStats().capacity, plan->eventCapacity) << "and the bus has it";
}

TEST(PlanBudget, X3_SetupBytesAreExact) {
  const auto runtime = MakeRuntime();
  const std::size_t before = runtime->SetupArena().UsedBytes();
  const GraphOptions options{.nodesMax = 33, .connectionsMax = 17};
  RenderGraph graph(*runtime, options);
  const std::size_t empty = runtime->SetupArena().UsedBytes() - before;
  EXPECT_LE(empty, RenderGraph::SetupBytesFor(options));
  EXPECT_GE(empty + 64, RenderGraph::SetupBytesFor(options)) << "no more slack than one alignment";
  const auto keeps = graph.AddNode<KeepsNode>("keeps");
  const auto source = graph.AddNode<SourceNode>("source", 1.0f);
  const auto scale = graph.AddNode<ScaleNode>("scale", 1.0f);
  graph.Connect(source, SourceConfig::VALUE, scale, ScaleConfig::SOURCE);
  ASSERT_TRUE(keeps);
  ASSERT_TRUE(Ok(graph.Setup()));
  auto plan = graph.Plan();
  ASSERT_TRUE(Ok(plan));
  EXPECT_EQ(plan->timelineNodes, 1u);
  EXPECT_EQ(plan->historyFrames, 5u);
  EXPECT_EQ(plan->historyBytes, FrameHistory::BytesFor({.historyFrames = 5, .resourcesPerFrame = 4}));
  // What nodes carve for themselves in Setup is their own; the arena holds that and the budget's bytes.
  EXPECT_EQ(plan->setupBytesUsed, runtime->SetupArena().UsedBytes() - before);
}

// The dry run against the real compile: exactly the same bytes.
TEST(PlanBudget, X3_CompileTakesExactlyWhatPlanSays) {
  for (std::uint32_t nodes : {0u, 1u, 2u, 7u, 64u, 333u}) {
    for (const bool cull : {false, true}) {
      const auto runtime = MakeRuntime();
      RenderGraph graph(*runtime, {.nodesMax = nodes, .cullDeadNodes = cull});
      NodeRef<SumNode> previous;
      for (std::uint32_t i = 0; i < nodes; ++i) {
        const auto node = graph.AddNode<SumNode>(Numbered("n", i).c_str());
        for (std::uint32_t k = 0; previous && k < i % 3; ++k)
          graph.Connect(previous, SumConfig::SUM, node, SumConfig::TERMS);
        previous = node;
      }
      ASSERT_TRUE(Ok(graph.Setup()));
      auto plan = graph.Plan();
      ASSERT_TRUE(Ok(plan));
      ASSERT_TRUE(Ok(runtime->SealSetup()));
      ASSERT_TRUE(Ok(graph.Compile()));
      const std::size_t taken = std::max(runtime->Compile().PeakBytes(0), runtime->Compile().PeakBytes(1));
      EXPECT_EQ(taken, plan->compileBytes) << nodes << " nodes, culling " << cull;
      EXPECT_EQ(plan->compileBytesAvailable, 1_MiB);
    }
  }
}

TEST(PlanBudget, X3_PlanDoesNotCompile) {
  const auto runtime = MakeRuntime();
  RenderGraph graph(*runtime);
  const auto probe = graph.AddNode<ProbeNode>("probe");
  ASSERT_TRUE(Ok(graph.Setup()));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(graph.Plan());
  EXPECT_EQ(probe->compiles, 0);
  EXPECT_FALSE(graph.HasPlan());
  EXPECT_EQ(runtime->Compile().PlanGeneration(), 0u);
}

TEST(PlanBudget, X3_ShortfallOfCompileMemoryIsFoundBeforehand) {
  const auto runtime = MakeRuntime({.setupBytes = 16_MiB, .compileBytes = 16_KiB});
  RenderGraph graph(*runtime, {.nodesMax = 2000});
  for (std::uint32_t i = 0; i < 2000; ++i) graph.AddNode<SourceNode>(Numbered("n", i).c_str(), 1.0f);
  ASSERT_TRUE(Ok(graph.Setup()));
  auto report = graph.Validate();
  ASSERT_TRUE(Ok(report));
  ASSERT_EQ(report->totalCount, 1u);
  EXPECT_EQ(report->faults[0].kind, FaultKind::CapacityShortfall);
  EXPECT_NE(std::strstr(report->faults[0].text, "RuntimeOptions::compileBytes"), nullptr);
  ASSERT_TRUE(Ok(runtime->SealSetup()));
  EXPECT_FALSE(graph.Compile());
}

TEST(PlanBudget, X3_PrintsEveryLine) {
  PlanBudget budget;
  budget.descriptors[static_cast<std::size_t>(DescriptorType::Sampler)] = 77;
  budget.deviceBytes = 123456;
  char text[4096] = {};
  std::FILE* out = fmemopen(text, sizeof(text), "w");
  ASSERT_NE(out, nullptr);
  PrintBudget(budget, out);
  std::fclose(out);
  EXPECT_NE(std::strstr(text, "Sampler"), nullptr);
  EXPECT_NE(std::strstr(text, "77 descriptors"), nullptr);
  EXPECT_NE(std::strstr(text, "123456 B"), nullptr);
}

}  // namespace
}  // namespace stadial::graph::testing
