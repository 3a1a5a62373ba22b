// EventBus against the bus that engines usually have: a std::vector of events and, per type, a std::vector of
// std::function. Emission and delivery are timed apart; "ns_per_event", of the median round, is what
// rows.json compares. The same 64-byte events, the same handlers, the peer's vectors at their final capacity.
#include <benchmark/benchmark.h>

#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "stadial/runtime/clock.h"
#include "stadial/runtime/event_bus.h"
#include "stadial/runtime/time_histogram.h"

namespace {

using stadial::runtime::Event;
using stadial::runtime::EventBus;
using stadial::runtime::EventBusOptions;
using stadial::runtime::EventCategory;
using stadial::runtime::EventType;
using stadial::runtime::MakeEventType;
using stadial::runtime::NowNs;
using stadial::runtime::Subscription;
using stadial::runtime::TimeHistogram;

// As many types as a graph of some size uses; events cycle through them.
constexpr std::uint32_t kTypes = 16;

EventType TypeOf(std::uint64_t index) {
  return MakeEventType(EventCategory::User, static_cast<std::uint32_t>(index % kTypes));
}

class FunctionBus {
 public:
  void Reserve(std::size_t capacity) { queue_.reserve(capacity); }
  void Subscribe(EventType type, std::function<void(const Event&)> handler) {
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
  std::unordered_map<std::uint32_t, std::vector<std::function<void(const Event&)>>> handlers_;
};

struct Counter {
  std::uint64_t sum = 0;
  void OnEvent(const Event& event) { sum += static_cast<std::uint64_t>(event.data); }
};

enum class Part { Emit, Dispatch };

// One round: fill, then drain. Only `part` counts.
template <Part kPart, class Emit, class Drain>
void Measure(benchmark::State& state, const std::uint64_t& sum, Emit&& emit, Drain&& drain) {
  const auto count = static_cast<std::uint64_t>(state.range(0));
  const auto times = std::make_unique<TimeHistogram>();
  for (auto _ : state) {
    const std::uint64_t startNs = NowNs();
    for (std::uint64_t i = 0; i < count; ++i)
      emit(Event{.type = TypeOf(i), .data = static_cast<std::int64_t>(i & 7)});
    const std::uint64_t filledNs = NowNs();
    drain();
    const std::uint64_t ns = kPart == Part::Emit ? filledNs - startNs : NowNs() - filledNs;
    times->Record(ns);
    state.SetIterationTime(static_cast<double>(ns) * 1e-9);
  }
  if (times->Count() == 0) return;
  state.counters["ns_per_event"] = times->PercentileNs(0.5) / static_cast<double>(count);
  // Every round delivers the same sum, so the same program prints the same checksum.
  state.counters["checksum"] = static_cast<double>(sum) / static_cast<double>(times->Count());
}

template <Part kPart>
void RunStadial(benchmark::State& state) {
  EventBus bus;
  bus.PreAllocate(static_cast<std::size_t>(state.range(0)), EventBus::AllocationMode::Strict);
  Counter counter;
  std::vector<Subscription> subscriptions;
  subscriptions.reserve(kTypes);
  for (std::uint32_t i = 0; i < kTypes; ++i)
    subscriptions.push_back(bus.Subscribe<&Counter::OnEvent>(TypeOf(i), &counter).Value());
  bool accepted = true;
  Measure<kPart>(
      state, counter.sum, [&](const Event& event) { accepted = bus.Emit(event) && accepted; },
      [&] { bus.ProcessEvents(); });
  if (!accepted) state.SkipWithError("an event was rejected");
}

template <Part kPart>
void RunFunctions(benchmark::State& state) {
  FunctionBus bus;
  bus.Reserve(static_cast<std::size_t>(state.range(0)));
  Counter counter;
  for (std::uint32_t i = 0; i < kTypes; ++i) {
    bus.Subscribe(TypeOf(i), [&counter](const Event& event) { counter.OnEvent(event); });
  }
  Measure<kPart>(
      state, counter.sum, [&](const Event& event) { bus.Emit(event); }, [&] { bus.ProcessEvents(); });
}

void BM_EmitStadial(benchmark::State& state) { RunStadial<Part::Emit>(state); }
void BM_EmitFunctions(benchmark::State& state) { RunFunctions<Part::Emit>(state); }
void BM_DispatchStadial(benchmark::State& state) { RunStadial<Part::Dispatch>(state); }
void BM_DispatchFunctions(benchmark::State& state) { RunFunctions<Part::Dispatch>(state); }

BENCHMARK(BM_EmitStadial)->Arg(1000)->Arg(100'000)->UseManualTime();
BENCHMARK(BM_EmitFunctions)->Arg(1000)->Arg(100'000)->UseManualTime();
BENCHMARK(BM_DispatchStadial)->Arg(1000)->Arg(100'000)->UseManualTime();
BENCHMARK(BM_DispatchFunctions)->Arg(1000)->Arg(100'000)->UseManualTime();

// A full queue in Discard mode: every emission drops the oldest event. The curve over the capacity must be
// flat.
void BM_DiscardStadial(benchmark::State& state) {
  EventBus bus(EventBusOptions{.log = {.write = &stadial::runtime::WriteLogNowhere}});
  bus.PreAllocate(static_cast<std::size_t>(state.range(0)), EventBus::AllocationMode::Discard);
  std::int64_t next = 0;
  for (; next < state.range(0); ++next) static_cast<void>(bus.Emit({.type = TypeOf(0), .data = next}));
  for (auto _ : state) static_cast<void>(bus.Emit({.type = TypeOf(0), .data = next++}));
  state.counters["checksum"] = static_cast<double>(bus.GetStats().eventCount);
}
BENCHMARK(BM_DiscardStadial)->Arg(1000)->Arg(100'000);

}  // namespace

BENCHMARK_MAIN();
