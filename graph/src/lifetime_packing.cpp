#include "stadial/graph/lifetime_packing.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "byte_rounding.h"
#include "lifetime_placement.h"
#include "lifetime_sweep.h"
#include "lifetime_tables.h"

namespace stadial::graph {

namespace packing {
namespace {

struct Checked {
  std::uint64_t unaliased = 0;
  std::uint64_t alignments = 0;  // of those that take bytes, or-ed
};

Result<Checked> Check(std::span<const LifetimeItem> items) noexcept {
  Checked checked;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const LifetimeItem& item = items[i];
    if (item.last < item.first) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "lifetime %zu of %zu ends at %u, before it starts at %u", i, items.size(),
                           item.last, item.first);
    }
    if (!std::has_single_bit(item.alignment)) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "lifetime %zu of %zu has an alignment of %llu, which is no power of two", i,
                           items.size(), static_cast<unsigned long long>(item.alignment));
    }
    if (item.sizeBytes == 0) continue;
    if (item.sizeBytes > kPackingBytesMax || item.alignment > kPackingBytesMax ||
        RoundUp(item.sizeBytes, item.alignment) > kPackingBytesMax - checked.unaliased) {
      return Error::Format(
          ErrorCode::CapacityExceeded,
          "with lifetime %zu of %zu (%llu B, aligned to %llu B) the sizes add up to more than %llu B", i,
          items.size(), static_cast<unsigned long long>(item.sizeBytes),
          static_cast<unsigned long long>(item.alignment), static_cast<unsigned long long>(kPackingBytesMax));
    }
    checked.unaliased += RoundUp(item.sizeBytes, item.alignment);
    checked.alignments |= item.alignment;
  }
  return checked;
}

// The attempts, until one is good enough or the work is used up.
class Search {
 public:
  Search(Tables& tables, std::uint64_t bound, const PackingOptions& options) noexcept
      : t_(tables),
        enough_(bound + bound / 1000 * options.enoughPermille),
        workMax_(options.workMax != 0
                     ? options.workMax
                     : std::max(kPackingWorkMin, kPackingWorkPerItem * std::uint64_t{tables.count})) {}

  void Run() noexcept {
    Keep(Sweep(t_, Ground::LongestFirst));
    const std::uint64_t placementWork = EstimatePlacement(t_);
    if (!IsOver() && placementWork < workMax_) {
      FindBlocks(t_);
      for (std::uint32_t i = 0; i < kOrderCount && !IsOver(); ++i) Place(static_cast<Order>(i));
      FindOrder(t_, bestOrder_);
      for (std::uint32_t i = 0; i < kRepairsMax && !IsOver(); ++i) Repair();
    }
    if (bestPlaced_ != kNotPlaced) return;
    for (const Ground ground : {Ground::LatestEndFirst, Ground::LargestFirst}) {
      if (total_ > enough_) Keep(Sweep(t_, ground));
    }
  }
  std::uint64_t Total() const noexcept { return total_; }
  std::uint32_t Attempts() const noexcept { return attempts_; }

 private:
  static constexpr std::uint32_t kRepairsMax = 64;

  bool IsOver() const noexcept { return total_ <= enough_ || t_.work > workMax_; }
  bool Keep(std::uint64_t total) noexcept {
    ++attempts_;
    if (total >= total_) return false;
    total_ = total;
    std::copy_n(t_.offsets.begin(), t_.count, t_.best.begin());
    return true;
  }
  void Place(Order order) noexcept {
    FindOrder(t_, order);
    const std::uint64_t total = PlaceInOrder(t_, workMax_);
    Keep(total);
    if (total < bestPlaced_) {
      bestPlaced_ = total;
      bestOrder_ = order;
    }
  }
  // The order that did best, with what then stood out at the top moved to its front, again and again.
  void Repair() noexcept {
    const std::uint64_t total = PlaceInOrder(t_, workMax_);
    Keep(total);
    if (total != kNotPlaced) RaiseThoseAbove(t_, enough_);
  }

  Tables& t_;
  std::uint64_t enough_;
  std::uint64_t workMax_;
  std::uint64_t total_ = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t bestPlaced_ = kNotPlaced;
  Order bestOrder_ = Order::Largest;
  std::uint32_t attempts_ = 0;
};

}  // namespace
}  // namespace packing

std::size_t PackLifetimesBytes(std::size_t count) noexcept {
  packing::Tables tables;
  std::size_t bytes = 0;
  packing::VisitTables(tables, count,
                       [&]<class T>(std::span<T>&, std::size_t places) { bytes += ArenaBytes<T>(places); });
  return bytes;
}

Result<PackingResult> PackLifetimes(std::span<const LifetimeItem> items, std::span<std::uint64_t> offsets,
                                    arenas::Arena& scratch, const PackingOptions& options) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(offsets.size(), >=, items.size(), "PackLifetimes: an offset for every item");
  if (items.size() > kPackingItemsMax || scratch.RemainingBytes() < PackLifetimesBytes(items.size())) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "packing %zu lifetimes takes %zu B of scratch, arena '%s' has %zu B; give it "
                         "PackLifetimesBytes(%zu), and at most %zu lifetimes",
                         items.size(), PackLifetimesBytes(items.size()), scratch.Name(),
                         scratch.RemainingBytes(), items.size(), kPackingItemsMax);
  }
  STADIAL_ASSIGN_OR_RETURN(const packing::Checked checked, packing::Check(items));
  const arenas::ArenaScope scope(scratch);
  packing::Tables tables;
  packing::VisitTables(tables, items.size(), [&]<class T>(std::span<T>& table, std::size_t places) {
    table = scratch.NewArrayUninitialized<T>(places);
  });
  packing::FillTables(tables, items, checked.alignments & (~checked.alignments + 1));
  PackingResult result{.boundBytes = packing::FindBound(tables, checked.alignments),
                       .unaliasedBytes = checked.unaliased};
  std::fill_n(offsets.begin(), items.size(), std::uint64_t{0});
  if (tables.count == 0) return result;
  packing::Search search(tables, result.boundBytes, options);
  search.Run();
  for (std::uint32_t item = 0; item < tables.count; ++item) offsets[tables.source[item]] = tables.best[item];
  result.totalBytes = search.Total();
  result.attempts = search.Attempts();
  result.work = tables.work;
  return result;
}

}  // namespace stadial::graph
