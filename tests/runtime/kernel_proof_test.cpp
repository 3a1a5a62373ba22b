#include "stadial/runtime/kernel_proof.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <thread>

#include "stadial/runtime/audit.h"
#include "stadial/runtime/runtime.h"
#include "test_support.h"

namespace stadial::runtime::testing {
namespace {

constexpr std::size_t kPageBytes = 4096;

void* Map(std::size_t bytes) {
  void* const pages = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return pages == MAP_FAILED ? nullptr : pages;
}

rlim_t SoftLimit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_AS, &limit);
  return limit.rlim_cur;
}

// Where the proof cannot be had there must be a reason, and never a proof that proves nothing.
#define STADIAL_SKIP_WITHOUT(result)                                \
  if (!(result)) {                                                  \
    ASSERT_EQ((result).GetError().Code(), ErrorCode::NotSupported); \
    ASSERT_GT(std::strlen((result).GetError().Message()), 20u);     \
    GTEST_SKIP() << (result).GetError().Message();                  \
  }

TEST(AddressSpaceFreezeTest, T4_NoThreadCanMapUntilItEnds) {
  const rlim_t before = SoftLimit();
  {
    auto freeze = AddressSpaceFreeze::Begin();
    STADIAL_SKIP_WITHOUT(freeze);
    EXPECT_EQ(Map(kPageBytes), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    {
      const auto nested = AddressSpaceFreeze::Begin();
      EXPECT_TRUE(nested);
    }
    EXPECT_EQ(SoftLimit(), 0u) << "the outer freeze still stands";
  }
  EXPECT_EQ(SoftLimit(), before);
  void* const page = Map(kPageBytes);
  EXPECT_NE(page, nullptr);
  ::munmap(page, kPageBytes);
}

TEST(AddressSpaceFreezeTest, T4_OtherThreadsCannotMapEither) {
  void* mapped = &mapped;
  std::atomic<int> step{0};
  std::thread other([&] {
    while (step.load() != 1) std::this_thread::yield();
    mapped = Map(kPageBytes);
    step = 2;
  });
  {
    auto freeze = AddressSpaceFreeze::Begin();
    step = 1;
    while (step.load() != 2) std::this_thread::yield();
    other.join();
    STADIAL_SKIP_WITHOUT(freeze);
  }
  EXPECT_EQ(mapped, nullptr);
}

struct Work {
  std::vector<int> memory = std::vector<int>(1000, 1);
  volatile int sum = 0;
  void operator()() noexcept {
    for (const int value : memory) sum = sum + value;
  }
};

TEST(KernelProofTest, T4_WorkOnOwnedMemoryHolds) {
  Work work;
  work();
  auto seen = RunUnderKernelProof([&] { work(); });
  STADIAL_SKIP_WITHOUT(seen);
  EXPECT_TRUE(seen.Value().Holds()) << seen.Value().syscalls.Vm() << " VM calls, " << seen.Value().minorFaults
                                    << " faults";
  EXPECT_EQ(seen.Value().syscalls.total, 0u);
}

// The controls: each lock and the count find what they are there for.
TEST(KernelProofTest, T4_EveryVmCallIsDeniedAndNamed) {
  void* const own = Map(4 * kPageBytes);
  std::memset(own, 1, 4 * kPageBytes);
  void* const breakBefore = ::sbrk(0);
  bool failed[6] = {};
  auto seen = RunUnderKernelProof([&] {
    failed[0] = Map(kPageBytes) == nullptr && errno == ENOMEM;
    failed[1] = ::munmap(own, kPageBytes) == -1 && errno == ENOMEM;
    failed[2] = ::mprotect(own, kPageBytes, PROT_READ) == -1 && errno == ENOMEM;
    failed[3] = ::mremap(own, kPageBytes, 2 * kPageBytes, MREMAP_MAYMOVE) == MAP_FAILED && errno == ENOMEM;
    failed[4] = ::madvise(own, kPageBytes, MADV_DONTNEED) == -1 && errno == ENOMEM;
    failed[5] = ::syscall(SYS_brk, static_cast<char*>(breakBefore) + kPageBytes) ==
                reinterpret_cast<long>(breakBefore);
  });
  STADIAL_SKIP_WITHOUT(seen);
  for (int call = 0; call < 6; ++call) EXPECT_TRUE(failed[call]) << call;
  EXPECT_FALSE(seen.Value().Holds());
  EXPECT_EQ(seen.Value().syscalls.Vm(), 6u);
  EXPECT_EQ(seen.Value().syscalls.denied, 6u);
  EXPECT_GE(seen.Value().first.number, 0);
  EXPECT_EQ(*static_cast<char*>(own), 1) << "neither unmapped nor dropped";
  *static_cast<char*>(own) = 2;  // nor read-only
  EXPECT_EQ(::sbrk(0), breakBefore);
  EXPECT_EQ(::munmap(own, 4 * kPageBytes), 0) << "and granted again afterwards";
}

TEST(KernelProofTest, T4_AFreshPageIsAFault) {
  auto* const fresh = static_cast<volatile char*>(Map(16 * kPageBytes));
  auto seen = RunUnderKernelProof([&] { fresh[8 * kPageBytes] = 1; });
  STADIAL_SKIP_WITHOUT(seen);
  EXPECT_EQ(seen.Value().syscalls.Vm(), 0u);
  EXPECT_EQ(seen.Value().minorFaults, 1u);
  EXPECT_FALSE(seen.Value().Holds());
}

TEST(KernelProofTest, T4_TheWitnessOnlyCountsAgainAfterwards) {
  auto witness = VmSyscallWitness::Install();
  STADIAL_SKIP_WITHOUT(witness);
  {
    auto proof = KernelProof::Begin(witness.Value());
    STADIAL_SKIP_WITHOUT(proof);
    EXPECT_EQ(witness.Value().Policy(), VmSyscallPolicy::Deny);
  }
  EXPECT_EQ(witness.Value().Policy(), VmSyscallPolicy::Count);
  const VmSyscallCounts before = witness.Value().Counts();
  witness.Value().Enter();
  void* const page = Map(kPageBytes);
  witness.Value().Leave();
  EXPECT_NE(page, nullptr);
  EXPECT_EQ((witness.Value().Counts() - before).mmap, 1u);
  EXPECT_EQ((witness.Value().Counts() - before).denied, 0u);
  ::munmap(page, kPageBytes);
}

// The runtime's frames under the proof.
class KernelProofFrames : public ::testing::Test {
 protected:
  void SetUp() override {
    auto created = Runtime::Create({.warmupFrames = 10});
    ASSERT_TRUE(created) << created.GetError().Message();
    runtime_ = std::move(created).Value();
    ASSERT_TRUE(runtime_->SealSetup());
    RunFrames(20);
  }

  template <class Body>
  void RunFrames(int count, Body body) {
    for (int i = 0; i < count; ++i) {
      auto frame = runtime_->Frames().Begin();
      ASSERT_TRUE(frame) << frame.GetError().Message();
      body(*frame.Value());
      runtime_->Frames().End(frame.Value()->completionValue);
    }
  }
  void RunFrames(int count) {
    RunFrames(count,
              [](FrameContext& frame) { *static_cast<volatile char*>(frame.lane->Allocate(1000, 16)) = 1; });
  }

  RuntimePtr runtime_;
};

TEST_F(KernelProofFrames, T4_FramesHoldAndTheAuditSaysSo) {
  const Result<void> begun = runtime_->BeginKernelProof();
  STADIAL_SKIP_WITHOUT(begun);
  EXPECT_EQ(SoftLimit(), 0u);
  RunFrames(100);
  runtime_->EndKernelProof();
  EXPECT_NE(SoftLimit(), 0u);
  RunFrames(7);
  const AuditReport report = runtime_->BuildAudit();
  EXPECT_TRUE(report.kernelProof.asked);
  EXPECT_EQ(report.kernelProof.frames, 100u);
  EXPECT_EQ(report.kernelProof.denied, 0u);
  EXPECT_EQ(report.kernelProof.reason, "");
  EXPECT_EQ(report.verdict, AuditVerdict::Pass) << ToJson(report);
  EXPECT_NE(ToJson(report).find("\"kernel_proof\""), std::string::npos);
}

TEST_F(KernelProofFrames, T4_AFrameThatMapsIsDeniedAndTheVerdictIsFail) {
  const Result<void> begun = runtime_->BeginKernelProof();
  STADIAL_SKIP_WITHOUT(begun);
  void* mapped = &mapped;
  RunFrames(1, [&](FrameContext&) { mapped = Map(kPageBytes); });
  runtime_->EndKernelProof();
  EXPECT_EQ(mapped, nullptr);
  const AuditReport report = runtime_->BuildAudit();
  EXPECT_EQ(report.kernelProof.denied, 1u);
  EXPECT_EQ(report.verdict, AuditVerdict::Fail);
}

TEST_F(KernelProofFrames, T4_TheFrameThreadAloneLeavesTheProcessUnfrozen) {
  const rlim_t before = SoftLimit();
  const Result<void> begun = runtime_->BeginKernelProof(KernelProofScope::Thread);
  STADIAL_SKIP_WITHOUT(begun);
  EXPECT_EQ(SoftLimit(), before);
  void* mapped = &mapped;
  RunFrames(1, [&](FrameContext&) { mapped = Map(kPageBytes); });
  void* const between = Map(kPageBytes);
  runtime_->EndKernelProof();
  EXPECT_EQ(mapped, nullptr);
  EXPECT_NE(between, nullptr);
  ::munmap(between, kPageBytes);
  EXPECT_NE(runtime_->BuildAudit().kernelProof.covers.find("other threads may map"), std::string::npos);
}

TEST_F(KernelProofFrames, T4_WithoutAWitnessItIsRefusedAndNoPass) {
  auto created = Runtime::Create({.kernelWitness = false, .warmupFrames = 0});
  // One registration per thread and role: the fixture's runtime and this one share it.
  ASSERT_TRUE(created) << created.GetError().Message();
  runtime_ = std::move(created).Value();
  ASSERT_TRUE(runtime_->SealSetup());
  const Result<void> begun = runtime_->BeginKernelProof();
  ASSERT_FALSE(begun);
  EXPECT_EQ(begun.GetError().Code(), ErrorCode::NotSupported);
  RunFrames(5);
  const AuditReport report = runtime_->BuildAudit();
  EXPECT_TRUE(report.kernelProof.asked);
  EXPECT_EQ(report.kernelProof.frames, 0u);
  EXPECT_NE(report.kernelProof.reason, "");
  EXPECT_EQ(report.verdict, AuditVerdict::Incomplete);
}

}  // namespace
}  // namespace stadial::runtime::testing
