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
  const arenas::Arena* setup = nullptr;  // the sealed one: filled before Telemetry::Seal
  std::size_t setupCapacityBytes = 0;
  CompileMemory* compile = nullptr;
  std::size_t compileCapacityBytes = 0;  // of each half
  std::span<arenas::LaneSet> slots;
  const arenas::Segment* fallback = nullptr;
  const arenas::FallbackHeap* fallbackHeap = nullptr;
};

// All of it must outlive `telemetry`.
Result<void> AddTelemetryArenas(Telemetry& telemetry, const TelemetryArenas& arenas) noexcept;

}  // namespace stadial::runtime::detail
