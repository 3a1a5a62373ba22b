// The gate's account of itself. The runtime library looks for it weakly: its presence is what "linked" means.
#include "gate_object.h"

#include "backend.h"

#if STADIAL_GATE_OVER_MIMALLOC

#include <malloc.h>

#include <cstdlib>
#include <new>

#include "block_origin.h"
#include "gated_call.h"

namespace {

using stadial::runtime::detail::GateObject;
using stadial::runtime::detail::GateSymbol;

template <class Function>
GateSymbol Symbol(const char* name, Function* function) noexcept {
  return {name, reinterpret_cast<const void*>(function)};
}

}  // namespace

extern "C" const GateObject* StadialGateObject() noexcept {
  using Size = std::size_t;
  using Align = std::align_val_t;
  using Nothrow = const std::nothrow_t&;
  // Filled at the first call, which the self-test and the scan make, never on the malloc path.
  static const GateSymbol symbols[] = {
      Symbol("malloc", &malloc),
      Symbol("free", &free),
      Symbol("calloc", &calloc),
      Symbol("realloc", &realloc),
      Symbol("reallocarray", &reallocarray),
      Symbol("memalign", &memalign),
      Symbol("posix_memalign", &posix_memalign),
      Symbol("aligned_alloc", &aligned_alloc),
      Symbol("valloc", &valloc),
      Symbol("pvalloc", &pvalloc),
      Symbol("malloc_usable_size", &malloc_usable_size),
      Symbol<void*(Size)>("_Znwm", &operator new),
      Symbol<void*(Size)>("_Znam", &operator new[]),
      Symbol<void*(Size, Align)>("_ZnwmSt11align_val_t", &operator new),
      Symbol<void*(Size, Align)>("_ZnamSt11align_val_t", &operator new[]),
      Symbol<void*(Size, Nothrow) noexcept>("_ZnwmRKSt9nothrow_t", &operator new),
      Symbol<void*(Size, Nothrow) noexcept>("_ZnamRKSt9nothrow_t", &operator new[]),
      Symbol<void*(Size, Align, Nothrow) noexcept>("_ZnwmSt11align_val_tRKSt9nothrow_t", &operator new),
      Symbol<void*(Size, Align, Nothrow) noexcept>("_ZnamSt11align_val_tRKSt9nothrow_t", &operator new[]),
      Symbol<void(void*) noexcept>("_ZdlPv", &operator delete),
      Symbol<void(void*) noexcept>("_ZdaPv", &operator delete[]),
      Symbol<void(void*, Size) noexcept>("_ZdlPvm", &operator delete),
      Symbol<void(void*, Size) noexcept>("_ZdaPvm", &operator delete[]),
      Symbol<void(void*, Align) noexcept>("_ZdlPvSt11align_val_t", &operator delete),
      Symbol<void(void*, Align) noexcept>("_ZdaPvSt11align_val_t", &operator delete[]),
      Symbol<void(void*, Size, Align) noexcept>("_ZdlPvmSt11align_val_t", &operator delete),
      Symbol<void(void*, Size, Align) noexcept>("_ZdaPvmSt11align_val_t", &operator delete[]),
      Symbol<void(void*, Nothrow) noexcept>("_ZdlPvRKSt9nothrow_t", &operator delete),
      Symbol<void(void*, Nothrow) noexcept>("_ZdaPvRKSt9nothrow_t", &operator delete[]),
      Symbol<void(void*, Align, Nothrow) noexcept>("_ZdlPvSt11align_val_tRKSt9nothrow_t", &operator delete),
      Symbol<void(void*, Align, Nothrow) noexcept>("_ZdaPvSt11align_val_tRKSt9nothrow_t", &operator delete[]),
  };
  static const GateObject object{"malloc family and operators over mimalloc",
                                 true,
                                 true,
                                 nullptr,
                                 symbols,
                                 sizeof symbols / sizeof symbols[0],
                                 &stadial::gate::foreignBlocks,
                                 &stadial::gate::WatchPlainCalls};
  return &object;
}

#else

#include "sanitizer_hooks.h"

extern "C" const stadial::runtime::detail::GateObject* StadialGateObject() noexcept {
  const bool hooked = stadial::gate::SanitizerHooksInstalled();
  static const stadial::runtime::detail::GateObject object{
      "sanitizer malloc hooks",
      false,
      hooked,
      hooked ? nullptr : "this sanitizer has no __sanitizer_install_malloc_and_free_hooks",
      nullptr,
      0,
      nullptr,
      nullptr};
  return &object;
}

#endif
