// What the programs of peers share: the check of whose malloc is in force, and memory that is not the
// region's.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdio>
#include <cstring>

#include "frame_workload.h"
#include "ideal_bump.h"
#include "process_probe.h"

namespace stadial::bench {

// Held for the whole run: unmapping it would leave its pages to a peer's next heap.
inline std::byte* BumpMemory() {
  static const PopulatedMemory memory(kBumpBytesMax);
  return memory.Base();
}
inline std::byte* FrameMemory() {
  static const PopulatedMemory memory(FrameBytesMax());
  return memory.Base();
}

// Runs what registerAll() registers, unless the malloc in force is not the one this program was built to
// stand on (STADIAL_BENCH_MALLOC, the beginning of its library's file name).
template <class RegisterAll>
int PeerMain(int argc, char** argv, RegisterAll registerAll) {
  if (std::strncmp(ModuleOfMalloc(), STADIAL_BENCH_MALLOC, std::strlen(STADIAL_BENCH_MALLOC)) != 0) {
    std::fprintf(stderr,
                 "%s was built to stand on %s, but malloc is that of %s: see LD_PRELOAD and the link line\n",
                 argv[0], STADIAL_BENCH_MALLOC, ModuleOfMalloc());
    return 2;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  registerAll();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace stadial::bench
