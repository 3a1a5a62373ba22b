// The platform half of the module scan. Private to the runtime.
#pragma once

#include <cstddef>
#include <span>

#include "stadial/runtime/module_scan.h"

namespace stadial::runtime::detail {

// Fills `out`, adds to `stats`, returns how many entries were written. One scan at a time.
std::size_t ScanElfModules(std::span<UncoveredModule> out, ModuleScanStats& stats) noexcept;

}  // namespace stadial::runtime::detail
