#include "stadial/graph/validation.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "graph_fixture.h"

namespace stadial::graph::testing {
namespace {

bool Contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

class ValidationTest : public ::testing::Test {
 protected:
  // Sets the graph up and returns its faults.
  std::vector<Fault> Faults(RenderGraph& graph) {
    const Result<void> setup = graph.Setup();
    EXPECT_TRUE(Ok(setup));
    auto report = graph.Validate();
    EXPECT_TRUE(Ok(report));
    total_ = report->totalCount;
    return {report->faults.begin(), report->faults.end()};
  }
  static const Fault* Find(const std::vector<Fault>& faults, FaultKind kind) {
    const auto found =
        std::find_if(faults.begin(), faults.end(), [kind](const Fault& f) { return f.kind == kind; });
    return found == faults.end() ? nullptr : &*found;
  }
  // Exactly one fault, of this kind, on this node and slot, whose text has all the parts.
  void ExpectOne(RenderGraph& graph, FaultKind kind, NodeHandle node, const char* slot,
                 std::initializer_list<const char*> parts) {
    const std::vector<Fault> faults = Faults(graph);
    ASSERT_EQ(faults.size(), 1u) << (faults.size() > 1 ? faults[1].text : "no fault at all");
    EXPECT_EQ(faults[0].kind, kind) << ToString(faults[0].kind);
    EXPECT_EQ(faults[0].node, node);
    EXPECT_STREQ(faults[0].slot, slot);
    for (const char* part : parts)
      EXPECT_TRUE(Contains(faults[0].text, part)) << faults[0].text << "\nlacks: " << part;
  }

  runtime::RuntimePtr runtime_ = MakeRuntime();
  RenderGraph graph_{*runtime_, {.nodesMax = 16, .connectionsMax = 16}};
  std::uint32_t total_ = 0;
};

TEST_F(ValidationTest, G4_AGoodGraphHasNoFaults) {
  const auto a = graph_.AddNode<SourceNode>("a", 1.0f);
  const auto b = graph_.AddNode<ScaleNode>("b", 2.0f);
  const auto c = graph_.AddNode<SumNode>("c");
  graph_.Connect(a, SourceConfig::VALUE, b, ScaleConfig::SOURCE);
  graph_.Connect(b, ScaleConfig::RESULT, c, SumConfig::TERMS);
  graph_.Connect(a, SourceConfig::VALUE, c, SumConfig::TERMS);
  EXPECT_TRUE(Faults(graph_).empty());
}

TEST_F(ValidationTest, G4_CycleIsReportedWithItsPath) {
  const auto a = graph_.AddNode<ScaleNode>("alpha", 1.0f);
  const auto b = graph_.AddNode<ScaleNode>("beta", 1.0f);
  const auto c = graph_.AddNode<ScaleNode>("gamma", 1.0f);
  graph_.Connect(a, ScaleConfig::RESULT, b, ScaleConfig::SOURCE);
  graph_.Connect(b, ScaleConfig::RESULT, c, ScaleConfig::SOURCE);
  graph_.Connect(c, ScaleConfig::RESULT, a, ScaleConfig::SOURCE);
  ExpectOne(graph_, FaultKind::Cycle, b, "SOURCE", {"'alpha' -> 'beta' -> 'gamma' -> 'alpha'", "3 nodes"});
}

TEST_F(ValidationTest, G4_TwoSeparateCyclesAreTwoFaults) {
  const auto a = graph_.AddNode<SumNode>("a");
  const auto b = graph_.AddNode<SumNode>("b");
  const auto c = graph_.AddNode<SumNode>("c");
  const auto d = graph_.AddNode<SumNode>("d");
  graph_.Connect(a, SumConfig::SUM, b, SumConfig::TERMS);
  graph_.Connect(b, SumConfig::SUM, a, SumConfig::TERMS);
  graph_.Connect(b, SumConfig::SUM, c, SumConfig::TERMS);  // between the cycles
  graph_.Connect(c, SumConfig::SUM, d, SumConfig::TERMS);
  graph_.Connect(d, SumConfig::SUM, c, SumConfig::TERMS);
  const auto faults = Faults(graph_);
  ASSERT_EQ(faults.size(), 2u);
  EXPECT_TRUE(Contains(faults[0].text, "'a' -> 'b' -> 'a'")) << faults[0].text;
  EXPECT_TRUE(Contains(faults[1].text, "'c' -> 'd' -> 'c'")) << faults[1].text;
}

TEST_F(ValidationTest, G4_LongCyclePathIsCutInTheMiddle) {
  RenderGraph graph(*runtime_, {.nodesMax = 300});
  std::vector<NodeRef<ScaleNode>> ring;
  for (std::uint32_t i = 0; i < 300; ++i)
    ring.push_back(graph.AddNode<ScaleNode>(Numbered("link", i).c_str(), 1.0f));
  for (std::size_t i = 0; i < ring.size(); ++i) {
    graph.Connect(ring[i], ScaleConfig::RESULT, ring[(i + 1) % ring.size()], ScaleConfig::SOURCE);
  }
  ExpectOne(graph, FaultKind::Cycle, ring[1], "SOURCE",
            {"'link0' -> 'link1' -> 'link2' -> 'link3' -> (295 more) -> 'link299' -> 'link0'", "300 nodes"});
}

TEST_F(ValidationTest, G4_SelfEdge) {
  const auto sum = graph_.AddNode<SumNode>("sum");
  graph_.Connect(sum, SumConfig::SUM, sum, SumConfig::TERMS);
  ExpectOne(graph_, FaultKind::SelfEdge, sum, "TERMS", {"'sum'.SUM", "history"});
}

TEST_F(ValidationTest, G4_DanglingConnections) {
  const auto a = graph_.AddNode<SourceNode>("a", 1.0f);
  const auto b = graph_.AddNode<SumNode>("b");
  graph_.ConnectUntyped(a, 7, b, 0);
  graph_.ConnectUntyped(a, 0, b, 9);
  graph_.ConnectUntyped({}, 0, b, 0);
  graph_.ConnectUntyped(a, 0, {.index = 12, .generation = 0}, 0);
  graph_.ConnectUntyped({.index = a.Handle().index, .generation = 3}, 0, b, 0);
  const auto faults = Faults(graph_);
  ASSERT_EQ(faults.size(), 5u);
  for (const Fault& fault : faults) EXPECT_EQ(fault.kind, FaultKind::DanglingConnection) << fault.text;
  EXPECT_TRUE(Contains(faults[0].text, "'a' has no output 7, it has 1")) << faults[0].text;
  EXPECT_EQ(faults[0].node, a.Handle());
  EXPECT_TRUE(Contains(faults[1].text, "'b' has no input 9, it has 2")) << faults[1].text;
  EXPECT_EQ(faults[1].node, b.Handle());
  EXPECT_TRUE(Contains(faults[2].text, "the producer's handle")) << faults[2].text;
  EXPECT_TRUE(Contains(faults[3].text, "the consumer's handle")) << faults[3].text;
  EXPECT_TRUE(Contains(faults[4].text, "the producer's handle")) << "a stale generation: " << faults[4].text;
}

TEST_F(ValidationTest, G4_TypeMismatchOfAnUntypedConnection) {
  const auto probe = graph_.AddNode<ProbeNode>("probe");
  const auto scale = graph_.AddNode<ScaleNode>("scale", 1.0f);
  graph_.ConnectUntyped(probe, ProbeConfig::FRAME_OUT.kIndex, scale, ScaleConfig::SOURCE.kIndex);
  ExpectOne(graph_, FaultKind::TypeMismatch, scale, "SOURCE",
            {"'probe'.FRAME_OUT is int", "'scale'.SOURCE takes float"});
}

TEST_F(ValidationTest, G4_CompileInputNeedsACompileOutput) {
  const auto a = graph_.AddNode<ProbeNode>("a");
  const auto b = graph_.AddNode<ProbeNode>("b");
  graph_.Connect(a, ProbeConfig::FRAME_OUT, b, ProbeConfig::SIZE_IN);
  ExpectOne(graph_, FaultKind::RoleMismatch, b, "SIZE_IN",
            {"'b'.SIZE_IN is read in Compile", "'a'.FRAME_OUT"});
}

TEST_F(ValidationTest, G4_DoublyWrittenInput) {
  const auto a = graph_.AddNode<SourceNode>("a", 1.0f);
  const auto b = graph_.AddNode<SourceNode>("b", 1.0f);
  const auto scale = graph_.AddNode<ScaleNode>("scale", 1.0f);
  graph_.Connect(a, SourceConfig::VALUE, scale, ScaleConfig::SOURCE);
  graph_.Connect(b, SourceConfig::VALUE, scale, ScaleConfig::SOURCE);
  ExpectOne(graph_, FaultKind::DoublyWritten, scale, "SOURCE", {"has 2", "'a'.VALUE", "'b'.VALUE"});
}

TEST_F(ValidationTest, G4_OptionalInputTakesOneConnection) {
  const auto a = graph_.AddNode<SourceNode>("a", 1.0f);
  const auto sum = graph_.AddNode<SumNode>("sum");
  for (int i = 0; i < 2; ++i) graph_.Connect(a, SourceConfig::VALUE, sum, SumConfig::OFFSET);
  for (int i = 0; i < 5; ++i) graph_.Connect(a, SourceConfig::VALUE, sum, SumConfig::TERMS);
  ExpectOne(graph_, FaultKind::DoublyWritten, sum, "OFFSET", {"has 2"});
}

TEST_F(ValidationTest, G4_MissingInput) {
  const auto scale = graph_.AddNode<ScaleNode>("lonely", 1.0f);
  ExpectOne(graph_, FaultKind::MissingInput, scale, "SOURCE", {"'lonely'.SOURCE (float)", "Optional"});
}

TEST_F(ValidationTest, G4_DuplicateName) {
  graph_.AddNode<SourceNode>("twin", 1.0f);
  const auto second = graph_.AddNode<SourceNode>("twin", 2.0f);
  ExpectOne(graph_, FaultKind::DuplicateName, second, "", {"nodes 0 and 1", "'twin'"});
}

TEST_F(ValidationTest, G4_CapacityShortfallsAreCountedNotAborted) {
  RenderGraph graph(*runtime_, {.nodesMax = 2, .connectionsMax = 1});
  const auto a = graph.AddNode<SourceNode>("a", 1.0f);
  const auto sum = graph.AddNode<SumNode>("sum");
  const auto third = graph.AddNode<SourceNode>("third", 1.0f);
  graph.AddNode<SourceNode>("fourth", 1.0f);
  EXPECT_FALSE(third);
  graph.Connect(a, SourceConfig::VALUE, sum, SumConfig::TERMS);
  graph.Connect(third, SourceConfig::VALUE, sum, SumConfig::TERMS);
  const auto faults = Faults(graph);
  ASSERT_EQ(faults.size(), 2u);
  EXPECT_TRUE(Contains(faults[0].text,
                       "2 nodes (first: 'third') did not fit beside 2; raise GraphOptions::nodesMax to 4"))
      << faults[0].text;
  EXPECT_TRUE(Contains(faults[1].text, "connectionsMax to 2")) << faults[1].text;
}

struct LargeConfig : NodeConfig<LargeConfig> {
  using Block = std::array<std::byte, 3 << 20>;
  OUTPUT_SLOT(BLOCK, Block);
};
class LargeNode final : public TypedNode<LargeConfig> {
 public:
  void Execute(ExecuteContext&) override {}
};

TEST_F(ValidationTest, G4_SetupMemoryShortfall) {
  EXPECT_TRUE(graph_.AddNode<LargeNode>("first"));
  EXPECT_FALSE(graph_.AddNode<LargeNode>("second"));
  const auto faults = Faults(graph_);
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_EQ(faults[0].kind, FaultKind::CapacityShortfall);
  EXPECT_TRUE(Contains(faults[0].text, "'second'")) << faults[0].text;
  EXPECT_TRUE(Contains(faults[0].text, "setupBytes")) << faults[0].text;
}

struct NothingConfig : NodeConfig<NothingConfig> {};
class StatedNode final : public TypedNode<NothingConfig> {
 public:
  void Execute(ExecuteContext&) override {}
  PreAllocRequirements GetPreAllocRequirements() const override { return stated; }
  std::span<const DescriptorSetRequirement> GetDescriptorRequirements() const override { return sets; }
  std::uint32_t ReplayPeriod() const override { return period; }
  PreAllocRequirements stated;
  std::span<const DescriptorSetRequirement> sets;
  std::uint32_t period = 1;
};

TEST_F(ValidationTest, G4_StatedSlotsMustMatch) {
  const auto node = graph_.AddNode<StatedNode>("node");
  node->stated.inputSlotCount = 3;
  ExpectOne(graph_, FaultKind::SlotMismatch, node, "", {"states 3 input slots, its config has 0"});
}

TEST_F(ValidationTest, G4_DescriptorLayoutsMustMakeSense) {
  static constexpr std::array kSameTwice = {DescriptorBinding{.binding = 1}, DescriptorBinding{.binding = 1},
                                            DescriptorBinding{.binding = 2, .count = 0}};
  static constexpr std::array kWrongSets = {
      DescriptorSetRequirement{.setIndex = 0, .bindings = kSameTwice, .debugName = "one"},
      DescriptorSetRequirement{.setIndex = 0, .debugName = "two", .setCount = 0}};
  const auto node = graph_.AddNode<StatedNode>("node");
  node->sets = kWrongSets;
  node->stated.descriptorSetCount = 0;
  const auto faults = Faults(graph_);
  ASSERT_EQ(faults.size(), 4u);
  for (const Fault& fault : faults) EXPECT_EQ(fault.kind, FaultKind::DescriptorMismatch) << fault.text;
  EXPECT_TRUE(std::any_of(faults.begin(), faults.end(),
                          [](const Fault& f) { return Contains(f.text, "binding 1 twice"); }));
  EXPECT_TRUE(std::any_of(faults.begin(), faults.end(),
                          [](const Fault& f) { return Contains(f.text, "both claim set 0"); }));
}

TEST_F(ValidationTest, G4_ReplayPeriods) {
  const auto zero = graph_.AddNode<StatedNode>("zero");
  zero->period = 0;
  ExpectOne(graph_, FaultKind::ReplayPeriod, zero, "", {"'zero'", "least is 1"});
  zero->period = 8;
  EXPECT_TRUE(Faults(graph_).empty());
  const auto nine = graph_.AddNode<StatedNode>("nine");
  nine->period = 9;
  ExpectOne(graph_, FaultKind::ReplayPeriod, {}, "", {"64 frames", "replayPeriodMax"});
}

TEST_F(ValidationTest, G4_FrameMemoryAndCompileMemoryShortfalls) {
  const auto node = graph_.AddNode<StatedNode>("node");
  node->stated.frameBytes = 1_MiB;
  ExpectOne(graph_, FaultKind::CapacityShortfall, {}, "", {"1048576 B", "65536 B", "frameLaneBytes"});
}

TEST_F(ValidationTest, G4_AllFaultsAtOnceAndInCompile) {
  const auto a = graph_.AddNode<ScaleNode>("same", 1.0f);
  const auto b = graph_.AddNode<ScaleNode>("same", 1.0f);
  const auto lonely = graph_.AddNode<ScaleNode>("lonely", 1.0f);
  const auto probe = graph_.AddNode<ProbeNode>("probe");
  graph_.Connect(a, ScaleConfig::RESULT, b, ScaleConfig::SOURCE);
  graph_.Connect(b, ScaleConfig::RESULT, a, ScaleConfig::SOURCE);
  graph_.Connect(a, ScaleConfig::RESULT, a, ScaleConfig::SOURCE);
  graph_.ConnectUntyped(probe, 1, b, 0);
  graph_.ConnectUntyped(probe, 1, b, 5);
  const auto faults = Faults(graph_);
  for (const FaultKind kind :
       {FaultKind::Cycle, FaultKind::SelfEdge, FaultKind::DanglingConnection, FaultKind::TypeMismatch,
        FaultKind::DoublyWritten, FaultKind::MissingInput, FaultKind::DuplicateName}) {
    EXPECT_NE(Find(faults, kind), nullptr) << ToString(kind);
  }
  EXPECT_EQ(Find(faults, FaultKind::MissingInput)->node, lonely.Handle());

  ASSERT_TRUE(Ok(runtime_->SealSetup()));
  const Result<void> compiled = graph_.Compile();
  ASSERT_FALSE(compiled);
  EXPECT_EQ(compiled.GetError().Code(), ErrorCode::Invalid);
  EXPECT_TRUE(Contains(compiled.GetError().Message(), "graph 'graph' has 7 faults"))
      << compiled.GetError().Message();
  EXPECT_FALSE(graph_.HasPlan());
}

TEST_F(ValidationTest, G4_MemoryIsBoundedButTheCountIsNot) {
  RenderGraph graph(*runtime_, {.nodesMax = 200, .faultsMax = 8});
  for (int i = 0; i < 200; ++i) graph.AddNode<ScaleNode>("same", 1.0f);
  const auto faults = Faults(graph);
  EXPECT_EQ(faults.size(), 8u);
  EXPECT_EQ(total_, 200u + 199u) << "missing inputs and duplicate names";
}

TEST_F(ValidationTest, G4_ReportTextIsCutNotOverrun) {
  std::array<Fault, 3> faults;
  for (Fault& fault : faults)
    std::snprintf(fault.text, sizeof(fault.text), "%s", std::string(255, 'x').c_str());
  const ValidationReport report{.faults = faults, .totalCount = 30};
  const Result<void> result = report.ToResult("big");
  ASSERT_FALSE(result);
  EXPECT_TRUE(Contains(result.GetError().Message(),
                       "graph 'big' has 30 faults (all of them: RenderGraph::Validate)"));
  EXPECT_LT(std::string_view(result.GetError().Message()).size(), arenas::kErrorMessageBytesMax);
  EXPECT_TRUE(Ok(ValidationReport{}.ToResult("fine")));
}

TEST_F(ValidationTest, G4_NeedsSetupFirst) {
  graph_.AddNode<SourceNode>("a", 1.0f);
  EXPECT_EQ(graph_.Validate().GetError().Code(), ErrorCode::WrongPhase);
  EXPECT_EQ(graph_.Plan().GetError().Code(), ErrorCode::WrongPhase);
  ASSERT_TRUE(Ok(graph_.Setup()));
  EXPECT_TRUE(graph_.Validate());
  graph_.AddNode<SourceNode>("b", 1.0f);
  EXPECT_EQ(graph_.Validate().GetError().Code(), ErrorCode::WrongPhase) << "b was added since";
}

}  // namespace
}  // namespace stadial::graph::testing
