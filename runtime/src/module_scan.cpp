#include "stadial/runtime/module_scan.h"

#include <mutex>

#include "module_scan_elf.h"

namespace stadial::runtime {
namespace {

constinit UncoveredModule uncovered[kUncoveredModulesMax] = {};
constinit ModuleScanStats lastStats;
constinit std::mutex scanMutex;

}  // namespace

std::span<const UncoveredModule> ScanModules() noexcept {
  const std::lock_guard lock(scanMutex);
  lastStats = ModuleScanStats{};
  const std::size_t count = detail::ScanElfModules(uncovered, lastStats);
  return {uncovered, count};
}

ModuleScanStats LastModuleScanStats() noexcept {
  const std::lock_guard lock(scanMutex);
  return lastStats;
}

}  // namespace stadial::runtime
