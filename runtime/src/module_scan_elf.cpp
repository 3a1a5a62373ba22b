#include "module_scan_elf.h"

#include "gate_text.h"

#if defined(__x86_64__) && defined(__ELF__) && defined(__linux__)

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "gate_object.h"
#include "module_scan_calls.h"
#include "stadial/runtime/gate.h"

namespace stadial::runtime::detail {
namespace {

// Slots that were unbound in all modules together; a program of 300 libraries has about 1,500.
constexpr std::size_t kPendingMax = 4096;
constexpr std::size_t kSymbolicModulesMax = 256;

struct Pending {
  std::uint32_t module;  // index in the iteration order
  std::uint32_t call;
  void** slot;
  void* stub;  // what the slot held: the module's own binding stub
};

// One module's tables, as its dynamic section gives them.
struct ModuleTables {
  std::uintptr_t base = 0;
  const Elf64_Sym* symbols = nullptr;
  const char* strings = nullptr;
  std::span<const Elf64_Rela> plt;
  std::span<const Elf64_Rela> data;
  std::uintptr_t codeLow = ~std::uintptr_t{0};
  std::uintptr_t codeHigh = 0;
  bool isSymbolic = false;  // linked with -Bsymbolic: its calls to what it defines left no slots

  bool ContainsCode(const void* address) const noexcept {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    return at >= codeLow && at < codeHigh;
  }
};

struct Scan {
  std::span<UncoveredModule> out;
  ModuleScanStats& stats;
  const void* expected[kWatchedCallCount] = {};
  std::size_t written = 0;
  std::size_t pendingCount = 0;
  std::uint32_t symbolicModules[kSymbolicModulesMax] = {};
  std::size_t symbolicCount = 0;
  std::uint32_t moduleIndex = 0;
};

constinit Pending pendings[kPendingMax] = {};

// What the whole program uses: the gate's definitions, or whatever the global scope gives where they are not
// linked.
void FindExpected(Scan& scan) noexcept {
  const GateObject* const object = StadialGateObject == nullptr ? nullptr : StadialGateObject();
  for (std::size_t index = 0; index < kWatchedCallCount; ++index) {
    scan.expected[index] = dlsym(RTLD_DEFAULT, kWatchedCalls[index].name);
    for (std::size_t at = 0; object != nullptr && at < object->symbolCount; ++at) {
      if (std::strcmp(object->symbols[at].name, kWatchedCalls[index].name) == 0)
        scan.expected[index] = object->symbols[at].address;
    }
  }
}

ModuleTables ReadTables(const dl_phdr_info& info) noexcept {
  ModuleTables tables;
  tables.base = info.dlpi_addr;
  const Elf64_Dyn* dynamic = nullptr;
  for (std::size_t index = 0; index < info.dlpi_phnum; ++index) {
    const Elf64_Phdr& header = info.dlpi_phdr[index];
    if (header.p_type == PT_DYNAMIC)
      dynamic = reinterpret_cast<const Elf64_Dyn*>(tables.base + header.p_vaddr);
    if (header.p_type == PT_LOAD && (header.p_flags & PF_X) != 0) {
      tables.codeLow = std::min<std::uintptr_t>(tables.codeLow, tables.base + header.p_vaddr);
      tables.codeHigh =
          std::max<std::uintptr_t>(tables.codeHigh, tables.base + header.p_vaddr + header.p_memsz);
    }
  }
  if (dynamic == nullptr) return tables;
  // glibc relocates these pointers in place, except in modules whose dynamic section is read-only.
  const auto address = [&](Elf64_Addr value) noexcept {
    return value < tables.base ? tables.base + value : value;
  };
  const Elf64_Rela* plt = nullptr;
  const Elf64_Rela* data = nullptr;
  std::size_t pltBytes = 0;
  std::size_t dataBytes = 0;
  for (; dynamic->d_tag != DT_NULL; ++dynamic) {
    switch (dynamic->d_tag) {
      case DT_SYMTAB:
        tables.symbols = reinterpret_cast<const Elf64_Sym*>(address(dynamic->d_un.d_ptr));
        break;
      case DT_STRTAB:
        tables.strings = reinterpret_cast<const char*>(address(dynamic->d_un.d_ptr));
        break;
      case DT_JMPREL:
        plt = reinterpret_cast<const Elf64_Rela*>(address(dynamic->d_un.d_ptr));
        break;
      case DT_PLTRELSZ:
        pltBytes = dynamic->d_un.d_val;
        break;
      case DT_RELA:
        data = reinterpret_cast<const Elf64_Rela*>(address(dynamic->d_un.d_ptr));
        break;
      case DT_RELASZ:
        dataBytes = dynamic->d_un.d_val;
        break;
      case DT_SYMBOLIC:
        tables.isSymbolic = true;
        break;
      case DT_FLAGS:
        tables.isSymbolic |= (dynamic->d_un.d_val & DF_SYMBOLIC) != 0;
        break;
      default:
        break;
    }
  }
  if (plt != nullptr) tables.plt = {plt, pltBytes / sizeof(Elf64_Rela)};
  if (data != nullptr) tables.data = {data, dataBytes / sizeof(Elf64_Rela)};
  return tables;
}

// The module's entry in the result, made at its first finding; null when the table is full.
UncoveredModule* EntryOf(Scan& scan, const char* path) noexcept {
  for (std::size_t index = 0; index < scan.written; ++index) {
    if (std::strncmp(scan.out[index].path, path, sizeof scan.out[index].path - 1) == 0)
      return &scan.out[index];
  }
  if (scan.written == scan.out.size()) {
    ++scan.stats.omitted;
    return nullptr;
  }
  UncoveredModule& entry = scan.out[scan.written++];
  entry = UncoveredModule{};
  GateText(entry.path, sizeof entry.path).Append(path);
  return &entry;
}

// Keeps the first reason of a module.
void ListModule(Scan& scan, const char* path, std::string_view symbol, std::string_view problem,
                const char* where) noexcept {
  UncoveredModule* const entry = EntryOf(scan, path);
  if (entry == nullptr || entry->reason[0] != '\0') return;
  GateText text(entry->reason, sizeof entry->reason);
  text.Append(symbol).Append(" ").Append(problem);
  if (where != nullptr) text.Append(where);
}

void JudgeBound(Scan& scan, const char* path, const ModuleTables& tables, std::size_t call,
                const void* value) noexcept {
  if (value == scan.expected[call] || value == nullptr) return;  // null: a weak symbol that nothing defines
  const char* const symbol = kWatchedCalls[call].name;
  if (tables.ContainsCode(value)) {
    ListModule(scan, path, symbol, "is bound to the module's own definition (its own allocator)", nullptr);
    return;
  }
  Dl_info info{};
  const bool known = dladdr(value, &info) != 0 && info.dli_fname != nullptr;
  ListModule(scan, path, symbol, "bypasses the gate (RTLD_DEEPBIND?): it leads to ",
             known ? info.dli_fname : "an unknown place");
}

void LookAtSlots(Scan& scan, const char* path, const ModuleTables& tables,
                 std::span<const Elf64_Rela> relocations) noexcept {
  for (const Elf64_Rela& relocation : relocations) {
    const auto type = ELF64_R_TYPE(relocation.r_info);
    if (type != R_X86_64_JUMP_SLOT && type != R_X86_64_GLOB_DAT && type != R_X86_64_64) continue;
    const Elf64_Sym& symbol = tables.symbols[ELF64_R_SYM(relocation.r_info)];
    if (symbol.st_name == 0) continue;
    const std::size_t call = FindWatchedCall(tables.strings + symbol.st_name);
    if (call == kWatchedCallCount) continue;
    ++scan.stats.slots;
    void** const slot = reinterpret_cast<void**>(tables.base + relocation.r_offset);
    void* const value = __atomic_load_n(slot, __ATOMIC_RELAXED);
    const bool isOwnDefinition = symbol.st_shndx != SHN_UNDEF &&
                                 reinterpret_cast<std::uintptr_t>(value) == tables.base + symbol.st_value;
    // An unbound slot points to the module's own stub, which asks the dynamic linker at the first call.
    if (type == R_X86_64_JUMP_SLOT && tables.ContainsCode(value) && !isOwnDefinition &&
        value != scan.expected[call]) {
      if (scan.pendingCount == kPendingMax) {
        ++scan.stats.unknown;
        ListModule(scan, path, kWatchedCalls[call].name,
                   "is unbound, and too many slots are: link with -z now", nullptr);
      } else {
        pendings[scan.pendingCount++] = {scan.moduleIndex, static_cast<std::uint32_t>(call), slot, value};
      }
      continue;
    }
    JudgeBound(scan, path, tables, call, value);
  }
}

constexpr std::size_t kPathBytesMax = sizeof UncoveredModule::path;

// False for what is no file: the kernel's vdso.
bool PathOf(const dl_phdr_info& info, std::uint32_t moduleIndex, char (&path)[kPathBytesMax]) noexcept {
  GateText text(path, sizeof path);
  if (moduleIndex == 0 || info.dlpi_name == nullptr || info.dlpi_name[0] == '\0') {
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    path[length < 0 ? 0 : length] = '\0';
    if (length <= 0) text.Append("(main program)");
    return true;
  }
  text.Append(info.dlpi_name);
  return std::strchr(info.dlpi_name, '/') != nullptr;
}

int OnModule(dl_phdr_info* info, std::size_t, void* argument) noexcept {
  Scan& scan = *static_cast<Scan*>(argument);
  char path[kPathBytesMax];
  if (PathOf(*info, scan.moduleIndex, path)) {
    ++scan.stats.modules;
    const ModuleTables tables = ReadTables(*info);
    if (tables.symbols != nullptr && tables.strings != nullptr) {
      LookAtSlots(scan, path, tables, tables.plt);
      LookAtSlots(scan, path, tables, tables.data);
      if (tables.isSymbolic && scan.symbolicCount < kSymbolicModulesMax)
        scan.symbolicModules[scan.symbolicCount++] = scan.moduleIndex;
    }
  }
  ++scan.moduleIndex;
  return 0;
}

// Blocks that a harmless call made are given back to whoever made them.
void GiveBack(const Scan& scan, std::size_t call, const void* function, void* block) noexcept {
  const char* const release = kWatchedCalls[call].release;
  if (block == nullptr || release == nullptr) return;
  if (function == scan.expected[call]) {
    Release(release, const_cast<void*>(scan.expected[FindWatchedCall(release)]), block);
    return;
  }
  Dl_info info{};
  if (dladdr(function, &info) == 0 || info.dli_fname == nullptr) return;
  void* const module = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (module == nullptr) return;
  if (void* const theirs = dlsym(module, release); theirs != nullptr) Release(release, theirs, block);
  dlclose(module);
}

// A module, found again by its place in the iteration and kept loaded. Binding and lookups happen outside of
// dl_iterate_phdr, whose lock a concurrent dlopen may be waiting for.
class PinnedModule {
 public:
  explicit PinnedModule(std::uint32_t index) noexcept : wanted_(index) {
    dl_iterate_phdr(&OnModuleAgain, this);
    if (found_) handle_ = dlopen(index == 0 ? nullptr : path_, RTLD_LAZY | RTLD_NOLOAD);
  }
  ~PinnedModule() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  PinnedModule(const PinnedModule&) = delete;
  PinnedModule& operator=(const PinnedModule&) = delete;

  // Null when it was unloaded meanwhile.
  void* Handle() const noexcept { return handle_; }
  const char* Path() const noexcept { return path_; }
  const ModuleTables& Tables() const noexcept { return tables_; }

 private:
  static int OnModuleAgain(dl_phdr_info* info, std::size_t, void* argument) noexcept {
    PinnedModule& module = *static_cast<PinnedModule*>(argument);
    if (module.seen_++ != module.wanted_) return 0;
    PathOf(*info, module.wanted_, module.path_);
    module.tables_ = ReadTables(*info);
    module.found_ = true;
    return 1;
  }

  std::uint32_t wanted_;
  std::uint32_t seen_ = 0;
  bool found_ = false;
  void* handle_ = nullptr;
  ModuleTables tables_;
  char path_[kPathBytesMax] = {};
};

void BindOne(Scan& scan, const PinnedModule& module, const Pending& pending) noexcept {
  void* value = __atomic_load_n(pending.slot, __ATOMIC_RELAXED);
  if (value == pending.stub) {
    void* const block = kWatchedCalls[pending.call].invoke(pending.stub);
    ++scan.stats.resolvedByScan;
    value = __atomic_load_n(pending.slot, __ATOMIC_RELAXED);
    GiveBack(scan, pending.call, value, block);
  }
  if (value == pending.stub) {
    ++scan.stats.unknown;
    ListModule(scan, module.Path(), kWatchedCalls[pending.call].name, "stays unbound (LD_BIND_NOT?): unknown",
               nullptr);
  } else {
    JudgeBound(scan, module.Path(), module.Tables(), pending.call, value);
  }
}

void BindPending(Scan& scan) noexcept {
  std::size_t index = 0;
  while (index < scan.pendingCount) {
    const std::uint32_t moduleIndex = pendings[index].module;
    const PinnedModule module(moduleIndex);
    for (; index < scan.pendingCount && pendings[index].module == moduleIndex; ++index) {
      // The same place may hold another module by now: its code must still contain the stub.
      if (module.Handle() != nullptr && module.Tables().ContainsCode(pendings[index].stub)) {
        BindOne(scan, module, pendings[index]);
      } else {
        ++scan.stats.unknown;
        ListModule(scan, module.Path(), kWatchedCalls[pendings[index].call].name,
                   "is unbound, and the module was unloaded meanwhile or its path is too long: unknown",
                   nullptr);
      }
    }
  }
}

void ListSymbolicAllocators(Scan& scan) noexcept {
  for (std::size_t at = 0; at < scan.symbolicCount; ++at) {
    const PinnedModule module(scan.symbolicModules[at]);
    if (module.Handle() == nullptr) continue;
    for (std::size_t call = 0; call < kWatchedCallCount; ++call) {
      const void* const definition = dlsym(module.Handle(), kWatchedCalls[call].name);
      if (definition == nullptr || definition == scan.expected[call] ||
          !module.Tables().ContainsCode(definition))
        continue;
      ListModule(scan, module.Path(), kWatchedCalls[call].name,
                 "is defined by the module itself, which is linked with -Bsymbolic", nullptr);
      break;
    }
  }
}

}  // namespace

std::size_t ScanElfModules(std::span<UncoveredModule> out, ModuleScanStats& stats) noexcept {
  Scan scan{.out = out, .stats = stats};
  // What the scan itself allocates, and what it calls, is the gate's own.
  const std::uint64_t word = gateThread.word;
  gateThread.word |= kGateBusyBit;
  GateCompilerBarrier();
  FindExpected(scan);
  dl_iterate_phdr(&OnModule, &scan);
  BindPending(scan);
  ListSymbolicAllocators(scan);
  GateCompilerBarrier();
  gateThread.word = word;
  return scan.written;
}

}  // namespace stadial::runtime::detail

#else

namespace stadial::runtime::detail {

std::size_t ScanElfModules(std::span<UncoveredModule> out, ModuleScanStats& stats) noexcept {
  stats.unknown = 1;
  out[0] = UncoveredModule{};
  GateText(out[0].path, sizeof out[0].path).Append("(every module)");
  GateText(out[0].reason, sizeof out[0].reason).Append("the module scan knows x86-64 ELF on Linux only");
  return 1;
}

}  // namespace stadial::runtime::detail

#endif
