#include "gate_report.h"

#include <unistd.h>

#include "gate_counters.h"
#include "gate_stack.h"
#include "gate_text.h"
#include "stadial/runtime/designated_fallback.h"

namespace stadial::runtime::detail {
namespace {

// A full stack of long symbols, and the lines around it.
constexpr std::size_t kReportBytesMax = 6144;

const char* Headline(GatePolicy policy) noexcept {
  switch (policy) {
    case GatePolicy::Trap:
      return "stadial: gate trap: ";
    case GatePolicy::Deny:
      return "stadial: gate denied: ";
    default:
      return "stadial: gate report: ";
  }
}

const char* Consequence(const GateViolation& violation) noexcept {
  if (violation.policy == GatePolicy::Report)
    return violation.isFree ? "the block was freed" : "the memory was handed out";
  return violation.isFree ? "the block was not freed" : "no memory was handed out";
}

}  // namespace

void PrintGateViolation(const GateViolation& violation) noexcept {
  char bytes[kReportBytesMax];
  GateText text(bytes, sizeof bytes);
  text.Append(Headline(violation.policy)).Append(ToString(violation.call));
  if (violation.isFree) {
    text.Append(" of block ").AppendPointer(violation.block);
  } else {
    text.Append(" of ").AppendDecimal(violation.sizeBytes).Append(" B");
  }
  text.Append(" on thread '")
      .Append(CurrentThreadName())
      .Append("' (role ")
      .Append(ToString(CurrentThreadRole()));
  if (gateThread.slot != nullptr) text.Append(", index ").AppendDecimal(CurrentThreadIndex());
  text.Append(") in phase ")
      .Append(ToString(static_cast<Phase>((gateThread.word & kGatePhaseMask) >> kGatePhaseShift)));
  if (const std::uint64_t frame = GateFrame(); frame != kNoGateFrame)
    text.Append(", frame ").AppendDecimal(frame);
  text.Append(", component '").Append(gateThread.component).Append("'");
  if (gateThread.driverEntryPoint != nullptr) text.Append(", inside ").Append(gateThread.driverEntryPoint);
  if (gateThread.fallback != nullptr && !violation.isFree)
    text.Append(", refused by fallback site '").Append(gateThread.fallback->Name()).Append("'");
  text.Append("; policy ").Append(ToString(violation.policy));
  text.Append(": ").Append(Consequence(violation)).Append("\n");
  if (violation.note != nullptr) text.Append("  note: ").Append(violation.note).Append("\n");

  const void* frames[kGateStackDepthMax];
  AppendStack(text, frames, CaptureStackFull(violation.caller, frames, kGateStackDepthMax));
  text.Append(
      violation.isFree
          ? "  remedy: release it outside the frame, or keep it in an arena that is rewound as a whole\n"
          : "  remedy: take it from the frame's lane, reserve it in Setup, or register a FallbackSite for "
            "it\n");
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, text.Data(), text.Length());
}

}  // namespace stadial::runtime::detail
