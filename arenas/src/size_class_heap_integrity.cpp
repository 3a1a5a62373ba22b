#include <bit>

#include "size_class_slab.h"

namespace stadial::arenas {

SizeClassHeapStats SizeClassHeap::Stats() const noexcept {
  SizeClassHeapStats stats;
  std::uint64_t slabsMade = 0;
  for (std::uint32_t index = 0; index < shardCount_; ++index) {
    const Shard& shard = shards_[index];
    const ShardGuard guard(shard, oneThread_);
    stats.allocations += shard.allocations;
    std::uint64_t shardBlocks = 0;
    for (unsigned sizeClass = 0; sizeClass < kClasses; ++sizeClass) {
      shardBlocks += shard.LiveBlocks(sizeClass);
      stats.liveBytes += shard.LiveBlocks(sizeClass) * SizeClassBytes(sizeClass);
    }
    stats.frees += shard.allocations - shardBlocks;
    stats.slabs += shard.slabs;
    slabsMade += shard.slabsMade;
  }
  // Slabs are blocks of the Recycler too; all its others were asked for by the user.
  const RecyclerStats backing = backing_.Stats();
  const auto above = [](std::uint64_t value, std::uint64_t part) { return value > part ? value - part : 0; };
  stats.slabBytes = stats.slabs * kSlabPayloadBytes;
  stats.allocations += above(backing.allocations, slabsMade);
  stats.frees += above(backing.frees, slabsMade - stats.slabs);
  stats.liveBytes += above(backing.liveBytes, stats.slabBytes);
  stats.liveBlocks = above(stats.allocations, stats.frees);
  stats.refusals = refusals_.load(std::memory_order_relaxed);
  stats.takenBytes = backing.liveBytes;
  stats.peakBytes = backing.peakBytes;
  stats.capacityBytes = backing.capacityBytes;
  return stats;
}

// The number of live blocks in the slab. Under the lock of its shard.
std::uint64_t SizeClassHeap::CheckSlab(const Slab& slab) const noexcept {
  std::uint64_t freeBlocks = 0;
  std::uint64_t liveBlocks = 0;
  for (std::size_t word = 0; word < kSlabWords; ++word) {
    STADIAL_ASSERT_COMPARE_ALWAYS((slab.freeWords >> word & 1u) != 0, ==, slab.free[word] != 0,
                                  "summary of words");
    freeBlocks += static_cast<std::uint64_t>(std::popcount(slab.free[word]));
    liveBlocks += static_cast<std::uint64_t>(std::popcount(slab.live[word]));
    STADIAL_ASSERT_COMPARE_ALWAYS(slab.free[word] & slab.live[word], ==, std::uint64_t{0}, "free or live");
    const std::size_t first = word * 64;
    const std::size_t blocks = slab.blockCount > first ? slab.blockCount - first : 0;
    const std::uint64_t beyond = blocks >= 64 ? 0 : ~std::uint64_t{0} << blocks;
    STADIAL_ASSERT_COMPARE_ALWAYS((slab.free[word] | slab.live[word]) & beyond, ==, std::uint64_t{0},
                                  "no bit stands beyond the last block");
  }
  STADIAL_ASSERT_COMPARE_ALWAYS(freeBlocks, ==, std::uint64_t{slab.freeBlocks}, "free blocks of a slab");
  return liveBlocks;
}

std::uint64_t SizeClassHeap::CheckIntegrity() const noexcept {
  std::uint64_t liveBlocks = 0;
  std::uint64_t slabs = 0;
  for (std::uint32_t index = 0; index < shardCount_; ++index) {
    const Shard& shard = shards_[index];
    const ShardGuard guard(shard, oneThread_);
    std::uint64_t shardBlocks = 0;
    std::uint64_t shardSlabs = 0;
    std::uint64_t partialSlabs = 0;
    std::uint64_t emptySlabs[kClasses] = {};
    std::uint64_t readyBlocks[kClasses] = {};
    std::uint64_t classBlocks[kClasses] = {};
    for (std::uint32_t record = 0; record < slabsMax_; ++record) {
      const Slab& slab = slabs_[record];
      const std::uint32_t tag = slab.tag.load(std::memory_order_relaxed);
      if (tag == 0 || Slab::ShardOf(tag) != index) continue;
      const std::uint64_t live = CheckSlab(slab);
      shardBlocks += live;
      readyBlocks[Slab::ClassOf(tag)] += slab.blockCount - slab.freeBlocks - live;
      classBlocks[Slab::ClassOf(tag)] += live;
      partialSlabs += slab.freeBlocks != 0 ? 1u : 0u;
      emptySlabs[Slab::ClassOf(tag)] += slab.IsEmpty() ? 1u : 0u;
      ++shardSlabs;
    }
    for (unsigned sizeClass = 0; sizeClass < kClasses; ++sizeClass) {
      STADIAL_ASSERT_COMPARE_ALWAYS(readyBlocks[sizeClass], ==, std::uint64_t{shard.readyCount[sizeClass]},
                                    "what is neither free nor live is at hand");
      STADIAL_ASSERT_COMPARE_ALWAYS(classBlocks[sizeClass], ==, shard.LiveBlocks(sizeClass),
                                    "live blocks of a class");
      const std::uint32_t first = shard.partial[sizeClass];
      std::uint32_t each = first;
      std::uint32_t before = first == kNoSlab ? kNoSlab : slabs_[first].previous;
      while (each != kNoSlab) {
        const Slab& slab = slabs_[each];
        STADIAL_ASSERT_COMPARE_ALWAYS(slab.tag.load(std::memory_order_relaxed), ==,
                                      Slab::MakeTag(index, sizeClass), "a slab hangs in its shard and class");
        STADIAL_ASSERT_COMPARE_ALWAYS(slab.freeBlocks, !=, 0u, "a linked slab has a free block");
        STADIAL_ASSERT_COMPARE_ALWAYS(slab.previous, ==, before, "links are mutual");
        --partialSlabs;
        before = each;
        each = slab.next == first ? kNoSlab : slab.next;
      }
      STADIAL_ASSERT_COMPARE_ALWAYS(emptySlabs[sizeClass], ==, std::uint64_t{shard.emptySlabs[sizeClass]},
                                    "empty slabs");
    }
    STADIAL_ASSERT_COMPARE_ALWAYS(partialSlabs, ==, std::uint64_t{0},
                                  "every slab with a free block is linked once");
    STADIAL_ASSERT_COMPARE_ALWAYS(shardSlabs, ==, shard.slabs, "slabs of a shard");
    liveBlocks += shardBlocks;
    slabs += shardSlabs;
  }
  backing_.CheckIntegrity();
  return liveBlocks + backing_.Stats().liveBlocks - slabs;
}

}  // namespace stadial::arenas
