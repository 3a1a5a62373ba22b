// The two steps that every gated entry point shares: ask the gate before, tell it after.
#pragma once

#include <mimalloc.h>

#include <cerrno>
#include <cstddef>

#include "block_origin.h"
#include "stadial/runtime/gate_state.h"

namespace stadial::gate {

// Blocks outside the hinted range, and null.
[[gnu::noinline, gnu::cold]] inline void* FinishUnhinted(void* block) noexcept {
  if (block == nullptr) {
    errno = ENOMEM;
  } else {
    RememberUnhinted(block);
  }
  return block;
}

[[gnu::always_inline]] inline void* Finish(void* block) noexcept {
  if (IsHinted(block)) [[likely]] return block;
  return FinishUnhinted(block);
}

[[gnu::noinline, gnu::cold]] inline void FreeUnhinted(void* block) noexcept {
  if (block == nullptr) return;
  if (IsRememberedUnhinted(block)) {
    mi_free(block);
  } else {
    FreeForeign(block);
  }
}

[[gnu::always_inline]] inline void FreeBlock(void* block) noexcept {
  if (IsHinted(block)) [[likely]] {
    mi_free(block);
  } else {
    FreeUnhinted(block);
  }
}

// mimalloc 2.0.9 hands out misaligned blocks for alignments of 256 to 1024 when the size is a power of two up to 1024:
// its pages for such sizes start 384 bytes in, which one of its shortcuts forgets. Ask again for an odd, larger size,
// for which it aligns by hand.
inline void* AllocateAligned(std::size_t sizeBytes, std::size_t alignment) noexcept {
  constexpr std::size_t kShortcutBytesMax = 1024;
  void* const block = mi_malloc_aligned(sizeBytes, alignment);
  if ((reinterpret_cast<std::uintptr_t>(block) & (alignment - 1)) == 0) [[likely]] return block;
  mi_free(block);
  return mi_malloc_aligned((sizeBytes < kShortcutBytesMax ? kShortcutBytesMax : sizeBytes) | 1, alignment);
}

template <class Allocate>
[[gnu::noinline]] void* AllocateGated(runtime::detail::GateCall call, std::size_t sizeBytes, const void* caller,
                                      Allocate allocate) noexcept {
  if (!runtime::detail::GateBeforeAllocate(call, sizeBytes, caller)) {
    errno = ENOMEM;
    return nullptr;
  }
  void* const block = Finish(allocate());
  if (block != nullptr) runtime::detail::GateAfterAllocate(call, block, sizeBytes, caller);
  return block;
}

// Freeing null is nothing, for the gate too.
[[gnu::noinline]] inline void FreeGated(runtime::detail::GateCall call, void* block, const void* caller) noexcept {
  if (block == nullptr || !runtime::detail::GateBeforeFree(call, block, caller)) return;
  FreeBlock(block);
}

}  // namespace stadial::gate
