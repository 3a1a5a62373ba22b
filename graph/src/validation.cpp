#include "stadial/graph/validation.h"

#include <cstdio>
#include <cstring>

namespace stadial::graph {

const char* ToString(FaultKind kind) noexcept {
  switch (kind) {
    case FaultKind::Cycle:
      return "Cycle";
    case FaultKind::SelfEdge:
      return "SelfEdge";
    case FaultKind::DanglingConnection:
      return "DanglingConnection";
    case FaultKind::TypeMismatch:
      return "TypeMismatch";
    case FaultKind::RoleMismatch:
      return "RoleMismatch";
    case FaultKind::DoublyWritten:
      return "DoublyWritten";
    case FaultKind::MissingInput:
      return "MissingInput";
    case FaultKind::DuplicateName:
      return "DuplicateName";
    case FaultKind::CapacityShortfall:
      return "CapacityShortfall";
    case FaultKind::SlotMismatch:
      return "SlotMismatch";
    case FaultKind::DescriptorMismatch:
      return "DescriptorMismatch";
    case FaultKind::ReplayPeriod:
      return "ReplayPeriod";
    case FaultKind::LayoutMismatch:
      return "LayoutMismatch";
    case FaultKind::TransientMismatch:
      return "TransientMismatch";
  }
  return "unknown";
}

arenas::Result<void> ValidationReport::ToResult(const char* graphName) const noexcept {
  if (IsValid()) return {};
  char text[arenas::kErrorMessageBytesMax] = {};
  std::size_t used = 0;
  std::uint32_t shown = 0;
  for (const Fault& fault : faults) {
    const int written = std::snprintf(text + used, sizeof(text) - used, "%s[%s] %s", shown == 0 ? "" : "; ",
                                      ToString(fault.kind), fault.text);
    // The last text may be cut, but not to a useless stump.
    if (shown > 0 && (written < 0 || used + static_cast<std::size_t>(written) >= sizeof(text) - 96)) {
      text[used] = '\0';
      break;
    }
    used += static_cast<std::size_t>(written < 0 ? 0 : written);
    ++shown;
    if (used >= sizeof(text)) break;
  }
  return arenas::Error::Format(arenas::ErrorCode::Invalid, "graph '%s' has %u fault%s%s: %s", graphName,
                               totalCount, totalCount == 1 ? "" : "s",
                               shown < totalCount ? " (all of them: RenderGraph::Validate)" : "", text);
}

}  // namespace stadial::graph
