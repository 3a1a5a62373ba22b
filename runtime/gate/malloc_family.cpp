// malloc and its family over mimalloc, behind the gate. Nothing here is initialised at run time, and no path
// takes a lock: the dynamic linker calls these before the first constructor, and a forked child right after
// fork.
#include "backend.h"

#if STADIAL_GATE_OVER_MIMALLOC

#include <malloc.h>
#include <mimalloc.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "gated_call.h"

namespace {

using stadial::gate::AlignedGated;
using stadial::gate::IsPlainCall;
using stadial::runtime::detail::GateCall;
using stadial::runtime::detail::GateHasWork;
using stadial::runtime::detail::GateThreadBits;

constexpr std::size_t kSizeMax = static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max());

std::size_t PageBytes() noexcept { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

void* Fail(int error) noexcept {
  errno = error;
  return nullptr;
}

}  // namespace

extern "C" {

void* malloc(std::size_t size) noexcept {
  if ((GateThreadBits() | (size >> stadial::gate::kPlainSizeShift)) == 0) [[likely]]
    return stadial::gate::CallPlainMalloc(size);
  return stadial::gate::MallocGated(size, __builtin_return_address(0));
}

void free(void* block) noexcept {
  if ((GateThreadBits() | stadial::gate::OutsideHint(block)) == 0) [[likely]]
    return stadial::gate::CallPlainFree(block);
  stadial::gate::FreeGated(GateCall::Free, block, __builtin_return_address(0));
}

void* calloc(std::size_t count, std::size_t size) noexcept {
  // Both below 2^23 do not make the product plain, their or below 2^11 does.
  constexpr unsigned kHalfShift = stadial::gate::kPlainSizeShift / 2;
  if (!GateHasWork() && ((count | size) >> kHalfShift) == 0) [[likely]]
    return mi_zalloc(count * size);
  return stadial::gate::CallocGated(count, size, __builtin_return_address(0));
}

void* realloc(void* block, std::size_t size) noexcept {
  if (IsPlainCall(size) && size != 0 && (block == nullptr || stadial::gate::IsHinted(block))) [[likely]] {
    return mi_realloc(block, size);
  }
  return stadial::gate::ReallocGated(GateCall::Realloc, block, size, __builtin_return_address(0));
}

void* reallocarray(void* block, std::size_t count, std::size_t size) noexcept {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(count, size, &bytes)) return Fail(ENOMEM);
  return stadial::gate::ReallocGated(GateCall::ReallocArray, block, bytes, __builtin_return_address(0));
}

void* memalign(std::size_t alignment, std::size_t size) noexcept {
  if (alignment > kSizeMax / 2) return Fail(EINVAL);
  return AlignedGated(GateCall::Memalign, std::bit_ceil(alignment), size, __builtin_return_address(0));
}

void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  if (!std::has_single_bit(alignment)) return Fail(EINVAL);
  return AlignedGated(GateCall::AlignedAlloc, alignment, size, __builtin_return_address(0));
}

int posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept {
  if (!std::has_single_bit(alignment) || alignment % sizeof(void*) != 0) return EINVAL;
  const int savedErrno = errno;
  void* const block = AlignedGated(GateCall::PosixMemalign, alignment, size, __builtin_return_address(0));
  errno = savedErrno;
  if (block == nullptr) return ENOMEM;
  *result = block;
  return 0;
}

void* valloc(std::size_t size) noexcept {
  return AlignedGated(GateCall::Valloc, PageBytes(), size, __builtin_return_address(0));
}

void* pvalloc(std::size_t size) noexcept {
  const std::size_t page = PageBytes();
  if (size > kSizeMax - page) return Fail(ENOMEM);
  return AlignedGated(GateCall::Pvalloc, page, (size + page - 1) / page * page, __builtin_return_address(0));
}

std::size_t malloc_usable_size(void* block) noexcept {
  if (block == nullptr) return 0;
  if (!stadial::gate::IsHinted(block)) {
    if (const std::size_t bytes = stadial::runtime::detail::GateFallbackBlockBytes(block); bytes != 0)
      return bytes;
  }
  return stadial::gate::IsBackendBlock(block) ? mi_usable_size(block)
                                              : stadial::gate::UsableSizeForeign(block);
}

// Names by which the C library's own allocator can be called past malloc. mimalloc defines them too; without
// these they would reach it ungated.
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
int __posix_memalign(void** result, std::size_t alignment, std::size_t size) noexcept
    __attribute__((alias("posix_memalign")));

}  // extern "C"

#endif
