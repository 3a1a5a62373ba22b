#include "stadial/runtime/event_queue.h"

#include <algorithm>

#include "stadial/runtime/designated_fallback.h"

namespace stadial::runtime {
namespace {

using arenas::AllocationMode;

constexpr std::size_t kEventAlignment = 64;  // an event is one cache line

// A growth chunk holds as many events as the ring, within these bounds: small buses do not grow one event at
// a time, large ones do not ask for megabytes at once.
constexpr std::size_t kChunkEventsMin = 64;
constexpr std::size_t kChunkEventsMax = 4096;
// What a queue without a fallback site may grow by.
constexpr std::size_t kOwnChunks = 4;

// Internal bit of a queued event's flags: the index knows it.
constexpr std::uint16_t kEventIndexed = 1u << 15;

}  // namespace

struct alignas(kEventAlignment) EventQueue::Chunk {
  Chunk* next;
  std::size_t begin;  // oldest event
  std::size_t end;    // one past the youngest

  Event* Events() noexcept { return reinterpret_cast<Event*>(this + 1); }
};

struct EventQueue::PinnedEvent {
  Event event;
  std::uint64_t precedes;  // number of the stream event it stands before
};

std::size_t EventQueue::ChunkEvents(std::size_t capacity) noexcept {
  return std::clamp(capacity, kChunkEventsMin, kChunkEventsMax);
}

std::size_t EventQueue::ChunkBytes(std::size_t capacity) noexcept {
  return sizeof(Chunk) + ChunkEvents(capacity) * sizeof(Event);
}

std::size_t EventQueue::CalculateBytes(const Options& options, const FallbackSite* growth) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(options.capacity, <=, kCapacityMax, "event capacity out of range");
  std::size_t bytes = kEventAlignment + (options.capacity + 1) * sizeof(Event);
  if (options.mode == AllocationMode::Discard) bytes += options.capacity * sizeof(PinnedEvent);
  if (options.mode == AllocationMode::Fallback && growth == nullptr) {
    bytes += kEventAlignment + kOwnChunks * ChunkBytes(options.capacity);
  }
  return bytes + arenas::FlatMap<Key, Event*, KeyHash>::RequiredBytes(options.coalesceKeysMax);
}

EventQueue::EventQueue(arenas::Arena& arena, const Options& options, FallbackSite* growth) noexcept
    : slots_(options.capacity),
      mode_(options.mode),
      chunkEvents_(ChunkEvents(options.capacity)),
      site_(growth),
      index_(arena, options.coalesceKeysMax) {
  ring_ = static_cast<Event*>(arena.Allocate((options.capacity + 1) * sizeof(Event), kEventAlignment));
  if (mode_ == AllocationMode::Discard) pinned_ = arena.NewArrayUninitialized<PinnedEvent>(slots_).data();
  if (mode_ == AllocationMode::Fallback && growth == nullptr) {
    for (std::size_t i = 0; i < kOwnChunks; ++i) {
      void* const memory = arena.Allocate(ChunkBytes(options.capacity), kEventAlignment);
      ownChunks_ = ::new (memory) Chunk{.next = ownChunks_, .begin = 0, .end = 0};
    }
  }
  UpdatePlainLimit();
}

void EventQueue::UpdatePlainLimit() noexcept {
  STADIAL_ASSERT_COMPARE(PinnedSize(), <=, slots_, "more pinned events than slots");
  plainLimit_ = suspended_ || growthSize_ != 0 ? 0 : slots_ - PinnedSize();
}

void EventQueue::SuspendPlain(bool suspended) noexcept {
  suspended_ = suspended;
  UpdatePlainLimit();
}

EmitResult EventQueue::Push(const Event& event, std::uint16_t flags) noexcept {
  if ((flags & kEventCoalesce) != 0 && TryMerge(event, flags)) return EmitResult::Coalesced;
  return Append(event, flags);
}

bool EventQueue::TryMerge(const Event& event, std::uint16_t flags) noexcept {
  const Key key{event.type, event.key};
  Event** const found = index_.Find(key);
  if (found == nullptr) return false;
  Event& queued = **found;
  if (mode_ == AllocationMode::Discard && (flags & ~queued.flags & kEventPinned) != 0) {
    // Merged into an event that may be dropped, the pinned one could be lost: it gets a place of its own,
    // which later ones merge into.
    queued.flags &= static_cast<std::uint16_t>(~kEventIndexed);
    index_.Erase(key);
    return false;
  }
  const std::uint64_t origins = queued.origins | event.origins;
  const std::uint16_t queuedFlags = queued.flags;
  queued = event;
  queued.origins = origins;
  queued.flags = queuedFlags;
  ++counters_.coalesced;
  return true;
}

EmitResult EventQueue::Append(const Event& event, std::uint16_t flags) noexcept {
  EmitResult result = EmitResult::Accepted;
  const bool isPinned = (flags & kEventPinned) != 0;
  Event* slot = nullptr;
  if (mode_ == AllocationMode::Discard) {
    if (Size() >= slots_) {
      if (StreamSize() == 0) return Reject(isPinned);
      DropOldest();
      result = EmitResult::AcceptedOlderDropped;
    }
    slot = isPinned ? NewPinnedSlot() : NewStreamSlot(result);
  } else {
    slot = NewStreamSlot(result);
  }
  if (slot == nullptr) return Reject(isPinned);
  *slot = event;
  slot->flags = flags;
  if ((flags & kEventCoalesce) != 0) {
    bool isNew = false;
    const bool hasRoom = index_.TryInsert(Key{event.type, event.key}, slot, &isNew) != nullptr;
    if (hasRoom && isNew) slot->flags |= kEventIndexed;
  }
  return result;
}

EmitResult EventQueue::Reject(bool pinned) noexcept {
  ++counters_.rejected;
  if (pinned) ++counters_.pinnedRejected;
  return EmitResult::Rejected;
}

Event* EventQueue::NewStreamSlot(EmitResult& result) noexcept {
  if (growthSize_ == 0 && Size() < slots_) {
    Event* const slot = &ring_[tail_];
    tail_ = Next(tail_);
    ++pushed_;
    return slot;
  }
  if (mode_ != AllocationMode::Fallback) return nullptr;
  // Growth is younger than the ring: once it is in use, new events follow there even if the ring has room
  // again.
  Event* const slot = NewGrowthSlot();
  if (slot != nullptr) result = EmitResult::AcceptedAfterGrowth;
  return slot;
}

Event* EventQueue::NewGrowthSlot() noexcept {
  if ((growthLast_ == nullptr || growthLast_->end == chunkEvents_) && !TryGrow()) return nullptr;
  Event* const slot = &growthLast_->Events()[growthLast_->end++];
  ++growthSize_;
  ++pushed_;
  UpdatePlainLimit();
  return slot;
}

bool EventQueue::TryGrow() noexcept {
  void* memory = nullptr;
  if (site_ != nullptr) {
    memory = site_->TryAllocate(ChunkBytes(slots_), kEventAlignment);
  } else if (ownChunks_ != nullptr) {
    memory = ownChunks_;
    ownChunks_ = ownChunks_->next;
  }
  if (memory == nullptr) return false;
  Chunk* const chunk = ::new (memory) Chunk{.next = nullptr, .begin = 0, .end = 0};
  (growthLast_ == nullptr ? growthFirst_ : growthLast_->next) = chunk;
  growthLast_ = chunk;
  growthSlots_ += chunkEvents_;
  ++counters_.growths;
  return true;
}

void EventQueue::ReleaseChunk(Chunk* chunk) noexcept {
  growthSlots_ -= chunkEvents_;
  if (site_ != nullptr) {
    site_->Free(chunk);
  } else {
    chunk->next = ownChunks_;
    ownChunks_ = chunk;
  }
}

Event* EventQueue::NewPinnedSlot() noexcept {
  std::size_t index = pinnedHead_ + PinnedSize();
  if (index >= slots_) index -= slots_;
  PinnedEvent& slot = pinned_[index];
  slot.precedes = pushed_;
  ++pinnedPushed_;
  UpdatePlainLimit();
  return &slot.event;
}

void EventQueue::Forget(Event& event) noexcept {
  if ((event.flags & kEventIndexed) == 0) return;
  event.flags &= kEventFlagsPublic;
  const bool erased = index_.Erase(Key{event.type, event.key});
  STADIAL_ASSERT(erased, "a queued event is missing from the coalescing index");
}

void EventQueue::DropOldest() noexcept {
  STADIAL_ASSERT_COMPARE(RingSize(), >, std::size_t{0}, "nothing to drop");
  NotePeak();
  Forget(ring_[head_]);
  head_ = Next(head_);
  ++popped_;
  ++counters_.discarded;
}

void EventQueue::TakeCopy(Event& copy) noexcept {
  STADIAL_ASSERT(!IsEmpty(), "taking from an empty event queue");
  if (PinnedSize() != 0 && pinned_[pinnedHead_].precedes <= popped_) {
    copy = pinned_[pinnedHead_].event;
    pinnedHead_ = pinnedHead_ + 1 == slots_ ? 0 : pinnedHead_ + 1;
    ++pinnedPopped_;
    UpdatePlainLimit();
  } else if (RingSize() != 0) {
    copy = ring_[head_];
    head_ = Next(head_);
    ++popped_;
  } else {
    Chunk* const chunk = growthFirst_;
    copy = chunk->Events()[chunk->begin++];
    --growthSize_;
    ++popped_;
    if (chunk->begin == chunk->end && (chunk->begin == chunkEvents_ || growthSize_ == 0)) {
      growthFirst_ = chunk->next;
      if (growthFirst_ == nullptr) growthLast_ = nullptr;
      ReleaseChunk(chunk);
    }
    UpdatePlainLimit();
  }
  Forget(copy);
}

void EventQueue::AdoptFrom(EventQueue& other) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(other.Size(), <=, slots_, "the queued events do not fit");
  const Counters kept = other.counters_;
  const std::uint64_t taken = other.TakenCount();
  other.TakeUntil(other.End(), [this](const Event& event) {
    // Appended, not pushed: what was not merged when it was emitted is not merged now.
    const EmitResult result = Append(event, event.flags);
    STADIAL_ASSERT_ALWAYS(result.Get() == EmitResult::Accepted, "an adopted event was not accepted");
  });
  counters_ = kept;
  queuedBefore_ = other.queuedBefore_ + other.pushed_ + other.pinnedPushed_ - Size();
  takenBefore_ = taken + kept.discarded - popped_ - pinnedPopped_;
}

void EventQueue::ReleaseGrowth() noexcept {
  while (growthFirst_ != nullptr) {
    Chunk* const chunk = growthFirst_;
    growthFirst_ = chunk->next;
    ReleaseChunk(chunk);
  }
  growthLast_ = nullptr;
  popped_ += growthSize_;
  growthSize_ = 0;
  UpdatePlainLimit();
}

}  // namespace stadial::runtime
