// HostMemory: the VkAllocationCallbacks of this process, served from the runtime's Driver segment through
// arenas::Recycler (drivers free in any order, from any thread, and do not keep to allocation scopes, so
// neither a bump arena nor a heap per scope would do). Make one per Runtime: it owns the Driver segment's
// recycler.
//
// The six questions. Growth: by carving the committed segment, never by system calls. Exhaustion: the
// callback answers null, the driver reports VK_ERROR_OUT_OF_HOST_MEMORY, and the refusal is counted.
// Alignment: what the driver asks, a power of two. Destructors: none run. Threads: every callback is safe
// from every thread. Invalidation: a block lives until the driver frees it; destroying a HostMemory with live
// blocks is reported on the log.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "stadial/arenas/recycler.h"
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
  std::uint64_t liveBytes = 0;
  std::size_t carvedBytes = 0;
  std::size_t peakBytes = 0;
};

class HostMemory {
 public:
  // Setup phase. Errors: those of Runtime::OpenDriverSegment, or Setup is full.
  static Result<Owned<HostMemory>> Create(runtime::Runtime& runtime) noexcept;

  HostMemory(runtime::Runtime& runtime, arenas::Segment& segment) noexcept;
  ~HostMemory();
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  // What every vkCreate*, vkDestroy*, vkAllocate* and vkFree* of this layer passes. Stable address.
  const VkAllocationCallbacks* Callbacks() const noexcept { return &callbacks_; }

  // From here on only recycled blocks and `headroomBytes` more are handed out, so that a leak inside a driver
  // shows as a counted refusal instead of eating the segment frame by frame. Which blocks are live
  // when the seal comes is racy by one to three of a class (lavapipe frees from its queue thread), so the
  // headroom is at least one block per class and frame in flight.
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
  PhaseCounters& Counters() noexcept;
  std::size_t TrackedSize(const void* block) const noexcept;
  bool ShouldInject() noexcept;

  runtime::Runtime& runtime_;
  arenas::Recycler recycler_;
  VkAllocationCallbacks callbacks_{};
  std::array<PhaseCounters, kPhaseCount> counters_{};
  std::atomic<std::uint64_t> internalAllocations_{0};
  std::atomic<std::uint64_t> injectCountdown_{0};  // 0: off; 1: the next allocation fails
  std::atomic<std::uint64_t> injectRepeat_{0};
  std::atomic<std::uint64_t> injected_{0};
  std::atomic<bool> sealed_{false};
};

}  // namespace stadial::gpu
