#include <bit>
#include <mutex>

#include "size_class_slab.h"

namespace stadial::arenas {

// Blocks of the class in the stacks of all shards.
std::uint64_t SizeClassHeap::AtHand(unsigned sizeClass) const noexcept {
  std::uint64_t blocks = 0;
  for (std::uint32_t index = 0; index < ShardCount(); ++index) {
    blocks += shards_[index].Count(sizeClass);
  }
  return blocks;
}

SizeClassHeapStats SizeClassHeap::Stats() const noexcept {
  const auto above = [](std::uint64_t value, std::uint64_t part) { return value > part ? value - part : 0; };
  SizeClassHeapStats stats;
  std::uint64_t slabsMade = 0;
  for (unsigned sizeClass = 0; sizeClass < kClasses; ++sizeClass) {
    const Depot& depot = depots_[sizeClass];
    const std::lock_guard lock(depot.lock);
    const std::uint64_t live = above(depot.handedOut, AtHand(sizeClass));
    for (std::uint32_t index = 0; index < ShardCount(); ++index) {
      stats.allocations += shards_[index].Allocations(sizeClass);
    }
    stats.liveBlocks += live;
    stats.liveBytes += live * SizeClassBytes(sizeClass);
    stats.slabs += depot.slabs;
    slabsMade += depot.slabsMade;
  }
  stats.frees = above(stats.allocations, stats.liveBlocks);
  // Slabs are blocks of the Recycler too; all its others were asked for by the user.
  const RecyclerStats backing = backing_.Stats();
  stats.slabBytes = stats.slabs * kSlabPayloadBytes;
  stats.allocations += above(backing.allocations, slabsMade);
  stats.frees += above(backing.frees, slabsMade - stats.slabs);
  stats.liveBlocks += above(backing.liveBlocks, stats.slabs);
  stats.liveBytes += above(backing.liveBytes, stats.slabBytes);
  stats.refusals = refusals_.load(std::memory_order_relaxed);
  stats.takenBytes = backing.liveBytes;
  stats.peakBytes = backing.peakBytes;
  stats.carvedBytes = backing.carvedBytes;
  stats.capacityBytes = backing.capacityBytes;
  return stats;
}

// The number of live blocks in the slab: those neither free in it nor at hand anywhere. Looks at no live
// block, which may hold anything.
std::uint64_t SizeClassHeap::CheckSlab(std::uint32_t record) const noexcept {
  const Slab& slab = slabs_[record];
  const unsigned sizeClass = classes_[record].load(std::memory_order_relaxed);
  const std::size_t blocks = kSmall[sizeClass].slabBlocks;
  std::uint64_t notLive[kSlabWords];
  std::copy(std::begin(slab.free), std::end(slab.free), notLive);
  for (std::uint32_t index = 0; index < ShardCount(); ++index) {
    void* const* const stack = shards_[index].Stack(sizeClass);
    const std::uint32_t count = shards_[index].Count(sizeClass);
    for (std::uint32_t each = 0; each < count; ++each) {
      if (UnitOf(stack[each]) / kSlabUnits != record) continue;
      const std::size_t offset = AddressOf(stack[each]) & (kSlabBytes - 1);
      const std::size_t block = offset / kSmall[sizeClass].bytes;
      STADIAL_ASSERT_COMPARE_ALWAYS(block * kSmall[sizeClass].bytes, ==, offset,
                                    "a block at hand starts there");
      STADIAL_ASSERT_COMPARE_ALWAYS(block, <, blocks, "a block at hand is one of its slab");
      STADIAL_ASSERT_COMPARE_ALWAYS(notLive[block / 64] >> (block % 64) & 1, ==, std::uint64_t{0},
                                    "a block is free in its slab or at hand once");
      notLive[block / 64] |= std::uint64_t{1} << (block % 64);
    }
  }
  std::uint64_t freeBlocks = 0;
  std::uint64_t notLiveBlocks = 0;
  for (std::size_t word = 0; word < kSlabWords; ++word) {
    STADIAL_ASSERT_COMPARE_ALWAYS((slab.freeWords >> word & 1u) != 0, ==, slab.free[word] != 0,
                                  "summary of words");
    const std::size_t first = word * 64;
    const std::size_t rest = blocks > first ? blocks - first : 0;
    const std::uint64_t beyond = rest >= 64 ? 0 : ~std::uint64_t{0} << rest;
    STADIAL_ASSERT_COMPARE_ALWAYS(slab.free[word] & beyond, ==, std::uint64_t{0},
                                  "no bit stands beyond the last block");
    freeBlocks += static_cast<std::uint64_t>(std::popcount(slab.free[word]));
    notLiveBlocks += static_cast<std::uint64_t>(std::popcount(notLive[word]));
  }
  STADIAL_ASSERT_COMPARE_ALWAYS(freeBlocks, ==, std::uint64_t{slab.freeBlocks}, "free blocks of a slab");
  std::byte* const base = AtUnit(record * kSlabUnits);
  for (std::size_t block = 0; block < blocks; ++block) {
    if ((notLive[block / 64] >> (block % 64) & 1) == 0) continue;
    std::byte* const memory = base + block * kSmall[sizeClass].bytes;
    const bool isMarked = IsMarked(memory);
    PoisonFresh(memory, sizeof(std::uint64_t));
    STADIAL_ASSERT_ALWAYS(isMarked, "a free block holds its mark: it was written to");
  }
  return blocks - notLiveBlocks;
}

// The ring of slabs with a free block.
void SizeClassHeap::CheckDepot(unsigned sizeClass) const noexcept {
  const Depot& depot = depots_[sizeClass];
  std::uint64_t partialSlabs = 0;
  std::uint64_t emptySlabs = 0;
  std::uint64_t slabs = 0;
  for (std::uint32_t record = 0; record < slabsMax_; ++record) {
    if (classes_[record].load(std::memory_order_relaxed) != sizeClass) continue;
    partialSlabs += slabs_[record].freeBlocks != 0 ? 1u : 0u;
    emptySlabs += slabs_[record].freeBlocks == kSmall[sizeClass].slabBlocks ? 1u : 0u;
    ++slabs;
  }
  std::uint64_t linkedSlabs = 0;
  std::uint32_t each = depot.partial;
  std::uint32_t before = each == kNoSlab ? kNoSlab : slabs_[each].previous;
  while (each != kNoSlab) {
    const Slab& slab = slabs_[each];
    STADIAL_ASSERT_COMPARE_ALWAYS(classes_[each].load(std::memory_order_relaxed), ==, sizeClass,
                                  "a slab hangs in its class");
    STADIAL_ASSERT_COMPARE_ALWAYS(slab.freeBlocks, !=, 0u, "a linked slab has a free block");
    STADIAL_ASSERT_COMPARE_ALWAYS(slab.previous, ==, before, "links are mutual");
    ++linkedSlabs;
    before = each;
    each = slab.next == depot.partial ? kNoSlab : slab.next;
  }
  STADIAL_ASSERT_COMPARE_ALWAYS(linkedSlabs, ==, partialSlabs, "every slab with a free block is linked once");
  STADIAL_ASSERT_COMPARE_ALWAYS(emptySlabs, ==, std::uint64_t{depot.emptySlabs}, "empty slabs");
  STADIAL_ASSERT_COMPARE_ALWAYS(slabs, ==, std::uint64_t{depot.slabs}, "slabs of a class");
}

std::uint64_t SizeClassHeap::CheckIntegrity() const noexcept {
  std::uint64_t liveOfClass[kClasses] = {};
  std::uint64_t slabs = 0;
  for (std::uint32_t record = 0; record < slabsMax_; ++record) {
    const unsigned sizeClass = classes_[record].load(std::memory_order_relaxed);
    if (sizeClass == kNoClass) continue;
    liveOfClass[sizeClass] += CheckSlab(record);
    ++slabs;
  }
  std::uint64_t liveBlocks = 0;
  for (unsigned sizeClass = 0; sizeClass < kClasses; ++sizeClass) {
    const Depot& depot = depots_[sizeClass];
    const std::lock_guard lock(depot.lock);
    CheckDepot(sizeClass);
    for (std::uint32_t index = 0; index < ShardCount(); ++index) {
      STADIAL_ASSERT_COMPARE_ALWAYS(shards_[index].Count(sizeClass), <=, kSmall[sizeClass].StackBlocks(),
                                    "blocks at hand");
    }
    STADIAL_ASSERT_COMPARE_ALWAYS(liveOfClass[sizeClass] + AtHand(sizeClass), ==, depot.handedOut,
                                  "what was handed out is live or at hand");
    liveBlocks += liveOfClass[sizeClass];
  }
  backing_.CheckIntegrity();
  return liveBlocks + backing_.Stats().liveBlocks - slabs;
}

}  // namespace stadial::arenas
