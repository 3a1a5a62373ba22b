// Process-wide numbers of the gate. Private to the runtime.
#pragma once

#include <atomic>
#include <cstdint>

#include "stadial/arenas/effects.h"
#include "stadial/runtime/gate_state.h"

namespace stadial::runtime::detail {

inline constexpr std::uint64_t kNoGateFrame = ~std::uint64_t{0};

extern constinit std::atomic<std::uint64_t> gateFrame [[gnu::visibility("hidden")]];
// The frame last announced by SetGateFrame; kNoGateFrame before the first.
inline std::uint64_t GateFrame() noexcept { return gateFrame.load(std::memory_order_relaxed); }

// Sets or clears one of kGateTrackersActive and kGateFramesRunning, and tells the gate's object.
void SetGateProcessFlag(std::uint32_t flag, bool on) noexcept STADIAL_NONALLOCATING;

// What unregistered threads outside of any scope meet while frames run; Count and Count at first.
// Process-wide.
void SetGateOtherThreads(GatePolicy allocate, GatePolicy free) noexcept;

}  // namespace stadial::runtime::detail
