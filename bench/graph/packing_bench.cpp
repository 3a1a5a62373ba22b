// Lifetime packing: time by number of items, and how far above what must be alive at once it ends, beside two
// textbook ways of doing the same.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <map>
#include <numeric>
#include <set>
#include <utility>
#include <vector>

#include "../../tests/graph/support/lifetime_cases.h"
#include "bench_graph.h"
#include "stadial/graph/lifetime_packing.h"

namespace stadial::graph::bench {
namespace {

using testing::Lifetimes;
using testing::SizeRule;

enum Family : int { kLayered, kDeferred, kRandomUniform, kRandomLogNormal, kMixed, kCut };

Lifetimes MakeCase(int family, std::uint32_t count, std::uint64_t seed) {
  switch (family) {
    case kLayered:
      return testing::LayeredLifetimes(count, 16, seed);
    case kDeferred:
      return testing::DeferredLifetimes(count / 27 + static_cast<std::uint32_t>(seed));
    case kRandomUniform:
      return testing::RandomLifetimes(count, 16, SizeRule::Uniform, testing::kBufferAlignment, seed);
    case kRandomLogNormal:
      return testing::RandomLifetimes(count, 16, SizeRule::LogNormal, testing::kBufferAlignment, seed);
    case kMixed:
      return testing::MixedLifetimes(count, seed);
    default:
      return testing::CutLifetimes(count, count, std::uint64_t{1} << 20, seed);
  }
}

class Packer {
 public:
  explicit Packer(std::size_t count)
      : memory_(PackLifetimesBytes(count) + 16),
        arena_("packing", memory_.data(), memory_.size()),
        offsets_(count) {}
  PackingResult operator()(const Lifetimes& items, const PackingOptions& options = {}) {
    return Must(PackLifetimes(items, offsets_, arena_, options));
  }

 private:
  std::vector<std::byte> memory_;
  arenas::Arena arena_;
  std::vector<std::uint64_t> offsets_;
};

// Largest first, each into the tightest gap among all that live with it and were placed before: what a
// hundred lines over vectors do, and what inference engines ship.
std::uint64_t PackLargestFirst(const Lifetimes& items) {
  std::vector<std::uint32_t> order(items.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return items[a].sizeBytes > items[b].sizeBytes; });
  std::vector<std::uint64_t> offsets(items.size());
  std::vector<std::uint32_t> placed;  // by offset
  std::uint64_t total = 0;
  for (const std::uint32_t index : order) {
    const LifetimeItem& item = items[index];
    std::uint64_t top = 0;
    std::uint64_t best = UINT64_MAX;
    std::uint64_t bestGap = UINT64_MAX;
    const auto aligned = [&](std::uint64_t at) { return (at + item.alignment - 1) & ~(item.alignment - 1); };
    for (const std::uint32_t other : placed) {
      if (items[other].last < item.first || item.last < items[other].first) continue;
      if (offsets[other] >= aligned(top) + item.sizeBytes && offsets[other] - top < bestGap) {
        bestGap = offsets[other] - top;
        best = aligned(top);
      }
      top = std::max(top, offsets[other] + items[other].sizeBytes);
    }
    offsets[index] = best != UINT64_MAX ? best : aligned(top);
    total = std::max(total, offsets[index] + item.sizeBytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), index,
                                   [&](std::uint32_t a, std::uint32_t b) { return offsets[a] < offsets[b]; }),
                  index);
  }
  return total;
}

// An allocator that sees no future: in order of time, the smallest hole that fits, holes in a map and a set.
std::uint64_t PackInTime(const Lifetimes& items) {
  std::vector<std::pair<std::uint64_t, std::uint32_t>> events;  // moment, an end before a start; item
  for (std::uint32_t i = 0; i < items.size(); ++i) {
    events.emplace_back(2 * std::uint64_t{items[i].first} + 1, i);
    events.emplace_back(2 * std::uint64_t{items[i].last} + 2, i);
  }
  std::sort(events.begin(), events.end());
  std::map<std::uint64_t, std::uint64_t> holes;  // begin, size
  std::set<std::pair<std::uint64_t, std::uint64_t>> bySize;
  std::vector<std::uint64_t> offsets(items.size());
  std::uint64_t end = 0;
  std::uint64_t total = 0;
  const auto add = [&](std::uint64_t begin, std::uint64_t size) {
    if (size == 0) return;
    holes.emplace(begin, size);
    bySize.emplace(size, begin);
  };
  const auto remove = [&](std::uint64_t begin, std::uint64_t size) {
    holes.erase(begin);
    bySize.erase({size, begin});
  };
  for (const auto& [moment, i] : events) {
    const LifetimeItem& item = items[i];
    if (moment % 2 == 1) {
      const auto aligned = [&](std::uint64_t at) {
        return (at + item.alignment - 1) & ~(item.alignment - 1);
      };
      auto hole = bySize.lower_bound({item.sizeBytes, 0});
      while (hole != bySize.end() && aligned(hole->second) + item.sizeBytes > hole->second + hole->first)
        ++hole;
      if (hole != bySize.end()) {
        const auto [size, begin] = *hole;
        remove(begin, size);
        offsets[i] = aligned(begin);
        add(begin, offsets[i] - begin);
        add(offsets[i] + item.sizeBytes, begin + size - offsets[i] - item.sizeBytes);
      } else {
        offsets[i] = aligned(end);
        add(end, offsets[i] - end);
        end = offsets[i] + item.sizeBytes;
        total = std::max(total, end);
      }
      continue;
    }
    std::uint64_t begin = offsets[i];
    std::uint64_t size = item.sizeBytes;
    auto after = holes.lower_bound(begin);
    if (after != holes.end() && after->first == begin + size) {
      size += after->second;
      remove(after->first, after->second);
    }
    after = holes.lower_bound(begin);
    if (after != holes.begin()) {
      const auto before = std::prev(after);
      if (before->first + before->second == begin) {
        begin = before->first;
        size += before->second;
        remove(before->first, before->second);
      }
    }
    if (begin + size == end) {
      end = begin;
    } else {
      add(begin, size);
    }
  }
  return total;
}

void BM_Pack(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  const Lifetimes items = MakeCase(kLayered, count, 1);
  Packer pack(items.size());
  PackingResult result;
  for (auto _ : state) result = pack(items);
  state.counters["checksum"] = static_cast<double>(result.totalBytes % 1'000'003);
  state.counters["ns_per_item"] = PerItem(count);
}
BENCHMARK(BM_Pack)->Arg(1000)->Arg(10'000)->Arg(100'000)->Unit(benchmark::kMicrosecond);

template <std::uint64_t (*pack)(const Lifetimes&)>
void BM_PackTextbook(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  const Lifetimes items = MakeCase(kLayered, count, 1);
  std::uint64_t total = 0;
  for (auto _ : state) total = pack(items);
  state.counters["checksum"] = static_cast<double>(total % 1'000'003);
  state.counters["ns_per_item"] = PerItem(count);
}
BENCHMARK(BM_PackTextbook<PackLargestFirst>)
    ->Name("BM_PackLargestFirst")
    ->Arg(1000)
    ->Arg(10'000)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_PackTextbook<PackInTime>)
    ->Name("BM_PackInTime")
    ->Arg(1000)
    ->Arg(10'000)
    ->Arg(100'000)
    ->Unit(benchmark::kMicrosecond);

// Not a time: the ratio to the bound over eight seeds of a family, as counters.
template <class Pack>
void CountRatios(benchmark::State& state, Pack&& pack) {
  constexpr std::uint64_t kSeeds = 8;
  double sum = 0;
  double most = 0;
  for (auto _ : state) {
    sum = most = 0;
    for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
      const Lifetimes items =
          MakeCase(static_cast<int>(state.range(0)), static_cast<std::uint32_t>(state.range(1)), seed);
      Packer bound(items.size());
      const double ratio = static_cast<double>(pack(items, bound)) /
                           static_cast<double>(bound(items, {.workMax = 1}).boundBytes);
      sum += ratio;
      most = std::max(most, ratio);
    }
  }
  state.counters["ratio_mean"] = sum / kSeeds;
  state.counters["ratio_max"] = most;
  state.counters["checksum"] = sum;
}
void Families(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"family", "items"})->Unit(benchmark::kMillisecond)->Iterations(1);
  for (const int family : {kLayered, kDeferred, kRandomUniform, kRandomLogNormal, kMixed, kCut})
    bench->Args({family, 1000});
}
void BM_RatioUsual(benchmark::State& state) {
  CountRatios(state, [](const Lifetimes& items, Packer& pack) { return pack(items).totalBytes; });
}
BENCHMARK(BM_RatioUsual)->Apply(Families);
// With as much work as a tool may take that packs once.
void BM_RatioPatient(benchmark::State& state) {
  CountRatios(state, [](const Lifetimes& items, Packer& pack) {
    return pack(items, {.enoughPermille = 1, .workMax = 20'000'000}).totalBytes;
  });
}
BENCHMARK(BM_RatioPatient)->Apply(Families);
void BM_RatioLargestFirst(benchmark::State& state) {
  CountRatios(state, [](const Lifetimes& items, Packer&) { return PackLargestFirst(items); });
}
BENCHMARK(BM_RatioLargestFirst)->Apply(Families);
void BM_RatioInTime(benchmark::State& state) {
  CountRatios(state, [](const Lifetimes& items, Packer&) { return PackInTime(items); });
}
BENCHMARK(BM_RatioInTime)->Apply(Families);

}  // namespace
}  // namespace stadial::graph::bench

BENCHMARK_MAIN();
