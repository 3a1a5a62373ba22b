// What host_faults_child tells host_faults_test, in memory that both map.
#pragma once

#include <cstdint>

namespace stadial::gpu::testing {

struct HostFaultsReport {
  std::uint64_t total = 0;    // callback allocations of an attempt that goes well
  std::uint64_t current = 0;  // the one being failed
  std::uint64_t errors = 0;   // attempts that ended with an Error
  std::uint64_t driverCrashes = 0;
  char crashedIn[256] = {};
  char problem[768] = {};  // empty: all is well
};

// The child's exit codes.
inline constexpr int kHostFaultsDone = 0;
inline constexpr int kHostFaultsProblem = 2;
inline constexpr int kHostFaultsDriverCrash = 77;

}  // namespace stadial::gpu::testing
