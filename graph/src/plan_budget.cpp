#include "stadial/graph/plan_budget.h"

#include <algorithm>
#include <numeric>

#include "graph_state.h"
#include "node_survey.h"
#include "plan_bytes.h"

namespace stadial::graph {

// E-e: the rule of thumb, or what the nodes have stated where that is more.
std::size_t GraphState::EventsNeeded(const NodeSurvey& survey) const {
  return std::max(runtime::CalculateEventCapacity(nodeCount, options.events),
                  survey.declaredEvents * options.events.headroom);
}

std::size_t GraphState::DeferredNeeded() const {
  return runtime::CalculateDeferredCapacity(nodeCount, runtime.Frames().FramesInFlight(), options.deferred);
}

PlanBudget GraphState::CalculateBudget(const Analysis& analysis, const NodeSurvey& survey) const {
  PlanBudget budget;
  budget.nodes = nodeCount;
  budget.connections = connectionCount;
  budget.undeclaredNodes = survey.undeclaredNodes;

  budget.setupBytesUsed = setupBytesUsed;
  budget.compileBytes = PlanBytes(nodeCount, inputBase[nodeCount], outputBase[nodeCount], analysis);
  budget.compileBytesAvailable = runtime.Options().compileBytes;
  budget.frameBytes = static_cast<std::size_t>(survey.sum.frameBytes);
  budget.frameBytesAvailable = runtime.Options().frameLaneBytes;

  budget.eventCapacity = EventsNeeded(survey);
  budget.deferredCapacity = DeferredNeeded();
  budget.waves = analysis.waves;
  budget.resources = resources.LiveCount();
  budget.resourcesMax = resources.Capacity();

  budget.timelineNodes = timelineCount;
  budget.historyFrames = timelineCount == 0 ? 0 : historyFrames;
  budget.historyBytes = historyBytes;

  budget.replayPeriod = UsableReplayPeriod(survey);
  budget.framesInFlight = runtime.Frames().FramesInFlight();
  budget.copies = std::lcm(budget.replayPeriod, budget.framesInFlight);
  budget.descriptorSets = survey.sum.descriptorSets * budget.copies;
  for (std::size_t i = 0; i < kDescriptorTypeCount; ++i)
    budget.descriptors[i] = survey.sum.descriptors[i] * budget.copies;
  budget.primaryCommandBuffers = survey.sum.primaryCommandBuffers * budget.copies;
  budget.secondaryCommandBuffers = survey.sum.secondaryCommandBuffers * budget.copies;
  budget.commandBytes = survey.sum.commandBytes * budget.copies;
  budget.stagingBytes = survey.sum.stagingBytes * budget.framesInFlight;
  budget.transientBytes = analysis.transients.totalBytes;
  budget.transientBoundBytes = analysis.transients.boundBytes;
  budget.transientUnaliasedBytes = analysis.transients.unaliasedBytes;
  budget.resourceBytes = resources.LiveBytes();
  budget.deviceBytes = survey.sum.deviceBytes + budget.resourceBytes;
  return budget;
}

Result<PlanBudget> RenderGraph::Plan() const noexcept {
  STADIAL_RETURN_IF_ERROR(state_->RequireSetUp("RenderGraph::Plan"));
  Analysis analysis = state_->Analyze();
  STADIAL_RETURN_IF_ERROR(state_->PackTransients(analysis));
  return state_->CalculateBudget(analysis, state_->SurveyNodes());
}

ResourceEstimate RenderGraph::GetResourceEstimate() const noexcept {
  ResourceEstimate sum;
  for (const NodeInstance* node : state_->instances.first(state_->nodeCount))
    sum += node->GetResourceEstimate();
  return sum;
}

void PrintBudget(const PlanBudget& budget, std::FILE* out) {
  const auto number = [out](const char* what, std::uint64_t value, const char* unit) {
    std::fprintf(out, "  %-26s %14llu %s\n", what, static_cast<unsigned long long>(value), unit);
  };
  std::fprintf(out, "plan of %u nodes and %u connections (%u nodes undeclared)\n", budget.nodes,
               budget.connections, budget.undeclaredNodes);
  number("setup memory", budget.setupBytesUsed, "B");
  number("compile memory", budget.compileBytes, "B");
  number("  available", budget.compileBytesAvailable, "B");
  number("frame lane", budget.frameBytes, "B per frame");
  number("  available", budget.frameBytesAvailable, "B");
  number("event bus", budget.eventCapacity, "events");
  number("deferred queue", budget.deferredCapacity, "records");
  number("waves", budget.waves, "");
  number("resource handles", budget.resources, "live");
  number("  available", budget.resourcesMax, "");
  number("timelines", budget.timelineNodes, "nodes");
  number("  history", budget.historyFrames, "frames");
  number("  bookkeeping", budget.historyBytes, "B");
  number("replay period", budget.replayPeriod, "frames");
  number("recorded copies", budget.copies, "");
  number("descriptor sets", budget.descriptorSets, "");
  for (std::size_t i = 0; i < kDescriptorTypeCount; ++i) {
    if (budget.descriptors[i] != 0)
      number(ToString(static_cast<DescriptorType>(i)), budget.descriptors[i], "descriptors");
  }
  number("primary command buffers", budget.primaryCommandBuffers, "");
  number("secondary command buffers", budget.secondaryCommandBuffers, "");
  number("command memory", budget.commandBytes, "B");
  number("staging", budget.stagingBytes, "B");
  number("transients", budget.transientBytes, "B");
  number("  alive at once", budget.transientBoundBytes, "B");
  number("  unaliased", budget.transientUnaliasedBytes, "B");
  number("resources", budget.resourceBytes, "B");
  number("device memory", budget.deviceBytes, "B");
}

}  // namespace stadial::graph
