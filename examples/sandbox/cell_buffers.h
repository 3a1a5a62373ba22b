// The two buffers the automaton goes back and forth between, as they travel through the graph's slots.
#pragma once

#include <array>
#include <cstdint>

#include "stadial/gpu/gpu_memory.h"

namespace stadial::sandbox {

// Frame f makes `stepsPerFrame` passes, each from one buffer into the other, the first one from Before(f).
// Which buffer that is follows from the frame's number alone and repeats after kCellBufferCount frames; so
// command buffers recorded once per replay index stay right.
inline constexpr std::uint32_t kCellBufferCount = 2;

struct CellBuffers {
  static constexpr bool kIsGpuResource = true;
  std::array<gpu::Buffer, kCellBufferCount> buffers{};
  std::uint32_t stepsPerFrame = 0;
  std::uint32_t slotCount = 0;  // chunks in the atlas

  std::uint32_t IndexBefore(std::uint64_t frame) const noexcept {
    return static_cast<std::uint32_t>(frame * stepsPerFrame % kCellBufferCount);
  }
  std::uint32_t IndexAfter(std::uint64_t frame) const noexcept { return IndexBefore(frame + 1); }
  const gpu::Buffer& After(std::uint64_t frame) const noexcept { return buffers[IndexAfter(frame)]; }
};

}  // namespace stadial::sandbox
