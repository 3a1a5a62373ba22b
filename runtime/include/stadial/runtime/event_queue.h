// EventQueue: the storage of an EventBus. A ring of fixed capacity, with what its overflow mode needs beside
// it: growth chunks (Fallback) or a second ring for pinned events (Discard), and an index for coalescing.
//
// How it grows: never, except in Fallback mode, by chunks of a FallbackSite (or of four chunks reserved
//               beside the ring), each given back as soon as its last event is taken.
// Exhaustion:   by mode, see event_bus.h. Alignment: 64. Destructors: none run. Threads: one.
// Invalidation: a visitor gets a copy, valid during its call whatever is pushed meanwhile.
//
// Storage. The ring is three arrays with one index: heads (type, flags, tag, data: 16 bytes), contexts (key
// and origins: 16) and payloads (32). An event touches only what it has: a plain one 16 bytes, written and
// read. The reserved 64 bytes of each place do not depend on it. A queue that has run empty starts over at
// the ring's begin, so that small frames stay in cache however large the capacity is.
//
// Order. Events that are not pinned form one stream, numbered as they arrive: the ring first, then the
// chunks. A pinned event in Discard mode stands in its own ring with the number of the stream event it
// precedes, so dropping the oldest unpinned event is always the removal of the ring's head, and merging the
// two is one comparison.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
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
  // An event but for its payload: it travels in registers.
  struct Fields {
    EventType type = EventType::None;
    std::uint16_t flags = 0;
    std::uint16_t payloadTag = 0;
    std::int64_t data = 0;
    std::uint64_t key = 0;
    std::uint64_t origins = 0;
  };
  // Where the payload of a pushed event belongs, if it has one. Never null: a rejected event's goes where
  // nobody reads it.
  struct Place {
    std::byte* payload;
    EmitResult result;
  };

  static constexpr std::size_t kCapacityMax = std::size_t{1} << 30;

  // No storage: capacity 0, Strict.
  EventQueue() noexcept = default;
  // Carves everything from `arena`, which must have CalculateBytes(options, growth) left. `growth` may be
  // null.
  EventQueue(arenas::Arena& arena, const Options& options, FallbackSite* growth) noexcept;

  static std::size_t CalculateBytes(const Options& options, const FallbackSite* growth) noexcept;

  // The inline path: room in the ring, nothing special about the event (its flags are not looked at).
  // `payload` is then as in Place. False: use Push.
  [[gnu::always_inline]] inline bool TryPushPlain(const Fields& event, bool isSpecial,
                                                  std::byte*& payload) noexcept;
  // `event.flags`: kEventPinned, kEventCoalesce; Take shows them.
  Place Push(const Fields& event) noexcept STADIAL_NONALLOCATING;

  // Removes every event before `end`, oldest first, and calls visit(event, type) for each, with a const
  // Event& and its type; returns their number. `visit` may push, and may not take.
  template <class Visit>
  std::size_t TakeUntil(Position end, Visit&& visit) noexcept;
  bool IsEmpty() const noexcept { return Pushed() == Popped() && pinnedPushed_ == pinnedPopped_; }
  Position End() const noexcept { return {Pushed(), pinnedPushed_}; }

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
  std::uint64_t TakenCount() const noexcept { return takenBefore_ + TakenHere(); }
  // Events ever given to Push or TryPushPlain.
  std::uint64_t EmittedCount() const noexcept {
    return queuedBefore_ + Pushed() + pinnedPushed_ + counters_.coalesced + counters_.rejected;
  }

 private:
  struct Chunk;
  // The first 16 bytes of an Event. `word`: type, flags and tag as an Event has them in memory.
  struct Head {
    std::uint64_t word;
    std::int64_t data;
  };
  struct Context {
    std::uint64_t key;
    std::uint64_t origins;
  };
  // Outside the ring an event stands in one piece.
  struct WholeEvent {
    Head head;
    Context context;
    std::byte payload[kEventPayloadBytesMax];
  };
  struct PinnedEvent {
    WholeEvent event;
    std::uint64_t precedes;  // number of the stream event it stands before
  };
  struct Slot {
    Head* head;
    Context* context;
    std::byte* payload;
  };
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
  // Internal bits of a queued event's flags.
  static constexpr std::uint16_t kIndexed = 1u << 15;     // the coalescing index knows it
  static constexpr std::uint16_t kHasContext = 1u << 14;  // its context is written

  static std::uint64_t PackWord(EventType type, std::uint16_t flags, std::uint16_t payloadTag) noexcept {
    return static_cast<std::uint64_t>(type) | static_cast<std::uint64_t>(flags) << 32 |
           static_cast<std::uint64_t>(payloadTag) << 48;
  }
  static bool HasMoreThanHead(std::uint64_t word) noexcept { return word >> 32 != 0; }
  static std::uint16_t FlagsOf(const Head& head) noexcept {
    return static_cast<std::uint16_t>(head.word >> 32);
  }
  static void SetFlag(Head& head, std::uint16_t flag) noexcept { head.word |= std::uint64_t{flag} << 32; }
  static void ClearFlag(Head& head, std::uint16_t flag) noexcept {
    head.word &= ~(std::uint64_t{flag} << 32);
  }

  std::size_t RingIndex(const Head* head) const noexcept { return static_cast<std::size_t>(head - heads_); }
  std::uint64_t Pushed() const noexcept { return pushedBase_ + RingIndex(tail_); }
  std::uint64_t Popped() const noexcept { return poppedBase_ + RingIndex(head_); }
  std::size_t StreamSize() const noexcept { return static_cast<std::size_t>(Pushed() - Popped()); }
  std::size_t PinnedSize() const noexcept { return static_cast<std::size_t>(pinnedPushed_ - pinnedPopped_); }
  std::size_t RingSize() const noexcept { return StreamSize() - growthSize_; }
  std::uint64_t TakenHere() const noexcept { return Popped() + pinnedPopped_ - counters_.discarded; }
  std::uint64_t NextPinned() const noexcept {
    return PinnedSize() == 0 ? ~std::uint64_t{0} : pinned_[pinnedHead_].precedes;
  }
  std::size_t RunLength(const Position& end) noexcept;

  static std::size_t ChunkEvents(std::size_t capacity) noexcept;
  static std::size_t ChunkBytes(std::size_t capacity) noexcept;
  void UpdatePlainEnd() noexcept;
  void Rewind() noexcept STADIAL_NONALLOCATING;
  Slot RingSlot(Head* head) noexcept STADIAL_NONALLOCATING;
  Slot SlotOf(Head* head) noexcept;
  static Slot SlotIn(WholeEvent& event) noexcept { return {&event.head, &event.context, event.payload}; }
  bool TryMerge(const Fields& event, Place& place) noexcept;
  Place Append(const Fields& event) noexcept;
  Place Reject(bool pinned) noexcept;
  Slot NewStreamSlot(EmitResult& result) noexcept;  // null: rejected
  Slot NewGrowthSlot() noexcept;
  Slot NewPinnedSlot() noexcept;
  bool TryGrow() noexcept;
  void ReleaseChunk(Chunk* chunk) noexcept;
  void DropOldest() noexcept;
  void Forget(const Slot& slot) noexcept STADIAL_NONALLOCATING;
  void CopyOut(const Slot& slot, Event& event) noexcept STADIAL_NONALLOCATING;
  void CopyRest(Head* head, Event& event) noexcept STADIAL_NONALLOCATING;
  bool TryTakeOutsideRing(const Position& end, Event& event) noexcept STADIAL_NONALLOCATING;
  void NotePeak() noexcept { counters_.peak = std::max(counters_.peak, Size()); }

  // The inline path's members first: one cache line.
  Head* tail_ = nullptr;  // where the next event of the ring goes; at ringEnd_ until the next one comes
  Head* plainEnd_ =
      nullptr;  // TryPushPlain works up to here; never too far, but it may have been left behind
  Head* heads_ = nullptr;
  Context* contexts_ = nullptr;
  std::byte* payloads_ = nullptr;
  Head* head_ = nullptr;  // the ring's oldest event; likewise
  Head* seenTail_ =
      nullptr;  // TakeUntil's: tail_ at its last look; null when more than plain pushes happened
  Head* ringEnd_ = nullptr;

  // Stream events ever queued and taken or dropped are these and the index of tail_ and head_.
  std::uint64_t pushedBase_ = 0;
  std::uint64_t poppedBase_ = 0;
  std::size_t slots_ = 0;  // of the ring
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
  std::uint64_t takenBefore_ = 0;   // likewise
  arenas::FlatMap<Key, Head*, KeyHash> index_;
  Counters counters_;
  std::byte rejectedPayload_[kEventPayloadBytesMax] = {};
};

// An event's stores are integers, and what this reads of the queue are pointers: the compiler knows that the
// ones do not change the others.
inline bool EventQueue::TryPushPlain(const Fields& event, bool isSpecial, std::byte*& payload) noexcept {
  Head* const head = tail_;
  if (isSpecial | (head == plainEnd_)) [[unlikely]]
    return false;
  const std::size_t index = RingIndex(head);
  std::uint16_t flags = 0;
  if ((event.key | event.origins) != 0) {
    flags = kHasContext;
    contexts_[index].key = event.key;
    contexts_[index].origins = event.origins;
  }
  head->word = PackWord(event.type, flags, event.payloadTag);
  head->data = event.data;
  tail_ = head + 1;
  payload = payloads_ + index * kEventPayloadBytesMax;
  return true;
}

// What an event of the ring has beyond its head, which is copied already.
inline void EventQueue::CopyRest(Head* head, Event& event) noexcept {
  if (event.flags != 0) return CopyOut(RingSlot(head), event);
  std::memcpy(event.payload, payloads_ + RingIndex(head) * kEventPayloadBytesMax, kEventPayloadBytesMax);
}

// How many events from the ring's head on can be taken one after the other: up to `end`, the ring's end, and
// the next pinned event.
inline std::size_t EventQueue::RunLength(const Position& end) noexcept {
  if (head_ == ringEnd_) {
    poppedBase_ += slots_;
    head_ = heads_;
  }
  const std::uint64_t popped = Popped();
  std::uint64_t stop = popped + std::min(RingSize(), static_cast<std::size_t>(ringEnd_ - head_));
  stop = std::min({stop, end.stream, NextPinned()});
  return stop > popped ? static_cast<std::size_t>(stop - popped) : 0;
}

template <class Visit>
std::size_t EventQueue::TakeUntil(Position end, Visit&& visit) noexcept {
  static_assert(sizeof(Head) == 16 && offsetof(Event, data) == 8 && offsetof(Event, key) == sizeof(Head));
  const std::uint64_t before = TakenHere();
  Event event;
  for (;;) {
    NotePeak();
    seenTail_ = tail_;
    const std::size_t run = RunLength(end);
    if (run == 0) {
      if (!TryTakeOutsideRing(end, event)) break;
      visit(static_cast<const Event&>(event), event.type);
      event.key = 0;
      event.origins = 0;
      continue;
    }
    // One unbroken run of the ring. What is pushed meanwhile stands behind it, and nobody else moves the head
    // but a push that drops: that shows in seenTail_.
    Head* head = head_;
    Head* const stop = head + run;
    do {
      const std::uint64_t word = head->word;
      const auto type = static_cast<EventType>(static_cast<std::uint32_t>(word));
      std::memcpy(static_cast<void*>(&event), &word, sizeof word);
      event.data = head->data;
      if (!HasMoreThanHead(word)) [[likely]] {
        head_ = ++head;
        visit(static_cast<const Event&>(event), type);
      } else {
        CopyRest(head, event);
        head_ = ++head;
        visit(static_cast<const Event&>(event), type);
        event.key = 0;
        event.origins = 0;
      }
      if (tail_ != seenTail_) [[unlikely]] {
        if (seenTail_ == nullptr) break;
        NotePeak();
        seenTail_ = tail_;
      }
    } while (head != stop);
  }
  if (IsEmpty()) Rewind();
  return static_cast<std::size_t>(TakenHere() - before);
}

}  // namespace stadial::runtime
