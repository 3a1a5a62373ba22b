// EventInbox: how other threads reach a single-threaded EventBus. One lane per producing thread, each a
// bounded lock-free ring; the bus empties them, lane by lane, at the start of ProcessEvents. Order is kept
// within a lane. How it grows: not at all. Full: TryEmit says false and the refusal is counted. Threads:
// TryEmit(lane, ..) from one thread per lane; the consuming side from the bus's thread. Cost: a copy of 64
// bytes and one release store.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/spsc_ring.h"
#include "stadial/runtime/event.h"

namespace stadial::runtime {

class EventInbox {
 public:
  // `capacityPerLane` is rounded up to a power of two. All of it is carved from `setup`.
  EventInbox(arenas::Arena& setup, std::uint32_t laneCount, std::size_t capacityPerLane) noexcept;
  EventInbox(const EventInbox&) = delete;
  EventInbox& operator=(const EventInbox&) = delete;

  [[nodiscard]] bool TryEmit(std::uint32_t lane, const Event& event) noexcept;

  // Consumer: moves the oldest event of `lane` to `event`.
  [[nodiscard]] bool TryTake(std::uint32_t lane, Event& event) noexcept;

  std::uint32_t LaneCount() const noexcept { return static_cast<std::uint32_t>(lanes_.size()); }
  std::size_t CapacityPerLane() const noexcept;
  std::uint64_t RefusedCount() const noexcept;  // any thread

 private:
  struct alignas(64) Lane {
    Lane(arenas::Arena& setup, std::size_t capacity) noexcept : ring(setup, capacity) {}
    arenas::SpscRing<Event> ring;
    alignas(64) std::atomic<std::uint64_t> refused{0};
  };
  std::span<Lane> lanes_;
};

}  // namespace stadial::runtime
