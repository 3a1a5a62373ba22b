// EventQueue: the storage of an EventBus. A ring of fixed capacity, with what its overflow mode needs beside
// it: growth chunks (Fallback) or a second ring for pinned events (Discard), and an index for coalescing.
//
// Growth:       none, except in Fallback mode, by chunks of a FallbackSite (or of four chunks reserved beside
//               the ring), each given back as soon as its last event is taken.
// Exhaustion:   by mode, see event_bus.h.
// Alignment:    64.
// Destructors:  none run.
// Threads:      one.
// Invalidation: an event handed to a visitor is valid during its call, whatever is pushed meanwhile. The ring
//               has one slot more than its capacity for that: the slot just taken is the last one to be used
//               again. (Not so in Discard mode, where pushing also moves the head: there, and in growth, the
//               visitor gets a copy.)
//
// Order. Events that are not pinned form one stream, numbered as they arrive: the ring first, then the
// chunks. A pinned event in Discard mode stands in its own ring with the number of the stream event it
// precedes, so dropping the oldest unpinned event is always the removal of the ring's head, and merging the
// two is one comparison.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/flat_map.h"
#include "stadial/arenas/overflow.h"
#include "stadial/runtime/accept_result.h"
#include "stadial/runtime/event.h"

namespace stadial::runtime {

class FallbackSite;

// What became of an emitted event.
using EmitResult = AcceptResult;

class EventQueue {
 public:
  struct Options {
    std::size_t capacity = 0;
    arenas::AllocationMode mode = arenas::AllocationMode::Strict;
    std::size_t coalesceKeysMax = 0;
  };
  struct Counters {
    std::uint64_t growths = 0;
    std::uint64_t rejected = 0;
    std::uint64_t pinnedRejected = 0;
    std::uint64_t discarded = 0;
    std::uint64_t coalesced = 0;
    std::size_t peak = 0;  // most events queued at once, as of the last TakeUntil
  };
  // The end of the queue at some moment: everything before it was queued earlier.
  struct Position {
    std::uint64_t stream = 0;
    std::uint64_t pinned = 0;
  };

  static constexpr std::size_t kCapacityMax = std::size_t{1} << 30;

  // No storage: capacity 0, Strict.
  EventQueue() noexcept = default;
  // Carves everything from `arena`, which must have CalculateBytes(options, growth) left. `growth` may be
  // null.
  EventQueue(arenas::Arena& arena, const Options& options, FallbackSite* growth) noexcept;

  static std::size_t CalculateBytes(const Options& options, const FallbackSite* growth) noexcept;

  // The inline path: room in the ring, nothing special about the event. False: use Push.
  [[gnu::always_inline]] inline bool TryPushPlain(const Event& event) noexcept {
    if (pushed_ - popped_ >= plainLimit_) [[unlikely]]
      return false;
    CopyEvent(ring_[tail_], event);
    tail_ = Next(tail_);
    ++pushed_;
    return true;
  }
  // `flags`: kEventPinned, kEventCoalesce; these and not the event's own count, and Take shows them.
  EmitResult Push(const Event& event, std::uint16_t flags) noexcept;

  // Removes every event before `end`, oldest first, and calls visit(const Event&) for each; returns their
  // number. `visit` may push, and may not take.
  template <class Visit>
  std::size_t TakeUntil(Position end, Visit&& visit) noexcept;
  bool IsEmpty() const noexcept { return pushed_ == popped_ && pinnedPushed_ == pinnedPopped_; }
  Position End() const noexcept { return {pushed_, pinnedPushed_}; }

  // While suspended every event takes the slow path (an open batch).
  void SuspendPlain(bool suspended) noexcept;
  // Gives every chunk back, with the events in it. For the end of the queue's life.
  void ReleaseGrowth() noexcept;
  // Takes over the events and the counters of `other`, which is left empty. They must fit (asserted).
  void AdoptFrom(EventQueue& other) noexcept;

  std::size_t Size() const noexcept { return StreamSize() + PinnedSize(); }
  std::size_t Capacity() const noexcept { return slots_ + growthSlots_; }  // of the storage there is now
  std::size_t RingCapacity() const noexcept { return slots_; }
  std::size_t GrowthCapacity() const noexcept { return growthSlots_; }
  arenas::AllocationMode Mode() const noexcept { return mode_; }
  const Counters& GetCounters() const noexcept { return counters_; }
  // Events ever taken for a visitor.
  std::uint64_t TakenCount() const noexcept {
    return popped_ + pinnedPopped_ + takenBefore_ - counters_.discarded;
  }
  // Events ever given to Push or TryPushPlain.
  std::uint64_t EmittedCount() const noexcept {
    return queuedBefore_ + pushed_ + pinnedPushed_ + counters_.coalesced + counters_.rejected;
  }

 private:
  struct Chunk;
  struct PinnedEvent;
  struct Key {
    EventType type;
    std::uint64_t key;
    bool operator==(const Key&) const noexcept = default;
  };
  struct KeyHash {
    std::uint64_t operator()(const Key& key) const noexcept {
      return arenas::HashBits(arenas::HashBits(static_cast<std::uint64_t>(key.type)) ^ key.key);
    }
  };

  std::size_t StreamSize() const noexcept { return static_cast<std::size_t>(pushed_ - popped_); }
  std::size_t PinnedSize() const noexcept { return static_cast<std::size_t>(pinnedPushed_ - pinnedPopped_); }
  std::size_t RingSize() const noexcept { return StreamSize() - growthSize_; }
  std::size_t Next(std::size_t index) const noexcept { return index == slots_ ? 0 : index + 1; }
  // Member by member: an event that was just built in a register or on the stack in small pieces would
  // otherwise be read back in large ones, which waits until the stores have reached the cache.
  [[gnu::always_inline]] static void CopyEvent(Event& to, const Event& from) noexcept {
    to.type = from.type;
    to.flags = from.flags;
    to.payloadTag = from.payloadTag;
    to.data = from.data;
    to.key = from.key;
    to.origins = from.origins;
    std::memcpy(to.payload, from.payload, sizeof to.payload);
  }
  static std::size_t ChunkEvents(std::size_t capacity) noexcept;
  static std::size_t ChunkBytes(std::size_t capacity) noexcept;
  void UpdatePlainLimit() noexcept;
  bool TryMerge(const Event& event, std::uint16_t flags) noexcept;
  EmitResult Append(const Event& event, std::uint16_t flags) noexcept;
  void NotePeak() noexcept {
    if (Size() > counters_.peak) [[unlikely]]
      counters_.peak = Size();
  }
  void TakeCopy(Event& copy) noexcept;
  EmitResult Reject(bool pinned) noexcept;
  Event* NewStreamSlot(EmitResult& result) noexcept;  // null: rejected
  Event* NewGrowthSlot() noexcept;
  Event* NewPinnedSlot() noexcept;
  bool TryGrow() noexcept;
  void ReleaseChunk(Chunk* chunk) noexcept;
  void DropOldest() noexcept;
  void Forget(Event& event) noexcept;

  // The inline path's members first: one cache line.
  Event* ring_ = nullptr;
  std::size_t slots_ = 0;         // the reserved capacity; the ring has one slot more
  std::size_t tail_ = 0;          // where the next event of the ring goes
  std::size_t head_ = 0;          // the ring's oldest event
  std::uint64_t pushed_ = 0;      // stream events ever queued
  std::uint64_t popped_ = 0;      // of these, taken or dropped
  std::uint64_t plainLimit_ = 0;  // TryPushPlain works while fewer stream events are queued
  bool suspended_ = false;
  arenas::AllocationMode mode_ = arenas::AllocationMode::Strict;

  Chunk* growthFirst_ = nullptr;  // oldest chunk; growth holds the youngest events of the stream
  Chunk* growthLast_ = nullptr;
  std::size_t growthSize_ = 0;   // events in growth
  std::size_t growthSlots_ = 0;  // room in growth
  std::size_t chunkEvents_ = 0;
  Chunk* ownChunks_ = nullptr;  // free ones, when there is no site
  FallbackSite* site_ = nullptr;

  PinnedEvent* pinned_ = nullptr;  // slots_ of them, Discard only
  std::size_t pinnedHead_ = 0;
  std::uint64_t pinnedPushed_ = 0;
  std::uint64_t pinnedPopped_ = 0;

  std::uint64_t queuedBefore_ = 0;  // by the queues whose events were adopted
  std::uint64_t takenBefore_ = 0;   // likewise, discarded ones included
  arenas::FlatMap<Key, Event*, KeyHash> index_;
  Counters counters_;
};

template <class Visit>
std::size_t EventQueue::TakeUntil(Position end, Visit&& visit) noexcept {
  const std::uint64_t before = popped_ + pinnedPopped_ - counters_.discarded;
  NotePeak();
  if (mode_ != arenas::AllocationMode::Discard) {
    // In place, one unbroken run of the ring after the other. What is pushed meanwhile stands behind `end`,
    // and nobody else moves the head.
    std::uint64_t known = pushed_;
    const std::uint64_t inRing = popped_ + RingSize();
    const std::uint64_t stop = end.stream < inRing ? end.stream : inRing;
    while (popped_ < stop) {
      const std::size_t left = static_cast<std::size_t>(stop - popped_);
      const std::size_t toEnd = slots_ + 1 - head_;
      Event* const first = ring_ + head_;
      Event* const last = first + (left < toEnd ? left : toEnd);
      head_ = left < toEnd ? head_ + left : 0;
      for (Event* event = first; event != last; ++event) {
        ++popped_;
        if (event->flags != 0) [[unlikely]]
          Forget(*event);
        visit(static_cast<const Event&>(*event));
        if (pushed_ != known) [[unlikely]] {
          known = pushed_;
          NotePeak();
        }
      }
    }
  }
  Event copy;
  while (popped_ < end.stream || pinnedPopped_ < end.pinned) {
    TakeCopy(copy);
    visit(static_cast<const Event&>(copy));
    NotePeak();
  }
  return static_cast<std::size_t>(popped_ + pinnedPopped_ - counters_.discarded - before);
}

}  // namespace stadial::runtime
