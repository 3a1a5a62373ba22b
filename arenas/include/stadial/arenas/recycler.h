// Recycler: a bounded, thread-safe allocator over one segment, for blocks of any size that are freed in any
// order. Two-level segregated free lists whose free neighbours are merged, so that freed memory of any size
// can serve any later size; in front of them, freed blocks below 8 KiB are set aside by class, unmerged, and
// serve the next request of their class at once: a steady working set keeps its very blocks.
//
// Take a SizeClassHeap (size_class_heap.h) where many small blocks come and go or threads meet: it stands on
// a Recycler and keeps them away from it. A Recycler alone is for large blocks, for memory of less than a
// hundred KiB, and where the size that was asked for must be known exactly.
//
//   segment: | block | block | free | block | ... never carved yet ... |
//   block:   | header 16 B | payload |
//
// Growth:       carves from the committed bytes until they are used up; never asks the system for anything.
// Exhaustion:   Allocate returns nullptr and counts a refusal (also when sealed and the headroom is spent).
// Alignment:    any power of two up to 1 MiB, of the address; 16 at least. The padding in front becomes a
//               free block.
// Destructors:  none run.
// Threads:      every method from any thread; one ShortLock (short_lock.h).
// Invalidation: Free. Blocks never move. The recycler must outlive its blocks, the segment the recycler.
//
// Cost: O(1), measured by bench/arenas/arena_bench and churn_bench; a request that finds no room merges first
// what was set aside (O(blocks set aside)), and Reallocate copies, outside the lock, unless the block is
// large enough.
//
// Waste: a 16 B header, and the request rounded up to a size class: classes are 16 B apart up to 256 B and
// 1/16 of a power of two apart above, so at most 15 B or 6.25 %; up to 31 B more where a remainder is too
// small for a block of its own. Below 25 % of any block of 256 B and more. Requests of one class can always
// use each other's blocks.
//
// Misuse: freeing twice, or freeing what is not a live block of this recycler, is detected by the block's
// header and asserts with the address and what stands there. Payloads are hostile after Free in checked
// builds (poison.h).
#pragma once

#include <cstddef>
#include <cstdint>

#include "stadial/arenas/region.h"
#include "stadial/arenas/short_lock.h"

namespace stadial::arenas {

struct RecyclerStats {
  std::uint64_t liveBlocks = 0;
  std::uint64_t liveBytes = 0;    // as requested
  std::uint64_t allocations = 0;  // successful, since construction
  std::uint64_t frees = 0;
  std::uint64_t refusals = 0;
  std::uint64_t carvedBytes = 0;  // of the segment, headers included; never shrinks
  std::uint64_t peakBytes = 0;    // highest liveBytes
  std::uint64_t freeBytes = 0;    // in free blocks of the carved part, headers included
  std::uint64_t capacityBytes = 0;
  std::uint64_t headroomBytes = 0;  // what may still be carved; all that is left unless sealed
};

class Recycler {
 public:
  // Takes all committed bytes of the segment (at least one page). The name is not copied.
  Recycler(const char* name, Segment& segment) noexcept;
  // The same over any memory of at least 64 bytes.
  Recycler(const char* name, std::byte* base, std::size_t bytes) noexcept;
  Recycler(const Recycler&) = delete;
  Recycler& operator=(const Recycler&) = delete;
  ~Recycler();

  // nullptr when full, sealed without headroom, or when the alignment is no power of two or above 1 MiB.
  // A request of 0 bytes gives a block of its own, of 0 usable bytes.
  [[nodiscard]] void* Allocate(std::size_t sizeBytes, std::size_t alignment = 16) noexcept;
  // As VkAllocationCallbacks wants it: null `memory` allocates, size 0 frees and returns nullptr; on refusal
  // nullptr and the old block stays. Contents are kept up to the smaller size.
  [[nodiscard]] void* Reallocate(void* memory, std::size_t sizeBytes, std::size_t alignment = 16) noexcept;
  // nullptr is fine.
  void Free(void* memory) noexcept;
  // The size asked for.
  std::size_t SizeOf(const void* memory) const noexcept;
  bool Contains(const void* memory) const noexcept {
    return memory >= static_cast<const void*>(base_) && memory < static_cast<const void*>(end_);
  }

  // From now on only recycled blocks are handed out, plus at most `headroomBytes` newly carved; the rest is
  // refused and counted. Drivers are racy by a few blocks per frame in flight: give them headroom.
  void Seal(std::size_t headroomBytes) noexcept;
  void Unseal() noexcept;
  bool IsSealed() const noexcept;

  RecyclerStats Stats() const noexcept;
  const char* Name() const noexcept { return name_; }
  // Merges now what Free set aside. Allocate does it by itself when it needs room.
  void Compact() noexcept;
  // Walks every block and checks all invariants, asserting on the first that does not hold; returns the
  // number of blocks. O(blocks), under the lock: for tests and audits.
  std::uint64_t CheckIntegrity() const noexcept;

  static constexpr std::size_t kAlignmentMax = std::size_t{1} << 20;

 private:
  struct Header;
  struct FreeLinks;
  static constexpr unsigned kSecondLevelBits = 4;  // classes per power of two: 16
  static constexpr unsigned kSecondLevels = 1u << kSecondLevelBits;
  static constexpr unsigned kFirstLevels = 33 - kSecondLevelBits;  // block sizes are 32-bit counts of 16 B

  static constexpr unsigned kQuickLevels = 6;
  static constexpr unsigned kQuickClasses = kQuickLevels * kSecondLevels;
  static constexpr std::uint32_t kQuickUnitsMax =
      (kSecondLevels << (kQuickLevels - 1)) - 1;  // just below 8 KiB

  struct SizeClass {
    unsigned first;
    unsigned second;
  };
  // Blocks set aside are kept apart by the alignment they happen to have: 16 B, 32 B, ... 4 KiB and above.
  // Each request takes the least aligned one that will do, so an equal set of requests, in any order, finds
  // them again.
  static constexpr unsigned kQuickAlignments = 9;
  static constexpr unsigned QuickClass(SizeClass sizeClass) noexcept {
    return sizeClass.first * kSecondLevels + sizeClass.second;
  }
  static unsigned QuickAlignment(std::uintptr_t addressOrAlignment) noexcept;
  static SizeClass ClassOf(std::uint32_t units) noexcept;
  Header* At(std::uint32_t unit) const noexcept;
  std::uint32_t UnitOf(const Header* header) const noexcept;
  Header* LiveHeader(const void* memory, const char* operation) const noexcept;
  [[noreturn]] void Misuse(const void* memory, const char* operation, const char* what) const noexcept;

  static std::uint32_t UnitsFor(std::size_t sizeBytes) noexcept;
  Header* NextOf(const Header* header) const noexcept;
  Header* NewHeader(std::uint32_t unit, std::uint32_t units, std::uint32_t previousUnits) noexcept;
  void SetUnits(Header* header, std::uint32_t units) noexcept;
  bool IsFree(const Header* header) const noexcept;

  void LinkFree(Header* header) noexcept;
  void UnlinkFree(Header* header) noexcept;
  bool NextClassInUse(SizeClass& from) const noexcept;
  std::uint32_t PaddingUnits(std::uint32_t unit, std::size_t alignment) const noexcept;
  Header* FindRecycled(std::uint32_t units, std::size_t alignment) const noexcept;
  Header* TakeRecycled(std::uint32_t units, std::size_t alignment) noexcept;
  Header* Carve(std::uint32_t units, std::size_t alignment) noexcept;
  Header* CutToFit(Header* header, std::uint32_t units, std::size_t alignment) noexcept;
  void SplitTail(Header* header, std::uint32_t units) noexcept;
  void MergeAndLink(Header* header) noexcept;
  Header* FindRoom(std::uint32_t units, std::size_t alignment) noexcept;
  void PushQuick(Header* header) noexcept;
  Header* PopQuick(std::uint32_t units, std::size_t alignment) noexcept;
  void MergeQuick() noexcept;
  void* AllocateLocked(std::size_t sizeBytes, std::size_t alignment) noexcept;

  const char* name_;
  std::byte* base_ = nullptr;
  std::byte* end_ = nullptr;
  std::uint32_t unitCount_ = 0;
  std::uint32_t carvedUnits_ = 0;  // blocks cover [0, carvedUnits_)
  std::uint32_t lastUnit_ = 0;     // the last block's first unit, when carvedUnits_ != 0
  std::uint32_t headroomUnits_ = 0;
  bool sealed_ = false;
  std::uint32_t firstLevelMap_ = 0;
  std::uint16_t secondLevelMap_[kFirstLevels] = {};
  std::uint32_t heads_[kFirstLevels][kSecondLevels];
  std::uint16_t quickMap_[kQuickClasses] = {};
  std::uint32_t quickHeads_[kQuickClasses][kQuickAlignments];
  std::uint32_t quickUnits_ = 0;
  RecyclerStats stats_;
  mutable ShortLock lock_;
};

}  // namespace stadial::arenas
