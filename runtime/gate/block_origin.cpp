#include "block_origin.h"

#include <dlfcn.h>

#include <cstring>

#include "backend.h"

#if STADIAL_GATE_OVER_MIMALLOC

namespace stadial::gate {

constinit std::atomic<std::uint64_t> foreignBlocks{0};

namespace {

// Blocks outside the hinted range are rare and large: 4,096 stretches are 128 GiB of them.
constexpr std::size_t kStretchesMax = 4096;
constinit std::atomic<std::uintptr_t> stretches[kStretchesMax];  // stretch number, 0: free; never removed
constinit std::atomic<bool> stretchesFull{false};

std::uintptr_t StretchOf(const void* block) noexcept {
  // A block may begin exactly where a stretch ends: its segment is the one before.
  return (reinterpret_cast<std::uintptr_t>(block) - 1) >> kStretchShift;
}
std::size_t HomeOf(std::uintptr_t stretch) noexcept { return (stretch * 0x9E3779B97F4A7C15u) >> 52; }
static_assert(kStretchesMax == std::size_t{1} << 12, "HomeOf keeps the top 12 of 64 bits");

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
    if (seen == 0 && (entry.compare_exchange_strong(seen, stretch, std::memory_order_release) || seen == stretch)) return;
  }
  stretchesFull.store(true, std::memory_order_release);
}

bool IsRememberedUnhinted(const void* block) noexcept {
  const std::uintptr_t stretch = StretchOf(block);
  for (std::size_t probe = 0; probe < kStretchesMax; ++probe) {
    const std::uintptr_t seen = stretches[(HomeOf(stretch) + probe) % kStretchesMax].load(std::memory_order_acquire);
    if (seen == stretch) return true;
    if (seen == 0) break;
  }
  return stretchesFull.load(std::memory_order_acquire);
}

void FreeForeign(void* block) noexcept {
  foreignBlocks.fetch_add(1, std::memory_order_relaxed);
  if (const auto function = cLibrary.free.load(std::memory_order_acquire); function != nullptr) function(block);
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
