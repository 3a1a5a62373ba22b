#include "telemetry_arenas.h"

#include <cstdio>

namespace stadial::runtime::detail {
namespace {

TelemetryArena ReadSetup(const void* self) noexcept STADIAL_NONALLOCATING {
  const std::size_t bytes = static_cast<const arenas::Arena*>(self)->UsedBytes();
  return {bytes, bytes};
}

template <std::uint32_t kHalf>
TelemetryArena ReadCompile(const void* self) noexcept STADIAL_NONALLOCATING {
  const auto& memory = *static_cast<const CompileMemory*>(self);
  return {memory.UsedBytes(kHalf), memory.PeakBytes(kHalf)};
}

TelemetryArena ReadSlot(const void* self) noexcept STADIAL_NONALLOCATING {
  const auto& lanes = *static_cast<const arenas::LaneSet*>(self);
  return {lanes.UsedBytes(), lanes.PeakBytes()};
}

TelemetryArena ReadFallback(const void* self) noexcept STADIAL_NONALLOCATING {
  const arenas::FallbackHeapStats stats = static_cast<const arenas::FallbackHeap*>(self)->Stats();
  return {stats.liveBytes, stats.peakBytes};
}

}  // namespace

Result<void> AddTelemetryArenas(Telemetry& telemetry, const TelemetryArenas& arenas) noexcept {
  STADIAL_RETURN_IF_ERROR(telemetry.AddArena({.name = "setup",
                                              .capacityBytes = arenas.setupCapacityBytes,
                                              .read = &ReadSetup,
                                              .self = arenas.setup}));
  STADIAL_RETURN_IF_ERROR(telemetry.AddArena({.name = "compile_a",
                                              .capacityBytes = arenas.compileCapacityBytes,
                                              .read = &ReadCompile<0>,
                                              .self = arenas.compile}));
  STADIAL_RETURN_IF_ERROR(telemetry.AddArena({.name = "compile_b",
                                              .capacityBytes = arenas.compileCapacityBytes,
                                              .read = &ReadCompile<1>,
                                              .self = arenas.compile}));
  for (std::uint32_t slot = 0; slot < arenas.slots.size(); ++slot) {
    char name[kTelemetryNameBytesMax];
    std::snprintf(name, sizeof name, "frame_%u", slot);
    STADIAL_RETURN_IF_ERROR(telemetry.AddArena({.name = name,
                                                .capacityBytes = arenas.slots[slot].CapacityBytes(),
                                                .read = &ReadSlot,
                                                .self = &arenas.slots[slot],
                                                .frameSlot = slot}));
  }
  return telemetry.AddArena({.name = "fallback",
                             .capacityBytes = arenas.fallback->ReservedBytes(),
                             .read = &ReadFallback,
                             .self = arenas.fallbackHeap});
}

}  // namespace stadial::runtime::detail
