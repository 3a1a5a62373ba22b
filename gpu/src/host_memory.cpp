#include "stadial/gpu/host_memory.h"

#include "stadial/arenas/thread_slot.h"
#include "stadial/runtime/allocation_tracker.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/runtime.h"

namespace stadial::gpu {
namespace {

// The threads that record, submit and wait, the driver's queue and a few more: those have their own part of
// the heap, and further ones share some.
constexpr std::uint32_t kHeapShards = 8;

}  // namespace

Result<Owned<HostMemory>> HostMemory::Create(runtime::Runtime& runtime) noexcept {
  STADIAL_RETURN_IF_ERROR(runtime.Phases().Require(runtime::Phase::Setup, "gpu::HostMemory::Create"));
  STADIAL_ASSIGN_OR_RETURN(arenas::Segment * segment, runtime.OpenDriverSegment());
  STADIAL_ASSIGN_OR_RETURN(arenas::SizeClassHeap * heap,
                           arenas::SizeClassHeap::Create({.name = "vulkan host memory",
                                                          .shards = kHeapShards,
                                                          .remedy = "raise RuntimeOptions::driverBytes"},
                                                         *segment));
  return MakeOwned<HostMemory>(runtime.SetupArena(), "gpu::HostMemory", runtime, *heap);
}

HostMemory::HostMemory(runtime::Runtime& runtime, arenas::SizeClassHeap& heap) noexcept
    : runtime_(runtime), phases_(runtime.Phases()), heap_(heap) {
  callbacks_.pUserData = this;
  callbacks_.pfnAllocation = &OnAllocate;
  callbacks_.pfnReallocation = &OnReallocate;
  callbacks_.pfnFree = &OnFree;
  callbacks_.pfnInternalAllocation = &OnInternalAllocate;
  callbacks_.pfnInternalFree = &OnInternalFree;
}

HostMemory::~HostMemory() {
  const arenas::SizeClassHeapStats stats = heap_.Stats();
  if (stats.liveBlocks != 0) {
    runtime_.Options().log.Format(
        runtime::LogLevel::Warning, "vulkan host memory: the driver kept %llu blocks (%llu B) after teardown",
        static_cast<unsigned long long>(stats.liveBlocks), static_cast<unsigned long long>(stats.liveBytes));
  }
  heap_.Close();
}

void HostMemory::Seal(std::size_t headroomBytes) noexcept {
  heap_.Seal(headroomBytes);
  sealed_.store(true, std::memory_order_relaxed);
}

void HostMemory::Unseal() noexcept {
  heap_.Unseal();
  sealed_.store(false, std::memory_order_relaxed);
}

HostMemoryStats HostMemory::Stats() const noexcept {
  HostMemoryStats stats;
  for (const CounterStripe& stripe : stripes_) {
    for (std::size_t phase = 0; phase < kPhaseCount; ++phase) {
      const PhaseCounters& from = stripe.byPhase[phase];
      HostMemoryPhaseStats& to = stats.byPhase[phase];
      to.allocations += from.allocations.load(std::memory_order_relaxed);
      to.reallocations += from.reallocations.load(std::memory_order_relaxed);
      to.frees += from.frees.load(std::memory_order_relaxed);
      to.refusals += from.refusals.load(std::memory_order_relaxed);
    }
  }
  for (const HostMemoryPhaseStats& phase : stats.byPhase) {
    stats.callbackCalls += phase.allocations + phase.reallocations;
  }
  stats.internalAllocations = internalAllocations_.load(std::memory_order_relaxed);
  const arenas::SizeClassHeapStats heap = heap_.Stats();
  stats.liveBlocks = heap.liveBlocks;
  stats.liveBytes = heap.liveBytes;
  stats.carvedBytes = heap.carvedBytes;
  stats.peakBytes = heap.peakBytes;
  return stats;
}

void HostMemory::InjectFailure(std::uint64_t first, std::uint64_t count) noexcept {
  injectRepeat_.store(first == 0 ? 0 : count, std::memory_order_relaxed);
  injectCountdown_.store(first, std::memory_order_release);
}

// The countdown stops at 1 and stays there while failures are left to repeat.
bool HostMemory::TakeInjection() noexcept {
  std::uint64_t left = injectCountdown_.load(std::memory_order_acquire);
  if (left == 0) return false;
  while (left > 1) {
    if (injectCountdown_.compare_exchange_weak(left, left - 1, std::memory_order_acq_rel)) return false;
    if (left == 0) return false;
  }
  std::uint64_t repeat = injectRepeat_.load(std::memory_order_relaxed);
  while (repeat > 0 && !injectRepeat_.compare_exchange_weak(repeat, repeat - 1, std::memory_order_acq_rel)) {
  }
  if (repeat == 0) {
    injectCountdown_.store(0, std::memory_order_release);
    return false;
  }
  injected_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

// A thread that has no number yet counts with those whose number is too high.
[[gnu::always_inline]] inline void HostMemory::Count(
    std::atomic<std::uint64_t> PhaseCounters::*counter) noexcept {
  const std::uint32_t slot = arenas::PeekThreadSlot();
  const auto phase = static_cast<std::size_t>(phases_.Current());
  if (slot < kOwnStripes) [[likely]] {
    std::atomic<std::uint64_t>& own = stripes_[slot].byPhase[phase].*counter;
    own.store(own.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  } else {
    (stripes_[kOwnStripes].byPhase[phase].*counter).fetch_add(1, std::memory_order_relaxed);
  }
}

// What the trackers are told that a block has, as rounded to its class, so that what comes and goes balances;
// not looked up while none listens.
std::size_t HostMemory::TrackedSize(const void* block) const noexcept {
  return runtime::TrackersListen() ? heap_.UsableSize(block) : 0;
}

void* HostMemory::OnAllocate(void* self, std::size_t size, std::size_t alignment,
                             VkSystemAllocationScope) noexcept {
  const runtime::DriverCallbackScope callback("gpu host memory");
  auto& memory = *static_cast<HostMemory*>(self);
  void* block = memory.ShouldInject() ? nullptr : memory.heap_.TryAllocate(size, alignment);
  if (block == nullptr) {
    memory.Count(&PhaseCounters::refusals);
    return nullptr;
  }
  memory.Count(&PhaseCounters::allocations);
  runtime::NoteAllocation(runtime::AllocationSource::DriverCallback, memory.TrackedSize(block));
  return block;
}

void* HostMemory::OnReallocate(void* self, void* original, std::size_t size, std::size_t alignment,
                               VkSystemAllocationScope scope) noexcept {
  if (original == nullptr) return OnAllocate(self, size, alignment, scope);
  if (size == 0) {
    OnFree(self, original);
    return nullptr;
  }
  const runtime::DriverCallbackScope callback("gpu host memory");
  auto& memory = *static_cast<HostMemory*>(self);
  const std::size_t oldSize = memory.TrackedSize(original);
  void* block = memory.ShouldInject() ? nullptr : memory.heap_.TryReallocate(original, size, alignment);
  if (block == nullptr) {  // the original stays valid
    memory.Count(&PhaseCounters::refusals);
    return nullptr;
  }
  memory.Count(&PhaseCounters::reallocations);
  runtime::NoteFree(runtime::AllocationSource::DriverCallback, oldSize);
  runtime::NoteAllocation(runtime::AllocationSource::DriverCallback, memory.TrackedSize(block));
  return block;
}

void HostMemory::OnFree(void* self, void* block) noexcept {
  if (block == nullptr) return;
  const runtime::DriverCallbackScope callback("gpu host memory");
  auto& memory = *static_cast<HostMemory*>(self);
  memory.Count(&PhaseCounters::frees);
  runtime::NoteFree(runtime::AllocationSource::DriverCallback, memory.TrackedSize(block));
  memory.heap_.Free(block);
}

void HostMemory::OnInternalAllocate(void* self, std::size_t, VkInternalAllocationType,
                                    VkSystemAllocationScope) noexcept {
  static_cast<HostMemory*>(self)->internalAllocations_.fetch_add(1, std::memory_order_relaxed);
}

void HostMemory::OnInternalFree(void*, std::size_t, VkInternalAllocationType,
                                VkSystemAllocationScope) noexcept {}

}  // namespace stadial::gpu
