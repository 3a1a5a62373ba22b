// moodycamel's ConcurrentQueue under the producers of stream_bench.cpp, in its fastest form: a token for each
// producer and for the consumer, room for all made beforehand, taken out in bulk. And without tokens, and put
// in in bulk too, beside it.
#include <concurrentqueue/concurrentqueue.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
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

// produce(queue, token) emits all events of the producer whose token it is given.
template <class Produce>
void RunTokens(benchmark::State& state, Produce&& produce) {
  Queue queue(kStreamFrames * kStreamProducers * kStreamEvents, kStreamProducers, 0);
  std::vector<moodycamel::ProducerToken> producers;
  for (std::size_t producer = 0; producer < kStreamProducers; ++producer) producers.emplace_back(queue);
  moodycamel::ConsumerToken consumer(queue);
  RunProducers(
      state, [&](std::size_t producer) { produce(queue, producers[producer]); },
      [&] {
        return DrainInBulk(
            [&](StreamEvent* events) { return queue.try_dequeue_bulk(consumer, events, kBulk); });
      });
}
void RunTokensEach(benchmark::State& state) {
  RunTokens(state, [](Queue& queue, const moodycamel::ProducerToken& token) {
    EmitEach([&](const StreamEvent& event) {
      if (!queue.enqueue(token, event)) std::abort();
    });
  });
}
void RunTokensBatches(benchmark::State& state) {
  RunTokens(state, [](Queue& queue, const moodycamel::ProducerToken& token) {
    EmitBatches([&](std::span<const StreamEvent> events) {
      if (!queue.enqueue_bulk(token, events.data(), events.size())) std::abort();
    });
  });
}

template <class Produce>
void RunPlain(benchmark::State& state, Produce&& produce) {
  Queue queue(kStreamFrames * kStreamProducers * kStreamEvents, 0, kStreamProducers);
  RunProducers(
      state, [&](std::size_t) { produce(queue); },
      [&] {
        return DrainInBulk([&](StreamEvent* events) { return queue.try_dequeue_bulk(events, kBulk); });
      });
}
void RunPlainEach(benchmark::State& state) {
  RunPlain(state, [](Queue& queue) {
    EmitEach([&](const StreamEvent& event) {
      if (!queue.enqueue(event)) std::abort();
    });
  });
}
void RunPlainBatches(benchmark::State& state) {
  RunPlain(state, [](Queue& queue) {
    EmitBatches([&](std::span<const StreamEvent> events) {
      if (!queue.enqueue_bulk(events.data(), events.size())) std::abort();
    });
  });
}

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterProducers("moodycamel_tokens", RunTokensEach);
    RegisterProducers("moodycamel_tokens_bulk", RunTokensBatches);
    RegisterProducers("moodycamel", RunPlainEach);
    RegisterProducers("moodycamel_bulk", RunPlainBatches);
  });
}
