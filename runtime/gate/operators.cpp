// Every replaceable form of operator new and delete, over mimalloc, behind the gate. All forms, because libmimalloc.so
// exports its own: whichever is missing here would reach mimalloc ungated.
#include "backend.h"

#if STADIAL_GATE_OVER_MIMALLOC

#include <mimalloc.h>

#include <cstddef>
#include <cstdlib>
#include <new>

#include "gated_call.h"

namespace {

using stadial::gate::AllocateAligned;
using stadial::gate::Finish;
using stadial::gate::FreeBlock;
using stadial::gate::FreeGated;
using stadial::runtime::detail::GateAbortDeniedNew;
using stadial::runtime::detail::GateBeforeAllocate;
using stadial::runtime::detail::GateAfterAllocate;
using stadial::runtime::detail::GateCall;
using stadial::runtime::detail::GateHasWork;

constexpr std::size_t kDefaultAlignment = 0;

void* AllocateBlock(std::size_t size, std::size_t alignment) noexcept {
  return alignment == kDefaultAlignment ? mi_malloc(size) : AllocateAligned(size, alignment);
}

// The standard's loop: ask the new-handler for memory until it gives up.
[[gnu::noinline, gnu::cold]] void* RetryThroughHandler(std::size_t size, std::size_t alignment) {
  for (;;) {
    if (void* const block = Finish(AllocateBlock(size, alignment)); block != nullptr) return block;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) {
#if defined(__cpp_exceptions)
      throw std::bad_alloc();
#else
      std::abort();
#endif
    }
    handler();
  }
}

void* RetryNothrow(std::size_t size, std::size_t alignment) noexcept {
#if defined(__cpp_exceptions)
  try {
    return RetryThroughHandler(size, alignment);
  } catch (...) {
    return nullptr;
  }
#else
  for (;;) {
    if (void* const block = Finish(AllocateBlock(size, alignment)); block != nullptr) return block;
    const std::new_handler handler = std::get_new_handler();
    if (handler == nullptr) return nullptr;
    handler();
  }
#endif
}

[[gnu::noinline]] void* NewGated(GateCall call, std::size_t size, std::size_t alignment, const void* caller) {
  if (!GateBeforeAllocate(call, size, caller)) GateAbortDeniedNew(call, size);
  void* block = Finish(AllocateBlock(size, alignment));
  if (block == nullptr) block = RetryThroughHandler(size, alignment);
  GateAfterAllocate(call, block, size, caller);
  return block;
}

[[gnu::noinline]] void* NewNothrowGated(GateCall call, std::size_t size, std::size_t alignment, const void* caller) noexcept {
  if (!GateBeforeAllocate(call, size, caller)) return nullptr;
  void* block = Finish(AllocateBlock(size, alignment));
  if (block == nullptr) block = RetryNothrow(size, alignment);
  if (block != nullptr) GateAfterAllocate(call, block, size, caller);
  return block;
}

[[gnu::always_inline]] inline void* New(GateCall call, std::size_t size, std::size_t alignment, const void* caller) {
  if (GateHasWork()) [[unlikely]] return NewGated(call, size, alignment, caller);
  void* const block = AllocateBlock(size, alignment);
  if (stadial::gate::IsHinted(block)) [[likely]] return block;
  if (block == nullptr) return RetryThroughHandler(size, alignment);
  return Finish(block);
}

[[gnu::always_inline]] inline void* NewNothrow(GateCall call, std::size_t size, std::size_t alignment,
                                               const void* caller) noexcept {
  if (GateHasWork()) [[unlikely]] return NewNothrowGated(call, size, alignment, caller);
  void* const block = AllocateBlock(size, alignment);
  if (stadial::gate::IsHinted(block)) [[likely]] return block;
  if (block == nullptr) return RetryNothrow(size, alignment);
  return Finish(block);
}

[[gnu::always_inline]] inline void Delete(GateCall call, void* block, const void* caller) noexcept {
  if (GateHasWork()) [[unlikely]] return FreeGated(call, block, caller);
  FreeBlock(block);
}

}  // namespace

#define STADIAL_CALLER __builtin_return_address(0)
#define STADIAL_BYTES(alignment) static_cast<std::size_t>(alignment)

void* operator new(std::size_t size) { return New(GateCall::New, size, kDefaultAlignment, STADIAL_CALLER); }
void* operator new[](std::size_t size) { return New(GateCall::NewArray, size, kDefaultAlignment, STADIAL_CALLER); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return New(GateCall::New, size, STADIAL_BYTES(alignment), STADIAL_CALLER);
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return New(GateCall::NewArray, size, STADIAL_BYTES(alignment), STADIAL_CALLER);
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return NewNothrow(GateCall::New, size, kDefaultAlignment, STADIAL_CALLER);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return NewNothrow(GateCall::NewArray, size, kDefaultAlignment, STADIAL_CALLER);
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return NewNothrow(GateCall::New, size, STADIAL_BYTES(alignment), STADIAL_CALLER);
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return NewNothrow(GateCall::NewArray, size, STADIAL_BYTES(alignment), STADIAL_CALLER);
}

void operator delete(void* block) noexcept { Delete(GateCall::Delete, block, STADIAL_CALLER); }
void operator delete[](void* block) noexcept { Delete(GateCall::DeleteArray, block, STADIAL_CALLER); }
void operator delete(void* block, std::size_t) noexcept { Delete(GateCall::Delete, block, STADIAL_CALLER); }
void operator delete[](void* block, std::size_t) noexcept { Delete(GateCall::DeleteArray, block, STADIAL_CALLER); }
void operator delete(void* block, std::align_val_t) noexcept { Delete(GateCall::Delete, block, STADIAL_CALLER); }
void operator delete[](void* block, std::align_val_t) noexcept { Delete(GateCall::DeleteArray, block, STADIAL_CALLER); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
  Delete(GateCall::Delete, block, STADIAL_CALLER);
}
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept {
  Delete(GateCall::DeleteArray, block, STADIAL_CALLER);
}
void operator delete(void* block, const std::nothrow_t&) noexcept { Delete(GateCall::Delete, block, STADIAL_CALLER); }
void operator delete[](void* block, const std::nothrow_t&) noexcept {
  Delete(GateCall::DeleteArray, block, STADIAL_CALLER);
}
void operator delete(void* block, std::align_val_t, const std::nothrow_t&) noexcept {
  Delete(GateCall::Delete, block, STADIAL_CALLER);
}
void operator delete[](void* block, std::align_val_t, const std::nothrow_t&) noexcept {
  Delete(GateCall::DeleteArray, block, STADIAL_CALLER);
}

#endif
