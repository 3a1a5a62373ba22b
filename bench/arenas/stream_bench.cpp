// Streams of events and of bytes: on one thread beside an ideal that checks nothing, between threads beside
// one cursor that they share. Other queues run the same in a program of their own (peers/queue_bench.cpp).
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
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

constexpr std::size_t kEventsRoom = kStreamFrames * kStreamEvents;  // of each producer
constexpr std::size_t kEventsShared = kStreamProducers * kEventsRoom;
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

std::uint64_t DrainRing(SpscRing<StreamEvent>& ring) {
  std::uint64_t sum = 0;
  ring.Consume([&](const StreamEvent& event) { sum += ReadStreamEvent(event); });
  return sum;
}
// By a Producer kept beside the loop, each event shown to the consumer at once.
void RunSpscProducer(benchmark::State& state) {
  Memory memory;
  auto& ring = *memory.arena.New<SpscRing<StreamEvent>>(memory.arena, kStreamEvents);
  auto producer = ring.GetProducer();
  RunStream(
      state,
      [&](const StreamEvent& event) { STADIAL_ASSERT_ALWAYS(producer.TryPush(event), "ring is full"); },
      [&] { return DrainRing(ring); });
}
// By the ring itself, which knows where it stands only from memory.
void RunSpscRing(benchmark::State& state) {
  Memory memory;
  // Not on the stack, where a processor may forward a store without going through memory: two threads share
  // it.
  auto& ring = *memory.arena.New<SpscRing<StreamEvent>>(memory.arena, kStreamEvents);
  RunStream(
      state, [&](const StreamEvent& event) { ring.Push(event); }, [&] { return DrainRing(ring); });
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

// What the machine leaves to a stream: an array for each producer, nothing checked, nothing said to anybody
// before the last event.
template <class Element>
void RunProducersFloor(benchmark::State& state) {
  Memory memory;
  Element* arrays[kStreamProducers];
  for (Element*& array : arrays) {
    array = static_cast<Element*>(memory.arena.Allocate(kEventsRoom * sizeof(Element), 64));
  }
  std::size_t begin = 0;
  RunProducers(
      state,
      [&](std::size_t producer) {
        Element* end = arrays[producer] + begin;
        EmitEach([&](const StreamEvent& event) { ::new (static_cast<void*>(end++)) Element{event}; });
      },
      [&] {
        std::uint64_t sum = 0;
        for (const Element* const array : arrays) {
          for (std::size_t index = 0; index < kStreamEvents; ++index) sum += array[begin + index].Read();
        }
        begin = (begin + kStreamEvents) % kEventsRoom;
        return sum;
      });
}
struct BareEvent {
  std::uint64_t Read() const { return ReadStreamEvent(event); }
  StreamEvent event;
};
// As a record has it: its size and its kind before it.
struct RecordedEvent {
  explicit RecordedEvent(const StreamEvent& recorded) : event(recorded) {}
  std::uint64_t Read() const { return header.bytes == sizeof event ? ReadStreamEvent(event) : 0; }
  StreamRecordHeader header{sizeof(StreamEvent), 1};
  StreamEvent event;
};

std::uint32_t LaneOf(std::size_t producer) { return static_cast<std::uint32_t>(producer); }

// produce(producer of the stream): each thread gets its own once, as moodycamel's gets a token.
template <class Produce>
void RunMpscEventStream(benchmark::State& state, Produce&& produce) {
  Memory memory;
  MpscEventStream<StreamEvent> stream(memory.arena,
                                      {.lanes = kStreamProducers, .eventsPerLane = kEventsRoom});
  RunProducers(
      state, [&](std::size_t producer) { produce(stream.GetProducer(LaneOf(producer))); },
      [&] {
        std::uint64_t sum = 0;
        stream.Drain([&](std::uint32_t, const StreamEvent& event) { sum += ReadStreamEvent(event); });
        return sum;
      });
}
void RunMpscEventStreamEach(benchmark::State& state) {
  RunMpscEventStream(state, [](auto producer) {
    EmitEach(
        [&](const StreamEvent& event) { STADIAL_ASSERT_ALWAYS(producer.TryPush(event), "lane is full"); });
  });
}
void RunMpscEventStreamStaged(benchmark::State& state) {
  RunMpscEventStream(state, [](auto producer) {
    EmitEach(
        [&](const StreamEvent& event) { STADIAL_ASSERT_ALWAYS(producer.TryStage(event), "lane is full"); });
    producer.Publish();
  });
}

template <class Produce>
void RunMpscByteStream(benchmark::State& state, Produce&& produce) {
  Memory memory;
  MpscByteStream stream(memory.arena, {.lanes = kStreamProducers,
                                       .bytesPerLane = kEventsRoom * StreamRecordBytes(sizeof(StreamEvent))});
  RunProducers(
      state, [&](std::size_t producer) { produce(stream.GetProducer(LaneOf(producer))); },
      [&] {
        std::uint64_t sum = 0;
        stream.Drain([&](std::uint32_t, const StreamRecord& record) {
          sum += ReadStreamEvent(record.Get<StreamEvent>());
        });
        return sum;
      });
}
void RunMpscByteStreamEach(benchmark::State& state) {
  RunMpscByteStream(state, [](auto producer) {
    EmitEach([&](const StreamEvent& event) {
      STADIAL_ASSERT_ALWAYS(producer.TryWrite(1, event), "lane is full");
    });
  });
}
void RunMpscByteStreamStaged(benchmark::State& state) {
  RunMpscByteStream(state, [](auto producer) {
    EmitEach([&](const StreamEvent& event) {
      STADIAL_ASSERT_ALWAYS(producer.TryStage(1, event), "lane is full");
    });
    producer.Publish();
  });
}

template <class Produce>
void RunMpscRing(benchmark::State& state, Produce&& produce) {
  Memory memory;
  MpscRing<StreamEvent> ring(memory.arena, kEventsShared);
  RunProducers(
      state, [&](std::size_t) { produce(ring); },
      [&] {
        std::uint64_t sum = 0;
        ring.Consume([&](const StreamEvent& event) { sum += ReadStreamEvent(event); });
        return sum;
      });
}
void RunMpscRingEach(benchmark::State& state) {
  RunMpscRing(state, [](auto& ring) { EmitEach([&](const StreamEvent& event) { ring.Push(event); }); });
}
void RunMpscRingBatches(benchmark::State& state) {
  RunMpscRing(state, [](auto& ring) {
    EmitBatches([&](std::span<const StreamEvent> events) {
      STADIAL_ASSERT_ALWAYS(ring.TryPushAll(events), "ring is full");
    });
  });
}

// One array for all, its end moved by an atomic addition; it is read when all have finished, so it needs no
// more.
void RunSharedCursor(benchmark::State& state) {
  Memory memory;
  const std::span<StreamEvent> events = memory.arena.NewArrayUninitialized<StreamEvent>(kEventsShared);
  alignas(64) std::atomic<std::size_t> end{0};
  std::size_t begin = 0;
  RunProducers(
      state,
      [&](std::size_t) {
        EmitEach([&](const StreamEvent& event) {
          events[end.fetch_add(1, std::memory_order_relaxed) % kEventsShared] = event;
        });
      },
      [&] {
        std::uint64_t sum = 0;
        for (; begin < end.load(std::memory_order_relaxed); ++begin) {
          sum += ReadStreamEvent(events[begin % kEventsShared]);
        }
        return sum;
      });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  RegisterStream("events", "ideal", RunIdealEvents);
  RegisterStream("events", "fixed_vector", RunFixedVector);
  RegisterStream("events", "spsc_producer", RunSpscProducer);
  RegisterStream("events", "spsc_ring", RunSpscRing);
  RegisterStream("records", "ideal", RunIdealRecords);
  RegisterStream("records", "byte_stream", RunByteStream);
  RegisterProducers("floor", RunProducersFloor<BareEvent>);
  RegisterProducers("mpsc_event_stream", RunMpscEventStreamEach);
  RegisterProducers("mpsc_event_stream_staged", RunMpscEventStreamStaged);
  RegisterProducers("floor_records", RunProducersFloor<RecordedEvent>);
  RegisterProducers("mpsc_byte_stream", RunMpscByteStreamEach);
  RegisterProducers("mpsc_byte_stream_staged", RunMpscByteStreamStaged);
  RegisterProducers("mpsc_ring", RunMpscRingEach);
  RegisterProducers("mpsc_ring_batches", RunMpscRingBatches);
  RegisterProducers("shared_cursor", RunSharedCursor);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
