// Events from several threads through an inbox into a bus while it delivers: every event arrives once, in its
// lane's order, whole. Shared by the real inbox's test and by the one with a race planted in it.
#pragma once

#include <cstdint>
#include <thread>
#include <vector>

#include "stadial/runtime/event.h"
#include "test_support.h"

namespace stadial::runtime::testing {

inline constexpr EventType kTrafficPlain = MakeEventType(EventCategory::User, 1);
inline constexpr EventType kTrafficWhole = MakeEventType(EventCategory::User, 2);

struct TrafficPayload {
  std::int64_t number;
  std::uint32_t lane;
};

struct TrafficSeen {
  explicit TrafficSeen(std::uint32_t lanes) : next(lanes) {}
  std::vector<std::int64_t> next;
  std::int64_t wrong = 0;
  std::uint64_t events = 0;

  // Plain events carry their lane in the low bits of `data`.
  void OnPlain(const Event& event) {
    Note(static_cast<std::uint64_t>(event.data) % next.size(),
         event.data / static_cast<std::int64_t>(next.size()));
    wrong += event.key != 0 || event.origins != 0;
  }
  void OnWhole(const Event& event) {
    const auto payload = PayloadOf<TrafficPayload>(event);
    Note(payload.lane, payload.number);
    wrong += event.key != static_cast<std::uint64_t>(payload.number) + 1;
  }
  void Note(std::uint64_t lane, std::int64_t number) {
    wrong += number != next[lane % next.size()]++;
    ++events;
  }
};

// `drain()` is called until all have arrived. Every third event is a whole one.
template <class Inbox, class Drain>
void SendThroughInbox(Inbox& inbox, std::uint32_t lanes, std::int64_t perLane, TrafficSeen& seen,
                      Drain&& drain) {
  std::vector<std::thread> producers;
  for (std::uint32_t lane = 0; lane < lanes; ++lane) {
    producers.emplace_back([&inbox, lane, lanes, perLane] {
      auto producer = inbox.GetProducer(lane);
      for (std::int64_t i = 0; i < perLane;) {
        const bool isTaken = i % 3 == 2 ? producer.TryEmit(kTrafficWhole, TrafficPayload{i, lane},
                                                           static_cast<std::uint64_t>(i) + 1)
                                        : producer.TryEmit({.type = kTrafficPlain, .data = i * lanes + lane});
        if (isTaken) {
          ++i;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  while (seen.events < static_cast<std::uint64_t>(perLane) * lanes) drain();
  for (std::thread& producer : producers) producer.join();
}

}  // namespace stadial::runtime::testing
