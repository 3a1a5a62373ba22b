#include "stadial/arenas/pmr.h"

namespace stadial::arenas {

void* ArenaResource::do_allocate(std::size_t bytes, std::size_t alignment) {
  return arena_->Allocate(bytes, alignment);
}

void ArenaResource::do_deallocate([[maybe_unused]] void* memory, std::size_t, std::size_t) {
  STADIAL_ASSERT(memory == nullptr || arena_->Contains(memory) || arena_->CapacityBytes() == 0,
                 "the memory comes from another arena");
}

bool ArenaResource::do_is_equal(const std::pmr::memory_resource& other) const noexcept {
  // One arena may have several resources; any of them may return what another took.
  const auto* const resource = dynamic_cast<const ArenaResource*>(&other);
  return resource != nullptr && resource->arena_ == arena_;
}

}  // namespace stadial::arenas
