// NoRuntimeAllocationTest (A-c): a GoogleTest fixture for tests whose body must not allocate, for Stadial's
// own tests and for its users'. Derive from it, build the world in SetUp, call the base's SetUp last; the
// body then runs under a tracker, and TearDown fails with the offending call stacks when anything was
// allocated. It fails, rather than passes, when the gate is not ARMED: link stadial::gate to the test
// program.
//
//   class MyGraph : public stadial::runtime::testing::NoRuntimeAllocationTest {
//    protected:
//     void SetUp() override { BuildGraph(); NoRuntimeAllocationTest::SetUp(); }
//   };
//
// For tests that have fixtures of their own see no_runtime_allocation_listener.h. Not included by anything in
// the library; it needs <gtest/gtest.h>.
#pragma once

#include <gtest/gtest.h>

#include <utility>

#include "stadial/runtime/allocation_tracker.h"
#include "stadial/runtime/gate.h"

namespace stadial::runtime::testing {

// Enough for two symbolised stacks.
inline constexpr std::size_t kAllocationReportBytesMax = 8192;

class NoRuntimeAllocationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    tracker.StartTracking();
    ASSERT_TRUE(tracker.IsArmed()) << "this test proves nothing: " << tracker.WhyNotArmed();
  }

  void TearDown() override {
    tracker.StopTracking();
    if (!tracker.IsArmed()) return;  // SetUp has failed already
    ExpectNone("the test body");
  }

  // Runs `body` under a fresh tracking period and checks it alone; tracking starts over afterwards.
  template <class Body>
  void ExpectNoAllocation(const char* what, Body&& body) {
    tracker.StartTracking();
    std::forward<Body>(body)();
    tracker.StopTracking();
    ASSERT_TRUE(tracker.IsArmed()) << "this check proves nothing: " << tracker.WhyNotArmed();
    ExpectNone(what);
    tracker.StartTracking();
  }

  AllocationTracker tracker;

 private:
  void ExpectNone(const char* what) {
    const AllocationTracker::Allocations seen = tracker.GetAllocations();
    if (seen.count == 0) return;
    static char report[kAllocationReportBytesMax];
    tracker.Describe(report, sizeof report);
    ADD_FAILURE() << what << " allocated: " << report;
  }
};

}  // namespace stadial::runtime::testing
