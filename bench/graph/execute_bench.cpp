// A frame's share of the graph: dispatch, typed access, events, recompiles, and the frame in which nothing
// changes.
#include <benchmark/benchmark.h>

#include "../runtime/task_workload.h"
#include "bench_graph.h"

namespace stadial::graph::bench {
namespace {

struct EmptyConfig : NodeConfig<EmptyConfig> {};
class EmptyNode final : public TypedNode<EmptyConfig> {
 public:
  void Execute(ExecuteContext&) override { benchmark::ClobberMemory(); }
};

void BM_ExecuteEmptyNodes(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  const BenchGraph<EmptyNode> bench(count, 0, [](RenderGraph&, auto&) {});
  runtime::FrameContext frame;
  for (auto _ : state) bench.graph->Execute(frame);
  state.counters["checksum"] = static_cast<double>(bench.graph->CurrentPlan().order.size());
  state.counters["ns_per_node"] = PerItem(count);
}
BENCHMARK(BM_ExecuteEmptyNodes)->Arg(10)->Arg(1000)->Arg(10000)->Arg(100000);

// The least that an engine without a graph would do: a virtual call per node through a vector of pointers.
struct Pass {
  virtual ~Pass() = default;
  virtual void Execute() = 0;
};
// Two kinds, so that the compiler cannot guess the only one there is.
struct EmptyPass final : Pass {
  void Execute() override { benchmark::ClobberMemory(); }
};
struct OtherPass final : Pass {
  void Execute() override {
    benchmark::ClobberMemory();
    ++calls;
  }
  std::uint64_t calls = 0;
};
void BM_VirtualCallLoop(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  std::vector<std::unique_ptr<Pass>> passes;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (state.range(0) == INT64_MAX) passes.push_back(std::make_unique<OtherPass>());
    passes.push_back(std::make_unique<EmptyPass>());
  }
  for (auto _ : state) {
    for (const auto& pass : passes) pass->Execute();
  }
  state.counters["checksum"] = static_cast<double>(passes.size());
  state.counters["ns_per_node"] = PerItem(count);
}
BENCHMARK(BM_VirtualCallLoop)->Arg(10)->Arg(1000)->Arg(10000)->Arg(100000);

// Four waves of sixteen nodes that compute for about 10 us each; a node reads two of the wave before.
struct WorkConfig : NodeConfig<WorkConfig> {
  INPUT_SLOT(SOURCES, std::uint64_t, SlotMode::Array);
  OUTPUT_SLOT(RESULT, std::uint64_t);
};
class WorkNode final : public TypedNode<WorkConfig> {
 public:
  static constexpr std::uint32_t kSteps = 10'000;
  void Execute(ExecuteContext& ctx) override {
    std::uint64_t value = Handle().index;
    for (const std::uint64_t source : ctx.In(SOURCES)) value += source;
    ctx.Out(RESULT, TaskBody(value, kSteps));
  }
};
void BM_ExecuteWork(benchmark::State& state) {
  constexpr std::uint32_t kWaves = 4;
  constexpr std::uint32_t kWidth = 16;
  constexpr std::uint32_t kNodes = kWaves * kWidth;
  const BenchGraph<WorkNode> bench(
      kNodes, 2 * kNodes,
      [](RenderGraph& graph, auto& nodes) {
        for (std::uint32_t i = kWidth; i < kNodes; ++i) {
          const std::uint32_t before = i / kWidth * kWidth - kWidth;
          graph.Connect(nodes[before + i % kWidth], WorkConfig::RESULT, nodes[i], WorkConfig::SOURCES);
          graph.Connect(nodes[before + (i + 1) % kWidth], WorkConfig::RESULT, nodes[i], WorkConfig::SOURCES);
        }
      },
      static_cast<std::uint32_t>(state.range(0)) - 1);
  runtime::FrameContext frame;
  frame.lanes = &bench.runtime->Frames().Slots()[0];
  frame.lane = &frame.lanes->Lane(0);
  for (auto _ : state) bench.graph->Execute(frame);
  std::uint64_t sum = 0;
  for (const auto& node : bench.nodes) sum += node->Slots().Out(WorkConfig::RESULT);
  state.counters["checksum"] = static_cast<double>(sum % 1'000'003);
  state.counters["us_per_node"] = benchmark::Counter(
      kNodes * 1e-6, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_ExecuteWork)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime();

// Typed access against pointers wired by hand: a chain, each node adds one to what the node before has made.
struct ChainConfig : NodeConfig<ChainConfig> {
  INPUT_SLOT(SOURCE, std::uint32_t, SlotMode::Optional);
  INPUT_SLOT(NEXT, std::uint32_t, SlotMode::Optional);
  OUTPUT_SLOT(RESULT, std::uint32_t);
};
class ChainNode final : public TypedNode<ChainConfig> {
 public:
  void Execute(ExecuteContext& ctx) override {
    const std::uint32_t* source = ctx.In(SOURCE);
    ctx.Out(RESULT, source == nullptr ? 1u : *source + 1u);
  }
};
void BM_ExecuteTypedChain(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  const BenchGraph<ChainNode> bench(count, count, [count](RenderGraph& graph, auto& nodes) {
    for (std::uint32_t i = 1; i < count; ++i)
      graph.Connect(nodes[i - 1], ChainConfig::RESULT, nodes[i], ChainConfig::SOURCE);
  });
  runtime::FrameContext frame;
  for (auto _ : state) bench.graph->Execute(frame);
  state.counters["checksum"] = bench.nodes.back()->Slots().Out(ChainConfig::RESULT);
  state.counters["ns_per_node"] = PerItem(count);
}
BENCHMARK(BM_ExecuteTypedChain)->Arg(1000);

struct HandPass {
  virtual ~HandPass() = default;
  virtual void Execute() = 0;
};
struct OtherHandPass final : HandPass {
  void Execute() override { ++calls; }
  std::uint64_t calls = 0;
};
struct HandChainPass final : HandPass {
  void Execute() override { result = source == nullptr ? 1u : *source + 1u; }
  const std::uint32_t* source = nullptr;
  std::uint32_t result = 0;
};
void BM_HandWiredChain(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  std::vector<std::unique_ptr<HandPass>> passes;
  const std::uint32_t* source = nullptr;
  for (std::uint32_t i = 0; i < count; ++i) {
    auto pass = std::make_unique<HandChainPass>();
    pass->source = source;
    source = &pass->result;
    passes.push_back(std::move(pass));
    if (state.range(0) == INT64_MAX) passes.push_back(std::make_unique<OtherHandPass>());
  }
  for (auto _ : state) {
    for (const auto& pass : passes) pass->Execute();
    benchmark::ClobberMemory();
  }
  state.counters["checksum"] = *source;
  state.counters["ns_per_node"] = PerItem(count);
}
BENCHMARK(BM_HandWiredChain)->Arg(1000);

// What a frame pays for being able to recompile, when nothing has changed.
void BM_UnchangedFrame(benchmark::State& state) {
  const auto bench = MakePassGraph(1000);
  std::uint64_t delivered = 0;
  for (auto _ : state) {
    delivered += bench.graph->ProcessEvents();
    Must(bench.graph->RecompileDirtyNodes());
  }
  state.counters["checksum"] = static_cast<double>(delivered);
}
BENCHMARK(BM_UnchangedFrame);

// An event storm: 6,000 NodeDirty events for 1,000 nodes, one pass.
void BM_SixThousandEvents(benchmark::State& state) {
  const auto bench = MakePassGraph(1000);
  constexpr std::uint32_t kEvents = 6000;
  std::uint64_t recompiled = 0;
  for (auto _ : state) {
    for (std::uint32_t i = 0; i < kEvents; ++i) {
      if (!bench.graph->Events().Emit(
              {.type = runtime::EventType::NodeDirty, .data = static_cast<std::int64_t>(i % 1000)}))
        std::abort();
    }
    bench.graph->ProcessEvents();
    Must(bench.graph->RecompileDirtyNodes());
    recompiled += bench.graph->LastRecompile().nodesRecompiled;
  }
  state.counters["checksum"] = static_cast<double>(recompiled % 1000);
  state.counters["ns_per_event"] = PerItem(kEvents);
}
BENCHMARK(BM_SixThousandEvents)->Unit(benchmark::kMicrosecond);

// One node of many: the pass costs what it recompiles, not what there is.
void BM_RecompileOne(benchmark::State& state) {
  const auto bench = MakePassGraph(static_cast<std::uint32_t>(state.range(0)));
  const NodeHandle node = bench.nodes[bench.nodes.size() / 2];
  std::uint64_t recompiled = 0;
  for (auto _ : state) {
    bench.graph->MarkDirty(node);
    Must(bench.graph->RecompileDirtyNodes());
    recompiled += bench.graph->LastRecompile().nodesRecompiled;
  }
  state.counters["checksum"] = static_cast<double>(recompiled) / static_cast<double>(state.iterations());
}
BENCHMARK(BM_RecompileOne)->Arg(1000)->Arg(10000)->Arg(100000);

}  // namespace
}  // namespace stadial::graph::bench

BENCHMARK_MAIN();
