// Designated fallbacks (R6): the only places where a frame may take memory that was not sized before it.
// Each is a named, registered site with an owner, a byte budget and a limit per frame; it is served from the
// Fallback segment (a mimalloc heap confined to it), counted, and reported. Nothing here passes the gate:
// the memory is ours already. A site is asked by name (TryAllocate), or stands in for malloc and new where
// code takes no allocator (FallbackScope).
//
// The six questions. A site grows: never; the registry holds what Create was given. Exhaustion: TryAllocate
// returns null and counts the refusal, with its cause, when the site's budget, its allowance for this frame
// or the heap is used up. Alignment: any power of two up to FallbackHeap::kAlignmentMax, at least 16.
// Destructors: none are run. Threads: TryAllocate on the heap's owning thread only (it returns null and
// counts a refusal elsewhere); Free and statistics on any thread. Invalidation: Free, and the end of the
// Fallback segment.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/fallback_heap.h"
#include "stadial/arenas/result.h"
#include "stadial/runtime/gate_state.h"
#include "stadial/runtime/realtime_sanitizer.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

struct FallbackSiteStats {
  std::uint64_t allocations = 0;  // served, since registration
  std::uint64_t frees = 0;
  std::uint64_t bytes = 0;      // live now, as requested
  std::uint64_t peakBytes = 0;  // the most ever live
  std::uint64_t refused = 0;    // refusedByBudget + refusedByFrame + refusedByHeap + refusedByThread
  std::uint64_t refusedByBudget = 0;
  std::uint64_t refusedByFrame = 0;
  std::uint64_t refusedByHeap = 0;
  std::uint64_t refusedByThread = 0;
  std::uint32_t allocationsThisFrame = 0;
  std::uint32_t allocationsInWorstFrame = 0;
};

// Registered once in Setup through FallbackRegistry::Register; lives as long as the registry.
class FallbackSite {
 public:
  // For the registry: a site that is not registered refuses everything. Names are not copied: literals.
  FallbackSite(const char* name, const char* owner, std::size_t budgetBytes,
               std::uint32_t countPerFrameMax) noexcept
      : name_(name), owner_(owner), budgetBytes_(budgetBytes), countPerFrameMax_(countPerFrameMax) {}

  // Null when refused; a size of 0 is served as 1. Cost: a mimalloc allocation and a few counters.
  [[nodiscard]] void* TryAllocate(std::size_t sizeBytes,
                                  std::size_t alignment = 16) noexcept STADIAL_NONALLOCATING;

  // Takes back a block of this site; null is fine. A block of another site, a foreign pointer or a second
  // free: assertion.
  void Free(void* block) noexcept STADIAL_NONALLOCATING;

  // As asked for. A live block of this site.
  std::size_t BlockBytes(const void* block) const noexcept STADIAL_NONALLOCATING;

  FallbackSiteStats Stats() const noexcept STADIAL_NONALLOCATING;
  const char* Name() const noexcept { return name_; }
  const char* Owner() const noexcept { return owner_; }
  std::size_t BudgetBytes() const noexcept { return budgetBytes_; }
  std::uint32_t CountPerFrameMax() const noexcept { return countPerFrameMax_; }

 private:
  friend class FallbackRegistry;
  friend class FallbackScope;
  friend void* detail::GateAllocateFromFallback(std::size_t, std::size_t) noexcept;
  friend bool detail::GateChargeFallback(std::size_t) noexcept;
  // Null: within the budgets. Otherwise the counter of the cause.
  std::atomic<std::uint64_t>* CauseToRefuse(std::size_t sizeBytes) noexcept;
  void NoteServed(std::size_t sizeBytes) noexcept;
  const char* name_;
  const char* owner_;
  std::size_t budgetBytes_;
  std::uint32_t countPerFrameMax_;  // 0: no limit
  arenas::FallbackHeap* heap_ = nullptr;
  const void* ownerThread_ = nullptr;
  std::atomic<std::uint64_t> allocations_{0};
  std::atomic<std::uint64_t> frees_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> peakBytes_{0};
  std::atomic<std::uint64_t> refusedByBudget_{0};
  std::atomic<std::uint64_t> refusedByFrame_{0};
  std::atomic<std::uint64_t> refusedByHeap_{0};
  std::atomic<std::uint64_t> refusedByThread_{0};
  std::atomic<std::uint32_t> allocationsThisFrame_{0};
  std::atomic<std::uint32_t> allocationsInWorstFrame_{0};
};

// While it lives, malloc, new and free of the calling thread are the site's: allocations come from its budget
// in the Fallback segment, whatever the gate's policy; beyond either budget (bytes, count per frame) they are
// refused by the site and meet the policy. For library code that must allocate inside a frame and takes no
// allocator. Blocks of a site may be freed in a scope, or anywhere where the policy lets a free pass, by any
// thread, with free or delete. Nests; a GateScope inside hides it. Only on the heap's owning thread does the
// site serve.
//
// Under a sanitizer, and in a game with its own malloc, the memory comes from there: the site only counts it,
// as served and not as bytes held, and refuses a block beyond its budget.
class [[nodiscard]] FallbackScope {
 public:
  explicit FallbackScope(FallbackSite& site) noexcept;
  ~FallbackScope() {
    detail::GateCompilerBarrier();
    detail::GateThread().word = previousWord_;
    detail::GateThread().fallback = previousSite_;
    detail::TellRealtimeSanitizer();
  }
  FallbackScope(const FallbackScope&) = delete;
  FallbackScope& operator=(const FallbackScope&) = delete;

 private:
  std::uint64_t previousWord_;
  FallbackSite* previousSite_;
};

// The table of all sites, over one heap. Lives in Setup memory.
class FallbackRegistry {
 public:
  // The registry and its table are carved from `memory`. `heap` must outlive it and belong to the calling
  // thread.
  static Result<FallbackRegistry*> Create(arenas::FallbackHeap& heap, std::uint32_t sitesMax,
                                          arenas::Arena& memory) noexcept;

  // Setup only. WrongPhase after Seal; CapacityExceeded when the table is full; InvalidArgument for a name
  // that is taken, an empty name or owner, or a budget of 0. Several sites may together promise more than
  // the heap holds: a site is a bound, not a reservation. The pointer is stable.
  Result<FallbackSite*> Register(const char* name, const char* owner, std::size_t budgetBytes,
                                 std::uint32_t countPerFrameMax) noexcept;

  // Called when Setup ends; Register then refuses.
  void Seal() noexcept { sealed_ = true; }
  bool IsSealed() const noexcept { return sealed_; }

  // Before the heap closes, if a FallbackScope was ever opened: the gate forgets the heap's blocks.
  // Idempotent.
  void Close() noexcept;

  // Gives every site its allowance for the new frame.
  void BeginFrame() noexcept STADIAL_NONALLOCATING;
  // Served by all sites since then.
  std::uint64_t AllocationsThisFrame() const noexcept {
    std::uint64_t allocations = 0;
    for (const FallbackSite& site : Sites())
      allocations += site.allocationsThisFrame_.load(std::memory_order_relaxed);
    return allocations;
  }

  std::span<FallbackSite> Sites() noexcept { return {sites_, siteCount_}; }
  std::span<const FallbackSite> Sites() const noexcept { return {sites_, siteCount_}; }
  FallbackSite* Find(const char* name) noexcept;
  const arenas::FallbackHeap& Heap() const noexcept { return heap_; }

  FallbackRegistry(const FallbackRegistry&) = delete;
  FallbackRegistry& operator=(const FallbackRegistry&) = delete;

 private:
  friend class arenas::Arena;
  FallbackRegistry(arenas::FallbackHeap& heap, FallbackSite* sites, std::uint32_t sitesMax) noexcept
      : heap_(heap), sites_(sites), sitesMax_(sitesMax) {}

  arenas::FallbackHeap& heap_;
  FallbackSite* sites_;
  std::uint32_t siteCount_ = 0;
  std::uint32_t sitesMax_;
  bool sealed_ = false;
};

}  // namespace stadial::runtime
