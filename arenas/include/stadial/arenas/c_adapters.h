// Tables of C functions over the memories of this layer, in the shapes that C libraries ask for.
//
//   shape                      who asks so                                     served by
//   AllocFreeFunctions         alloc(user, size), free(user, p)                heaps, arena, LIFO stack
//   CountedFunctions           zlib: alloc(user, count, size), free(user, p)   heaps, arena, LIFO stack
//   SizedFreeFunctions         alloc, free(user, p, size)                      heaps, arena, LIFO stack
//   SingleReallocFunction      Lua: realloc(user, p, oldSize, newSize)         heaps, arena
//   AllocReallocFreeFunctions  alloc, realloc(user, p, size), free             heaps
//   AlignedFunctions           alloc(user, size, alignment), realloc, free     heaps
//   CFunctions<Source>         no user pointer: malloc, realloc, free, ...     heaps
//
// Heaps are SizeClassHeap (any thread) and FallbackHeap (its owner takes, any thread frees). A table is made
// with Make...(memory); a memory that cannot serve a shape (an arena does not know the old size that realloc
// needs) does not compile. Copy the fields into the library's own struct.
//
// Growth:       the memory's, which must outlive every call through the table.
// Exhaustion:   null, as C libraries expect; heaps count it. Products of count and size do not overflow.
// Alignment:    16 where the shape carries none.
// Destructors:  none run.
// Threads:      the memory's.
// Invalidation: free and realloc for heaps; a LIFO stack's newest block first; an arena's rewind.
//
// Sizes of 0: an allocation of 0 B is a block of its own; a realloc to 0 frees and returns null; freeing null
// does nothing. Cost: a call through a pointer, and the memory's own.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "stadial/arenas/allocator.h"
#include "stadial/arenas/arena.h"

namespace stadial::arenas {

// A memory that resizes blocks and frees them in any order.
template <class Memory>
concept GeneralHeap = requires(Memory& memory, void* block, std::size_t bytes) {
  { memory.TryAllocate(bytes, bytes) } -> std::same_as<void*>;
  { memory.TryReallocate(block, bytes, bytes) } -> std::same_as<void*>;
  memory.Free(block);
};
// A memory that at least hands out blocks.
template <class Memory>
concept BlockSource = requires(Memory& memory, std::size_t bytes) {
  { memory.TryAllocate(bytes, bytes) } -> std::same_as<void*>;
};

struct AllocFreeFunctions {
  void* userData;
  void* (*allocate)(void* userData, std::size_t sizeBytes);
  void (*free)(void* userData, void* memory);
};
struct CountedFunctions {
  void* userData;
  void* (*allocate)(void* userData, unsigned count, unsigned sizeBytes);
  void (*free)(void* userData, void* memory);
};
struct AllocReallocFreeFunctions {
  void* userData;
  void* (*allocate)(void* userData, std::size_t sizeBytes);
  void* (*reallocate)(void* userData, void* memory, std::size_t sizeBytes);
  void (*free)(void* userData, void* memory);
};
// For lua_newstate. Null `memory` allocates (Lua then passes a type as oldBytes); newBytes 0 frees. Shrinking
// never fails, which Lua relies on.
struct SingleReallocFunction {
  void* userData;
  void* (*reallocate)(void* userData, void* memory, std::size_t oldBytes, std::size_t newBytes);
};
struct SizedFreeFunctions {
  void* userData;
  void* (*allocate)(void* userData, std::size_t sizeBytes);
  void (*free)(void* userData, void* memory, std::size_t sizeBytes);
};
struct AlignedFunctions {
  void* userData;
  void* (*allocate)(void* userData, std::size_t sizeBytes, std::size_t alignment);
  void* (*reallocate)(void* userData, void* memory, std::size_t sizeBytes, std::size_t alignment);
  void (*free)(void* userData, void* memory);
};

// The functions themselves. Not for direct use.
template <BlockSource Memory>
struct CAdapter {
  static constexpr std::size_t kAlignment = alignof(std::max_align_t);
  static Memory& Of(void* userData) noexcept { return *static_cast<Memory*>(userData); }

  static void* Allocate(void* userData, std::size_t sizeBytes) noexcept {
    return Of(userData).TryAllocate(sizeBytes, kAlignment);
  }
  static void* AllocateCounted(void* userData, unsigned count, unsigned sizeBytes) noexcept {
    static_assert(sizeof(std::size_t) >= 2 * sizeof(unsigned), "the product of two unsigned fits a size");
    return Of(userData).TryAllocate(std::size_t{count} * sizeBytes, kAlignment);
  }
  static void* AllocateAligned(void* userData, std::size_t sizeBytes, std::size_t alignment) noexcept {
    return Of(userData).TryAllocate(sizeBytes, alignment);
  }
  static void Free(void* userData, void* memory) noexcept {
    if (memory != nullptr) FreeTo(Of(userData), memory);
  }
  static void FreeSized(void* userData, void* memory, std::size_t) noexcept { Free(userData, memory); }
  static void* Reallocate(void* userData, void* memory, std::size_t sizeBytes) noexcept {
    return Of(userData).TryReallocate(memory, sizeBytes, kAlignment);
  }
  static void* ReallocateAligned(void* userData, void* memory, std::size_t sizeBytes,
                                 std::size_t alignment) noexcept {
    return Of(userData).TryReallocate(memory, sizeBytes, alignment);
  }
  static void* ReallocateSized(void* userData, void* memory, std::size_t oldBytes,
                               std::size_t newBytes) noexcept {
    if (newBytes == 0) {
      Free(userData, memory);
      return nullptr;
    }
    if constexpr (GeneralHeap<Memory>) {
      return Of(userData).TryReallocate(memory, newBytes, kAlignment);
    } else {
      if (memory != nullptr && newBytes <= oldBytes) return memory;
      void* const moved = Of(userData).TryAllocate(newBytes, kAlignment);
      if (moved != nullptr && memory != nullptr) std::memcpy(moved, memory, oldBytes);
      return moved;
    }
  }
};

template <BlockSource Memory>
AllocFreeFunctions MakeAllocFree(Memory& memory) noexcept {
  return {&memory, CAdapter<Memory>::Allocate, CAdapter<Memory>::Free};
}
template <BlockSource Memory>
CountedFunctions MakeCounted(Memory& memory) noexcept {
  return {&memory, CAdapter<Memory>::AllocateCounted, CAdapter<Memory>::Free};
}
template <GeneralHeap Memory>
AllocReallocFreeFunctions MakeAllocReallocFree(Memory& memory) noexcept {
  return {&memory, CAdapter<Memory>::Allocate, CAdapter<Memory>::Reallocate, CAdapter<Memory>::Free};
}
template <BlockSource Memory>
requires GeneralHeap<Memory> || std::same_as<Memory, Arena> SingleReallocFunction
MakeSingleRealloc(Memory& memory)
noexcept { return {&memory, CAdapter<Memory>::ReallocateSized}; }
template <BlockSource Memory>
SizedFreeFunctions MakeSizedFree(Memory& memory) noexcept {
  return {&memory, CAdapter<Memory>::Allocate, CAdapter<Memory>::FreeSized};
}
template <GeneralHeap Memory>
AlignedFunctions MakeAligned(Memory& memory) noexcept {
  return {&memory, CAdapter<Memory>::AllocateAligned, CAdapter<Memory>::ReallocateAligned,
          CAdapter<Memory>::Free};
}

// For libraries that pass no user pointer. Source::Memory() returns a reference to a heap, valid for every
// call:
//
//   struct ImageMemory { static SizeClassHeap& Memory() noexcept; };
//   #define STBI_MALLOC(size)       CFunctions<ImageMemory>::Malloc(size)
//   #define STBI_REALLOC(p, size)   CFunctions<ImageMemory>::Realloc(p, size)
//   #define STBI_FREE(p)            CFunctions<ImageMemory>::Free(p)
template <class Source>
struct CFunctions {
  static_assert(GeneralHeap<std::remove_reference_t<decltype(Source::Memory())>>,
                "Source::Memory() must return a heap that resizes and frees in any order");
  static constexpr std::size_t kAlignment = alignof(std::max_align_t);

  static void* Malloc(std::size_t sizeBytes) noexcept {
    return Source::Memory().TryAllocate(sizeBytes, kAlignment);
  }
  static void* Calloc(std::size_t count, std::size_t sizeBytes) noexcept {
    std::size_t bytes = 0;
    const bool overflows = __builtin_mul_overflow(count, sizeBytes, &bytes);
    // Refused by the heap, so that it is counted like any other.
    void* const memory =
        Source::Memory().TryAllocate(overflows ? std::numeric_limits<std::size_t>::max() : bytes, kAlignment);
    return memory == nullptr || overflows ? nullptr : std::memset(memory, 0, bytes);
  }
  static void* Realloc(void* memory, std::size_t sizeBytes) noexcept {
    return Source::Memory().TryReallocate(memory, sizeBytes, kAlignment);
  }
  static void* AlignedAlloc(std::size_t alignment, std::size_t sizeBytes) noexcept {
    return Source::Memory().TryAllocate(sizeBytes, alignment);
  }
  static void Free(void* memory) noexcept { Source::Memory().Free(memory); }
  // 0 for null, as malloc_usable_size.
  static std::size_t UsableSize(void* memory) noexcept {
    return memory == nullptr ? 0 : Source::Memory().UsableSize(memory);
  }
};

}  // namespace stadial::arenas
