// T7: every host allocation that the creation entry points make through our callbacks is made to fail once.
// The answer is an error or a success, never a crash of our code, and nothing stays behind in the heap.
//
// Some drivers do not survive their own failing allocations (lavapipe 22.3 writes through the null in
// vkCreatePipelineLayout), so the attempts run in host_faults_child. When it dies inside the driver's code,
// the attempt is counted as the driver's and the next child goes on behind it; a death anywhere else is a
// failure. Recording is left out: lavapipe crashes in 8 of 41 failing allocations inside vkCmd*.
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "gpu_fixture.h"
#include "host_faults_report.h"

namespace stadial::gpu {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

class HostFaults : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ASSERT_NE(GetParam(), kNoRuntime);
    if (GetParam() == kNoDevice) GTEST_SKIP() << "no usable Vulkan device on this machine";
    file_ = ::memfd_create("host faults", 0);  // the child inherits it
    ASSERT_GE(file_, 0);
    ASSERT_EQ(::ftruncate(file_, sizeof(HostFaultsReport)), 0);
    void* shared = ::mmap(nullptr, sizeof(HostFaultsReport), PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    ASSERT_NE(shared, MAP_FAILED);
    report_ = new (shared) HostFaultsReport;
    // Mesa's implicit device-select layer sizes an array by a count that a failed enumeration never set.
    ::setenv("NODEVICE_SELECT", "1", 1);
  }
  void TearDown() override {
    if (report_ != nullptr) ::munmap(report_, sizeof(HostFaultsReport));
    if (file_ >= 0) ::close(file_);
    ::unsetenv("NODEVICE_SELECT");
  }
  // The child's exit code, or minus the signal that ended it.
  int InChild(std::uint64_t first, std::uint64_t step) {
    std::fflush(nullptr);
    std::string words[] = {HostFaultsChild(), std::to_string(file_), GetParam(), std::to_string(first),
                           std::to_string(step)};
    char* arguments[std::size(words) + 1] = {};
    for (std::size_t i = 0; i < std::size(words); ++i) arguments[i] = words[i].data();
    pid_t child = 0;
    if (::posix_spawn(&child, arguments[0], nullptr, nullptr, arguments, environ) != 0) return -1;
    int status = 0;
    if (::waitpid(child, &status, 0) != child) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  // It lies beside this program.
  static std::string HostFaultsChild() {
    char self[4096];
    const ssize_t length = ::readlink("/proc/self/exe", self, sizeof self);
    const std::string path(self, length > 0 ? static_cast<std::size_t>(length) : 0);
    return path.substr(0, path.rfind('/') + 1) + "host_faults_child";
  }

  HostFaultsReport* report_ = nullptr;

 private:
  int file_ = -1;
};

TEST_P(HostFaults, T7_EveryCreationAllocationFailsOnceWithoutCrashOrLeak) {
  ASSERT_EQ(InChild(0, 1), kHostFaultsDone) << report_->problem;
  ASSERT_GT(report_->total, 0u) << "the driver made no use of the callbacks: nothing to fail";
  const std::uint64_t step = kIsSanitized ? 5 : 1;
  std::uint64_t first = 1;
  while (first <= report_->total) {
    const int outcome = InChild(first, step);
    if (outcome == kHostFaultsDone) break;
    ASSERT_EQ(outcome, kHostFaultsDriverCrash) << "failing callback allocation " << report_->current << " of "
                                               << report_->total << ": " << report_->problem;
    std::printf("callback allocation %llu: the driver crashed inside %s\n",
                static_cast<unsigned long long>(report_->current), report_->crashedIn);
    first = report_->current + step;
  }
  EXPECT_GT(report_->errors, 0u) << "no failure was ever reported: the injection does nothing";
  EXPECT_LE(report_->driverCrashes, 8u) << "more driver crashes than any known driver has: look at them";
  std::printf("%llu callback allocations, %llu failures reported as errors, %llu driver crashes\n",
              static_cast<unsigned long long>(report_->total),
              static_cast<unsigned long long>(report_->errors),
              static_cast<unsigned long long>(report_->driverCrashes));
}

}  // namespace

STADIAL_INSTANTIATE_ON_DEVICES(HostFaults);

}  // namespace stadial::gpu
