#include "stadial/arenas/pmr.h"

#include <new>

#include "stadial/arenas/poison.h"
#include "stadial/arenas/size_class_heap.h"

namespace stadial::arenas {
namespace {

void AssertInArena([[maybe_unused]] const Arena& arena, [[maybe_unused]] const void* memory) noexcept {
  STADIAL_ASSERT(memory == nullptr || arena.Contains(memory) || arena.CapacityBytes() == 0,
                 "the memory comes from another arena");
}

}  // namespace

// --- ArenaResource ---

void* ArenaResource::do_allocate(std::size_t bytes, std::size_t alignment) {
  return arena_->Allocate(bytes, alignment);
}

void ArenaResource::do_deallocate(void* memory, std::size_t, std::size_t) { AssertInArena(*arena_, memory); }

bool ArenaResource::do_is_equal(const std::pmr::memory_resource& other) const noexcept {
  // One arena may have several resources; any of them may return what another took.
  const auto* const resource = dynamic_cast<const ArenaResource*>(&other);
  return resource != nullptr && resource->arena_ == arena_;
}

// --- ScratchResource ---

void* ScratchResource::do_allocate(std::size_t bytes, std::size_t alignment) {
  return arena_->Allocate(bytes, alignment);
}

void ScratchResource::do_deallocate(void* memory, std::size_t, std::size_t) {
  AssertInArena(*arena_, memory);
}

// --- PoolResource ---

void* PoolResource::TakeFree(unsigned sizeClass, std::size_t alignment) noexcept {
  FreeBlock* const block = free_[sizeClass];
  if (block == nullptr || (reinterpret_cast<std::uintptr_t>(block) & (alignment - 1)) != 0) return nullptr;
  free_[sizeClass] = block->next;
  freeBytes_ -= SizeClassBytes(sizeClass);
  return block;
}

void* PoolResource::TakeLarger(unsigned sizeClass, std::size_t alignment) noexcept {
  for (unsigned larger = sizeClass + 1; larger < kSizeClassCount; ++larger) {
    if (void* const memory = TakeFree(larger, alignment); memory != nullptr) return memory;
  }
  return nullptr;
}

void* PoolResource::do_allocate(std::size_t bytes, std::size_t alignment) {
  STADIAL_ASSERT_COMPARE(arena_->ResetCount(), ==, resetCount_,
                         "the pool's arena was reset: make a new pool");
  STADIAL_ASSERT(alignment != 0 && (alignment & (alignment - 1)) == 0, "alignment must be a power of two");
  if (bytes > kSizeClassBytesMax) return arena_->Allocate(bytes, alignment);  // which says that it cannot
  const unsigned sizeClass = SizeClassOf(bytes);
  const std::size_t blockBytes = SizeClassBytes(sizeClass);
  void* memory = TakeFree(sizeClass, alignment);
  if (memory == nullptr) memory = arena_->TryAllocate(blockBytes, alignment);
  if (memory == nullptr) memory = TakeLarger(sizeClass, alignment);
  if (memory == nullptr) memory = arena_->Allocate(blockBytes, alignment);
  PoisonFresh(memory, blockBytes);
  OpenAllocation(memory, bytes);
  return memory;
}

void PoolResource::do_deallocate(void* memory, std::size_t bytes, std::size_t) {
  if (memory == nullptr) return;
  AssertInArena(*arena_, memory);
  const unsigned sizeClass = SizeClassOf(bytes);
  PoisonReturned(memory, SizeClassBytes(sizeClass));
  LiftPoison(memory, sizeof(FreeBlock));
  free_[sizeClass] = ::new (memory) FreeBlock{.next = free_[sizeClass]};
  freeBytes_ += SizeClassBytes(sizeClass);
}

// --- HeapResource ---

void* HeapResource::do_allocate(std::size_t bytes, std::size_t alignment) {
  return heap_->Allocate(bytes, alignment);
}

void HeapResource::do_deallocate(void* memory, std::size_t, std::size_t) { heap_->Free(memory); }

bool HeapResource::do_is_equal(const std::pmr::memory_resource& other) const noexcept {
  const auto* const resource = dynamic_cast<const HeapResource*>(&other);
  return resource != nullptr && resource->heap_ == heap_;
}

}  // namespace stadial::arenas
