// The barriers of a plan (graph/barriers.h), as commands. Their numbers are Vulkan's, so this is a cast; what
// they are was decided at the graph's compile.
#pragma once

#include <span>

#include "stadial/gpu/commands.h"
#include "stadial/graph/barriers.h"

namespace stadial::gpu {

// Records the barriers of one position, in one vkCmdPipelineBarrier2 (further ones beyond eight). Only such
// as cover all resources: images stay in GENERAL, on one queue (asserted; GpuExecutor::Prepare refuses
// others).
void RecordBarriers(Recorder& recorder, std::span<const graph::Barrier> barriers) noexcept;

}  // namespace stadial::gpu
