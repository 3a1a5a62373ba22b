// The records behind ThreadRegistration. Private to the runtime.
#pragma once

#include <atomic>
#include <cstdint>

#include "stadial/arenas/effects.h"
#include "stadial/runtime/thread_registry.h"

namespace stadial::runtime::detail {

// Counters are kept per role and never cleared, so that sums over all records never decrease while threads
// come and go; a thread's own counters are the difference to `baseline`.
struct alignas(64) GateThreadSlot {
  std::atomic<std::uint32_t> used{0};
  std::atomic<ThreadRole> role{ThreadRole::Unregistered};
  char name[kThreadNameBytesMax] = {};
  std::uintptr_t stackLow = 0;
  std::uintptr_t stackHigh = 0;
  const GateThreadState* owner = nullptr;
  GateThreadCounters baseline;
  GateTally tallies[4];  // indexed by ThreadRole; Unregistered stays zero
};

GateThreadSlot* ThreadSlots() noexcept STADIAL_NONALLOCATING;  // kRegisteredThreadsMax of them

// Where the calling thread counts now.
inline GateTally& CurrentTally() noexcept {
  GateThreadState& thread = GateThread();
  return thread.tally != nullptr ? *thread.tally : thread.own;
}

// Only the owning thread adds, so a relaxed load and store lose nothing.
inline void AddOwn(std::atomic<std::uint64_t>& counter, std::uint64_t amount) noexcept {
  counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
}

inline void AddTo(GateThreadCounters& sum, const GateTally& tally) noexcept {
  sum.allocations += tally.allocations.load(std::memory_order_relaxed);
  sum.allocatedBytes += tally.allocatedBytes.load(std::memory_order_relaxed);
  sum.frees += tally.frees.load(std::memory_order_relaxed);
  sum.denied += tally.denied.load(std::memory_order_relaxed);
  sum.reports += tally.reports.load(std::memory_order_relaxed);
}

}  // namespace stadial::runtime::detail
