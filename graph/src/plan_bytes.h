#pragma once

#include <cstddef>
#include <utility>

#include "byte_rounding.h"
#include "graph_state.h"

namespace stadial::graph {

// What BuildPlan takes from the Compile arena, exactly.
std::size_t PlanBytes(std::size_t nodes, std::size_t inputs, std::size_t outputs,
                      const Analysis& analysis) noexcept;
// The part of FillTransients.
std::size_t TransientPlanBytes(std::size_t nodes, const TransientAnalysis& transients) noexcept;

}  // namespace stadial::graph
