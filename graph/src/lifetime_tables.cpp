#include "lifetime_tables.h"

#include <algorithm>
#include <array>
#include <utility>

namespace stadial::graph::packing {

// Counting sorts by digits, the lowest first; digits that all keys share are left out.
void SortByKeys(Tables& t, std::span<std::uint32_t> items) noexcept {
  constexpr std::uint32_t kDigitBits = 11;
  constexpr std::uint32_t kDigits = 3;
  constexpr std::uint32_t kValues = 1u << kDigitBits;
  const auto less = [&](std::uint32_t left, std::uint32_t right) {
    return t.keys[left] != t.keys[right] ? t.keys[left] < t.keys[right] : left < right;
  };
  if (std::is_sorted(items.begin(), items.end(), less)) return;
  if (items.size() < kValues / 4) {  // counting would cost more
    std::sort(items.begin(), items.end(), less);
    return;
  }
  std::array<std::array<std::uint32_t, kValues>, kDigits> counts{};
  for (const std::uint32_t item : items) {
    for (std::uint32_t digit = 0; digit < kDigits; ++digit)
      ++counts[digit][(t.keys[item] >> (digit * kDigitBits)) % kValues];
  }
  std::span<std::uint32_t> from = items;
  std::span<std::uint32_t> to = t.spare.first(items.size());
  for (std::uint32_t digit = 0; digit < kDigits; ++digit) {
    const auto digitOf = [&](std::uint32_t item) { return (t.keys[item] >> (digit * kDigitBits)) % kValues; };
    if (counts[digit][digitOf(from[0])] == items.size()) continue;
    std::uint32_t sum = 0;
    for (std::uint32_t& count : counts[digit]) sum += std::exchange(count, sum);
    for (const std::uint32_t item : from) to[counts[digit][digitOf(item)]++] = item;
    std::swap(from, to);
  }
  if (from.data() != items.data()) std::copy(from.begin(), from.end(), items.begin());
}

namespace {

// Time becomes the moments at which something starts: who shares time with whom stays the same.
void FillStarts(Tables& t, std::span<const LifetimeItem> given, std::uint64_t granule) noexcept {
  const auto isLarger = [&](std::uint32_t left, std::uint32_t right) {
    return given[left].sizeBytes != given[right].sizeBytes ? given[left].sizeBytes > given[right].sizeBytes
                                                           : left < right;
  };
  for (std::uint32_t begin = 0; begin < t.count; ++t.moments) {
    const std::uint32_t first = given[t.source[begin]].first;
    std::uint32_t end = begin + 1;
    while (end < t.count && given[t.source[end]].first == first) ++end;
    std::sort(t.source.begin() + begin, t.source.begin() + end, isLarger);
    t.startsBegin[t.moments] = begin;
    for (; begin < end; ++begin) {
      const LifetimeItem& from = given[t.source[begin]];
      t.items[begin] = {RoundUp(from.sizeBytes, granule), from.alignment, t.moments, from.last};
    }
  }
  t.startsBegin[t.moments] = t.count;
}

void FillEnds(Tables& t, std::span<const LifetimeItem> given) noexcept {
  for (std::uint32_t item = 0; item < t.count; ++item) {
    t.byLast[item] = item;
    t.keys[item] = t.items[item].last;
  }
  SortByKeys(t, t.byLast.first(t.count));
  std::uint32_t moment = 0;
  t.endsBegin[0] = 0;
  for (std::uint32_t i = 0; i < t.count; ++i) {
    Item& item = t.items[t.byLast[i]];
    while (moment + 1 < t.moments && given[t.source[t.startsBegin[moment + 1]]].first <= item.last)
      t.endsBegin[++moment] = i;
    item.last = moment;
  }
  while (moment < t.moments) t.endsBegin[++moment] = t.count;
}

// The most bytes alive at once, counting `bytesOf(item)`; onLoad(moment, bytes).
template <class BytesOf, class OnLoad>
std::uint64_t MaxLive(const Tables& t, BytesOf&& bytesOf, OnLoad&& onLoad) noexcept {
  std::uint64_t live = 0;
  std::uint64_t most = 0;
  for (std::uint32_t moment = 0; moment < t.moments; ++moment) {
    for (std::uint32_t item = t.startsBegin[moment]; item < t.startsBegin[moment + 1]; ++item)
      live += bytesOf(t.items[item]);
    onLoad(moment, live);
    most = std::max(most, live);
    for (std::uint32_t i = t.endsBegin[moment]; i < t.endsBegin[moment + 1]; ++i)
      live -= bytesOf(t.items[t.byLast[i]]);
  }
  return most;
}

}  // namespace

void FillTables(Tables& t, std::span<const LifetimeItem> given, std::uint64_t granule) noexcept {
  for (std::uint32_t i = 0; i < given.size(); ++i) {
    t.keys[i] = given[i].first;
    if (given[i].sizeBytes != 0) t.source[t.count++] = i;
  }
  SortByKeys(t, t.source.first(t.count));
  FillStarts(t, given, granule);
  FillEnds(t, given);
  MaxLive(
      t, [](const Item& item) { return item.size; },
      [&](std::uint32_t moment, std::uint64_t live) {
        t.load[moment] = live;
        if (live > t.load[t.busiest]) t.busiest = moment;
      });
}

// Every offset is a multiple of the smallest alignment, so every item takes whole multiples of that. Those of
// a larger alignment take whole multiples of theirs, but for the one on top.
std::uint64_t FindBound(const Tables& t, std::uint64_t alignments) noexcept {
  if (t.count == 0) return 0;
  std::uint64_t bound = t.load[t.busiest];
  for (std::uint64_t rest = alignments & (alignments - 1); rest != 0; rest &= rest - 1) {
    const std::uint64_t alignment = rest & (~rest + 1);
    std::uint64_t slackMax = 0;
    const std::uint64_t live = MaxLive(
        t,
        [&](const Item& item) {
          if (item.alignment < alignment) return std::uint64_t{0};
          const std::uint64_t bytes = RoundUp(item.size, alignment);
          slackMax = std::max(slackMax, bytes - item.size);
          return bytes;
        },
        [](std::uint32_t, std::uint64_t) {});
    bound = std::max(bound, live - slackMax);
  }
  return bound;
}

}  // namespace stadial::graph::packing
