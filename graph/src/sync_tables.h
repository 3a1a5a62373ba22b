// The working tables of a SyncPlanner, and the arrays that its plans point into.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "barrier_coverage.h"
#include "stadial/graph/barriers.h"

namespace stadial::graph {

inline constexpr std::uint32_t kNowhere = 0xFFFFFFFFu;

struct ResourceState {
  std::uint32_t writePlace = kNowhere;  // of the last write or change of layout
  std::uint32_t lastReader = kNowhere;  // since then: an access, the head of a list
  std::uint32_t lastPlace = kNowhere;   // of the last use
  ImageLayout layout = ImageLayout::Any;
  std::uint8_t writeKind = 0;
  std::uint8_t writeQueue = 0;
  std::uint8_t lastQueue = 0;
  bool isTransition = false;  // the last write is a barrier: available, and visible to kind writeKind
};

// A read that no write has followed yet.
struct Reader {
  std::uint32_t previous;
  std::uint32_t place;
  std::uint8_t kind;
  std::uint8_t queue;
};

using Clock = std::array<std::uint32_t, kQueuesMax>;  // by queue: places before this one are done

struct SyncPlanner::Tables {
  std::span<ResourceState> states;
  std::span<Reader> readers;  // by access
  std::span<std::uint8_t> kindOf;
  std::array<AccessKind, kAccessKindsMax> kinds;
  std::uint32_t kindCount = 0;
  std::span<BarrierCoverage> coverage;  // by queue

  std::span<std::uint32_t> barrierBegin;
  std::span<Barrier> barriers;
  // Of several queues.
  std::span<Clock> clocks;  // by position
  std::span<Barrier> looseReleases;
  std::span<Barrier> releases;
  std::span<std::uint32_t> releaseBegin;
  std::span<SemaphoreWait> looseWaits;
  std::span<SemaphoreWait> waits;
  std::span<std::uint32_t> waitBegin;
  std::span<std::uint32_t> signalValue;  // by position; 0: none
  std::span<SemaphoreSignal> signals;

  // The same list for counting and for carving.
  template <class Take>
  void ForEach(const SyncCapacity& c, Take&& take) {
    const std::size_t several = c.queues > 1 ? 1 : 0;
    const std::size_t positions = c.positions * several;
    const std::size_t waitsMax = positions * (c.queues - 1) + c.accesses * several;
    take(states, c.resources);
    take(readers, c.accesses);
    take(kindOf, c.accesses);
    take(coverage, c.queues);
    take(barrierBegin, std::size_t{c.positions} + 1);
    take(barriers, c.accesses);
    take(clocks, positions);
    take(looseReleases, c.accesses * several);
    take(releases, c.accesses * several);
    take(releaseBegin, positions + several);
    take(looseWaits, waitsMax);
    take(waits, waitsMax);
    take(waitBegin, positions + several);
    take(signalValue, positions);
    take(signals, positions);
  }
};

}  // namespace stadial::graph
