#include "stadial/arenas/frame_ptr.h"

#include <cstdio>

#include "abort_line.h"

namespace stadial::arenas {

#if STADIAL_ASSERT_LEVEL >= 2

void FrameOrigin::Stale(const void* object) const noexcept {
  const ArenaChecks::Killer killer = arena->Checks().FindKiller(object, generation, resetCount);
  char killed[320];
  if (killer.resetNumber != 0) {
    const int length = std::snprintf(killed, sizeof killed, "by reset %u of the arena", killer.resetNumber);
    if (killer.isSiteKnown) {
      std::snprintf(killed + length, sizeof killed - static_cast<std::size_t>(length), " at %.200s:%u",
                    killer.site.file_name(), static_cast<unsigned>(killer.site.line()));
    }
  } else {
    std::snprintf(killed, sizeof killed, "by a rewind to the mark set at %.200s:%u", killer.site.file_name(),
                  static_cast<unsigned>(killer.site.line()));
  }
  const char* const kind = arena->Kind();
  AbortWithLine(
      "stadial: %s%sarena '%s': stale FramePtr %p: its object was allocated at %s:%u in use %u of the "
      "arena and taken back %s; the arena is in use %u now; keep what outlives a frame in Setup memory "
      "or a history",
      kind, kind[0] == '\0' ? "" : " ", arena->Name(), object, site.file_name(),
      static_cast<unsigned>(site.line()), resetCount + 1, killed, arena->ResetCount() + 1);
}

#endif

}  // namespace stadial::arenas
