// What a violation of the gate prints. Private to the runtime.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stadial/runtime/gate.h"

namespace stadial::runtime::detail {

struct GateViolation {
  GateCall call;
  bool isFree;
  std::size_t sizeBytes;  // allocations
  const void* block;      // frees
  GatePolicy policy;
  const void* caller;
  const char* note;  // what the reader must know besides; may be null
};

// One write(2) to standard error with everything: call, size, thread, role, phase, frame, component, stack,
// remedy. Allocates nothing, takes no lock of ours.
void PrintGateViolation(const GateViolation& violation) noexcept;

}  // namespace stadial::runtime::detail
