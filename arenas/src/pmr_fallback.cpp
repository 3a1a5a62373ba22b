// Apart from pmr.cpp, because a build without mimalloc has no FallbackHeap.
#include "stadial/arenas/fallback_heap.h"
#include "stadial/arenas/pmr.h"

namespace stadial::arenas {

void* FallbackResource::do_allocate(std::size_t bytes, std::size_t alignment) {
  if (first_ != nullptr) {
    if (void* const memory = first_->TryAllocate(bytes, alignment); memory != nullptr) return memory;
  }
  return heap_->Allocate(bytes, alignment);
}

void FallbackResource::do_deallocate(void* memory, std::size_t, std::size_t) {
  if (first_ != nullptr && first_->Contains(memory)) return;
  heap_->Free(memory);
}

bool FallbackResource::do_is_equal(const std::pmr::memory_resource& other) const noexcept {
  const auto* const resource = dynamic_cast<const FallbackResource*>(&other);
  return resource != nullptr && resource->heap_ == heap_ && resource->first_ == first_;
}

}  // namespace stadial::arenas
