// moodycamel's ConcurrentQueue in the place of the inbox, in its fastest form: a token for each producer and
// for the consumer, room for all made beforehand, taken out in bulk.
#include <concurrentqueue/concurrentqueue.h>

#include <cstdlib>
#include <vector>

#include "event_workload.h"

namespace {

using namespace stadial::bench;
using stadial::runtime::Event;

constexpr std::size_t kBulk = 256;

void RunQueue(benchmark::State& state) {
  moodycamel::ConcurrentQueue<Event> queue(kEventProducers * kEventsOfAProducer, kEventProducers, 0);
  std::vector<moodycamel::ProducerToken> producers;
  for (std::size_t producer = 0; producer < kEventProducers; ++producer) producers.emplace_back(queue);
  moodycamel::ConsumerToken consumer(queue);
  MeasureEventProducers(
      state,
      [&](std::size_t producer) {
        bool accepted = true;
        for (std::uint64_t i = 0; i < kEventsOfAProducer; ++i)
          accepted &= queue.enqueue(producers[producer], MakePlainEvent(i));
        if (!accepted) std::abort();
      },
      [&] {
        Event events[kBulk];
        std::uint64_t sum = 0;
        for (std::size_t count = 0; (count = queue.try_dequeue_bulk(consumer, events, kBulk)) != 0;) {
          for (std::size_t i = 0; i < count; ++i) sum += static_cast<std::uint64_t>(events[i].data);
        }
        return sum;
      });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RegisterBenchmark("Event_producers/moodycamel", RunQueue)->UseManualTime();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
