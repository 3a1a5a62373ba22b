#include "stadial/runtime/event_bus.h"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "event_handlers.h"
#include "stadial/arenas/byte_text.h"
#include "stadial/arenas/flat_map.h"
#include "stadial/runtime/designated_fallback.h"
#include "stadial/runtime/event_inbox.h"

namespace stadial::runtime {
namespace {

using arenas::AllocationMode;
using arenas::Arena;

constexpr std::size_t kCoalesceKeysMin = 16;
constexpr std::size_t kHeapAlignment = 64;

// Memory for one carving: the Setup arena when the bus has one, otherwise an arena over a heap block.
class Carving {
 public:
  Carving(Arena* setup, std::size_t bytes) noexcept : setup_(setup), bytes_(bytes) {
    if (setup_ != nullptr) return;
    bytes_ = (bytes + kHeapAlignment - 1) & ~(kHeapAlignment - 1);
    block_ = std::aligned_alloc(kHeapAlignment, bytes_);
    if (block_ != nullptr) heap_ = Arena("event bus", static_cast<std::byte*>(block_), bytes_);
  }
  bool HasRoom() const noexcept {
    return setup_ != nullptr ? setup_->RemainingBytes() >= bytes_ : block_ != nullptr;
  }
  Arena& Memory() noexcept { return setup_ != nullptr ? *setup_ : heap_; }
  // The heap block, to be freed by its new owner; null when the memory is Setup's.
  void* TakeBlock() noexcept { return std::exchange(block_, nullptr); }
  Error MakeError(const char* name, const char* what) const noexcept {
    if (setup_ == nullptr) {
      return Error::Format(ErrorCode::OutOfMemory, "event bus '%s': the heap refused %s for %s", name,
                           arenas::FormatBytes(bytes_).Get(), what);
    }
    return Error::Format(
        ErrorCode::OutOfMemory,
        "event bus '%s': %s needs %s, arena '%s' has %s left; raise RuntimeOptions::setupBytes, and "
        "size the bus before Setup is sealed",
        name, what, arenas::FormatBytes(bytes_).Get(), setup_->Name(),
        arenas::FormatBytes(setup_->RemainingBytes()).Get());
  }
  ~Carving() { std::free(block_); }
  Carving(const Carving&) = delete;
  Carving& operator=(const Carving&) = delete;

 private:
  Arena* setup_;
  std::size_t bytes_;
  void* block_ = nullptr;
  Arena heap_;
};

// What warns once per frame.
enum WarningBit : std::uint8_t { kWarnedGrowth = 1, kWarnedDrop = 2, kWarnedReject = 4, kWarnedCascade = 8 };

}  // namespace

struct EventBus::State {
  EventBusOptions options;
  Arena* setup = nullptr;
  FallbackSite* growth = nullptr;
  HandlerTable handlers;
  arenas::FlatMap<EventType, std::uint16_t> policies;
  EventInbox* inbox = nullptr;
  std::uint64_t deferredCascades = 0;
  std::uint32_t batchDepth = 0;
  bool isProcessing = false;
  bool isFrameDriven = false;  // BeginFrame was called once
  std::uint8_t warned = 0;
  void* handlersBlock = nullptr;  // heap blocks of a bus of its own
  void* queueBlock = nullptr;
};

std::size_t CalculateEventCapacity(std::size_t nodeCount, const EventSizing& sizing) noexcept {
  return std::max(nodeCount * sizing.eventsPerNode, sizing.eventsMin) * sizing.headroom;
}

Subscription& Subscription::operator=(Subscription&& other) noexcept {
  if (this != &other) {
    Reset();
    bus_ = std::exchange(other.bus_, nullptr);
    index_ = other.index_;
    generation_ = other.generation_;
  }
  return *this;
}

void Subscription::Reset() noexcept {
  if (EventBus* const bus = std::exchange(bus_, nullptr)) bus->Unsubscribe(index_, generation_);
}

EventBus::EventBus() noexcept : EventBus(EventBusOptions{}) {}

EventBus::EventBus(const EventBusOptions& options) noexcept { Initialize(nullptr, nullptr, options); }

EventBus::EventBus(Arena& setup, FallbackSite* growth, const EventBusOptions& options) noexcept {
  Initialize(&setup, growth, options);
}

void EventBus::Initialize(Arena* setup, FallbackSite* growth, const EventBusOptions& options) noexcept {
  using Policies = arenas::FlatMap<EventType, std::uint16_t>;
  const std::size_t policyBytes = Policies::RequiredBytes(options.typePoliciesMax);
  Carving tables(setup, sizeof(State) + alignof(State) + policyBytes);
  Carving handlers(setup, HandlerTable::CalculateBytes(options.subscriptionsMax));
  STADIAL_ASSERT_ALWAYS(tables.HasRoom() && handlers.HasRoom(),
                        "no memory for an event bus; raise setupBytes");
  // The state and its tables share the first block, which is therefore the state's own address.
  state_ = ::new (tables.Memory().Allocate(sizeof(State), kHeapAlignment)) State();
  tables.TakeBlock();
  state_->options = options;
  state_->setup = setup;
  state_->growth = growth;
  state_->policies = Policies(tables.Memory(), options.typePoliciesMax);
  state_->handlers = HandlerTable(handlers.Memory(), options.subscriptionsMax);
  state_->handlersBlock = handlers.TakeBlock();
  struct {
    EventType type;
    std::uint16_t flags;
  } constexpr kBuiltIn[] = {
      {EventType::FrameSetupNeeded, kEventPinned | kEventCoalesce},
      {EventType::SwapChainInvalidated, kEventPinned | kEventCoalesce},
      {EventType::GraphInvalidated, kEventPinned | kEventCoalesce},
      {EventType::DeviceLost, kEventPinned},
  };
  for (const auto& policy : kBuiltIn) {
    const Result<void> set = SetTypePolicy(policy.type, policy.flags);
    STADIAL_ASSERT_ALWAYS(set.HasValue(), "EventBusOptions::typePoliciesMax must be at least 4");
  }
}

EventBus::~EventBus() {
  STADIAL_ASSERT_ALWAYS(!state_->isProcessing, "an event bus destroyed by one of its own handlers");
  queue_.ReleaseGrowth();
  if (state_->setup != nullptr) return;
  std::free(state_->queueBlock);
  std::free(state_->handlersBlock);
  std::free(state_);
}

void EventBus::PreAllocate(std::size_t capacity, AllocationMode mode) noexcept {
  const Result<void> reserved = TryPreAllocate(capacity, mode);
  if (reserved.HasValue()) return;
  state_->options.log.Format(LogLevel::Error, "%s", reserved.GetError().Message());
  STADIAL_ASSERT_ALWAYS(reserved.HasValue(),
                        "PreAllocate failed (see the line above); TryPreAllocate returns the error");
}

Result<void> EventBus::TryPreAllocate(std::size_t capacity, AllocationMode mode) noexcept {
  State& state = *state_;
  const char* const name = state.options.name;
  if (state.isProcessing) {
    return Error::Format(ErrorCode::InvalidArgument, "event bus '%s': PreAllocate called from a handler",
                         name);
  }
  if (capacity > EventQueue::kCapacityMax) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "event bus '%s': capacity %zu is above the maximum of %zu events", name, capacity,
                         EventQueue::kCapacityMax);
  }
  if (capacity < queue_.Size()) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "event bus '%s': %zu events are queued and would not fit a capacity of %zu; process them first", name,
        queue_.Size(), capacity);
  }
  const std::size_t keysMax = state.options.coalesceKeysMax;
  const EventQueue::Options options{
      .capacity = capacity,
      .mode = mode,
      .coalesceKeysMax = keysMax != 0 ? keysMax : std::max(capacity, kCoalesceKeysMin)};
  Carving carving(state.setup, EventQueue::CalculateBytes(options, state.growth));
  if (!carving.HasRoom()) return carving.MakeError(name, "its queue");
  EventQueue next(carving.Memory(), options, state.growth);
  next.AdoptFrom(queue_);
  next.SuspendPlain(state.batchDepth != 0);
  queue_ = std::move(next);
  std::free(std::exchange(state.queueBlock, carving.TakeBlock()));
  return {};
}

Result<void> EventBus::ReserveSubscriptions(std::uint32_t count) noexcept {
  State& state = *state_;
  if (count <= state.handlers.Capacity()) return {};
  if (state.isProcessing) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "event bus '%s': ReserveSubscriptions called from a handler", state.options.name);
  }
  Carving carving(state.setup, HandlerTable::CalculateBytes(count));
  if (!carving.HasRoom()) return carving.MakeError(state.options.name, "its subscriptions");
  HandlerTable next(carving.Memory(), count);
  next.AdoptFrom(state.handlers);
  state.handlers = next;
  std::free(std::exchange(state.handlersBlock, carving.TakeBlock()));
  return {};
}

EventQueue::Place EventBus::QueueSlow(EventQueue::Fields event) noexcept {
  State& state = *state_;
  event.flags &= kEventFlagsPublic;
  if (MayHavePolicy(event.type)) {
    if (const std::uint16_t* const policy = state.policies.Find(event.type)) event.flags |= *policy;
  }
  if (state.batchDepth != 0) event.flags |= kEventCoalesce;
  EventQueue::Place place{nullptr, EmitResult::Accepted};
  // The filter was wrong about the type.
  if (event.flags == 0 && queue_.TryPushPlain(event, false, place.payload)) return place;
  place = queue_.Push(event);
  if (place.result.Get() != EmitResult::Accepted && place.result.Get() != EmitResult::Coalesced)
    Warn(place.result);
  return place;
}

void EventBus::Warn(EmitResult result) noexcept {
  State& state = *state_;
  const std::uint8_t bit = result.Get() == EmitResult::Rejected               ? kWarnedReject
                           : result.Get() == EmitResult::AcceptedOlderDropped ? kWarnedDrop
                                                                              : kWarnedGrowth;
  if ((state.warned & bit) != 0) return;
  state.warned |= bit;
  const char* const name = state.options.name;
  const std::size_t ring = queue_.RingCapacity();
  if (bit == kWarnedGrowth) {
    state.options.log.Format(
        LogLevel::Warning,
        "event bus '%s' is full: %zu events queued, capacity %zu; growing from fallback '%s' until "
        "it is drained; raise its capacity",
        name, queue_.Size(), ring, state.growth != nullptr ? state.growth->Name() : "own reserve");
  } else if (bit == kWarnedDrop) {
    state.options.log.Format(
        LogLevel::Warning,
        "event bus '%s' is full: capacity %zu; dropping the oldest events (mode Discard); raise its "
        "capacity or pin what must not be lost",
        name, ring);
  } else {
    state.options.log.Format(
        LogLevel::Error,
        "event bus '%s' rejects events: %zu queued, capacity %zu with growth, mode %s; raise its "
        "capacity%s",
        name, queue_.Size(), queue_.Capacity(), arenas::ToString(queue_.Mode()),
        ring == 0 && queue_.Capacity() == 0 ? " (PreAllocate has reserved nothing)" : "");
  }
}

std::size_t EventBus::ProcessEvents() noexcept {
  State& state = *state_;
  if (state.isProcessing || state.batchDepth != 0) return 0;
  if (state.inbox != nullptr) DrainInbox();
  state.isProcessing = true;
  std::size_t delivered = 0;
  state.handlers.BeginDispatch();
  // One round per level of the cascade: what handlers emit stands after End() and is the next round's.
  for (std::uint32_t level = 0; level <= state.options.cascadeDepthMax && !queue_.IsEmpty(); ++level) {
    delivered += queue_.TakeUntil(
        queue_.End(),
        [&handlers = state.handlers](const Event& event, EventType type) { handlers.Dispatch(event, type); });
  }
  state.handlers.EndDispatch();
  state.isProcessing = false;
  if (!queue_.IsEmpty()) {
    ++state.deferredCascades;
    if ((state.warned & kWarnedCascade) == 0) {
      state.warned |= kWarnedCascade;
      state.options.log.Format(
          LogLevel::Warning,
          "event bus '%s': %zu events of a cascade deeper than %u levels wait for the next "
          "ProcessEvents; do handlers emit in a circle?",
          state.options.name, queue_.Size(), state.options.cascadeDepthMax);
    }
  }
  if (!state.isFrameDriven) state.warned = 0;
  return delivered;
}

void EventBus::DrainInbox() noexcept {
  const auto emit = [this](const Event& event) {
    static_cast<void>(Emit(event));  // counted by the queue
  };
  if (queue_.Mode() != AllocationMode::Strict) {
    state_->inbox->Drain(emit);
    return;
  }
  // Strict would reject what does not fit, long after its emitter was told that it was taken: leave it there.
  // Again, because what coalesces leaves room for more.
  while (queue_.Size() < queue_.RingCapacity()) {
    if (state_->inbox->Drain(emit, queue_.RingCapacity() - queue_.Size()) == 0) return;
  }
}

void EventBus::BeginFrame() noexcept {
  state_->isFrameDriven = true;
  state_->warned = 0;
}

void EventBus::AttachInbox(EventInbox* inbox) noexcept { state_->inbox = inbox; }

Result<void> EventBus::SetTypePolicy(EventType type, std::uint16_t flags) noexcept {
  State& state = *state_;
  if ((flags & ~kEventFlagsPublic) != 0) {
    return Error::Format(ErrorCode::InvalidArgument, "event bus '%s': unknown event flags 0x%x",
                         state.options.name, static_cast<unsigned>(flags));
  }
  std::uint16_t* const policy = state.policies.TryInsert(type, flags);
  if (policy == nullptr) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "event bus '%s': %u event types have a policy already; raise EventBusOptions::typePoliciesMax",
        state.options.name, state.options.typePoliciesMax);
  }
  *policy = flags;
  policyFilter_[PolicyHash(type) / 32] |= 1u << PolicyHash(type) % 32;
  return {};
}

Result<Subscription> EventBus::AddHandler(EventType type, EventCategoryMask categories, EventHandler handler,
                                          void* self) noexcept {
  State& state = *state_;
  if (handler == nullptr) {
    return Error::Format(ErrorCode::InvalidArgument, "event bus '%s': a subscription needs a handler",
                         state.options.name);
  }
  const HandlerTable::Reference reference = state.handlers.Add(type, categories, handler, self);
  if (reference.index == HandlerTable::kNone) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "event bus '%s': all %u subscriptions are taken; raise EventBusOptions::subscriptionsMax or "
        "call ReserveSubscriptions in Setup",
        state.options.name, state.handlers.Capacity());
  }
  return Subscription(this, reference.index, reference.generation);
}

Result<Subscription> EventBus::Subscribe(EventType type, EventHandler handler, void* self) noexcept {
  return AddHandler(type, 0, handler, self);
}

Result<Subscription> EventBus::SubscribeCategories(EventCategoryMask categories, EventHandler handler,
                                                   void* self) noexcept {
  if (categories == 0) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "event bus '%s': an empty category mask matches no event", state_->options.name);
  }
  return AddHandler(EventType::None, categories, handler, self);
}

void EventBus::Unsubscribe(std::uint32_t index, std::uint32_t generation) noexcept {
  state_->handlers.Remove({index, generation});
}

EventBus::QueueStats EventBus::GetStats() const noexcept {
  const EventQueue::Counters& counters = queue_.GetCounters();
  QueueStats stats;
  stats.eventCount = queue_.Size();
  stats.capacity = queue_.Capacity();
  if (stats.capacity != 0) {
    stats.utilization = static_cast<float>(stats.eventCount) / static_cast<float>(stats.capacity);
  }
  stats.peak = std::max(counters.peak, stats.eventCount);
  stats.growths = counters.growths;
  stats.rejected = counters.rejected;
  stats.pinnedRejected = counters.pinnedRejected;
  stats.discarded = counters.discarded;
  stats.coalesced = counters.coalesced;
  stats.delivered = queue_.TakenCount();
  stats.emitted = queue_.EmittedCount();
  stats.deferredCascades = state_->deferredCascades;
  stats.growthEvents = queue_.GrowthCapacity();
  stats.subscriptions = state_->handlers.Count();
  stats.subscriptionsMax = state_->handlers.Capacity();
  return stats;
}

EventBus::AllocationMode EventBus::Mode() const noexcept { return queue_.Mode(); }
const char* EventBus::Name() const noexcept { return state_->options.name; }

EventBatch::EventBatch(EventBus& bus) noexcept : bus_(bus) {
  ++bus_.state_->batchDepth;
  bus_.queue_.SuspendPlain(true);
}

EventBatch::~EventBatch() {
  STADIAL_ASSERT_COMPARE(bus_.state_->batchDepth, !=, 0u, "a batch closed twice");
  --bus_.state_->batchDepth;
  if (bus_.state_->batchDepth == 0) bus_.queue_.SuspendPlain(false);
}

}  // namespace stadial::runtime
