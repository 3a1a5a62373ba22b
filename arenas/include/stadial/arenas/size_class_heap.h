// SizeClassHeap: a general heap in one segment, for libraries that allocate and free in any order, from any
// thread, with any lifetime: script engines, image and JSON libraries, middleware, Vulkan drivers.
//
//   | this, shards, slab records | slab 32 KiB | large block | slab | large block | ... not used yet ... |
//
//   thread -> its shard: of each class a stack of free blocks      no lock, no atomic instruction
//          -> depot of the class: slabs and what is free in them   a lock, for half a stack at once
//          -> Recycler: slabs, and blocks above 4 KiB              a lock
//
// Most calls end at the first step: Allocate pops, Free pushes, whoever took the block. Blocks have no
// header: a table says what class lives in each 32 KiB of the memory, and what is free stands in the stacks
// and in bitmaps, apart from the blocks. The Recycler below does what is hard in a bounded heap: split,
// merge, align.
//
// Growth:       within its memory only; never asks the system for anything after Create.
// Exhaustion:   TryAllocate and TryReallocate return nullptr and count a refusal; Allocate prints what was
//               asked, what is left and what to raise, and aborts. Slabs kept empty are used up first.
// Alignment:    any power of two up to 1 MiB, of the address; 16 at least.
// Destructors:  none run; Close tells how many blocks are still live.
// Threads:      all but Create, Close and CheckIntegrity from any; a block may be freed by a thread that did
//               not take it. The first threads to come get shards of their own and keep them, by ThreadSlot
//               (thread_slot.h), so that a thread that starts later inherits that of one that ended; further
//               threads share others, with a lock.
// Invalidation: Free, TryReallocate when it moves, Close.
//
// Cost: O(1), measured beside the Recycler and the process's heaps by bench/arenas/churn_bench and trace.
//
// Waste: rounding to a size class (size_class.h); 1 % for the records; with each shard up to 256 blocks and
// 16 KiB of each class, and the slabs that these lie in; of each class one empty slab, and a quarter as many
// as are in use. Trim, and an allocation that finds no room, take back the slabs, and what the calling thread
// and the shared shards have at hand; what another thread has at hand stays its own.
//
// Misuse. Small blocks: the first word of a free block holds a mark made of its address. In every build
//   Free, TryReallocate, UsableSize of an address inside a block or foreign to the heap abort at once;
//   of a block that is free, too, unless its first word was written to meanwhile;
//   handing out a block whose mark is gone aborts: it was written to after it was freed, or freed twice.
// With full assertions any byte written after Free is noticed so, and oneThread is checked. Large blocks: as
// recycler.h says. No other write can damage the records of the heap, unless it hits them themselves.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "stadial/arenas/recycler.h"
#include "stadial/arenas/region.h"
#include "stadial/arenas/result.h"
#include "stadial/arenas/short_lock.h"
#include "stadial/arenas/size_class.h"
#include "stadial/arenas/size_literals.h"
#include "stadial/arenas/thread_slot.h"

namespace stadial::arenas {

struct SizeClassHeapOptions {
  const char* name = "unnamed";  // not copied
  // So many threads get a shard of their own, and a quarter as many shards are shared by the others. As many
  // as there are threads that use the heap much; 1 for a library on one thread. At most kShardsMax.
  std::uint32_t shards = 4;
  // Promises that no two threads are ever inside the heap at once, as with a script engine of one thread:
  // there is one shard then, whatever thread calls. Checked builds abort when they meet a second one inside.
  bool oneThread = false;
  const char* remedy = "raise the segment it lives in";  // ends the exhaustion message; not copied
};

struct SizeClassHeapStats {
  std::uint64_t liveBlocks = 0;
  std::uint64_t liveBytes = 0;    // small blocks as rounded to their class, others as requested
  std::uint64_t allocations = 0;  // successful, since Create
  std::uint64_t frees = 0;
  std::uint64_t refusals = 0;
  std::uint64_t slabs = 0;
  std::uint64_t slabBytes = 0;    // all slabs, used or not
  std::uint64_t takenBytes = 0;   // slabs and large blocks
  std::uint64_t peakBytes = 0;    // highest takenBytes
  std::uint64_t carvedBytes = 0;  // of the memory, used at least once; never shrinks
  std::uint64_t capacityBytes = 0;
};

class SizeClassHeap {
 public:
  static constexpr std::size_t kSlabBytes = 32_KiB;
  static constexpr std::size_t kSmallBytesMax = 4_KiB;
  static constexpr std::size_t kAlignmentMax = Recycler::kAlignmentMax;
  static constexpr std::size_t kMemoryBytesMin = 4 * kSlabBytes;
  static constexpr std::uint32_t kShardsMax = 64;

  // Takes all committed bytes of the segment; the heap's own record is the first of them.
  // Errors: InvalidArgument for less than kMemoryBytesMin, no shards or too many, or a segment that is not
  // writable.
  static Result<SizeClassHeap*> Create(const SizeClassHeapOptions& options, Segment& segment);
  // The same over any memory.
  static Result<SizeClassHeap*> Create(const SizeClassHeapOptions& options, std::byte* base,
                                       std::size_t sizeBytes);
  // Ends the heap; the memory is the owner's again. Returns the number of blocks that were still live: leaks,
  // if not intended. Nothing of the heap may be used afterwards. Not needed when the memory just goes away.
  std::size_t Close() noexcept;

  // nullptr when full, sealed without headroom, or when the alignment is no power of two or above
  // kAlignmentMax; any size is safe. A request of 0 bytes gives a block of its own.
  [[nodiscard]] void* TryAllocate(std::size_t sizeBytes, std::size_t alignment = 16) noexcept {
    return IsPlain(alignment) ? TryAllocatePlain(sizeBytes) : TryAllocateAligned(sizeBytes, alignment);
  }
  // The same, never nullptr.
  [[nodiscard, gnu::returns_nonnull]] void* Allocate(std::size_t sizeBytes,
                                                     std::size_t alignment = 16) noexcept {
    void* const memory = TryAllocate(sizeBytes, alignment);
    if (memory == nullptr) [[unlikely]]
      Exhausted(sizeBytes, alignment);
    return memory;
  }
  // Null `memory` allocates; size 0 frees and returns nullptr; on refusal nullptr, and the old block stays.
  // Contents are kept up to the smaller size. A block that shrinks and need not be aligned anew is never
  // refused.
  [[nodiscard]] void* TryReallocate(void* memory, std::size_t sizeBytes, std::size_t alignment = 16) noexcept;
  // nullptr is fine.
  void Free(void* memory) noexcept;
  // At least what was asked for; all of it may be used from now on, up to the next TryReallocate.
  std::size_t UsableSize(const void* memory) const noexcept;
  bool Contains(const void* memory) const noexcept {
    return memory >= static_cast<const void*>(base_) && memory < static_cast<const void*>(end_);
  }

  // From now on only memory that was in use before is handed out, plus at most `headroomBytes`; see
  // Recycler::Seal. A class that needs a slab takes 32 KiB of it at once, while there are so many.
  void Seal(std::size_t headroomBytes) noexcept { backing_.Seal(headroomBytes); }
  void Unseal() noexcept { backing_.Unseal(); }
  bool IsSealed() const noexcept { return backing_.IsSealed(); }

  // Gives the slabs that stand empty back for other sizes. O(slabs). Allocations that find no room do it.
  void Trim() noexcept;

  // Exact while no other thread is inside. O(shards).
  SizeClassHeapStats Stats() const noexcept;
  const char* Name() const noexcept { return name_; }
  // Checks all invariants of slabs and blocks, asserting on the first that does not hold; returns the number
  // of live blocks. O(memory); no other thread may be inside: for tests and audits.
  std::uint64_t CheckIntegrity() const noexcept;

  SizeClassHeap(const SizeClassHeap&) = delete;
  SizeClassHeap& operator=(const SizeClassHeap&) = delete;

 private:
  struct Slab;
  struct Shard;
  struct Depot;
  class ShardGuard;
  class OneThreadGuard;
  static constexpr unsigned kClasses = SizeClassOf(kSmallBytesMax) + 1;

  // Nothing can be popped from it nor pushed to it.
  static Shard closedShard_;

  struct Layout;
  SizeClassHeap(const SizeClassHeapOptions& options, const Layout& layout) noexcept;
  ~SizeClassHeap() = default;

  // What every block has: 1, 2, 4, 8, 16.
  static constexpr bool IsPlain(std::size_t alignment) noexcept {
    return alignment <= 16 && (0x10116u >> alignment & 1u) != 0;
  }
  void* TryAllocatePlain(std::size_t sizeBytes) noexcept;
  void* TryAllocateAligned(std::size_t sizeBytes, std::size_t alignment) noexcept;

  std::uint32_t ShardCount() const noexcept { return ownShards_ + sharedShards_; }
  std::uint32_t UnitOf(const void* memory) const noexcept;
  std::byte* AtUnit(std::uint32_t unit) const noexcept;
  Shard& ShardOfThread() noexcept;
  unsigned ClassAt(const void* memory) const noexcept;
  unsigned CheckLive(const void* memory, const char* operation) const noexcept;

  void Link(unsigned sizeClass, Slab& slab) noexcept;
  void Unlink(unsigned sizeClass, Slab& slab) noexcept;
  Slab* MakeSlab(unsigned sizeClass) noexcept;
  void DropSlab(unsigned sizeClass, Slab& slab) noexcept;
  void GiveToSlab(unsigned sizeClass, Slab& slab, std::uint32_t word, std::uint64_t bits) noexcept;
  void GiveToSlabs(unsigned sizeClass, void* const* blocks, std::uint32_t count) noexcept;
  std::uint32_t TakeFromSlab(unsigned sizeClass, void** blocks, std::uint32_t count) noexcept;
  bool Refill(Shard& shard, unsigned sizeClass) noexcept;
  void Flush(Shard& shard, unsigned sizeClass, std::uint32_t count) noexcept;
  void FlushAll(Shard& shard) noexcept;

  void* Pop(Shard& shard, unsigned sizeClass, std::size_t sizeBytes) noexcept;
  bool Push(Shard& shard, unsigned sizeClass, void* memory) noexcept;
  void* AllocateSmall(unsigned sizeClass, std::size_t sizeBytes) noexcept;
  void* AllocateSlow(std::size_t sizeBytes, std::size_t alignment) noexcept;
  void* TryAllocateSlow(std::size_t sizeBytes, std::size_t alignment) noexcept;
  void* ReallocateLarge(void* memory, std::size_t sizeBytes, std::size_t alignment) noexcept;
  void FreeSlow(void* memory) noexcept;
  std::uint64_t CheckSlab(std::uint32_t record) const noexcept;
  void CheckDepot(unsigned sizeClass) const noexcept;
  std::uint64_t AtHand(unsigned sizeClass) const noexcept;
  [[noreturn, gnu::cold]] void Misuse(const void* memory, const char* operation,
                                      const char* what) const noexcept;
  [[noreturn, gnu::cold]] void Exhausted(std::size_t sizeBytes, std::size_t alignment) const noexcept;

  // For each value of PeekThreadSlot that thread's own shard; closedShard_ where it has none, or has not
  // claimed one yet. An entry belongs to its thread.
  Shard* ownShardOf_[kThreadSlotValues];
  std::byte* firstSlab_;                // where slab record 0 lies, or would: at a multiple of kSlabBytes
  std::atomic<std::uint8_t>* classes_;  // what lives in each kSlabBytes of the memory
  std::size_t slabsMax_;
  std::uint32_t ownShards_;
  std::uint32_t sharedShards_;  // behind the own ones
  bool oneThread_;
  Slab* slabs_;  // one record for every kSlabBytes of the memory, in use or not
  Shard* shards_;
  Depot* depots_;    // one for each class
  std::byte* base_;  // of the memory it was given, to end_
  std::byte* end_;
  const char* name_;
  const char* remedy_;
  std::atomic<std::uint32_t> shardsClaimed_{0};
  std::atomic<std::uint64_t> refusals_{0};
  mutable ShortLock inside_;  // of oneThread in checked builds
  Recycler backing_;
};

}  // namespace stadial::arenas
