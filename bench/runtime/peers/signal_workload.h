// What the programs of signal libraries share: they have no queue, so what is measured is the delivery.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "event_workload.h"

namespace stadial::bench {

template <class Signal, class Connect>
void RunSignals(benchmark::State& state, std::uint32_t listenersPerType, Connect&& connect) {
  std::array<Signal, kEventTypes> owned;
  EventListeners listeners(listenersPerType);
  for (std::uint32_t type = 0; type < kEventTypes; ++type) {
    for (std::uint32_t number = 0; number < listenersPerType; ++number)
      connect(owned[type], listeners.Of(type, number));
  }
  std::array<Signal, kEventTypes>& signals = ByReference(owned);
  std::vector<runtime::Event> queue;
  queue.reserve(static_cast<std::size_t>(state.range(0)));
  const std::uint64_t rounds = MeasureEvents(
      state, EventPart::Dispatch, [&](std::uint64_t i) { queue.push_back(MakePlainEvent(i)); },
      [&] {
        for (const runtime::Event& event : queue)
          signals[static_cast<std::uint32_t>(event.type) % kEventTypes](event);
        queue.clear();
      });
  state.counters["checksum"] = listeners.Checksum(rounds);
}

template <class Signal, class Connect>
int SignalMain(int argc, char** argv, const std::string& name, Connect connect) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  RegisterEventSizes("Event_dispatch/" + name,
                     [connect](benchmark::State& state) { RunSignals<Signal>(state, 1, connect); });
  RegisterEventSizes("Event_dispatch4/" + name,
                     [connect](benchmark::State& state) { RunSignals<Signal>(state, 4, connect); });
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace stadial::bench
