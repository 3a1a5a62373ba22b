#include "event_handlers.h"

#include <cstring>
#include <type_traits>

namespace stadial::runtime {
namespace {

// What a handler that was removed during dispatch is replaced with until it is unlinked.
void IgnoreEvent(void*, const Event&) {}

}  // namespace

HandlerTable::HandlerTable() noexcept = default;

HandlerTable::HandlerTable(arenas::Arena& arena, std::uint32_t handlersMax) noexcept
    : handlersMax_(handlersMax) {
  handlers_ = arena.NewArrayUninitialized<Handler>(handlersMax).data();
}

std::size_t HandlerTable::CalculateBytes(std::uint32_t handlersMax) noexcept {
  return std::size_t{handlersMax} * sizeof(Handler) + arenas::kArenaGranularityBytes;
}

void HandlerTable::AdoptFrom(const HandlerTable& other) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(other.used_, <=, handlersMax_, "the subscriptions do not fit");
  STADIAL_ASSERT_ALWAYS(!other.isDispatching_, "a handler table cannot move while it dispatches");
  static_assert(std::is_trivially_copyable_v<HandlerTable> && std::is_trivially_copyable_v<Handler>);
  Handler* const ours = handlers_;
  const std::uint32_t oursMax = handlersMax_;
  if (other.used_ != 0) std::memcpy(ours, other.handlers_, other.used_ * sizeof(Handler));
  *this = other;
  handlers_ = ours;
  handlersMax_ = oursMax;
}

HandlerTable::Reference HandlerTable::Add(EventType type, EventCategoryMask categories, EventHandler invoke,
                                          void* self) noexcept {
  std::uint32_t index = freeHead_;
  if (index != kNone) {
    freeHead_ = handlers_[index].next;
  } else if (used_ < handlersMax_) {
    index = used_++;
    handlers_[index].generation = 0;
  } else {
    return {};
  }
  Handler& handler = handlers_[index];
  handler.invoke = invoke;
  handler.self = self;
  handler.type = type;
  handler.categories = categories;
  ++count_;
  Append(isDispatching_ ? pending_ : ListOf(handler), index);
  if (isDispatching_) {
    hasChanged_ = true;
  } else {
    categoriesWanted_ |= categories;
  }
  return {index, handler.generation};
}

void HandlerTable::Remove(Reference reference) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(reference.index, <, used_, "no such subscription");
  Handler& handler = handlers_[reference.index];
  STADIAL_ASSERT_COMPARE_ALWAYS(handler.generation, ==, reference.generation,
                                "the subscription has ended already");
  ++handler.generation;
  --count_;
  if (isDispatching_) {
    hasChanged_ = true;
    handler.invoke = &IgnoreEvent;
    handler.nextDead = deadHead_;
    deadHead_ = reference.index;
  } else {
    Unlink(reference.index);
  }
}

void HandlerTable::Append(List& list, std::uint32_t index) noexcept {
  Handler& handler = handlers_[index];
  handler.next = kNone;
  handler.previous = list.tail;
  (list.tail == kNone ? list.head : handlers_[list.tail].next) = index;
  list.tail = index;
}

void HandlerTable::Unlink(std::uint32_t index) noexcept {
  Handler& handler = handlers_[index];
  List& list = ListOf(handler);
  (handler.previous == kNone ? list.head : handlers_[handler.previous].next) = handler.next;
  (handler.next == kNone ? list.tail : handlers_[handler.next].previous) = handler.previous;
  handler.next = freeHead_;
  freeHead_ = index;
}

void HandlerTable::Settle() noexcept {
  hasChanged_ = false;
  for (std::uint32_t index = pending_.head; index != kNone;) {
    Handler& handler = handlers_[index];
    const std::uint32_t next = handler.next;
    Append(ListOf(handler), index);
    categoriesWanted_ |= handler.categories;
    index = next;
  }
  pending_ = {};
  while (deadHead_ != kNone) {
    const std::uint32_t index = deadHead_;
    deadHead_ = handlers_[index].nextDead;
    Unlink(index);
  }
}

}  // namespace stadial::runtime
