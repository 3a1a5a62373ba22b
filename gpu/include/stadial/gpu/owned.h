// Owned<T>: the unique owner of an object that lives in the runtime's Setup arena. Destroying the owner runs
// the destructor; the bytes stay in Setup until the process ends, as all Setup memory does. Creation is
// possible in the Setup phase only. Never allocates outside the arena.
#pragma once

#include <memory>
#include <new>
#include <utility>

#include "stadial/arenas/arena.h"
#include "stadial/gpu/vulkan.h"

namespace stadial::gpu {

struct DestroyInPlace {
  template <class T>
  void operator()(T* object) const noexcept {
    object->~T();
  }
};

template <class T>
using Owned = std::unique_ptr<T, DestroyInPlace>;

// Places a T in `arena`; an error (which names the arena and what is left in it) when it does not fit.
template <class T, class... Args>
Result<Owned<T>> MakeOwned(arenas::Arena& arena, const char* what, Args&&... args) noexcept {
  void* storage = arena.TryAllocate(sizeof(T), alignof(T));
  if (storage == nullptr) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "%s: asked %zu B of arena '%s', %zu B left of %zu B; raise RuntimeOptions::setupBytes", what,
        sizeof(T), arena.Name(), arena.RemainingBytes(), arena.CapacityBytes());
  }
  return Owned<T>(new (storage) T(std::forward<Args>(args)...));
}

}  // namespace stadial::gpu
