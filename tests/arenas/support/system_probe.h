// What the operating system says about this process: faults, mappings, and a way to forbid VM system calls.
#pragma once

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "stadial/arenas/poison.h"

#if STADIAL_ADDRESS_SANITIZER || STADIAL_MEMORY_SANITIZER || defined(__SANITIZE_THREAD__)
#define STADIAL_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define STADIAL_TEST_SANITIZED 1
#endif
#endif
#ifndef STADIAL_TEST_SANITIZED
#define STADIAL_TEST_SANITIZED 0
#endif

namespace stadial::arenas::testing {

inline long MinorFaults() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_minflt;
}

// Writes to every page. Not instrumented: a sanitizer's shadow memory would fault too. Never cloned for a
// constant argument: a clone could lie on a page that has not been executed yet.
#if defined(__clang__)
__attribute__((noinline, no_sanitize("address", "thread")))
#else
__attribute__((noinline, noclone, no_sanitize_address, no_sanitize_thread))
#endif
inline void
TouchEveryPage(std::byte* base, std::size_t bytes, std::size_t pageBytes) {
  for (std::size_t offset = 0; offset < bytes; offset += pageBytes) {
    *(static_cast<volatile std::byte*>(base) + offset) = std::byte{1};
  }
}

// Minor faults that writing to every page of the range causes. What the probe itself touches for the first
// time, its code, the C library's and the stack, is touched before the counting: those pages may lie anywhere
// in their files.
inline long FaultsOfTouching(std::byte* base, std::size_t bytes, std::size_t pageBytes) {
  std::byte warm{};
  TouchEveryPage(&warm, 1, 1);
  MinorFaults();
  const long before = MinorFaults();
  TouchEveryPage(base, bytes, pageBytes);
  return MinorFaults() - before;
}

struct Mapping {
  unsigned long begin = 0;
  unsigned long end = 0;
  std::string access;
  std::string name;
};

inline std::vector<Mapping> ReadMappings() {
  std::vector<Mapping> mappings;
  std::FILE* const file = std::fopen("/proc/self/maps", "r");
  char line[1024];
  while (file != nullptr && std::fgets(line, sizeof line, file) != nullptr) {
    Mapping mapping;
    char access[8] = "";
    int nameAt = 0;
    if (std::sscanf(line, "%lx-%lx %7s %*s %*s %*s %n", &mapping.begin, &mapping.end, access, &nameAt) < 3)
      continue;
    mapping.access = access;
    mapping.name = nameAt > 0 ? std::string(line + nameAt) : "";
    while (!mapping.name.empty() && mapping.name.back() == '\n') mapping.name.pop_back();
    mappings.push_back(mapping);
  }
  if (file != nullptr) std::fclose(file);
  return mappings;
}

// From now on any mmap, munmap, mprotect, mremap, madvise or brk kills this process with SIGSYS. For the
// statement of an EXPECT_EXIT only: it cannot be undone.
inline bool ForbidVmSystemCalls() {
  const auto number = [](long value) { return static_cast<unsigned>(value); };
  const auto killIf = [&](long value, unsigned char distance) {
    return sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number(value), distance, 0);
  };
  sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      killIf(SYS_mmap, 6),
      killIf(SYS_munmap, 5),
      killIf(SYS_mprotect, 4),
      killIf(SYS_mremap, 3),
      killIf(SYS_madvise, 2),
      killIf(SYS_brk, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  sock_fprog program{.len = sizeof filter / sizeof filter[0], .filter = filter};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

}  // namespace stadial::arenas::testing
