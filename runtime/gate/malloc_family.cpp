// malloc and its family over mimalloc, behind the gate. Nothing here is initialised at run time, and no path takes a
// lock: the dynamic linker calls these before the first constructor, and a forked child right after fork.
#include "backend.h"

#if STADIAL_GATE_OVER_MIMALLOC

#include <malloc.h>
#include <mimalloc.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "block_origin.h"
#include "gated_call.h"

namespace {

using stadial::gate::AllocateAligned;
using stadial::gate::AllocateGated;
using stadial::gate::Finish;
using stadial::gate::FreeBlock;
using stadial::gate::FreeGated;
using stadial::runtime::detail::GateCall;
using stadial::runtime::detail::GateHasWork;

constexpr std::size_t kSizeMax = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());

std::size_t PageBytes() noexcept { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

void* Fail(int error) noexcept {
  errno = error;
  return nullptr;
}

// The size that reports and counters show; a product that overflows fails later, in mimalloc.
std::size_t ProductOrMax(std::size_t count, std::size_t size) noexcept {
  std::size_t product = 0;
  return __builtin_mul_overflow(count, size, &product) ? SIZE_MAX : product;
}

void* ReallocBlock(void* block, std::size_t size) noexcept {
  if (block != nullptr && !stadial::gate::IsBackendBlock(block)) return stadial::gate::ReallocForeign(block, size);
  if (block != nullptr && size == 0) {  // as glibc: the block is gone
    mi_free(block);
    return nullptr;
  }
  return Finish(mi_realloc(block, size));
}

// A realloc is an allocation and, given a block, a free: both policies must agree before the old block goes. Trackers
// hear of the free before the address can be given to another thread, so a block that moves is allocated first.
[[gnu::noinline]] void* ReallocGated(GateCall call, void* block, std::size_t size, const void* caller) noexcept {
  using namespace stadial::runtime::detail;
  if (size == 0 && block != nullptr) {
    FreeGated(call, block, caller);
    return nullptr;
  }
  if (!GateBeforeAllocate(call, size, caller)) return Fail(ENOMEM);
  void* moved = nullptr;
  if (block == nullptr) {
    moved = Finish(mi_malloc(size));
  } else if (!stadial::gate::IsBackendBlock(block)) {
    if (!GateBeforeFree(call, block, caller)) return Fail(ENOMEM);
    moved = stadial::gate::ReallocForeign(block, size);
  } else if (const std::size_t usable = mi_usable_size(block); size <= usable && size >= usable / 2) {
    if (!GateBeforeFree(call, block, caller)) return Fail(ENOMEM);
    moved = block;
  } else {
    moved = Finish(mi_malloc(size));
    if (moved == nullptr) return nullptr;
    if (!GateBeforeFree(call, block, caller)) {
      mi_free(moved);
      return Fail(ENOMEM);
    }
    std::memcpy(moved, block, std::min(size, usable));
    mi_free(block);
  }
  if (moved != nullptr) GateAfterAllocate(call, moved, size, caller);
  return moved;
}

void* AlignedOf(GateCall call, std::size_t alignment, std::size_t size, const void* caller) noexcept {
  if (size > kSizeMax - alignment) return Fail(ENOMEM);
  if (!GateHasWork()) [[likely]] return Finish(AllocateAligned(size, alignment));
  return AllocateGated(call, size, caller, [=]() noexcept { return AllocateAligned(size, alignment); });
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) noexcept {
  if (!GateHasWork()) [[likely]] return Finish(mi_malloc(size));
  return AllocateGated(GateCall::Malloc, size, __builtin_return_address(0), [=]() noexcept { return mi_malloc(size); });
}

void free(void* block) noexcept {
  if (!GateHasWork()) [[likely]] return FreeBlock(block);
  FreeGated(GateCall::Free, block, __builtin_return_address(0));
}

void* calloc(std::size_t count, std::size_t size) noexcept {
  if (!GateHasWork()) [[likely]] return Finish(mi_calloc(count, size));
  return AllocateGated(GateCall::Calloc, ProductOrMax(count, size), __builtin_return_address(0),
                       [=]() noexcept { return mi_calloc(count, size); });
}

void* realloc(void* block, std::size_t size) noexcept {
  if (!GateHasWork()) [[likely]] return ReallocBlock(block, size);
  return ReallocGated(GateCall::Realloc, block, size, __builtin_return_address(0));
}

void* reallocarray(void* block, std::size_t count, std::size_t size) noexcept {
  const std::size_t bytes = ProductOrMax(count, size);
  if (bytes == SIZE_MAX) return Fail(ENOMEM);
  if (!GateHasWork()) [[likely]] return ReallocBlock(block, bytes);
  return ReallocGated(GateCall::ReallocArray, block, bytes, __builtin_return_address(0));
}

void* memalign(std::size_t alignment, std::size_t size) noexcept {
  if (alignment > kSizeMax) return Fail(EINVAL);
  return AlignedOf(GateCall::Memalign, std::bit_ceil(alignment), size, __builtin_return_address(0));
}

void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  if (!std::has_single_bit(alignment) || alignment > kSizeMax) return Fail(EINVAL);
  return AlignedOf(GateCall::AlignedAlloc, alignment, size, __builtin_return_address(0));
}

int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
  if (!std::has_single_bit(alignment) || alignment % sizeof(void*) != 0 || alignment > kSizeMax) return EINVAL;
  const int savedErrno = errno;
  void* const block = AlignedOf(GateCall::PosixMemalign, alignment, size, __builtin_return_address(0));
  errno = savedErrno;
  if (block == nullptr) return ENOMEM;
  *result = block;
  return 0;
}

void* valloc(std::size_t size) noexcept { return AlignedOf(GateCall::Valloc, PageBytes(), size, __builtin_return_address(0)); }

void* pvalloc(std::size_t size) noexcept {
  const std::size_t page = PageBytes();
  if (size > kSizeMax - page) return Fail(ENOMEM);
  return AlignedOf(GateCall::Pvalloc, page, (size + page - 1) / page * page, __builtin_return_address(0));
}

std::size_t malloc_usable_size(void* block) noexcept {
  if (block == nullptr) return 0;
  return stadial::gate::IsBackendBlock(block) ? mi_usable_size(block) : stadial::gate::UsableSizeForeign(block);
}

// Names by which the C library's own allocator can be called past malloc. mimalloc defines them too; without these
// they would reach it ungated.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmissing-attributes"  // attributes that only guide callers
#endif
void* __libc_malloc(std::size_t size) noexcept __attribute__((alias("malloc")));
void __libc_free(void* block) noexcept __attribute__((alias("free")));
void* __libc_calloc(std::size_t count, std::size_t size) noexcept __attribute__((alias("calloc")));
void* __libc_realloc(void* block, std::size_t size) noexcept __attribute__((alias("realloc")));
void* __libc_memalign(std::size_t alignment, std::size_t size) noexcept __attribute__((alias("memalign")));
void* __libc_valloc(std::size_t size) noexcept __attribute__((alias("valloc")));
void* __libc_pvalloc(std::size_t size) noexcept __attribute__((alias("pvalloc")));
int __posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept __attribute__((alias("posix_memalign")));

}  // extern "C"

#endif
