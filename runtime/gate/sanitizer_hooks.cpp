#include "backend.h"

#if !STADIAL_GATE_OVER_MIMALLOC

#include <cerrno>
#include <cstddef>
#include <cstdlib>

#include "sanitizer_hooks.h"
#include "stadial/runtime/gate_state.h"

// gcc ships no header that declares it; weak, because not every sanitizer's runtime has it.
extern "C" [[gnu::weak]] int __sanitizer_install_malloc_and_free_hooks(
    void (*mallocHook)(const volatile void*, std::size_t), void (*freeHook)(const volatile void*));

// The hooks run inside the sanitizer's runtime, also before main and on threads it is still setting up, where
// instrumented code must not run.
#define STADIAL_UNINSTRUMENTED [[gnu::no_sanitize("thread", "address", "undefined")]]

namespace stadial::gate {
namespace {

using runtime::detail::GateCall;

constinit bool hooksInstalled = false;

STADIAL_UNINSTRUMENTED void OnMalloc(const volatile void* block, std::size_t sizeBytes) noexcept {
  if (!runtime::detail::GateHasWork()) return;
  const void* const caller = __builtin_return_address(0);
  runtime::detail::GateBeforeAllocate(GateCall::Sanitizer, sizeBytes, caller);
  runtime::detail::GateAfterAllocate(GateCall::Sanitizer, const_cast<void*>(block), sizeBytes, caller);
}

STADIAL_UNINSTRUMENTED void OnFree(const volatile void* block) noexcept {
  if (block == nullptr || !runtime::detail::GateHasWork()) return;
  runtime::detail::GateBeforeFree(GateCall::Sanitizer, const_cast<void*>(block), __builtin_return_address(0));
}

[[gnu::constructor]] void InstallHooks() noexcept {
  if (__sanitizer_install_malloc_and_free_hooks == nullptr) return;
  hooksInstalled = __sanitizer_install_malloc_and_free_hooks(&OnMalloc, &OnFree) != 0;
}

}  // namespace

bool SanitizerHooksInstalled() noexcept { return hooksInstalled; }

}  // namespace stadial::gate

#if defined(__SANITIZE_THREAD__) && defined(__GNUC__) && !defined(__clang__)

// gcc's ThreadSanitizer calls its hooks for malloc, calloc, realloc and new, but not for the aligned members
// of the family, and with a wrong size for reallocarray. Those are taken over here and forwarded to it, seen
// once whether its hooks fire or not.
extern "C" {
void* __interceptor_memalign(std::size_t alignment, std::size_t size);
void* __interceptor_aligned_alloc(std::size_t alignment, std::size_t size);
int __interceptor_posix_memalign(void** result, std::size_t alignment, std::size_t size);
void* __interceptor_valloc(std::size_t size);
void* __interceptor_pvalloc(std::size_t size);
}

namespace {

using stadial::runtime::detail::GateCall;
using stadial::runtime::detail::gateThread;
using stadial::runtime::detail::kGateBusyBit;

constexpr std::size_t kPageBytes = 4096;

template <class Allocate>
STADIAL_UNINSTRUMENTED void* Watch(std::size_t size, const void* caller, Allocate allocate) noexcept {
  const bool watched = stadial::runtime::detail::GateHasWork() && (gateThread.word & kGateBusyBit) == 0;
  if (!watched) return allocate();
  stadial::runtime::detail::GateBeforeAllocate(GateCall::Sanitizer, size, caller);
  gateThread.word |= kGateBusyBit;
  void* const block = allocate();
  gateThread.word &= ~kGateBusyBit;
  if (block != nullptr) stadial::runtime::detail::GateAfterAllocate(GateCall::Sanitizer, block, size, caller);
  return block;
}

}  // namespace

extern "C" {

STADIAL_UNINSTRUMENTED void* memalign(std::size_t alignment, std::size_t size) noexcept {
  return Watch(
      size, __builtin_return_address(0), [=]() __attribute__((no_sanitize("thread"))) {
        return __interceptor_memalign(alignment, size);
      });
}
STADIAL_UNINSTRUMENTED void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  return Watch(
      size, __builtin_return_address(0), [=]() __attribute__((no_sanitize("thread"))) {
        return __interceptor_aligned_alloc(alignment, size);
      });
}
STADIAL_UNINSTRUMENTED int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
  int error = 0;
  void* block = nullptr;
  Watch(
      size, __builtin_return_address(0), [&]() __attribute__((no_sanitize("thread"))) {
        error = __interceptor_posix_memalign(&block, alignment, size);
        return error == 0 ? block : nullptr;
      });
  if (error == 0) *result = block;
  return error;
}
STADIAL_UNINSTRUMENTED void* reallocarray(void* block, std::size_t count, std::size_t size) noexcept {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) {
    errno = ENOMEM;
    return nullptr;
  }
  return std::realloc(block, bytes);
}
STADIAL_UNINSTRUMENTED void* valloc(std::size_t size) noexcept {
  return Watch(
      size, __builtin_return_address(0), [=]() __attribute__((no_sanitize("thread"))) {
        return __interceptor_valloc(size);
      });
}
STADIAL_UNINSTRUMENTED void* pvalloc(std::size_t size) noexcept {
  const std::size_t pages = (size + kPageBytes - 1) / kPageBytes * kPageBytes;
  return Watch(
      pages, __builtin_return_address(0), [=]() __attribute__((no_sanitize("thread"))) {
        return __interceptor_pvalloc(size);
      });
}

}  // extern "C"

#endif

#endif
