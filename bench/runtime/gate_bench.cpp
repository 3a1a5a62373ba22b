// What the gate costs: an allocation and its free through it, under each policy, against mimalloc called
// directly (the same allocator without the gate, in the same process); a scope; the tracker; the kernel
// witness; and what a program pays at start, the module scan. The differences are a nanosecond or two, less
// than a busy sibling core adds, so operations are timed in batches of 1,000 and "ns_per_op", of the
// quietest batch, is what rows.json compares.
#include <benchmark/benchmark.h>
#include <mimalloc.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#include "quietest_batch.h"
#include "stadial/runtime/allocation_tracker.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/kernel_witness.h"

namespace {

using stadial::bench::RunBatches;
using stadial::runtime::AllocationTracker;
using stadial::runtime::CurrentThreadCounters;
using stadial::runtime::GatePolicy;
using stadial::runtime::GateScope;
using stadial::runtime::GateState;
using stadial::runtime::Phase;
using stadial::runtime::RunGateSelfTest;
using stadial::runtime::ScanModules;
using stadial::runtime::ThreadRegistration;
using stadial::runtime::ThreadRole;
using stadial::runtime::VmSyscallWitness;

// Not armed (a sanitizer build that cannot, say): the numbers would be of something else.
bool IsArmed(benchmark::State& state) {
  if (RunGateSelfTest().state == GateState::Armed) return true;
  state.SkipWithError(RunGateSelfTest().why);
  return false;
}

// Compilers drop a pair whose block nobody sees. The checksum counts misaligned blocks: none.
template <class Allocate, class Free>
void RunPairs(benchmark::State& state, Allocate allocate, Free free) {
  if (!IsArmed(state)) return;
  const auto bytes = static_cast<std::size_t>(state.range(0));
  std::uint64_t misaligned = 0;
  RunBatches(state, [&] {
    void* block = allocate(bytes);
    asm volatile("" : "+r"(block) : : "memory");
    misaligned |= reinterpret_cast<std::uintptr_t>(block) & 15;
    free(block);
  });
  state.counters["checksum"] = static_cast<double>(misaligned);
}

void BM_MimallocPair(benchmark::State& state) { RunPairs(state, mi_malloc, mi_free); }
void BM_GatePairAllow(benchmark::State& state) { RunPairs(state, std::malloc, std::free); }
void BM_GateNewDeleteAllow(benchmark::State& state) {
  RunPairs(
      state, [](std::size_t bytes) { return ::operator new(bytes); },
      [](void* block) { ::operator delete(block); });
}
void BM_GatePairCount(benchmark::State& state) {
  const ThreadRegistration registration(ThreadRole::Worker, "bench");
  const GateScope scope(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "bench");
  RunPairs(state, std::malloc, std::free);
}
void BM_GatePairTracked(benchmark::State& state) {
  AllocationTracker tracker;
  tracker.StartTracking();
  RunPairs(state, std::malloc, std::free);
}

void BM_GateScope(benchmark::State& state) {
  // The scope's own barriers keep its four stores.
  RunBatches(state, [] { GateScope scope(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "bench"); });
  state.counters["checksum"] = 0;
}

void BM_ThreadCounters(benchmark::State& state) {
  const ThreadRegistration registration(ThreadRole::Worker, "bench");
  std::uint64_t allocations = 0;
  RunBatches(state, [&] { allocations += CurrentThreadCounters().allocations; });
  state.counters["checksum"] = static_cast<double>(allocations);
}

template <class Body>
void RunWithWitness(benchmark::State& state, Body body) {
  auto witness = VmSyscallWitness::Install();
  if (!witness) {
    state.SkipWithError(witness.GetError().Message());
    return;
  }
  body(witness.Value());
  state.counters["checksum"] = static_cast<double>(witness.Value().Counts().Vm());
}

void BM_WitnessWindow(benchmark::State& state) {
  RunWithWitness(state, [&](VmSyscallWitness& witness) {
    RunBatches(state, [&] {
      witness.Enter();
      witness.Leave();
    });
  });
}

// getppid is the cheapest call that enters the kernel.
void BM_WitnessedSyscall(benchmark::State& state) {
  RunWithWitness(state, [&](VmSyscallWitness& witness) {
    witness.Enter();
    RunBatches(state, [] { ::syscall(SYS_getppid); });
    witness.Leave();
  });
}
void BM_SyscallBesideWitness(benchmark::State& state) {
  RunWithWitness(state, [&](VmSyscallWitness&) { RunBatches(state, [] { ::syscall(SYS_getppid); }); });
}
void BM_SyscallWithoutWitness(benchmark::State& state) {
  RunBatches(state, [] { ::syscall(SYS_getppid); });
  state.counters["checksum"] = 0;
}

void BM_MinorFaults(benchmark::State& state) {
  RunBatches(state, [] { benchmark::DoNotOptimize(stadial::runtime::MinorFaults()); });
  state.counters["checksum"] = 0;
}

void BM_ModuleScan(benchmark::State& state) {
  std::size_t uncovered = 0;
  for (auto _ : state) uncovered += ScanModules().size();
  state.counters["checksum"] = static_cast<double>(uncovered);
}

BENCHMARK(BM_MimallocPair)->Arg(64)->Arg(1024);
BENCHMARK(BM_GatePairAllow)->Arg(64)->Arg(1024);
BENCHMARK(BM_GateNewDeleteAllow)->Arg(64);
BENCHMARK(BM_GatePairCount)->Arg(64);
BENCHMARK(BM_GatePairTracked)->Arg(64);
BENCHMARK(BM_GateScope);
BENCHMARK(BM_ThreadCounters);
BENCHMARK(BM_WitnessWindow);
BENCHMARK(BM_WitnessedSyscall);
BENCHMARK(BM_SyscallBesideWitness);
BENCHMARK(BM_SyscallWithoutWitness);
BENCHMARK(BM_MinorFaults);
BENCHMARK(BM_ModuleScan)->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
