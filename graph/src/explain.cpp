// Why a barrier stands where it stands.
#include <algorithm>
#include <cstdio>

#include "plan_names.h"

namespace stadial::graph {

PlanResource FindResource(const CompiledPlan& plan, std::uint32_t resource) noexcept {
  // Nodes without outputs share their begin with the next one: the last node that begins here has it.
  const auto next = std::upper_bound(plan.outputBegin.begin(), plan.outputBegin.end() - 1, resource);
  const auto node = static_cast<std::uint32_t>(next - plan.outputBegin.begin()) - 1;
  return {node, resource - plan.outputBegin[node]};
}

std::size_t RenderGraph::ExplainBarrier(std::uint32_t position, std::uint32_t index,
                                        std::span<char> text) const noexcept {
  if (text.empty()) return 0;
  const GraphState& s = *state_;
  int written = 0;
  const std::size_t positions = s.plan == nullptr ? 0 : s.plan->order.size();
  if (position >= positions || index >= s.plan->sync.BarriersAt(position).size()) {
    written = std::snprintf(text.data(), text.size(), "no barrier %u before #%u", index, position);
  } else {
    const CompiledPlan& plan = *s.plan;
    const Barrier& barrier = plan.sync.BarriersAt(position)[index];
    const PlanResource resource = FindResource(plan, barrier.resource);
    char source[kAccessTextBytesMax];
    char target[kAccessTextBytesMax];
    char change[96] = "";
    if (barrier.oldLayout != barrier.newLayout)
      std::snprintf(change, sizeof(change), ", from layout '%s' to '%s'", ToString(barrier.oldLayout),
                    ToString(barrier.newLayout));
    char others[48] = "";
    if (barrier.resourceCount > 1)
      std::snprintf(others, sizeof(others), "; %u more like it", barrier.resourceCount - 1);
    char queues[64] = "";
    if (barrier.sourceQueue != barrier.targetQueue)
      std::snprintf(queues, sizeof(queues), ", from queue %u to queue %u",
                    static_cast<unsigned>(barrier.sourceQueue), static_cast<unsigned>(barrier.targetQueue));
    written = std::snprintf(
        text.data(), text.size(), "#%u '%s' waits for #%u '%s'%s, for '%s'.%s: %s (%s before %s)%s%s%s",
        position, s.NameOf(plan.order[position].index), barrier.sourcePosition,
        s.NameOf(plan.order[barrier.sourcePosition].index),
        barrier.isFrameBefore ? " of the frame before" : "", s.NameOf(resource.node),
        s.layouts[resource.node].outputs[resource.slot].name, ToString(barrier.reason),
        FormatAccess(barrier.sourceStages, barrier.sourceAccess, source),
        FormatAccess(barrier.targetStages, barrier.targetAccess, target), change, queues, others);
  }
  return std::min(static_cast<std::size_t>(std::max(written, 0)), text.size() - 1);
}

}  // namespace stadial::graph
