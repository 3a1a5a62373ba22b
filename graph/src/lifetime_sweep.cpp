#include "lifetime_sweep.h"

#include <algorithm>

#include "lifetime_heap.h"

namespace stadial::graph::packing {

namespace {

// All that is alive at the busiest moment, in tables.list; returns how many.
std::uint32_t FindGround(Tables& t, Ground ground) noexcept {
  std::uint32_t alive = 0;
  for (std::uint32_t item = 0; item < t.startsBegin[t.busiest + 1]; ++item) {
    if (t.items[item].last >= t.busiest) t.list[alive++] = item;
  }
  const auto comesBefore = [&](std::uint32_t left, std::uint32_t right) {
    const Item& a = t.items[left];
    const Item& b = t.items[right];
    if (a.alignment != b.alignment) return a.alignment > b.alignment;  // what they leave is for the others
    const auto rank = [ground](const Item& item) -> std::uint64_t {
      if (ground == Ground::LargestFirst) return item.size;
      return ground == Ground::LatestEndFirst ? item.last : item.last - item.first;
    };
    return rank(a) != rank(b) ? rank(a) > rank(b) : left < right;
  };
  std::sort(t.list.begin(), t.list.begin() + alive, comesBefore);
  return alive;
}

}  // namespace

std::uint64_t Sweep(Tables& t, Ground ground) noexcept {
  Heap heap(t.runs, t.count);
  const auto place = [&](std::uint32_t item) {
    t.offsets[item] = heap.Place(item, t.items[item].size, t.items[item].alignment);
  };
  std::uint32_t alive = FindGround(t, ground);
  for (const std::uint32_t item : t.list.first(alive)) place(item);
  alive = 0;  // as they lie, from the top, for the way back
  for (std::uint32_t run = heap.LastRun(); run != kNobody; run = heap.Before(run)) {
    if (run < t.count) t.list[alive++] = run;
  }

  for (std::uint32_t moment = t.busiest + 1; moment < t.moments; ++moment) {
    for (std::uint32_t i = t.endsBegin[moment - 1]; i < t.endsBegin[moment]; ++i) heap.Remove(t.byLast[i]);
    for (std::uint32_t item = t.startsBegin[moment]; item < t.startsBegin[moment + 1]; ++item) place(item);
  }
  const std::uint64_t peak = heap.Peak();

  heap.Clear();
  while (alive > 0) {
    const std::uint32_t item = t.list[--alive];
    heap.Append(item, t.offsets[item], t.items[item].size);
  }
  for (std::uint32_t moment = t.busiest; moment-- > 0;) {
    for (std::uint32_t item = t.startsBegin[moment + 1]; item < t.startsBegin[moment + 2]; ++item)
      heap.Remove(item);
    for (std::uint32_t i = t.endsBegin[moment]; i < t.endsBegin[moment + 1]; ++i) place(t.byLast[i]);
  }
  t.work += heap.Work();
  return std::max(peak, heap.Peak());
}

}  // namespace stadial::graph::packing
