// What the entry points share: the plain calls into mimalloc, inline, and the gated ones, out of line. The
// entry points themselves are compiled without frame pointers, for their speed; the gated calls with them,
// so that a stack can be walked from there to the caller. A gated call also serves what the short path
// leaves out (large blocks, failures), so each works while the gate has nothing to do.
#pragma once

#include <mimalloc.h>

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
