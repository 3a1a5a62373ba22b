// The records of a SizeClassHeap, shared by its operations and its integrity check.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "stadial/arenas/size_class_heap.h"

namespace stadial::arenas {

inline constexpr std::uint32_t kNoSlab = std::numeric_limits<std::uint32_t>::max();
// The Recycler's header of the next block stands in a slab's last bytes, so that slabs lie side by side.
inline constexpr std::size_t kSlabPayloadBytes = SizeClassHeap::kSlabBytes - 16;
inline constexpr std::size_t kSlabBlocksMax = kSlabPayloadBytes / kSizeClassGranularityBytes;
inline constexpr std::size_t kSlabWords = (kSlabBlocksMax + 63) / 64;
// A block as one number: the record of its slab, and its position there.
inline constexpr unsigned kBlockIndexBits = 11;
static_assert(kSlabBlocksMax <= (std::size_t{1} << kBlockIndexBits));
// Of each class a shard keeps up to so many freed blocks at hand, and hands the newest out first. Half of
// them go to or come from the slabs at once, which is where the branches are that cannot be predicted.
inline constexpr std::uint32_t kReadyMax = 32;

// One kSlabBytes of the memory. The tag is 0 while it is no slab; else it names shard and class, and only
// under the lock of that shard may it change, or the rest be touched.
struct alignas(64) SizeClassHeap::Slab {
  std::atomic<std::uint32_t> tag{0};
  std::uint32_t freeBlocks = 0;
  std::uint32_t blockCount = 0;
  std::uint32_t next = kNoSlab;  // in the ring of the slabs of its shard and class that have a free block
  std::uint32_t previous = kNoSlab;
  std::uint32_t freeWords = 0;  // bit w: free[w] is not 0
  std::uint64_t free[kSlabWords] = {};
  std::uint64_t live[kSlabWords] = {};  // blocks at hand in the shard are neither live nor free

  static constexpr std::uint32_t MakeTag(std::uint32_t shard, unsigned sizeClass) noexcept {
    return (shard + 1) << 8 | sizeClass;
  }
  static constexpr std::uint32_t ShardOf(std::uint32_t tag) noexcept { return (tag >> 8) - 1; }
  static constexpr unsigned ClassOf(std::uint32_t tag) noexcept { return tag & 0xff; }
  bool IsEmpty() const noexcept { return freeBlocks == blockCount; }
};

// Taking it is one atomic exchange and giving it back a plain store, half of what a std::mutex costs. It is
// held for some ten nanoseconds, so waiting is spinning; only when its holder was preempted does a waiter
// sleep, which lets a holder of lower priority run.
class ShardLock {
 public:
  void lock() noexcept {
    if (taken_.exchange(true, std::memory_order_acquire)) [[unlikely]]
      Wait();
  }
  void unlock() noexcept { taken_.store(false, std::memory_order_release); }
  // For heaps of one thread, which take no lock: only in checked builds, to notice a second thread.
  void Enter() noexcept {
    STADIAL_ASSERT_FULL(!taken_.exchange(true, std::memory_order_acquire),
                        "two threads are inside a heap made with oneThread");
  }
  void Leave() noexcept {
#if STADIAL_ASSERT_LEVEL >= 2
    unlock();
#endif
  }

 private:
  void Wait() noexcept;
  std::atomic<bool> taken_{false};
};

// Cache lines of its own, so that threads on different shards share none.
struct alignas(128) SizeClassHeap::Shard {
  std::uint64_t LiveBlocks(unsigned sizeClass) const noexcept {
    return handedOut[sizeClass] - readyCount[sizeClass];
  }

  mutable ShardLock lock;
  std::uint32_t partial[kClasses];  // first of the slabs with a free block, which hang in a ring
  std::uint8_t emptySlabs[kClasses] = {};
  std::uint8_t readyCount[kClasses] = {};
  std::uint64_t slabs = 0;
  std::uint64_t slabsMade = 0;
  std::uint64_t allocations =
      0;  // the one count kept on the hot path; frees and bytes follow from the others
  std::uint32_t handedOut[kClasses] = {};    // blocks live or at hand
  std::uint32_t ready[kClasses][kReadyMax];  // blocks at hand, the newest last
};

class SizeClassHeap::ShardGuard {
 public:
  ShardGuard(const Shard& shard, bool oneThread) noexcept : lock_(shard.lock), oneThread_(oneThread) {
    if (oneThread_) {
      lock_.Enter();
    } else {
      lock_.lock();
    }
  }
  ~ShardGuard() {
    if (oneThread_) {
      lock_.Leave();
    } else {
      lock_.unlock();
    }
  }
  ShardGuard(const ShardGuard&) = delete;
  ShardGuard& operator=(const ShardGuard&) = delete;

 private:
  ShardLock& lock_;
  bool oneThread_;
};

}  // namespace stadial::arenas
