// ThreadSlot: a small number for every thread, by which per-thread state is found in a table: a load, where a
// map or a lock would be needed otherwise. No two living threads have the same one. A thread takes the lowest
// free number at its first call and gives it back when it ends; what it wrote until then is visible to the
// next thread with that number, so that state found by the number passes on without a lock.
//
// Growth:       none; kThreadSlotsMax numbers.
// Exhaustion:   further threads all get kNoThreadSlot, for as long as they live.
// Threads:      any.
// Cost:         a load; the first call of a thread searches for a number and sets the value of a key of the C
//               library, which allocates only in programs that make more than thirty keys.
// Destructors:  that of the key gives the number back. A call from a later one of the same thread takes a
//               number anew, and gives it back too.
#pragma once

#include <cstdint>

#include "stadial/arenas/effects.h"

namespace stadial::arenas {

inline constexpr std::uint32_t kThreadSlotsMax = 256;
// What threads get that came when all were taken. It is shared: state found by it needs a lock.
inline constexpr std::uint32_t kNoThreadSlot = kThreadSlotsMax;
// Of a thread that has not called ThreadSlot yet.
inline constexpr std::uint32_t kThreadSlotUnasked = kThreadSlotsMax + 1;
// The size of a table that every value above is an index into.
inline constexpr std::uint32_t kThreadSlotValues = kThreadSlotsMax + 2;

namespace detail {

extern constinit thread_local std::uint32_t threadSlot [[gnu::tls_model("initial-exec")]];
std::uint32_t TakeThreadSlot() noexcept;

}  // namespace detail

// May be kThreadSlotUnasked.
inline std::uint32_t PeekThreadSlot() noexcept STADIAL_NONALLOCATING {
  return STADIAL_EFFECTS_REVIEWED("initial-exec thread-local storage", detail::threadSlot);
}

inline std::uint32_t ThreadSlot() noexcept STADIAL_NONALLOCATING {
  const std::uint32_t slot = PeekThreadSlot();
  if (slot != kThreadSlotUnasked) [[likely]]
    return slot;
  return STADIAL_EFFECTS_REVIEWED("the first call of a thread", detail::TakeThreadSlot());
}

}  // namespace stadial::arenas
