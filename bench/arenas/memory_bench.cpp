// What memory costs before and after the frame: a reset, from 4 KiB to 1 GiB used, and what it takes to get
// pages from the kernel, by every way there is, so that the choice of Segment::Commit can be judged.
//
//   lazy           readable and writable at once (mprotect), each page faulted in by its first write;
//   populate       mprotect, then MADV_POPULATE_WRITE over all of it: what Segment::Commit does;
//   huge_lazy      the same as lazy, 2 MiB aligned and MADV_HUGEPAGE;
//   huge_populate  the same as populate, 2 MiB aligned and MADV_HUGEPAGE.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "allocate_workload.h"
#include "region_memory.h"
#include "stadial/arenas/virtual_memory.h"

namespace {

using namespace stadial::bench;
using stadial::arenas::Arena;
using stadial::arenas::HugePages;
using stadial::arenas::kHugePageBytes;
using stadial::arenas::PageAccess;
using stadial::arenas::PageSize;
using stadial::arenas::Region;
using stadial::arenas::Segment;

constexpr std::int64_t kResetBytes[] = {4 << 10, 64 << 10, 1 << 20, 16 << 20, 64 << 20, 1 << 30};
constexpr std::size_t kCommitBytes = std::size_t{64} << 20;

// O(1) means: the same at 4 KiB and at 1 GiB used.
void RunReset(benchmark::State& state) {
  const auto bytes = static_cast<std::size_t>(state.range(0));
  RegionMemory memory(bytes);
  Arena arena = memory.MakeArena();
  std::uint64_t used = 0;
  for ([[maybe_unused]] auto _ : state) {
    void* block = arena.Allocate(bytes);
    benchmark::DoNotOptimize(block);
    used = arena.UsedBytes();
    arena.Reset();
    benchmark::ClobberMemory();
  }
  state.counters["checksum"] = static_cast<double>(used);
}

// The segment of the commit benches, committed or not.
class CommitSegment {
 public:
  explicit CommitSegment(HugePages hugePages = HugePages::Never)
      : region_(std::move(Region::Reserve({.sizeBytes = 4 * kCommitBytes})).Value()) {
    segment_ = *region_.AddSegment({.name = "commit", .sizeBytes = kCommitBytes, .hugePages = hugePages});
  }
  Segment* operator->() const { return segment_; }

 private:
  Region region_;
  Segment* segment_ = nullptr;
};

void SetPageCounters(benchmark::State& state, std::size_t bytes, long faults) {
  const std::size_t pageCount = bytes / PageSize();
  const auto pages = static_cast<double>(pageCount);
  state.counters["ns_per_page"] = benchmark::Counter(
      pages * 1e-9,
      benchmark::Counter::Flags(benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert));
  state.counters["faults_per_page"] =
      benchmark::Counter(static_cast<double>(faults) / pages, benchmark::Counter::kAvgIterations);
}

void Require(bool held, const char* what) {
  if (held) return;
  std::perror(what);
  std::abort();
}

template <HugePages kHugePages>
void RunSegmentCommit(benchmark::State& state) {
  CommitSegment segment(kHugePages);
  long faults = 0;
  for ([[maybe_unused]] auto _ : state) {
    const long before = ThreadFaults();
    Require(segment->CommitAll().HasValue(), "Commit");
    faults += ThreadFaults() - before;
    state.PauseTiming();
    Require(segment->Decommit().HasValue(), "Decommit");
    state.ResumeTiming();
  }
  SetPageCounters(state, kCommitBytes, faults);
}

void RunSegmentDecommit(benchmark::State& state) {
  CommitSegment segment;
  for ([[maybe_unused]] auto _ : state) {
    state.PauseTiming();
    Require(segment->CommitAll().HasValue(), "Commit");
    state.ResumeTiming();
    Require(segment->Decommit().HasValue(), "Decommit");
  }
  SetPageCounters(state, kCommitBytes, 0);
}

// Sealing a plan and opening it again.
void RunSegmentProtect(benchmark::State& state) {
  CommitSegment segment;
  Require(segment->CommitAll().HasValue(), "Commit");
  for ([[maybe_unused]] auto _ : state) {
    Require(segment->Protect(PageAccess::ReadOnly).HasValue(), "Protect");
    Require(segment->Protect(PageAccess::ReadWrite).HasValue(), "Protect");
  }
  SetPageCounters(state, kCommitBytes, 0);
}

// Address space of the kernel's, 2 MiB aligned, inaccessible.
class Reserved {
 public:
  Reserved() {
    void* const mapped = ::mmap(nullptr, kCommitBytes + kHugePageBytes, PROT_NONE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    Require(mapped != MAP_FAILED, "mmap");
    mapped_ = static_cast<std::byte*>(mapped);
    const auto address = reinterpret_cast<std::uintptr_t>(mapped_);
    base_ = mapped_ + (kHugePageBytes - address % kHugePageBytes) % kHugePageBytes;
  }
  ~Reserved() { ::munmap(mapped_, kCommitBytes + kHugePageBytes); }
  Reserved(const Reserved&) = delete;
  Reserved& operator=(const Reserved&) = delete;
  std::byte* Base() const { return base_; }

 private:
  std::byte* mapped_ = nullptr;
  std::byte* base_ = nullptr;
};

enum class Fault { Lazy, Populate };
enum class Pages { Small, Huge };

// A kernel without MADV_POPULATE_WRITE, or without huge pages, refuses: that says so and measures nothing.
template <Fault kFault, Pages kPages>
void RunKernelPages(benchmark::State& state) {
  long faults = 0;
  for ([[maybe_unused]] auto _ : state) {
    state.PauseTiming();
    std::optional<Reserved> reserved(std::in_place);
    std::byte* const base = reserved->Base();
    if (::madvise(base, kCommitBytes, kPages == Pages::Huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) != 0 &&
        kPages == Pages::Huge) {
      state.SkipWithError("this kernel has no transparent huge pages");
      break;
    }
    const long before = ThreadFaults();
    state.ResumeTiming();
    Require(::mprotect(base, kCommitBytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
    if constexpr (kFault == Fault::Populate) {
      constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE; libc's headers may be older than the kernel
      Require(::madvise(base, kCommitBytes, kPopulateWrite) == 0, "MADV_POPULATE_WRITE");
    } else {
      for (std::size_t offset = 0; offset < kCommitBytes; offset += PageSize()) base[offset] = std::byte{1};
    }
    state.PauseTiming();
    faults += ThreadFaults() - before;
    reserved.reset();
    state.ResumeTiming();
  }
  SetPageCounters(state, kCommitBytes, faults);
}

// Writing all of it, once it is there: whether huge pages help the steady state.
template <Pages kPages>
void RunSteadyWrite(benchmark::State& state) {
  Reserved reserved;
  std::byte* const base = reserved.Base();
  ::madvise(base, kCommitBytes, kPages == Pages::Huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  Require(::mprotect(base, kCommitBytes, PROT_READ | PROT_WRITE) == 0, "mprotect");
  for (std::size_t offset = 0; offset < kCommitBytes; offset += PageSize()) base[offset] = std::byte{1};
  for ([[maybe_unused]] auto _ : state) {
    for (std::size_t offset = 0; offset < kCommitBytes; offset += 64) base[offset] = std::byte{2};
    benchmark::ClobberMemory();
  }
  SetPageCounters(state, kCommitBytes, 0);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  auto* const reset = benchmark::RegisterBenchmark("Reset", RunReset);
  for (const std::int64_t bytes : kResetBytes) reset->Arg(bytes);
  const auto registerPages = [](const char* name, void (*run)(benchmark::State&)) {
    benchmark::RegisterBenchmark(name, run)->Unit(benchmark::kMicrosecond);
  };
  registerPages("Commit/segment", RunSegmentCommit<HugePages::Never>);
  registerPages("Commit/segment_huge", RunSegmentCommit<HugePages::Advise>);
  registerPages("Commit/lazy", RunKernelPages<Fault::Lazy, Pages::Small>);
  registerPages("Commit/populate", RunKernelPages<Fault::Populate, Pages::Small>);
  registerPages("Commit/huge_lazy", RunKernelPages<Fault::Lazy, Pages::Huge>);
  registerPages("Commit/huge_populate", RunKernelPages<Fault::Populate, Pages::Huge>);
  registerPages("Decommit/segment", RunSegmentDecommit);
  registerPages("Protect/segment", RunSegmentProtect);
  registerPages("Steady/small", RunSteadyWrite<Pages::Small>);
  registerPages("Steady/huge", RunSteadyWrite<Pages::Huge>);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
