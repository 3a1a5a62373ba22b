// G8: execution in waves computes what serial execution computes, on any number of workers.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <thread>
#include <type_traits>

#include "graph_fixture.h"
#include "stadial/runtime/task_runner.h"

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STADIAL_FEWER 5
#else
#define STADIAL_FEWER 1
#endif

namespace stadial::graph::testing {
namespace {

using Wires = std::vector<std::pair<std::uint32_t, std::uint32_t>>;

std::uint32_t TestSeed(std::uint32_t fallback) {
  const char* const text = std::getenv("STADIAL_TEST_SEED");
  const auto seed = text != nullptr ? static_cast<std::uint32_t>(std::strtoul(text, nullptr, 0)) : fallback;
  std::printf("seed %u (STADIAL_TEST_SEED)\n", seed);
  return seed;
}

// A hash of the inputs, of the node's own history and of scratch memory from the lane of its thread. Each
// node may be told to stay on the frame thread.
struct HashConfig : NodeConfig<HashConfig> {
  INPUT_SLOT(SOURCES, std::uint32_t, SlotMode::Array);
  OUTPUT_SLOT(HASH, std::uint32_t);
};
class HashNode final : public TypedNode<HashConfig> {
 public:
  explicit HashNode(bool needsFrameThread) : needsFrameThread_(needsFrameThread) {}
  bool NeedsFrameThread() const override { return needsFrameThread_; }
  void Execute(ExecuteContext& ctx) override {
    if (needsFrameThread_ && runtime::CurrentThreadRole() != runtime::ThreadRole::Frame) ++strays;
    const auto scratch = ctx.Lane().NewArray<std::uint32_t>(16);
    std::uint32_t i = 0;
    for (const std::uint32_t value : ctx.In(SOURCES)) {
      scratch[i % 16] += value * 2654435761u + i;
      ++i;
    }
    for (const std::uint32_t value : scratch) state_ = (state_ ^ value) * 16777619u + 1;
    ctx.Out(HASH, state_ + Handle().index);
    ++executions;
  }
  std::uint32_t strays = 0;
  std::uint32_t executions = 0;

 private:
  bool needsFrameThread_;
  std::uint32_t state_ = 2166136261u;
};

constexpr std::uint32_t kNodesMax = 400;  // a runtime per run costs more than many nodes

struct RandomGraph {
  std::vector<bool> isPinned;
  Wires wires;  // from a lower rank to a higher one; ranks are not the order of addition
};
RandomGraph MakeRandomGraph(std::mt19937& engine) {
  RandomGraph random;
  const std::uint32_t nodes = 1 + static_cast<std::uint32_t>(engine() % kNodesMax);
  std::vector<std::uint32_t> rank(nodes);
  for (std::uint32_t i = 0; i < nodes; ++i) rank[i] = i;
  std::shuffle(rank.begin(), rank.end(), engine);
  const std::uint32_t wires = static_cast<std::uint32_t>(engine() % (nodes * 3));
  for (std::uint32_t i = 0; i < wires; ++i) {
    const auto from = static_cast<std::uint32_t>(engine() % nodes);
    const auto to = static_cast<std::uint32_t>(engine() % nodes);
    if (rank[from] < rank[to]) random.wires.emplace_back(from, to);
  }
  for (std::uint32_t i = 0; i < nodes; ++i) random.isPinned.push_back(engine() % 8 == 0);
  return random;
}

struct RunOptions {
  std::uint32_t workers = 0;
  runtime::TaskRunner* runner = nullptr;
  bool inWaves = true;
  int frames = 4;
};

// Every node's output after every frame.
std::vector<std::uint32_t> RunGraph(const RandomGraph& random, const RunOptions& run) {
  const runtime::RuntimePtr runtime = MakeParallelRuntime(run.workers, run.runner);
  RenderGraph graph(*runtime,
                    {.nodesMax = kNodesMax, .connectionsMax = kNodesMax * 3, .executeInWaves = run.inWaves});
  std::vector<NodeRef<HashNode>> nodes;
  for (std::size_t i = 0; i < random.isPinned.size(); ++i)
    nodes.push_back(graph.AddNode<HashNode>(Numbered("n", i).c_str(), random.isPinned[i]));
  for (const auto& [from, to] : random.wires)
    graph.Connect(nodes[from], HashConfig::HASH, nodes[to], HashConfig::SOURCES);
  EXPECT_TRUE(Ok(graph.Setup()));
  EXPECT_TRUE(Ok(runtime->SealSetup()));
  auto budget = graph.Plan();
  EXPECT_TRUE(Ok(graph.Compile()));
  const CompiledPlan& plan = graph.CurrentPlan();
  EXPECT_EQ(plan.waves.size(), budget->waves);
  EXPECT_EQ(plan.waves.empty(), !run.inWaves || runtime->Runner().WorkerCount() == 1);
  std::vector<std::uint32_t> outputs;
  for (int frame = 0; frame < run.frames; ++frame) {
    EXPECT_TRUE(Ok(graph.Execute()));
    for (const NodeRef<HashNode>& node : nodes) outputs.push_back(node->Slots().Out(HashConfig::HASH));
  }
  for (const NodeRef<HashNode>& node : nodes) {
    EXPECT_EQ(node->executions, static_cast<std::uint32_t>(run.frames));
    EXPECT_EQ(node->strays, 0u);
  }
  EXPECT_EQ(runtime->Audit().Frames().total, static_cast<std::uint64_t>(run.frames));
  return outputs;
}

TEST(Waves, G8_RandomGraphsComputeTheSameOnEveryNumberOfWorkers) {
  std::mt19937 engine(TestSeed(20260311));
  for (int round = 0; round < 10 / STADIAL_FEWER; ++round) {
    const RandomGraph random = MakeRandomGraph(engine);
    const std::vector<std::uint32_t> serial = RunGraph(random, {.inWaves = false});
    for (std::uint32_t workers = 1; workers <= 4; ++workers) {
      ASSERT_EQ(RunGraph(random, {.workers = workers - 1}), serial)
          << "round " << round << ", threads " << workers;
      runtime::SerialTaskRunner runner(workers);
      ASSERT_EQ(RunGraph(random, {.runner = &runner}), serial) << "round " << round << ", serial " << workers;
    }
  }
}

// The comparison must be able to fail: one wire more or less is another result.
TEST(WavesCanary, G8_AnotherGraphComputesSomethingElse) {
  std::mt19937 engine(7);
  RandomGraph random;
  while (random.wires.size() < 5) random = MakeRandomGraph(engine);
  const std::vector<std::uint32_t> whole = RunGraph(random, {.workers = 1});
  random.wires.pop_back();
  EXPECT_NE(RunGraph(random, {.workers = 1}), whole);
}

// A node stands one wave behind the last of its producers, and each stands once.
TEST(Waves, G8_WavesFollowFromTheConnections) {
  std::mt19937 engine(TestSeed(11));
  for (int round = 0; round < 5 / STADIAL_FEWER; ++round) {
    const RandomGraph random = MakeRandomGraph(engine);
    runtime::SerialTaskRunner runner(2);
    const runtime::RuntimePtr runtime = MakeParallelRuntime(0, &runner);
    RenderGraph graph(*runtime,
                      {.nodesMax = kNodesMax, .connectionsMax = kNodesMax * 3, .executeInWaves = true});
    std::vector<NodeRef<HashNode>> nodes;
    for (std::size_t i = 0; i < random.isPinned.size(); ++i)
      nodes.push_back(graph.AddNode<HashNode>(Numbered("n", i).c_str(), random.isPinned[i]));
    for (const auto& [from, to] : random.wires)
      graph.Connect(nodes[from], HashConfig::HASH, nodes[to], HashConfig::SOURCES);
    ASSERT_TRUE(Ok(graph.Setup()));
    ASSERT_TRUE(Ok(runtime->SealSetup()));
    ASSERT_TRUE(Ok(graph.Compile()));
    const CompiledPlan& plan = graph.CurrentPlan();
    std::vector<int> waveOf(nodes.size(), -1);
    std::uint32_t next = 0;
    for (std::uint32_t w = 0; w < plan.waves.size(); ++w) {
      const PlanWave& wave = plan.waves[w];
      ASSERT_EQ(wave.begin, next);
      ASSERT_LT(wave.begin, wave.end);
      next = wave.end;
      for (std::uint32_t i = wave.begin; i < wave.end; ++i) {
        const std::uint32_t node = plan.order[plan.wavePositions[i]].index;
        ASSERT_EQ(waveOf[node], -1);
        waveOf[node] = static_cast<int>(w);
        EXPECT_EQ(random.isPinned[node], i < wave.shared);
      }
    }
    ASSERT_EQ(next, nodes.size());
    std::vector<int> wanted(nodes.size(), 0);
    for (const NodeHandle handle : plan.order) {
      for (const PlanEdge& edge : plan.EdgesInto(handle.index))
        wanted[handle.index] = std::max(wanted[handle.index], wanted[edge.producer] + 1);
    }
    EXPECT_EQ(waveOf, wanted);
  }
}

// Two nodes that wait for each other end only when they run at once, and then on different lanes.
std::atomic<int> meeting{0};
struct MeetConfig : NodeConfig<MeetConfig> {
  OUTPUT_SLOT(LANE, const arenas::Arena*);
};
class MeetNode final : public TypedNode<MeetConfig> {
 public:
  void Execute(ExecuteContext& ctx) override {
    const int round = meeting.fetch_add(1) / 2;
    while (meeting.load() < (round + 1) * 2) std::this_thread::yield();
    ctx.Out(LANE, &ctx.Lane());
    frameIndex = ctx.Frame().frameIndex;
  }
  std::uint64_t frameIndex = 0;
};

TEST(Waves, G8_NodesOfAWaveRunAtOnceEachWithItsWorkersLane) {
  const runtime::RuntimePtr runtime = MakeParallelRuntime(1, nullptr);
  RenderGraph graph(*runtime, {.executeInWaves = true});
  const auto left = graph.AddNode<MeetNode>("left");
  const auto right = graph.AddNode<MeetNode>("right");
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime->SealSetup()));
  ASSERT_TRUE(Ok(graph.Compile()));
  for (std::uint32_t frame = 0; frame < 5; ++frame) {
    ASSERT_TRUE(Ok(graph.Execute()));
    const arenas::LaneSet& lanes = runtime->Frames().Slots()[frame % 2];
    const arenas::Arena* const a = left->Slots().Out(MeetConfig::LANE);
    const arenas::Arena* const b = right->Slots().Out(MeetConfig::LANE);
    EXPECT_TRUE((a == &lanes.Lane(0) && b == &lanes.Lane(1)) || (b == &lanes.Lane(0) && a == &lanes.Lane(1)));
    EXPECT_EQ(left->frameIndex, frame);
    EXPECT_EQ(right->frameIndex, frame);
  }
}

// A node that fails to compile is left out of its wave, and comes back.
class FailingNode final : public TypedNode<SourceConfig> {
 public:
  Result<void> Compile(CompileContext&) override {
    if (isBroken) return Error::Format(ErrorCode::Driver, "broken");
    return {};
  }
  void Execute(ExecuteContext&) override { ++executions; }
  bool isBroken = false;
  int executions = 0;
};

TEST(Waves, G8_AFailedNodeIsSkippedUntilItCompiles) {
  const runtime::RuntimePtr runtime = MakeParallelRuntime(1, nullptr);
  RenderGraph graph(*runtime, {.executeInWaves = true});
  const auto sound = graph.AddNode<FailingNode>("sound");
  const auto broken = graph.AddNode<FailingNode>("broken");
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime->SealSetup()));
  ASSERT_TRUE(Ok(graph.Compile()));
  ASSERT_TRUE(Ok(graph.Execute()));
  broken->isBroken = true;
  graph.MarkDirty(broken);
  ASSERT_FALSE(graph.Execute());
  EXPECT_EQ(broken->executions, 1);
  EXPECT_EQ(sound->executions, 2);
  broken->isBroken = false;
  graph.MarkDirty(broken);
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_EQ(broken->executions, 2);
}

TEST(WavesDeathTest, G8_AFrameWithoutLanesIsRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  runtime::SerialTaskRunner runner(2);
  const runtime::RuntimePtr runtime = MakeParallelRuntime(0, &runner);
  RenderGraph graph(*runtime, {.executeInWaves = true});
  graph.AddNode<FailingNode>("a");
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime->SealSetup()));
  ASSERT_TRUE(Ok(graph.Compile()));
  runtime::FrameContext frame;
  EXPECT_DEATH(graph.Execute(frame), "a lane for each worker");
}

TEST(Sizing, Cb_TheDeferredQueueIsSizedFromTheNodes) {
  const runtime::RuntimePtr runtime = MakeParallelRuntime(0, nullptr);
  EXPECT_EQ(runtime->Deferred().Capacity(), 64u);
  RenderGraph graph(*runtime, {});
  for (std::uint64_t i = 0; i < 50; ++i) graph.AddNode<FailingNode>(Numbered("n", i).c_str());
  ASSERT_TRUE(Ok(graph.Setup()));
  EXPECT_EQ(runtime->Deferred().Capacity(), 50u * 5 * 2) << "nodes x 5 x frames in flight";
  EXPECT_EQ(graph.Plan()->deferredCapacity, 500u);
}

}  // namespace
}  // namespace stadial::graph::testing
