// ContainerAllocator<T, Memory>: lets standard containers, and libraries with an allocator parameter, live
// in an Arena, a SizeClassHeap or a FallbackHeap, without a virtual call. StaticAllocator<T, Source>: the
// same for libraries that default-construct their allocators.
//
// Growth:       the memory's, which must outlive the container. An arena takes nothing back before it is
//               rewound: a container that grows leaves its old storage behind, so reserve first.
// Exhaustion:   the memory's message, and abort; a count whose bytes overflow does not fit either. Nothing
//               throws, so a container never sees bad_alloc.
// Alignment:    alignof(T), over-aligned types included.
// Destructors:  the container runs its elements', so types that may not lie in an arena by themselves may
//               lie in such a container. Destroy it before the rewind.
// Threads:      the memory's.
// Invalidation: the memory's: an arena by a rewind, a heap by freeing.
// Cost: a pointer in the container, and the memory's own for each call. StaticAllocator: no bytes.
//
// What happens to the memory when containers are copied, moved and swapped. The lifetime of a container's
// storage is its arena's, so a container must not change arenas unseen:
//   copy construction   the copy lives in the arena of the original; name another one to leave it:
//                       std::vector<T, A> copy(original, A(setupArena))
//   copy assignment     the target keeps its own arena
//   move construction   takes the storage, and the arena with it
//   move assignment     the target keeps its own arena: between equal arenas the storage moves, else the
//                       elements do. Taking the arena over would let a long-lived container point into
//                       frame memory.
//   swap                exchanges storage and arenas; otherwise it would be undefined for two arenas
// Allocators are equal when their memory is the same one. There is no default constructor: a container
// without an arena does not compile.
#pragma once

#include <cstddef>
#include <limits>
#include <type_traits>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

class FallbackHeap;
class SizeClassHeap;

// Bytes of `count` Ts, the largest size_t when that overflows: no memory has so many.
template <class T>
constexpr std::size_t SaturatedArrayBytes(std::size_t count) noexcept {
  std::size_t bytes = 0;
  return __builtin_mul_overflow(count, sizeof(T), &bytes) ? std::numeric_limits<std::size_t>::max() : bytes;
}

// How each memory takes blocks back: an arena not at all.
template <class Memory>
void FreeTo(Memory& memory, void* block) noexcept {
  if constexpr (std::is_same_v<Memory, Arena>) {
    STADIAL_ASSERT(memory.Contains(block) || memory.CapacityBytes() == 0,
                   "the memory comes from another arena");
  } else {
    memory.Free(block);
  }
}

template <class T, class Memory>
class ContainerAllocator {
 public:
  using value_type = T;
  using propagate_on_container_copy_assignment = std::false_type;
  using propagate_on_container_move_assignment = std::false_type;
  using propagate_on_container_swap = std::true_type;
  using is_always_equal = std::false_type;

  ContainerAllocator(Memory& memory) noexcept : memory_(&memory) {}  // NOLINT(google-explicit-constructor)
  template <class U>
  ContainerAllocator(
      const ContainerAllocator<U, Memory>& other) noexcept  // NOLINT(google-explicit-constructor)
      : memory_(&other.GetMemory()) {}

  [[nodiscard]] T* allocate(std::size_t count) noexcept {
    return static_cast<T*>(memory_->Allocate(SaturatedArrayBytes<T>(count), alignof(T)));
  }
  void deallocate(T* items, std::size_t) noexcept { FreeTo(*memory_, items); }

  Memory& GetMemory() const noexcept { return *memory_; }
  template <class U>
  bool operator==(const ContainerAllocator<U, Memory>& other) const noexcept {
    return memory_ == &other.GetMemory();
  }

 private:
  Memory* memory_;
};

template <class T>
using ArenaAllocator = ContainerAllocator<T, Arena>;
template <class T>
using HeapAllocator = ContainerAllocator<T, SizeClassHeap>;
template <class T>
using FallbackAllocator = ContainerAllocator<T, FallbackHeap>;

// Source::Memory() returns a reference to the one memory of all such containers; it must be callable before
// the first of them allocates, and until the last has freed. Example:
//
//   struct JsonMemory { static SizeClassHeap& Memory() noexcept; };
//   template <class T> using JsonAllocator = StaticAllocator<T, JsonMemory>;
//   using Json = nlohmann::basic_json<std::map, std::vector, std::basic_string<...>, ..., JsonAllocator>;
template <class T, class Source>
class StaticAllocator {
 public:
  using value_type = T;
  using propagate_on_container_copy_assignment =
      std::true_type;  // all the same memory: nothing to keep apart
  using propagate_on_container_move_assignment = std::true_type;
  using propagate_on_container_swap = std::true_type;
  using is_always_equal = std::true_type;

  constexpr StaticAllocator() noexcept = default;
  template <class U>
  constexpr StaticAllocator(const StaticAllocator<U, Source>&) noexcept {
  }  // NOLINT(google-explicit-constructor)

  [[nodiscard]] T* allocate(std::size_t count) noexcept {
    return static_cast<T*>(Source::Memory().Allocate(SaturatedArrayBytes<T>(count), alignof(T)));
  }
  void deallocate(T* items, std::size_t) noexcept { FreeTo(Source::Memory(), items); }

  template <class U>
  constexpr bool operator==(const StaticAllocator<U, Source>&) const noexcept {
    return true;
  }
};

}  // namespace stadial::arenas
