#include "stadial/arenas/arena_cursor.h"

namespace stadial::arenas {

#if STADIAL_ASSERT_LEVEL < 2

std::byte* ArenaCursor::MakeRoom(Arena& arena, std::byte* cursor, std::size_t sizeBytes,
                                 std::size_t alignment, bool mustFit) noexcept {
  arena.isLent_ = false;
  arena.cursor_ = cursor;
  std::byte* const start =
      mustFit ? arena.MakeRoom(sizeBytes, alignment) : arena.TryMakeRoom(sizeBytes, alignment);
  arena.cursor_ = arena.end_;
  arena.isLent_ = true;
  return start;
}

#endif

}  // namespace stadial::arenas
