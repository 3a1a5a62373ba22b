// R8: what needs its destructor does not compile in an arena, nor in anything that lives in one.
#include "stadial/arenas/arena.h"
#include "stadial/arenas/fixed_ring.h"
#include "stadial/arenas/fixed_vector.h"
#include "stadial/arenas/flat_map.h"
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

int Use(stadial::arenas::Arena& arena) {
  using namespace stadial::arenas;
  FixedVector<InVector> vector(arena, 4);
  FixedRing<InRing> ring(arena, 4);
  FlatMap<int, InMap> map(arena, 4);
  SlotMap<InSlots> slots(arena, 4);
  SpscRing<InSpsc> spsc(arena, 4);
  const InTryNew* const tried = arena.TryNew<InTryNew>();
  return arena.New<InNew>()->value + arena.NewArray<InArray>(2)[0].value + tried->value +
         static_cast<int>(vector.Size() + ring.Size() + map.Size() + slots.Size() + spsc.Size());
}
