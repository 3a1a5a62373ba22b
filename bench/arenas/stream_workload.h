// Events of 32 B, and records of 8 to 64 B, on their way through a frame: written one by one, then all read.
//
//   one thread    written and read by the same thread (commands, an event log);
//   two threads   each of two threads writes its own, then one of them reads all of them. Wall time over the
//                 events of both; both steps count.
//
// On one thread a stream has room for what one frame writes: that is what its capacity is made for. Between
// threads it has room for two, one that is written while the other is read; that also keeps a producer from
// writing over lines that the reader's cache still holds, which it would have to take from there.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "crew.h"
#include "process_probe.h"

namespace stadial::bench {

inline constexpr std::size_t kStreamEvents = 16'384;  // of each thread
inline constexpr std::size_t kStreamProducers = 2;
inline constexpr std::size_t kStreamFrames = 2;  // that a stream between threads has room for
inline constexpr std::size_t kStreamBatch = 64;
inline constexpr std::size_t kRecordBytesMax = 64;

struct StreamEvent {
  std::uint64_t value;
  std::uint64_t payload[3];
};

inline StreamEvent MakeStreamEvent(std::uint64_t value) { return {value, {value + 1, value + 2, value + 3}}; }
inline std::uint64_t ReadStreamEvent(const StreamEvent& event) { return event.value + event.payload[2]; }

// The sum over the events of one producer.
inline constexpr std::uint64_t kStreamSum = kStreamEvents * (kStreamEvents - 1) + 3 * kStreamEvents;

// Sizes that are multiples of 8, of a fixed seed.
inline std::vector<std::uint32_t> MakeRecordSizes() {
  std::mt19937 random(9);
  std::vector<std::uint32_t> sizes(kStreamEvents);
  for (std::uint32_t& size : sizes)
    size = 8 * (1 + static_cast<std::uint32_t>(random() % (kRecordBytesMax / 8)));
  return sizes;
}

inline void FinishStream(benchmark::State& state, std::uint64_t sum, std::uint64_t expected,
                         std::size_t events) {
  if (sum != expected) state.SkipWithError("what was read is not what was written");
  state.counters["checksum"] = static_cast<double>(sum % 1'000'000'007);
  state.counters["ns_per_event"] = benchmark::Counter(
      static_cast<double>(events) * 1e-9,
      benchmark::Counter::Flags(benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert));
  state.SetLabel(ModuleOfMalloc());
}

// emit(event); drain() -> the sum of ReadStreamEvent over all of them, after which the stream is empty.
template <class Emit, class Drain>
void RunStream(benchmark::State& state, Emit&& emit, Drain&& drain) {
  std::uint64_t sum = 0;
  const auto frame = [&] {
    for (std::uint64_t value = 0; value < kStreamEvents; ++value) emit(MakeStreamEvent(value));
    benchmark::ClobberMemory();
    sum = drain();
  };
  frame();
  for ([[maybe_unused]] auto _ : state) frame();
  FinishStream(state, sum, kStreamSum, kStreamEvents);
}

// write(bytes) -> the place of a record's payload; drain() -> the sum of the first words.
template <class Write, class Drain>
void RunRecords(benchmark::State& state, Write&& write, Drain&& drain) {
  const std::vector<std::uint32_t> sizes = MakeRecordSizes();
  std::uint64_t sum = 0;
  const auto frame = [&] {
    for (std::size_t index = 0; index < kStreamEvents; ++index) {
      auto* const words = static_cast<std::uint64_t*>(static_cast<void*>(write(sizes[index])));
      for (std::size_t word = 0; word < sizes[index] / sizeof(std::uint64_t); ++word) words[word] = index;
    }
    benchmark::ClobberMemory();
    sum = drain();
  };
  frame();
  for ([[maybe_unused]] auto _ : state) frame();
  FinishStream(state, sum, kStreamEvents * (kStreamEvents - 1) / 2, kStreamEvents);
}

// push(event) for every event of one producer.
template <class Push>
void EmitEach(Push&& push) {
  for (std::uint64_t value = 0; value < kStreamEvents; ++value) push(MakeStreamEvent(value));
}
// The same, gathered: push(events) for kStreamBatch of them at a time.
template <class PushBatch>
void EmitBatches(PushBatch&& push) {
  static_assert(kStreamEvents % kStreamBatch == 0);
  StreamEvent batch[kStreamBatch];
  for (std::uint64_t value = 0; value < kStreamEvents;) {
    for (StreamEvent& event : batch) event = MakeStreamEvent(value++);
    push(std::span<const StreamEvent>(batch));
  }
}

// produce(producer), on the producer's thread, emits all its events, by what it got itself beforehand (a
// token, a lane); drain() -> the sum, on the first producer's thread.
template <class Produce, class Drain>
void RunProducers(benchmark::State& state, Produce&& produce, Drain&& drain) {
  Crew crew(kStreamProducers);
  LeastTime least;
  std::uint64_t sum = 0;
  const auto frame = [&] {
    const Stopwatch watch;
    crew.Run(produce);
    sum = drain();
    return watch.Seconds();
  };
  frame();
  for ([[maybe_unused]] auto _ : state) state.SetIterationTime(least.Add(frame()));
  FinishStream(state, sum, kStreamProducers * kStreamSum, kStreamProducers * kStreamEvents);
  state.counters["least_ns_per_event"] = least.Nanoseconds(kStreamProducers * kStreamEvents);
}

// "Stream_events/fixed_vector".
template <class Run>
void RegisterStream(const char* kind, const char* peer, Run run) {
  benchmark::RegisterBenchmark((std::string("Stream_") + kind + "/" + peer).c_str(), run)
      ->Unit(benchmark::kMicrosecond);
}
// "Stream_producers/mpsc_event_stream/manual_time".
template <class Run>
void RegisterProducers(const char* peer, Run run) {
  benchmark::RegisterBenchmark((std::string("Stream_producers/") + peer).c_str(), run)
      ->Unit(benchmark::kMicrosecond)
      ->UseManualTime();
}

}  // namespace stadial::bench
