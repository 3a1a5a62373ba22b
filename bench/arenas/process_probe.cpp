#include "process_probe.h"

#include <dlfcn.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <string>

namespace stadial::bench {
namespace {

// A system call that the measured code has no reason to make: it marks the first and the last.
constexpr long kMarker = SYS_getppid;

long Trace(int request, pid_t thread, std::uintptr_t address, std::uintptr_t data) {
  return ::syscall(SYS_ptrace, request, thread, address, data);
}

// The number of the system call that the stopped thread is entering; -1 when it is leaving one.
long EnteredCall(pid_t thread) {
  __ptrace_syscall_info info{};
  if (Trace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, reinterpret_cast<std::uintptr_t>(&info)) < 0)
    return -1;
  return info.op == PTRACE_SYSCALL_INFO_ENTRY ? static_cast<long>(info.entry.nr) : -1;
}

// Runs in the tracer: counts between the two markers, then lets the thread go.
std::int64_t CountBetweenMarkers(pid_t thread) {
  std::int64_t count = 0;
  bool counting = false;
  for (int status = 0;;) {
    if (waitpid(thread, &status, __WALL) != thread || !WIFSTOPPED(status)) return -1;
    std::uintptr_t signal = 0;
    if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
      const long entered = EnteredCall(thread);
      if (entered == kMarker && counting) {
        Trace(PTRACE_DETACH, thread, 0, 0);
        return count;
      }
      if (entered == kMarker) {
        counting = true;
      } else if (entered >= 0 && counting) {
        ++count;
      }
    } else if (status >> 16 == 0) {
      signal = static_cast<std::uintptr_t>(WSTOPSIG(status));
    }
    if (Trace(PTRACE_SYSCALL, thread, 0, signal) < 0) return -1;
  }
}

// The tracer's whole life. It allocates nothing: the heap it got a copy of may be in any state.
[[noreturn]] void RunTracer(pid_t thread, int allowed, int results) {
  char byte = 0;
  const bool attached = ::read(allowed, &byte, 1) == 1 &&
                        Trace(PTRACE_SEIZE, thread, 0, PTRACE_O_TRACESYSGOOD) == 0 &&
                        Trace(PTRACE_INTERRUPT, thread, 0, 0) == 0;
  std::int64_t count = attached ? 0 : -1;
  [[maybe_unused]] auto written = ::write(results, &count, sizeof count);
  if (attached) {
    count = CountBetweenMarkers(thread);
    written = ::write(results, &count, sizeof count);
  }
  ::_exit(0);
}

struct Pipe {
  int ends[2] = {-1, -1};
  bool isOpen = ::pipe(ends) == 0;
  ~Pipe() {
    for (const int end : ends) {
      if (end >= 0) ::close(end);
    }
  }
};

std::int64_t ReadCount(int results) {
  std::int64_t count = -1;
  ssize_t got = 0;
  do {
    got = ::read(results, &count, sizeof count);
  } while (got < 0 && errno == EINTR);
  return got == static_cast<ssize_t>(sizeof count) ? count : -1;
}

}  // namespace

const char* ModuleOfMalloc() {
  // Asked of the loader: the address of `malloc` in this program might be a jump of its own.
  static const std::string module = [] {
    Dl_info info{};
    void* const address = dlsym(RTLD_DEFAULT, "malloc");
    if (address == nullptr || dladdr(address, &info) == 0 || info.dli_fname == nullptr)
      return std::string("unknown");
    const char* const slash = std::strrchr(info.dli_fname, '/');
    return std::string(slash == nullptr ? info.dli_fname : slash + 1);
  }();
  return module.c_str();
}

std::int64_t CountSystemCalls(void (*work)(void* context), void* context) {
  Pipe allowed;
  Pipe results;
  const auto thread = static_cast<pid_t>(::syscall(SYS_gettid));
  const pid_t tracer = allowed.isOpen && results.isOpen ? ::fork() : -1;
  if (tracer == 0) RunTracer(thread, allowed.ends[0], results.ends[1]);
  if (tracer < 0) {
    work(context);
    return -1;
  }
  ::close(results.ends[1]);
  results.ends[1] = -1;
  // Where the Yama module guards ptrace, a process names who may trace it; elsewhere this fails and is not
  // needed.
  ::prctl(PR_SET_PTRACER, static_cast<unsigned long>(tracer), 0, 0, 0);
  const bool told = ::write(allowed.ends[1], "", 1) == 1;
  const bool traced = told && ReadCount(results.ends[0]) == 0;
  ::syscall(kMarker);
  work(context);
  ::syscall(kMarker);
  const std::int64_t count = traced ? ReadCount(results.ends[0]) : -1;
  ::waitpid(tracer, nullptr, 0);
  return count;
}

}  // namespace stadial::bench
