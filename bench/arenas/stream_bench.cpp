// Streams of events and of bytes: on one thread beside an ideal that checks nothing, between threads beside
// one cursor that they share. Other queues run the same in a program of their own (peers/queue_bench.cpp).
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "region_memory.h"
#include "stadial/arenas/byte_stream.h"
#include "stadial/arenas/fixed_vector.h"
#include "stadial/arenas/mpsc_event_stream.h"
#include "stadial/arenas/mpsc_ring.h"
#include "stadial/arenas/mpsc_stream.h"
#include "stadial/arenas/spsc_ring.h"
#include "stream_workload.h"

namespace {

using namespace stadial::bench;
using namespace stadial::arenas;

constexpr std::size_t kEventsAll = kStreamProducers * kStreamEvents;
constexpr std::size_t kRecordsBytes = kStreamEvents * (sizeof(StreamRecordHeader) + kRecordBytesMax);

struct Memory {
  RegionMemory region{std::size_t{8} << 20};
  Arena arena = region.MakeArena();
};

// An array and a cursor that somebody else may look at, nothing checked.
void RunIdealEvents(benchmark::State& state) {
  Memory memory;
  struct {
    StreamEvent* end;
  } stream{memory.arena.NewArrayUninitialized<StreamEvent>(kStreamEvents).data()};
  StreamEvent* const begin = stream.end;
  benchmark::DoNotOptimize(&stream);
  RunStream(
      state,
      [&](const StreamEvent& event) {
        *stream.end++ = event;
        asm volatile("" : : "m"(stream.end));
      },
      [&] {
        std::uint64_t sum = 0;
        for (const StreamEvent* event = begin; event != stream.end; ++event) sum += ReadStreamEvent(*event);
        stream.end = begin;
        return sum;
      });
}

void RunFixedVector(benchmark::State& state) {
  Memory memory;
  FixedVector<StreamEvent> events(memory.arena, kStreamEvents);
  benchmark::DoNotOptimize(&events);
  RunStream(
      state, [&](const StreamEvent& event) { events.PushBack(event); },
      [&] {
        std::uint64_t sum = 0;
        for (const StreamEvent& event : events) sum += ReadStreamEvent(event);
        events.Clear();
        return sum;
      });
}

void RunSpscRing(benchmark::State& state) {
  Memory memory;
  SpscRing<StreamEvent> ring(memory.arena, kStreamEvents);
  RunStream(
      state, [&](const StreamEvent& event) { ring.Push(event); },
      [&] {
        std::uint64_t sum = 0;
        ring.Consume([&](const StreamEvent& event) { sum += ReadStreamEvent(event); });
        return sum;
      });
}

// The same records as ByteStream's, nothing checked.
void RunIdealRecords(benchmark::State& state) {
  Memory memory;
  struct {
    std::byte* end;
  } stream{static_cast<std::byte*>(memory.arena.Allocate(kRecordsBytes))};
  std::byte* const begin = stream.end;
  benchmark::DoNotOptimize(&stream);
  RunRecords(
      state,
      [&](std::uint32_t bytes) {
        const StreamRecordHeader header{bytes, 0};
        std::memcpy(stream.end, &header, sizeof header);
        std::byte* const payload = stream.end + sizeof header;
        stream.end = payload + bytes;
        asm volatile("" : : "m"(stream.end));
        return payload;
      },
      [&] {
        std::uint64_t sum = 0;
        for (const std::byte* record = begin; record != stream.end;) {
          StreamRecordHeader header;
          std::uint64_t first = 0;
          std::memcpy(&header, record, sizeof header);
          std::memcpy(&first, record + sizeof header, sizeof first);
          sum += first;
          record += sizeof header + header.bytes;
        }
        stream.end = begin;
        return sum;
      });
}

void RunByteStream(benchmark::State& state) {
  Memory memory;
  ByteStream stream(memory.arena, kRecordsBytes);
  benchmark::DoNotOptimize(&stream);
  RunRecords(
      state, [&](std::uint32_t bytes) { return stream.Reserve(0, bytes); },
      [&] {
        std::uint64_t sum = 0;
        stream.ForEach([&](const StreamRecord& record) {
          std::uint64_t first = 0;
          std::memcpy(&first, record.bytes.data(), sizeof first);
          sum += first;
        });
        stream.Clear();
        return sum;
      });
}

void RunMpscEventStream(benchmark::State& state) {
  Memory memory;
  MpscEventStream<StreamEvent> stream(memory.arena,
                                      {.lanes = kStreamProducers, .eventsPerLane = kStreamEvents});
  RunProducers(
      state,
      [&](std::size_t producer, const StreamEvent& event) {
        STADIAL_ASSERT_ALWAYS(stream.GetProducer(static_cast<std::uint32_t>(producer)).TryPush(event),
                              "lane is full");
      },
      [&] {
        std::uint64_t sum = 0;
        stream.Drain([&](std::uint32_t, const StreamEvent& event) { sum += ReadStreamEvent(event); });
        return sum;
      });
}

void RunMpscByteStream(benchmark::State& state) {
  Memory memory;
  MpscByteStream stream(
      memory.arena,
      {.lanes = kStreamProducers, .bytesPerLane = kStreamEvents * StreamRecordBytes(sizeof(StreamEvent))});
  RunProducers(
      state,
      [&](std::size_t producer, const StreamEvent& event) {
        STADIAL_ASSERT_ALWAYS(stream.GetProducer(static_cast<std::uint32_t>(producer)).TryWrite(1, event),
                              "lane is full");
      },
      [&] {
        std::uint64_t sum = 0;
        stream.Drain([&](std::uint32_t, const StreamRecord& record) {
          sum += ReadStreamEvent(record.Get<StreamEvent>());
        });
        return sum;
      });
}

void RunMpscRing(benchmark::State& state) {
  Memory memory;
  MpscRing<StreamEvent> ring(memory.arena, kEventsAll);
  RunProducers(
      state, [&](std::size_t, const StreamEvent& event) { ring.Push(event); },
      [&] {
        std::uint64_t sum = 0;
        ring.Consume([&](const StreamEvent& event) { sum += ReadStreamEvent(event); });
        return sum;
      });
}

// One array for all, its end moved by an atomic addition; it is read when all have finished, so it needs no
// more.
void RunSharedCursor(benchmark::State& state) {
  Memory memory;
  const std::span<StreamEvent> events = memory.arena.NewArrayUninitialized<StreamEvent>(kEventsAll);
  alignas(64) std::atomic<std::size_t> end{0};
  RunProducers(
      state,
      [&](std::size_t, const StreamEvent& event) {
        events[end.fetch_add(1, std::memory_order_relaxed)] = event;
      },
      [&] {
        std::uint64_t sum = 0;
        for (std::size_t index = 0; index < end.load(std::memory_order_relaxed); ++index) {
          sum += ReadStreamEvent(events[index]);
        }
        end.store(0, std::memory_order_relaxed);
        return sum;
      });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  RegisterStream("events", "ideal", RunIdealEvents);
  RegisterStream("events", "fixed_vector", RunFixedVector);
  RegisterStream("events", "spsc_ring", RunSpscRing);
  RegisterStream("records", "ideal", RunIdealRecords);
  RegisterStream("records", "byte_stream", RunByteStream);
  RegisterProducers("mpsc_event_stream", RunMpscEventStream);
  RegisterProducers("mpsc_byte_stream", RunMpscByteStream);
  RegisterProducers("mpsc_ring", RunMpscRing);
  RegisterProducers("shared_cursor", RunSharedCursor);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
