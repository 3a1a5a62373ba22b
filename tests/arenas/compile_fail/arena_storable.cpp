// R8: what needs its destructor does not compile in an arena, nor in anything that lives in one.
#include "stadial/arenas/arena.h"
#include "stadial/arenas/fixed_pool.h"
#include "stadial/arenas/fixed_ring.h"
#include "stadial/arenas/fixed_vector.h"
#include "stadial/arenas/flat_map.h"
#include "stadial/arenas/flat_set.h"
#include "stadial/arenas/mpsc_event_stream.h"
#include "stadial/arenas/mpsc_ring.h"
#include "stadial/arenas/slot_map.h"
#include "stadial/arenas/spsc_ring.h"

struct Plain {
  int value;
};
struct Owner {
  ~Owner() {}
  int value = 0;
};

#ifdef FAIL_NEW
using InNew = Owner;
#else
using InNew = Plain;
#endif
#ifdef FAIL_TRY_NEW
using InTryNew = Owner;
#else
using InTryNew = Plain;
#endif
#ifdef FAIL_NEW_ARRAY
using InArray = Owner;
#else
using InArray = Plain;
#endif
#ifdef FAIL_FIXED_VECTOR
using InVector = Owner;
#else
using InVector = Plain;
#endif
#ifdef FAIL_FIXED_RING
using InRing = Owner;
#else
using InRing = Plain;
#endif
#ifdef FAIL_FLAT_MAP
using InMap = Owner;
#else
using InMap = Plain;
#endif
#ifdef FAIL_SLOT_MAP
using InSlots = Owner;
#else
using InSlots = Plain;
#endif
#ifdef FAIL_SPSC_RING
using InSpsc = Owner;
#else
using InSpsc = Plain;
#endif
#ifdef FAIL_FIXED_POOL
using InPool = Owner;
#else
using InPool = Plain;
#endif
#ifdef FAIL_FLAT_SET
using InSet = Owner;
#else
using InSet = Plain;
#endif
#ifdef FAIL_MPSC_RING
using InMpsc = Owner;
#else
using InMpsc = Plain;
#endif
#ifdef FAIL_MPSC_EVENT_STREAM
using InEvents = Owner;
#else
using InEvents = Plain;
#endif

int Use(stadial::arenas::Arena& arena) {
  using namespace stadial::arenas;
  FixedVector<InVector> vector(arena, 4);
  FixedRing<InRing> ring(arena, 4);
  FlatMap<int, InMap> map(arena, 4);
  SlotMap<InSlots> slots(arena, 4);
  SpscRing<InSpsc> spsc(arena, 4);
  FixedPool<InPool> pool(arena, 4);
  FlatSet<InSet> set(arena, 4);
  MpscRing<InMpsc> mpsc(arena, 4);
  MpscEventStream<InEvents> events(arena, {.lanes = 1, .eventsPerLane = 4});
  const InTryNew* const tried = arena.TryNew<InTryNew>();
  return arena.New<InNew>()->value + arena.NewArray<InArray>(2)[0].value + tried->value +
         static_cast<int>(vector.Size() + ring.Size() + map.Size() + slots.Size() + spsc.Size() +
                          pool.Size() + set.Size() + mpsc.Size() + events.LaneCount());
}
