// HandlerTable: who is called for an event. Private to EventBus.
//
// Fixed capacity, carved once. Handlers by type hang in hash buckets, handlers by category in one list; both
// are doubly linked through indices, in the order of subscription. While events are dispatched the lists are
// not changed: a removed handler is silenced at once and unlinked after the event, a new one is linked after
// the event.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stadial/arenas/arena.h"
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
  Reference Add(EventType type, EventCategoryMask categories, EventHandler invoke, void* self) noexcept;
  void Remove(Reference reference) noexcept;

  // Between BeginDispatch and EndDispatch: calls every handler of the event. Not re-entrant.
  void BeginDispatch() noexcept {
    STADIAL_ASSERT(!isDispatching_, "dispatch is not re-entrant");
    isDispatching_ = true;
  }
  void Dispatch(const Event& event) noexcept;
  void EndDispatch() noexcept { isDispatching_ = false; }

  std::uint32_t Count() const noexcept { return count_; }
  std::uint32_t Capacity() const noexcept { return handlersMax_; }

 private:
  struct Handler {
    EventHandler invoke;
    void* self;
    EventType type;
    EventCategoryMask categories;
    std::uint32_t next;  // in its list, in the pending list, or in the free list
    std::uint32_t previous;
    std::uint32_t generation;
    std::uint32_t nextDead;
  };
  struct List {
    std::uint32_t head = kNone;
    std::uint32_t tail = kNone;
  };
  static constexpr std::uint32_t kBucketBits = 8;

  static std::uint32_t BucketOf(EventType type) noexcept {
    return (static_cast<std::uint32_t>(type) * 0x9E3779B1u) >> (32 - kBucketBits);
  }
  List& ListOf(const Handler& handler) noexcept {
    return handler.categories != 0 ? byCategory_ : byType_[BucketOf(handler.type)];
  }
  void Append(List& list, std::uint32_t index) noexcept;
  void Unlink(std::uint32_t index) noexcept;
  void Settle() noexcept;

  Handler* handlers_ = nullptr;
  std::uint32_t handlersMax_ = 0;
  std::uint32_t used_ = 0;  // records ever handed out; those above are untouched
  std::uint32_t count_ = 0;
  std::uint32_t freeHead_ = kNone;
  std::uint32_t deadHead_ = kNone;
  EventCategoryMask categoriesWanted_ = 0;
  bool isDispatching_ = false;
  bool hasChanged_ = false;  // during dispatch: Settle has work
  List pending_;
  List byCategory_;
  List byType_[1u << kBucketBits];
};

inline void HandlerTable::Dispatch(const Event& event) noexcept {
  const EventType type = event.type;
  for (std::uint32_t index = byType_[BucketOf(type)].head; index != kNone;) {
    const Handler& handler = handlers_[index];
    if (handler.type == type) [[likely]]
      handler.invoke(handler.self, event);
    index = handler.next;
  }
  if (categoriesWanted_ != 0) {
    const EventCategoryMask mask = MaskOf(CategoryOf(type));
    for (std::uint32_t index = byCategory_.head; index != kNone;) {
      const Handler& handler = handlers_[index];
      if ((handler.categories & mask) != 0) handler.invoke(handler.self, event);
      index = handler.next;
    }
  }
  if (hasChanged_) [[unlikely]]
    Settle();
}

}  // namespace stadial::runtime
