// MpscEventStream: elements of one type from many threads to one, in arena memory. Every producing thread has
// a lane of its own, an SpscRing, and the consumer drains them all: no cache line has two writers. For
// records of several sizes take MpscByteStream; for one common order of all producers MpscRing.
//
// Growth:       never. The room of a lane is rounded up to a power of two.
// Exhaustion:   TryPush returns false, PushSome pushes what fits; what is refused is counted. A full
//               lane shuts out no other.
// Alignment:    alignof(T), each lane at a cache line of its own.
// Destructors:  none run; T must be storable in an arena.
// Threads:      each lane has at most one Producer at a time, which belongs to one thread; the stream has one
//               consumer (Drain). What a producer wrote before pushing is visible in the visit.
// Invalidation: an event is valid during its visit. The stream cannot be copied or moved; a Producer lives no
//               longer than its stream.
//
// Order and fairness. Order is kept within a lane and not between lanes. A Drain without a limit takes from
// every lane what was pushed when its turn came and no more, so no producer, however fast, holds up another.
// With a limit it goes on, next time, with the lane behind the one it stopped in: a busy lane waits for no
// more than one turn of each other lane. Both sides are wait-free.
//
// Cost: a copy and a store to a line of the producer's own. A Producer keeps its state in registers, if it is
// a local variable, and reads the consumer's position only when its last look says full (and when it is new:
// get it once, not for every event). The consumer reads each lane's position once a drain.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <span>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/spsc_ring.h"

namespace stadial::arenas {

struct MpscEventStreamOptions {
  std::uint32_t lanes = 1;
  std::size_t eventsPerLane = 0;
};

template <class T>
class MpscEventStream {
  struct Lane;

 public:
  using Options = MpscEventStreamOptions;

  MpscEventStream(Arena& arena, const Options& options)
      : lanes_(arena.NewArrayUninitialized<Lane>(options.lanes)) {
    STADIAL_ASSERT_COMPARE_ALWAYS(options.lanes, >, 0u, "a stream needs a lane for each producing thread");
    for (Lane& lane : lanes_) ::new (static_cast<void*>(&lane)) Lane(arena, options.eventsPerLane);
  }
  MpscEventStream(const MpscEventStream&) = delete;
  MpscEventStream& operator=(const MpscEventStream&) = delete;

  class Producer {
   public:
    [[nodiscard]] bool TryPush(const T& event) {
      if (ring_.TryPush(event)) [[likely]]
        return true;
      Refuse(1);
      return false;
    }
    // A push that the consumer sees after the next Publish (or push). What is not published when the Producer
    // dies was never pushed. Saves a store for each event.
    [[nodiscard]] bool TryStage(const T& event) {
      if (ring_.TryStage(event)) [[likely]]
        return true;
      Refuse(1);
      return false;
    }
    void Publish() noexcept { ring_.Publish(); }
    // As many as fit, from the first on, shown to the consumer at once; returns how many. The rest is
    // refused.
    std::size_t PushSome(std::span<const T> events) {
      const std::size_t pushed = ring_.PushSome(events);
      if (pushed != events.size()) [[unlikely]]
        Refuse(events.size() - pushed);
      return pushed;
    }

   private:
    friend class MpscEventStream;
    explicit Producer(Lane& lane) noexcept : ring_(lane.ring.GetProducer()), refused_(&lane.refused) {}
    void Refuse(std::uint64_t events) noexcept {
      refused_->store(refused_->load(std::memory_order_relaxed) + events, std::memory_order_relaxed);
    }
    typename SpscRing<T>::Producer ring_;
    std::atomic<std::uint64_t>* refused_;
  };

  Producer GetProducer(std::uint32_t lane) noexcept {
    STADIAL_ASSERT_COMPARE(lane, <, LaneCount(), "no such lane");
    return Producer(lanes_[lane]);
  }

  // Calls visit(lane, T&) for what is pushed, at most `eventsMax` events, and removes them; returns how many.
  // Only the consumer. The visitor may push through a Producer of its own thread, and must not drain.
  template <class Visit>
  std::size_t Drain(Visit&& visit, std::size_t eventsMax = std::numeric_limits<std::size_t>::max()) {
    std::size_t taken = 0;
    for (std::uint32_t turn = 0; turn < LaneCount() && taken < eventsMax; ++turn) {
      const std::uint32_t index = next_;
      next_ = index + 1 == LaneCount() ? 0 : index + 1;
      taken += lanes_[index].ring.Consume([&](T& event) { visit(index, event); }, eventsMax - taken);
    }
    return taken;
  }

  std::uint32_t LaneCount() const noexcept { return static_cast<std::uint32_t>(lanes_.size()); }
  std::size_t EventsPerLane() const noexcept { return lanes_[0].ring.Capacity(); }
  std::uint64_t RefusedCount() const noexcept {  // any thread
    std::uint64_t refused = 0;
    for (const Lane& lane : lanes_) refused += lane.refused.load(std::memory_order_relaxed);
    return refused;
  }

 private:
  struct Lane {
    Lane(Arena& arena, std::size_t events) : ring(arena, events) {}
    SpscRing<T> ring;
    alignas(64) std::atomic<std::uint64_t> refused{0};
  };

  std::span<Lane> lanes_;
  std::uint32_t next_ = 0;  // the lane whose turn comes next
};

}  // namespace stadial::arenas
