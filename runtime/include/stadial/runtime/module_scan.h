// The module scan: which loaded libraries bypass the gate. It reads the relocations of every module (through
// dl_iterate_phdr) and compares each slot of the malloc family and of operator new and delete with the
// definition that the whole program uses.
//
// A slot that the dynamic linker has not resolved yet says nothing, so the scan resolves it the way the
// module's own first call would: with one harmless call through it (malloc(1), free(nullptr) and the like).
// A module is listed when
//   - a slot leads to another allocator (RTLD_DEEPBIND, a private copy of an allocator), or
//   - it binds a symbol of the family to its own definition (-Bsymbolic, version script).
// Invisible to it, and left to the kernel witness: allocators compiled into a module with hidden symbols,
// direct mmap, and modules in another link namespace (dlmopen).
#pragma once

#include <cstddef>
#include <span>

namespace stadial::runtime {

inline constexpr std::size_t kUncoveredModulesMax = 64;

struct UncoveredModule {
  char path[256];
  char reason[160];  // "malloc leads to /lib/libc.so.6 instead of the gate (RTLD_DEEPBIND?)"
};

struct ModuleScanStats {
  std::size_t modules = 0;         // modules looked at
  std::size_t slots = 0;           // slots compared
  std::size_t resolvedByScan = 0;  // slots that were still unbound and that the scan resolved
  std::size_t unknown = 0;         // slots that could not be resolved; their modules are listed
  std::size_t omitted = 0;         // uncovered modules beyond kUncoveredModulesMax
};

// Scans now. The span points into a static table and is valid until the next call. Call it in Setup and
// after loading libraries; it takes milliseconds and may allocate. Safe to call from several threads, one at
// a time. On platforms other than x86-64 ELF the result is one entry that says so.
std::span<const UncoveredModule> ScanModules() noexcept;

// What the last ScanModules looked at.
ModuleScanStats LastModuleScanStats() noexcept;

}  // namespace stadial::runtime
