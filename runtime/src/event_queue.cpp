#include "stadial/runtime/event_queue.h"

#include <bit>

#include "stadial/runtime/designated_fallback.h"

namespace stadial::runtime {
namespace {

using arenas::AllocationMode;

constexpr std::size_t kStorageAlignment = 64;  // a cache line

// A growth chunk holds as many events as the ring, within these bounds: small buses do not grow one event at
// a time, large ones do not ask for megabytes at once.
constexpr std::size_t kChunkEventsMin = 64;
constexpr std::size_t kChunkEventsMax = 4096;
// What a queue without a fallback site may grow by.
constexpr std::size_t kOwnChunks = 4;

static_assert(std::endian::native == std::endian::little, "PackWord builds an Event's first eight bytes");
static_assert(offsetof(Event, type) == 0 && offsetof(Event, flags) == 4 && offsetof(Event, payloadTag) == 6 &&
              offsetof(Event, origins) == 24);

}  // namespace

struct alignas(kStorageAlignment) EventQueue::Chunk {
  Chunk* next;
  std::size_t begin;  // oldest event
  std::size_t end;    // one past the youngest

  WholeEvent* Events() noexcept { return reinterpret_cast<WholeEvent*>(this + 1); }
};

std::size_t EventQueue::ChunkEvents(std::size_t capacity) noexcept {
  return std::clamp(capacity, kChunkEventsMin, kChunkEventsMax);
}

std::size_t EventQueue::ChunkBytes(std::size_t capacity) noexcept {
  return sizeof(Chunk) + ChunkEvents(capacity) * sizeof(WholeEvent);
}

std::size_t EventQueue::CalculateBytes(const Options& options, const FallbackSite* growth) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(options.capacity, <=, kCapacityMax, "event capacity out of range");
  std::size_t bytes = kStorageAlignment + options.capacity * sizeof(WholeEvent);
  if (options.mode == AllocationMode::Discard) bytes += options.capacity * sizeof(PinnedEvent);
  if (options.mode == AllocationMode::Fallback && growth == nullptr) {
    bytes += kStorageAlignment + kOwnChunks * ChunkBytes(options.capacity);
  }
  return bytes + arenas::FlatMap<Key, Head*, KeyHash>::RequiredBytes(options.coalesceKeysMax);
}

EventQueue::EventQueue(arenas::Arena& arena, const Options& options, FallbackSite* growth) noexcept
    : slots_(options.capacity),
      mode_(options.mode),
      chunkEvents_(ChunkEvents(options.capacity)),
      site_(growth),
      index_(arena, options.coalesceKeysMax) {
  // One block for the three arrays: each begins where the one before it ends.
  static_assert(sizeof(Head) + sizeof(Context) + kEventPayloadBytesMax == sizeof(WholeEvent));
  void* const ring = arena.Allocate(slots_ * sizeof(WholeEvent), kStorageAlignment);
  heads_ = tail_ = head_ = static_cast<Head*>(ring);
  ringEnd_ = heads_ + slots_;
  contexts_ = reinterpret_cast<Context*>(ringEnd_);
  payloads_ = reinterpret_cast<std::byte*>(contexts_ + slots_);
  if (mode_ == AllocationMode::Discard) pinned_ = arena.NewArrayUninitialized<PinnedEvent>(slots_).data();
  if (mode_ == AllocationMode::Fallback && growth == nullptr) {
    for (std::size_t i = 0; i < kOwnChunks; ++i) {
      void* const memory = arena.Allocate(ChunkBytes(options.capacity), kStorageAlignment);
      ownChunks_ = ::new (memory) Chunk{.next = ownChunks_, .begin = 0, .end = 0};
    }
  }
  UpdatePlainEnd();
}

// Where the inline path must stop: at the ring's end, when the queue is full, or here and now.
void EventQueue::UpdatePlainEnd() noexcept {
  STADIAL_ASSERT_COMPARE(PinnedSize(), <=, slots_, "more pinned events than slots");
  if (tail_ == ringEnd_) {
    pushedBase_ += slots_;
    tail_ = heads_;
  }
  plainEnd_ = tail_;
  if (suspended_ || growthSize_ != 0) return;
  plainEnd_ += std::min(slots_ - Size(), static_cast<std::size_t>(ringEnd_ - tail_));
}

void EventQueue::Rewind() noexcept {
  STADIAL_ASSERT(IsEmpty() && growthSize_ == 0, "only an empty event queue starts over");
  pushedBase_ = poppedBase_ = Pushed();
  tail_ = head_ = heads_;
  UpdatePlainEnd();
}

void EventQueue::SuspendPlain(bool suspended) noexcept {
  suspended_ = suspended;
  UpdatePlainEnd();
}

EventQueue::Slot EventQueue::RingSlot(Head* head) noexcept {
  const std::size_t index = RingIndex(head);
  return {head, contexts_ + index, payloads_ + index * kEventPayloadBytesMax};
}

EventQueue::Slot EventQueue::SlotOf(Head* head) noexcept {
  const bool isInRing =
      std::bit_cast<std::uintptr_t>(head) - std::bit_cast<std::uintptr_t>(heads_) < slots_ * sizeof(Head);
  return isInRing ? RingSlot(head) : SlotIn(*reinterpret_cast<WholeEvent*>(head));
}

EventQueue::Place EventQueue::Push(const Fields& event) noexcept {
  seenTail_ = nullptr;
  Place place{nullptr, EmitResult::Coalesced};
  if ((event.flags & kEventCoalesce) != 0 && TryMerge(event, place)) return place;
  return Append(event);
}

bool EventQueue::TryMerge(const Fields& event, Place& place) noexcept {
  const Key key{event.type, event.key};
  Head** const found = index_.Find(key);
  if (found == nullptr) return false;
  const Slot queued = SlotOf(*found);
  const std::uint16_t queuedFlags = FlagsOf(*queued.head);
  if (mode_ == AllocationMode::Discard && (event.flags & ~queuedFlags & kEventPinned) != 0) {
    // Merged into an event that may be dropped, the pinned one could be lost: it gets a place of its own,
    // which later ones merge into.
    ClearFlag(*queued.head, kIndexed);
    index_.Erase(key);
    return false;
  }
  *queued.head = {PackWord(event.type, queuedFlags, event.payloadTag), event.data};
  queued.context->origins |= event.origins;
  ++counters_.coalesced;
  place.payload = queued.payload;
  return true;
}

EventQueue::Place EventQueue::Append(const Fields& event) noexcept {
  EmitResult result = EmitResult::Accepted;
  const bool isPinned = (event.flags & kEventPinned) != 0;
  Slot slot{};
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
  if (slot.head == nullptr) return Reject(isPinned);
  const auto flags = static_cast<std::uint16_t>(event.flags | kHasContext);
  *slot.head = {PackWord(event.type, flags, event.payloadTag), event.data};
  *slot.context = {event.key, event.origins};
  if ((event.flags & kEventCoalesce) != 0) {
    bool isNew = false;
    const bool hasRoom = index_.TryInsert(Key{event.type, event.key}, slot.head, &isNew) != nullptr;
    if (hasRoom && isNew) SetFlag(*slot.head, kIndexed);
  }
  return {slot.payload, result};
}

EventQueue::Place EventQueue::Reject(bool pinned) noexcept {
  ++counters_.rejected;
  if (pinned) ++counters_.pinnedRejected;
  return {rejectedPayload_, EmitResult::Rejected};
}

EventQueue::Slot EventQueue::NewStreamSlot(EmitResult& result) noexcept {
  if (growthSize_ == 0 && Size() < slots_) {
    UpdatePlainEnd();  // after which tail_ is a place, and later events may be plain again
    Head* const head = tail_++;
    plainEnd_ = std::max(plainEnd_, tail_);
    return RingSlot(head);
  }
  if (mode_ != AllocationMode::Fallback) return {};
  // Growth is younger than the ring: once it is in use, new events follow there even if the ring has room
  // again.
  const Slot slot = NewGrowthSlot();
  if (slot.head != nullptr) result = EmitResult::AcceptedAfterGrowth;
  return slot;
}

EventQueue::Slot EventQueue::NewGrowthSlot() noexcept {
  if ((growthLast_ == nullptr || growthLast_->end == chunkEvents_) && !TryGrow()) return {};
  WholeEvent& event = growthLast_->Events()[growthLast_->end++];
  ++growthSize_;
  ++pushedBase_;
  UpdatePlainEnd();
  return SlotIn(event);
}

bool EventQueue::TryGrow() noexcept {
  void* memory = nullptr;
  if (site_ != nullptr) {
    memory = site_->TryAllocate(ChunkBytes(slots_), kStorageAlignment);
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

EventQueue::Slot EventQueue::NewPinnedSlot() noexcept {
  std::size_t index = pinnedHead_ + PinnedSize();
  if (index >= slots_) index -= slots_;
  PinnedEvent& slot = pinned_[index];
  slot.precedes = Pushed();
  ++pinnedPushed_;
  UpdatePlainEnd();
  return SlotIn(slot.event);
}

void EventQueue::Forget(const Slot& slot) noexcept {
  if ((FlagsOf(*slot.head) & kIndexed) == 0) return;
  const bool erased = index_.Erase(
      Key{static_cast<EventType>(static_cast<std::uint32_t>(slot.head->word)), slot.context->key});
  STADIAL_ASSERT(erased, "a queued event is missing from the coalescing index");
}

void EventQueue::DropOldest() noexcept {
  STADIAL_ASSERT_COMPARE(RingSize(), >, std::size_t{0}, "nothing to drop");
  NotePeak();
  if (head_ == ringEnd_) {
    poppedBase_ += slots_;
    head_ = heads_;
  }
  Forget(RingSlot(head_));
  ++head_;
  ++counters_.discarded;
}

// Everything that an event may have, for those that have more than a head.
void EventQueue::CopyOut(const Slot& slot, Event& event) noexcept {
  Forget(slot);
  std::memcpy(static_cast<void*>(&event), slot.head, sizeof(Head));
  event.key = 0;
  event.origins = 0;
  if ((event.flags & kHasContext) != 0) {
    event.key = slot.context->key;
    event.origins = slot.context->origins;
  }
  if (event.payloadTag != 0) std::memcpy(event.payload, slot.payload, kEventPayloadBytesMax);
  event.flags &= kEventFlagsPublic;
}

// The next event before `end` is a pinned one, or the ring is empty and growth is not.
bool EventQueue::TryTakeOutsideRing(const Position& end, Event& event) noexcept {
  if (Popped() >= end.stream && pinnedPopped_ >= end.pinned) return false;
  if (NextPinned() <= Popped()) {
    CopyOut(SlotIn(pinned_[pinnedHead_].event), event);
    pinnedHead_ = pinnedHead_ + 1 == slots_ ? 0 : pinnedHead_ + 1;
    ++pinnedPopped_;
    return true;
  }
  Chunk* const chunk = growthFirst_;
  STADIAL_ASSERT(chunk != nullptr, "no event where one must be");
  CopyOut(SlotIn(chunk->Events()[chunk->begin++]), event);
  --growthSize_;
  ++poppedBase_;
  if (chunk->begin == chunk->end && (chunk->begin == chunkEvents_ || growthSize_ == 0)) {
    growthFirst_ = chunk->next;
    if (growthFirst_ == nullptr) growthLast_ = nullptr;
    ReleaseChunk(chunk);
  }
  return true;
}

void EventQueue::AdoptFrom(EventQueue& other) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(other.Size(), <=, slots_, "the queued events do not fit");
  const Counters kept = other.counters_;
  const std::uint64_t taken = other.TakenCount();
  const std::uint64_t queued = other.queuedBefore_ + other.End().stream + other.End().pinned - other.Size();
  other.TakeUntil(other.End(), [this](const Event& event, EventType) {
    // Appended, not pushed: what was not merged when it was emitted is not merged now.
    const Place place =
        Append({event.type, event.flags, event.payloadTag, event.data, event.key, event.origins});
    STADIAL_ASSERT_ALWAYS(place.result.Get() == EmitResult::Accepted, "an adopted event was not accepted");
    if (event.payloadTag != 0) std::memcpy(place.payload, event.payload, sizeof event.payload);
  });
  counters_ = kept;
  queuedBefore_ = queued;
  takenBefore_ = taken + kept.discarded - Popped() - pinnedPopped_;
}

void EventQueue::ReleaseGrowth() noexcept {
  while (growthFirst_ != nullptr) {
    Chunk* const chunk = growthFirst_;
    growthFirst_ = chunk->next;
    ReleaseChunk(chunk);
  }
  growthLast_ = nullptr;
  poppedBase_ += growthSize_;
  growthSize_ = 0;
  UpdatePlainEnd();
}

}  // namespace stadial::runtime
