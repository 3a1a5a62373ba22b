// moodycamel's ConcurrentQueue under the producers of stream_bench.cpp, in its fastest form: a token for each
// producer and for the consumer, room for all made beforehand, taken out in bulk. And without tokens, beside
// it.
#include <concurrentqueue/concurrentqueue.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "peer_main.h"
#include "stream_workload.h"

namespace {

using namespace stadial::bench;
using Queue = moodycamel::ConcurrentQueue<StreamEvent>;

constexpr std::size_t kBulk = 256;

template <class Dequeue>
std::uint64_t DrainInBulk(Dequeue&& dequeue) {
  StreamEvent events[kBulk];
  std::uint64_t sum = 0;
  for (std::size_t count = 0; (count = dequeue(events)) != 0;) {
    for (std::size_t index = 0; index < count; ++index) sum += ReadStreamEvent(events[index]);
  }
  return sum;
}

void RunTokens(benchmark::State& state) {
  Queue queue(kStreamProducers * kStreamEvents, kStreamProducers, 0);
  std::vector<moodycamel::ProducerToken> producers;
  for (std::size_t producer = 0; producer < kStreamProducers; ++producer) producers.emplace_back(queue);
  moodycamel::ConsumerToken consumer(queue);
  RunProducers(
      state,
      [&](std::size_t producer, const StreamEvent& event) {
        if (!queue.enqueue(producers[producer], event)) std::abort();
      },
      [&] {
        return DrainInBulk(
            [&](StreamEvent* events) { return queue.try_dequeue_bulk(consumer, events, kBulk); });
      });
}

void RunPlain(benchmark::State& state) {
  Queue queue(kStreamProducers * kStreamEvents, 0, kStreamProducers);
  RunProducers(
      state,
      [&](std::size_t, const StreamEvent& event) {
        if (!queue.enqueue(event)) std::abort();
      },
      [&] {
        return DrainInBulk([&](StreamEvent* events) { return queue.try_dequeue_bulk(events, kBulk); });
      });
}

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterProducers("moodycamel_tokens", RunTokens);
    RegisterProducers("moodycamel", RunPlain);
  });
}
