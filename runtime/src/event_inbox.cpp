#include "stadial/runtime/event_inbox.h"

#include <new>

namespace stadial::runtime {

EventInbox::EventInbox(arenas::Arena& setup, std::uint32_t laneCount, std::size_t capacityPerLane) noexcept {
  STADIAL_ASSERT_COMPARE(laneCount, >, 0u, "an inbox needs a lane per producing thread");
  Lane* const lanes = static_cast<Lane*>(setup.Allocate(laneCount * sizeof(Lane), alignof(Lane)));
  for (std::uint32_t i = 0; i < laneCount; ++i)
    ::new (static_cast<void*>(lanes + i)) Lane(setup, capacityPerLane);
  lanes_ = {lanes, laneCount};
}

bool EventInbox::TryEmit(std::uint32_t lane, const Event& event) noexcept {
  STADIAL_ASSERT_COMPARE(lane, <, LaneCount(), "no such inbox lane");
  if (lanes_[lane].ring.TryPush(event)) return true;
  // One writer per lane, so no locked increment is needed.
  std::atomic<std::uint64_t>& refused = lanes_[lane].refused;
  refused.store(refused.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return false;
}

bool EventInbox::TryTake(std::uint32_t lane, Event& event) noexcept {
  STADIAL_ASSERT_COMPARE(lane, <, LaneCount(), "no such inbox lane");
  return lanes_[lane].ring.TryPop(event);
}

std::size_t EventInbox::CapacityPerLane() const noexcept { return lanes_[0].ring.Capacity(); }

std::uint64_t EventInbox::RefusedCount() const noexcept {
  std::uint64_t sum = 0;
  for (const Lane& lane : lanes_) sum += lane.refused.load(std::memory_order_relaxed);
  return sum;
}

}  // namespace stadial::runtime
