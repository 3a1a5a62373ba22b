#include "stadial/runtime/kernel_witness.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

#include "stadial/runtime/gate.h"
#include "test_support.h"

namespace stadial_test {
[[gnu::noinline]] void* PlantedMmap(std::size_t bytes) {
  void* const pages = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  asm volatile("" : : "r"(pages) : "memory");  // no tail call: this function must be on the stack
  return pages;
}
}  // namespace stadial_test

namespace stadial::runtime::testing {
namespace {

std::atomic<int> signalsHandled{0};
std::atomic<long> syscallInHandler{0};

void OnSignal(int) {
  signalsHandled.fetch_add(1);
  syscallInHandler.store(::syscall(SYS_getpid));
}

struct SignalHandler {
  SignalHandler(int number, int flags) : signal(number) {
    struct sigaction action {};
    action.sa_handler = &OnSignal;
    action.sa_flags = flags;
    ::sigaction(signal, &action, &previous);
    signalsHandled = 0;
    syscallInHandler = 0;
  }
  ~SignalHandler() { ::sigaction(signal, &previous, nullptr); }
  int signal;
  struct sigaction previous {};
};

class KernelWitnessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto installed = VmSyscallWitness::Install();
    if (!installed) GTEST_SKIP() << installed.GetError().Message();
    witness_ = std::make_unique<VmSyscallWitness>(std::move(installed).Value());
  }

  std::unique_ptr<VmSyscallWitness> witness_;
};

TEST(KernelWitnessAvailability, T4_TheBuildsThatCanCountDo) {
  auto installed = VmSyscallWitness::Install();
#if defined(__SANITIZE_THREAD__)
  ASSERT_FALSE(installed);
  EXPECT_EQ(installed.GetError().Code(), ErrorCode::NotSupported);
  EXPECT_NE(std::string(installed.GetError().Message()).find("ThreadSanitizer"), std::string::npos);
#else
  // A sandbox may refuse; then the reason must be there, and never a witness that counts nothing.
  if (!installed) {
    EXPECT_GT(std::strlen(installed.GetError().Message()), 20u);
  }
#endif
}

TEST_F(KernelWitnessTest, T4_CountsEachAddressSpaceCall) {
  witness_->Enter();
  void* pages = ::mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  const int advised = ::madvise(pages, 8192, MADV_NORMAL);
  const int secondAdvice = ::madvise(pages, 4096, MADV_WILLNEED);
  const int isProtected = ::mprotect(pages, 4096, PROT_READ);
  void* const moved = ::mremap(pages, 8192, 16384, MREMAP_MAYMOVE);
  const int unmapped = moved == MAP_FAILED ? -1 : ::munmap(moved, 16384);
  ::syscall(SYS_brk, 0);
  ::syscall(SYS_brk, 0);
  ::syscall(SYS_brk, 0);
  ::syscall(SYS_getppid);
  witness_->Leave();
  const VmSyscallCounts counts = witness_->Counts();
  EXPECT_NE(pages, MAP_FAILED);
  EXPECT_EQ(advised | secondAdvice | isProtected, 0);
  // A mapping with two protections cannot be moved as one; either way the call was counted.
  EXPECT_EQ(counts.mmap, 1u);
  EXPECT_EQ(counts.madvise, 2u);
  EXPECT_EQ(counts.mprotect, 1u);
  EXPECT_EQ(counts.mremap, 1u);
  EXPECT_EQ(counts.munmap, unmapped == 0 ? 1u : 0u);
  EXPECT_EQ(counts.brk, 3u);
  EXPECT_EQ(counts.Vm(), 8u + counts.munmap);
  EXPECT_EQ(counts.total, 9u + counts.munmap);
  EXPECT_EQ(counts.lostWindows, 0u);
  if (moved == MAP_FAILED) ::munmap(pages, 8192);
}

TEST_F(KernelWitnessTest, T4_CountsNothingWhileClosed) {
  void* const pages = stadial_test::PlantedMmap(4096);
  ::munmap(pages, 4096);
  witness_->Enter();
  witness_->Leave();
  ::syscall(SYS_brk, 0);
  EXPECT_EQ(witness_->Counts().total, 0u);
  EXPECT_EQ(witness_->First().number, -1);
}

// An exempt call is not dispatched, but counted; the window is open again behind it.
TEST_F(KernelWitnessTest, T4_AnExemptCallEntersTheKernelDirectly) {
  witness_->Enter();
  long pid = 0;
  {
    const WitnessExemption exempt;
    pid = ::syscall(SYS_getpid);
    ::syscall(SYS_brk, 0);  // what must not stand here: nobody sees it
  }
  witness_->Leave();
  EXPECT_EQ(pid, ::getpid());
  EXPECT_EQ(witness_->Counts().total, 1u);
  EXPECT_EQ(witness_->Counts().brk, 0u);
  witness_->Enter();
  { const WitnessExemption exempt; }
  ::syscall(SYS_brk, 0);
  witness_->Leave();
  EXPECT_EQ(witness_->Counts().total, 3u);
  EXPECT_EQ(witness_->Counts().brk, 1u);
  { const WitnessExemption outside; }
  ::syscall(SYS_brk, 0);
  EXPECT_EQ(witness_->Counts().total, 3u) << "an exemption outside a window must not open one";
}

TEST_F(KernelWitnessTest, T4_CallsReturnWhatTheyWouldHave) {
  int pipeEnds[2];
  char buffer[8] = {};
  witness_->Enter();
  const int piped = ::pipe(pipeEnds);
  const ssize_t written = ::write(pipeEnds[1], "frame", 5);
  const ssize_t got = ::read(pipeEnds[0], buffer, sizeof buffer);
  errno = 0;
  const int bad = ::munmap(reinterpret_cast<void*>(1), 4096);
  const int error = errno;
  const long pid = ::syscall(SYS_getpid);
  // Six arguments, each of which matters.
  void* const at = reinterpret_cast<void*>(std::uintptr_t{0x500000000000});
  void* const fixed = ::mmap(at, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  ::close(pipeEnds[0]);
  ::close(pipeEnds[1]);
  witness_->Leave();
  EXPECT_EQ(piped, 0);
  EXPECT_EQ(written, 5);
  EXPECT_EQ(got, 5);
  EXPECT_STREQ(buffer, "frame");
  EXPECT_EQ(bad, -1);
  EXPECT_EQ(error, EINVAL);
  EXPECT_EQ(pid, ::getpid());
  EXPECT_EQ(fixed, at);
  ::munmap(fixed, 4096);
}

TEST_F(KernelWitnessTest, T4_NamesTheFirstCallAndItsCallers) {
  witness_->Enter();
  ::syscall(SYS_getpid);
  void* const pages = stadial_test::PlantedMmap(4096);
  witness_->Leave();
  ::munmap(pages, 4096);
  const FirstVmSyscall& first = witness_->First();
  EXPECT_EQ(first.number, SYS_mmap);
  // The C library's wrapper has no frame of its own, so the walk goes from its system call to the caller of
  // the function that called it: into this program.
  ASSERT_GE(first.depth, 2u);
  Dl_info wrapper{};
  Dl_info caller{};
  Dl_info program{};
  ASSERT_NE(::dladdr(first.frames[0], &wrapper), 0);
  ASSERT_NE(::dladdr(first.frames[1], &caller), 0);
  ASSERT_NE(::dladdr(reinterpret_cast<const void*>(&stadial_test::PlantedMmap), &program), 0);
  if (!kIsSanitized) {
    ASSERT_NE(wrapper.dli_sname, nullptr);
    EXPECT_NE(std::strstr(wrapper.dli_sname, "mmap"), nullptr) << wrapper.dli_sname;
  }
  EXPECT_EQ(caller.dli_fbase, program.dli_fbase) << caller.dli_fname;
  witness_->ResetFirst();
  EXPECT_EQ(witness_->First().number, -1);
}

TEST_F(KernelWitnessTest, T4_SignalsAreServedInsideAWindow) {
  const SignalHandler handler(SIGUSR1, 0);
  witness_->Enter();
  for (int round = 0; round < 100; ++round) ::raise(SIGUSR1);
  witness_->Leave();
  EXPECT_EQ(signalsHandled.load(), 100);
  EXPECT_EQ(syscallInHandler.load(), ::getpid());
  EXPECT_GE(witness_->Counts().total, 200u);
  EXPECT_EQ(witness_->Counts().Vm(), 0u);
}

TEST_F(KernelWitnessTest, T4_TimersInterruptAtAnyInstruction) {
  const SignalHandler handler(SIGALRM, SA_RESTART);
  const itimerval often{{0, 200}, {0, 200}};
  const itimerval never{{0, 0}, {0, 0}};
  ::setitimer(ITIMER_REAL, &often, nullptr);
  const std::uint64_t rounds = Repetitions(20000);
  std::uint64_t wrong = 0;
  witness_->Enter();
  for (std::uint64_t round = 0; round < rounds; ++round)
    wrong += ::syscall(SYS_getppid) == ::syscall(SYS_getppid) ? 0u : 1u;
  witness_->Leave();
  ::setitimer(ITIMER_REAL, &never, nullptr);
  EXPECT_EQ(wrong, 0u);
  EXPECT_GT(signalsHandled.load(), 0);
  EXPECT_GE(witness_->Counts().total, 2 * rounds);
}

TEST_F(KernelWitnessTest, T4_InterruptedCallsSayEintrOrRestart) {
  int pipeEnds[2];
  ASSERT_EQ(::pipe(pipeEnds), 0);
  char byte = 0;
  {
    const SignalHandler handler(SIGALRM, 0);
    const itimerval soon{{0, 0}, {0, 20000}};
    ::setitimer(ITIMER_REAL, &soon, nullptr);
    witness_->Enter();
    errno = 0;
    const ssize_t got = ::read(pipeEnds[0], &byte, 1);
    const int error = errno;
    witness_->Leave();
    EXPECT_EQ(got, -1);
    EXPECT_EQ(error, EINTR);
  }
  {
    const SignalHandler handler(SIGALRM, SA_RESTART);
    std::thread writer([&] {
      while (signalsHandled.load() == 0) std::this_thread::yield();
      ASSERT_EQ(::write(pipeEnds[1], "x", 1), 1);
    });
    const itimerval soon{{0, 0}, {0, 20000}};
    ::setitimer(ITIMER_REAL, &soon, nullptr);
    witness_->Enter();
    const ssize_t got = ::read(pipeEnds[0], &byte, 1);
    witness_->Leave();
    writer.join();
    EXPECT_EQ(got, 1);
    EXPECT_EQ(byte, 'x');
  }
  ::close(pipeEnds[0]);
  ::close(pipeEnds[1]);
}

TEST_F(KernelWitnessTest, T4_SignalMasksChangeAndStay) {
  sigset_t wanted;
  sigset_t old;
  sigset_t now;
  ::sigfillset(&wanted);
  witness_->Enter();
  ::sigprocmask(SIG_SETMASK, &wanted, &old);
  ::syscall(SYS_getpid);  // would end the process if SIGSYS were blocked
  witness_->Leave();
  ::sigprocmask(SIG_SETMASK, nullptr, &now);
  EXPECT_EQ(::sigismember(&now, SIGUSR2), 1);
  EXPECT_EQ(::sigismember(&now, SIGSYS), 0);
  witness_->Enter();
  ::sigprocmask(SIG_SETMASK, &old, nullptr);
  witness_->Leave();
  ::sigprocmask(SIG_SETMASK, nullptr, &now);
  EXPECT_EQ(::sigismember(&now, SIGUSR2), 0);
}

TEST_F(KernelWitnessTest, T4_AlternateSignalStacksChangeAndStay) {
  static char memory[65536];
  const stack_t wanted{.ss_sp = memory, .ss_flags = 0, .ss_size = sizeof memory};
  stack_t old{};
  stack_t now{};
  witness_->Enter();
  const int set = ::sigaltstack(&wanted, &old);
  witness_->Leave();
  ::sigaltstack(nullptr, &now);
  EXPECT_EQ(set, 0);
  EXPECT_EQ(now.ss_sp, memory);
  ::sigaltstack(&old, nullptr);
}

TEST_F(KernelWitnessTest, T4_StartingAThreadClosesTheWindowAndSaysSo) {
  std::atomic<bool> ran{false};
  witness_->Enter();
  std::thread thread([&] {
    stadial_test::PlantedMmap(4096);  // the new thread has no witness
    ran = true;
  });
  witness_->Leave();
  thread.join();
  EXPECT_TRUE(ran.load());
  EXPECT_EQ(witness_->Counts().lostWindows, 1u);
  // The next window works again.
  const VmSyscallCounts before = witness_->Counts();
  witness_->Enter();
  ::syscall(SYS_brk, 0);
  witness_->Leave();
  EXPECT_EQ((witness_->Counts() - before).brk, 1u);
}

TEST_F(KernelWitnessTest, T4_AForkedChildHasNoWitness) {
  if (kIsSanitized) GTEST_SKIP() << "sanitizers do not support fork in a program with threads";
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const bool installed = witness_->IsInstalled();
    witness_->Enter();
    ::syscall(SYS_brk, 0);
    witness_->Leave();
    ::_exit(!installed && witness_->Counts().brk == 0 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_TRUE(witness_->IsInstalled());
}

TEST_F(KernelWitnessTest, T4_EachThreadHasItsOwn) {
  std::atomic<std::uint64_t> seenByOther{0};
  witness_->Enter();
  witness_->Leave();
  std::thread other([&] {
    auto installed = VmSyscallWitness::Install();
    ASSERT_TRUE(installed) << installed.GetError().Message();
    installed.Value().Enter();
    for (int round = 0; round < 7; ++round) ::syscall(SYS_brk, 0);
    installed.Value().Leave();
    seenByOther = installed.Value().Counts().brk;
  });
  other.join();
  EXPECT_EQ(seenByOther.load(), 7u);
  EXPECT_EQ(witness_->Counts().brk, 0u);
}

TEST_F(KernelWitnessTest, T4_DriverCallsAreAttributed) {
  witness_->Enter();
  ::syscall(SYS_brk, 0);
  {
    const DriverCallScope driver("vkQueueSubmit2");
    ::syscall(SYS_brk, 0);
    ::syscall(SYS_getpid);
  }
  witness_->Leave();
  EXPECT_EQ(witness_->Counts().brk, 2u);
  EXPECT_EQ(witness_->Counts().driverVm, 1u);
}

TEST_F(KernelWitnessTest, T4_OnlyOnePerThread) {
  auto second = VmSyscallWitness::Install();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.GetError().Code(), ErrorCode::InvalidArgument);
  witness_.reset();
  auto third = VmSyscallWitness::Install();
  EXPECT_TRUE(third);
}

// What the other layers cannot see: a mapping made past malloc.
TEST_F(KernelWitnessTest, T4_SeesWhatTheGateCannot) {
  STADIAL_ASSERT_ARMED();
  const CountedScope counted;
  witness_->Enter();
  void* const pages = stadial_test::PlantedMmap(4096);
  witness_->Leave();
  EXPECT_EQ(counted.Allocations(), 0u);
  EXPECT_EQ(witness_->Counts().mmap, 1u);
  ::munmap(pages, 4096);
}

TEST(MinorFaultCount, T4_FirstTouchesAreCountedExactly) {
  if (kIsSanitized) GTEST_SKIP() << "a sanitizer's shadow memory faults as well";
  ASSERT_TRUE(MinorFaultsAvailable());
  constexpr std::size_t kPages = 64;
  auto* const pages = static_cast<volatile char*>(stadial_test::PlantedMmap(kPages * 4096));
  ::madvise(const_cast<char*>(pages), kPages * 4096, MADV_NOHUGEPAGE);
  MinorFaults();
  const std::uint64_t before = MinorFaults();
  for (std::size_t page = 0; page < kPages; ++page) pages[page * 4096] = 1;
  const std::uint64_t touched = MinorFaults();
  for (std::size_t page = 0; page < kPages; ++page) pages[page * 4096] = 2;
  const std::uint64_t again = MinorFaults();
  EXPECT_EQ(touched - before, kPages);
  EXPECT_EQ(again - touched, 0u);
  ::munmap(const_cast<char*>(pages), kPages * 4096);
}

}  // namespace
}  // namespace stadial::runtime::testing
