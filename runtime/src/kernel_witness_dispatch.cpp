#include "kernel_witness_dispatch.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STADIAL_THREAD_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define STADIAL_THREAD_SANITIZER 1
#endif

#if defined(__x86_64__) && defined(__linux__) && !defined(STADIAL_THREAD_SANITIZER)

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "gate_stack.h"
#include "stadial/arenas/virtual_memory.h"
#include "stadial/runtime/gate_state.h"

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF 0
#define PR_SYS_DISPATCH_ON 1
#endif

// The code that may enter the kernel while a window is open. The kernel compares the address after the
// syscall instruction, so each syscall needs one more instruction inside the range.
//
// Reissue runs in the interrupted context, after the handler has returned: registers are the original
// call's, rcx holds where to continue (the instruction would have left exactly that in rcx). The stack below
// the red zone carries it across the call, so that signals may nest. Restorer is what a signal handler
// returns through.
asm(R"(
  .pushsection .text.stadialWitness,"ax",@progbits
  .p2align 4
  .globl stadialWitnessExemptBegin
  .hidden stadialWitnessExemptBegin
  .hidden stadialWitnessExemptEnd
  .hidden stadialWitnessRestorer
  .hidden stadialWitnessReissue
  .globl stadialWitnessExemptEnd
  .globl stadialWitnessRestorer
  .globl stadialWitnessReissue
stadialWitnessExemptBegin:
  .type stadialWitnessRestorer, @function
stadialWitnessRestorer:
  movq $15, %rax
  syscall
  ud2
  .size stadialWitnessRestorer, . - stadialWitnessRestorer
  .type stadialWitnessReissue, @function
stadialWitnessReissue:
  leaq -136(%rsp), %rsp
  movq %rcx, (%rsp)
  syscall
  movq (%rsp), %rcx
  leaq 136(%rsp), %rsp
  jmpq *%rcx
  .size stadialWitnessReissue, . - stadialWitnessReissue
stadialWitnessExemptEnd:
  .popsection
)");

extern "C" {
extern const char stadialWitnessExemptBegin[];
extern const char stadialWitnessExemptEnd[];
void stadialWitnessRestorer();
void stadialWitnessReissue();
}

namespace stadial::runtime::detail {
namespace {

constexpr int kSigsysUserDispatch = 2;  // si_code SYS_USER_DISPATCH; glibc 2.36 has no name for it
constexpr std::size_t kKernelSigsetBytes = 8;

// The kernel's own layout: glibc's sigaction would install its own restorer, which lies outside the exempt
// range.
struct KernelSigaction {
  void (*handler)(int, siginfo_t*, void*);
  unsigned long flags;
  void (*restorer)();
  unsigned long mask;
};
constexpr unsigned long kFlagRestorer = 0x04000000;

constinit KernelSigaction previousAction{};

// Is it one of the six?
bool Count(WitnessThreadState& state, long number, const greg_t* registers) noexcept {
  VmSyscallCounts& counts = state.counts;
  ++counts.total;
  switch (number) {
    case SYS_mmap:
      ++counts.mmap;
      break;
    case SYS_munmap:
      ++counts.munmap;
      break;
    case SYS_mprotect:
      ++counts.mprotect;
      break;
    case SYS_mremap:
      ++counts.mremap;
      break;
    case SYS_madvise:
      ++counts.madvise;
      break;
    case SYS_brk:
      ++counts.brk;
      break;
    default:
      return false;
  }
  if ((gateThread.word & kGateDriverBit) != 0) ++counts.driverVm;
  if (state.first.number >= 0) return true;
  state.first.number = number;
  state.first.frames[0] = reinterpret_cast<const void*>(registers[REG_RIP]);
  state.first.depth =
      1 + WalkFramePointers(static_cast<std::uintptr_t>(registers[REG_RBP]), &state.first.frames[1],
                            kWitnessStackDepthMax - 1, UnknownBounds::Stop);
  return true;
}

// The C library blocks all signals around thread creation, and a system call that is dispatched while SIGSYS
// is blocked kills the process. So a change of the signal mask is not issued again but carried out on the
// mask that the handler returns to, with SIGSYS left out of it. False: not a change that can be carried out
// here.
bool ChangeSignalMask(ucontext_t& context) noexcept {
  greg_t* const registers = context.uc_mcontext.gregs;
  const auto* const wanted = reinterpret_cast<const unsigned long*>(registers[REG_RSI]);
  auto* const old = reinterpret_cast<unsigned long*>(registers[REG_RDX]);
  if (static_cast<std::size_t>(registers[REG_R10]) != kKernelSigsetBytes) return false;
  auto* const mask = reinterpret_cast<unsigned long*>(&context.uc_sigmask);
  const unsigned long before = *mask;
  if (wanted != nullptr) {
    switch (registers[REG_RDI]) {
      case SIG_BLOCK:
        *mask |= *wanted;
        break;
      case SIG_UNBLOCK:
        *mask &= ~*wanted;
        break;
      case SIG_SETMASK:
        *mask = *wanted;
        break;
      default:
        return false;
    }
    *mask &= ~(1ul << (SIGSYS - 1));
  }
  if (old != nullptr) *old = before;
  registers[REG_RAX] = 0;
  return true;
}

// Runs with the window open, so it must not make a system call outside the exempt range: it only counts and
// redirects.
void OnSigsys(int signal, siginfo_t* info, void* context) noexcept {
  if (info->si_code != kSigsysUserDispatch) {
    if ((previousAction.flags & SA_SIGINFO) != 0 && previousAction.handler != nullptr)
      return previousAction.handler(signal, info, context);
    // Not ours and nobody else's: end the way an unhandled SIGSYS ends.
    CurrentWitness().selector.store(0, std::memory_order_relaxed);
    KernelSigaction standard{};
    syscall(SYS_rt_sigaction, SIGSYS, &standard, nullptr, kKernelSigsetBytes);
    raise(SIGSYS);
    return;
  }
  WitnessThreadState& state = CurrentWitness();
  greg_t* const registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const long number = info->si_syscall;
  const bool isVm = Count(state, number, registers);
  if (isVm && state.policy == VmSyscallPolicy::Deny) {
    ++state.counts.denied;
    if (number != SYS_brk) {
      registers[REG_RAX] = -ENOMEM;
      return;
    }
    registers[REG_RDI] = 0;  // a break that cannot move is answered with where it is
  }
  registers[REG_RAX] = number;
  switch (number) {
    case SYS_rt_sigreturn:
      // Another handler's return, which expects its frame at the stack pointer.
      --state.counts.total;
      registers[REG_RIP] = reinterpret_cast<greg_t>(&stadialWitnessRestorer);
      return;
    case SYS_rt_sigprocmask:
      if (ChangeSignalMask(*static_cast<ucontext_t*>(context))) return;
      break;
    case SYS_clone:
    case SYS_clone3:
    case SYS_fork:
    case SYS_vfork:
      // The child would come back on another stack, or share this one. Close the window and let the call run
      // where it stands: two bytes back, at the syscall instruction.
      ++state.counts.lostWindows;
      state.selector.store(0, std::memory_order_relaxed);
      registers[REG_RIP] -= 2;
      return;
    default:
      break;
  }
  registers[REG_RCX] = registers[REG_RIP];
  registers[REG_RIP] = reinterpret_cast<greg_t>(&stadialWitnessReissue);
}

// The kernel does not give dispatch to a forked child.
void OnForkInChild() noexcept {
  WitnessThreadState& state = CurrentWitness();
  state.selector.store(0, std::memory_order_relaxed);
  state.installed = false;
}

constinit std::mutex installMutex;
constinit bool processPrepared = false;

Result<void> PrepareProcess() noexcept {
  const std::lock_guard lock(installMutex);
  if (processPrepared) return {};
  KernelSigaction action{};
  action.handler = &OnSigsys;
  // NODEFER: a signal handled during ours may make system calls too.
  action.flags = SA_SIGINFO | SA_NODEFER | kFlagRestorer;
  action.restorer = &stadialWitnessRestorer;
  if (syscall(SYS_rt_sigaction, SIGSYS, &action, &previousAction, kKernelSigsetBytes) != 0) {
    return Error::Format(ErrorCode::NotSupported,
                         "a SIGSYS handler cannot be installed: %s; VM system calls cannot be counted",
                         strerrordesc_np(errno));
  }
  pthread_atfork(nullptr, nullptr, &OnForkInChild);
  processPrepared = true;
  return {};
}

}  // namespace

Result<void> TurnDispatchOn(WitnessThreadState& state) noexcept {
  // valgrind hands the prctl to the kernel, which would then dispatch valgrind's own system calls and kill
  // the process.
  if (arenas::ReadAddressSpaceLimits().underValgrind) {
    return Error::Format(
        ErrorCode::NotSupported,
        "valgrind makes system calls of its own on this thread; VM system calls cannot be counted");
  }
  STADIAL_RETURN_IF_ERROR(PrepareProcess());
  state.selector.store(0, std::memory_order_relaxed);
  sigset_t dispatched;
  sigemptyset(&dispatched);
  sigaddset(&dispatched, SIGSYS);
  pthread_sigmask(SIG_UNBLOCK, &dispatched, nullptr);
  const auto begin = reinterpret_cast<unsigned long>(stadialWitnessExemptBegin);
  const auto length = static_cast<unsigned long>(stadialWitnessExemptEnd - stadialWitnessExemptBegin);
  if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, begin, length, &state.selector) != 0) {
    return Error::Format(ErrorCode::NotSupported,
                         "Syscall User Dispatch was refused (%s); it needs Linux 5.11, no valgrind and no "
                         "sandbox in the way; VM "
                         "system calls cannot be counted",
                         strerrordesc_np(errno));
  }
  return {};
}

void TurnDispatchOff() noexcept { prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0); }

}  // namespace stadial::runtime::detail

#else

namespace stadial::runtime::detail {

Result<void> TurnDispatchOn(WitnessThreadState&) noexcept {
#if defined(STADIAL_THREAD_SANITIZER)
  return Error::Format(
      ErrorCode::NotSupported,
      "ThreadSanitizer must own all signals; VM system calls cannot be counted in this build");
#else
  return Error::Format(
      ErrorCode::NotSupported,
      "Syscall User Dispatch exists on x86-64 Linux only; VM system calls cannot be counted");
#endif
}

void TurnDispatchOff() noexcept {}

}  // namespace stadial::runtime::detail

#endif
