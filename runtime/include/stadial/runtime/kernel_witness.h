// The kernel witness: counts the system calls that a thread makes inside a frame, those that change the
// address space one by one (mmap, munmap, mprotect, mremap, madvise, brk), and reads the thread's minor page
// faults. It sees what the gate cannot: a direct mmap, a hidden allocator that grows, a first touch of a
// lazy page.
//
// How: Syscall User Dispatch. While a window is open, every system call of the thread raises SIGSYS before
// it runs; the handler counts it and issues it again from a range of code that the kernel lets pass. A
// window opens and closes with one store. Under the policy Count nothing is forbidden or changed: calls
// return what they would have returned. Under Deny the six fail like a kernel without memory.
//
// Limits. x86-64 Linux 5.11 or newer; elsewhere, under ThreadSanitizer (which must own signals), under
// valgrind and in sandboxes that refuse the prctl, Install returns NotSupported with the reason. Calls that
// start a process or thread (clone, fork, vfork, exec) cannot be issued again from a handler: they run
// unchanged, are counted, and close the window (lostWindows says so). A forked child and threads started
// later have no witness of their own. SIGSYS must not be blocked while a window is open. Signals are served
// normally. Cost (measured by bench/runtime/gate_bench): Enter and Leave under a nanosecond; about 2 µs per
// system call inside a window; on the installed thread, about 80 ns per system call outside.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "stadial/arenas/effects.h"
#include "stadial/arenas/result.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

// Calls counted inside windows.
struct VmSyscallCounts {
  std::uint64_t mmap = 0;
  std::uint64_t munmap = 0;
  std::uint64_t mprotect = 0;
  std::uint64_t mremap = 0;
  std::uint64_t madvise = 0;
  std::uint64_t brk = 0;
  std::uint64_t total = 0;        // every system call, these six included
  std::uint64_t driverVm = 0;     // of the six, those inside a DriverCallScope (also counted above)
  std::uint64_t denied = 0;       // of the six, those that SetPolicy(Deny) let fail
  std::uint64_t lostWindows = 0;  // windows that a clone, fork or exec closed early

  std::uint64_t Vm() const noexcept { return mmap + munmap + mprotect + mremap + madvise + brk; }
};
// later - earlier, per field.
VmSyscallCounts operator-(const VmSyscallCounts& later, const VmSyscallCounts& earlier) noexcept;

enum class VmSyscallPolicy : std::uint8_t {
  Count,
  Deny,  // the six are counted and return ENOMEM without having run; brk returns the unchanged break
};

inline constexpr std::size_t kWitnessStackDepthMax = 16;

// The first address-space call seen: what to look at when the count is not zero.
struct FirstVmSyscall {
  std::int64_t number = -1;  // as in <sys/syscall.h>; -1: none yet
  std::array<const void*, kWitnessStackDepthMax>
      frames{};  // the syscall instruction, then callers as far as they have frame pointers
  std::uint32_t depth = 0;
};

namespace detail {
struct WitnessThreadState;
}

// One per thread, belonging to the thread that installed it: call everything on that thread. Movable, not
// copyable.
class VmSyscallWitness {
 public:
  // Turns dispatch on for the calling thread, proves with planted calls that it counts, and leaves the
  // window closed. A second Install on the same thread while one is alive: InvalidArgument. Call it in
  // Setup.
  static Result<VmSyscallWitness> Install() noexcept;
  ~VmSyscallWitness();
  VmSyscallWitness(VmSyscallWitness&& other) noexcept : state_(other.state_), selector_(other.selector_) {
    other.state_ = nullptr;
  }
  VmSyscallWitness& operator=(VmSyscallWitness&&) = delete;
  VmSyscallWitness(const VmSyscallWitness&) = delete;
  VmSyscallWitness& operator=(const VmSyscallWitness&) = delete;

  // Opens and closes the window. Not nested: Leave closes it, however often it was entered.
  void Enter() noexcept { SetSelector(1); }
  void Leave() noexcept { SetSelector(0); }

  // For the windows from now on.
  void SetPolicy(VmSyscallPolicy policy) noexcept;
  VmSyscallPolicy Policy() const noexcept;

  // False in a forked child, whose kernel-side dispatch is gone: counts stand still there.
  bool IsInstalled() const noexcept;

  VmSyscallCounts Counts() const noexcept STADIAL_NONALLOCATING;
  const FirstVmSyscall& First() const noexcept;
  // Forgets First, so that the next address-space call becomes it.
  void ResetFirst() noexcept;

 private:
  VmSyscallWitness(detail::WitnessThreadState* state, std::atomic<unsigned char>* selector) noexcept
      : state_(state), selector_(selector) {}

  void SetSelector(unsigned char value) noexcept {
    // Nothing may move into the window or out of it.
    asm volatile("" ::: "memory");
    selector_->store(value, std::memory_order_relaxed);
    asm volatile("" ::: "memory");
  }

  detail::WitnessThreadState* state_;
  std::atomic<unsigned char>* selector_;  // the byte that the kernel reads
};

// For one system call of our own that cannot change the address space and stands on a hot path, such as a
// futex wake: while it lives the calling thread's window is closed, so that the call enters the kernel
// directly. It is counted in VmSyscallCounts::total. Nothing else belongs into its lifetime: it would not be
// seen. Not nested. Without an open window it does nothing. Cost: 2 ns.
class WitnessExemption {
 public:
  WitnessExemption() noexcept STADIAL_NONALLOCATING;
  ~WitnessExemption() noexcept STADIAL_NONALLOCATING;
  WitnessExemption(const WitnessExemption&) = delete;
  WitnessExemption& operator=(const WitnessExemption&) = delete;

 private:
  bool wasOpen_;
};

// Minor page faults of the calling thread since it started, exact. Costs one system call (about 200 ns):
// read it outside the window. 0 where the platform cannot say; MinorFaultsAvailable tells which.
std::uint64_t MinorFaults() noexcept STADIAL_NONALLOCATING;
bool MinorFaultsAvailable() noexcept;

}  // namespace stadial::runtime
