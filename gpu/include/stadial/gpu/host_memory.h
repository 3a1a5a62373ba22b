// HostMemory: the VkAllocationCallbacks of this process, served from the runtime's Driver segment through an
// arenas::SizeClassHeap (drivers free in any order, from any thread, and do not keep to allocation scopes, so
// neither a bump arena nor a heap per scope would do). Make one per Runtime: it owns the Driver segment's
// heap. A callback takes no lock and runs no atomic instruction on the first threads that call, which are
// those that record and submit; gpu_record_bench shows what that costs.
//
// The six questions. Growth: within the committed segment, never by system calls. Exhaustion: the
// callback answers null, the driver reports VK_ERROR_OUT_OF_HOST_MEMORY, and the refusal is counted.
// Alignment: what the driver asks, a power of two. Destructors: none run. Threads: every callback is safe
// from every thread. Invalidation: a block lives until the driver frees it; destroying a HostMemory with live
// blocks is reported on the log.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "stadial/arenas/size_class_heap.h"
#include "stadial/gpu/owned.h"
#include "stadial/gpu/vulkan.h"
#include "stadial/runtime/phase.h"

namespace stadial::runtime {
class Runtime;
}

namespace stadial::gpu {

inline constexpr std::size_t kPhaseCount = 4;  // Setup, Compile, Frame, Shutdown

struct HostMemoryPhaseStats {
  std::uint64_t allocations = 0;    // pfnAllocation, and pfnReallocation of a null block
  std::uint64_t reallocations = 0;  // pfnReallocation of a live block
  std::uint64_t frees = 0;          // pfnFree of a live block
  std::uint64_t refusals = 0;       // answered null: exhausted, sealed beyond the headroom, or injected
};

struct HostMemoryStats {
  std::array<HostMemoryPhaseStats, kPhaseCount> byPhase{};  // indexed by runtime::Phase
  std::uint64_t callbackCalls = 0;                          // allocations + reallocations of all phases
  std::uint64_t internalAllocations = 0;  // pfnInternalAllocation notices (executable memory)
  std::uint64_t liveBlocks = 0;
  std::uint64_t liveBytes = 0;  // small blocks as rounded to their class (size_class_heap.h)
  std::size_t carvedBytes = 0;  // of the segment, used at least once
  std::size_t peakBytes = 0;    // most of it that was taken at once
};

class HostMemory {
 public:
  // Setup phase. Errors: those of Runtime::OpenDriverSegment and SizeClassHeap::Create, or Setup is full.
  static Result<Owned<HostMemory>> Create(runtime::Runtime& runtime) noexcept;

  // Closes the heap with itself.
  HostMemory(runtime::Runtime& runtime, arenas::SizeClassHeap& heap) noexcept;
  ~HostMemory();
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  // What every vkCreate*, vkDestroy*, vkAllocate* and vkFree* of this layer passes. Stable address.
  const VkAllocationCallbacks* Callbacks() const noexcept { return &callbacks_; }

  // From here on only memory that was in use before and `headroomBytes` more are handed out, so that a leak
  // inside a driver shows as a counted refusal instead of eating the segment frame by frame. Which blocks are
  // live when the seal comes is racy by one to three of a class (lavapipe frees from its queue thread), and
  // what a thread of the driver has at hand serves no other: the headroom is at least a slab for each class
  // that a frame may be short of.
  void Seal(std::size_t headroomBytes) noexcept;
  void Unseal() noexcept;
  bool IsSealed() const noexcept { return sealed_.load(std::memory_order_relaxed); }

  HostMemoryStats Stats() const noexcept;

  // Fault injection: of the callback allocations from now on, the `first`-th (1-based) and the `count` - 1
  // after it are answered null. first = 0 turns it off.
  void InjectFailure(std::uint64_t first, std::uint64_t count = 1) noexcept;
  std::uint64_t InjectedFailures() const noexcept { return injected_.load(std::memory_order_relaxed); }

 private:
  static void* VKAPI_CALL OnAllocate(void* self, std::size_t size, std::size_t alignment,
                                     VkSystemAllocationScope) noexcept;
  static void* VKAPI_CALL OnReallocate(void* self, void* original, std::size_t size, std::size_t alignment,
                                       VkSystemAllocationScope) noexcept;
  static void VKAPI_CALL OnFree(void* self, void* memory) noexcept;
  static void VKAPI_CALL OnInternalAllocate(void* self, std::size_t, VkInternalAllocationType,
                                            VkSystemAllocationScope) noexcept;
  static void VKAPI_CALL OnInternalFree(void*, std::size_t, VkInternalAllocationType,
                                        VkSystemAllocationScope) noexcept;

  struct PhaseCounters {
    std::atomic<std::uint64_t> allocations{0}, reallocations{0}, frees{0}, refusals{0};
  };
  // A thread counts in the stripe of its arenas::ThreadSlot, alone, without an atomic instruction; threads
  // whose number is too high count in the last one together.
  static constexpr std::uint32_t kOwnStripes = 32;
  struct alignas(64) CounterStripe {
    std::array<PhaseCounters, kPhaseCount> byPhase{};
  };
  void Count(std::atomic<std::uint64_t> PhaseCounters::*counter) noexcept;
  std::size_t TrackedSize(const void* block) const noexcept;
  bool ShouldInject() noexcept {
    return injectCountdown_.load(std::memory_order_relaxed) != 0 && TakeInjection();
  }
  bool TakeInjection() noexcept;

  runtime::Runtime& runtime_;
  const runtime::PhaseMachine& phases_;
  arenas::SizeClassHeap& heap_;
  VkAllocationCallbacks callbacks_{};
  std::array<CounterStripe, kOwnStripes + 1> stripes_{};
  std::atomic<std::uint64_t> internalAllocations_{0};
  std::atomic<std::uint64_t> injectCountdown_{0};  // 0: off; 1: the next allocation fails
  std::atomic<std::uint64_t> injectRepeat_{0};
  std::atomic<std::uint64_t> injected_{0};
  std::atomic<bool> sealed_{false};
};

}  // namespace stadial::gpu
