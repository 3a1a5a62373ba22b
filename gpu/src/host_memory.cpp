#include "stadial/gpu/host_memory.h"

#include "stadial/runtime/allocation_tracker.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/runtime.h"

namespace stadial::gpu {

Result<Owned<HostMemory>> HostMemory::Create(runtime::Runtime& runtime) noexcept {
  STADIAL_RETURN_IF_ERROR(runtime.Phases().Require(runtime::Phase::Setup, "gpu::HostMemory::Create"));
  STADIAL_ASSIGN_OR_RETURN(arenas::Segment * segment, runtime.OpenDriverSegment());
  return MakeOwned<HostMemory>(runtime.SetupArena(), "gpu::HostMemory", runtime, *segment);
}

HostMemory::HostMemory(runtime::Runtime& runtime, arenas::Segment& segment) noexcept
    : runtime_(runtime), recycler_("vulkan host memory", segment) {
  callbacks_.pUserData = this;
  callbacks_.pfnAllocation = &OnAllocate;
  callbacks_.pfnReallocation = &OnReallocate;
  callbacks_.pfnFree = &OnFree;
  callbacks_.pfnInternalAllocation = &OnInternalAllocate;
  callbacks_.pfnInternalFree = &OnInternalFree;
}

HostMemory::~HostMemory() {
  const auto stats = recycler_.Stats();
  if (stats.liveBlocks != 0) {
    runtime_.Options().log.Format(
        runtime::LogLevel::Warning, "vulkan host memory: the driver kept %llu blocks (%llu B) after teardown",
        static_cast<unsigned long long>(stats.liveBlocks), static_cast<unsigned long long>(stats.liveBytes));
  }
}

void HostMemory::Seal(std::size_t headroomBytes) noexcept {
  recycler_.Seal(headroomBytes);
  sealed_.store(true, std::memory_order_relaxed);
}

void HostMemory::Unseal() noexcept {
  recycler_.Unseal();
  sealed_.store(false, std::memory_order_relaxed);
}

HostMemoryStats HostMemory::Stats() const noexcept {
  HostMemoryStats stats;
  for (std::size_t phase = 0; phase < kPhaseCount; ++phase) {
    const PhaseCounters& from = counters_[phase];
    HostMemoryPhaseStats& to = stats.byPhase[phase];
    to.allocations = from.allocations.load(std::memory_order_relaxed);
    to.reallocations = from.reallocations.load(std::memory_order_relaxed);
    to.frees = from.frees.load(std::memory_order_relaxed);
    to.refusals = from.refusals.load(std::memory_order_relaxed);
    stats.callbackCalls += to.allocations + to.reallocations;
  }
  stats.internalAllocations = internalAllocations_.load(std::memory_order_relaxed);
  const auto recycler = recycler_.Stats();
  stats.liveBlocks = recycler.liveBlocks;
  stats.liveBytes = recycler.liveBytes;
  stats.carvedBytes = recycler.carvedBytes;
  stats.peakBytes = recycler.peakBytes;
  return stats;
}

void HostMemory::InjectFailure(std::uint64_t first, std::uint64_t count) noexcept {
  injectRepeat_.store(first == 0 ? 0 : count, std::memory_order_relaxed);
  injectCountdown_.store(first, std::memory_order_release);
}

// The countdown stops at 1 and stays there while failures are left to repeat.
bool HostMemory::ShouldInject() noexcept {
  std::uint64_t left = injectCountdown_.load(std::memory_order_acquire);
  if (left == 0) [[likely]]
    return false;
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

HostMemory::PhaseCounters& HostMemory::Counters() noexcept {
  return counters_[static_cast<std::size_t>(runtime_.Phases().Current())];
}

// What the trackers are told that a block had; not looked up while none listens.
std::size_t HostMemory::TrackedSize(const void* block) const noexcept {
  return runtime::TrackersListen() ? recycler_.SizeOf(block) : 0;
}

void* HostMemory::OnAllocate(void* self, std::size_t size, std::size_t alignment,
                             VkSystemAllocationScope) noexcept {
  const runtime::DriverCallbackScope callback("gpu host memory");
  auto& memory = *static_cast<HostMemory*>(self);
  PhaseCounters& counters = memory.Counters();
  void* block = memory.ShouldInject() ? nullptr : memory.recycler_.Allocate(size, alignment);
  if (block == nullptr) {
    counters.refusals.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  counters.allocations.fetch_add(1, std::memory_order_relaxed);
  runtime::NoteAllocation(runtime::AllocationSource::DriverCallback, size);
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
  PhaseCounters& counters = memory.Counters();
  const std::size_t oldSize = memory.TrackedSize(original);
  void* block = memory.ShouldInject() ? nullptr : memory.recycler_.Reallocate(original, size, alignment);
  if (block == nullptr) {  // the original stays valid
    counters.refusals.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  counters.reallocations.fetch_add(1, std::memory_order_relaxed);
  runtime::NoteFree(runtime::AllocationSource::DriverCallback, oldSize);
  runtime::NoteAllocation(runtime::AllocationSource::DriverCallback, size);
  return block;
}

void HostMemory::OnFree(void* self, void* block) noexcept {
  if (block == nullptr) return;
  const runtime::DriverCallbackScope callback("gpu host memory");
  auto& memory = *static_cast<HostMemory*>(self);
  memory.Counters().frees.fetch_add(1, std::memory_order_relaxed);
  runtime::NoteFree(runtime::AllocationSource::DriverCallback, memory.TrackedSize(block));
  memory.recycler_.Free(block);
}

void HostMemory::OnInternalAllocate(void* self, std::size_t, VkInternalAllocationType,
                                    VkSystemAllocationScope) noexcept {
  static_cast<HostMemory*>(self)->internalAllocations_.fetch_add(1, std::memory_order_relaxed);
}

void HostMemory::OnInternalFree(void*, std::size_t, VkInternalAllocationType,
                                VkSystemAllocationScope) noexcept {}

}  // namespace stadial::gpu
