#include "block_origin.h"

#include "backend.h"

#if STADIAL_GATE_OVER_MIMALLOC

#include <dlfcn.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>

// The end of the program's own data, after which the program break starts; the linker defines it.
extern "C" const char end[];

namespace stadial::gate {

constinit std::atomic<std::uint64_t> foreignBlocks{0};

namespace {

// mimalloc 2.x finds a block's segment by masking the address, so a stretch of this size is its own whole or
// not at all.
constexpr unsigned kStretchShift = 25;
// Blocks outside the hinted range are rare and large: 4,096 stretches are 128 GiB of them.
constexpr std::size_t kStretchesMax = 4096;
constinit std::atomic<std::uintptr_t> stretches[kStretchesMax] =
    {};  // stretch number, 0: free; never removed

std::uintptr_t StretchOf(const void* block) noexcept {
  // A block may begin exactly where a stretch ends: its segment is the one before.
  return (reinterpret_cast<std::uintptr_t>(block) - 1) >> kStretchShift;
}
std::size_t HomeOf(std::uintptr_t stretch) noexcept { return (stretch * 0x9E3779B97F4A7C15u) >> 52; }
static_assert(kStretchesMax == std::size_t{1} << 12, "HomeOf keeps the top 12 of 64 bits");

bool IsRemembered(const void* block) noexcept {
  const std::uintptr_t stretch = StretchOf(block);
  for (std::size_t probe = 0; probe < kStretchesMax; ++probe) {
    const std::uintptr_t seen =
        stretches[(HomeOf(stretch) + probe) % kStretchesMax].load(std::memory_order_acquire);
    if (seen == stretch) return true;
    if (seen == 0) return false;
  }
  return false;
}

// glibc keeps two words in front of each block: the size of the chunk before, and its own size with three
// flags.
constexpr std::uintptr_t kChunkFromMmap = 2;
constexpr std::uintptr_t kChunkOfThreadArena = 4;
constexpr std::uintptr_t kChunkFlags = 7;
constexpr std::uintptr_t kPageMask = 4095;
constexpr std::uintptr_t kThreadHeapBytes = std::uintptr_t{64} << 20;

struct ThreadHeap {  // the start of glibc's heap_info
  std::uintptr_t arena;
  std::uintptr_t previous;
  std::uintptr_t sizeBytes;
};

// Through the kernel, because the address may be nothing.
bool ReadSafely(std::uintptr_t from, void* to, std::size_t bytes) noexcept {
  iovec local{to, bytes};
  iovec remote{reinterpret_cast<void*>(from), bytes};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == static_cast<ssize_t>(bytes);
}

bool IsCLibraryBlock(const void* block) noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(block);
  // The program break is glibc's alone: mimalloc maps.
  if (at >= reinterpret_cast<std::uintptr_t>(&end) && at < reinterpret_cast<std::uintptr_t>(sbrk(0)))
    return true;
  std::uintptr_t chunk[2];
  if (at % 16 != 0 || !ReadSafely(at - sizeof chunk, chunk, sizeof chunk)) return false;
  const std::uintptr_t sizeBytes = chunk[1] & ~kChunkFlags;
  if (sizeBytes < 32) return false;
  if ((chunk[1] & kChunkFromMmap) != 0) {
    const std::uintptr_t start = at - sizeof chunk - chunk[0];
    return (start & kPageMask) == 0 && ((chunk[0] + sizeBytes) & kPageMask) == 0;
  }
  if ((chunk[1] & kChunkOfThreadArena) == 0) return false;
  const std::uintptr_t heapAt = at & ~(kThreadHeapBytes - 1);
  ThreadHeap heap{};
  if (!ReadSafely(heapAt, &heap, sizeof heap)) return false;
  return heap.arena != 0 && heap.sizeBytes <= kThreadHeapBytes && (heap.sizeBytes & kPageMask) == 0 &&
         at < heapAt + heap.sizeBytes;
}

struct ForeignFunctions {
  std::atomic<void (*)(void*)> free{nullptr};
  std::atomic<void* (*)(void*, std::size_t)> realloc{nullptr};
  std::atomic<std::size_t (*)(void*)> usableSize{nullptr};
};
constinit ForeignFunctions cLibrary;

template <class Function>
void Resolve(void* handle, const char* name, std::atomic<Function>& function) noexcept {
  void* const address = dlsym(handle, name);
  Function typed = nullptr;
  static_assert(sizeof typed == sizeof address);
  std::memcpy(&typed, &address, sizeof typed);
  function.store(typed, std::memory_order_release);
}

// A lookup through the C library's own handle finds its own definitions, not the ones that replace them.
[[gnu::constructor]] void ResolveForeignFunctions() noexcept {
  void* const handle = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
  if (handle == nullptr) return;
  Resolve(handle, "free", cLibrary.free);
  Resolve(handle, "realloc", cLibrary.realloc);
  Resolve(handle, "malloc_usable_size", cLibrary.usableSize);
}

}  // namespace

void RememberUnhinted(const void* block) noexcept {
  const std::uintptr_t stretch = StretchOf(block);
  for (std::size_t probe = 0; probe < kStretchesMax; ++probe) {
    std::atomic<std::uintptr_t>& entry = stretches[(HomeOf(stretch) + probe) % kStretchesMax];
    std::uintptr_t seen = entry.load(std::memory_order_relaxed);
    if (seen == stretch) return;
    if (seen == 0 &&
        (entry.compare_exchange_strong(seen, stretch, std::memory_order_release) || seen == stretch))
      return;
  }
  // The table is full; IsCLibraryBlock decides about the rest.
}

bool IsUnhintedBackendBlock(const void* block) noexcept {
  return IsRemembered(block) || !IsCLibraryBlock(block);
}

void FreeForeign(void* block) noexcept {
  foreignBlocks.fetch_add(1, std::memory_order_relaxed);
  if (const auto function = cLibrary.free.load(std::memory_order_acquire); function != nullptr)
    function(block);
}

void* ReallocForeign(void* block, std::size_t sizeBytes) noexcept {
  foreignBlocks.fetch_add(1, std::memory_order_relaxed);
  const auto function = cLibrary.realloc.load(std::memory_order_acquire);
  return function == nullptr ? nullptr : function(block, sizeBytes);
}

std::size_t UsableSizeForeign(void* block) noexcept {
  const auto function = cLibrary.usableSize.load(std::memory_order_acquire);
  return function == nullptr ? 0 : function(block);
}

}  // namespace stadial::gate

#endif
