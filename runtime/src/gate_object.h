// What the OBJECT target stadial::gate tells the runtime library about itself. The library refers to it
// weakly: null means that the program does not link the gate. Private to the runtime and its gate.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "stadial/arenas/effects.h"

namespace stadial::runtime::detail {

struct GateSymbol {
  const char* name;     // as in the dynamic symbol table ("_Znwm")
  const void* address;  // the gate's definition; null where a sanitizer owns it
};

struct GateObject {
  const char* method;  // GateSelfTestResult::method
  bool canDeny;        // false where allocations are seen through hooks that cannot refuse
  bool hooked;         // false when the hooks could not be installed; `why` says more
  const char* why;
  const GateSymbol* symbols;
  std::size_t symbolCount;
  const std::atomic<std::uint64_t>*
      foreignBlocks;  // blocks of other allocators that were given to free or realloc
  // Told when gateProcessFlags becomes zero or stops being so; may be null.
  void (*watch)(bool on) noexcept STADIAL_NONALLOCATING;
};

}  // namespace stadial::runtime::detail

extern "C" [[gnu::weak]] const stadial::runtime::detail::GateObject* StadialGateObject() noexcept;
