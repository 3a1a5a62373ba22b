// Working tables of the graph's part in synchronisation (plan_accesses.cpp). Empty for a graph whose slots
// state no access.
#pragma once

#include <cstdint>
#include <span>

#include "stadial/graph/barriers.h"

namespace stadial::graph {

struct SyncScratch {
  std::uint32_t sideAccesses = 0;
  bool hasInplace = false;
  bool isUsed = false;

  SyncPlanner planner;
  std::span<ResourceAccess> accesses;
  std::span<std::uint32_t> resourceOf;  // by graph output: the output that it first comes from
  std::span<std::uint32_t>
      accessOf;  // by resource: its place in `accesses`, of the last position that used it
  std::span<std::uint32_t>
      changedBy;  // by graph output: the node that changes it in place; only with hasInplace
  std::span<QueueRequest> requests;  // by position; only for several queues
  std::span<std::uint8_t> queueOf;
};

// Copies what the planner's tables hold into `memory`, which gives exactly SyncPlanBytes for it.
SyncPlan CopySyncPlan(arenas::Arena& memory, const SyncPlan& plan);
std::size_t SyncPlanBytes(const SyncPlan& plan) noexcept;

}  // namespace stadial::graph
