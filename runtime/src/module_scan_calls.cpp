#include "module_scan_calls.h"

#include <cstring>
#include <new>

namespace stadial::runtime::detail {
namespace {

using Size = std::size_t;
using Align = std::align_val_t;
using Nothrow = const std::nothrow_t&;

constexpr Size kBytes = 16;
constexpr Size kAlignment = 16;
constexpr Align kAlign{kAlignment};

template <class Function>
Function* As(void* function) noexcept {
  return reinterpret_cast<Function*>(function);
}

// What gives back null, and so does nothing.
template <class... Rest>
void* CallWithNull(void* function, Rest... rest) {
  As<void(void*, Rest...)>(function)(nullptr, rest...);
  return nullptr;
}

void* CallPosixMemalign(void* function) {
  void* block = nullptr;
  return As<int(void**, Size, Size)>(function)(&block, kAlignment, kBytes) == 0 ? block : nullptr;
}

}  // namespace

const WatchedCall kWatchedCalls[kWatchedCallCount] = {
    {"malloc", "free", [](void* f) { return As<void*(Size)>(f)(kBytes); }},
    {"free", nullptr, [](void* f) { return CallWithNull(f); }},
    {"calloc", "free", [](void* f) { return As<void*(Size, Size)>(f)(1, kBytes); }},
    {"realloc", "free", [](void* f) { return As<void*(void*, Size)>(f)(nullptr, kBytes); }},
    {"reallocarray", "free", [](void* f) { return As<void*(void*, Size, Size)>(f)(nullptr, 1, kBytes); }},
    {"memalign", "free", [](void* f) { return As<void*(Size, Size)>(f)(kAlignment, kBytes); }},
    {"posix_memalign", "free", CallPosixMemalign},
    {"aligned_alloc", "free", [](void* f) { return As<void*(Size, Size)>(f)(kAlignment, kBytes); }},
    {"valloc", "free", [](void* f) { return As<void*(Size)>(f)(kBytes); }},
    {"pvalloc", "free", [](void* f) { return As<void*(Size)>(f)(kBytes); }},
    {"malloc_usable_size", nullptr,
     [](void* f) { return As<Size(void*)>(f)(nullptr), static_cast<void*>(nullptr); }},
    {"_Znwm", "_ZdlPv", [](void* f) { return As<void*(Size)>(f)(kBytes); }},
    {"_Znam", "_ZdaPv", [](void* f) { return As<void*(Size)>(f)(kBytes); }},
    {"_ZnwmSt11align_val_t", "_ZdlPvSt11align_val_t",
     [](void* f) { return As<void*(Size, Align)>(f)(kBytes, kAlign); }},
    {"_ZnamSt11align_val_t", "_ZdaPvSt11align_val_t",
     [](void* f) { return As<void*(Size, Align)>(f)(kBytes, kAlign); }},
    {"_ZnwmRKSt9nothrow_t", "_ZdlPv",
     [](void* f) { return As<void*(Size, Nothrow)>(f)(kBytes, std::nothrow); }},
    {"_ZnamRKSt9nothrow_t", "_ZdaPv",
     [](void* f) { return As<void*(Size, Nothrow)>(f)(kBytes, std::nothrow); }},
    {"_ZnwmSt11align_val_tRKSt9nothrow_t", "_ZdlPvSt11align_val_t",
     [](void* f) { return As<void*(Size, Align, Nothrow)>(f)(kBytes, kAlign, std::nothrow); }},
    {"_ZnamSt11align_val_tRKSt9nothrow_t", "_ZdaPvSt11align_val_t",
     [](void* f) { return As<void*(Size, Align, Nothrow)>(f)(kBytes, kAlign, std::nothrow); }},
    {"_ZdlPv", nullptr, [](void* f) { return CallWithNull(f); }},
    {"_ZdaPv", nullptr, [](void* f) { return CallWithNull(f); }},
    {"_ZdlPvm", nullptr, [](void* f) { return CallWithNull<Size>(f, kBytes); }},
    {"_ZdaPvm", nullptr, [](void* f) { return CallWithNull<Size>(f, kBytes); }},
    {"_ZdlPvSt11align_val_t", nullptr, [](void* f) { return CallWithNull<Align>(f, kAlign); }},
    {"_ZdaPvSt11align_val_t", nullptr, [](void* f) { return CallWithNull<Align>(f, kAlign); }},
    {"_ZdlPvmSt11align_val_t", nullptr, [](void* f) { return CallWithNull<Size, Align>(f, kBytes, kAlign); }},
    {"_ZdaPvmSt11align_val_t", nullptr, [](void* f) { return CallWithNull<Size, Align>(f, kBytes, kAlign); }},
    {"_ZdlPvRKSt9nothrow_t", nullptr, [](void* f) { return CallWithNull<Nothrow>(f, std::nothrow); }},
    {"_ZdaPvRKSt9nothrow_t", nullptr, [](void* f) { return CallWithNull<Nothrow>(f, std::nothrow); }},
    {"_ZdlPvSt11align_val_tRKSt9nothrow_t", nullptr,
     [](void* f) { return CallWithNull<Align, Nothrow>(f, kAlign, std::nothrow); }},
    {"_ZdaPvSt11align_val_tRKSt9nothrow_t", nullptr,
     [](void* f) { return CallWithNull<Align, Nothrow>(f, kAlign, std::nothrow); }},
};

void Release(const char* release, void* function, void* block) noexcept {
  if (std::strstr(release, "align_val_t") != nullptr) {
    As<void(void*, Align)>(function)(block, kAlign);
  } else {
    As<void(void*)>(function)(block);
  }
}

std::size_t FindWatchedCall(const char* name) noexcept {
  // Nearly every symbol of a program is turned away here.
  constexpr char kFirstLetters[] = "mfcrpav_";
  if (std::strchr(kFirstLetters, name[0]) == nullptr || name[0] == '\0') return kWatchedCallCount;
  for (std::size_t index = 0; index < kWatchedCallCount; ++index) {
    if (std::strcmp(name, kWatchedCalls[index].name) == 0) return index;
  }
  return kWatchedCallCount;
}

}  // namespace stadial::runtime::detail
