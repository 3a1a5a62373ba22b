#pragma once

#include <cstdint>

#include "graph_state.h"

namespace stadial::graph {

struct PlanResource {
  std::uint32_t node;
  std::uint32_t slot;
};
// The output that a resource of the plan's barriers is named by. O(log nodes).
PlanResource FindResource(const CompiledPlan& plan, std::uint32_t resource) noexcept;

}  // namespace stadial::graph
