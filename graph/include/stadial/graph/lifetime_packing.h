// Lifetime packing: offsets for things that live for a while, such that those that live at the same time
// never share a byte and the whole stays close to what must be alive at once. On plain arrays: no graph, no
// nodes.
//
//   std::array items = {graph::LifetimeItem{.first = 0, .last = 3, .sizeBytes = 4096, .alignment = 256}};
//   std::array<std::uint64_t, items.size()> offsets;
//   auto packed = graph::PackLifetimes(items, offsets, scratch);
//
// with PackLifetimesBytes(items.size()) left in `scratch`.
//
// Time is any counter: positions in an execution order, waves, frames. Both ends are inclusive, so two items
// share time when each starts no later than the other ends.
//
// How it packs. What is alive at the moment of the greatest load is placed first, back to back; from there
// one sweep runs to the end and one to the start, and each item goes where it fits best among the holes that
// were left. Load is lower on both ways, so what fragmentation takes there is mostly there to be taken. A
// sweep that ends within `enoughPermille` of the bound is taken at once. Otherwise the items are placed one
// by one into the lowest gap among those placed before, in several orders (large ones under much load first,
// large ones first, long ones first within each size, ...), then again with whatever stood out at the top
// brought to the front; the best is kept. `workMax` ends the search; where it does not suffice for one such
// placement, sweeps over other grounds are tried instead.
//
// Memory: none but `scratch`, which is given back. Cost: O(n log n) for the sweeps, about 100 ns an item in
// each; the search beyond them takes workMax steps of a few nanoseconds and at most one item's neighbours
// more. Nothing depends on time or addresses: equal input, equal output. Threads: any, with a scratch arena
// of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/result.h"

namespace stadial::graph {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

struct LifetimeItem {
  std::uint32_t first = 0;
  std::uint32_t last = 0;       // inclusive
  std::uint64_t sizeBytes = 0;  // 0: it shares bytes with nobody, its offset is 0
  std::uint64_t alignment = 1;  // of the offset; a power of two
};

struct PackingOptions {
  // What may be above the bound, in thousandths, for the search to end early.
  std::uint32_t enoughPermille = 5;
  // Steps that the search may take beyond its first sweep; a step is a few nanoseconds. 0:
  // kPackingWorkPerItem per item, at least kPackingWorkMin.
  std::uint64_t workMax = 0;
};
inline constexpr std::uint64_t kPackingWorkPerItem = 64;
inline constexpr std::uint64_t kPackingWorkMin = 400'000;

struct PackingResult {
  std::uint64_t totalBytes = 0;      // what the items need together, from offset 0
  std::uint64_t boundBytes = 0;      // no packing can need less: what is alive at once, alignments included
  std::uint64_t unaliasedBytes = 0;  // each for itself: the sizes, each rounded up to its alignment
  std::uint32_t attempts = 0;        // packings that were tried
  std::uint64_t work = 0;            // steps taken
};

// The bytes of scratch that PackLifetimes takes for `count` items, exactly.
std::size_t PackLifetimesBytes(std::size_t count) noexcept;

// The sum of PackingResult::unaliasedBytes may not exceed this.
inline constexpr std::uint64_t kPackingBytesMax = std::uint64_t{1} << 62;
inline constexpr std::size_t kPackingItemsMax = std::size_t{1} << 28;

// Writes offsets[i] for items[i]; `offsets` has at least as many places. Errors: InvalidArgument names the
// first item that ends before it starts, or whose alignment is no power of two; CapacityExceeded names the
// item with which the sizes pass kPackingBytesMax, or says what scratch lacks. `offsets` is then untouched.
Result<PackingResult> PackLifetimes(std::span<const LifetimeItem> items, std::span<std::uint64_t> offsets,
                                    arenas::Arena& scratch, const PackingOptions& options = {}) noexcept;

}  // namespace stadial::graph
