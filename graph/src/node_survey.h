// One walk over the nodes, for all that is asked of each: in a large graph every walk is a walk through
// memory.
#pragma once

#include <cstdint>
#include <numeric>
#include <span>

#include "graph_state.h"

namespace stadial::graph {

// Calls visit(node, stated requirements, descriptor requirements, replay period) for every node.
template <class Visit>
NodeSurvey GraphState::SurveyNodes(Visit&& visit) const {
  constexpr std::uint64_t kPeriodCeiling = std::uint64_t{1} << 31;
  NodeSurvey survey;
  const auto combine = [&period = survey.replayPeriod](std::uint64_t with) {
    if (with == 1) return;
    if (period == 0 || with == 0) {
      period = 0;
    } else if (period < kPeriodCeiling) {
      period = std::lcm(period, with);
    }
  };
  for (std::uint32_t node = 0; node < nodeCount; ++node) {
    const NodeInstance& instance = *instances[node];
    const PreAllocRequirements stated = instance.GetPreAllocRequirements();
    const std::uint32_t period = instance.ReplayPeriod();
    if (!stated.IsDeclared()) ++survey.undeclaredNodes;
    survey.declaredEvents +=
        stated.eventsPerFrame == 0 ? options.events.eventsPerNode : stated.eventsPerFrame;
    survey.sum += instance.GetResourceEstimate();
    combine(period);
    visit(node, stated, instance.GetDescriptorRequirements(), period);
  }
  for (const TimelineNode* timeline : timelines.first(timelineCount)) combine(timeline->History().Depth());
  return survey;
}

inline NodeSurvey GraphState::SurveyNodes() const {
  return SurveyNodes([](std::uint32_t, const PreAllocRequirements&, std::span<const DescriptorSetRequirement>,
                        std::uint32_t) {});
}

}  // namespace stadial::graph
