// The C library's malloc under the same workload, in a program of its own: Stadial links mimalloc, whose
// library replaces malloc in every program it is part of. With its default settings glibc gives a batch of
// 256 B blocks back to the kernel each time and faults it in again; that is what a program gets, and most of
// that row. The probe says whose malloc is in force; the benchmark refuses to measure another allocator under
// this name.
#include <benchmark/benchmark.h>
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>

#include "allocate_workload.h"

namespace {

const char* ModuleOfMalloc() {
  // Asked of the loader: the address of `malloc` in this program might be a jump of its own.
  Dl_info info{};
  void* const address = dlsym(RTLD_DEFAULT, "malloc");
  return address != nullptr && dladdr(address, &info) != 0 ? info.dli_fname : "unknown";
}

void BM_LibcMalloc(benchmark::State& state) {
  const char* const module = ModuleOfMalloc();
  if (std::strstr(module, "libc.so") == nullptr) {
    state.SkipWithError("malloc is not the C library's in this program");
    return;
  }
  const auto bytes = static_cast<std::size_t>(state.range(0));
  stadial::bench::RunAllocateBatches(
      state,
      [&] {
        void* const block = std::malloc(bytes);
        if (block == nullptr) std::abort();
        return block;
      },
      [](std::uint64_t** blocks) {
        for (std::size_t index = 0; index < stadial::bench::kBlocks; ++index) std::free(blocks[index]);
      });
  state.SetLabel(module);
}
BENCHMARK(BM_LibcMalloc)->Arg(16)->Arg(64)->Arg(256);

}  // namespace

BENCHMARK_MAIN();
