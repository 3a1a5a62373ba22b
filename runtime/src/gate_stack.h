// Call stacks without allocation: a frame-pointer walk (tens of nanoseconds) for every recorded allocation,
// the unwinder for reports, and the names of both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "gate_text.h"
#include "thread_registry_table.h"

// Where the main thread's stack began; glibc exports it.
extern "C" [[gnu::weak]] void* __libc_stack_end;

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
inline StackBounds CurrentStackBounds(std::uintptr_t framePointer) noexcept {
  constexpr std::uintptr_t kMainStackBytesMax = std::uintptr_t{64} << 20;
  if (const GateThreadSlot* slot = gateThread.slot; slot != nullptr) {
    if (framePointer >= slot->stackLow && framePointer < slot->stackHigh)
      return {framePointer, slot->stackHigh};
    return {};
  }
  if (&__libc_stack_end != nullptr) {
    const auto top = reinterpret_cast<std::uintptr_t>(__libc_stack_end);
    if (framePointer < top && top - framePointer < kMainStackBytesMax) return {framePointer, top};
  }
#if defined(__GLIBC__)
  // glibc keeps a thread's descriptor at the top of its stack.
  constexpr std::uintptr_t kThreadStackBytesMax = std::uintptr_t{16} << 20;
  const auto top = static_cast<std::uintptr_t>(pthread_self());
  if (framePointer < top && top - framePointer < kThreadStackBytesMax) return {framePointer, top};
#endif
  return {};
}

// What to do where the bounds are unknown.
enum class UnknownBounds : std::uint8_t { ReadThroughKernel, Stop };

// What lies in memory where a frame pointer points to.
struct FrameLink {
  std::uintptr_t callersFrame;
  std::uintptr_t returnAddress;
};

// The links that a walk read, from the frame it began at outwards: a stack that still has them is the same
// one.
struct FrameWalk {
  std::uint32_t depth = 0;  // frames found
  std::uint32_t links = 0;  // read for that: `depth`, or one more, which was no frame's
};

// Reads at most `framesMax` frames; `links` has room for one more.
FrameWalk WalkFrameLinks(std::uintptr_t framePointer, const StackBounds& bounds, FrameLink* links,
                         std::uint32_t framesMax) noexcept;

inline std::uintptr_t WordAt(std::uintptr_t address) noexcept {
  std::uintptr_t word;
  std::memcpy(&word, reinterpret_cast<const void*>(address), sizeof word);
  return word;
}

// Does a walk from `framePointer`, within the bounds of the one that read `links`, find the same? At least
// one link. Reads none that the stack does not lead to.
inline bool LinksHold(std::uintptr_t framePointer, const FrameLink* links, const FrameLink* end) noexcept {
  do {
    const std::uintptr_t callersFrame = links->callersFrame;
    if (WordAt(framePointer) != callersFrame ||
        WordAt(framePointer + sizeof(std::uintptr_t)) != links->returnAddress)
      return false;
    framePointer = callersFrame;
  } while (++links != end);
  return true;
}

// Return addresses from the frame at `framePointer` outwards, at most `framesMax`. Stops at the first frame
// that cannot be one: code built without frame pointers ends the walk, or is skipped.
std::uint32_t WalkFramePointers(std::uintptr_t framePointer, const void** frames, std::uint32_t framesMax,
                                UnknownBounds whenUnknown) noexcept;

// The stack from `caller` (a return address that is live on it) outwards, `caller` first. The second form
// uses the unwind tables when they see further than the frame pointers do.
std::uint32_t CaptureStackFast(const void* caller, const void** frames, std::uint32_t framesMax) noexcept;
std::uint32_t CaptureStackFull(const void* caller, const void** frames, std::uint32_t framesMax) noexcept;
// The first form's stack, from what a walk found.
std::uint32_t StackOfLinks(const void* caller, const FrameLink* links, std::uint32_t depth,
                           const void** frames, std::uint32_t framesMax) noexcept;

// One line per frame: "  #0 0x55d0c0de1234 sandbox+0x1234 world::Step+0x24\n". The module offset is what
// addr2line wants.
void AppendStack(GateText& text, const void* const* frames, std::uint32_t depth) noexcept;
// "sandbox+0x1234 world::Step+0x24" of one return address.
void AppendCodeAddress(GateText& text, const void* returnAddress) noexcept;

}  // namespace stadial::runtime::detail
