#include "stadial/runtime/designated_fallback.h"

#include <algorithm>
#include <cstring>

#include "stadial/arenas/assert.h"
#include "stadial/runtime/allocation_tracker.h"
#include "stadial/runtime/gate_state.h"

namespace stadial::runtime {
namespace {

// Stands right before every block that a site hands out.
struct BlockPrefix {
  const FallbackSite* site;
  std::uint32_t offsetBytes;  // from the start of the heap's block to the site's
  std::uint32_t mark;
};
constexpr std::size_t kPrefixBytes = 16;
static_assert(sizeof(BlockPrefix) == kPrefixBytes);

constexpr std::uint32_t kLiveMark = 0x5AD1A1F0;
constexpr std::uint32_t kFreedMark = 0xDEADF0F0;

BlockPrefix* PrefixOf(void* block) noexcept {
  return reinterpret_cast<BlockPrefix*>(static_cast<std::byte*>(block) - kPrefixBytes);
}

template <class Value>
void RaiseTo(std::atomic<Value>& peak, Value value) noexcept {
  Value seen = peak.load(std::memory_order_relaxed);
  while (seen < value && !peak.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

// Heaps whose blocks may come back through free: those of sites that a scope was opened for. Null: free.
constexpr std::size_t kScopedHeapsMax = 16;
constinit std::atomic<const arenas::FallbackHeap*> scopedHeaps[kScopedHeapsMax] = {};

bool LiesInAScopedHeap(const void* block) noexcept {
  return std::any_of(std::begin(scopedHeaps), std::end(scopedHeaps), [=](const auto& entry) noexcept {
    const arenas::FallbackHeap* const heap = entry.load(std::memory_order_acquire);
    return heap != nullptr && heap->Contains(block);
  });
}

void RememberScopedHeap(const arenas::FallbackHeap* heap) noexcept {
  for (auto& entry : scopedHeaps) {
    const arenas::FallbackHeap* seen = entry.load(std::memory_order_acquire);
    if (seen == heap) return;
    if (seen == nullptr &&
        (entry.compare_exchange_strong(seen, heap, std::memory_order_acq_rel) || seen == heap))
      return;
  }
  STADIAL_ASSERT_ALWAYS(false, "FallbackScopes are open over more heaps than kScopedHeapsMax");
}

}  // namespace

std::atomic<std::uint64_t>* FallbackSite::CauseToRefuse(std::size_t sizeBytes) noexcept {
  if (heap_ == nullptr || sizeBytes > budgetBytes_) return &refusedByBudget_;
  if (ownerThread_ != &detail::GateThread()) return &refusedByThread_;
  // Only the owning thread gets here, so load and add need not be one step; frees on other threads only
  // lower it.
  if (bytes_.load(std::memory_order_relaxed) > budgetBytes_ - sizeBytes) return &refusedByBudget_;
  if (countPerFrameMax_ != 0 && allocationsThisFrame_.load(std::memory_order_relaxed) >= countPerFrameMax_)
    return &refusedByFrame_;
  return nullptr;
}

void FallbackSite::NoteServed(std::size_t sizeBytes) noexcept {
  RaiseTo(peakBytes_, bytes_.fetch_add(sizeBytes, std::memory_order_relaxed) + sizeBytes);
  allocations_.fetch_add(1, std::memory_order_relaxed);
  const std::uint32_t thisFrame = allocationsThisFrame_.load(std::memory_order_relaxed) + 1;
  allocationsThisFrame_.store(thisFrame, std::memory_order_relaxed);
  RaiseTo(allocationsInWorstFrame_, thisFrame);
}

void* FallbackSite::TryAllocate(std::size_t sizeBytes, std::size_t alignment) noexcept {
  const auto refuse = [](std::atomic<std::uint64_t>& cause) noexcept -> void* {
    cause.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  };
  sizeBytes = std::max<std::size_t>(sizeBytes, 1);
  alignment = std::max(alignment, kPrefixBytes);
  if (alignment > arenas::FallbackHeap::kAlignmentMax) return refuse(refusedByHeap_);
  if (auto* const cause = CauseToRefuse(sizeBytes); cause != nullptr) return refuse(*cause);

  // The prefix takes one alignment unit, so that the block behind it is aligned.
  auto* const start = static_cast<std::byte*>(heap_->TryAllocate(alignment + sizeBytes, alignment));
  if (start == nullptr) return refuse(refusedByHeap_);
  void* const block = start + alignment;
  *PrefixOf(block) = {this, static_cast<std::uint32_t>(alignment), kLiveMark};
  NoteServed(sizeBytes);
  NoteAllocation(AllocationSource::Fallback, sizeBytes);
  return block;
}

std::size_t FallbackSite::BlockBytes(const void* block) const noexcept {
  const BlockPrefix& prefix = *PrefixOf(const_cast<void*>(block));
  return heap_->SizeOf(static_cast<const std::byte*>(block) - prefix.offsetBytes) - prefix.offsetBytes;
}

void FallbackSite::Free(void* block) noexcept {
  if (block == nullptr) return;
  STADIAL_ASSERT_ALWAYS(heap_ != nullptr && heap_->Contains(block),
                        "the block does not lie in the Fallback segment");
  BlockPrefix* const prefix = PrefixOf(block);
  STADIAL_ASSERT_COMPARE_ALWAYS(prefix->mark, ==, kLiveMark,
                                "not a live block of a fallback site (freed twice?)");
  STADIAL_ASSERT_COMPARE_ALWAYS(prefix->site, ==, static_cast<const FallbackSite*>(this),
                                "the block belongs to another fallback site");
  std::byte* const start = static_cast<std::byte*>(block) - prefix->offsetBytes;
  const std::size_t sizeBytes = BlockBytes(block);
  prefix->mark = kFreedMark;
  bytes_.fetch_sub(sizeBytes, std::memory_order_relaxed);
  frees_.fetch_add(1, std::memory_order_relaxed);
  heap_->Free(start);
  NoteFree(AllocationSource::Fallback, sizeBytes);
}

FallbackSiteStats FallbackSite::Stats() const noexcept {
  FallbackSiteStats stats;
  stats.allocations = allocations_.load(std::memory_order_relaxed);
  stats.frees = frees_.load(std::memory_order_relaxed);
  stats.bytes = bytes_.load(std::memory_order_relaxed);
  stats.peakBytes = peakBytes_.load(std::memory_order_relaxed);
  stats.refusedByBudget = refusedByBudget_.load(std::memory_order_relaxed);
  stats.refusedByFrame = refusedByFrame_.load(std::memory_order_relaxed);
  stats.refusedByHeap = refusedByHeap_.load(std::memory_order_relaxed);
  stats.refusedByThread = refusedByThread_.load(std::memory_order_relaxed);
  stats.refused = stats.refusedByBudget + stats.refusedByFrame + stats.refusedByHeap + stats.refusedByThread;
  stats.allocationsThisFrame = allocationsThisFrame_.load(std::memory_order_relaxed);
  stats.allocationsInWorstFrame = allocationsInWorstFrame_.load(std::memory_order_relaxed);
  return stats;
}

Result<FallbackRegistry*> FallbackRegistry::Create(arenas::FallbackHeap& heap, std::uint32_t sitesMax,
                                                   arenas::Arena& memory) noexcept {
  if (sitesMax == 0)
    return Error::Format(ErrorCode::InvalidArgument, "a fallback registry needs room for at least one site");
  const std::size_t sitesBytes = sitesMax * sizeof(FallbackSite);
  void* const sites = memory.TryAllocate(sitesBytes, alignof(FallbackSite));
  void* const registry = memory.TryAllocate(sizeof(FallbackRegistry), alignof(FallbackRegistry));
  if (sites == nullptr || registry == nullptr) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "no room for %u fallback sites: asked %zu B, %zu B left of arena '%s'; raise setupBytes", sitesMax,
        sitesBytes + sizeof(FallbackRegistry), memory.RemainingBytes(), memory.Name());
  }
  return ::new (registry) FallbackRegistry(heap, static_cast<FallbackSite*>(sites), sitesMax);
}

Result<FallbackSite*> FallbackRegistry::Register(const char* name, const char* owner, std::size_t budgetBytes,
                                                 std::uint32_t countPerFrameMax) noexcept {
  const char* const shown = name == nullptr ? "(null)" : name;
  if (sealed_) {
    return Error::Format(ErrorCode::WrongPhase,
                         "fallback site '%s' registered after Setup was sealed; register it in Setup", shown);
  }
  if (name == nullptr || name[0] == '\0' || owner == nullptr || owner[0] == '\0' || budgetBytes == 0) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "fallback site '%s' needs a name, an owner and a budget above 0 B", shown);
  }
  if (const FallbackSite* const taken = Find(name); taken != nullptr) {
    return Error::Format(ErrorCode::InvalidArgument, "fallback site '%s' is registered already, by '%s'",
                         name, taken->Owner());
  }
  if (siteCount_ == sitesMax_) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "fallback site '%s' does not fit: %u of %u sites are registered; raise the "
                         "number of sites at Create",
                         name, siteCount_, sitesMax_);
  }
  FallbackSite* const site =
      ::new (&sites_[siteCount_]) FallbackSite(name, owner, budgetBytes, countPerFrameMax);
  site->heap_ = &heap_;
  site->ownerThread_ = &detail::GateThread();
  ++siteCount_;
  return site;
}

void FallbackRegistry::BeginFrame() noexcept {
  for (FallbackSite& site : Sites()) site.allocationsThisFrame_.store(0, std::memory_order_relaxed);
}

void FallbackRegistry::Close() noexcept {
  for (auto& entry : scopedHeaps) {
    const arenas::FallbackHeap* expected = &heap_;
    entry.compare_exchange_strong(expected, nullptr, std::memory_order_acq_rel);
  }
}

FallbackScope::FallbackScope(FallbackSite& site) noexcept
    : previousWord_(detail::GateThread().word), previousSite_(detail::GateThread().fallback) {
  if (site.heap_ != nullptr) RememberScopedHeap(site.heap_);
  detail::GateThread().fallback = &site;
  detail::GateThread().word |= detail::kGateFallbackBit;
  detail::GateCompilerBarrier();
  detail::TellRealtimeSanitizer();
}

namespace detail {
namespace {

// The heap underneath is mimalloc's own and does not pass the gate; what the site asserts may print.
bool StandsInAScope() noexcept {
  return (GateThread().word & (kGateFallbackBit | kGateBusyBit | kGateDriverBit)) == kGateFallbackBit;
}

}  // namespace

void* GateAllocateFromFallback(std::size_t sizeBytes, std::size_t alignment) noexcept {
  return StandsInAScope() ? GateThread().fallback->TryAllocate(sizeBytes, alignment) : nullptr;
}

std::size_t GateFallbackBlockBytes(const void* block) noexcept {
  if (block == nullptr || !LiesInAScopedHeap(block)) return 0;
  const BlockPrefix& prefix = *PrefixOf(const_cast<void*>(block));
  if (prefix.mark != kLiveMark) return 0;
  return prefix.site->BlockBytes(block);
}

void GateFreeToFallback(void* block) noexcept {
  const_cast<FallbackSite*>(PrefixOf(block)->site)->Free(block);
}

bool GateChargeFallback(std::size_t sizeBytes) noexcept {
  if (!StandsInAScope()) return false;
  FallbackSite& site = *GateThread().fallback;
  if (auto* const cause = site.CauseToRefuse(sizeBytes); cause != nullptr) {
    cause->fetch_add(1, std::memory_order_relaxed);
    return false;
  }
  site.NoteServed(0);
  return true;
}

}  // namespace detail

FallbackSite* FallbackRegistry::Find(const char* name) noexcept {
  const auto sites = Sites();
  const auto found = std::find_if(sites.begin(), sites.end(), [=](const FallbackSite& site) noexcept {
    return std::strcmp(site.Name(), name) == 0;
  });
  return found == sites.end() ? nullptr : &*found;
}

}  // namespace stadial::runtime
