// The platform half of the kernel witness: Syscall User Dispatch on x86-64 Linux. Private to the runtime.
#pragma once

#include <atomic>
#include <cstdint>

#include "stadial/runtime/kernel_witness.h"

namespace stadial::runtime::detail {

// One per thread, in static thread-local storage. Only its own thread and the SIGSYS handler on that thread
// touch it.
struct WitnessThreadState {
  // The kernel reads this byte at every system call of the thread: 1 while a window is open.
  std::atomic<unsigned char> selector{0};
  bool installed = false;
  VmSyscallPolicy policy = VmSyscallPolicy::Count;
  VmSyscallCounts counts;
  FirstVmSyscall first;
};

WitnessThreadState& CurrentWitness() noexcept STADIAL_NONALLOCATING;

// Turns dispatch on for the calling thread. The error says what is missing.
Result<void> TurnDispatchOn(WitnessThreadState& state) noexcept;
void TurnDispatchOff() noexcept;

}  // namespace stadial::runtime::detail
