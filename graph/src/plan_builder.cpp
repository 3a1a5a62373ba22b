// Builds the plan in Compile memory. PlanBytes and BuildPlan name the same arrays in the same order: the
// budget of the dry run is exact.
#include "graph_state.h"
#include "plan_bytes.h"

namespace stadial::graph {

std::size_t PlanBytes(std::size_t nodes, std::size_t inputs, std::size_t outputs,
                      const Analysis& analysis) noexcept {
  return ArenaBytes(sizeof(CompiledPlan)) + ArenaBytes<NodeHandle>(analysis.liveNodes) +  // order
         ArenaBytes<std::uint32_t>(nodes) +                                               // positionOf
         ArenaBytes<std::uint32_t>(nodes + 1) + ArenaBytes<PlanEdge>(analysis.liveEdges) +
         ArenaBytes<std::uint32_t>(nodes + 1) + ArenaBytes<OutputLifetime>(outputs) +
         ArenaBytes<InputBinding>(inputs) + ArenaBytes<const void*>(analysis.arrayValues) +
         ArenaBytes<std::uint32_t>(nodes + 1) + ArenaBytes<std::uint32_t>(analysis.cascades) +
         ArenaBytes<PlanWave>(analysis.waves) +
         ArenaBytes<std::uint32_t>(analysis.waves == 0 ? 0 : analysis.liveNodes) +
         SyncPlanBytes(analysis.sync) + TransientPlanBytes(nodes, analysis.transients);
}

// `begin` holds the number of targets by producer; turns it into offsets and fills the targets.
void GraphState::FillCascades(std::span<std::uint32_t> begin, std::span<std::uint32_t> targets) const {
  std::uint32_t sum = 0;
  for (std::uint32_t& count : begin) sum += std::exchange(count, sum);
  for (std::uint32_t node = 0; node < nodeCount; ++node) {
    if (scratch.position[node] == kNone) continue;
    for (const SortedEdge& edge : EdgesInto(node)) {
      if (edge.cascades) targets[begin[edge.producer]++] = node;
    }
  }
  for (std::uint32_t i = nodeCount; i > 0; --i) begin[i] = begin[i - 1];
  begin[0] = 0;
}

// `waves` is zeroed. Counting sort by wave, stable in both parts of a wave.
void GraphState::FillWaves(std::span<PlanWave> waves, std::span<std::uint32_t> positions) const {
  for (std::uint32_t node = 0; node < nodeCount; ++node) {
    if (scratch.position[node] == kNone) continue;
    PlanWave& wave = waves[scratch.wave[node]];
    ++wave.end;
    if (instances[node]->NeedsFrameThread()) ++wave.shared;
  }
  std::uint32_t sum = 0;
  for (PlanWave& wave : waves) {
    const std::uint32_t count = wave.end;
    wave = {.begin = sum, .shared = sum + wave.shared, .end = sum + wave.shared};
    sum += count;
  }
  // `begin` and `end` are where the next node of either part belongs; `begin` is put right afterwards.
  for (const std::uint32_t node : scratch.order.first(nodeCount)) {
    if (scratch.position[node] == kNone) continue;
    PlanWave& wave = waves[scratch.wave[node]];
    positions[instances[node]->NeedsFrameThread() ? wave.begin++ : wave.end++] = scratch.position[node];
  }
  sum = 0;
  for (PlanWave& wave : waves) wave.begin = std::exchange(sum, wave.end);
}

CompiledPlan* GraphState::BuildPlan(arenas::Arena& memory, const Analysis& analysis) const {
  const std::uint32_t nodes = nodeCount;
  CompiledPlan* const built = memory.New<CompiledPlan>();
  const auto order = memory.NewArrayUninitialized<NodeHandle>(analysis.liveNodes);
  const auto positionOf = memory.NewArrayUninitialized<std::uint32_t>(nodes);
  const auto edgeBegin = memory.NewArrayUninitialized<std::uint32_t>(nodes + 1);
  const auto edges = memory.NewArrayUninitialized<PlanEdge>(analysis.liveEdges);
  const auto outputBegin = memory.NewArrayUninitialized<std::uint32_t>(nodes + 1);
  const auto lifetimes = memory.NewArray<OutputLifetime>(outputBase[nodes]);
  const auto bindings = memory.NewArray<InputBinding>(inputBase[nodes]);
  const auto arrayValues = memory.NewArrayUninitialized<const void*>(analysis.arrayValues);
  const auto cascadeBegin = memory.NewArray<std::uint32_t>(nodes + 1);
  const auto cascadeTargets = memory.NewArrayUninitialized<std::uint32_t>(analysis.cascades);
  const auto waves = memory.NewArray<PlanWave>(analysis.waves);
  const auto wavePositions =
      memory.NewArrayUninitialized<std::uint32_t>(analysis.waves == 0 ? 0 : analysis.liveNodes);

  for (std::uint32_t node = 0; node < nodes; ++node) {
    const std::uint32_t position = scratch.position[node];
    positionOf[node] = position;  // kNone and kNotInPlan are the same number
    outputBegin[node] = outputBase[node];
    if (position == kNone) continue;
    order[position] = instances[node]->Handle();
    for (std::uint32_t i = outputBase[node]; i < outputBase[node + 1]; ++i)
      lifetimes[i] = {position, position};
  }
  outputBegin[nodes] = outputBase[nodes];

  std::uint32_t edgeCount = 0;
  std::uint32_t valueCount = 0;
  for (std::uint32_t node = 0; node < nodes; ++node) {
    edgeBegin[node] = edgeCount;
    const std::uint32_t position = scratch.position[node];
    if (position == kNone) continue;
    InputBinding* const own = bindings.data() + inputBase[node];
    for (const SortedEdge& edge : EdgesInto(node)) {
      edges[edgeCount++] = {edge.producer, node, edge.outputSlot, edge.inputSlot};
      InputBinding& binding = own[edge.inputSlot];
      if (!edge.isArray) {
        binding.value = edge.value;
      } else {
        if (binding.count == 0) binding.value = arrayValues.data() + valueCount;
        arrayValues[valueCount++] = edge.value;
      }
      ++binding.count;
      OutputLifetime& lifetime = lifetimes[edge.graphOutput];
      if (position > lifetime.lastPosition) lifetime.lastPosition = position;
      if (edge.cascades) ++cascadeBegin[edge.producer];
    }
  }
  edgeBegin[nodes] = edgeCount;
  if (analysis.cascades > 0) FillCascades(cascadeBegin, cascadeTargets);

  if (analysis.waves != 0) FillWaves(waves, wavePositions);
  const SyncPlan syncPlan = CopySyncPlan(memory, analysis.sync);

  *built = {planGeneration + 1,
            order,
            positionOf,
            edgeBegin,
            edges,
            outputBegin,
            lifetimes,
            bindings,
            arrayValues,
            cascadeBegin,
            cascadeTargets,
            waves,
            wavePositions,
            syncPlan,
            {},
            {},
            {}};
  FillTransients(*built, memory, analysis);
  return built;
}

void GraphState::InstallPlan(const CompiledPlan& newPlan) {
  plan = &newPlan;
  planGeneration = newPlan.generation;
  entryCount = static_cast<std::uint32_t>(newPlan.order.size());
  for (std::uint32_t node = 0; node < nodeCount; ++node) {
    instances[node]->slots_.inputs = newPlan.bindings.data() + inputBase[node];
    instances[node]->transients_ = newPlan.TransientsOf(node);
    const std::uint32_t position = newPlan.positionOf[node];
    if (position != kNotInPlan) entries[position] = callbacks[node];
    nodeStates[node] = NodeState::Ready;
    failures[node] = 0;
    isPending[node] = 0;
  }
  pendingCount = 0;
}

Result<void> RenderGraph::Compile() noexcept {
  GraphState& s = *state_;
  STADIAL_ASSERT_ALWAYS(!s.isExecuting && !s.isInPass,
                        "a graph cannot be compiled from inside one of its nodes");
  const runtime::Phase phase = s.runtime.Phases().Current();
  if (phase != runtime::Phase::Frame) {
    STADIAL_RETURN_IF_ERROR(s.runtime.Phases().Require(runtime::Phase::Compile, "RenderGraph::Compile"));
  } else if (!s.runtime.Frames().IsFrameOpen()) {
    STADIAL_RETURN_IF_ERROR(s.runtime.Phases().Transition(runtime::Phase::Compile));
  }
  STADIAL_RETURN_IF_ERROR(s.RequireSetUp("RenderGraph::Compile"));
  Analysis analysis = s.Analyze();
  STADIAL_RETURN_IF_ERROR(s.Validate(analysis).ToResult(s.options.name));
  STADIAL_RETURN_IF_ERROR(s.PackTransients(analysis));

  runtime::CompileMemory& compileMemory = s.runtime.Compile();
  const std::size_t bytes =
      PlanBytes(s.nodeCount, s.inputBase[s.nodeCount], s.outputBase[s.nodeCount], analysis);
  STADIAL_ASSIGN_OR_RETURN(arenas::Arena* const memory, compileMemory.BeginCompile());
  if (memory->RemainingBytes() < bytes) {
    const std::size_t remaining = memory->RemainingBytes();
    compileMemory.AbandonCompile();
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "graph '%s': its plan takes %zu B, Compile memory has %zu B; raise RuntimeOptions::compileBytes",
        s.options.name, bytes, remaining);
  }
  const CompiledPlan* const built = s.BuildPlan(*memory, analysis);
  STADIAL_RETURN_IF_ERROR(compileMemory.SealCompile());
  s.InstallPlan(*built);
  return s.CompileAllNodes();
}

}  // namespace stadial::graph
