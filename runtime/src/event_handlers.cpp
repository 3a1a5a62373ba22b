#include "event_handlers.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace stadial::runtime {
namespace {

// What a handler that was removed during dispatch is replaced with until it is unlinked.
void IgnoreEvent(void*, const Event&) STADIAL_NONALLOCATING {}

}  // namespace

HandlerTable::HandlerTable() noexcept = default;

HandlerTable::HandlerTable(arenas::Arena& arena, std::uint32_t handlersMax) noexcept
    : handlersMax_(handlersMax) {
  const std::uint32_t buckets = BucketCount(handlersMax);
  buckets_ = arena.NewArrayUninitialized<Bucket>(buckets).data();
  std::fill_n(buckets_, buckets,
              Bucket{.type = kSeveral, .invoke = &IgnoreEvent, .self = nullptr, .list = {}});
  static_assert(sizeof(Bucket) == 1 << (20 - 14), "BucketOf shifts by the difference");
  bucketMask_ = (buckets - 1) * sizeof(Bucket);
  handlers_ = arena.NewArrayUninitialized<Handler>(handlersMax).data();
}

std::uint32_t HandlerTable::BucketCount(std::uint32_t handlersMax) noexcept {
  constexpr std::uint32_t kBucketsMax = 1u << 20;
  return std::bit_ceil(std::clamp(handlersMax, kBucketsMin, kBucketsMax));
}

std::size_t HandlerTable::CalculateBytes(std::uint32_t handlersMax) noexcept {
  return std::size_t{handlersMax} * sizeof(Handler) + BucketCount(handlersMax) * sizeof(Bucket) +
         alignof(Bucket) + arenas::kArenaGranularityBytes;
}

void HandlerTable::AdoptFrom(const HandlerTable& other) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(other.used_, <=, handlersMax_, "the subscriptions do not fit");
  STADIAL_ASSERT_ALWAYS(!other.isDispatching_, "a handler table cannot move while it dispatches");
  HandlerTable ours = other;
  ours.handlers_ = handlers_;
  ours.handlersMax_ = handlersMax_;
  ours.buckets_ = buckets_;
  ours.bucketMask_ = bucketMask_;
  const auto moved = [&](const Handler* theirs) {
    return theirs == nullptr ? nullptr : handlers_ + (theirs - other.handlers_);
  };
  for (std::uint32_t index = 0; index < other.used_; ++index) {
    Handler& handler = handlers_[index];
    handler = other.handlers_[index];
    handler.next = moved(handler.next);
    handler.previous = moved(handler.previous);
  }
  ours.freeHead_ = moved(other.freeHead_);
  ours.byCategory_ = {moved(other.byCategory_.head), moved(other.byCategory_.tail)};
  // There are other buckets now, and within a bucket the order of subscription must hold: follow each old
  // list from its head.
  for (std::uint32_t bucket = 0; bucket < BucketCount(other.handlersMax_); ++bucket) {
    for (const Handler* handler = other.buckets_[bucket].list.head; handler != nullptr;
         handler = handler->next)
      ours.Link(*moved(handler));
  }
  *this = ours;
}

HandlerTable::Reference HandlerTable::Add(EventType type, EventCategoryMask categories, EventHandler invoke,
                                          void* self) noexcept {
  Handler* handler = freeHead_;
  if (handler != nullptr) {
    freeHead_ = handler->next;
  } else if (used_ < handlersMax_) {
    handler = &handlers_[used_++];
    handler->generation = 0;
  } else {
    return {};
  }
  handler->invoke = invoke;
  handler->self = self;
  handler->type = type;
  handler->categories = categories;
  ++count_;
  if (isDispatching_) {
    attention_ |= kHasChanged;
    Append(pending_, *handler);
  } else {
    Link(*handler);
  }
  return {static_cast<std::uint32_t>(handler - handlers_), handler->generation};
}

void HandlerTable::Remove(Reference reference) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(reference.index, <, used_, "no such subscription");
  Handler& handler = handlers_[reference.index];
  STADIAL_ASSERT_COMPARE_ALWAYS(handler.generation, ==, reference.generation,
                                "the subscription has ended already");
  ++handler.generation;
  --count_;
  if (isDispatching_) {
    attention_ |= kHasChanged;
    handler.invoke = &IgnoreEvent;
    handler.nextDead = deadHead_;
    deadHead_ = &handler;
    // A handler that is not linked yet is in nobody's reach; of the others one may be at hand.
    if (handler.categories == 0) BucketOf(handler.type).type = kSeveral;
  } else {
    Unlink(handler);
  }
}

void HandlerTable::Link(Handler& handler) noexcept {
  Append(ListOf(handler), handler);
  if (handler.categories != 0) {
    attention_ |= kHasCategories;
  } else {
    UpdateBucket(handler);
  }
}

void HandlerTable::Append(List& list, Handler& handler) noexcept {
  handler.next = nullptr;
  handler.previous = list.tail;
  (list.tail == nullptr ? list.head : list.tail->next) = &handler;
  list.tail = &handler;
}

void HandlerTable::Unlink(Handler& handler) noexcept {
  List& list = ListOf(handler);
  (handler.previous == nullptr ? list.head : handler.previous->next) = handler.next;
  (handler.next == nullptr ? list.tail : handler.next->previous) = handler.previous;
  if (handler.categories == 0) {
    UpdateBucket(handler);
  } else if (byCategory_.head == nullptr) {
    attention_ &= ~kHasCategories;
  }
  handler.next = freeHead_;
  freeHead_ = &handler;
}

// After a change of its list: has the bucket of `handler` one handler at hand?
void HandlerTable::UpdateBucket(const Handler& handler) noexcept {
  Bucket& bucket = BucketOf(handler.type);
  bucket.type = kSeveral;
  if (bucket.list.head == nullptr || bucket.list.head != bucket.list.tail) return;
  const Handler& only = *bucket.list.head;
  bucket.type = static_cast<std::uint32_t>(only.type);
  bucket.invoke = only.invoke;
  bucket.self = only.self;
}

// No list changes during a call, so the next handler is known before it.
void HandlerTable::CallByType(const Handler* handler, const Event& event, EventType type) noexcept {
  while (handler != nullptr) {
    const Handler* const next = handler->next;
    if (handler->type == type) handler->invoke(handler->self, event);
    handler = next;
  }
}

void HandlerTable::DispatchAttentively(const Event& event) noexcept {
  if ((attention_ & kHasChanged) != 0) Settle();
  CallByType(BucketOf(event.type).list.head, event, event.type);
  const EventCategoryMask mask = MaskOf(CategoryOf(event.type));
  for (const Handler* handler = byCategory_.head; handler != nullptr;) {
    const Handler* const next = handler->next;
    if ((handler->categories & mask) != 0) handler->invoke(handler->self, event);
    handler = next;
  }
}

void HandlerTable::Settle() noexcept {
  attention_ &= ~kHasChanged;
  for (Handler* handler = std::exchange(pending_, List{}).head; handler != nullptr;) {
    Handler* const next = handler->next;
    Link(*handler);
    handler = next;
  }
  while (deadHead_ != nullptr) {
    Handler& handler = *deadHead_;
    deadHead_ = handler.nextDead;
    Unlink(handler);
  }
}

}  // namespace stadial::runtime
