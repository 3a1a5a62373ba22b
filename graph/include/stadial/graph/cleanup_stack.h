// The graph's cleanup stack is the runtime's: see stadial/runtime/cleanup_stack.h. The graph pushes its nodes
// in topological order.
#pragma once

#include "stadial/runtime/cleanup_stack.h"

namespace stadial::graph {

using runtime::CleanupStack;

}  // namespace stadial::graph
