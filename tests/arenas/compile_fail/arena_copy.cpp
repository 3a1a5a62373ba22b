// Two arenas over one memory: an arena moves, but cannot be copied.
#include "stadial/arenas/arena.h"

#ifdef FAIL_COPY
void Copy(const stadial::arenas::Arena& arena) { stadial::arenas::Arena copy = arena; }
#endif
void Move(stadial::arenas::Arena& arena) {
  stadial::arenas::Arena moved = static_cast<stadial::arenas::Arena&&>(arena);
}
