#include "stadial/runtime/testing/no_runtime_allocation_test.h"

#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "stadial/runtime/testing/no_runtime_allocation_listener.h"
#include "stadial/runtime/thread_registry.h"

namespace stadial_test {
[[gnu::noinline]] void LeakyFrame() {
  std::vector<int> numbers;
  numbers.push_back(1);
  asm volatile("" : : "r"(numbers.data()) : "memory");
}
}  // namespace stadial_test

namespace stadial::runtime::testing {
namespace {

// As a user writes it: a world built before the base's SetUp, a body that must not allocate.
class CountersWorld : public NoRuntimeAllocationTest {
 protected:
  void SetUp() override {
    cells_ = std::make_unique<std::vector<int>>(1000);
    NoRuntimeAllocationTest::SetUp();
  }
  std::unique_ptr<std::vector<int>> cells_;
};

TEST_F(CountersWorld, Ac_ABodyThatDoesNotAllocatePasses) {
  for (int& cell : *cells_) ++cell;
  EXPECT_EQ((*cells_)[999], 1);
  EXPECT_EQ(tracker.GetStats().count, 0);
}

TEST_F(CountersWorld, Ac_PartsAreCheckedAlone) {
  ExpectNoAllocation("stepping", [this] {
    for (int& cell : *cells_) cell += 2;
  });
  EXPECT_EQ((*cells_)[0], 2);
}

// The fixture's own parts, driven by hand so that their failures can be looked at.
class Driven : public NoRuntimeAllocationTest {
 public:
  using NoRuntimeAllocationTest::ExpectNoAllocation;
  using NoRuntimeAllocationTest::SetUp;
  using NoRuntimeAllocationTest::TearDown;
  void TestBody() override {}
};

void RunLeakyTest() {
  Driven driven;
  driven.SetUp();
  stadial_test::LeakyFrame();
  driven.TearDown();
}

TEST(NoRuntimeAllocationFixture, Ac_ABodyThatAllocatesFailsWithTheStack) {
  EXPECT_NONFATAL_FAILURE(RunLeakyTest(), "the test body allocated: 1 allocations of 4 B");
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_NONFATAL_FAILURE(RunLeakyTest(), "stadial_test::LeakyFrame");
#endif
}

TEST(NoRuntimeAllocationFixture, Ac_APartThatAllocatesFailsWithItsName) {
  static Driven* driven = nullptr;
  Driven local;
  driven = &local;
  local.SetUp();
  EXPECT_NONFATAL_FAILURE(driven->ExpectNoAllocation("Execute", stadial_test::LeakyFrame),
                          "Execute allocated: ");
  driven->ExpectNoAllocation("nothing", [] {});
  driven = nullptr;
  local.TearDown();
}

// The listener, driven by hand as well.
class Listener : public ::testing::Test {
 protected:
  template <class Body>
  void Watch(Body body) {
    const ::testing::TestInfo& test = *::testing::UnitTest::GetInstance()->current_test_info();
    listener_.OnTestStart(test);
    body();
    listener_.OnTestEnd(test);
  }
  NoRuntimeAllocationListener listener_;
};

void RunFrameThat(GatePolicy policy, void (*body)()) {
  const ThreadRegistration registration(ThreadRole::Frame, "frame");
  const GateScope frame(policy, policy, Phase::Frame, "frame");
  body();
}

TEST_F(Listener, Ac_AFrameThatAllocatesFailsItsTest) {
  EXPECT_NONFATAL_FAILURE(Watch([] { RunFrameThat(GatePolicy::Count, stadial_test::LeakyFrame); }),
                          "made 1 allocations and 1 frees");
}

TEST_F(Listener, Ac_AWorkerThatAllocatesFailsItsTest) {
  EXPECT_NONFATAL_FAILURE(Watch([] {
                            std::thread([] {
                              const ThreadRegistration registration(ThreadRole::Worker, "worker");
                              const GateScope frame(GatePolicy::Count, GatePolicy::Count, Phase::Frame,
                                                    "task");
                              stadial_test::LeakyFrame();
                            }).join();
                          }),
                          "made 1 allocations and 1 frees");
}

TEST_F(Listener, Ac_WhatHappensOutsideOfFramesIsFree) {
  Watch([] {
    stadial_test::LeakyFrame();
    RunFrameThat(GatePolicy::Trap, [] {});
  });
}

}  // namespace
}  // namespace stadial::runtime::testing
