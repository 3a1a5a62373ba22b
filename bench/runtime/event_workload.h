// The same events, handlers, checksums and clock for every event bus, signal library and queue that is
// measured. What is timed is a part of a round, the filling or the draining, and reported of the median
// round; with threads, of the shortest round too, since a round is as slow as the thread that the machine
// held up. Events are made where they are emitted, by everyone.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "crew.h"
#include "stadial/runtime/clock.h"
#include "stadial/runtime/event.h"
#include "stadial/runtime/time_histogram.h"

namespace stadial::bench {

// As many types as a graph of some size uses; events cycle through them.
inline constexpr std::uint32_t kEventTypes = 16;

inline runtime::EventType EventTypeOf(std::uint64_t index) {
  return runtime::MakeEventType(runtime::EventCategory::User,
                                static_cast<std::uint32_t>(index % kEventTypes));
}

// What most events are: a type and a number.
inline runtime::Event MakePlainEvent(std::uint64_t index) {
  return {.type = EventTypeOf(index), .data = static_cast<std::int64_t>(index & 7)};
}

struct EventPayload32 {
  std::uint64_t values[4];
};
inline EventPayload32 MakePayload(std::uint64_t index) { return {{index & 7, index, index, index}}; }

// What a handler is bound to, one for each subscription.
struct EventListener {
  std::uint64_t sum = 0;
  void OnEvent(const runtime::Event& event) { sum += static_cast<std::uint64_t>(event.data); }
  void OnPayload(const EventPayload32& payload) { sum += payload.values[0]; }
};

struct EventListeners {
  explicit EventListeners(std::uint32_t perType)
      : count(perType * kEventTypes), all(std::make_unique<EventListener[]>(count)) {}
  // Each listener of a type has one of its own, and neighbours belong to neighbouring types.
  EventListener& Of(std::uint32_t type, std::uint32_t number) { return all[number * kEventTypes + type]; }
  double Checksum(std::uint64_t rounds) const {
    std::uint64_t sum = 0;
    for (std::uint32_t i = 0; i < count; ++i) sum += all[i].sum;
    return rounds == 0 ? 0.0 : static_cast<double>(sum) / static_cast<double>(rounds);
  }
  std::uint32_t count;
  std::unique_ptr<EventListener[]> all;
};

// The address of an object, which the compiler knows nothing about: buses are reached by reference.
template <class T>
T& ByReference(T& object) {
  T* address = &object;
  benchmark::DoNotOptimize(address);
  return *address;
}

enum class EventPart { Emit, Dispatch };

// One round: emit(i) for every event, then drain(). Only `part` counts. Returns the number of rounds.
template <class Emit, class Drain>
std::uint64_t MeasureEvents(benchmark::State& state, EventPart part, Emit&& emit, Drain&& drain) {
  const auto count = static_cast<std::uint64_t>(state.range(0));
  const auto times = std::make_unique<runtime::TimeHistogram>();
  for (auto _ : state) {
    const std::uint64_t startNs = runtime::NowNs();
    for (std::uint64_t i = 0; i < count; ++i) emit(i);
    const std::uint64_t filledNs = runtime::NowNs();
    drain();
    const std::uint64_t ns = part == EventPart::Emit ? filledNs - startNs : runtime::NowNs() - filledNs;
    times->Record(ns);
    state.SetIterationTime(static_cast<double>(ns) * 1e-9);
  }
  if (times->Count() != 0)
    state.counters["ns_per_event"] = times->PercentileNs(0.5) / static_cast<double>(count);
  return times->Count();
}

// "Event_emit/NAME/1000/manual_time", at 1,000, 100,000 and a million events.
template <class Run>
void RegisterEventSizes(const std::string& name, Run run) {
  benchmark::RegisterBenchmark(name.c_str(), run)->Arg(1'000)->Arg(100'000)->Arg(1'000'000)->UseManualTime();
}

inline constexpr std::size_t kEventProducers = 2;
inline constexpr std::size_t kEventsOfAProducer = 16'384;

// Each of two threads emits its own events, push(producer, event) in produce(producer, push); then drain() on
// one of them returns the sum of their data. Wall time over the events of both: the emitting alone, and both.
template <class Produce, class Drain>
void MeasureEventProducers(benchmark::State& state, Produce&& produce, Drain&& drain) {
  constexpr std::size_t kEvents = kEventProducers * kEventsOfAProducer;
  Crew crew(kEventProducers);
  LeastTime leastEmit, leastBoth;
  std::uint64_t sum = 0;
  for (auto _ : state) {
    const Stopwatch watch;
    leastEmit.Add(crew.Run(produce));
    sum = drain();
    state.SetIterationTime(leastBoth.Add(watch.Seconds()));
  }
  if (sum != kEvents / 8 * 28) state.SkipWithError("what was drained is not what was emitted");
  state.counters["checksum"] = static_cast<double>(sum);
  state.counters["least_ns_per_emit"] = leastEmit.Nanoseconds(kEvents);
  state.counters["least_ns_per_event"] = leastBoth.Nanoseconds(kEvents);
}

}  // namespace stadial::bench
