// What every allocator here is measured against, in every program, so that a run shows by itself whether two
// processes had the same machine:
//   ideal     a bump that checks nothing, as an object that others may see: its cursor is written each time;
//   register  a local cursor that never leaves its register, which no object passed by reference can be.
// For frames the floor is a table of addresses computed beforehand (frame_workload.h).
#pragma once

#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string>
#include <utility>

#include "allocate_workload.h"

namespace stadial::bench {

inline constexpr std::size_t kBumpSizes[] = {16, 64, 256};
inline constexpr std::size_t kBumpCounts[] = {10'000, 100'000, 1'000'000};
// The largest batch, a cache line more for every 4 KiB of it, and what alignment can add.
inline constexpr std::size_t kBumpBytesMax =
    kBumpCounts[std::size(kBumpCounts) - 1] * kBumpSizes[std::size(kBumpSizes) - 1] + (std::size_t{8} << 20);

// Memory of the kernel, every page faulted in, for programs that must not link the region.
class PopulatedMemory {
 public:
  explicit PopulatedMemory(std::size_t bytes) : bytes_(bytes) {
    void* const mapped =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (mapped == MAP_FAILED) {
      std::fprintf(stderr, "the kernel refused %zu B for a benchmark\n", bytes);
      std::abort();
    }
    base_ = static_cast<std::byte*>(mapped);
  }
  ~PopulatedMemory() { ::munmap(base_, bytes_); }
  PopulatedMemory(const PopulatedMemory&) = delete;
  PopulatedMemory& operator=(const PopulatedMemory&) = delete;
  std::byte* Base() const { return base_; }
  std::size_t Bytes() const { return bytes_; }

 private:
  std::byte* base_ = nullptr;
  std::size_t bytes_;
};

struct UncheckedBump {
  std::byte* cursor;
};

template <std::size_t kBytes>
void RunIdealBump(benchmark::State& state, std::byte* base) {
  UncheckedBump bump{base};
  benchmark::DoNotOptimize(&bump);
  RunAllocateBatches(
      state, static_cast<std::size_t>(state.range(0)),
      [&] {
        std::byte* const block = std::exchange(bump.cursor, bump.cursor + kBytes);
        asm volatile("" : : "m"(bump.cursor));  // somebody may look: the store has to happen
        return block;
      },
      [&](std::uint64_t**) { bump.cursor = base; });
}

template <std::size_t kBytes>
void RunRegisterBump(benchmark::State& state, std::byte* base) {
  std::byte* cursor = base;
  RunAllocateBatches(
      state, static_cast<std::size_t>(state.range(0)), [&] { return std::exchange(cursor, cursor + kBytes); },
      [&](std::uint64_t**) { cursor = base; });
}

// "Bump_constant_64/arena/100000": kind, peer, blocks per batch.
inline std::string BumpName(const char* kind, std::size_t bytes, const char* peer) {
  return std::string("Bump_") + kind + "_" + std::to_string(bytes) + "/" + peer;
}

// Registers `run` for every batch size. `run` gets the state and finds the batch size in its range(0).
template <class Run>
void RegisterBump(const char* kind, std::size_t bytes, const char* peer, Run run) {
  auto* const registered = benchmark::RegisterBenchmark(BumpName(kind, bytes, peer).c_str(), run);
  for (const std::size_t count : kBumpCounts) registered->Arg(static_cast<std::int64_t>(count));
}

// memory() -> the base of kBumpBytesMax populated bytes; asked when a benchmark runs, not when it is
// registered.
template <std::size_t kBytes, class Memory>
void RegisterIdealsOf(Memory memory) {
  RegisterBump("constant", kBytes, "ideal",
               [memory](benchmark::State& state) { RunIdealBump<kBytes>(state, memory()); });
  RegisterBump("constant", kBytes, "register",
               [memory](benchmark::State& state) { RunRegisterBump<kBytes>(state, memory()); });
}

template <class Memory>
void RegisterIdeals(Memory memory) {
  RegisterIdealsOf<16>(memory);
  RegisterIdealsOf<64>(memory);
  RegisterIdealsOf<256>(memory);
}

}  // namespace stadial::bench
