// ArenaResource: lets std::pmr containers live in an arena.
//
// Growth, alignment, invalidation: the arena's. Deallocation does nothing: a container that grows leaves its
// old
//               storage behind until the arena is rewound, so reserve first.
// Exhaustion:   the arena's message and abort. It does not throw bad_alloc: nothing throws across Stadial's
// API. Destructors:  the containers run their elements'; destroy the container before rewinding the arena.
// Threads:      one at a time.
// Cost: a virtual call on top of the arena's add and compare (about 2 ns). For hot paths use the arena
// itself.
#pragma once

#include <cstddef>
#include <memory_resource>

#include "stadial/arenas/arena.h"

namespace stadial::arenas {

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

}  // namespace stadial::arenas
