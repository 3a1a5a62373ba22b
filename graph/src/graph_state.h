// The insides of a RenderGraph: tables in Setup memory, one array per property (nodes are visited by the
// thousand, and a pass should read what it needs and nothing else).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "stadial/arenas/effects.h"
#include "stadial/graph/cleanup_stack.h"
#include "stadial/graph/lifetime_packing.h"
#include "stadial/graph/render_graph.h"
#include "stadial/runtime/dependency_order.h"
#include "stadial/runtime/event_bus.h"
#include "stadial/runtime/runtime.h"
#include "sync_scratch.h"

namespace stadial::graph {

inline constexpr std::uint32_t kNone = 0xFFFFFFFFu;

// As the caller gave it, and all that can be known about it when it is made: compiling a graph then touches
// no node or layout for its connections. Ends that name nothing are kept for Validate (node kNone, or a slot
// past the last one).
struct Connection {
  std::uint32_t producer;
  std::uint32_t consumer;
  std::uint32_t outputSlot;
  std::uint32_t inputSlot;
  const void* value = nullptr;  // where the output lies
  std::uint32_t graphInput =
      kNone;  // the input slot, counted over the whole graph; kNone: left out of analyses
  std::uint32_t graphOutput = kNone;
  bool hasFault = false;
  bool isArray = false;   // into an Array input
  bool cascades = false;  // into an input with the Compile role
};

// A connection among those into its consumer.
struct SortedEdge {
  const void* value;
  std::uint32_t producer;
  std::uint32_t graphOutput;
  std::uint16_t outputSlot;
  std::uint16_t inputSlot;
  bool isArray;
  bool cascades;
};

// Connections that stand in analyses: both ends exist, not a self edge.
struct ConnectionCounts {
  std::uint32_t valid = 0;
  std::uint32_t arrayValues = 0;
  std::uint32_t cascades = 0;
  std::uint32_t faulty = 0;
  bool areInOrder = true;  // every producer was added before its consumer
};

struct DuplicateName {
  std::uint32_t first;
  std::uint32_t second;
};

struct NameEntry {
  std::uint32_t hash;
  std::uint32_t node;  // kNone: free
};

// What AddNode and Connect had to refuse, for Validate to report.
struct Refusals {
  std::uint32_t nodesOverTable = 0;
  std::uint32_t nodesAfterSetup = 0;
  std::uint32_t nodesOverMemory = 0;
  std::size_t memoryBytes = 0;  // asked for by the nodes of the line above
  std::uint32_t connectionsOverTable = 0;
  std::uint32_t connectionsAfterSetup = 0;
  char firstNode[64] = {};
};

// Working tables of analyses, sized in Setup for the graph as it stands. Contents live for one analysis only.
struct Scratch {
  std::span<SortedEdge> edges;          // valid connections by input slot, in order of connection
  std::span<std::uint32_t> inputBegin;  // by graph input, one more: its part of `edges`
  std::span<std::uint32_t> edgeBegin;   // by node, one more: its part of `edges`
  std::span<std::uint32_t> order;       // nodes, producers first; members of a cycle stand together
  std::span<std::uint32_t> position;    // by node: place among the live nodes, kNone when culled
  std::span<std::uint32_t> wave;        // by node, live ones; only for graphs that execute in waves
  std::span<std::uint32_t> callNode;    // depth-first search
  std::span<std::uint32_t> callCursor;
  std::span<std::uint8_t> marks;
  std::span<std::uint32_t> visitIndex;  // only for graphs with cycles
  std::span<std::uint32_t> component;
  std::span<std::uint32_t> componentStack;
  // Transients of the live nodes; nothing in a graph without any.
  std::span<std::uint32_t> transientNodes;    // the nodes that have some
  std::span<LifetimeItem> transients;         // by memory class, in order of the nodes
  std::span<std::uint64_t> transientOffsets;  // alike
  std::span<std::uint32_t> outputLast;        // by graph output: when it is last read
  std::span<std::byte> packing;               // of PackLifetimes
};

// The sorted edges, as dependency_order.h asks for them: a node depends on its producers.
struct IncomingEdges {
  const Scratch& scratch;

  std::uint32_t EdgeBegin(std::uint32_t node) const noexcept { return scratch.edgeBegin[node]; }
  std::uint32_t EdgeEnd(std::uint32_t node) const noexcept { return scratch.edgeBegin[node + 1]; }
  std::uint32_t DependencyOf(std::uint32_t edge) const noexcept { return scratch.edges[edge].producer; }
};

// Where the transients of a class stand in the tables, and what they share.
struct TransientAnalysis {
  std::uint32_t count = 0;    // of live nodes
  std::uint32_t classes = 0;  // that have any
  std::array<PlanMemoryClass, kMemoryClassesMax> byClass{};
  std::uint64_t totalBytes = 0;
  std::uint64_t boundBytes = 0;
  std::uint64_t unaliasedBytes = 0;
};

// What an analysis found out.
struct Analysis {
  std::uint32_t liveNodes = 0;
  std::uint32_t liveEdges = 0;
  std::uint32_t arrayValues = 0;  // live connections into Array inputs
  std::uint32_t cascades = 0;     // live connections into inputs with the Compile role
  std::uint32_t waves = 0;        // 0: execution is serial
  std::uint32_t accessConflicts = 0;
  std::uint32_t accessesMissing = 0;  // more accesses or nodes than Setup has seen: as many, and no barriers
  bool isAcyclic = false;
  SyncPlan sync;  // in the tables of GraphState::sync
  TransientAnalysis transients;
};

// One pass over what the nodes say of themselves.
struct NodeSurvey {
  ResourceEstimate sum;
  std::size_t declaredEvents = 0;
  std::uint32_t undeclaredNodes = 0;
  std::uint64_t replayPeriod = 1;  // 0: a node gave 0; capped far above any limit
};

// A transient that can be packed, of a node with that layout.
bool IsSound(const TransientRequirement& transient, const SlotLayout& layout) noexcept;

struct ExecuteEntry {
  void (*function)(NodeInstance& node, graph::ExecuteContext& ctx) STADIAL_NONALLOCATING;
  NodeInstance* node;
};

struct GraphState {
  GraphState(RenderGraph& owner, runtime::Runtime& runtime, const GraphOptions& graphOptions);

  // setup.cpp
  Result<void> SurveyTimelines();
  Result<void> SetUpNewNodes();
  Result<void> SizeQueues(const NodeSurvey& survey);
  Result<void> CarveScratch();
  Result<void> CarveSync();
  // analysis.cpp
  void SortConnections() const;
  bool OrderAcyclic() const;
  void OrderComponents() const;
  bool OrderNodes() const;  // false: there is a cycle
  void FindLiveNodes(Analysis& analysis) const;
  void FindWaves(Analysis& analysis) const;
  Analysis Analyze() const;
  std::span<const SortedEdge> EdgesInto(std::uint32_t node) const {
    return std::span<const SortedEdge>(scratch.edges)
        .subspan(scratch.edgeBegin[node], scratch.edgeBegin[node + 1] - scratch.edgeBegin[node]);
  }
  // After SortConnections: the output, counted over the whole graph, that `output` of the node is the same
  // resource as; kNone when it is its own, also where the input it is passed on from is not connected.
  std::uint32_t InplaceSource(std::uint32_t node, const SlotDescription& output) const {
    if (output.inplaceInput == kNotInplace) return kNone;
    const std::uint32_t input = inputBase[node] + static_cast<std::uint32_t>(output.inplaceInput);
    if (scratch.inputBegin[input] == scratch.inputBegin[input + 1]) return kNone;
    return scratch.edges[scratch.inputBegin[input]].graphOutput;
  }
  // plan_accesses.cpp, plan_accesses.h
  SyncCapacity CountSync();
  void DeriveSync(Analysis& analysis) const;
  void AssignSyncQueues(std::span<const ResourceAccess> accesses, std::uint32_t liveNodes) const;
  template <class Conflict>
  void ResolveInplace(Conflict&& conflict) const;
  template <class Visit>
  void ForEachAccess(Visit&& visit) const;
  template <class Conflict>
  std::uint32_t CollectAccesses(Conflict&& conflict) const;
  // plan_transients.cpp
  Result<void> CarveTransients();
  Result<void> PackTransients(Analysis& analysis) const;
  void FillTransients(CompiledPlan& built, arenas::Arena& memory, const Analysis& analysis) const;
  // validate.cpp
  ValidationReport Validate(const Analysis& analysis) const;
  // plan_builder.cpp
  CompiledPlan* BuildPlan(arenas::Arena& memory, const Analysis& analysis) const;
  void FillCascades(std::span<std::uint32_t> begin, std::span<std::uint32_t> targets) const;
  void FillWaves(std::span<PlanWave> waves, std::span<std::uint32_t> positions) const;
  void InstallPlan(const CompiledPlan& newPlan);
  // plan_budget.cpp
  NodeSurvey SurveyNodes() const;  // node_survey.h
  template <class Visit>
  NodeSurvey SurveyNodes(Visit&& visit) const;
  PlanBudget CalculateBudget(const Analysis& analysis, const NodeSurvey& survey) const;
  std::uint32_t UsableReplayPeriod(const NodeSurvey& survey) const {
    return survey.replayPeriod == 0 || survey.replayPeriod > options.replayPeriodMax
               ? 1
               : static_cast<std::uint32_t>(survey.replayPeriod);
  }
  std::size_t EventsNeeded(const NodeSurvey& survey) const;
  std::size_t DeferredNeeded() const;
  // execute.cpp
  void ExecuteInWaves(runtime::FrameContext& frame) noexcept STADIAL_NONALLOCATING;
  bool HasWaves() const { return options.executeInWaves && runtime.Runner().WorkerCount() > 1; }
  // recompile.cpp
  Result<void> CompileAllNodes();
  Result<void> CompileNodeAt(std::uint32_t node, bool isRecompile);
  void OnNodeDirty(const runtime::Event& event) STADIAL_NONALLOCATING;
  void AddToPass(std::uint32_t node);
  void CascadeFrom(std::uint32_t node);
  bool MarkDirty(std::uint32_t node);
  // cleanup.cpp
  void Teardown();

  Result<void> RequireSetUp(const char* operation) const;
  bool IsCurrent(NodeHandle handle) const {
    return handle.index < nodeCount && instances[handle.index]->Handle() == handle;
  }
  const char* NameOf(std::uint32_t node) const { return instances[node]->Name(); }
  // The node of that name, or kNone, with the place where it is or belongs.
  std::uint32_t FindName(const char* name, std::uint32_t hash, std::size_t& place) const;

  RenderGraph& graph;
  runtime::Runtime& runtime;
  arenas::Arena& setupMemory;
  GraphOptions options;
  ResourceTable resources;
  std::size_t setupBytesUsed = 0;

  // By node.
  std::uint32_t nodeCount = 0;
  std::span<NodeInstance*> instances;
  std::span<ExecuteEntry> callbacks;  // as registered
  std::span<SlotLayout> layouts;
  std::span<std::byte*> outputBlocks;  // slot values
  std::span<std::uint32_t> inputBase;  // prefix sums, one more than nodes
  std::span<std::uint32_t> outputBase;
  std::span<TimelineNode*> timelines;  // of the nodes that have one, in order
  std::uint32_t timelineCount = 0;
  std::span<NodeState> nodeStates;
  std::span<std::uint8_t> failures;  // in a row

  std::span<NameEntry> names;           // open addressing, at most half full
  std::span<DuplicateName> duplicates;  // the first faultsMax of them
  std::uint32_t duplicateCount = 0;

  std::uint32_t connectionCount = 0;
  std::span<Connection> connections;
  ConnectionCounts connected;
  Refusals refusals;

  // Setup.
  std::uint32_t setUpCount = 0;     // nodes whose Setup has run
  bool isSetUpCurrent = false;      // nothing was added since the last Setup
  std::uint32_t historyFrames = 0;  // of every timeline, after the survey
  std::size_t historyBytes = 0;
  std::uint32_t replayPeriod = 1;
  Scratch scratch;
  mutable SyncScratch sync;
  runtime::Subscription dirtySubscription;
  arenas::Arena compileScratch;
  CleanupStack cleanups;

  // Faults of the last validation.
  mutable std::span<Fault> faults;

  // The plan in use, and what executes: a copy of the plan's order with the functions to call, in Setup
  // memory because a failed node's function is replaced.
  const CompiledPlan* plan = nullptr;
  std::uint64_t planGeneration = 0;
  std::span<ExecuteEntry> entries;
  std::uint32_t entryCount = 0;
  std::span<runtime::FrameContext> workerFrames;  // by worker; only for execution in waves

  // Invalidation. Pending: marked, waiting for the next pass. Pass: bits by position, of the pass that runs.
  std::span<std::uint8_t> isPending;
  std::span<std::uint32_t> pending;
  std::uint32_t pendingCount = 0;
  std::span<std::uint64_t> passBits;
  std::uint32_t passFirst = 0;  // the words of passBits in use: from this one
  std::uint32_t passLast = 0;   // to this one
  bool isInPass = false;
  std::uint32_t eventsReceived = 0;
  std::uint32_t eventsIgnored = 0;
  RecompileStats stats;

  bool isExecuting = false;
  bool isCleanedUp = false;
};

}  // namespace stadial::graph
