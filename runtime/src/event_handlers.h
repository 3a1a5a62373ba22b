// HandlerTable: who is called for an event. Private to EventBus.
//
// Fixed capacity, carved once. Handlers by type hang in hash buckets, handlers by category in one list; both
// are doubly linked, in the order of subscription. A bucket with one handler has it at hand, so
// that an event of such a type costs one look; the number of buckets grows with the capacity. While an event
// is dispatched the lists are not changed: a removed handler is silenced at once; it is unlinked, and a new
// one is linked, before the next event.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/runtime/event_bus.h"

namespace stadial::runtime {

class HandlerTable {
 public:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  struct Reference {
    std::uint32_t index = kNone;
    std::uint32_t generation = 0;
  };

  HandlerTable() noexcept;
  HandlerTable(arenas::Arena& arena, std::uint32_t handlersMax) noexcept;
  static std::size_t CalculateBytes(std::uint32_t handlersMax) noexcept;

  // Takes over the handlers of `other` (which must fit), with the same references.
  void AdoptFrom(const HandlerTable& other) noexcept;

  // `categories` 0: by type. Index kNone when the table is full.
  Reference Add(EventType type, EventCategoryMask categories, EventHandler invoke,
                void* self) noexcept STADIAL_NONALLOCATING;
  void Remove(Reference reference) noexcept STADIAL_NONALLOCATING;

  // Between BeginDispatch and EndDispatch: calls every handler of the event. Not re-entrant.
  void BeginDispatch() noexcept {
    STADIAL_ASSERT(!isDispatching_, "dispatch is not re-entrant");
    isDispatching_ = true;
  }
  void Dispatch(const Event& event, EventType type) noexcept;  // `type` is the event's, in a register
  void EndDispatch() noexcept {
    isDispatching_ = false;
    if ((attention_ & kHasChanged) != 0) Settle();
  }

  std::uint32_t Count() const noexcept { return count_; }
  std::uint32_t Capacity() const noexcept { return handlersMax_; }

 private:
  struct Handler {
    EventHandler invoke;
    void* self;
    Handler* next;  // in its list, in the pending list, or in the free list
    EventType type;
    EventCategoryMask categories;
    Handler* previous;
    Handler* nextDead;
    std::uint32_t generation;
  };
  struct List {
    Handler* head = nullptr;
    Handler* tail = nullptr;
  };
  struct alignas(64) Bucket {
    std::uint64_t type;   // of the one handler; kSeveral, which no type is: look into the list
    EventHandler invoke;  // the one handler's
    void* self;
    List list;
  };

  static constexpr std::uint64_t kSeveral = ~std::uint64_t{0};
  static constexpr std::uint32_t kBucketsMin = 64;
  // Reasons to look further than to the bucket. Added to an event's type they make it differ from every
  // bucket's: one comparison for all.
  static constexpr std::uint64_t kHasCategories = std::uint64_t{1} << 32;
  static constexpr std::uint64_t kHasChanged = std::uint64_t{1} << 33;

  static std::uint32_t BucketCount(std::uint32_t handlersMax) noexcept;
  // A factor whose bits from the 20th on are an odd number near the golden section of every table's size:
  // neighbouring types fall far apart. The offset in bytes saves an instruction.
  Bucket& BucketOf(EventType type) noexcept {
    constexpr std::uint64_t kFactor = 0x59E37E3Fu;
    const std::size_t offset = (static_cast<std::uint32_t>(type) * kFactor >> 14) & bucketMask_;
    return *reinterpret_cast<Bucket*>(reinterpret_cast<std::byte*>(buckets_) + offset);
  }
  // Of a handler that is linked, or is to be.
  List& ListOf(const Handler& handler) noexcept {
    return handler.categories != 0 ? byCategory_ : BucketOf(handler.type).list;
  }
  void Link(Handler& handler) noexcept;
  void Unlink(Handler& handler) noexcept;
  static void Append(List& list, Handler& handler) noexcept;
  void UpdateBucket(const Handler& handler) noexcept;
  static void CallByType(const Handler* handler, const Event& event,
                         EventType type) noexcept STADIAL_NONALLOCATING;
  void DispatchAttentively(const Event& event) noexcept STADIAL_NONALLOCATING;
  void Settle() noexcept STADIAL_NONALLOCATING;

  Bucket* buckets_ = nullptr;
  std::uint64_t attention_ = 0;
  std::size_t bucketMask_ = 0;  // of offsets in bytes
  Handler* handlers_ = nullptr;
  std::uint32_t handlersMax_ = 0;
  std::uint32_t used_ = 0;  // records ever handed out; those above are untouched
  std::uint32_t count_ = 0;
  Handler* freeHead_ = nullptr;
  Handler* deadHead_ = nullptr;
  bool isDispatching_ = false;
  List pending_;
  List byCategory_;
};

inline void HandlerTable::Dispatch(const Event& event, EventType type) noexcept {
  const Bucket& bucket = BucketOf(type);
  if (bucket.type == (static_cast<std::uint32_t>(type) | attention_)) [[likely]] {
    bucket.invoke(bucket.self, event);
  } else if (attention_ == 0) {
    CallByType(bucket.list.head, event, type);
  } else {
    DispatchAttentively(event);
  }
}

}  // namespace stadial::runtime
