// A frame of a game, as an allocator sees it: 20,000 requests of log-normal size and mixed alignment, and
// among them 20 vectors that grow by doubling; everything written, then read, then given back.
//
//   light  16 B of each block are touched: what the allocator itself costs shows;
//   full   all of each block: what its layout costs shows;
//   aged   light, on a heap from which 400,000 blocks were taken and 60 % freed at random before.
//
// Several traces of fixed seeds take turns, so that no branch predictor learns one by heart. Times are of
// single frames; percentiles are over the frames of one repetition (STADIAL_BENCH_FRAMES, by default 2,000).
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "allocate_workload.h"
#include "process_probe.h"

namespace stadial::bench {

inline constexpr std::size_t kFrameRequests = 20'000;
inline constexpr std::size_t kFrameVectors = 20;
inline constexpr std::size_t kFrameTraces = 8;
inline constexpr std::size_t kRequestsPerPush = 8;
inline constexpr std::size_t kVectorCapacityFirst = 8;
inline constexpr std::size_t kRequestBytesMin = 16;
inline constexpr std::size_t kRequestBytesMax = 8192;
inline constexpr std::size_t kFrameAlignmentMax = 64;
inline constexpr std::size_t kAgedBlocks = 400'000;

struct FrameRequest {
  std::uint32_t bytes;
  std::uint32_t alignment;  // 8 to kFrameAlignmentMax
};

struct VectorElement {
  std::uint64_t value[2];
};

struct FrameTrace {
  std::vector<FrameRequest> requests;
  std::uint64_t checksumLight = 0;  // what reading a frame must yield, by an independent model
  std::uint64_t checksumFull = 0;
};

// kFrameTraces traces of fixed seeds, made at the first call.
const std::vector<FrameTrace>& FrameTraces();
// Frames of a repetition.
std::size_t FramesPerRepetition();
// Bytes that no frame exceeds in a bump allocator that rounds to 16.
std::size_t FrameBytesMax();
// For every trace the addresses, as offsets, at which a 16-rounding bump would place what Take is asked for.
std::vector<std::vector<std::size_t>> FrameOffsets();

// The process's malloc as a long session leaves it. The destructor frees what is left.
class AgedHeap {
 public:
  AgedHeap();
  ~AgedHeap();
  AgedHeap(const AgedHeap&) = delete;
  AgedHeap& operator=(const AgedHeap&) = delete;

 private:
  std::vector<void*> kept_;
};

// Sets mean_us, p50_us, p99_us, p999_us, max_us from nanoseconds per frame, which it sorts.
void SetFrameTimes(benchmark::State& state, std::vector<std::uint64_t>& nanoseconds);

enum class Touch { Light, Full };

// A vector as containers do it: twice the capacity, copy, give the old storage back.
struct GrowingVector {
  VectorElement* elements = nullptr;
  std::size_t size = 0;
  std::size_t capacity = 0;

  template <class Peer>
  [[gnu::always_inline]] void Push(Peer& peer, const VectorElement& element) {
    if (size == capacity) [[unlikely]]
      Grow(peer);
    elements[size++] = element;
  }
  template <class Peer>
  void Grow(Peer& peer) {
    const std::size_t larger = capacity == 0 ? kVectorCapacityFirst : capacity * 2;
    auto* const moved =
        static_cast<VectorElement*>(peer.Take(larger * sizeof(VectorElement), alignof(VectorElement)));
    if (size != 0) std::memcpy(moved, elements, size * sizeof(VectorElement));
    Drop(peer);
    elements = moved;
    capacity = larger;
  }
  template <class Peer>
  void Drop(Peer& peer) {
    if constexpr (Peer::kFreesBlocks) {
      if (elements != nullptr) {
        peer.GiveBack(elements, capacity * sizeof(VectorElement), alignof(VectorElement));
      }
    }
  }
};

// One frame. Peer: Take(bytes, alignment); where kFreesBlocks, GiveBack(block, bytes, alignment); EndBatch().
// Returns the sum of all words read.
template <Touch kTouch, class Peer>
[[gnu::noinline]] std::uint64_t RunFrame(Peer& peer, const FrameTrace& trace, std::uint64_t** blocks) {
  const auto wordsTouched = [](const FrameRequest& request) -> std::size_t {
    return kTouch == Touch::Full ? request.bytes / sizeof(std::uint64_t) : 2;
  };
  GrowingVector vectors[kFrameVectors];
  const FrameRequest* const requests = trace.requests.data();
  std::size_t pushTo = 0;
  for (std::size_t index = 0; index < kFrameRequests; ++index) {
    const FrameRequest request = requests[index];
    auto* const block = static_cast<std::uint64_t*>(peer.Take(request.bytes, request.alignment));
    for (std::size_t word = 0; word < wordsTouched(request); ++word) block[word] = index + word;
    blocks[index] = block;
    if (index % kRequestsPerPush == 0) {
      vectors[pushTo].Push(peer, VectorElement{{index, pushTo}});
      pushTo = pushTo + 1 == kFrameVectors ? 0 : pushTo + 1;
    }
  }
  std::uint64_t sum = 0;
  for (std::size_t index = 0; index < kFrameRequests; ++index) {
    for (std::size_t word = 0; word < wordsTouched(requests[index]); ++word) sum += blocks[index][word];
  }
  for (GrowingVector& vector : vectors) {
    for (std::size_t index = 0; index < vector.size; ++index) {
      sum += vector.elements[index].value[0] + vector.elements[index].value[1];
    }
    vector.Drop(peer);
  }
  if constexpr (Peer::kFreesBlocks) {
    for (std::size_t index = 0; index < kFrameRequests; ++index) {
      peer.GiveBack(blocks[index], requests[index].bytes, requests[index].alignment);
    }
  }
  peer.EndBatch();
  return sum;
}

// The floor: no allocator at all, only the next of the addresses computed beforehand.
class FloorPeer {
 public:
  static constexpr bool kFreesBlocks = false;
  // `base`: FrameBytesMax() bytes.
  explicit FloorPeer(std::byte* base) {
    for (const std::vector<std::size_t>& offsets : FrameOffsets()) {
      addresses_.emplace_back();
      for (const std::size_t offset : offsets) addresses_.back().push_back(base + offset);
    }
    next_ = addresses_[0].data();
  }
  void* Take(std::size_t, std::size_t) { return *next_++; }
  // The traces take turns in the order of RunFrames.
  void EndBatch() {
    trace_ = (trace_ + 1) % kFrameTraces;
    next_ = addresses_[trace_].data();
  }

 private:
  std::vector<std::vector<std::byte*>> addresses_;
  std::byte* const* next_ = nullptr;
  std::size_t trace_ = 0;
};

// A repetition: every frame timed for itself, then the same frames counted for system calls.
template <Touch kTouch, class Peer>
void RunFrames(benchmark::State& state, Peer& peer) {
  const std::vector<FrameTrace>& traces = FrameTraces();
  const std::size_t frames = FramesPerRepetition();
  std::vector<std::uint64_t*> blocks(kFrameRequests);
  std::vector<std::uint64_t> nanoseconds(frames);
  std::uint64_t wrong = 0;
  std::uint64_t checksum = 0;
  const auto frame = [&](std::size_t index) {
    const FrameTrace& trace = traces[index % kFrameTraces];
    const std::uint64_t sum = RunFrame<kTouch>(peer, trace, blocks.data());
    wrong += sum != (kTouch == Touch::Full ? trace.checksumFull : trace.checksumLight);
    checksum += sum;
  };
  // Whole turns of the traces, so that each begins where the floor expects it.
  const auto rounded = [](std::size_t count) {
    return (count + kFrameTraces - 1) / kFrameTraces * kFrameTraces;
  };
  const std::size_t warmups = rounded(std::min<std::size_t>(frames, 100));
  const auto now = [] { return std::chrono::steady_clock::now(); };
  for (std::size_t index = 0; index < warmups; ++index) frame(index);
  std::fill(nanoseconds.begin(), nanoseconds.end(), std::uint64_t{1});
  now();
  ThreadFaults();
  long faults = 0;
  for ([[maybe_unused]] auto _ : state) {
    checksum = 0;
    const long faultsBefore = ThreadFaults();
    for (std::size_t index = 0; index < frames; ++index) {
      const auto begin = now();
      frame(index);
      nanoseconds[index] = static_cast<std::uint64_t>((now() - begin).count());
    }
    faults = ThreadFaults() - faultsBefore;
  }
  const std::uint64_t checksumTimed = checksum;
  for (std::size_t index = frames % kFrameTraces; index % kFrameTraces != 0; ++index) frame(index);
  constexpr std::size_t kTracedFrames = 2 * kFrameTraces;
  // One call of our own beside each frame is the control: a tracer that saw nothing must not look like a
  // frame that called nothing.
  const std::int64_t systemCalls = CountSystemCalls([&] {
                                     for (std::size_t index = 0; index < kTracedFrames; ++index) {
                                       frame(index);
                                       ThreadFaults();
                                     }
                                   }) -
                                   static_cast<std::int64_t>(kTracedFrames);
  if (wrong != 0) state.SkipWithError("a frame read back something else than it wrote");
  SetFrameTimes(state, nanoseconds);
  state.counters["faults_per_frame"] = static_cast<double>(faults) / static_cast<double>(frames);
  if (systemCalls >= 0) {
    state.counters["syscalls_per_frame"] =
        static_cast<double>(systemCalls) / static_cast<double>(kTracedFrames);
  }
  state.counters["frames"] = static_cast<double>(frames);
  state.counters["checksum"] = static_cast<double>(checksumTimed % 1'000'000'007);
  state.SetLabel(ModuleOfMalloc());
}

// "Frame_light/arena/iterations:1": the iteration is the repetition.
template <class Run>
void RegisterFrame(const char* mode, const char* peer, Run run) {
  benchmark::RegisterBenchmark((std::string("Frame_") + mode + "/" + peer).c_str(), run)
      ->Iterations(1)
      ->Unit(benchmark::kMillisecond);
}

// memory() -> the base of FrameBytesMax() populated bytes.
template <class Memory>
void RegisterFloor(Memory memory) {
  RegisterFrame("light", "floor", [memory](benchmark::State& state) {
    FloorPeer floor(memory());
    RunFrames<Touch::Light>(state, floor);
  });
  RegisterFrame("full", "floor", [memory](benchmark::State& state) {
    FloorPeer floor(memory());
    RunFrames<Touch::Full>(state, floor);
  });
}

}  // namespace stadial::bench
