#include "stadial/runtime/worker_threads.h"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <optional>
#include <span>

#include "core_count.h"
#include "gate_counters.h"
#include "spin_lock.h"
#include "stadial/runtime/clock.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/kernel_witness.h"
#include "stadial/runtime/thread_registry.h"
#include "stadial/runtime/wait_on_word.h"
#include "thread_registry_table.h"

namespace stadial::runtime {
namespace {

constexpr std::uint32_t kPausesPerLook = 16;  // while spinning, between two looks at the clock

// The caller may be a frame thread under the kernel witness.
void Sleep(const std::atomic<std::uint32_t>& word, std::uint32_t expected) noexcept {
  const WitnessExemption exemption;
  WaitOnWord(word, expected, kNoDeadline);
}
void Wake(std::atomic<std::uint32_t>& word) noexcept {
  const WitnessExemption exemption;
  WakeWord(word);
}

// A thread's share of a job: four times the job's generation, and one of these.
constexpr std::uint32_t kOffered = 0;
constexpr std::uint32_t kRunning = 1;
constexpr std::uint32_t kEnded = 2;  // or taken back

struct alignas(64) Thread {
  WorkerThreads::State* state = nullptr;
  std::uint32_t worker = 0;
  pthread_t handle = {};

  // What it did; written by the thread alone.
  const detail::GateTally* tally = nullptr;  // as it was at the start: tallyBefore
  GateThreadCounters tallyBefore;
  VmSyscallWitness* witness = nullptr;
  std::uint64_t faultsBefore = 0;
  std::uint64_t faultsFrame = 0;    // frame index under which it last counted its faults
  bool hasUncountedFaults = false;  // it ran a job since
  std::atomic<std::uint64_t> vmSyscalls{0};
  std::atomic<std::uint64_t> minorFaults{0};

  alignas(64) std::atomic<std::uint32_t> share{kEnded};  // Run waits on it

  // Outside the witness's window: it is a system call.
  void CountFaults() noexcept {
    minorFaults.store(MinorFaults() - faultsBefore, std::memory_order_relaxed);
    faultsFrame = detail::GateFrame();
    hasUncountedFaults = false;
  }

  void RunJob(TaskRunner::Job job, void* data) noexcept {
    if (hasUncountedFaults && faultsFrame != detail::GateFrame()) CountFaults();
    if (witness != nullptr) witness->Enter();
    job(data, worker);
    hasUncountedFaults = true;
    if (witness == nullptr) return;
    witness->Leave();
    const VmSyscallCounts counts = witness->Counts();
    vmSyscalls.store(counts.Vm() - counts.driverVm, std::memory_order_relaxed);
  }
};

}  // namespace

struct WorkerThreads::State {
  WorkerThreadsOptions options;
  std::uint32_t workerCount = 1;
  std::uint64_t spinNs = 0;
  std::span<Thread> threads;  // workerCount - 1
  std::uint32_t startedCount = 0;
  bool isRunning = false;
  WorkerThreads* object = nullptr;
  std::atomic<bool> lacksWitness{false};
  char witnessReason[arenas::kErrorMessageBytesMax] = {};  // of the first thread without

  // Written by Run, read by the threads.
  alignas(64) Job job = nullptr;  // null: only count
  void* data = nullptr;
  Phase phase = Phase::Frame;
  bool isStopping = false;
  std::atomic<std::uint32_t> generation{0};            // of the job; the threads wait on it
  alignas(64) std::atomic<std::uint32_t> sleepers{0};  // that wait on `generation` in the kernel
  std::atomic<std::uint32_t> isCallerAsleep{0};

  // Returns the present generation, once it is not `seen`.
  std::uint32_t WaitForGeneration(Thread& thread, std::uint32_t seen) noexcept {
    const std::uint64_t startNs = NowNs();
    while (generation.load(std::memory_order_acquire) == seen) {
      for (std::uint32_t i = 0; i < kPausesPerLook && generation.load(std::memory_order_relaxed) == seen; ++i)
        PauseProcessor();
      if (generation.load(std::memory_order_relaxed) != seen || NowNs() - startNs < spinNs) continue;
      if (thread.hasUncountedFaults) thread.CountFaults();
      // Counted before the last look, as Run looks for sleepers after its change: one of the two sees the
      // other.
      sleepers.fetch_add(1, std::memory_order_seq_cst);
      while (generation.load(std::memory_order_seq_cst) == seen) Sleep(generation, seen);
      sleepers.fetch_sub(1, std::memory_order_relaxed);
    }
    return generation.load(std::memory_order_acquire);
  }

  // False when Run has taken the share back, or a later one has begun.
  static bool TakeShare(Thread& thread, std::uint32_t number) noexcept {
    std::uint32_t expected = number * 4 + kOffered;
    return thread.share.compare_exchange_strong(expected, number * 4 + kRunning, std::memory_order_acquire,
                                                std::memory_order_relaxed);
  }
  void EndShare(Thread& thread, std::uint32_t number) noexcept {
    thread.share.store(number * 4 + kEnded, std::memory_order_seq_cst);
    if (isCallerAsleep.load(std::memory_order_seq_cst) != 0) Wake(thread.share);
  }

  // Takes the share back, or waits until it has ended.
  void FinishShare(Thread& thread, std::uint32_t number) noexcept {
    std::uint32_t expected = number * 4 + kOffered;
    if (thread.share.compare_exchange_strong(expected, number * 4 + kEnded, std::memory_order_relaxed))
      return;
    WaitForShare(thread, number * 4 + kRunning);
  }
  void WaitForShare(Thread& thread, std::uint32_t notYet) noexcept {
    const std::uint64_t startNs = NowNs();
    while (thread.share.load(std::memory_order_acquire) == notYet) {
      for (std::uint32_t i = 0; i < kPausesPerLook && thread.share.load(std::memory_order_relaxed) == notYet;
           ++i)
        PauseProcessor();
      if (thread.share.load(std::memory_order_relaxed) != notYet || NowNs() - startNs < spinNs) continue;
      isCallerAsleep.store(1, std::memory_order_seq_cst);
      while (thread.share.load(std::memory_order_seq_cst) == notYet) Sleep(thread.share, notYet);
      isCallerAsleep.store(0, std::memory_order_relaxed);
    }
  }

  // Returns the job's generation.
  std::uint32_t Offer(std::span<Thread> some) noexcept {
    const std::uint32_t next = generation.load(std::memory_order_relaxed) + 1;
    for (Thread& thread : some) thread.share.store(next * 4 + kOffered, std::memory_order_release);
    generation.store(next, std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) != 0) Wake(generation);
    return next;
  }
};

namespace {

// Touches the pages below, so that no job is the first to do so.
[[gnu::noinline]] void PrefaultStack(std::size_t bytes, std::size_t page) noexcept {
  if (bytes == 0) return;
  auto* const memory = static_cast<volatile char*>(__builtin_alloca(bytes));
  for (std::size_t offset = 0; offset < bytes; offset += page) memory[offset] = 0;
}

void InstallWitness(Thread& thread, std::optional<VmSyscallWitness>& witness) noexcept {
  WorkerThreads::State& state = *thread.state;
  Result<VmSyscallWitness> installed = VmSyscallWitness::Install();
  if (installed.HasValue()) {
    thread.witness = &witness.emplace(std::move(installed).Value());
  } else if (!state.lacksWitness.exchange(true, std::memory_order_relaxed)) {
    // Create reads it once every thread has ended its start.
    std::snprintf(state.witnessReason, sizeof state.witnessReason, "worker %u: %.480s", thread.worker,
                  installed.GetError().Message());
  }
}

void* RunThread(void* argument) noexcept {
  Thread& thread = *static_cast<Thread*>(argument);
  WorkerThreads::State& state = *thread.state;
  char name[16];  // as much as the kernel keeps
  std::snprintf(name, sizeof(name), "worker %u", thread.worker);
#if defined(__linux__)
  ::pthread_setname_np(::pthread_self(), name);
#endif
  const ThreadRegistration registration(ThreadRole::Worker, name);
  thread.tally = &detail::CurrentTally();
  detail::AddTo(thread.tallyBefore, *thread.tally);
  std::optional<VmSyscallWitness> witness;
  if (state.options.kernelWitness) InstallWitness(thread, witness);
  PrefaultStack(state.options.stackPrefaultBytes, static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)));
  thread.faultsBefore = MinorFaults();
  std::uint32_t generation = 0;
  state.EndShare(thread, 0);  // of starting
  for (;;) {
    generation = state.WaitForGeneration(thread, generation);
    if (!WorkerThreads::State::TakeShare(thread, generation)) continue;
    if (state.isStopping) return nullptr;
    if (state.job != nullptr) {
      const GateRule& rule = state.options.policy.Of(state.phase);
      const GateScope gate(rule.allocate, rule.free, state.phase, "task");
      thread.RunJob(state.job, state.data);
    } else if (thread.hasUncountedFaults) {
      thread.CountFaults();
    }
    state.EndShare(thread, generation);
  }
}

// Zero, or the error number of the C library.
int StartThread(Thread& thread, std::size_t stackBytes) noexcept {
  pthread_attr_t attributes;
  int error = ::pthread_attr_init(&attributes);
  if (error != 0) return error;
  error = ::pthread_attr_setstacksize(&attributes, stackBytes);
  if (error == 0) error = ::pthread_create(&thread.handle, &attributes, &RunThread, &thread);
  ::pthread_attr_destroy(&attributes);
  return error;
}

void StopThreads(WorkerThreads::State& state) noexcept {
  state.isStopping = true;
  state.Offer(state.threads.first(state.startedCount));
  for (Thread& thread : state.threads.first(state.startedCount)) ::pthread_join(thread.handle, nullptr);
  state.startedCount = 0;
}

std::uint32_t ResolveWorkers(std::uint32_t workerCount) noexcept {
  return workerCount != 0 ? workerCount : std::min(CoreCount(), kTaskWorkersMax);
}

Result<void> CheckOptions(const WorkerThreadsOptions& options) noexcept {
  if (options.workerCount > kTaskWorkersMax) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "WorkerThreadsOptions::workerCount is %u; it must be 0 (one per core) to %u",
                         options.workerCount, kTaskWorkersMax);
  }
  if (options.stackPrefaultBytes >= options.stackBytes) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "WorkerThreadsOptions::stackPrefaultBytes is %zu; it must be less than stackBytes, %zu",
        options.stackPrefaultBytes, options.stackBytes);
  }
  return CheckGateRules("WorkerThreadsOptions::policy", options.policy);
}

}  // namespace

std::uint32_t CoreCount() noexcept {
#if defined(__linux__)
  cpu_set_t cores;
  if (::sched_getaffinity(0, sizeof(cores), &cores) == 0)
    return std::max(1u, static_cast<std::uint32_t>(CPU_COUNT(&cores)));
#endif
  return static_cast<std::uint32_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
}

std::size_t WorkerThreads::CalculateBytes(std::uint32_t workerCount) noexcept {
  constexpr std::size_t kSkipped = 64;  // by alignment
  return sizeof(State) + kSkipped + sizeof(WorkerThreads) + kSkipped +
         (ResolveWorkers(workerCount) - 1) * sizeof(Thread) + kSkipped;
}

Result<WorkerThreadsPtr> WorkerThreads::Create(arenas::Arena& setup,
                                               const WorkerThreadsOptions& options) noexcept {
  STADIAL_RETURN_IF_ERROR(CheckOptions(options));
  const std::uint32_t cores = CoreCount();
  const std::uint32_t workers = ResolveWorkers(options.workerCount);
  State* const state = setup.TryNew<State>();
  WorkerThreads* const object = state == nullptr ? nullptr : setup.TryNew<WorkerThreads>(*state);
  const std::span<Thread> threads = setup.TryNewArray<Thread>(workers - 1);
  if (object == nullptr || threads.size() != workers - 1) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "arena '%s' has %zu B left, too little for %u worker threads (%zu B); raise its capacity",
        setup.Name(), setup.RemainingBytes(), workers,
        sizeof(State) + sizeof(WorkerThreads) + threads.size_bytes());
  }
  state->options = options;
  state->workerCount = workers;
  state->spinNs = workers > cores ? 0 : options.spinNs;
  state->threads = threads;
  WorkerThreadsPtr result(object);
  for (std::uint32_t i = 0; i < threads.size(); ++i) {
    threads[i].state = state;
    threads[i].worker = i + 1;
    threads[i].share.store(kRunning, std::memory_order_relaxed);
    const int error = StartThread(threads[i], options.stackBytes);
    if (error != 0) {
      for (Thread& thread : threads.first(i)) state->WaitForShare(thread, kRunning);
      return Error::Format(
          ErrorCode::OutOfMemory,
          "worker thread %u of %u could not be started with a stack of %zu B: %s; lower "
          "WorkerThreadsOptions::workerCount or stackBytes, or raise the system's limit of threads",
          i + 1, workers - 1, options.stackBytes, ::strerrordesc_np(error));
    }
    ++state->startedCount;
  }
  for (Thread& thread : threads) state->WaitForShare(thread, kRunning);
  return result;
}

void WorkerThreadsDeleter::operator()(WorkerThreads* workers) const noexcept {
  STADIAL_ASSERT_ALWAYS(!workers->state_->isRunning, "WorkerThreads destroyed while a job runs");
  StopThreads(*workers->state_);
}

std::uint32_t WorkerThreads::WorkerCount() const noexcept { return state_->workerCount; }
std::uint64_t WorkerThreads::SpinNs() const noexcept { return state_->spinNs; }

WorkerCounters WorkerThreads::Counters() const noexcept {
  WorkerCounters sum;
  for (const Thread& thread : state_->threads.first(state_->startedCount)) {
    GateThreadCounters counters;
    detail::AddTo(counters, *thread.tally);
    sum.heapAllocations += counters.allocations - thread.tallyBefore.allocations;
    sum.heapFrees += counters.frees - thread.tallyBefore.frees;
    sum.vmSyscalls += thread.vmSyscalls.load(std::memory_order_relaxed);
    sum.minorFaults += thread.minorFaults.load(std::memory_order_relaxed);
  }
  return sum;
}

void WorkerThreads::Rendezvous() noexcept {
  State& state = *state_;
  STADIAL_ASSERT_ALWAYS(!state.isRunning, "WorkerThreads::Rendezvous inside a job");
  if (state.threads.empty()) return;
  state.job = nullptr;
  const std::uint32_t generation = state.Offer(state.threads);
  for (Thread& thread : state.threads) {
    state.WaitForShare(thread, generation * 4 + kOffered);
    state.WaitForShare(thread, generation * 4 + kRunning);
  }
}

const char* WorkerThreads::WhyNoWitness() const noexcept {
  if (!state_->options.kernelWitness) return "switched off by WorkerThreadsOptions::kernelWitness";
  return state_->lacksWitness.load(std::memory_order_relaxed) ? state_->witnessReason : nullptr;
}

void WorkerThreads::Run(Job job, void* data) noexcept {
  State& state = *state_;
  STADIAL_ASSERT_ALWAYS(!state.isRunning, "WorkerThreads::Run inside a job, or on two threads at once");
  state.isRunning = true;
  if (state.workerCount > 1) {
    state.job = job;
    state.data = data;
    if (state.options.phases != nullptr) state.phase = state.options.phases->Current();
    const std::uint32_t generation = state.Offer(state.threads);
    job(data, 0);
    for (Thread& thread : state.threads) state.FinishShare(thread, generation);
  } else {
    job(data, 0);
  }
  state.isRunning = false;
}

}  // namespace stadial::runtime
