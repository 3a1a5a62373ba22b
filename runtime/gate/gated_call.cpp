#include "gated_call.h"

#include "backend.h"

#if STADIAL_GATE_OVER_MIMALLOC

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "thread_registry_table.h"

namespace stadial::gate {

using runtime::GatePolicy;
using runtime::detail::GateAfterAllocate;
using runtime::detail::GateAllocateFromFallback;
using runtime::detail::GateBeforeAllocate;
using runtime::detail::GateBeforeFree;
using runtime::detail::GateFreeToFallback;

namespace {

constexpr std::size_t kFallbackAlignment = 16;  // what malloc gives

void* Fail(int error) noexcept {
  errno = error;
  return nullptr;
}

// mimalloc 2.0.9 hands out misaligned blocks for alignments of 256 to 1024 when the size is a power of two
// up to 1024: its pages for such sizes start 384 bytes in, which one of its shortcuts forgets. Ask again for
// an odd, larger size, for which it aligns by hand.
void* AllocateAligned(std::size_t sizeBytes, std::size_t alignment) noexcept {
  constexpr std::size_t kShortcutBytesMax = 1024;
  void* const block = mi_malloc_aligned(sizeBytes, alignment);
  if ((reinterpret_cast<std::uintptr_t>(block) & (alignment - 1)) == 0) [[likely]]
    return block;
  mi_free(block);
  return mi_malloc_aligned(std::max(sizeBytes, kShortcutBytesMax) | 1, alignment);
}

void* AllocateBlock(std::size_t sizeBytes, std::size_t alignment) noexcept {
  return Finish(alignment == kDefaultAlignment ? mi_malloc(sizeBytes)
                                               : AllocateAligned(sizeBytes, alignment));
}

// Nothing to do but to count: no driver's call, no tracker listens. Worth a shortcut, since it is what a
// program that only measures pays for every allocation.
[[gnu::always_inline]] inline bool OnlyCounts(GatePolicy policy) noexcept {
  using namespace runtime::detail;
  return policy == GatePolicy::Count && (gateThread.word & (kGateDriverBit | kGateBusyBit)) == 0 &&
         (gateProcessFlags.load(std::memory_order_relaxed) & kGateTrackersActive) == 0;
}

// Ask the gate before, tell it after.
template <class Allocate>
[[gnu::always_inline]] inline void* AllocateGated(GateCall call, std::size_t sizeBytes, const void* caller,
                                                  Allocate allocate) noexcept {
  if (OnlyCounts(static_cast<GatePolicy>(runtime::detail::gateThread.word & 0xFF))) {
    runtime::detail::GateTally& tally = runtime::detail::CurrentTally();
    runtime::detail::AddOwn(tally.allocations, 1);
    runtime::detail::AddOwn(tally.allocatedBytes, sizeBytes);
    return allocate();
  }
  if (!GateBeforeAllocate(call, sizeBytes, caller)) return Fail(ENOMEM);
  void* const block = allocate();
  if (block != nullptr) GateAfterAllocate(call, block, sizeBytes, caller);
  return block;
}

// The standard's loop: ask the new-handler for memory until there is none.
void* AllocateThroughHandler(std::size_t sizeBytes, std::size_t alignment) {
  for (;;) {
    if (void* const block = AllocateBlock(sizeBytes, alignment); block != nullptr) return block;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) return nullptr;
    handler();
  }
}

// A block that a realloc cannot leave where it is.
void* Move(GateCall call, void* block, std::size_t usable, std::size_t sizeBytes,
           const void* caller) noexcept {
  void* const moved = Finish(mi_malloc(sizeBytes));
  if (moved == nullptr) return nullptr;
  if (!GateBeforeFree(call, block, caller)) {
    mi_free(moved);
    return Fail(ENOMEM);
  }
  std::memcpy(moved, block, std::min(sizeBytes, usable));
  mi_free(block);
  return moved;
}

// The heap of a fallback site lies in our own region, never where mimalloc asks for memory.
bool IsFallbackBlock(const void* block) noexcept {
  return !IsHinted(block) && runtime::detail::GateFallbackBlockBytes(block) != 0;
}

// A realloc into, within or out of a fallback site.
void* MoveThroughFallback(GateCall call, void* block, std::size_t sizeBytes, const void* caller) noexcept {
  void* const moved = MallocGated(sizeBytes, caller);
  if (moved == nullptr || block == nullptr) return moved;
  std::memcpy(moved, block, std::min(sizeBytes, ::malloc_usable_size(block)));
  FreeGated(call, block, caller);
  return moved;
}

// Entered by a jump from malloc and free: the return address is their caller's.
void* WatchedMalloc(std::size_t sizeBytes) noexcept {
  return MallocGated(sizeBytes, __builtin_return_address(0));
}
void* NothingFromNew(std::size_t) noexcept { return nullptr; }
void WatchedFree(void* block) noexcept { FreeGated(GateCall::Free, block, __builtin_return_address(0)); }

}  // namespace

constinit PlainTargets plainTargets{{&mi_malloc}, {&mi_free}, {&mi_malloc}};

void WatchPlainCalls(bool on) noexcept {
  plainTargets.malloc.store(on ? &WatchedMalloc : &mi_malloc, std::memory_order_seq_cst);
  plainTargets.free.store(on ? &WatchedFree : &mi_free, std::memory_order_seq_cst);
  plainTargets.newBlock.store(on ? &NothingFromNew : &mi_malloc, std::memory_order_seq_cst);
}

void* Finish(void* block) noexcept {
  if (IsHinted(block)) [[likely]]
    return block;
  if (block == nullptr) return Fail(ENOMEM);
  RememberUnhinted(block);
  return block;
}

void FreeUnhinted(void* block) noexcept {
  if (block == nullptr) return;
  if (IsUnhintedBackendBlock(block)) {
    mi_free(block);
  } else {
    FreeForeign(block);
  }
}

void* MallocGated(std::size_t sizeBytes, const void* caller) noexcept {
  if (void* const block = GateAllocateFromFallback(sizeBytes, kFallbackAlignment); block != nullptr)
    return block;
  return AllocateGated(GateCall::Malloc, sizeBytes, caller,
                       [=]() noexcept { return Finish(mi_malloc(sizeBytes)); });
}

void* CallocGated(std::size_t count, std::size_t sizeBytes, const void* caller) noexcept {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(count, sizeBytes, &bytes)) return Fail(ENOMEM);
  if (void* const block = GateAllocateFromFallback(bytes, kFallbackAlignment); block != nullptr)
    return std::memset(block, 0, bytes);
  return AllocateGated(GateCall::Calloc, bytes, caller, [=]() noexcept { return Finish(mi_zalloc(bytes)); });
}

// A realloc is an allocation and, given a block, a free: both policies must agree before the old block goes.
// Trackers hear of the free before the address can be given to another thread, so a block that moves is
// allocated first.
void* ReallocGated(GateCall call, void* block, std::size_t sizeBytes, const void* caller) noexcept {
  if (sizeBytes == 0 && block != nullptr) {  // as glibc: the block is gone
    FreeGated(call, block, caller);
    return nullptr;
  }
  if ((runtime::detail::gateThread.word & runtime::detail::kGateFallbackBit) != 0 || IsFallbackBlock(block))
    return MoveThroughFallback(call, block, sizeBytes, caller);
  if (!GateBeforeAllocate(call, sizeBytes, caller)) return Fail(ENOMEM);
  void* result = nullptr;
  if (block == nullptr) {
    result = Finish(mi_malloc(sizeBytes));
  } else if (!IsBackendBlock(block)) {
    if (!GateBeforeFree(call, block, caller)) return Fail(ENOMEM);
    result = ReallocForeign(block, sizeBytes);
  } else if (const std::size_t usable = mi_usable_size(block);
             sizeBytes <= usable && sizeBytes >= usable / 2) {
    if (!GateBeforeFree(call, block, caller)) return Fail(ENOMEM);
    result = block;
  } else {
    result = Move(call, block, usable, sizeBytes, caller);
  }
  if (result != nullptr) GateAfterAllocate(call, result, sizeBytes, caller);
  return result;
}

void* AlignedGated(GateCall call, std::size_t alignment, std::size_t sizeBytes, const void* caller) noexcept {
  if (void* const block = GateAllocateFromFallback(sizeBytes, alignment); block != nullptr) return block;
  return AllocateGated(call, sizeBytes, caller,
                       [=]() noexcept { return Finish(AllocateAligned(sizeBytes, alignment)); });
}

// Freeing null is nothing, for the gate too.
void FreeGated(GateCall call, void* block, const void* caller) noexcept {
  using namespace runtime::detail;
  if (block == nullptr) return;
  if (IsFallbackBlock(block)) {
    const bool isInScope = (gateThread.word & kGateFallbackBit) != 0;
    if (isInScope || GateBeforeFree(call, block, caller)) GateFreeToFallback(block);
    return;
  }
  if (OnlyCounts(static_cast<GatePolicy>((gateThread.word >> kGateFreeShift) & 0xFF))) {
    AddOwn(CurrentTally().frees, 1);
    return FreePlain(block);
  }
  if (GateBeforeFree(call, block, caller)) FreePlain(block);
}

void* NewGated(GateCall call, std::size_t sizeBytes, std::size_t alignment, const void* caller) {
  if (void* const block = GateAllocateFromFallback(sizeBytes, alignment); block != nullptr) return block;
  if (!GateBeforeAllocate(call, sizeBytes, caller)) {
#if defined(__cpp_exceptions)
    // The exception itself comes from the C++ library's emergency pool: its malloc is denied too.
    throw std::bad_alloc();
#else
    runtime::detail::GateAbortDeniedNew(call, sizeBytes);
#endif
  }
  void* const block = AllocateThroughHandler(sizeBytes, alignment);
  if (block == nullptr) {
#if defined(__cpp_exceptions)
    throw std::bad_alloc();
#else
    std::abort();
#endif
  }
  GateAfterAllocate(call, block, sizeBytes, caller);
  return block;
}

void* NewNothrowGated(GateCall call, std::size_t sizeBytes, std::size_t alignment,
                      const void* caller) noexcept {
  if (void* const block = GateAllocateFromFallback(sizeBytes, alignment); block != nullptr) return block;
  if (!GateBeforeAllocate(call, sizeBytes, caller)) return nullptr;
  void* block = nullptr;
#if defined(__cpp_exceptions)
  try {  // a new-handler may throw
    block = AllocateThroughHandler(sizeBytes, alignment);
  } catch (...) {
    return nullptr;
  }
#else
  block = AllocateThroughHandler(sizeBytes, alignment);
#endif
  if (block != nullptr) GateAfterAllocate(call, block, sizeBytes, caller);
  return block;
}

}  // namespace stadial::gate

#endif
