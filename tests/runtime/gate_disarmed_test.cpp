// A program that does not link stadial::gate: every claim must be refused, with the reason.
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <string>

#include "stadial/runtime/allocation_tracker.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/testing/no_runtime_allocation_listener.h"
#include "stadial/runtime/testing/no_runtime_allocation_test.h"

namespace stadial::runtime {
namespace {

TEST(GateDisarmed, Ab_SaysDisarmedAndWhatToDo) {
  const GateSelfTestResult& result = RunGateSelfTest();
  EXPECT_EQ(result.state, GateState::Disarmed);
  EXPECT_EQ(result.formsSeen, 0u);
  EXPECT_NE(std::string(result.why).find("link the target stadial::gate"), std::string::npos) << result.why;
  EXPECT_EQ(CurrentGateState(), GateState::Disarmed);
  EXPECT_EQ(ForeignBlocksFreed(), 0u);
}

TEST(GateDisarmed, R6_ScopesAndHooksStillWork) {
  const GateScope scope(GatePolicy::Deny, GatePolicy::Deny, Phase::Frame, "hooks only");
  EXPECT_FALSE(GateOnAllocate(1));
  EXPECT_EQ(CurrentThreadCounters().denied, 1u);
}

TEST(GateDisarmed, Ab_TrackerIsNotArmed) {
  AllocationTracker tracker;
  tracker.StartTracking();
  EXPECT_FALSE(tracker.IsArmed());
  EXPECT_NE(std::string(tracker.WhyNotArmed()).find("link the target stadial::gate"), std::string::npos);
  delete new int(3);
  EXPECT_EQ(tracker.GetAllocations().count, 0u);  // exactly why it must not be believed
  tracker.Record(&tracker, 10, "manual");
  EXPECT_EQ(tracker.GetAllocations().count, 1u);
}

class Fixture : public testing::NoRuntimeAllocationTest {
 public:
  using testing::NoRuntimeAllocationTest::SetUp;
  using testing::NoRuntimeAllocationTest::TearDown;
  void TestBody() override {}
};

void RunSetUp() {
  Fixture fixture;
  fixture.SetUp();
}

TEST(GateDisarmed, Ac_TheFixtureFailsInsteadOfPassing) {
  EXPECT_FATAL_FAILURE(RunSetUp(), "this test proves nothing");
}

TEST(GateDisarmed, Ac_TheListenerFailsInsteadOfPassing) {
  const ::testing::TestInfo& test = *::testing::UnitTest::GetInstance()->current_test_info();
  static testing::NoRuntimeAllocationListener listener;
  listener.OnTestStart(test);
  static const ::testing::TestInfo* const info = &test;
  EXPECT_NONFATAL_FAILURE(listener.OnTestEnd(*info), "proves nothing about its frames: the gate is DISARMED");
}

}  // namespace
}  // namespace stadial::runtime
