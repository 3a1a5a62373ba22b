// Every replaceable form of operator new and delete, over mimalloc, behind the gate. All forms, because
// libmimalloc.so exports its own: whichever is missing here would reach mimalloc ungated.
#include "backend.h"

#if STADIAL_GATE_OVER_MIMALLOC

#include <mimalloc.h>

#include <cstddef>
#include <new>

#include "gated_call.h"

namespace {

using stadial::gate::kDefaultAlignment;
using stadial::runtime::detail::GateCall;
using stadial::runtime::detail::GateThreadBits;

// The short path is for default alignment only; everything else, a failure included, goes through the gated
// call.
[[gnu::always_inline]] inline void* New(GateCall call, std::size_t size, const void* caller) {
  if ((GateThreadBits() | (size >> stadial::gate::kPlainSizeShift)) == 0) [[likely]] {
    if (void* const block = stadial::gate::CallPlainNew(size); block != nullptr) [[likely]]
      return block;
  }
  return stadial::gate::NewGated(call, size, kDefaultAlignment, caller);
}

[[gnu::always_inline]] inline void* NewNothrow(GateCall call, std::size_t size, const void* caller) noexcept {
  if ((GateThreadBits() | (size >> stadial::gate::kPlainSizeShift)) == 0) [[likely]] {
    if (void* const block = stadial::gate::CallPlainNew(size); block != nullptr) [[likely]]
      return block;
  }
  return stadial::gate::NewNothrowGated(call, size, kDefaultAlignment, caller);
}

[[gnu::always_inline]] inline void Delete(GateCall call, void* block, const void* caller) noexcept {
  if ((GateThreadBits() | stadial::gate::OutsideHint(block)) == 0) [[likely]]
    return stadial::gate::CallPlainFree(block);
  stadial::gate::FreeGated(call, block, caller);
}

}  // namespace

#define STADIAL_CALLER __builtin_return_address(0)
#define STADIAL_BYTES(alignment) static_cast<std::size_t>(alignment)

void* operator new(std::size_t size) { return New(GateCall::New, size, STADIAL_CALLER); }
void* operator new[](std::size_t size) { return New(GateCall::NewArray, size, STADIAL_CALLER); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return stadial::gate::NewGated(GateCall::New, size, STADIAL_BYTES(alignment), STADIAL_CALLER);
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return stadial::gate::NewGated(GateCall::NewArray, size, STADIAL_BYTES(alignment), STADIAL_CALLER);
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return NewNothrow(GateCall::New, size, STADIAL_CALLER);
}
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept {
  return NewNothrow(GateCall::NewArray, size, STADIAL_CALLER);
}
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return stadial::gate::NewNothrowGated(GateCall::New, size, STADIAL_BYTES(alignment), STADIAL_CALLER);
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return stadial::gate::NewNothrowGated(GateCall::NewArray, size, STADIAL_BYTES(alignment), STADIAL_CALLER);
}

void operator delete(void* block) noexcept { Delete(GateCall::Delete, block, STADIAL_CALLER); }
void operator delete[](void* block) noexcept { Delete(GateCall::DeleteArray, block, STADIAL_CALLER); }
void operator delete(void* block, std::size_t) noexcept { Delete(GateCall::Delete, block, STADIAL_CALLER); }
void operator delete[](void* block, std::size_t) noexcept {
  Delete(GateCall::DeleteArray, block, STADIAL_CALLER);
}
void operator delete(void* block, std::align_val_t) noexcept {
  Delete(GateCall::Delete, block, STADIAL_CALLER);
}
void operator delete[](void* block, std::align_val_t) noexcept {
  Delete(GateCall::DeleteArray, block, STADIAL_CALLER);
}
void operator delete(void* block, std::size_t, std::align_val_t) noexcept {
  Delete(GateCall::Delete, block, STADIAL_CALLER);
}
void operator delete[](void* block, std::size_t, std::align_val_t) noexcept {
  Delete(GateCall::DeleteArray, block, STADIAL_CALLER);
}
void operator delete(void* block, const std::nothrow_t&) noexcept {
  Delete(GateCall::Delete, block, STADIAL_CALLER);
}
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
