// EventInbox: how other threads reach a single-threaded EventBus. One lane per producing thread, each a
// bounded lock-free queue (arenas::MpscByteStream, where order and fairness are stated); the bus empties them
// at the start of ProcessEvents. Order is kept within a lane.
//
// How it grows: not at all. A lane has room for at least the events it was made for, whatever they carry, and
//               for more of those that are small.
// Exhaustion:   TryEmit says false, and the refusal is counted; no other lane notices.
// Alignment:    lanes share no cache line. Destructors: none run.
// Threads:      one Producer at a time for each lane, on one thread; Drain on the bus's thread.
// Invalidation: an event is valid during its visit; a Producer lives no longer than its inbox.
// Cost: 16 bytes for an event that has only type and data, 72 for another, and one store to a line of the
// producer's own; no locked instruction.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/mpsc_stream.h"
#include "stadial/runtime/event.h"

namespace stadial::runtime {

class EventInbox {
 public:
  // All of it is carved from `setup`: CalculateLaneBytes for each lane, and what a lane needs for itself.
  EventInbox(arenas::Arena& setup, std::uint32_t laneCount, std::size_t capacityPerLane) noexcept
      : stream_(setup, {.lanes = laneCount, .bytesPerLane = CalculateLaneBytes(capacityPerLane)}),
        capacityPerLane_(capacityPerLane) {}

  // A power of two, with room for the gap that a record leaves which would cross the ring's end.
  static constexpr std::size_t CalculateLaneBytes(std::size_t capacityPerLane) noexcept {
    return std::bit_ceil((capacityPerLane + 1) * arenas::StreamRecordBytes(sizeof(Event)));
  }

  // A producing thread's end of its lane. Keep it in a local variable of the loop that emits: it remembers
  // the consumer's position, and a new one has to look.
  class Producer {
   public:
    [[nodiscard, gnu::always_inline]] inline bool TryEmit(const Event& event) noexcept;
    template <EventPayload T>
    [[nodiscard]] bool TryEmit(EventType type, const T& payload, std::uint64_t key = 0) noexcept {
      return TryEmit(MakeEvent(type, payload, key));
    }

   private:
    friend class EventInbox;
    explicit Producer(arenas::MpscByteStream::Producer producer) noexcept : producer_(producer) {}
    arenas::MpscByteStream::Producer producer_;
  };
  [[nodiscard]] Producer GetProducer(std::uint32_t lane) noexcept {
    return Producer(stream_.GetProducer(lane));
  }
  // One event of a thread that emits now and then. Not while the lane has a Producer.
  [[nodiscard]] bool TryEmit(std::uint32_t lane, const Event& event) noexcept {
    return GetProducer(lane).TryEmit(event);
  }

  // Consumer: calls visit(const Event&) for what has been emitted, at most `eventsMax` events, and removes
  // them; returns how many. `visit` may not drain.
  template <class Visit>
  std::size_t Drain(Visit&& visit, std::size_t eventsMax = arenas::kDrainAll) noexcept;

  std::uint32_t LaneCount() const noexcept { return stream_.LaneCount(); }
  std::size_t CapacityPerLane() const noexcept { return capacityPerLane_; }
  std::uint64_t RefusedCount() const noexcept { return stream_.RefusedCount(); }  // any thread

 private:
  // A record's tag is the event's type. Its payload is `data` alone, or the whole event.
  using PlainRecord = std::int64_t;

  arenas::MpscByteStream stream_;
  std::size_t capacityPerLane_;
};

inline bool EventInbox::Producer::TryEmit(const Event& event) noexcept {
  const auto type = static_cast<std::uint32_t>(event.type);
  const bool isPlain = (event.flags | event.payloadTag) == 0 && (event.key | event.origins) == 0;
  if (isPlain) [[likely]]
    return producer_.TryWrite(type, PlainRecord{event.data});
  std::byte* const place = producer_.TryReserve(type, sizeof(Event));
  if (place == nullptr) return false;
  std::memcpy(place, &event, sizeof event);
  producer_.Publish();
  return true;
}

template <class Visit>
std::size_t EventInbox::Drain(Visit&& visit, std::size_t eventsMax) noexcept {
  Event plain;
  return stream_.Drain(
      [&](std::uint32_t, const arenas::StreamRecord& record) {
        if (record.bytes.size() == sizeof(PlainRecord)) [[likely]] {
          plain.type = static_cast<EventType>(record.tag);
          plain.data = record.Get<PlainRecord>();
          visit(static_cast<const Event&>(plain));
          return;
        }
        Event whole;
        std::memcpy(static_cast<void*>(&whole), record.bytes.data(), sizeof whole);
        visit(static_cast<const Event&>(whole));
      },
      eventsMax);
}

}  // namespace stadial::runtime
