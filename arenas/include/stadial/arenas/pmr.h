// std::pmr::memory_resource over the memories of this layer: std::pmr containers live in the region.
//
//   ArenaResource     a frame's lane, or any arena: freeing does nothing, so reserve first
//   ScratchResource   an arena for the length of a block of code: rewound when the resource ends
//   PoolResource      an arena, freed blocks used again: node containers that insert and erase
//   HeapResource      a SizeClassHeap: any order, any thread
//   FallbackResource  a FallbackHeap, after an arena that is tried first if one is given
//
// Growth:       the memory's, which must outlive the resource, and the resource its containers.
// Exhaustion:   the memory's own message, and abort. No bad_alloc: nothing throws across Stadial's API.
// Alignment:    the memory's: any power of two for arenas, 1 MiB at most for heaps.
// Destructors:  the containers run their elements'; destroy the container before the memory is rewound.
// Threads:      one at a time; HeapResource any; FallbackResource allocates on its heap's owner only.
// Invalidation: the memory's: arenas by a rewind, heaps by freeing.
//
// Equality: two resources over the same memory are equal, for either may free what the other gave; a
// ScratchResource and a PoolResource equal only themselves.
// Cost: a virtual call on top of the memory's own (about 2 ns for an arena). For hot paths use the arena
// itself, or ContainerAllocator (allocator.h), which is not virtual.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <source_location>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/size_class.h"

namespace stadial::arenas {

class FallbackHeap;
class SizeClassHeap;

class ArenaResource final : public std::pmr::memory_resource {
 public:
  explicit ArenaResource(Arena& arena) noexcept : arena_(&arena) {}
  Arena& GetArena() const noexcept { return *arena_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override;

  Arena* arena_;
};

// Scopes of one arena close in reverse order: nothing else may take memory from it that is to live longer.
class ScratchResource final : public std::pmr::memory_resource {
 public:
  explicit ScratchResource(Arena& arena, std::source_location site = std::source_location::current()) noexcept
      : arena_(&arena), mark_(arena.Mark(site)) {}
  ~ScratchResource() override { arena_->RewindTo(mark_); }
  ScratchResource(const ScratchResource&) = delete;
  ScratchResource& operator=(const ScratchResource&) = delete;

  Arena& GetArena() const noexcept { return *arena_; }
  // Takes back everything handed out so far, as the end of the resource does. Its containers must be gone.
  void Release() noexcept { arena_->RewindTo(mark_); }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  Arena* arena_;
  ArenaMark mark_;
};

// Blocks are rounded to a size class (size_class.h) and carry no header. When the arena is full a larger
// freed block serves, whole, before the arena says so. Rewinding the arena ends the pool: make a new one.
// Cost: O(1), about 2 ns for a pair over the virtual call; a few hundred class heads in the object itself
// (1.3 KiB).
class PoolResource final : public std::pmr::memory_resource {
 public:
  explicit PoolResource(Arena& arena) noexcept : arena_(&arena), resetCount_(arena.ResetCount()) {}
  PoolResource(const PoolResource&) = delete;
  PoolResource& operator=(const PoolResource&) = delete;

  Arena& GetArena() const noexcept { return *arena_; }
  // In freed blocks that wait for their next use, as rounded.
  std::size_t FreeBytes() const noexcept { return freeBytes_; }

 private:
  struct FreeBlock {
    FreeBlock* next;
  };
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
  void* TakeFree(unsigned sizeClass, std::size_t alignment) noexcept;
  void* TakeLarger(unsigned sizeClass, std::size_t alignment) noexcept;

  Arena* arena_;
  std::uint32_t resetCount_;
  std::size_t freeBytes_ = 0;
  FreeBlock* free_[kSizeClassCount] = {};
};

class HeapResource final : public std::pmr::memory_resource {
 public:
  explicit HeapResource(SizeClassHeap& heap) noexcept : heap_(&heap) {}
  SizeClassHeap& GetHeap() const noexcept { return *heap_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override;

  SizeClassHeap* heap_;
};

class FallbackResource final : public std::pmr::memory_resource {
 public:
  explicit FallbackResource(FallbackHeap& heap) noexcept : heap_(&heap) {}
  // From `first` as long as it lasts, then from the heap. The heap's statistics count what did not fit.
  FallbackResource(Arena& first, FallbackHeap& heap) noexcept : first_(&first), heap_(&heap) {}
  FallbackHeap& GetHeap() const noexcept { return *heap_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* memory, std::size_t bytes, std::size_t alignment) override;
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override;

  Arena* first_ = nullptr;
  FallbackHeap* heap_;
};

}  // namespace stadial::arenas
