// Whether an address can be read, asked of the kernel: no signal, and no sanitizer looks on.
#pragma once

#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace stadial::arenas::testing {

class MemoryProbe {
 public:
  MemoryProbe() { EXPECT_EQ(::pipe(ends_), 0); }
  ~MemoryProbe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  MemoryProbe(const MemoryProbe&) = delete;
  MemoryProbe& operator=(const MemoryProbe&) = delete;

  bool IsReadable(const void* address) const {
    if (::syscall(SYS_write, ends_[1], address, 1) != 1) {
      EXPECT_EQ(errno, EFAULT);
      return false;
    }
    char byte = 0;
    EXPECT_EQ(::read(ends_[0], &byte, 1), 1);
    return true;
  }

 private:
  int ends_[2] = {};
};

}  // namespace stadial::arenas::testing
