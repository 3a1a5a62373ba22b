// The runtime's own arenas, as its telemetry shows them. Private to the runtime.
#pragma once

#include <cstddef>
#include <span>

#include "stadial/arenas/fallback_heap.h"
#include "stadial/arenas/lanes.h"
#include "stadial/arenas/region.h"
#include "stadial/runtime/compile_memory.h"
#include "stadial/runtime/telemetry.h"

namespace stadial::runtime::detail {

struct TelemetryArenas {
  const arenas::Segment* setup = nullptr;
  const std::size_t* setupBytes = nullptr;  // what Setup took; set before Telemetry::Seal
  CompileMemory* compile = nullptr;
  std::span<arenas::LaneSet> slots;
  const arenas::Segment* fallback = nullptr;
  const arenas::FallbackHeap* fallbackHeap = nullptr;
};

// All of it must outlive `telemetry`.
Result<void> AddTelemetryArenas(Telemetry& telemetry, const TelemetryArenas& arenas) noexcept;

}  // namespace stadial::runtime::detail
