// WorkerThreads: Stadial's own threads for tasks. The thread that calls Run is worker 0; the others are
// started at Setup, registered (role Worker, "worker 1", "worker 2" ...) and wait: first spinning, so that a
// wave begins and ends in well under a microsecond, then parked in the kernel. Jobs stand inside a gate
// scope: one that allocates on them is treated by `policy` (R6).
//
// Run does not wait for a thread that has not begun when the calling thread is through: by then the work is
// done.
//
//   WorkerThreadsPtr workers = WorkerThreads::Create(runtime->SetupArena(), {.workerCount = 4}).Value();
//
// Growth:     none; the object lives in `setup`, the stacks are the C library's.
// Exhaustion: of threads at Create: an error, with those already started stopped again.
// Threads:    Run from one thread at a time, and not from inside a job (asserted). Destroy on a thread that
//             is not a worker; nothing may be running.
// Cost:       Run: 0.2 us with a second thread that spins and does its share (bench/runtime/task_bench); a
//             futex wake when the threads are parked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/result.h"
#include "stadial/runtime/gate_policies.h"
#include "stadial/runtime/task_runner.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

inline constexpr std::uint32_t kTaskWorkersMax = 64;  // the design's ceiling of lanes

struct WorkerThreadsOptions {
  std::uint32_t workerCount = 0;  // the calling thread included; 0: one per core, up to kTaskWorkersMax
  std::size_t stackBytes = std::size_t{1} << 20;
  // Of each stack, touched at the start so that no frame takes the page fault. Less than stackBytes.
  std::size_t stackPrefaultBytes = std::size_t{64} << 10;
  // How long a thread without work spins before it parks. With more workers than cores nobody spins: it would
  // keep another worker from the core.
  std::uint64_t spinNs = 50'000;
  // What a job's malloc and free meet on the started threads, by the phase of `phases`; null: always that of
  // phase Frame. Of a Runtime's workers both are its own (RuntimeOptions::gate).
  GateRules policy = GatePolicy::Trap;
  const PhaseMachine* phases = nullptr;
  // Count the VM system calls of jobs on the started threads (kernel_witness.h).
  bool kernelWitness = false;
};

// What jobs did on the started threads, the sum over them, since they were started. Never falls.
struct WorkerCounters {
  std::uint64_t heapAllocations = 0;  // seen by the gate, as the policy lets it count
  std::uint64_t heapFrees = 0;
  std::uint64_t vmSyscalls = 0;  // without the driver's
  std::uint64_t minorFaults = 0;
};

class WorkerThreads;
struct WorkerThreadsDeleter {
  void operator()(WorkerThreads* workers) const noexcept;  // stops and joins the threads
};
using WorkerThreadsPtr = std::unique_ptr<WorkerThreads, WorkerThreadsDeleter>;

class WorkerThreads final : public TaskRunner {
 public:
  // Returns when every thread is registered and waits. InvalidArgument: an option out of range;
  // CapacityExceeded: `setup` is too small; OutOfMemory: the system refuses a thread (which, and why).
  static Result<WorkerThreadsPtr> Create(arenas::Arena& setup,
                                         const WorkerThreadsOptions& options = {}) noexcept;

  // What Create takes from its arena, at most. `workerCount` as in the options.
  static std::size_t CalculateBytes(std::uint32_t workerCount) noexcept;

  std::uint32_t WorkerCount() const noexcept override;
  void Run(Job job, void* data) noexcept override;
  std::uint64_t SpinNs() const noexcept;  // in force: 0 with more workers than cores

  // On the thread that calls Run. Complete up to the last Run, but for page faults, which cost their thread a
  // system call to count: it does so before it parks, and before its first job under a new frame index.
  WorkerCounters Counters() const noexcept STADIAL_NONALLOCATING;
  // Returns when every started thread has come by: Counters is complete then. Wakes those that are parked, so
  // it is not for frames.
  void Rendezvous() noexcept STADIAL_NONALLOCATING;
  // Null: every started thread counts VM system calls; otherwise why one does not.
  const char* WhyNoWitness() const noexcept;

  struct State;

 private:
  friend struct WorkerThreadsDeleter;
  friend class arenas::Arena;
  explicit WorkerThreads(State& state) noexcept : state_(&state) {}
  State* state_;
};

}  // namespace stadial::runtime
