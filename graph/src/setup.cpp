// Setup: the survey of what the nodes need, and the memory and queues sized from it.
#include "byte_rounding.h"
#include "graph_state.h"
#include "node_survey.h"
#include "stadial/runtime/gate.h"

namespace stadial::graph {

namespace {

// Carves like Arena::NewArray, but asks first.
template <class T>
bool TryCarve(arenas::Arena& memory, std::span<T>& table, std::size_t count) noexcept {
  if (table.size() >= count) return true;
  const std::span<T> larger = memory.TryNewArray<T>(count);
  if (larger.size() < count) return false;
  table = larger;
  return true;
}

Error OutOfSetupMemory(const char* graphName, const char* what, const arenas::Arena& memory) noexcept {
  return Error::Format(
      ErrorCode::CapacityExceeded,
      "graph '%s': no Setup memory left for %s (%zu B left of %zu B); raise RuntimeOptions::setupBytes",
      graphName, what, memory.RemainingBytes(), memory.CapacityBytes());
}

}  // namespace

// H-a: one depth for all timelines, the deepest request but at least the floor, so that one replay period
// fits all.
Result<void> GraphState::SurveyTimelines() {
  std::uint32_t frames = options.historyFramesMin;
  for (const TimelineNode* timeline : timelines.first(timelineCount)) {
    if (timeline->GetMaxHistoryFrames() > frames) frames = timeline->GetMaxHistoryFrames();
  }
  for (std::uint32_t node = 0; node < nodeCount; ++node) {
    const std::uint32_t stated = instances[node]->GetPreAllocRequirements().historyFrames;
    if (stated > frames) frames = stated;
  }
  historyFrames = frames;
  for (TimelineNode* timeline : timelines.first(timelineCount)) {
    const FrameHistoryOptions wanted{.historyFrames = frames,
                                     .resourcesPerFrame = timeline->GetHistoryResourceCount(),
                                     .framesInFlight = runtime.Frames().FramesInFlight(),
                                     .resources = &resources};
    // A history that fits already keeps what it holds when Setup is repeated.
    if (timeline->HasHistory() && timeline->History().HistoryFrames() == frames) continue;
    const std::size_t bytes = FrameHistory::BytesFor(wanted);
    if (setupMemory.RemainingBytes() < bytes)
      return OutOfSetupMemory(options.name, "frame histories", setupMemory);
    timeline->PreAllocateHistory(setupMemory, wanted);
    historyBytes += bytes;
    setupBytesUsed += bytes;
  }
  return {};
}

Result<void> GraphState::SetUpNewNodes() {
  while (setUpCount < nodeCount) {  // a node's Setup may add nodes
    NodeInstance& node = *instances[setUpCount];
    SetupContext ctx(graph, node.Handle());
    const runtime::ComponentScope component(node.Name());
    const Result<void> result = node.Setup(ctx);
    if (!result) {
      return Error::Format(result.GetError().Code(), "graph '%s': Setup of node '%s' failed: %s",
                           options.name, node.Name(), result.GetError().Message());
    }
    ++setUpCount;
  }
  return {};
}

// E-e, C-b: never less than bus and deferred queue have already.
Result<void> GraphState::SizeQueues(const NodeSurvey& survey) {
  const std::size_t needed = EventsNeeded(survey);
  runtime::EventBus& events = runtime.Events();
  if (events.GetStats().capacity < needed) {
    const std::size_t before = setupMemory.UsedBytes();
    STADIAL_RETURN_IF_ERROR(events.TryPreAllocate(needed, options.eventMode));
    setupBytesUsed += setupMemory.UsedBytes() - before;
  }
  const std::size_t before = setupMemory.UsedBytes();
  STADIAL_RETURN_IF_ERROR(runtime.ReserveDeferred(DeferredNeeded()));
  setupBytesUsed += setupMemory.UsedBytes() - before;
  if (!dirtySubscription.IsActive()) {  // T10: once, however often Setup is repeated
    auto subscription = events.Subscribe(
        runtime::EventType::NodeDirty,
        [](void* self, const runtime::Event& event)
            STADIAL_NONALLOCATING { static_cast<GraphState*>(self)->OnNodeDirty(event); },
        this);
    if (!subscription) return subscription.GetError();
    dirtySubscription = std::move(subscription).Value();
  }
  return {};
}

Result<void> GraphState::CarveScratch() {
  const std::size_t nodes = nodeCount;
  const std::size_t before = setupMemory.UsedBytes();
  const bool isCarved =
      TryCarve(setupMemory, scratch.edges, connectionCount) &&
      TryCarve(setupMemory, scratch.inputBegin, std::size_t{inputBase[nodes]} + 1) &&
      TryCarve(setupMemory, scratch.edgeBegin, nodes + 1) && TryCarve(setupMemory, scratch.order, nodes) &&
      TryCarve(setupMemory, scratch.position, nodes) && TryCarve(setupMemory, scratch.callNode, nodes) &&
      TryCarve(setupMemory, scratch.callCursor, nodes) && TryCarve(setupMemory, scratch.marks, nodes) &&
      TryCarve(setupMemory, scratch.visitIndex, nodes) && TryCarve(setupMemory, scratch.component, nodes) &&
      TryCarve(setupMemory, scratch.componentStack, nodes) &&
      (!HasWaves() || (TryCarve(setupMemory, scratch.wave, nodes) &&
                       TryCarve(setupMemory, workerFrames, runtime.Runner().WorkerCount())));
  const Result<void> transients = CarveTransients();
  setupBytesUsed += setupMemory.UsedBytes() - before;
  if (!isCarved) return OutOfSetupMemory(options.name, "the tables of its analysis", setupMemory);
  if (!transients) return transients.GetError();
  return CarveSync();
}

Result<void> GraphState::CarveSync() {
  const SyncCapacity wanted = CountSync();
  if (!sync.isUsed) return {};
  const std::size_t before = setupMemory.UsedBytes();
  const std::size_t positions = wanted.queues > 1 ? wanted.positions : 0;
  const SyncCapacity& has = sync.planner.Capacity();
  bool isCarved = TryCarve(setupMemory, sync.accesses, wanted.accesses) &&
                  TryCarve(setupMemory, sync.resourceOf, wanted.resources) &&
                  TryCarve(setupMemory, sync.accessOf, wanted.resources) &&
                  (!sync.hasInplace || TryCarve(setupMemory, sync.changedBy, wanted.resources)) &&
                  TryCarve(setupMemory, sync.requests, positions) &&
                  TryCarve(setupMemory, sync.queueOf, positions);
  if (isCarved && (has.accesses < wanted.accesses || has.positions < wanted.positions ||
                   has.resources < wanted.resources)) {
    isCarved = setupMemory.RemainingBytes() >= SyncPlanner::BytesFor(wanted);
    if (isCarved) sync.planner = SyncPlanner(setupMemory, wanted);
  }
  setupBytesUsed += setupMemory.UsedBytes() - before;
  if (!isCarved) return OutOfSetupMemory(options.name, "the tables of its barriers", setupMemory);
  return {};
}

Result<void> RenderGraph::Setup() noexcept {
  GraphState& s = *state_;
  STADIAL_RETURN_IF_ERROR(s.runtime.Phases().Require(runtime::Phase::Setup, "RenderGraph::Setup"));
  // Histories before the nodes' own Setup, which may ask for their depth; again for nodes that Setup has
  // added.
  STADIAL_RETURN_IF_ERROR(s.SurveyTimelines());
  STADIAL_RETURN_IF_ERROR(s.SetUpNewNodes());
  STADIAL_RETURN_IF_ERROR(s.SurveyTimelines());
  const NodeSurvey survey = s.SurveyNodes();
  STADIAL_RETURN_IF_ERROR(s.SizeQueues(survey));
  STADIAL_RETURN_IF_ERROR(s.CarveScratch());
  s.replayPeriod = s.UsableReplayPeriod(survey);
  s.isSetUpCurrent = true;
  return {};
}

}  // namespace stadial::graph
