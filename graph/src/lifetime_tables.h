// What the passes of PackLifetimes share: the items that take bytes, in order of their start, on a compressed
// time axis.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/graph/lifetime_packing.h"

namespace stadial::graph::packing {

inline constexpr std::uint32_t kNobody = 0xFFFFFFFFu;

constexpr std::uint64_t RoundUp(std::uint64_t value, std::uint64_t alignment) noexcept {
  return (value + alignment - 1) & ~(alignment - 1);
}

struct Item {
  std::uint64_t size;       // a multiple of the smallest alignment
  std::uint64_t alignment;  // at least the smallest
  std::uint32_t first;      // moments: the distinct starts, counted from 0
  std::uint32_t last;
};

// A run of bytes in a Heap: an item's, or a hole between two items.
struct Run {
  std::uint64_t begin;
  std::uint64_t size;
  std::uint32_t before, after;        // by address
  std::uint32_t binBefore, binAfter;  // holes: others of about this size
};

// An item where it was placed, in the list of a block of moments.
struct Placed {
  std::uint64_t begin, end;
  std::uint32_t first, last;
};

struct Tables {
  std::uint32_t count = 0;  // items that take bytes
  std::uint32_t moments = 0;
  std::uint32_t busiest = 0;  // the moment of the greatest load
  std::uint64_t work = 0;     // steps taken

  std::span<Item> items;                 // by start, larger ones first among those that start together
  std::span<std::uint32_t> source;       // by item: its place in what the caller gave
  std::span<std::uint32_t> byLast;       // items by end
  std::span<std::uint32_t> startsBegin;  // by moment, one more: items startsBegin[m] .. startsBegin[m + 1]
  std::span<std::uint32_t> endsBegin;    // the same for byLast
  std::span<std::uint64_t> load;         // by moment: bytes alive
  std::span<std::uint64_t> offsets;      // of the attempt at hand
  std::span<std::uint64_t> best;         // of the best one
  std::span<std::uint32_t> list;         // items in some order
  std::span<std::uint32_t> spare;
  std::span<std::uint32_t> keys;  // by item, for sorting
  // Sweeps: the items' runs, then holes.
  std::span<Run> runs;
  // Placements: time in blocks of moments, each with room for all items that touch it. Those placed stand in
  // the lists of their blocks by offset, so that a gap for one more is found by one walk.
  std::uint32_t momentsPerBlock = 1;
  std::uint32_t blocks = 0;
  std::span<std::uint32_t> blockBegin;  // by block, one more
  std::span<std::uint32_t> blockEnd;    // behind those placed
  std::span<Placed> placed;
  std::span<Placed> gathered;
};

// Calls visit(table, places) for every table; the one list for taking them and for counting them.
template <class Visit>
void VisitTables(Tables& t, std::size_t count, Visit&& visit) {
  visit(t.items, count);
  visit(t.source, count);
  visit(t.byLast, count);
  visit(t.startsBegin, count + 1);
  visit(t.endsBegin, count + 1);
  visit(t.load, count);
  visit(t.offsets, count);
  visit(t.best, count);
  visit(t.list, count);
  visit(t.spare, count);
  visit(t.keys, count);
  visit(t.runs, 2 * count + 1);
  visit(t.blockBegin, count + 1);
  visit(t.blockEnd, count);
  visit(t.placed, 2 * count);
  visit(t.gathered, count);
}

// Sorts by tables.keys, stable.
void SortByKeys(Tables& tables, std::span<std::uint32_t> items) noexcept;
// Fills the tables up to `load`. `granule`: the smallest alignment of an item that takes bytes.
void FillTables(Tables& tables, std::span<const LifetimeItem> given, std::uint64_t granule) noexcept;
// What no packing can stay below. `alignments`: those of all items that take bytes, or-ed.
std::uint64_t FindBound(const Tables& tables, std::uint64_t alignments) noexcept;

}  // namespace stadial::graph::packing
