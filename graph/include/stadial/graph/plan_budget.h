// PlanBudget: the dry run's answer (X3), everything a compile of the graph and the frames after it will take.
// Counts are exact upper bounds: a compile takes exactly that or less.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "stadial/graph/requirements.h"

namespace stadial::graph {

struct PlanBudget {
  std::uint32_t nodes = 0;
  std::uint32_t connections = 0;
  std::uint32_t undeclaredNodes = 0;  // answered GetPreAllocRequirements with nothing

  // Arenas, in bytes.
  std::size_t setupBytesUsed = 0;  // taken by the graph so far: tables, nodes, slot values, histories
  std::size_t compileBytes = 0;    // the plan, in one half of Compile memory
  std::size_t compileBytesAvailable = 0;
  std::size_t frameBytes = 0;  // of the frame lane, per frame, as declared
  std::size_t frameBytesAvailable = 0;

  // Queues and tables.
  std::size_t eventCapacity = 0;     // of the event bus
  std::size_t deferredCapacity = 0;  // of the deferred queue
  std::uint32_t waves = 0;           // 0: execution is serial
  std::uint32_t resources = 0;       // live handles now
  std::uint32_t resourcesMax = 0;

  // History.
  std::uint32_t timelineNodes = 0;
  std::uint32_t historyFrames = 0;  // of every timeline node, after the survey
  std::size_t historyBytes = 0;     // host bookkeeping, part of setupBytesUsed

  // GPU. `copies`: recorded versions of the frame, lcm(ReplayPeriod, frames in flight).
  std::uint32_t replayPeriod = 1;
  std::uint32_t framesInFlight = 1;
  std::uint32_t copies = 1;
  std::uint32_t descriptorSets = 0;                               // all copies
  std::array<std::uint32_t, kDescriptorTypeCount> descriptors{};  // by type, all copies
  std::uint32_t primaryCommandBuffers = 0;                        // all copies
  std::uint32_t secondaryCommandBuffers = 0;                      // all copies
  std::uint64_t commandBytes = 0;                                 // all copies
  std::uint64_t stagingBytes = 0;                                 // all frames in flight
  std::uint64_t transientBytes = 0;                               // one frame, aliased
  std::uint64_t transientBoundBytes = 0;                          // what of them is alive at once
  std::uint64_t transientUnaliasedBytes = 0;                      // each for itself
  std::uint64_t resourceBytes = 0;                                // live handles: size × copies
  std::uint64_t deviceBytes = 0;  // nodes' estimates, transients unaliased, and resources
};

// One line per item, for people. Not inside a frame: stdio may allocate.
void PrintBudget(const PlanBudget& budget, std::FILE* out);

}  // namespace stadial::graph
