// What the entry points share: the plain calls into mimalloc, inline, and the gated ones, out of line. The
// entry points themselves are compiled without frame pointers, for their speed; the gated calls with them,
// so that a stack can be walked from there to the caller. A gated call also serves what the short path
// leaves out (large blocks, failures), so each works while the gate has nothing to do.
#pragma once

#include <mimalloc.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "block_origin.h"
#include "stadial/runtime/gate_state.h"

namespace stadial::gate {

using runtime::detail::GateCall;

// May a block of this size be handed out without a look at where it lies, and has the gate nothing to do?
[[gnu::always_inline]] inline bool IsPlainCall(std::size_t sizeBytes) noexcept {
  return (runtime::detail::GateWorkBits() | (sizeBytes >> kPlainSizeShift)) == 0;
}

// Where a call goes on a thread that leaves the gate nothing to do: straight to mimalloc, or, while trackers
// listen or frames run, to a gated call. Pointers that change a few times in a program's life, instead of
// a load and a test in front of every call.
struct PlainTargets {
  // noexcept, because only then is the call of one a jump.
  std::atomic<void* (*)(std::size_t) noexcept> malloc;
  std::atomic<void (*)(void*) noexcept> free;
  std::atomic<void* (*)(std::size_t) noexcept> newBlock;  // null: the gated call decides
};
extern constinit PlainTargets plainTargets [[gnu::visibility("hidden")]];
void WatchPlainCalls(bool on) noexcept STADIAL_NONALLOCATING;

[[gnu::always_inline]] inline void* CallPlainMalloc(std::size_t sizeBytes) noexcept {
  return plainTargets.malloc.load(std::memory_order_relaxed)(sizeBytes);
}
[[gnu::always_inline]] inline void* CallPlainNew(std::size_t sizeBytes) noexcept {
  return plainTargets.newBlock.load(std::memory_order_relaxed)(sizeBytes);
}
[[gnu::always_inline]] inline void CallPlainFree(void* block) noexcept {
  plainTargets.free.load(std::memory_order_relaxed)(block);
}

void FreeUnhinted(void* block) noexcept;
[[gnu::always_inline]] inline void FreePlain(void* block) noexcept {
  if (IsHinted(block)) [[likely]] {
    mi_free(block);
  } else {
    FreeUnhinted(block);
  }
}

// Remembers where a block lies if its address does not tell; sets errno for null.
void* Finish(void* block) noexcept;

// `caller` is the return address of the entry point.
void* MallocGated(std::size_t sizeBytes, const void* caller) noexcept;
void* CallocGated(std::size_t count, std::size_t sizeBytes, const void* caller) noexcept;
void* ReallocGated(GateCall call, void* block, std::size_t sizeBytes, const void* caller) noexcept;
void* AlignedGated(GateCall call, std::size_t alignment, std::size_t sizeBytes, const void* caller) noexcept;
void FreeGated(GateCall call, void* block, const void* caller) noexcept;

// kDefaultAlignment: what malloc gives. The throwing form throws std::bad_alloc (aborts without exceptions).
inline constexpr std::size_t kDefaultAlignment = 0;
void* NewGated(GateCall call, std::size_t sizeBytes, std::size_t alignment, const void* caller);
void* NewNothrowGated(GateCall call, std::size_t sizeBytes, std::size_t alignment,
                      const void* caller) noexcept;

}  // namespace stadial::gate
