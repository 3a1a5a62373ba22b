#include "stadial/runtime/kernel_witness.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel_witness_dispatch.h"
#include "stadial/arenas/assert.h"
#include "stadial/runtime/realtime_sanitizer.h"

namespace stadial::runtime {
namespace detail {

namespace {
constinit thread_local WitnessThreadState witnessThread [[gnu::tls_model("initial-exec")]];
}
WitnessThreadState& CurrentWitness() noexcept {
  return STADIAL_EFFECTS_REVIEWED("initial-exec thread-local storage", witnessThread);
}

}  // namespace detail

VmSyscallCounts operator-(const VmSyscallCounts& later, const VmSyscallCounts& earlier) noexcept {
  VmSyscallCounts difference;
  difference.mmap = later.mmap - earlier.mmap;
  difference.munmap = later.munmap - earlier.munmap;
  difference.mprotect = later.mprotect - earlier.mprotect;
  difference.mremap = later.mremap - earlier.mremap;
  difference.madvise = later.madvise - earlier.madvise;
  difference.brk = later.brk - earlier.brk;
  difference.total = later.total - earlier.total;
  difference.driverVm = later.driverVm - earlier.driverVm;
  difference.denied = later.denied - earlier.denied;
  difference.lostWindows = later.lostWindows - earlier.lostWindows;
  return difference;
}

WitnessExemption::WitnessExemption() noexcept
    : wasOpen_(detail::CurrentWitness().selector.load(std::memory_order_relaxed) != 0) {
  // Only this thread writes it: no exchange needed.
  if (wasOpen_) detail::CurrentWitness().selector.store(0, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

WitnessExemption::~WitnessExemption() noexcept {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (!wasOpen_) return;
  detail::WitnessThreadState& state = detail::CurrentWitness();
  ++state.counts.total;
  state.selector.store(1, std::memory_order_relaxed);
}

Result<VmSyscallWitness> VmSyscallWitness::Install() noexcept {
  detail::WitnessThreadState& state = detail::CurrentWitness();
  if (state.installed) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "the calling thread has a kernel witness already; keep one per thread");
  }
  STADIAL_RETURN_IF_ERROR(detail::TurnDispatchOn(state));
  state.installed = true;
  VmSyscallWitness witness(&state, &state.selector);

  // Two planted calls, one of them on the list; neither changes anything.
  const VmSyscallCounts before = state.counts;
  witness.Enter();
  const long advised = ::syscall(SYS_madvise, nullptr, 0, 0);
  const long self = ::syscall(SYS_getpid);
  witness.Leave();
  const VmSyscallCounts seen = state.counts - before;
  if (seen.madvise != 1 || seen.total != 2 || advised != 0 || self != ::getpid()) {
    return Error::Format(
        ErrorCode::NotSupported,
        "Syscall User Dispatch was granted but does not work here: of 2 planted system calls %llu were seen "
        "(%llu of 1 madvise); VM system calls cannot be counted",
        static_cast<unsigned long long>(seen.total), static_cast<unsigned long long>(seen.madvise));
  }
  state.counts = VmSyscallCounts{};
  state.policy = VmSyscallPolicy::Count;
  witness.ResetFirst();
  return witness;
}

VmSyscallWitness::~VmSyscallWitness() {
  if (state_ == nullptr) return;
  STADIAL_ASSERT_ALWAYS(state_ == &detail::CurrentWitness(),
                        "a kernel witness belongs to the thread that installed it");
  Leave();
  if (state_->installed) detail::TurnDispatchOff();
  state_->installed = false;
}

void VmSyscallWitness::SetPolicy(VmSyscallPolicy policy) noexcept { state_->policy = policy; }
VmSyscallPolicy VmSyscallWitness::Policy() const noexcept { return state_->policy; }

bool VmSyscallWitness::IsInstalled() const noexcept { return state_ != nullptr && state_->installed; }

VmSyscallCounts VmSyscallWitness::Counts() const noexcept { return state_->counts; }

const FirstVmSyscall& VmSyscallWitness::First() const noexcept { return state_->first; }

void VmSyscallWitness::ResetFirst() noexcept { state_->first = FirstVmSyscall{}; }

std::uint64_t MinorFaults() noexcept {
#if defined(RUSAGE_THREAD)
  rusage usage{};
  const detail::RealtimePause pause;
  if (STADIAL_EFFECTS_REVIEWED("a system call that only reads", ::getrusage(RUSAGE_THREAD, &usage)) == 0)
    return static_cast<std::uint64_t>(usage.ru_minflt);
#endif
  return 0;
}

bool MinorFaultsAvailable() noexcept {
#if defined(RUSAGE_THREAD)
  rusage usage{};
  return getrusage(RUSAGE_THREAD, &usage) == 0;
#else
  return false;
#endif
}

}  // namespace stadial::runtime
