// Assertions of the functions that work on whole pages. Private to the arenas.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stadial/arenas/assert.h"
#include "stadial/arenas/virtual_memory.h"

namespace stadial::arenas {

[[maybe_unused]] inline bool IsPageMultiple(std::size_t value) noexcept {
  return (value & (PageSize() - 1)) == 0;
}

inline void AssertPages([[maybe_unused]] const std::byte* base, [[maybe_unused]] std::size_t bytes) noexcept {
  STADIAL_ASSERT(IsPageMultiple(reinterpret_cast<std::uintptr_t>(base)),
                 "the address must be a multiple of a page");
  STADIAL_ASSERT(IsPageMultiple(bytes), "the size must be a multiple of a page");
}

}  // namespace stadial::arenas
