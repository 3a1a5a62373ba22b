// FallbackHeap: a general heap of one component, confined to one segment and bounded by a byte budget: where
// designated fallbacks are served. A mimalloc heap in an exclusive arena of ours.
//
// Growth:       up to `budgetBytes`, within the segment; never asks the system for anything after Create.
// Exhaustion:   TryAllocate and TryReallocate return nullptr and count a refusal: budget spent, segment full,
//               or a size no block has. Allocate prints what was asked and what to raise, and aborts.
// Alignment:    any power of two up to 1 MiB; 16 at least.
// Destructors:  none run; Close drops every block.
// Threads:      Create, allocating, LiveBlocks, Visit, Close: the owning (creating) thread; asserted.
//               Free, Stats: any.
// Invalidation: Free; TryReallocate when it moves; Close for everything.
//
// The segment must be committed, start at a multiple of 64 MiB and be a multiple of 64 MiB long (mimalloc's
// segment size); the heaps of one segment share it. A block can be at most about half of that. mimalloc keeps
// its table of arenas for the life of the process and has room for 64; a segment that returns at the same
// address and size uses its old entry again.
//
// Every block carries 16 bytes of ours, which keep the ledger exact and catch double and foreign frees while
// the block has not been handed out again. Two pieces of evidence stand beside each other: the ledger (Stats,
// any thread, any time) and mimalloc's own count (LiveBlocks).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/region.h"
#include "stadial/arenas/result.h"

namespace stadial::arenas {

struct FallbackHeapStats {
  std::uint64_t liveBlocks = 0;
  std::uint64_t liveBytes = 0;    // as requested
  std::uint64_t peakBytes = 0;    // highest liveBytes
  std::uint64_t allocations = 0;  // successful, since Create
  std::uint64_t frees = 0;
  std::uint64_t refusals = 0;
  std::uint64_t budgetBytes = 0;
};

class FallbackHeap {
 public:
  // What mimalloc demands of the segment's address and size, and its largest alignment.
  static constexpr std::size_t kSegmentAlignmentBytes = 64_MiB;
  static constexpr std::size_t kAlignmentMax = 1_MiB;

  // The heap's record lives in `memory`; it belongs to the calling thread. `component` is not copied.
  // Errors: InvalidArgument (segment not committed, misaligned, odd size), OutOfMemory (mimalloc's arena
  // table is full, or it refused the heap).
  static Result<FallbackHeap*> Create(const char* component, Segment& segment, std::size_t budgetBytes,
                                      Arena& memory);

  // Drops every block and the heap. Returns the number of blocks that were still live: leaks, if not
  // intended. Must happen before the segment is released and before the owning thread ends. Twice is fine (0
  // the second time).
  std::size_t Close() noexcept;

  [[nodiscard]] void* TryAllocate(std::size_t sizeBytes,
                                  std::size_t alignment = 16) noexcept STADIAL_NONALLOCATING;
  // The same, never nullptr.
  [[nodiscard, gnu::returns_nonnull]] void* Allocate(std::size_t sizeBytes,
                                                     std::size_t alignment = 16) noexcept;
  // Null `memory` allocates; size 0 frees and returns nullptr; on refusal nullptr, and the old block stays.
  // Contents are kept up to the smaller size; while a block moves, both count against the budget. A block
  // that shrinks and need not be aligned anew stays where it is, its bytes in mimalloc's heap too, and is
  // never refused.
  [[nodiscard]] void* TryReallocate(void* memory, std::size_t sizeBytes, std::size_t alignment = 16) noexcept;
  // nullptr is fine. Asserts on blocks that are not live or not this heap's.
  void Free(void* memory) noexcept STADIAL_NONALLOCATING;
  // The size asked for.
  std::size_t SizeOf(const void* memory) const noexcept STADIAL_NONALLOCATING;
  // The same, under the name that general heaps share.
  std::size_t UsableSize(const void* memory) const noexcept { return SizeOf(memory); }
  // Whether the address lies in this heap's segment (which other heaps may share).
  bool Contains(const void* memory) const noexcept { return segment_->Contains(memory); }

  FallbackHeapStats Stats() const noexcept STADIAL_NONALLOCATING;
  const char* Component() const noexcept { return component_; }

  // mimalloc's exact count of live blocks, frees from other threads included. Walks the heap's pages:
  // O(pages).
  std::size_t LiveBlocks() noexcept;
  // Calls visit(context, payload, sizeBytes) for every live block; return false to stop. O(blocks).
  using VisitFunction = bool (*)(void* context, void* payload, std::size_t sizeBytes);
  void Visit(VisitFunction visit, void* context) noexcept;

  FallbackHeap(const FallbackHeap&) = delete;
  FallbackHeap& operator=(const FallbackHeap&) = delete;

 private:
  struct BlockHeader;
  FallbackHeap(const char* component, Segment& segment, std::size_t budgetBytes, void* heap,
               std::uint32_t identity) noexcept;
  BlockHeader* LiveHeader(const void* memory, const char* operation) const noexcept;
  [[noreturn]] void Misuse(const void* memory, const char* operation, const char* what) const noexcept;
  void AssertOwner(const char* operation) const noexcept;
  bool TryReserve(std::size_t sizeBytes) noexcept;
  [[noreturn, gnu::cold]] void Exhausted(std::size_t sizeBytes, std::size_t alignment) const noexcept;

  const char* component_;
  Segment* segment_;
  void* heap_;  // mi_heap_t*, kept opaque so that mimalloc's header stays private
  std::uintptr_t ownerThread_;
  std::uint32_t identity_;  // distinguishes the heaps that share a segment
  std::size_t budgetBytes_;
  std::atomic<std::uint64_t> liveBlocks_{0};
  std::atomic<std::uint64_t> liveBytes_{0};
  std::atomic<std::uint64_t> peakBytes_{0};
  std::atomic<std::uint64_t> allocations_{0};
  std::atomic<std::uint64_t> frees_{0};
  std::atomic<std::uint64_t> refusals_{0};
};

}  // namespace stadial::arenas
