// Every policy for every form of allocation and of release.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gate/gate_forms.h"
#include "stadial/runtime/gate.h"
#include "test_support.h"

namespace stadial::runtime::testing {
namespace {

using ::testing::ContainsRegex;

std::string NameOf(const ::testing::TestParamInfo<AllocateForm>& info) { return info.param.name; }
std::string NameOfRelease(const ::testing::TestParamInfo<ReleaseForm>& info) { return info.param.name; }

GateThreadCounters operator-(const GateThreadCounters& later, const GateThreadCounters& earlier) {
  return {later.allocations - earlier.allocations, later.allocatedBytes - earlier.allocatedBytes,
          later.frees - earlier.frees, later.denied - earlier.denied, later.reports - earlier.reports};
}

// Reports are limited per frame.
void NewFrame() {
  static std::uint64_t frame = 0;
  SetGateFrame(++frame);
}

class GateAllocation : public ::testing::TestWithParam<AllocateForm> {
 protected:
  void SetUp() override { STADIAL_ASSERT_ARMED(); }

  // Takes a block of the form under test inside a scope of `policy`.
  void* Take(GatePolicy policy) {
    const GateThreadCounters before = CurrentThreadCounters();
    void* block = nullptr;
    {
      const GateScope scope(policy, GatePolicy::Allow, Phase::Frame, "forms");
      block = Escape(GetParam().allocate());
    }
    seen_ = CurrentThreadCounters() - before;
    return block;
  }

  void ExpectUsable(void* block) {
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % GetParam().alignment, 0u);
    EXPECT_GE(::malloc_usable_size(block), std::size_t{21});
    std::memset(block, 0x5A, GetParam().bytes);
  }

  GateThreadCounters seen_;
};

TEST_P(GateAllocation, R6_AllowServesWithoutCounting) {
  void* const block = Take(GatePolicy::Allow);
  ExpectUsable(block);
  EXPECT_EQ(seen_.allocations, 0u);
  EXPECT_EQ(seen_.allocatedBytes, 0u);
  GetParam().release(block);
}

TEST_P(GateAllocation, R6_CountServesAndCountsOnce) {
  void* const block = Take(GatePolicy::Count);
  ExpectUsable(block);
  EXPECT_EQ(seen_.allocations, 1u);
  EXPECT_EQ(seen_.allocatedBytes, GetParam().bytes);
  EXPECT_EQ(seen_.frees, 0u);
  EXPECT_EQ(seen_.reports, 0u);
  GetParam().release(block);
}

TEST_P(GateAllocation, R6_ReportServesCountsAndDescribes) {
  NewFrame();
  ::testing::internal::CaptureStderr();
  void* const block = Take(GatePolicy::Report);
  const std::string printed = ::testing::internal::GetCapturedStderr();
  ExpectUsable(block);
  EXPECT_EQ(seen_.allocations, 1u);
  EXPECT_EQ(seen_.reports, 1u);
  EXPECT_THAT(printed, ContainsRegex("gate report: " + ReportedCall(GetParam().call) + " of " +
                                     std::to_string(GetParam().bytes) + " B"));
  EXPECT_THAT(
      printed,
      ContainsRegex(
          "in phase Frame, frame [0-9]+, component 'forms'; policy Report: the memory was handed out"));
  EXPECT_THAT(printed, ContainsRegex("#0 0x[0-9a-f]+ "));
  GetParam().release(block);
}

INSTANTIATE_TEST_SUITE_P(Forms, GateAllocation, ::testing::ValuesIn(kAllocateForms), NameOf);

// The throwing forms throw instead.
std::vector<AllocateForm> FormsThatCanFail() {
  std::vector<AllocateForm> forms;
  for (const AllocateForm& form : kAllocateForms) {
    if (!form.throws) forms.push_back(form);
  }
  return forms;
}

class GateDeniedAllocation : public GateAllocation {};

TEST_P(GateDeniedAllocation, R6_DenyHandsOutNothing) {
  if (!GateCanDeny()) GTEST_SKIP() << "a sanitizer's hook cannot refuse";
  errno = 0;
  EXPECT_EQ(Take(GatePolicy::Deny), nullptr);
  EXPECT_EQ(seen_.denied, 1u);
  EXPECT_EQ(seen_.allocations, 1u);
  if (std::strncmp(GetParam().call, "operator", 8) != 0) {
    EXPECT_EQ(errno, ENOMEM);
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, GateDeniedAllocation, ::testing::ValuesIn(FormsThatCanFail()), NameOf);

class GateRelease : public ::testing::TestWithParam<ReleaseForm> {
 protected:
  void SetUp() override {
    STADIAL_ASSERT_ARMED();
    block_ = Escape(GetParam().allocate());
    std::memset(block_, 0x77, kFormBytes);
  }

  void Release(GatePolicy policy) {
    const GateThreadCounters before = CurrentThreadCounters();
    {
      const GateScope scope(GatePolicy::Allow, policy, Phase::Frame, "forms");
      GetParam().release(block_);
    }
    seen_ = CurrentThreadCounters() - before;
  }

  void* block_ = nullptr;
  GateThreadCounters seen_;
};

TEST_P(GateRelease, R7_AllowDoesNotCount) {
  Release(GatePolicy::Allow);
  EXPECT_EQ(seen_.frees, 0u);
}

TEST_P(GateRelease, R7_CountCountsOnce) {
  Release(GatePolicy::Count);
  EXPECT_EQ(seen_.frees, 1u);
  EXPECT_EQ(seen_.allocations, 0u);
}

TEST_P(GateRelease, R7_ReportDescribes) {
  NewFrame();
  ::testing::internal::CaptureStderr();
  Release(GatePolicy::Report);
  const std::string printed = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(seen_.frees, 1u);
  EXPECT_EQ(seen_.reports, 1u);
  EXPECT_THAT(printed, ContainsRegex(ReportedCall(GetParam().call) + " of block 0x[0-9a-f]+"));
  EXPECT_THAT(printed, ContainsRegex("policy Report: the block was freed"));
}

TEST_P(GateRelease, R7_DenyKeepsTheBlock) {
  if (!GateCanDeny()) {
    Release(GatePolicy::Allow);
    GTEST_SKIP() << "a sanitizer's hook cannot refuse";
  }
  Release(GatePolicy::Deny);
  EXPECT_EQ(seen_.denied, 1u);
  // The block is still ours: nobody else can have got it, and its bytes stand.
  void* const other = Escape(GetParam().allocate());
  EXPECT_NE(other, block_);
  for (std::size_t index = 0; index < kFormBytes; ++index) {
    ASSERT_EQ(static_cast<const unsigned char*>(block_)[index], 0x77u) << "byte " << index;
  }
  GetParam().release(other);
  GetParam().release(block_);
}

INSTANTIATE_TEST_SUITE_P(Forms, GateRelease, ::testing::ValuesIn(kReleaseForms), NameOfRelease);

class GateTrapDeathTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    STADIAL_ASSERT_ARMED();
  }
};

TEST_F(GateTrapDeathTest, R6_EveryFormTrapsBeforeHandingOutMemory) {
  for (const AllocateForm& form : kAllocateForms) {
    EXPECT_DEATH(
        {
          const GateScope scope(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "forms");
          Escape(form.allocate());
        },
        "gate trap: " + ReportedCall(form.call) + " of " + std::to_string(form.bytes) +
            " B .*policy Trap: no memory was handed out")
        << form.name;
  }
}

TEST_F(GateTrapDeathTest, R7_EveryReleaseTraps) {
  for (const ReleaseForm& form : kReleaseForms) {
    EXPECT_DEATH(
        {
          void* const block = Escape(form.allocate());
          const GateScope scope(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "forms");
          form.release(block);
        },
        "gate trap: " + ReportedCall(form.call) +
            " of block 0x[0-9a-f]+ .*policy Trap: the block was not freed")
        << form.name;
  }
}

TEST(GateDeny, R6_ThrowingNewThrowsBadAllocAndTakesNothing) {
  STADIAL_ASSERT_ARMED();
  if (!GateCanDeny()) GTEST_SKIP() << "a sanitizer's hook cannot refuse";
  for (const AllocateForm& form : kAllocateForms) {
    if (!form.throws) continue;
    const GateThreadCounters before = CurrentThreadCounters();
    bool isCaught = false;
    void* block = nullptr;
    {
      const GateScope scope(GatePolicy::Deny, GatePolicy::Deny, Phase::Frame, "forms");
      try {
        block = Escape(form.allocate());
      } catch (const std::bad_alloc&) {
        isCaught = true;
      }
    }
    EXPECT_TRUE(isCaught) << form.name;
    EXPECT_EQ(block, nullptr) << form.name;
    // The form itself, and the library's malloc for the exception, for which it has an emergency pool.
    EXPECT_GE(CurrentThreadCounters().denied - before.denied, 1u) << form.name;
  }
}

}  // namespace
}  // namespace stadial::runtime::testing
