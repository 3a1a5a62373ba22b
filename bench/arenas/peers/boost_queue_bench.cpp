// boost::lockfree's queues under the streams of stream_bench.cpp, of fixed capacity, their memory taken
// beforehand.
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "peer_main.h"
#include "stream_workload.h"

namespace {

using namespace stadial::bench;

// Its nodes are numbered with 16 bits: a fixed capacity cannot be more.
static_assert(kStreamProducers * kStreamEvents < 65'535);

void RunQueue(benchmark::State& state) {
  boost::lockfree::queue<StreamEvent, boost::lockfree::fixed_sized<true>> queue(kStreamProducers *
                                                                                kStreamEvents);
  RunProducers(
      state,
      [&](std::size_t) {
        EmitEach([&](const StreamEvent& event) {
          if (!queue.bounded_push(event)) std::abort();
        });
      },
      [&] {
        std::uint64_t sum = 0;
        queue.consume_all([&](const StreamEvent& event) { sum += ReadStreamEvent(event); });
        return sum;
      });
}

void RunSpscQueue(benchmark::State& state) {
  // Not on the stack: see the ring of stream_bench.cpp.
  const auto owned = std::make_unique<boost::lockfree::spsc_queue<StreamEvent>>(kStreamEvents);
  auto& queue = *owned;
  RunStream(
      state,
      [&](const StreamEvent& event) {
        if (!queue.push(event)) std::abort();
      },
      [&] {
        std::uint64_t sum = 0;
        queue.consume_all([&](const StreamEvent& event) { sum += ReadStreamEvent(event); });
        return sum;
      });
}

}  // namespace

int main(int argc, char** argv) {
  return PeerMain(argc, argv, [] {
    RegisterStream("events", "boost_spsc", RunSpscQueue);
    RegisterProducers("boost_lockfree", RunQueue);
  });
}
