#include "stadial/arenas/size_class_heap.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "size_class_slab.h"
#include "stadial/arenas/byte_text.h"

namespace stadial::arenas {
namespace {

constexpr bool IsPowerOfTwo(std::size_t value) noexcept { return std::has_single_bit(value); }

unsigned ClassOfBytes(std::size_t sizeBytes) noexcept {
  return kClassOfUnits[(sizeBytes + kSizeClassGranularityBytes - 1) / kSizeClassGranularityBytes];
}

// Never in kNoClass.
bool IsBlockStart(const void* memory, const SmallClass& small) noexcept {
  const std::size_t offset = AddressOf(memory) & (SizeClassHeap::kSlabBytes - 1);
  const auto fraction = static_cast<std::uint32_t>(offset * std::uint64_t{small.reciprocal});
  return fraction < small.reciprocal && offset <= small.lastOffset;
}

// A block that nobody may have written to since it was freed.
bool IsUntouched([[maybe_unused]] const void* memory, [[maybe_unused]] std::size_t blockBytes) noexcept {
#if STADIAL_ASSERT_LEVEL >= 2
  LiftPoison(memory, blockBytes);
  const auto* const bytes = static_cast<const unsigned char*>(memory);
  const bool isUntouched = std::all_of(bytes + sizeof(std::uint64_t), bytes + blockBytes,
                                       [](unsigned char byte) { return byte == kPoisonByte; });
  PoisonFresh(const_cast<void*>(memory), blockBytes);
  return isUntouched;
#else
  return true;
#endif
}

}  // namespace

// --- blocks and their shards ---

// The calling thread's own shard, claimed by its first call, or the one it shares.
SizeClassHeap::Shard& SizeClassHeap::ShardOfThread() noexcept {
  if (Shard* const own = ownShardOf_[PeekThreadSlot()]; own != &closedShard_) return *own;
  const std::uint32_t slot = ThreadSlot();
  if (slot != kNoThreadSlot && shardsClaimed_.load(std::memory_order_relaxed) < ownShards_) {
    const std::uint32_t claimed = shardsClaimed_.fetch_add(1, std::memory_order_relaxed);
    if (claimed < ownShards_) return *(ownShardOf_[slot] = shards_ + claimed);
  }
  return shards_[ownShards_ + slot % sharedShards_];
}

// The class of the slab that `memory` lies in; kNoClass where there is none.
inline unsigned SizeClassHeap::ClassAt(const void* memory) const noexcept {
  const std::uintptr_t record = (AddressOf(memory) - AddressOf(firstSlab_)) / kSlabBytes;
  return record < slabsMax_ ? classes_[record].load(std::memory_order_relaxed) : kNoClass;
}

// The class of a live small block, kNoClass for what the Recycler must know; aborts for all other addresses.
unsigned SizeClassHeap::CheckLive(const void* memory, const char* operation) const noexcept {
  if (!Contains(memory)) Misuse(memory, operation, "it does not lie in this heap (foreign pointer)");
  const unsigned sizeClass = ClassAt(memory);
  if (sizeClass == kNoClass) return kNoClass;
  if (!IsBlockStart(memory, kSmall[sizeClass])) Misuse(memory, operation, "no block starts there");
  if (IsMarked(memory)) {
    Misuse(memory, operation, "no block is live there (double free, or never handed out)");
  }
  return sizeClass;
}

// nullptr when the stack is empty.
inline void* SizeClassHeap::Pop(Shard& shard, unsigned sizeClass, std::size_t sizeBytes) noexcept {
  const std::uint64_t word = shard.words[sizeClass].load(std::memory_order_relaxed);
  void* const memory = shard.places[(word & Shard::kPlaceMask) - 1];
  if (memory == nullptr) [[unlikely]]
    return nullptr;
  if (!IsMarked(memory) || !IsUntouched(memory, kSmall[sizeClass].bytes)) [[unlikely]]
    Misuse(memory, "Allocate", "the free block there was written to (after it was freed), or freed twice");
  ClearMark(memory);
  shard.words[sizeClass].store(word + Shard::kPopped, std::memory_order_relaxed);
  PoisonFresh(memory, kSmall[sizeClass].bytes);
  OpenAllocation(memory, sizeBytes);
  return memory;
}

// False when the stack is full.
inline bool SizeClassHeap::Push(Shard& shard, unsigned sizeClass, void* memory) noexcept {
  const std::uint64_t word = shard.words[sizeClass].load(std::memory_order_relaxed);
  if (static_cast<std::uint16_t>(word) == kSmall[sizeClass].stackEnd) [[unlikely]]
    return false;
  PoisonReturned(memory, kSmall[sizeClass].bytes);
  SetMark(memory);
  shard.places[word & Shard::kPlaceMask] = memory;
  shard.words[sizeClass].store(word + Shard::kPushed, std::memory_order_relaxed);
  return true;
}

// --- operations ---
//
// The common cases look up and move, and whatever is not one goes to a function at their end that starts
// again and looks closely: they save no register, and many of them fit into the processor's window while it
// waits for memory.

void* SizeClassHeap::TryAllocatePlain(std::size_t sizeBytes) noexcept {
  const OneThreadGuard guard(*this);
  if (sizeBytes <= kSmallBytesMax) [[likely]] {
    void* const memory = Pop(*ownShardOf_[PeekThreadSlot()], ClassOfBytes(sizeBytes), sizeBytes);
    if (memory != nullptr) [[likely]]
      return memory;
  }
  return TryAllocateSlow(sizeBytes, 1);
}

void* SizeClassHeap::TryAllocateAligned(std::size_t sizeBytes, std::size_t alignment) noexcept {
  const OneThreadGuard guard(*this);
  return TryAllocateSlow(sizeBytes, alignment);
}

[[gnu::noinline]] void* SizeClassHeap::TryAllocateSlow(std::size_t sizeBytes,
                                                       std::size_t alignment) noexcept {
  void* const memory = AllocateSlow(sizeBytes, alignment);
  if (memory == nullptr) [[unlikely]]
    refusals_.fetch_add(1, std::memory_order_relaxed);
  return memory;
}

void* SizeClassHeap::AllocateSmall(unsigned sizeClass, std::size_t sizeBytes) noexcept {
  Shard& shard = ShardOfThread();
  const ShardGuard guard(shard);
  if (shard.Count(sizeClass) == 0 && !Refill(shard, sizeClass)) return nullptr;
  return Pop(shard, sizeClass, sizeBytes);
}

// Any request; refusals are not counted.
void* SizeClassHeap::AllocateSlow(std::size_t sizeBytes, std::size_t alignment) noexcept {
  if (!IsPowerOfTwo(alignment) || alignment > kAlignmentMax) return nullptr;
  if (sizeBytes > static_cast<std::size_t>(end_ - base_)) return nullptr;
  const std::size_t rounded = (std::max<std::size_t>(sizeBytes, 1) + alignment - 1) & ~(alignment - 1);
  const bool isSmall = rounded <= kSmallBytesMax;
  if (isSmall) {
    void* const memory = AllocateSmall(ClassOfBytes(rounded), sizeBytes);
    if (memory != nullptr) [[likely]]
      return memory;
  }
  // The last room may be too small for a slab and enough for one block.
  void* memory = backing_.Allocate(sizeBytes, alignment);
  if (memory != nullptr) [[likely]]
    return memory;
  Trim();
  if (isSmall) memory = AllocateSmall(ClassOfBytes(rounded), sizeBytes);
  return memory != nullptr ? memory : backing_.Allocate(sizeBytes, alignment);
}

void SizeClassHeap::Free(void* memory) noexcept {
  const OneThreadGuard guard(*this);
  const unsigned sizeClass = ClassAt(memory);
  if (IsBlockStart(memory, kSmall[sizeClass]) && !IsMarked(memory)) [[likely]] {
    if (Push(*ownShardOf_[PeekThreadSlot()], sizeClass, memory)) [[likely]]
      return;
  }
  FreeSlow(memory);
}

[[gnu::noinline]] void SizeClassHeap::FreeSlow(void* memory) noexcept {
  if (memory == nullptr) return;
  const unsigned sizeClass = CheckLive(memory, "Free");
  if (sizeClass == kNoClass) {
    backing_.Free(memory);
    return;
  }
  Shard& shard = ShardOfThread();
  const ShardGuard guard(shard);
  if (Push(shard, sizeClass, memory)) return;
  Flush(shard, sizeClass, kSmall[sizeClass].StackBlocks() / 2);
  Push(shard, sizeClass, memory);
}

void* SizeClassHeap::ReallocateLarge(void* memory, std::size_t sizeBytes, std::size_t alignment) noexcept {
  void* moved = backing_.Reallocate(memory, sizeBytes, alignment);
  if (moved == nullptr && IsPowerOfTwo(alignment) && sizeBytes <= static_cast<std::size_t>(end_ - base_)) {
    Trim();
    moved = backing_.Reallocate(memory, sizeBytes, alignment);
  }
  if (moved == nullptr) refusals_.fetch_add(1, std::memory_order_relaxed);
  return moved;
}

void* SizeClassHeap::TryReallocate(void* memory, std::size_t sizeBytes, std::size_t alignment) noexcept {
  if (memory == nullptr) return TryAllocate(sizeBytes, alignment);
  if (sizeBytes == 0) {
    Free(memory);
    return nullptr;
  }
  const OneThreadGuard guard(*this);
  const unsigned sizeClass = CheckLive(memory, "TryReallocate");
  if (sizeClass == kNoClass) return ReallocateLarge(memory, sizeBytes, alignment);
  const std::size_t blockBytes = kSmall[sizeClass].bytes;
  const bool fits = sizeBytes <= blockBytes && (AddressOf(memory) & (alignment - 1)) == 0;
  // A block that shrinks below half moves to a class of its own; it stays where it is when there is none.
  const bool stays = fits && sizeBytes > blockBytes / 2;
  void* const moved = stays ? nullptr : AllocateSlow(sizeBytes, alignment);
  if (moved == nullptr) {
    if (!fits) {
      refusals_.fetch_add(1, std::memory_order_relaxed);
      return nullptr;
    }
    PoisonFresh(memory, blockBytes);
    LiftPoison(memory, sizeBytes);
    return memory;
  }
  const std::size_t kept = std::min(blockBytes, sizeBytes);
  LiftPoison(memory, kept);
  std::memcpy(moved, memory, kept);
  FreeSlow(memory);
  return moved;
}

std::size_t SizeClassHeap::UsableSize(const void* memory) const noexcept {
  const OneThreadGuard guard(*this);
  const unsigned sizeClass = CheckLive(memory, "UsableSize");
  if (sizeClass == kNoClass) return backing_.SizeOf(memory);
  const std::size_t blockBytes = kSmall[sizeClass].bytes;
  LiftPoison(memory, blockBytes);
  return blockBytes;
}

// --- failures ---

void SizeClassHeap::Misuse(const void* memory, const char* operation, const char* what) const noexcept {
  AbortWithLine("stadial: heap '%s': %s(%p): %s; its memory is %p to %p", name_, operation, memory, what,
                static_cast<const void*>(base_), static_cast<const void*>(end_));
}

void SizeClassHeap::Exhausted(std::size_t sizeBytes, std::size_t alignment) const noexcept {
  const SizeClassHeapStats stats = Stats();
  AbortWithLine(
      "stadial: heap '%s' exhausted: asked %s at a multiple of %zu, %s taken of %s (peak %s, %llu blocks "
      "live)%s; %s",
      name_, FormatBytes(sizeBytes).Get(), alignment, FormatBytes(stats.takenBytes).Get(),
      FormatBytes(stats.capacityBytes).Get(), FormatBytes(stats.peakBytes).Get(),
      static_cast<unsigned long long>(stats.liveBlocks), IsSealed() ? ", sealed" : "", remedy_);
}

}  // namespace stadial::arenas
