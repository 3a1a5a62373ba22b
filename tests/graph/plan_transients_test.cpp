// Transients of nodes: alive from their node to the last reader of the output they stand behind, packed by
// memory class, the same in the dry run and in the compile.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <random>

#include "../runtime/test_support.h"
#include "graph_fixture.h"
#include "stadial/graph/lifetime_packing.h"

namespace stadial::graph::testing {
namespace {

using runtime::testing::TestSeed;

// Fills its own transient with what it computes from its producers' transients, and hands it on by its
// output. The memory is the test's: what the plan aliases wrongly shows as another value.
struct View {
  const std::uint64_t* words = nullptr;
  std::size_t count = 0;
};
struct HolderConfig : NodeConfig<HolderConfig> {
  INPUT_SLOT(SOURCES, View, SlotMode::Array);
  OUTPUT_SLOT(RESULT, View);
};
class HolderNode final : public TypedNode<HolderConfig> {
 public:
  HolderNode(std::vector<TransientRequirement> transients, std::array<std::vector<std::uint64_t>, 2>* memory)
      : transients_(std::move(transients)), stated_(transients_), memory_(memory) {}
  // A node that hands on what it says is its own only.
  void HideOutputs() {
    for (TransientRequirement& stated : stated_) stated.outputSlot = kUsedWithinNode;
  }
  PreAllocRequirements GetPreAllocRequirements() const override { return {.transients = stated_}; }
  void Execute(ExecuteContext& ctx) override {
    std::uint64_t hash = Handle().index + 1;
    for (const View& source : ctx.In(SOURCES)) {
      for (std::size_t i = 0; i < source.count; ++i) hash = hash * 0x100000001b3u ^ source.words[i];
    }
    View first;
    for (std::size_t i = 0; i < Transients().size(); ++i) {
      const PlanTransient& own = Transients()[i];
      if (own.sizeBytes < 8) continue;
      std::uint64_t* const words = (*memory_)[own.memoryClass].data() + own.offset / 8;
      std::fill_n(words, own.sizeBytes / 8, hash + i);
      if (transients_[i].outputSlot == 0 && first.words == nullptr) first = {words, own.sizeBytes / 8};
    }
    ctx.Out(RESULT, first);
    lastHash = hash;
  }
  std::uint64_t lastHash = 0;

 private:
  std::vector<TransientRequirement> transients_;
  std::vector<TransientRequirement> stated_;
  std::array<std::vector<std::uint64_t>, 2>* memory_;
};

struct PasserConfig : NodeConfig<PasserConfig> {
  INPUT_SLOT(SOURCE, View);
  OUTPUT_SLOT(PASSED, View, Inplace(SOURCE));
};
class PasserNode final : public TypedNode<PasserConfig> {
 public:
  void Execute(ExecuteContext& ctx) override { ctx.Out(PASSED, ctx.In(SOURCE)); }
};

struct RandomTransients {
  std::vector<std::vector<TransientRequirement>> nodes;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> wires;
};
RandomTransients MakeRandom(std::mt19937& engine) {
  RandomTransients random;
  const std::uint32_t count = 2 + static_cast<std::uint32_t>(engine() % 60);
  for (std::uint32_t node = 0; node < count; ++node) {
    std::vector<TransientRequirement>& own = random.nodes.emplace_back();
    for (std::uint32_t i = static_cast<std::uint32_t>(engine() % 4); i > 0; --i) {
      own.push_back({.debugName = "t",
                     .sizeBytes = engine() % 64 * 8,
                     .alignment = std::uint64_t{8} << engine() % 5,
                     .memoryClass = static_cast<std::uint32_t>(engine() % 2),
                     .outputSlot = engine() % 2 == 0 ? kUsedWithinNode : 0});
    }
    for (std::uint32_t i = 0; node > 0 && i < 2; ++i) {
      const std::uint32_t back = 1 + static_cast<std::uint32_t>(engine() % std::min<std::uint32_t>(node, 6));
      if (i == 0 || engine() % 2 == 0) random.wires.emplace_back(node - back, node);
    }
  }
  return random;
}

struct Outcome {
  std::vector<std::uint64_t> hashes;
  std::uint64_t aliasedBytes = 0;
  std::uint64_t unaliasedBytes = 0;
};

// Every pair of transients: alive at once in one class means apart in space. `waves`: alive by waves.
void ExpectSound(const RenderGraph& graph, const RandomTransients& random) {
  const CompiledPlan& plan = graph.CurrentPlan();
  std::vector<std::uint32_t> time(plan.NodeCount(), kNotInPlan);
  for (std::uint32_t node = 0; node < plan.NodeCount(); ++node) time[node] = plan.positionOf[node];
  for (std::uint32_t wave = 0; wave < plan.waves.size(); ++wave) {
    for (std::uint32_t i = plan.waves[wave].begin; i < plan.waves[wave].end; ++i)
      time[plan.order[plan.wavePositions[i]].index] = wave;
  }
  struct Expected {
    std::uint32_t first, last;
  };
  std::vector<Expected> expected;
  for (std::uint32_t node = 0; node < plan.NodeCount(); ++node) {
    ASSERT_EQ(plan.TransientsOf(node).size(), random.nodes[node].size());
    for (const TransientRequirement& stated : random.nodes[node]) {
      Expected at{time[node], time[node]};
      for (const auto& [from, to] : random.wires) {
        if (from == node && stated.outputSlot == 0) at.last = std::max(at.last, time[to]);
      }
      expected.push_back(at);
    }
  }
  ASSERT_EQ(plan.transients.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const PlanTransient& a = plan.transients[i];
    EXPECT_EQ(a.first, expected[i].first);
    EXPECT_EQ(a.last, expected[i].last);
    for (std::size_t k = 0; k < i; ++k) {
      const PlanTransient& b = plan.transients[k];
      if (a.memoryClass != b.memoryClass || expected[i].first > expected[k].last ||
          expected[k].first > expected[i].last)
        continue;
      ASSERT_TRUE(a.offset + a.sizeBytes <= b.offset || b.offset + b.sizeBytes <= a.offset ||
                  a.sizeBytes == 0 || b.sizeBytes == 0)
          << "transients " << k << " and " << i;
    }
  }
}

Outcome RunGraph(const RandomTransients& random, std::uint32_t workers, bool hidesOutputs = false) {
  const runtime::RuntimePtr runtime = MakeParallelRuntime(workers);
  std::array<std::vector<std::uint64_t>, 2> memory;
  RenderGraph graph(*runtime, {.nodesMax = 64, .connectionsMax = 256, .executeInWaves = workers != 0});
  std::vector<NodeRef<HolderNode>> nodes;
  for (std::size_t i = 0; i < random.nodes.size(); ++i) {
    nodes.push_back(graph.AddNode<HolderNode>(Numbered("n", i).c_str(), random.nodes[i], &memory));
    if (hidesOutputs) nodes.back()->HideOutputs();
  }
  for (const auto& [from, to] : random.wires)
    graph.Connect(nodes[from], HolderConfig::RESULT, nodes[to], HolderConfig::SOURCES);
  EXPECT_TRUE(Ok(graph.Setup()));
  EXPECT_TRUE(Ok(runtime->SealSetup()));
  auto budget = graph.Plan();
  EXPECT_TRUE(Ok(budget));
  EXPECT_TRUE(Ok(graph.Compile()));
  if (!hidesOutputs) ExpectSound(graph, random);
  const CompiledPlan& plan = graph.CurrentPlan();
  Outcome run;
  std::uint64_t bound = 0;
  for (const PlanMemoryClass& shared : plan.memoryClasses) {
    memory[shared.memoryClass].assign(shared.totalBytes / 8, 0);
    run.aliasedBytes += shared.totalBytes;
    run.unaliasedBytes += shared.unaliasedBytes;
    bound += shared.boundBytes;
  }
  EXPECT_EQ(budget->transientBytes, run.aliasedBytes) << "X3: the dry run is exact";
  EXPECT_EQ(budget->transientUnaliasedBytes, run.unaliasedBytes);
  EXPECT_EQ(budget->transientBoundBytes, bound);
  for (int frame = 0; frame < 3; ++frame) {
    EXPECT_TRUE(Ok(graph.Execute()));
    for (const auto& node : nodes) run.hashes.push_back(node->lastHash);
  }
  return run;
}

// The same values computed without any memory that could be shared.
std::vector<std::uint64_t> ComputeApart(const RandomTransients& random) {
  struct Handed {
    std::uint64_t word = 0;
    std::uint64_t count = 0;
  };
  std::vector<Handed> handed(random.nodes.size());
  std::vector<std::uint64_t> hashes;
  for (std::size_t node = 0; node < random.nodes.size(); ++node) {
    std::uint64_t hash = node + 1;
    for (const auto& [from, to] : random.wires) {
      if (to != node) continue;
      for (std::uint64_t i = 0; i < handed[from].count; ++i) hash = hash * 0x100000001b3u ^ handed[from].word;
    }
    for (std::size_t i = 0; i < random.nodes[node].size(); ++i) {
      const TransientRequirement& own = random.nodes[node][i];
      if (own.sizeBytes < 8 || own.outputSlot != 0 || handed[node].count != 0) continue;
      handed[node] = {hash + i, own.sizeBytes / 8};
    }
    hashes.push_back(hash);
  }
  return hashes;
}

// Data decides: what runs at once, or is still to be read, is not overwritten. TSan looks on.
TEST(PlanTransients, G3_DataSurvivesAliasingSeriallyAndInWaves) {
  std::mt19937 engine(static_cast<std::uint32_t>(TestSeed(20'268)));
  std::uint64_t serialBytes = 0;
  std::uint64_t waveBytes = 0;
  std::uint64_t unaliased = 0;
  const std::uint64_t rounds = runtime::testing::kIsSanitized ? 4 : 12;  // a runtime each costs the most
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const RandomTransients random = MakeRandom(engine);
    const std::vector<std::uint64_t> expected = ComputeApart(random);
    const Outcome serial = RunGraph(random, 0);
    const Outcome waves = RunGraph(random, 2);
    for (std::size_t i = 0; i < serial.hashes.size(); ++i) {
      ASSERT_EQ(serial.hashes[i], expected[i % expected.size()]) << "round " << round;
      ASSERT_EQ(waves.hashes[i], expected[i % expected.size()]) << "round " << round << ", in waves";
    }
    serialBytes += serial.aliasedBytes;
    waveBytes += waves.aliasedBytes;
    unaliased += serial.unaliasedBytes;
  }
  EXPECT_LT(serialBytes, unaliased);
  EXPECT_LT(waveBytes, unaliased);
}

// The canary: nodes that keep silent about what they hand on lose it, and the data shows it.
TEST(PlanTransients, WhatIsNotStatedIsOverwritten) {
  std::mt19937 engine(static_cast<std::uint32_t>(TestSeed(20'268)));
  std::uint32_t wrong = 0;
  for (int round = 0; round < 3; ++round) {
    const RandomTransients random = MakeRandom(engine);
    const std::vector<std::uint64_t> expected = ComputeApart(random);
    const Outcome outcome = RunGraph(random, 0, true);
    for (std::size_t i = 0; i < expected.size(); ++i) wrong += outcome.hashes[i] != expected[i] ? 1u : 0u;
  }
  EXPECT_GT(wrong, 0u);
}

// Two nodes that do not depend on each other: in order one follows the other, in waves both run at once.
TEST(PlanTransients, G8_LifetimesCountInWaves) {
  RandomTransients random;
  for (int i = 0; i < 2; ++i) random.nodes.push_back({{.sizeBytes = 256, .alignment = 256}});
  EXPECT_EQ(RunGraph(random, 0).aliasedBytes, 256u) << "one after the other";
  EXPECT_EQ(RunGraph(random, 2).aliasedBytes, 512u) << "both in the first wave";
}

TEST(PlanTransients, ClassesShareNothing) {
  RandomTransients random;
  random.nodes.push_back({{.sizeBytes = 256, .memoryClass = 0}});
  random.nodes.push_back({{.sizeBytes = 512, .memoryClass = 1}});
  random.nodes.push_back({{.sizeBytes = 512, .memoryClass = 1}});
  const Outcome run = RunGraph(random, 0);
  EXPECT_EQ(run.aliasedBytes, 256u + 512u);
  EXPECT_EQ(run.unaliasedBytes, 256u + 1024u);
}

class PlanTransientsTest : public GraphTest {
 protected:
  std::array<std::vector<std::uint64_t>, 2> memory_;
};

TEST_F(PlanTransientsTest, X3_CompileTakesWhatPlanSaid) {
  RenderGraph graph(*runtime_);
  for (int i = 0; i < 5; ++i) {
    graph.AddNode<HolderNode>(Numbered("n", static_cast<std::uint64_t>(i)).c_str(),
                              std::vector<TransientRequirement>(3, {.sizeBytes = 100}), &memory_);
  }
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime_->SealSetup()));
  auto budget = graph.Plan();
  ASSERT_TRUE(Ok(budget));
  ASSERT_TRUE(Ok(graph.Compile()));
  EXPECT_EQ(std::max(runtime_->Compile().UsedBytes(0), runtime_->Compile().UsedBytes(1)),
            budget->compileBytes);
  EXPECT_EQ(budget->transientBytes, 3u * 256);
}

// Passed on in place, it is read by the readers of what it was passed on as.
TEST_F(PlanTransientsTest, LivesOnThroughOutputsInPlace) {
  RenderGraph graph(*runtime_);
  const auto maker = graph.AddNode<HolderNode>(
      "maker", std::vector<TransientRequirement>{{.sizeBytes = 64, .outputSlot = 0}}, &memory_);
  const auto first = graph.AddNode<PasserNode>("first");
  const auto second = graph.AddNode<PasserNode>("second");
  const auto reader = graph.AddNode<PasserNode>("reader");
  graph.Connect(maker, HolderConfig::RESULT, first, PasserConfig::SOURCE);
  graph.Connect(first, PasserConfig::PASSED, second, PasserConfig::SOURCE);
  graph.Connect(second, PasserConfig::PASSED, reader, PasserConfig::SOURCE);
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime_->SealSetup()));
  ASSERT_TRUE(Ok(graph.Compile()));
  ASSERT_EQ(maker->Transients().size(), 1u);
  EXPECT_EQ(maker->Transients()[0].first, 0u);
  EXPECT_EQ(maker->Transients()[0].last, 3u);
}

TEST_F(PlanTransientsTest, CulledNodesTakeNothing) {
  RenderGraph graph(*runtime_, {.cullDeadNodes = true});
  auto node =
      graph.AddNode<HolderNode>("unread", std::vector<TransientRequirement>(3, {.sizeBytes = 100}), &memory_);
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime_->SealSetup()));
  ASSERT_TRUE(Ok(graph.Compile()));
  EXPECT_TRUE(node->Transients().empty());
  EXPECT_EQ(graph.Plan().Value().transientBytes, 0u);
}

TEST_F(PlanTransientsTest, G4_EveryFaultIsListed) {
  RenderGraph graph(*runtime_);
  const auto add = [&](const char* name, const TransientRequirement& transient) {
    graph.AddNode<HolderNode>(name, std::vector<TransientRequirement>{transient}, &memory_);
  };
  add("alignment", {.debugName = "odd", .sizeBytes = 8, .alignment = 24});
  add("none", {.sizeBytes = 8, .alignment = 0});
  add("class", {.sizeBytes = 8, .memoryClass = kMemoryClassesMax});
  add("slot", {.sizeBytes = 8, .outputSlot = 1});
  add("size", {.sizeBytes = kPackingBytesMax + 1});
  add("sound", {.sizeBytes = 8});
  ASSERT_TRUE(Ok(graph.Setup()));
  auto report = graph.Validate();
  ASSERT_TRUE(Ok(report));
  ASSERT_EQ(report->totalCount, 5u);
  for (const Fault& fault : report->faults) EXPECT_EQ(fault.kind, FaultKind::TransientMismatch) << fault.text;
  EXPECT_NE(std::strstr(report->faults[0].text, "'alignment': transient 'odd' has 8 B aligned to 24"),
            nullptr)
      << report->faults[0].text;
  auto plan = graph.Plan();
  ASSERT_FALSE(plan);
  EXPECT_NE(std::strstr(plan.GetError().Message(), "node 'alignment'"), nullptr) << plan.GetError().Message();
}

}  // namespace
}  // namespace stadial::graph::testing
