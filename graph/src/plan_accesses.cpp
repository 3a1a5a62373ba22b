// From slots to a SyncPlan: which resource each slot names, the accesses in execution order, their queues.
#include "plan_accesses.h"

#include <algorithm>

#include "byte_rounding.h"

namespace stadial::graph {

namespace {

// The arrays of a plan, in the order in which they are copied.
template <class Take>
void ForEachArray(SyncPlan& plan, Take&& take) {
  take(plan.barrierBegin);
  take(plan.barriers);
  take(plan.queueOf);
  take(plan.releaseBegin);
  take(plan.releases);
  take(plan.waitBegin);
  take(plan.waits);
  take(plan.signals);
}

}  // namespace

std::size_t SyncPlanBytes(const SyncPlan& plan) noexcept {
  std::size_t bytes = 0;
  SyncPlan copy = plan;
  ForEachArray(copy, [&bytes]<class T>(std::span<const T>& part) { bytes += ArenaBytes<T>(part.size()); });
  return bytes;
}

SyncPlan CopySyncPlan(arenas::Arena& memory, const SyncPlan& plan) {
  SyncPlan copy = plan;
  ForEachArray(copy, [&memory]<class T>(std::span<const T>& part) {
    const std::span<T> own = memory.NewArrayUninitialized<T>(part.size());
    std::copy(part.begin(), part.end(), own.begin());
    part = own;
  });
  return copy;
}

// What the graph as it stands will use at most; nothing for one that states no access.
SyncCapacity GraphState::CountSync() {
  sync.hasInplace = false;
  sync.sideAccesses = 0;
  std::uint32_t accesses = 0;
  for (std::uint32_t node = 0; node < nodeCount; ++node) {
    for (const SlotDescription& output : layouts[node].outputs) {
      accesses += output.access.IsNone() ? 0u : 1u;
      sync.hasInplace = sync.hasInplace || output.inplaceInput != kNotInplace;
    }
    sync.sideAccesses += static_cast<std::uint32_t>(instances[node]->GetSideAccesses().size());
  }
  for (const Connection& c : connections.first(connectionCount)) {
    if (c.graphInput != kNone && !layouts[c.consumer].inputs[c.inputSlot].access.IsNone()) ++accesses;
  }
  accesses += sync.sideAccesses;
  sync.isUsed = accesses != 0;
  return {.accesses = accesses,
          .positions = nodeCount,
          .resources = outputBase[nodeCount],
          .queues = options.queues.Count()};
}

void GraphState::AssignSyncQueues(std::span<const ResourceAccess> accesses, std::uint32_t liveNodes) const {
  const std::span<QueueRequest> requests = sync.requests.first(liveNodes);
  std::fill(requests.begin(), requests.end(), QueueRequest{});
  for (const ResourceAccess& access : accesses) requests[access.position].stages |= access.access.stages;
  for (std::uint32_t node = 0; node < nodeCount; ++node) {
    const std::uint32_t position = scratch.position[node];
    if (position == kNone || requests[position].stages == 0) continue;
    requests[position].wish = instances[node]->PreferredQueue();
    // The last of its producers with work for the GPU: what was made last is waited for longest.
    for (const SortedEdge& edge : EdgesInto(node)) {
      const std::uint32_t producer = scratch.position[edge.producer];
      std::uint32_t& lead = requests[position].lead;
      if (requests[producer].stages != 0 && (lead == QueueRequest::kNoLead || producer > lead))
        lead = producer;
    }
  }
  AssignQueues(requests, options.queues, sync.queueOf);
}

void GraphState::DeriveSync(Analysis& analysis) const {
  if (!sync.isUsed) return;
  ResolveInplace([&analysis](std::uint32_t, std::uint32_t, std::uint32_t) { ++analysis.accessConflicts; });
  const std::uint32_t count =
      CollectAccesses([&analysis](std::uint32_t, const char*, std::uint32_t) { ++analysis.accessConflicts; });
  if (count > sync.accesses.size() || analysis.liveNodes > sync.planner.Capacity().positions) {
    analysis.accessesMissing = count;
    return;
  }
  const std::span<const ResourceAccess> accesses = sync.accesses.first(count);
  SyncInput input{.accesses = accesses,
                  .positions = analysis.liveNodes,
                  .resources = outputBase[nodeCount],
                  .queues = options.queues};
  if (options.queues.Count() > 1) {
    AssignSyncQueues(accesses, analysis.liveNodes);
    input.queueOf = sync.queueOf.first(analysis.liveNodes);
  }
  analysis.sync = sync.planner.Derive(input);
}

}  // namespace stadial::graph
