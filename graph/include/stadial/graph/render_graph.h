// RenderGraph: nodes, their connections, and the plan made of them. It runs without a GPU.
//
//   graph::RenderGraph graph(*runtime, {.nodesMax = 64});
//   auto wave = graph.AddNode<WaveNode>("wave");
//   auto scale = graph.AddNode<ScaleNode>("scale", 2.0f);
//   graph.Connect(wave, WaveConfig::VALUE, scale, ScaleConfig::SOURCE);
//   graph.Setup();                 // survey, sizing, every node's Setup
//   runtime->SealSetup();
//   graph.Compile();               // validate, order, lifetimes, every node's Compile
//   per frame: graph.ProcessEvents(); graph.RecompileDirtyNodes(); graph.Execute(*frame);
//
// Memory: all of it from the runtime's Setup arena (tables sized by GraphOptions, nodes, slot values,
// histories) except the plan, which lives in Compile memory. Compile, ProcessEvents, RecompileDirtyNodes,
// Execute and Cleanup make no heap allocation. Exhaustion: AddNode and Connect never abort; what did not fit
// is a fault that Validate lists with the numbers. One graph per Runtime (they would share the plan's two
// halves). Threads: the frame thread; with executeInWaves nodes execute on the workers. The runtime must
// outlive the graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "stadial/arenas/effects.h"
#include "stadial/arenas/result.h"
#include "stadial/graph/compiled_plan.h"
#include "stadial/graph/node.h"
#include "stadial/graph/plan_budget.h"
#include "stadial/graph/resources.h"
#include "stadial/graph/slot.h"
#include "stadial/graph/timeline.h"
#include "stadial/graph/validation.h"
#include "stadial/runtime/deferred_queue.h"
#include "stadial/runtime/event_bus.h"

namespace stadial::graph {

struct GraphOptions {
  const char* name = "graph";
  std::uint32_t nodesMax = 256;
  std::uint32_t connectionsMax = 0;  // 0: nodesMax * 4
  std::uint32_t resourcesMax = 0;    // 0: nodesMax * 2
  std::uint32_t faultsMax = 64;      // kept by Validate; about 300 B each
  runtime::EventSizing events = {};  // E-e: max(nodes * eventsPerNode, eventsMin) * headroom
  // C-b: max(nodes * recordsPerNode * frames in flight, recordsMin) of Runtime::Deferred
  runtime::DeferredSizing deferred = {};
  arenas::AllocationMode eventMode = arenas::AllocationMode::Fallback;
  std::uint32_t historyFramesMin = 4;      // H-a: the floor of the survey
  std::uint32_t replayPeriodMax = 64;      // recorded versions of a frame; more is a fault
  std::uint32_t recompileFailuresMax = 3;  // failures in a row after which a node is not tried again
  std::size_t compileScratchBytes = std::size_t{64} << 10;  // CompileContext::Scratch
  // G8: Execute runs nodes that do not depend on each other at once, on Runtime::Runner, each with the lane
  // of its worker; what they compute is the same. Nothing changes while the runner has one worker. For nodes
  // whose Execute touches only its slots, its own members and its lane (see NodeInstance::NeedsFrameThread).
  bool executeInWaves = false;
  DeviceQueues queues = {};    // that the plan's barriers and semaphores are for
  bool cullDeadNodes = false;  // leave out nodes whose outputs reach no node with side effects
};

// One batched recompile (G5, G9).
struct RecompileStats {
  std::uint64_t passes = 0;           // since the start: passes that had something to do
  std::uint32_t eventsReceived = 0;   // NodeDirty events since the pass before
  std::uint32_t eventsIgnored = 0;    // of these: unknown node, culled node, or one that is not tried again
  std::uint32_t nodesRecompiled = 0;  // in the last pass, cascades included
  std::uint32_t nodesFailed = 0;      // of these
  std::uint64_t elapsedNs = 0;        // of the last pass, node code included
};

enum class NodeState : std::uint8_t {
  Ready,
  Failed,       // its last Compile failed: not executed, tried again when next dirty
  Quarantined,  // failed recompileFailuresMax times in a row: not tried until ReadmitNode or a graph compile
};

class RenderGraph;
struct GraphState;  // the tables behind a RenderGraph
using RenderGraphPtr = std::unique_ptr<RenderGraph, void (*)(RenderGraph*)>;

class RenderGraph {
 public:
  // Setup memory that a graph with these options takes before its first node. Nodes, slot values and names
  // come on top, as they are added.
  static std::size_t SetupBytesFor(const GraphOptions& options) noexcept;
  // The graph itself in Setup memory. CapacityExceeded when the arena is too small, WrongPhase after
  // SealSetup.
  static Result<RenderGraphPtr> Create(runtime::Runtime& runtime, const GraphOptions& options = {}) noexcept;
  // The same, asserting.
  explicit RenderGraph(runtime::Runtime& runtime, const GraphOptions& options = {});
  RenderGraph(const RenderGraph&) = delete;
  RenderGraph& operator=(const RenderGraph&) = delete;
  ~RenderGraph();  // Cleanup, then the nodes' destructors in the same order

  // Constructs a node in Setup memory. Null, and a fault for Validate, when a capacity is used up or the
  // Setup phase is over. The name is copied and must be unique.
  template <class NodeT, class... Args>
  NodeRef<NodeT> AddNode(const char* name, Args&&... args);

  // Connects an output to an input of the same type; anything else does not compile. O(1).
  template <class A, class Out, class B, class In>
  void Connect(const NodeRef<A>& from, Out output, const NodeRef<B>& to, In input) noexcept;
  // The same by slot index, for graphs that come from data; every fault waits for Validate.
  void ConnectUntyped(NodeHandle from, std::uint32_t output, NodeHandle to, std::uint32_t input) noexcept;

  // Surveys requirements, sizes event bus and histories, calls every new node's Setup. May be called again
  // after adding nodes, until SealSetup. Errors: WrongPhase; a node's own, with its name in front;
  // CapacityExceeded.
  Result<void> Setup() noexcept;
  // X3: what Compile will take, without doing it. WrongPhase before Setup. O(nodes + connections).
  Result<PlanBudget> Plan() const noexcept;
  // X2: the sum of the nodes' estimates.
  ResourceEstimate GetResourceEstimate() const noexcept;
  // G4: all faults at once. WrongPhase before Setup. O(nodes + connections).
  Result<ValidationReport> Validate() const noexcept;
  // Validates, builds the plan in Compile memory, seals it, and compiles every node in order. On Invalid or
  // any other error before the nodes, the plan in use stays. A node that fails is isolated (see NodeState),
  // the others run, and the error (Invalid) names it. Not in Setup or Shutdown (WrongPhase). O(nodes +
  // connections).
  Result<void> Compile() noexcept;

  // Delivers queued events; NodeDirty events (data: the node's index) mark their nodes. Returns events
  // delivered.
  std::size_t ProcessEvents() noexcept STADIAL_NONALLOCATING;
  // Marks without an event. Stale handles are ignored.
  void MarkDirty(NodeHandle node) noexcept STADIAL_NONALLOCATING;
  bool HasDirtyNodes() const noexcept STADIAL_NONALLOCATING;
  // One pass over the dirty nodes in order, each at most once, followed by those that read a recompiled
  // node's output in Compile. Nodes that become dirty meanwhile wait for the next pass. Nothing dirty: one
  // compare. Error (Invalid): nodes failed; the first one's error with its name. The others are compiled all
  // the same.
  Result<void> RecompileDirtyNodes() noexcept STADIAL_NONALLOCATING;
  const RecompileStats& LastRecompile() const noexcept STADIAL_NONALLOCATING;
  NodeState StateOf(NodeHandle node) const noexcept STADIAL_NONALLOCATING;
  // Lets a failed or quarantined node be tried again: it is dirty from now on.
  void ReadmitNode(NodeHandle node) noexcept;

  // Frame start: rotates every history. Execute does it too; call it where history is asked for earlier.
  void BeginFrame(runtime::FrameContext& frame) noexcept STADIAL_NONALLOCATING;
  // Every node in order, or wave by wave. Node time goes to frame.excludedNs (all of the loop but
  // kDispatchNsPerNode per node and kDispatchNsPerWave per wave). In waves the frame must have a lane for
  // each worker (asserted).
  void Execute(runtime::FrameContext& frame) noexcept STADIAL_NONALLOCATING;
  // A whole frame without a GPU: FrameLoop::Begin, ProcessEvents, RecompileDirtyNodes, Execute,
  // FrameLoop::End. Errors of Begin and of RecompileDirtyNodes; after the latter the frame has run all the
  // same.
  Result<void> Execute() noexcept STADIAL_NONALLOCATING;
  // Counted as the runtime's own time per executed node, measured or not: the dispatch loop's bound.
  static constexpr std::uint64_t kDispatchNsPerNode = 5;
  static constexpr std::uint64_t kDispatchNsPerWave = 2000;  // the barrier's bound

  // Every set-up node's Cleanup, once, dependents before what they depend on. Nothing runs afterwards.
  void Cleanup() noexcept;
  // The dry run: `node` and all that depend on it, directly or not, in the order Cleanup would take. Returns
  // their number, which may exceed scope.size(); only as many are written.
  std::uint32_t GetCleanupScope(NodeHandle node, std::span<NodeHandle> scope) const noexcept;

  // The plan in use. Asserts before the first successful Compile.
  const CompiledPlan& CurrentPlan() const noexcept STADIAL_NONALLOCATING;
  bool HasPlan() const noexcept STADIAL_NONALLOCATING;
  // The frames after which the recorded work of all nodes repeats: the lcm of ReplayPeriod() and history
  // depths.
  std::uint32_t ReplayPeriod() const noexcept STADIAL_NONALLOCATING;
  // The plan as Graphviz text: nodes with position, queue and number of barriers, edges with slots and
  // lifetimes, culled nodes dashed. Before Compile: the graph without positions. Not inside a frame: stdio
  // may allocate.
  void WriteDot(std::FILE* out) const;
  // Graph and plan as JSON, for viewers; a line per item. Lists: nodes (index, name, state, position or null
  // with cull_reason, queue, barriers), connections (from, output, to, input, type), and with a plan waves
  // (of positions), lifetimes (node, output, first, last), barriers and releases (position, reason,
  // resource_*, source_position, frame_before, source and target as text, layouts, queues), waits and signals
  // (position, queue, value). Before them: schema, graph, has_plan, generation, queue_count. Not inside a
  // frame.
  void WriteJson(std::FILE* out) const;
  // Why the plan has barrier number `index` before `position`: what waits for what, which resource, which
  // accesses. Writes at most text.size() bytes with the final 0; returns the text's length.
  std::size_t ExplainBarrier(std::uint32_t position, std::uint32_t index,
                             std::span<char> text) const noexcept;

  ResourceTable& Resources() noexcept STADIAL_NONALLOCATING;
  const ResourceTable& Resources() const noexcept STADIAL_NONALLOCATING;
  runtime::EventBus& Events() const noexcept STADIAL_NONALLOCATING;
  runtime::Runtime& GetRuntime() const noexcept STADIAL_NONALLOCATING;
  arenas::Arena& SetupMemory() const noexcept;
  const GraphOptions& Options() const noexcept
      STADIAL_NONALLOCATING;  // zeros replaced by what they stand for
  std::uint32_t NodeCount() const noexcept;
  std::uint32_t ConnectionCount() const noexcept;
  // Null for a stale handle.
  NodeInstance* NodeAt(NodeHandle node) const noexcept STADIAL_NONALLOCATING;
  NodeHandle HandleAt(std::uint32_t index) const noexcept STADIAL_NONALLOCATING;
  // O(1); null handle when there is none. Of several of one name, the first.
  NodeHandle FindNode(const char* name) const noexcept STADIAL_NONALLOCATING;
  // History depth given to every timeline node, in frames, the current one included; 1 without any.
  std::uint32_t HistoryDepth() const noexcept STADIAL_NONALLOCATING;

 private:
  using ExecuteFunction = void (*)(NodeInstance& node, graph::ExecuteContext& ctx) STADIAL_NONALLOCATING;

  // A direct call of NodeT's own Execute: AddNode knows the node's dynamic type.
  template <class NodeT>
  static void ExecuteThunk(NodeInstance& node, graph::ExecuteContext& ctx) STADIAL_NONALLOCATING;
  void* AllocateNode(const char* name, std::size_t sizeBytes, std::size_t alignment) noexcept;
  NodeHandle RegisterNode(NodeInstance& node, const char* name, ExecuteFunction execute,
                          TimelineNode* timeline) noexcept;

  GraphState* state_;
};

template <class NodeT>
void RenderGraph::ExecuteThunk(NodeInstance& node, graph::ExecuteContext& ctx) STADIAL_NONALLOCATING {
  NodeT& self = static_cast<NodeT&>(node);
  if constexpr (requires(typename NodeT::ExecuteContext typed) { self.NodeT::Execute(typed); }) {
    typename NodeT::ExecuteContext typed(ctx, self.GetSlotPointers());
    self.NodeT::Execute(typed);
  } else {
    node.ExecuteNode(ctx);
  }
}

template <class NodeT, class... Args>
NodeRef<NodeT> RenderGraph::AddNode(const char* name, Args&&... args) {
  static_assert(std::is_base_of_v<NodeInstance, NodeT>, "a node derives from graph::TypedNode<Config>");
  void* memory = AllocateNode(name, sizeof(NodeT), alignof(NodeT));
  if (memory == nullptr) return {};
  NodeT* node = ::new (memory) NodeT(std::forward<Args>(args)...);
  TimelineNode* timeline = nullptr;
  if constexpr (std::is_base_of_v<TimelineNode, NodeT>) timeline = node;
  const NodeHandle handle = RegisterNode(*node, name, &ExecuteThunk<NodeT>, timeline);
  if (handle.IsNull()) {
    node->~NodeT();
    return {};
  }
  return NodeRef<NodeT>(node, handle);
}

template <class A, class Out, class B, class In>
void RenderGraph::Connect(const NodeRef<A>& from, Out, const NodeRef<B>& to, In) noexcept {
  static_assert(OutputSlot<Out>, "Connect(from, OUTPUT, to, INPUT): the first slot must be an OUTPUT_SLOT");
  static_assert(InputSlot<In>, "Connect(from, OUTPUT, to, INPUT): the second slot must be an INPUT_SLOT");
  static_assert(std::is_same_v<typename Out::Config, typename A::SlotConfig>,
                "this output slot belongs to another node's config than the first node's");
  static_assert(std::is_same_v<typename In::Config, typename B::SlotConfig>,
                "this input slot belongs to another node's config than the second node's");
  static_assert(std::is_same_v<typename Out::Value, typename In::Value>,
                "these two slots carry different types");
  ConnectUntyped(from.Handle(), Out::kIndex, to.Handle(), In::kIndex);
}

}  // namespace stadial::graph
