// SizeClassHeap: a general heap in one segment, for libraries that allocate and free in any order, from any
// thread, with any lifetime: script engines, image and JSON libraries, middleware.
//
//   | this, shards, slab records | slab 32 KiB | large block | slab | large block | ... not used yet ... |
//
// It stands on a Recycler, which does what is hard in a bounded heap: split, merge, align, refuse, notice
// misuse. What a Recycler lacks for many small blocks stands in front of it. Requests up to 1 KiB come from
// slabs of equal blocks without a header (the Recycler's 16 B would double a block of 16 B), and the slabs
// are divided among shards with a lock each, so that threads do not meet at one mutex. Which blocks are free
// is written in bitmaps apart from the blocks: an overrun or a stale pointer cannot damage the heap, and
// freed blocks are hostile to their last byte.
//
// Growth:       within its memory only; never asks the system for anything after Create.
// Exhaustion:   TryAllocate and TryReallocate return nullptr and count a refusal; Allocate prints what was
//               asked, what is left and what to raise, and aborts. Slabs kept empty are used up first.
// Alignment:    any power of two up to 1 MiB, of the address; 16 at least.
// Destructors:  none run; Close tells how many blocks are still live.
// Threads:      all but Create and Close from any; a block may be freed by a thread that did not take it.
// Invalidation: Free, TryReallocate when it moves, Close.
//
// Cost: O(1), measured beside the Recycler and the process's heaps by bench/arenas/churn_bench. A small block
// takes the lock of its shard, once.
//
// Waste: rounding to a size class (size_class.h), 2 % for the records, and up to one empty slab and 32 blocks
// kept per class and shard, so that use around a boundary does not make and drop slabs; Trim flushes them.
//
// Misuse: a double free, an address inside a block and a foreign pointer abort with the heap's name. A block
// freed twice is noticed until it is handed out again.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "stadial/arenas/recycler.h"
#include "stadial/arenas/region.h"
#include "stadial/arenas/result.h"
#include "stadial/arenas/size_class.h"
#include "stadial/arenas/size_literals.h"

namespace stadial::arenas {

struct SizeClassHeapOptions {
  const char* name = "unnamed";  // not copied
  // Threads are spread over the shards in the order of their first call. As many as there are threads that
  // use the heap at once; 1 for a library on one thread. At most kShardsMax.
  std::uint32_t shards = 4;
  // Promises that no two threads are ever inside the heap at once, as with a script engine of one thread:
  // small blocks then take no lock. Checked builds abort when they meet a second thread inside.
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
  std::uint64_t slabBytes = 0;   // all slabs, used or not
  std::uint64_t takenBytes = 0;  // slabs and large blocks
  std::uint64_t peakBytes = 0;   // highest takenBytes
  std::uint64_t capacityBytes = 0;
};

class SizeClassHeap {
 public:
  static constexpr std::size_t kSlabBytes = 32_KiB;
  static constexpr std::size_t kSmallBytesMax = 1_KiB;
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
  [[nodiscard]] void* TryAllocate(std::size_t sizeBytes, std::size_t alignment = 16) noexcept;
  // The same, never nullptr.
  [[nodiscard, gnu::returns_nonnull]] void* Allocate(std::size_t sizeBytes,
                                                     std::size_t alignment = 16) noexcept;
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
  // Recycler::Seal.
  void Seal(std::size_t headroomBytes) noexcept { backing_.Seal(headroomBytes); }
  void Unseal() noexcept { backing_.Unseal(); }
  bool IsSealed() const noexcept { return backing_.IsSealed(); }

  // Gives the slabs that stand empty back for other sizes. O(slabs). Allocations that find no room do it.
  void Trim() noexcept;

  // Exact while no other thread is inside. O(shards).
  SizeClassHeapStats Stats() const noexcept;
  const char* Name() const noexcept { return name_; }
  // Checks all invariants of slabs and blocks, asserting on the first that does not hold; returns the number
  // of live blocks. O(memory), under the locks: for tests and audits.
  std::uint64_t CheckIntegrity() const noexcept;

  SizeClassHeap(const SizeClassHeap&) = delete;
  SizeClassHeap& operator=(const SizeClassHeap&) = delete;

 private:
  struct Slab;
  struct Shard;
  class ShardGuard;
  static constexpr unsigned kClasses = SizeClassOf(kSmallBytesMax) + 1;

  struct Layout;
  SizeClassHeap(const SizeClassHeapOptions& options, const Layout& layout) noexcept;
  ~SizeClassHeap() = default;

  std::uint32_t RecordOf(const void* memory) const noexcept;
  std::byte* BaseOf(const Slab& slab) const noexcept;
  Shard& ShardOfThread() const noexcept;
  void Link(Shard& shard, unsigned sizeClass, Slab& slab) noexcept;
  void Unlink(Shard& shard, unsigned sizeClass, Slab& slab) noexcept;
  Slab* MakeSlab(Shard& shard, unsigned sizeClass) noexcept;
  void DropSlab(Shard& shard, unsigned sizeClass, Slab& slab) noexcept;
  bool Refill(Shard& shard, unsigned sizeClass) noexcept;
  void GiveToSlab(Shard& shard, unsigned sizeClass, std::uint32_t block) noexcept;
  void FlushReady(Shard& shard, unsigned sizeClass, std::uint32_t count) noexcept;
  std::size_t IndexOfLive(const Slab& slab, std::uint32_t tag, const void* memory,
                          const char* operation) const noexcept;
  std::size_t SmallBytes(const Slab& slab, std::uint32_t tag, const void* memory,
                         const char* operation) const noexcept;
  void* AllocateSmall(unsigned sizeClass, std::size_t sizeBytes) noexcept;
  void* AllocateUncounted(std::size_t sizeBytes, std::size_t alignment) noexcept;
  void* ReallocateLarge(void* memory, std::size_t sizeBytes, std::size_t alignment) noexcept;
  std::uint64_t CheckSlab(const Slab& slab) const noexcept;
  [[noreturn, gnu::cold]] void Misuse(const void* memory, const char* operation,
                                      const char* what) const noexcept;
  [[noreturn, gnu::cold]] void Exhausted(std::size_t sizeBytes, std::size_t alignment) const noexcept;

  const char* name_;
  const char* remedy_;
  std::byte* base_;  // of the memory it was given, to end_
  std::byte* end_;
  std::byte* firstSlab_;  // where slab record 0 lies, or would: at a multiple of kSlabBytes
  Slab* slabs_;           // one record for every kSlabBytes of the memory, in use or not
  std::uint32_t slabsMax_;
  std::uint32_t shardCount_;
  bool oneThread_;
  Shard* shards_;
  std::atomic<std::uint64_t> refusals_{0};
  Recycler backing_;
};

}  // namespace stadial::arenas
