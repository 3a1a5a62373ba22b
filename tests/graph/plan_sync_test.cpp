// From slots that state accesses to the barriers, queues and semaphores of a compiled plan; and the texts
// that show them.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "../runtime/test_support.h"
#include "graph_fixture.h"
#include "support/hazard_oracle.h"

namespace stadial::graph::testing {
namespace {

using runtime::testing::Random;
using runtime::testing::Repetitions;
using runtime::testing::TestSeed;

struct Texture {
  static constexpr bool kIsGpuResource = true;
  std::uint32_t id = 0;
};

struct MakeConfig : NodeConfig<MakeConfig> {
  OUTPUT_SLOT(MADE, Texture, Access::ComputeStorageWrite);
};
struct ChangeConfig : NodeConfig<ChangeConfig> {
  INPUT_SLOT(SOURCE, Texture, Access::ComputeStorageRead);
  OUTPUT_SLOT(CHANGED, Texture, Access::ComputeStorageWrite, Inplace(SOURCE));
};
struct PassOnConfig : NodeConfig<PassOnConfig> {
  INPUT_SLOT(SOURCE, Texture, Access::None);
  OUTPUT_SLOT(SAME, Texture, Access::None, Inplace(SOURCE));
};
struct ReadConfig : NodeConfig<ReadConfig> {
  INPUT_SLOT(SOURCE, Texture, Access::ComputeSampled);
  INPUT_SLOT(SECOND, Texture, Access::ComputeSampled, SlotMode::Optional);
  OUTPUT_SLOT(KEPT, Texture, Access::ComputeStorageReadWrite);  // a history
};
struct TornConfig : NodeConfig<TornConfig> {
  INPUT_SLOT(SOURCE, Texture, Access::ComputeSampled.In(ImageLayout::ShaderReadOnly));
  OUTPUT_SLOT(CHANGED, Texture, Access::ComputeStorageWrite, Inplace(SOURCE));
};

template <class ConfigT>
class PlainNode final : public TypedNode<ConfigT> {
 public:
  explicit PlainNode(QueueClass wish = QueueClass::Any) : wish_(wish) {}
  void Execute(typename TypedNode<ConfigT>::ExecuteContext&) override {}
  QueueClass PreferredQueue() const override { return wish_; }
  std::span<const SideAccess> GetSideAccesses() const override {
    return std::span(&side, side.node.IsNull() ? 0u : 1u);
  }
  SideAccess side;

 private:
  QueueClass wish_;
};
using MakeNode = PlainNode<MakeConfig>;
using ChangeNode = PlainNode<ChangeConfig>;
using PassOnNode = PlainNode<PassOnConfig>;
using ReadNode = PlainNode<ReadConfig>;
using TornNode = PlainNode<TornConfig>;

// make -> pass on -> change in place -> read, with a history.
class PlanSync : public GraphTest {
 protected:
  void Build(const DeviceQueues& queues) {
    graph_ = std::make_unique<RenderGraph>(*runtime_, GraphOptions{.name = "sync", .queues = queues});
    make_ = graph_->AddNode<MakeNode>("make");
    const auto passOn = graph_->AddNode<PassOnNode>("pass on");
    const auto change = graph_->AddNode<ChangeNode>("change", QueueClass::AsyncCompute);
    const auto read = graph_->AddNode<ReadNode>("read", QueueClass::Graphics);
    graph_->Connect(make_, MakeConfig::MADE, passOn, PassOnConfig::SOURCE);
    graph_->Connect(passOn, PassOnConfig::SAME, change, ChangeConfig::SOURCE);
    graph_->Connect(change, ChangeConfig::CHANGED, read, ReadConfig::SOURCE);
  }
  std::string Explain(std::uint32_t position, std::uint32_t index) const {
    char text[512];
    const std::size_t length = graph_->ExplainBarrier(position, index, text);
    EXPECT_EQ(length, std::strlen(text));
    return text;
  }
  template <class Write>
  std::string Text(Write&& write) const {
    std::string text(65536, '\0');
    std::FILE* out = fmemopen(text.data(), text.size(), "w");
    write(out);
    std::fclose(out);
    text.resize(std::strlen(text.c_str()));
    return text;
  }
  std::unique_ptr<RenderGraph> graph_;
  NodeRef<MakeNode> make_;
};

TEST_F(PlanSync, Cc_OneResourceGoesThroughInPlaceSlots) {
  Build({});
  Start(*graph_);
  const SyncPlan& sync = graph_->CurrentPlan().sync;
  ASSERT_EQ(sync.barriers.size(), 3u);
  EXPECT_TRUE(sync.BarriersAt(1).empty()) << "who only passes it on uses nothing";
  for (const Barrier& barrier : sync.barriers) EXPECT_EQ(barrier.resource, 0u) << "make's output, throughout";
  EXPECT_EQ(sync.BarriersAt(2)[0].sourcePosition, 0u);
  EXPECT_EQ(sync.BarriersAt(3)[0].resourceCount, 1u)
      << "its history is covered by the barrier before 'change'";
  EXPECT_TRUE(sync.queueOf.empty() && sync.waits.empty());
}

TEST_F(PlanSync, G11_ExplainsItsBarriers) {
  Build({});
  Start(*graph_);
  EXPECT_EQ(
      Explain(3, 0),
      "#3 'read' waits for #2 'change', for 'make'.MADE: read after write (compute: storage write before "
      "compute: sampled read)");
  EXPECT_EQ(Explain(0, 0),
            "#0 'make' waits for #3 'read' of the frame before, for 'make'.MADE: write after read (compute: "
            "execution before compute: execution)");
  EXPECT_EQ(Explain(1, 0), "no barrier 0 before #1");
  EXPECT_EQ(Explain(77, 0), "no barrier 0 before #77");
  char tiny[8];
  EXPECT_EQ(graph_->ExplainBarrier(0, 0, tiny), 7u);
  EXPECT_STREQ(tiny, "#0 'mak");
  EXPECT_EQ(graph_->ExplainBarrier(0, 0, {}), 0u);
}

TEST_F(PlanSync, G11_ExplainsABarrierOfManyResources) {
  graph_ = std::make_unique<RenderGraph>(*runtime_);
  const auto first = graph_->AddNode<MakeNode>("first");
  const auto second = graph_->AddNode<MakeNode>("second");
  const auto read = graph_->AddNode<ReadNode>("read");
  graph_->Connect(first, MakeConfig::MADE, read, ReadConfig::SOURCE);
  graph_->Connect(second, MakeConfig::MADE, read, ReadConfig::SECOND);
  Start(*graph_);
  EXPECT_EQ(
      Explain(2, 0),
      "#2 'read' waits for #0 'first', for 'first'.MADE: read after write (compute: storage write before "
      "compute: sampled read, storage read, storage write); 2 more like it");
}

TEST_F(PlanSync, G11_DotHasQueuesAndBarriers) {
  Build({1, 1, 0});
  Start(*graph_);
  const std::string dot = Text([this](std::FILE* out) { graph_->WriteDot(out); });
  EXPECT_NE(dot.find("n2 [label=\"change\\n#2\\nqueue 1, 1 waits\\n1 barrier\"]"), std::string::npos) << dot;
  EXPECT_NE(dot.find("n1 [label=\"pass on\\n#1\"]"), std::string::npos) << dot;
}

TEST_F(PlanSync, G11_JsonHoldsThePlan) {
  Build({1, 1, 0});
  graph_->AddNode<SourceNode>("a \"quoted\"\tname", 1.0f);
  EXPECT_EQ(nlohmann::json::parse(Text([this](std::FILE* out) { graph_->WriteJson(out); }))["has_plan"],
            false);
  Start(*graph_);
  const CompiledPlan& plan = graph_->CurrentPlan();
  const nlohmann::json json = nlohmann::json::parse(Text([this](std::FILE* out) { graph_->WriteJson(out); }));
  EXPECT_EQ(json["schema"], "stadial.graph_plan/1");
  EXPECT_EQ(json["graph"], "sync");
  EXPECT_EQ(json["generation"], 1);
  EXPECT_EQ(json["queue_count"], 2);
  ASSERT_EQ(json["nodes"].size(), 5u);
  EXPECT_EQ(json["nodes"][4]["name"], "a \"quoted\"\tname");
  EXPECT_EQ(json["nodes"][2]["queue"], 1);
  EXPECT_FALSE(json["nodes"][1].contains("queue"));
  ASSERT_EQ(json["connections"].size(), 3u);
  EXPECT_EQ(json["connections"][1]["output"], "SAME");
  ASSERT_EQ(json["lifetimes"].size(), 5u);
  EXPECT_EQ(json["lifetimes"][0]["last"], 1);
  ASSERT_EQ(json["barriers"].size(), plan.sync.barriers.size());
  for (std::size_t i = 0; i < plan.sync.barriers.size(); ++i) {
    EXPECT_EQ(json["barriers"][i]["position"], plan.sync.barriers[i].position);
    EXPECT_EQ(json["barriers"][i]["reason"], ToString(plan.sync.barriers[i].reason));
    EXPECT_EQ(json["barriers"][i]["frame_before"], plan.sync.barriers[i].isFrameBefore);
  }
  EXPECT_EQ(json["releases"].size(), plan.sync.releases.size());
  EXPECT_EQ(json["waits"].size(), plan.sync.waits.size());
  EXPECT_EQ(json["signals"].size(), plan.sync.signals.size());
  EXPECT_GT(plan.sync.waits.size(), 0u);
}

TEST(PlanSyncCulled, G11_JsonSaysWhyANodeIsCulled) {
  const auto runtime = MakeRuntime();
  RenderGraph graph(*runtime, {.cullDeadNodes = true});
  const auto unread = graph.AddNode<ScaleNode>("unread", 1.0f);
  const auto source = graph.AddNode<SourceNode>("source", 1.0f);
  graph.Connect(source, SourceConfig::VALUE, unread, ScaleConfig::SOURCE);
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime->SealSetup()));
  ASSERT_TRUE(Ok(graph.Compile()));
  std::string text(8192, '\0');
  std::FILE* out = fmemopen(text.data(), text.size(), "w");
  graph.WriteJson(out);
  std::fclose(out);
  const nlohmann::json json = nlohmann::json::parse(text.c_str());
  EXPECT_TRUE(json["nodes"][0]["position"].is_null());
  EXPECT_EQ(json["nodes"][0]["cull_reason"], "no node reads its outputs");
  EXPECT_EQ(json["nodes"][1]["cull_reason"], "only culled nodes read its outputs");
}

TEST_F(PlanSync, Cc_AUseWithoutAnEdgeIsOrdered) {
  Build({});
  make_->side = {graph_->FindNode("read"), 0, Access::ComputeSampled};  // the history, before it is written
  Start(*graph_);
  const SyncPlan& sync = graph_->CurrentPlan().sync;
  ASSERT_EQ(sync.BarriersAt(0).size(), 1u);
  EXPECT_EQ(sync.BarriersAt(0)[0].targetAccess & accesses::kSampledRead, accesses::kSampledRead);
  EXPECT_NE(sync.BarriersAt(0)[0].sourceAccess & accesses::kStorageWrite, 0u)
      << "what the frame before wrote";
}

TEST_F(PlanSync, G4_TwoNodesThatChangeOneOutputAreAFault) {
  Build({});
  const auto rival = graph_->AddNode<ChangeNode>("rival");
  graph_->ConnectUntyped(graph_->FindNode("pass on"), 0, rival, 0);
  ASSERT_TRUE(Ok(graph_->Setup()));
  auto report = graph_->Validate();
  ASSERT_TRUE(Ok(report));
  ASSERT_EQ(report->totalCount, 1u);
  EXPECT_EQ(report->faults[0].kind, FaultKind::DoublyWritten);
  EXPECT_EQ(report->faults[0].node, rival.Handle());
  EXPECT_STREQ(report->faults[0].slot, "CHANGED");
  EXPECT_NE(std::string(report->faults[0].text).find("'change'"), std::string::npos);
}

TEST_F(PlanSync, G4_OneImageInTwoLayoutsAtOnceIsAFault) {
  Build({});
  const auto torn = graph_->AddNode<TornNode>("torn");
  graph_->ConnectUntyped(graph_->FindNode("change"), 0, torn, 0);
  ASSERT_TRUE(Ok(graph_->Setup()));
  auto report = graph_->Validate();
  ASSERT_TRUE(Ok(report));
  ASSERT_EQ(report->totalCount, 1u);
  EXPECT_EQ(report->faults[0].kind, FaultKind::LayoutMismatch);
  EXPECT_EQ(report->faults[0].node, torn.Handle());
  EXPECT_NE(std::string(report->faults[0].text).find("shader read only"), std::string::npos);
}

// Random graphs whose slots are decided at run time. What each node uses is written down as the graph is
// built, and judged against the plan without the graph's own idea of resources.
class UsingNode final : public NodeInstance {
 public:
  UsingNode(std::uint32_t inputs, Random& random) : wish_(static_cast<QueueClass>(random.Below(4))) {
    for (std::uint32_t i = 0; i < inputs; ++i) {
      inputs_.push_back({"IN", &kSlotType<std::uint32_t>});
      inputs_.back().mode = SlotMode::Optional;
      inputs_.back().access = kReads[random.Below(kReads.size())];
    }
    outputs_.push_back({"OUT", &kSlotType<std::uint32_t>});
    outputs_.back().access = kWrites[random.Below(kWrites.size())];
    if (inputs != 0 && random.Below(3) == 0) outputs_.back().inplaceInput = 0;
  }
  SlotLayout GetSlotLayout() const override { return {inputs_, outputs_}; }
  void ExecuteNode(graph::ExecuteContext&) override {}
  QueueClass PreferredQueue() const override { return wish_; }
  const SlotDescription& Input(std::size_t i) const { return inputs_[i]; }
  const SlotDescription& Output() const { return outputs_[0]; }

 private:
  static constexpr std::array<Access, 5> kReads{Access::ComputeSampled, Access::ComputeStorageRead,
                                                Access::TransferRead, Access::FragmentSampled, Access::None};
  static constexpr std::array<Access, 4> kWrites{Access::ComputeStorageWrite, Access::ComputeStorageReadWrite,
                                                 Access::TransferWrite, Access::None};
  std::vector<SlotDescription> inputs_;
  std::vector<SlotDescription> outputs_;
  QueueClass wish_;
};

TEST(PlanSyncRandom, Cc_EveryCompiledGraphIsOrdered) {
  constexpr std::uint64_t kRounds = Repetitions(100);  // a runtime each, which is most of their time
  static constexpr DeviceQueues kDevices[] = {{1, 0, 0}, {1, 1, 0}, {2, 1, 1}};
  Random random(TestSeed(5050));
  std::size_t barriers = 0;
  std::size_t missed = 0;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    const auto runtime = MakeRuntime({.setupBytes = 1_MiB, .compileBytes = 256_KiB});
    const DeviceQueues queues = kDevices[random.Below(std::size(kDevices))];
    const auto count = static_cast<std::uint32_t>(2 + random.Below(14));
    RenderGraph graph(*runtime,
                      {.nodesMax = count, .faultsMax = 4, .compileScratchBytes = 1024, .queues = queues});
    std::vector<NodeRef<UsingNode>> nodes;
    std::vector<std::uint32_t> resourceOf;                            // by node
    std::vector<std::vector<std::pair<std::uint32_t, Access>>> uses;  // by node
    std::vector<bool> isChanged(count, false);
    for (std::uint32_t n = 0; n < count; ++n) {
      const auto inputs = static_cast<std::uint32_t>(random.Below(4));
      nodes.push_back(graph.AddNode<UsingNode>(Numbered("n", n).c_str(), inputs, random));
      const UsingNode& node = *nodes.back();
      resourceOf.push_back(n);
      uses.emplace_back();
      for (std::uint32_t i = 0; i < inputs && n != 0; ++i) {
        const auto from = static_cast<std::uint32_t>(random.Below(n));
        const bool isInplace = i == 0 && node.Output().inplaceInput == 0;
        if (isInplace && node.Output().access.Writes() && isChanged[from]) continue;  // it would be a fault
        graph.ConnectUntyped(nodes[from], 0, nodes[n], i);
        uses[n].emplace_back(resourceOf[from], node.Input(i).access);
        if (!isInplace) continue;
        resourceOf[n] = resourceOf[from];
        isChanged[from] = isChanged[from] || node.Output().access.Writes();
      }
      uses[n].emplace_back(resourceOf[n], node.Output().access);
    }
    ASSERT_TRUE(Ok(graph.Setup()));
    auto budget = graph.Plan();
    ASSERT_TRUE(Ok(budget));
    ASSERT_TRUE(Ok(runtime->SealSetup()));
    ASSERT_TRUE(Ok(graph.Compile())) << "round " << round;
    const CompiledPlan& plan = graph.CurrentPlan();
    EXPECT_LE(std::max(runtime->Compile().UsedBytes(0), runtime->Compile().UsedBytes(1)),
              budget->compileBytes)
        << "the dry run told";

    SyncInput input{.positions = count, .resources = count, .queues = queues, .queueOf = plan.sync.queueOf};
    std::vector<ResourceAccess> accesses;
    for (std::uint32_t p = 0; p < count; ++p) {
      const std::size_t first = accesses.size();
      for (const auto& [resource, access] : uses[plan.order[p].index]) {
        if (access.IsNone()) continue;
        const auto same = std::find_if(accesses.begin() + static_cast<std::ptrdiff_t>(first), accesses.end(),
                                       [r = resource](const ResourceAccess& a) { return a.resource == r; });
        if (same == accesses.end()) {
          accesses.push_back({p, resource, access});
        } else {
          same->access = same->access | access;
        }
      }
    }
    input.accesses = accesses;
    std::vector<std::uint8_t> none(count, 0);
    if (input.queueOf.empty()) input.queueOf = none;
    SynchronizedFrame frame = SynchronizedFrame::From(input, plan.sync);
    ASSERT_EQ(FindFault(frame), "") << "round " << round;
    barriers += frame.barriers.size();
    if (!frame.barriers.empty()) {  // the canary
      frame.barriers.erase(frame.barriers.begin() +
                           static_cast<std::ptrdiff_t>(random.Below(frame.barriers.size())));
      if (FindFault(frame).empty()) ++missed;
    }
  }
  std::printf("%zu barriers; of one left out in each graph, %zu were idle\n", barriers, missed);
  EXPECT_GT(barriers, kRounds);
  EXPECT_LE(missed, kRounds / 5);
}

}  // namespace
}  // namespace stadial::graph::testing
