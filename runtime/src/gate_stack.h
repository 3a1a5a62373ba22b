// Call stacks without allocation: a frame-pointer walk (tens of nanoseconds) for every recorded allocation,
// the unwinder for reports, and the names of both.
#pragma once

#include <cstddef>
#include <cstdint>

#include "gate_text.h"

namespace stadial::runtime::detail {

inline constexpr std::uint32_t kGateStackDepthMax = 32;

// Where a stack lies: [low, high). Both 0: unknown.
struct StackBounds {
  std::uintptr_t low = 0;
  std::uintptr_t high = 0;
};

// Asks the C library, which may allocate.
StackBounds QueryCurrentStackBounds() noexcept;

// The bounds within which frames of the calling thread may be read, as far as they are known without asking:
// registered threads know theirs, and the C library keeps those of the main thread and of its own threads.
// Unknown where `framePointer` does not lie there (fibers, signal stacks).
StackBounds CurrentStackBounds(std::uintptr_t framePointer) noexcept;

// What to do where the bounds are unknown.
enum class UnknownBounds : std::uint8_t { ReadThroughKernel, Stop };

// Return addresses from the frame at `framePointer` outwards, at most `framesMax`. Stops at the first frame
// that cannot be one: code built without frame pointers ends the walk, or is skipped.
std::uint32_t WalkFramePointers(std::uintptr_t framePointer, const void** frames, std::uint32_t framesMax,
                                UnknownBounds whenUnknown) noexcept;

// The stack from `caller` (a return address that is live on it) outwards, `caller` first. The second form
// uses the unwind tables when they see further than the frame pointers do.
std::uint32_t CaptureStackFast(const void* caller, const void** frames, std::uint32_t framesMax) noexcept;
std::uint32_t CaptureStackFull(const void* caller, const void** frames, std::uint32_t framesMax) noexcept;

// One line per frame: "  #0 0x55d0c0de1234 sandbox+0x1234 world::Step+0x24\n". The module offset is what
// addr2line wants.
void AppendStack(GateText& text, const void* const* frames, std::uint32_t depth) noexcept;
// "sandbox+0x1234 world::Step+0x24" of one return address.
void AppendCodeAddress(GateText& text, const void* returnAddress) noexcept;

}  // namespace stadial::runtime::detail
