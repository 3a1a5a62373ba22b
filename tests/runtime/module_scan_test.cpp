#include "stadial/runtime/module_scan.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>

#include "gate/gate_forms.h"
#include "stadial/runtime/gate.h"
#include "test_support.h"

namespace stadial::runtime::testing {
namespace {

class Library {
 public:
  Library(const char* path, int flags) : handle_(::dlopen(path, flags)) {}
  ~Library() {
    if (handle_ != nullptr) ::dlclose(handle_);
  }
  Library(const Library&) = delete;
  Library& operator=(const Library&) = delete;

  bool IsLoaded() const { return handle_ != nullptr; }
  template <class Function>
  Function* Find(const char* name) const {
    return reinterpret_cast<Function*>(::dlsym(handle_, name));
  }

 private:
  void* handle_;
};

const UncoveredModule* FindModule(std::span<const UncoveredModule> modules, const char* name) {
  for (const UncoveredModule& module : modules) {
    if (std::strstr(module.path, name) != nullptr) return &module;
  }
  return nullptr;
}

std::string Listed(std::span<const UncoveredModule> modules) {
  std::string text;
  for (const UncoveredModule& module : modules)
    text += std::string(module.path) + ": " + module.reason + "\n";
  return text;
}

TEST(ModuleScan, R6_ThisProgramIsCoveredCompletely) {
  STADIAL_ASSERT_ARMED();
  const auto modules = ScanModules();
  EXPECT_TRUE(modules.empty()) << Listed(modules);
  const ModuleScanStats stats = LastModuleScanStats();
  EXPECT_GE(stats.modules, 4u);  // the program, libc, libstdc++, the loader
  EXPECT_GE(stats.slots, 10u);
  EXPECT_EQ(stats.unknown, 0u);
}

TEST(ModuleScan, R6_ASecondScanFindsNothingUnbound) {
  ScanModules();
  ScanModules();
  EXPECT_EQ(LastModuleScanStats().resolvedByScan, 0u);
}

TEST(ModuleScan, R6_LazyLibrariesAreBoundAndCovered) {
  const Library library(STADIAL_BYPASSING_LIBRARY, RTLD_LAZY | RTLD_LOCAL);
  ASSERT_TRUE(library.IsLoaded()) << ::dlerror();
  const auto modules = ScanModules();
  EXPECT_EQ(FindModule(modules, "bypassing_library"), nullptr) << Listed(modules);
  EXPECT_GE(LastModuleScanStats().resolvedByScan, 4u) << "its slots were lazy, so the scan had to bind them";
  // What the scan promises, seen by the gate itself.
  STADIAL_ASSERT_ARMED();
  const CountedScope counted;
  void* const block = library.Find<void*(std::size_t)>("BypassingAllocate")(100);
  EXPECT_EQ(counted.Allocations(), 1u);
  library.Find<void(void*)>("BypassingFree")(block);
  EXPECT_EQ(counted.Frees(), 1u);
}

TEST(ModuleScan, R6_TheScanIsInvisibleToPoliciesAndCounters) {
  const Library library(STADIAL_BYPASSING_LIBRARY, RTLD_LAZY | RTLD_LOCAL);
  const CountedScope counted;
  const GateScope trap(GatePolicy::Trap, GatePolicy::Trap, Phase::Setup, "scan");
  ScanModules();
  EXPECT_EQ(counted.Allocations(), 0u);
}

TEST(ModuleScan, R6_DeepBoundLibrariesAreListedWithTheReason) {
  if (kIsSanitized) GTEST_SKIP() << "sanitizers refuse RTLD_DEEPBIND";
  STADIAL_ASSERT_ARMED();
  for (const int binding : {RTLD_LAZY, RTLD_NOW}) {
    const Library library(STADIAL_BYPASSING_LIBRARY, binding | RTLD_LOCAL | RTLD_DEEPBIND);
    ASSERT_TRUE(library.IsLoaded()) << ::dlerror();
    const auto modules = ScanModules();
    const UncoveredModule* const found = FindModule(modules, "bypassing_library");
    ASSERT_NE(found, nullptr) << Listed(modules);
    EXPECT_NE(std::strstr(found->reason, "bypasses the gate (RTLD_DEEPBIND?): it leads to "), nullptr)
        << found->reason;
    EXPECT_NE(std::strstr(found->reason, "libc.so.6"), nullptr) << found->reason;
    EXPECT_EQ(modules.size(), 1u) << Listed(modules);
    // And it is true: the gate is blind to it.
    const CountedScope counted;
    library.Find<void(void*)>("BypassingFree")(library.Find<void*(std::size_t)>("BypassingAllocate")(100));
    EXPECT_EQ(counted.Allocations(), 0u);
  }
  EXPECT_TRUE(ScanModules().empty()) << "unloaded again";
}

TEST(ModuleScan, R6_BlocksOfADeepBoundLibraryGoBackToTheirOwner) {
  if (kIsSanitized) GTEST_SKIP() << "sanitizers refuse RTLD_DEEPBIND";
  const Library library(STADIAL_BYPASSING_LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  ASSERT_TRUE(library.IsLoaded()) << ::dlerror();
  const auto allocate = library.Find<void*(std::size_t)>("BypassingAllocate");
  const std::uint64_t before = ForeignBlocksFreed();
  const auto passBlocks = [&] {
    for (const std::size_t bytes : {std::size_t{24}, std::size_t{5000}, std::size_t{1} << 20}) {
      auto* block = static_cast<char*>(allocate(bytes));
      ASSERT_NE(block, nullptr);
      EXPECT_GE(::malloc_usable_size(block), bytes);
      std::memset(block, 'f', bytes);
      block = static_cast<char*>(Escape(std::realloc(block, 2 * bytes)));
      ASSERT_NE(block, nullptr);
      EXPECT_EQ(block[bytes - 1], 'f');
      std::free(Escape(block));
    }
  };
  passBlocks();  // from the program break, and mapped
  EXPECT_EQ(ForeignBlocksFreed() - before, 6u);
  std::thread(passBlocks).join();  // from an arena of the thread's own
  EXPECT_EQ(ForeignBlocksFreed() - before, 12u);
  char* const copy = library.Find<char*(const char*)>("BypassingCopy")("text");
  EXPECT_STREQ(copy, "text");
  std::free(Escape(copy));
  // strdup lies in the C library, whose own calls do come to the gate: that copy was ours.
  EXPECT_EQ(ForeignBlocksFreed() - before, 12u);
  // The gate still works for our own blocks.
  std::free(Escape(std::malloc(100)));
  EXPECT_EQ(ForeignBlocksFreed() - before, 12u);
}

TEST(ModuleScan, R6_LibrariesWithTheirOwnMallocAreListed) {
  STADIAL_ASSERT_ARMED();
  const Library library(STADIAL_OWN_MALLOC_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  ASSERT_TRUE(library.IsLoaded()) << ::dlerror();
  const auto modules = ScanModules();
  const UncoveredModule* const found = FindModule(modules, "own_malloc_library");
  ASSERT_NE(found, nullptr) << Listed(modules);
  EXPECT_NE(std::strstr(found->reason, "is defined by the module itself, which is linked with -Bsymbolic"),
            nullptr)
      << found->reason;
  const CountedScope counted;
  EXPECT_NE(library.Find<void*(std::size_t)>("OwnAllocate")(64), nullptr);
  EXPECT_EQ(counted.Allocations(), 0u);
}

}  // namespace
}  // namespace stadial::runtime::testing
