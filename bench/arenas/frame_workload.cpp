#include "frame_workload.h"

#include <cmath>
#include <cstdlib>
#include <iterator>
#include <numbers>
#include <numeric>
#include <random>
#include <utility>

namespace stadial::bench {
namespace {

// Of the standard engine only its bits are pinned down by the standard, not the distributions: those are
// here.
class FrameRandom {
 public:
  explicit FrameRandom(std::uint64_t seed) : engine_(seed) {}
  // In (0, 1].
  double Uniform() { return (static_cast<double>(engine_() >> 11) + 1.0) * 0x1p-53; }
  std::size_t Below(std::size_t limit) { return static_cast<std::size_t>(engine_() % limit); }
  // Median 64 B, one standard deviation a factor of e.
  std::uint32_t Bytes() {
    const double radius = std::sqrt(-2.0 * std::log(Uniform()));
    const double normal = radius * std::cos(2.0 * std::numbers::pi * Uniform());
    const double bytes = std::clamp(64.0 * std::exp(normal), static_cast<double>(kRequestBytesMin),
                                    static_cast<double>(kRequestBytesMax));
    return static_cast<std::uint32_t>(bytes);
  }
  // Half of the requests are content with 8; a tenth wants a cache line.
  std::uint32_t Alignment() {
    static constexpr std::uint32_t kAlignments[] = {8, 8, 8, 8, 8, 16, 16, 16, 32, 64};
    return kAlignments[Below(std::size(kAlignments))];
  }

 private:
  std::mt19937_64 engine_;
};

FrameTrace MakeTrace(std::uint64_t seed) {
  FrameRandom random(seed);
  FrameTrace trace;
  for (std::uint64_t index = 0; index < kFrameRequests; ++index) {
    const FrameRequest request{.bytes = random.Bytes(), .alignment = random.Alignment()};
    trace.requests.push_back(request);
    const std::uint64_t words = request.bytes / sizeof(std::uint64_t);
    trace.checksumLight += 2 * index + 1;
    trace.checksumFull += words * index + words * (words - 1) / 2;
    if (index % kRequestsPerPush == 0) {
      const std::uint64_t pushed = index + index / kRequestsPerPush % kFrameVectors;
      trace.checksumLight += pushed;
      trace.checksumFull += pushed;
    }
  }
  return trace;
}

// Records where a bump that rounds to 16 puts each request.
class OffsetRecorder {
 public:
  static constexpr bool kFreesBlocks = false;
  void* Take(std::size_t bytes, std::size_t alignment) {
    used = (used + alignment - 1) & ~(alignment - 1);
    offsets.push_back(used);
    void* const block = scratch.data() + used;
    used = (used + bytes + 15) & ~std::size_t{15};
    return block;
  }
  void EndBatch() {}

  std::vector<std::size_t> offsets;
  std::size_t used = 0;
  std::vector<std::byte> scratch = std::vector<std::byte>(FrameBytesMax());
};

constexpr std::size_t VectorBytesMax() {
  constexpr std::size_t kPushes = (kFrameRequests / kRequestsPerPush + kFrameVectors - 1) / kFrameVectors;
  // Doubling leaves less than twice the last capacity behind, which is less than twice the size.
  return kFrameVectors * (4 * kPushes + 2 * kVectorCapacityFirst) * sizeof(VectorElement);
}

}  // namespace

const std::vector<FrameTrace>& FrameTraces() {
  static const std::vector<FrameTrace> traces = [] {
    std::vector<FrameTrace> made;
    for (std::uint64_t seed = 1; seed <= kFrameTraces; ++seed) made.push_back(MakeTrace(seed));
    return made;
  }();
  return traces;
}

std::size_t FramesPerRepetition() {
  const char* const text = std::getenv("STADIAL_BENCH_FRAMES");
  const long frames = text == nullptr ? 0 : std::strtol(text, nullptr, 10);
  return frames > 0 ? static_cast<std::size_t>(frames) : 2'000;
}

std::size_t FrameBytesMax() {
  std::size_t bytesMax = 0;
  for (const FrameTrace& trace : FrameTraces()) {
    const std::size_t bytes = std::accumulate(trace.requests.begin(), trace.requests.end(), std::size_t{0},
                                              [](std::size_t sum, const FrameRequest& request) {
                                                return sum + request.bytes + 15 + request.alignment;
                                              });
    bytesMax = std::max(bytesMax, bytes);
  }
  constexpr std::size_t kPage = 4096;
  return (bytesMax + VectorBytesMax() + kPage) / kPage * kPage;
}

std::vector<std::vector<std::size_t>> FrameOffsets() {
  std::vector<std::vector<std::size_t>> all;
  std::vector<std::uint64_t*> blocks(kFrameRequests);
  for (const FrameTrace& trace : FrameTraces()) {
    OffsetRecorder recorder;
    RunFrame<Touch::Light>(recorder, trace, blocks.data());
    all.push_back(std::move(recorder.offsets));
  }
  return all;
}

AgedHeap::AgedHeap() {
  FrameRandom random(0xA6ED);
  std::vector<void*> blocks(kAgedBlocks);
  for (void*& block : blocks) {
    const std::size_t bytes = random.Bytes();
    block = std::malloc(bytes);
    if (block == nullptr) std::abort();
    std::memset(block, 1, bytes);
  }
  for (std::size_t index = kAgedBlocks; index > 1; --index)
    std::swap(blocks[index - 1], blocks[random.Below(index)]);
  constexpr std::size_t kFreed = kAgedBlocks * 6 / 10;
  for (std::size_t index = 0; index < kFreed; ++index) std::free(blocks[index]);
  kept_.assign(blocks.begin() + kFreed, blocks.end());
}

AgedHeap::~AgedHeap() {
  for (void* const block : kept_) std::free(block);
}

void SetFrameTimes(benchmark::State& state, std::vector<std::uint64_t>& nanoseconds) {
  std::sort(nanoseconds.begin(), nanoseconds.end());
  const auto quantile = [&](double share) {
    const double rank = std::ceil(share * static_cast<double>(nanoseconds.size()));
    const auto index = static_cast<std::size_t>(std::max(rank, 1.0)) - 1;
    return static_cast<double>(nanoseconds[index]) * 1e-3;
  };
  const double sum = std::accumulate(nanoseconds.begin(), nanoseconds.end(), 0.0);
  state.counters["mean_us"] = sum * 1e-3 / static_cast<double>(nanoseconds.size());
  state.counters["p50_us"] = quantile(0.5);
  state.counters["p99_us"] = quantile(0.99);
  state.counters["p999_us"] = quantile(0.999);
  state.counters["max_us"] = quantile(1.0);
}

}  // namespace stadial::bench
