#include "lifetime_placement.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

namespace stadial::graph::packing {

namespace {

// The lowest gap for an item among neighbours that come in order of their offsets.
class GapSearch {
 public:
  explicit GapSearch(const Item& item) noexcept : size_(item.size), alignment_(item.alignment) {}
  // False: the gap before `begin` takes it.
  bool Pass(std::uint64_t begin, std::uint64_t end) noexcept {
    if (start_ + size_ <= begin) return false;
    if (end > start_) start_ = RoundUp(end, alignment_);
    return true;
  }
  std::uint64_t Start() const noexcept { return start_; }

 private:
  std::uint64_t size_, alignment_;
  std::uint64_t start_ = 0;
};

bool Meets(const Placed& placed, const Item& item) noexcept {
  return placed.first <= item.last && placed.last >= item.first;
}

std::uint64_t FindInBlock(Tables& t, const Item& item, std::uint32_t block) noexcept {
  GapSearch search(item);
  std::uint32_t i = t.blockBegin[block];
  for (; i < t.blockEnd[block]; ++i) {
    if (Meets(t.placed[i], item) && !search.Pass(t.placed[i].begin, t.placed[i].end)) break;
  }
  t.work += i - t.blockBegin[block];
  return search.Start();
}

// An item that stands in the lists of several blocks counts twice or more, which changes nothing.
template <std::uint32_t kListsMax>
std::uint64_t FindInLists(Tables& t, const Item& item, std::uint32_t firstBlock,
                          std::uint32_t lastBlock) noexcept {
  std::array<std::uint32_t, kListsMax> next{};
  const std::uint32_t lists = lastBlock - firstBlock + 1;
  for (std::uint32_t list = 0; list < lists; ++list) next[list] = t.blockBegin[firstBlock + list];
  GapSearch search(item);
  for (;;) {
    std::uint32_t lowest = kNobody;
    for (std::uint32_t list = 0; list < lists; ++list) {
      const std::uint32_t end = t.blockEnd[firstBlock + list];
      while (next[list] < end && !Meets(t.placed[next[list]], item)) {
        ++next[list];
        ++t.work;
      }
      if (next[list] < end &&
          (lowest == kNobody || t.placed[next[list]].begin < t.placed[next[lowest]].begin))
        lowest = list;
    }
    t.work += lists;
    if (lowest == kNobody) return search.Start();
    const Placed& placed = t.placed[next[lowest]++];
    if (!search.Pass(placed.begin, placed.end)) return search.Start();
  }
}

std::uint64_t FindInMany(Tables& t, const Item& item, std::uint32_t firstBlock,
                         std::uint32_t lastBlock) noexcept {
  std::size_t count = 0;
  for (std::uint32_t block = firstBlock; block <= lastBlock; ++block) {
    for (std::uint32_t i = t.blockBegin[block]; i < t.blockEnd[block]; ++i) {
      const Placed& placed = t.placed[i];
      if (Meets(placed, item) && (block == firstBlock || placed.first / t.momentsPerBlock == block))
        t.gathered[count++] = placed;
    }
    t.work += t.blockEnd[block] - t.blockBegin[block];
  }
  const std::span<Placed> gathered = t.gathered.first(count);
  std::sort(gathered.begin(), gathered.end(),
            [](const Placed& left, const Placed& right) { return left.begin < right.begin; });
  t.work += count * static_cast<std::size_t>(std::bit_width(count));
  GapSearch search(item);
  for (const Placed& placed : gathered) {
    if (!search.Pass(placed.begin, placed.end)) break;
  }
  return search.Start();
}

void Insert(Tables& t, const Item& item, std::uint64_t begin) noexcept {
  const Placed placed{begin, begin + item.size, item.first, item.last};
  for (std::uint32_t block = item.first / t.momentsPerBlock; block <= item.last / t.momentsPerBlock;
       ++block) {
    std::uint32_t i = t.blockEnd[block]++;
    for (; i > t.blockBegin[block] && t.placed[i - 1].begin > begin; --i) {
      t.placed[i] = t.placed[i - 1];
      ++t.work;
    }
    t.placed[i] = placed;
  }
}

// Calls visit(item, load) with the greatest load each item lives under. The stack holds moments of falling
// load, each the greatest from itself to the moment at hand.
template <class Visit>
void VisitLoads(Tables& t, Visit&& visit) noexcept {
  const std::span<std::uint32_t> stack = t.spare;
  std::uint32_t depth = 0;
  for (std::uint32_t moment = 0; moment < t.moments; ++moment) {
    while (depth > 0 && t.load[stack[depth - 1]] <= t.load[moment]) --depth;
    stack[depth++] = moment;
    for (std::uint32_t i = t.endsBegin[moment]; i < t.endsBegin[moment + 1]; ++i) {
      const std::uint32_t item = t.byLast[i];
      const std::uint32_t at = *std::lower_bound(stack.begin(), stack.begin() + depth, t.items[item].first);
      visit(item, t.load[at]);
    }
  }
}

// The larger, the earlier. Positive floats sort as their bits do.
std::uint32_t Rank(const Item& item, float load, Order order) noexcept {
  const auto size = static_cast<float>(item.size);
  const std::uint32_t length = item.last - item.first + 1;
  switch (order) {
    case Order::Largest:
      return std::bit_cast<std::uint32_t>(load * load * load * load * size);
    case Order::LargestAndLongest:
      return std::bit_cast<std::uint32_t>(load * load * load * load * size *
                                          std::sqrt(static_cast<float>(length)));
    case Order::LargestPlain:
      return std::bit_cast<std::uint32_t>(size);
    case Order::LongestOfItsSize: {
      const auto power = static_cast<std::uint32_t>(std::bit_width(item.size)) - 1;
      const std::uint32_t half = power > 0 ? static_cast<std::uint32_t>(item.size >> (power - 1)) & 1 : 0;
      constexpr std::uint32_t kLengthBits = 24;
      return ((2 * power + half) << kLengthBits) | std::min(length, (1u << kLengthBits) - 1);
    }
    case Order::Busiest:
      return std::bit_cast<std::uint32_t>(load);
  }
  return 0;
}

}  // namespace

std::uint64_t EstimatePlacement(const Tables& t) noexcept {
  std::uint64_t together = t.count;
  for (const Item& item : t.items.first(t.count))
    together += t.startsBegin[item.last + 1] - t.endsBegin[item.first];
  // Half of them are placed later; a block holds more than the neighbours of one item, about twice as many.
  return together;
}

// The shortest blocks for whose lists there is room.
void FindBlocks(Tables& t) noexcept {
  std::uint32_t step = 1;
  for (;; step *= 2) {
    std::uint64_t places = 0;
    for (const Item& item : t.items.first(t.count)) places += item.last / step - item.first / step + 1;
    t.work += t.count / 4;
    if (places <= t.placed.size()) break;
  }
  t.momentsPerBlock = step;
  t.blocks = (t.moments - 1) / step + 1;
  const std::span<std::uint32_t> begins = t.blockBegin.first(t.blocks + 1);
  std::fill(begins.begin(), begins.end(), 0u);
  for (const Item& item : t.items.first(t.count)) {
    for (std::uint32_t block = item.first / step; block <= item.last / step; ++block) ++begins[block];
  }
  std::uint32_t sum = 0;
  for (std::uint32_t& begin : begins) sum += std::exchange(begin, sum);
}

// Under much load the order is one over all. The others, which find a place anywhere, are taken in groups of
// what starts together: in one order each placement would be a walk through other memory.
void FindOrder(Tables& t, Order order) noexcept {
  constexpr std::uint32_t kGroup = 4096;
  constexpr float kMuchLoad = 0.75f;
  constexpr std::uint32_t kMuchLoadBit = 1u << 31;  // no rank has it
  const float most = static_cast<float>(t.load[t.busiest]);
  VisitLoads(t, [&](std::uint32_t item, std::uint64_t bytes) {
    const float load = static_cast<float>(bytes) / most;
    t.keys[item] = ~(Rank(t.items[item], load, order) | (load >= kMuchLoad ? kMuchLoadBit : 0));
  });
  const auto isBusy = [&](std::uint32_t item) { return (t.keys[item] & kMuchLoadBit) == 0; };
  std::uint32_t count = 0;
  for (std::uint32_t item = 0; item < t.count; ++item) {
    if (isBusy(item)) t.list[count++] = item;
  }
  SortByKeys(t, t.list.first(count));
  for (std::uint32_t group = 0; group < t.count; group += kGroup) {
    const std::uint32_t begin = count;
    for (std::uint32_t item = group; item < std::min(group + kGroup, t.count); ++item) {
      if (!isBusy(item)) t.list[count++] = item;
    }
    SortByKeys(t, t.list.subspan(begin, count - begin));
  }
  t.work += t.count;
}

void RaiseThoseAbove(Tables& t, std::uint64_t height) noexcept {
  std::uint32_t above = 0;
  std::uint32_t below = 0;
  for (const std::uint32_t item : t.list.first(t.count)) {
    if (t.offsets[item] + t.items[item].size > height) {
      t.list[above++] = item;
    } else {
      t.spare[below++] = item;
    }
  }
  std::copy_n(t.spare.begin(), below, t.list.begin() + above);
}

std::uint64_t PlaceInOrder(Tables& t, std::uint64_t workMax) noexcept {
  std::copy_n(t.blockBegin.begin(), t.blocks, t.blockEnd.begin());
  constexpr std::uint32_t kListsMax = 4;  // more are better gathered and sorted
  std::uint64_t total = 0;
  for (const std::uint32_t index : t.list.first(t.count)) {
    const Item& item = t.items[index];
    const std::uint32_t firstBlock = item.first / t.momentsPerBlock;
    const std::uint32_t lastBlock = item.last / t.momentsPerBlock;
    const std::uint64_t begin = firstBlock == lastBlock ? FindInBlock(t, item, firstBlock)
                                : lastBlock - firstBlock < kListsMax
                                    ? FindInLists<kListsMax>(t, item, firstBlock, lastBlock)
                                    : FindInMany(t, item, firstBlock, lastBlock);
    t.offsets[index] = begin;
    total = std::max(total, begin + item.size);
    Insert(t, item, begin);
    if (t.work > workMax) return kNotPlaced;
  }
  return total;
}

}  // namespace stadial::graph::packing
