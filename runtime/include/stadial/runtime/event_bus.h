// EventBus: a bounded queue of events and the handlers they are delivered to. Emit queues, ProcessEvents
// delivers in the order of emission. All storage is reserved by PreAllocate in Setup; in a frame nothing here
// allocates, except that Fallback mode takes bounded chunks from a designated fallback, counted and given
// back after the drain.
//
// When the queue is full, its mode decides:
//   Strict    the new event is rejected, and Emit says so;
//   Fallback  the queue grows by a chunk of the designated fallback and keeps every event; only when the
//             fallback itself refuses is the new event rejected. One warning per frame;
//   Discard   the oldest event that is not pinned is dropped, in O(1). If every queued event is pinned, the
//             new one is rejected: a pinned event is never dropped.
//
// Coalescing: an event whose flags or type policy say kEventCoalesce collapses into a queued event of the
// same type and key: the queued one keeps its place, takes the new data and payload, and the union of the
// origins. (Beyond `coalesceKeysMax` different keys queued at once, further ones are queued without being
// merged into.)
//
// Inside a handler all of this is allowed: Emit (the event runs in the same ProcessEvents, one cascade level
// deeper; beyond `cascadeDepthMax` levels it stays queued for the next ProcessEvents; nothing is lost);
// Subscribe (takes effect from the next event); unsubscribing anyone, oneself included, and destroying who is
// subscribed, oneself included (takes effect at once); ProcessEvents (does nothing: the outer call delivers).
// PreAllocate inside a handler is refused; destroying the bus is an error (asserted).
//
// Threads: one thread. Worker threads use an EventInbox. Handlers must not throw.
// Pointers: a handler's `const Event&` is valid during the call.
// Cost: Emit is inline and writes only what the event has: 16 bytes for type and data, 16 more for key and
// origins, 32 for a payload (that of the typed Emit as many as the payload has). Delivery is one look into a
// table and one indirect call per subscriber.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/overflow.h"
#include "stadial/arenas/result.h"
#include "stadial/runtime/event.h"
#include "stadial/runtime/event_queue.h"
#include "stadial/runtime/log.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

class EventBus;
class EventInbox;

using EventHandler = void (*)(void* self, const Event& event) STADIAL_NONALLOCATING;

// Ends a subscription when it goes out of scope. Move-only. Must not outlive its bus.
class [[nodiscard]] Subscription {
 public:
  Subscription() noexcept = default;
  Subscription(Subscription&& other) noexcept
      : bus_(std::exchange(other.bus_, nullptr)), index_(other.index_), generation_(other.generation_) {}
  Subscription& operator=(Subscription&& other) noexcept STADIAL_NONALLOCATING;
  ~Subscription() { Reset(); }

  void Reset() noexcept STADIAL_NONALLOCATING;
  bool IsActive() const noexcept { return bus_ != nullptr; }

 private:
  friend class EventBus;
  Subscription(EventBus* bus, std::uint32_t index, std::uint32_t generation) noexcept
      : bus_(bus), index_(index), generation_(generation) {}
  EventBus* bus_ = nullptr;
  std::uint32_t index_ = 0;
  std::uint32_t generation_ = 0;
};

// The sizing rule of a graph's bus: max(nodes * eventsPerNode, eventsMin) * headroom.
struct EventSizing {
  std::size_t eventsPerNode = 3;
  std::size_t eventsMin = 64;
  std::size_t headroom = 2;  // a resize can cascade through ten invalidations and more
};
std::size_t CalculateEventCapacity(std::size_t nodeCount, const EventSizing& sizing = {}) noexcept;

inline constexpr std::size_t kEventCapacityDefault = 1024;

struct EventBusOptions {
  const char* name = "events";
  std::uint32_t subscriptionsMax = 256;  // more: ReserveSubscriptions, in Setup
  std::uint32_t typePoliciesMax = 64;
  std::uint32_t cascadeDepthMax = 8;  // levels of events emitted by handlers, per ProcessEvents
  std::size_t coalesceKeysMax = 0;    // queued events that can be merged into; 0: the capacity, at least 16
  LogSink log = {};
};

class EventBus {
 public:
  using AllocationMode = arenas::AllocationMode;

  // A bus of its own: tables and queue come from the heap, here and in PreAllocate, so only before frames
  // run; what Fallback grows by is reserved there too (four chunks of the queue's capacity, at least 64 and
  // at most 4,096 events each). This is the form for tests and for programs without a Runtime.
  EventBus() noexcept;
  explicit EventBus(const EventBusOptions& options) noexcept;
  // A bus whose tables and queue are carved from `setup`, and which grows from `growth` (null: four reserved
  // chunks, as above).
  EventBus(arenas::Arena& setup, FallbackSite* growth, const EventBusOptions& options) noexcept;
  EventBus(const EventBus&) = delete;
  EventBus& operator=(const EventBus&) = delete;
  ~EventBus();

  // Reserves room for `capacity` events (0 is legal: the mode then decides about every event). May be called
  // again before Setup is sealed, as nodes are added: queued events, subscriptions and policies are kept.
  // TryPreAllocate fails with InvalidArgument (fewer than the events now queued; inside a handler) or
  // OutOfMemory, and then changes nothing; PreAllocate asserts.
  void PreAllocate(std::size_t capacity = kEventCapacityDefault,
                   AllocationMode mode = AllocationMode::Fallback) noexcept;
  Result<void> TryPreAllocate(std::size_t capacity, AllocationMode mode = AllocationMode::Fallback) noexcept;
  // Room for `count` subscriptions in all. Setup only. OutOfMemory, and nothing changes.
  Result<void> ReserveSubscriptions(std::uint32_t count) noexcept;

  EmitResult Emit(const Event& event) noexcept STADIAL_NONALLOCATING {
    const EventQueue::Place place =
        Queue({event.type, event.flags, event.payloadTag, event.data, event.key, event.origins});
    if (event.payloadTag != 0) std::memcpy(place.payload, event.payload, sizeof event.payload);
    return place.result;
  }
  // The same as Emit(MakeEvent(type, payload, key)), without the event in between: the payload is copied to
  // its place in the queue.
  template <EventPayload T>
  EmitResult Emit(EventType type, const T& payload, std::uint64_t key = 0) noexcept STADIAL_NONALLOCATING {
    const EventQueue::Place place = Queue({.type = type, .payloadTag = detail::PayloadTag<T>(), .key = key});
    std::memcpy(place.payload, &payload, sizeof(T));
    return place.result;
  }

  // Delivers what is queued, cascades included; returns the number of events delivered.
  std::size_t ProcessEvents() noexcept STADIAL_NONALLOCATING;

  // Marks the start of a frame: warnings may be printed again, once each. A bus whose BeginFrame is never
  // called takes every ProcessEvents for a frame.
  void BeginFrame() noexcept STADIAL_NONALLOCATING;

  // Events of worker threads: what `inbox` holds is emitted at the start of every ProcessEvents, lane by
  // lane. In Strict mode only as much as there is room for; the rest waits in the inbox. Null detaches. Not
  // owned.
  void AttachInbox(EventInbox* inbox) noexcept;

  // `flags` (kEventPinned, kEventCoalesce) apply to every later event of the type. CapacityExceeded when
  // `typePoliciesMax` types have one. Built-in: FrameSetupNeeded, SwapChainInvalidated and GraphInvalidated
  // are pinned and coalesce, DeviceLost is pinned.
  Result<void> SetTypePolicy(EventType type, std::uint16_t flags) noexcept;

  // CapacityExceeded when the table is full. Handlers of one event run in the order of subscription, those
  // subscribed by type first, then those by category mask.
  Result<Subscription> Subscribe(EventType type, EventHandler handler,
                                 void* self) noexcept STADIAL_NONALLOCATING;
  Result<Subscription> SubscribeCategories(EventCategoryMask categories, EventHandler handler,
                                           void* self) noexcept STADIAL_NONALLOCATING;
  // `Subscribe<&Node::OnDirty>(type, node)`: the member takes `const Event&`, or an EventPayload type by
  // value or const reference.
  template <auto Method, class Self>
  Result<Subscription> Subscribe(EventType type, Self* self) noexcept STADIAL_NONALLOCATING;

  struct QueueStats {
    std::size_t eventCount = 0;        // queued now
    std::size_t capacity = 0;          // events the present storage holds, growth included
    float utilization = 0.0f;          // eventCount / capacity; 0 when there is no storage
    std::size_t peak = 0;              // most events ever queued at once
    std::uint64_t growths = 0;         // chunks taken from the fallback
    std::uint64_t rejected = 0;        // new events refused
    std::uint64_t pinnedRejected = 0;  // of these, pinned ones: whoever relies on them must assume the worst
    std::uint64_t discarded = 0;       // old events dropped
    std::uint64_t coalesced = 0;       // new events merged into queued ones
    std::uint64_t emitted = 0;         // = delivered + discarded + rejected + coalesced + eventCount
    std::uint64_t delivered = 0;       // events taken from the queue for their handlers
    std::uint64_t deferredCascades =
        0;  // times that events were left for the next ProcessEvents by the depth limit
    std::size_t growthEvents = 0;  // of the capacity, what is borrowed from the fallback now
    std::uint32_t subscriptions = 0;
    std::uint32_t subscriptionsMax = 0;
  };
  QueueStats GetStats() const noexcept STADIAL_NONALLOCATING;

  AllocationMode Mode() const noexcept;
  const char* Name() const noexcept;

 private:
  friend class Subscription;
  friend class EventBatch;
  struct State;  // everything that the inline path does not need

  // A filter: false is certain, true is for QueueSlow to look up.
  static constexpr std::uint32_t kPolicyFilterBits = 1024;
  static std::uint32_t PolicyHash(EventType type) noexcept {
    return (static_cast<std::uint32_t>(type) * 0x9E3779B1u) >> 22;
  }
  bool MayHavePolicy(EventType type) const noexcept {
    const std::uint32_t hash = PolicyHash(type);
    return (policyFilter_[hash / 32] >> (hash % 32) & 1) != 0;
  }
  void Initialize(arenas::Arena* setup, FallbackSite* growth, const EventBusOptions& options) noexcept;
  [[gnu::always_inline]] EventQueue::Place Queue(const EventQueue::Fields& event) noexcept {
    std::byte* payload = nullptr;
    const bool isSpecial = (event.flags != 0) | MayHavePolicy(event.type);
    if (queue_.TryPushPlain(event, isSpecial, payload)) [[likely]]
      return {payload, EmitResult::Accepted};
    return QueueSlow(event);
  }
  // By value: an address would keep the caller's event in memory, on the fast path too.
  EventQueue::Place QueueSlow(EventQueue::Fields event) noexcept STADIAL_NONALLOCATING;
  void Warn(EmitResult result) noexcept;
  void DrainInbox() noexcept;
  Result<Subscription> AddHandler(EventType type, EventCategoryMask categories, EventHandler handler,
                                  void* self) noexcept STADIAL_NONALLOCATING;
  void Unsubscribe(std::uint32_t index, std::uint32_t generation) noexcept STADIAL_NONALLOCATING;

  EventQueue queue_;
  State* state_ = nullptr;
  std::uint32_t policyFilter_[kPolicyFilterBits / 32] = {};  // bit PolicyHash(type): such a type has a policy
};

// While at least one batch is open, every emitted event coalesces by type and key, and ProcessEvents does
// nothing: the simultaneous events of one cause become one pass, after the batch.
class EventBatch {
 public:
  explicit EventBatch(EventBus& bus) noexcept;
  EventBatch(const EventBatch&) = delete;
  EventBatch& operator=(const EventBatch&) = delete;
  ~EventBatch();

 private:
  EventBus& bus_;
};

namespace detail {

// What a member that handles events takes, whatever else its type says (const, noexcept, the mark of
// effects.h). Declared only.
template <class Class, class Argument>
std::type_identity<std::remove_cvref_t<Argument>> HandlerArgument(void (Class::*)(Argument));
template <class Class, class Argument>
std::type_identity<std::remove_cvref_t<Argument>> HandlerArgument(void (Class::*)(Argument) const);

}  // namespace detail

template <auto Method, class Self>
Result<Subscription> EventBus::Subscribe(EventType type, Self* self) noexcept STADIAL_NONALLOCATING {
  using Argument = typename decltype(detail::HandlerArgument(Method))::type;
  return Subscribe(
      type,
      [](void* object, const Event& event) STADIAL_NONALLOCATING {
        Self* target = static_cast<Self*>(object);
        if constexpr (std::is_same_v<Argument, Event>) {
          (target->*Method)(event);
        } else {
          (target->*Method)(PayloadOf<Argument>(event));
        }
      },
      self);
}

}  // namespace stadial::runtime
