// EventBus against the bus that engines usually have, a std::vector of events and, per type, a std::vector of
// std::function; and against what no bus can be faster than: stores of the same bytes into an array, a loop
// of indirect calls. Signal libraries and another queue run the same in programs of their own (peers/).
#include <cstdlib>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "event_workload.h"
#include "stadial/runtime/event_bus.h"
#include "stadial/runtime/event_inbox.h"

namespace {

using namespace stadial::bench;
using stadial::runtime::Event;
using stadial::runtime::EventBus;
using stadial::runtime::EventBusOptions;
using stadial::runtime::EventInbox;
using stadial::runtime::EventType;
using stadial::runtime::MakeEvent;
using stadial::runtime::PayloadOf;
using stadial::runtime::Subscription;

// Peers' containers are at their final capacity before the first round.
class FunctionBus {
 public:
  using Handler = std::function<void(const Event&)>;
  void Reserve(std::size_t capacity) { queue_.reserve(capacity); }
  void Subscribe(EventType type, Handler handler) {
    handlers_[static_cast<std::uint32_t>(type)].push_back(std::move(handler));
  }
  void Emit(const Event& event) { queue_.push_back(event); }
  void ProcessEvents() {
    for (const Event& event : queue_) {
      const auto found = handlers_.find(static_cast<std::uint32_t>(event.type));
      if (found == handlers_.end()) continue;
      for (const auto& handler : found->second) handler(event);
    }
    queue_.clear();
  }

 private:
  std::vector<Event> queue_;
  std::unordered_map<std::uint32_t, std::vector<Handler>> handlers_;
};

// Stores and calls, nothing else: no bound, no policy, no type that nobody knows.
struct IdealQueue {
  struct Record {
    std::uint64_t type;
    std::int64_t data;
  };
  struct Target {
    void (*call)(void* self, const Event& event);
    void* self;
  };
  Record* end = nullptr;
  Record* begin = nullptr;
  Target targets[kEventTypes] = {};
};

enum class Shape { Plain, Payload };

template <EventPart kPart, Shape kShape>
void RunStadial(benchmark::State& state, std::uint32_t listenersPerType) {
  EventBus owned;
  owned.PreAllocate(static_cast<std::size_t>(state.range(0)), EventBus::AllocationMode::Strict);
  EventListeners listeners(listenersPerType);
  std::vector<Subscription> subscriptions;
  for (std::uint32_t type = 0; type < kEventTypes; ++type) {
    for (std::uint32_t number = 0; number < listenersPerType; ++number) {
      EventListener* const listener = &listeners.Of(type, number);
      if constexpr (kShape == Shape::Plain) {
        subscriptions.push_back(
            owned.Subscribe<&EventListener::OnEvent>(EventTypeOf(type), listener).Value());
      } else {
        subscriptions.push_back(
            owned.Subscribe<&EventListener::OnPayload>(EventTypeOf(type), listener).Value());
      }
    }
  }
  EventBus& bus = ByReference(owned);
  bool accepted = true;
  const std::uint64_t rounds = MeasureEvents(
      state, kPart,
      [&](std::uint64_t i) {
        if constexpr (kShape == Shape::Plain) {
          accepted &= bool{bus.Emit(MakePlainEvent(i))};
        } else {
          accepted &= bool{bus.Emit(EventTypeOf(i), MakePayload(i))};
        }
      },
      [&] { bus.ProcessEvents(); });
  state.counters["checksum"] = listeners.Checksum(rounds);
  if (!accepted) state.SkipWithError("an event was rejected");
}

template <EventPart kPart, Shape kShape>
void RunFunctions(benchmark::State& state, std::uint32_t listenersPerType) {
  FunctionBus owned;
  owned.Reserve(static_cast<std::size_t>(state.range(0)));
  EventListeners listeners(listenersPerType);
  for (std::uint32_t type = 0; type < kEventTypes; ++type) {
    for (std::uint32_t number = 0; number < listenersPerType; ++number) {
      EventListener* const listener = &listeners.Of(type, number);
      owned.Subscribe(EventTypeOf(type), [listener](const Event& event) {
        if constexpr (kShape == Shape::Plain) {
          listener->OnEvent(event);
        } else {
          listener->OnPayload(PayloadOf<EventPayload32>(event));
        }
      });
    }
  }
  FunctionBus& bus = ByReference(owned);
  const std::uint64_t rounds = MeasureEvents(
      state, kPart,
      [&](std::uint64_t i) {
        bus.Emit(kShape == Shape::Plain ? MakePlainEvent(i) : MakeEvent(EventTypeOf(i), MakePayload(i)));
      },
      [&] { bus.ProcessEvents(); });
  state.counters["checksum"] = listeners.Checksum(rounds);
}

template <EventPart kPart>
void RunIdeal(benchmark::State& state) {
  const auto records = std::make_unique<IdealQueue::Record[]>(static_cast<std::size_t>(state.range(0)));
  EventListeners listeners(1);
  IdealQueue owned{.end = records.get(), .begin = records.get()};
  for (std::uint32_t type = 0; type < kEventTypes; ++type) {
    owned.targets[type] = {
        [](void* self, const Event& event) { static_cast<EventListener*>(self)->OnEvent(event); },
        &listeners.Of(type, 0)};
  }
  IdealQueue& queue = ByReference(owned);
  const std::uint64_t rounds = MeasureEvents(
      state, kPart,
      [&](std::uint64_t i) {
        const Event event = MakePlainEvent(i);
        *queue.end++ = {static_cast<std::uint64_t>(event.type), event.data};
        asm volatile("" : : "m"(queue.end));
      },
      [&] {
        Event event;
        for (const IdealQueue::Record* record = queue.begin; record != queue.end; ++record) {
          event.type = static_cast<EventType>(record->type);
          event.data = record->data;
          const IdealQueue::Target& target = queue.targets[record->type % kEventTypes];
          target.call(target.self, event);
        }
        queue.end = queue.begin;
      });
  state.counters["checksum"] = listeners.Checksum(rounds);
}

// A full queue in Discard mode: every emission drops the oldest event. The curve over the capacity must be
// flat.
void RunDiscard(benchmark::State& state) {
  EventBus owned(EventBusOptions{.log = {.write = &stadial::runtime::WriteLogNowhere}});
  owned.PreAllocate(static_cast<std::size_t>(state.range(0)), EventBus::AllocationMode::Discard);
  EventBus& bus = ByReference(owned);
  std::int64_t next = 0;
  for (; next < state.range(0); ++next) static_cast<void>(bus.Emit({.type = EventTypeOf(0), .data = next}));
  for (auto _ : state) static_cast<void>(bus.Emit({.type = EventTypeOf(0), .data = next++}));
  state.counters["checksum"] = static_cast<double>(bus.GetStats().eventCount);
}

void RunInbox(benchmark::State& state) {
  constexpr std::size_t kBytes = kEventProducers * EventInbox::CalculateLaneBytes(kEventsOfAProducer) + 4096;
  const auto memory = std::make_unique<std::byte[]>(kBytes);
  stadial::arenas::Arena arena("inbox", memory.get(), kBytes);
  EventInbox inbox(arena, kEventProducers, kEventsOfAProducer);
  MeasureEventProducers(
      state,
      [&](std::size_t lane) {
        EventInbox::Producer producer = inbox.GetProducer(static_cast<std::uint32_t>(lane));
        bool accepted = true;
        for (std::uint64_t i = 0; i < kEventsOfAProducer; ++i)
          accepted &= producer.TryEmit(MakePlainEvent(i));
        if (!accepted) std::abort();
      },
      [&] {
        std::uint64_t sum = 0;
        inbox.Drain([&](const Event& event) { sum += static_cast<std::uint64_t>(event.data); });
        return sum;
      });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  constexpr auto kEmit = EventPart::Emit;
  constexpr auto kDispatch = EventPart::Dispatch;
  RegisterEventSizes("Event_emit/stadial", [](auto& state) { RunStadial<kEmit, Shape::Plain>(state, 1); });
  RegisterEventSizes("Event_emit/functions",
                     [](auto& state) { RunFunctions<kEmit, Shape::Plain>(state, 1); });
  RegisterEventSizes("Event_emit/ideal", RunIdeal<kEmit>);
  RegisterEventSizes("Event_dispatch/stadial",
                     [](auto& state) { RunStadial<kDispatch, Shape::Plain>(state, 1); });
  RegisterEventSizes("Event_dispatch/functions",
                     [](auto& state) { RunFunctions<kDispatch, Shape::Plain>(state, 1); });
  RegisterEventSizes("Event_dispatch/ideal", RunIdeal<kDispatch>);
  RegisterEventSizes("Event_dispatch4/stadial",
                     [](auto& state) { RunStadial<kDispatch, Shape::Plain>(state, 4); });
  RegisterEventSizes("Event_dispatch4/functions",
                     [](auto& state) { RunFunctions<kDispatch, Shape::Plain>(state, 4); });
  RegisterEventSizes("Event_emit_payload/stadial",
                     [](auto& state) { RunStadial<kEmit, Shape::Payload>(state, 1); });
  RegisterEventSizes("Event_emit_payload/functions",
                     [](auto& state) { RunFunctions<kEmit, Shape::Payload>(state, 1); });
  RegisterEventSizes("Event_dispatch_payload/stadial",
                     [](auto& state) { RunStadial<kDispatch, Shape::Payload>(state, 1); });
  RegisterEventSizes("Event_dispatch_payload/functions",
                     [](auto& state) { RunFunctions<kDispatch, Shape::Payload>(state, 1); });
  benchmark::RegisterBenchmark("Event_discard/stadial", RunDiscard)->Arg(1'000)->Arg(100'000)->Arg(1'000'000);
  benchmark::RegisterBenchmark("Event_producers/stadial", RunInbox)->UseManualTime();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
