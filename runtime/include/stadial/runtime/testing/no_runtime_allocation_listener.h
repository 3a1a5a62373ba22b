// NoRuntimeAllocationListener (A-c): a GoogleTest listener that watches every test of a program, whatever its
// fixture: a test fails when a frame of it (a gate scope on a registered Frame or Worker thread, as the frame
// loop and the workers open it) allocated or freed. What a test does outside of its frames is its own
// business. Every test fails when the gate is not ARMED: link stadial::gate to the test program.
//
//   int main(int argc, char** argv) {
//     ::testing::InitGoogleTest(&argc, argv);
//     stadial::runtime::testing::NoRuntimeAllocationListener::Install();
//     return RUN_ALL_TESTS();
//   }
//
// The policy of the frames must count (any but Allow). Under Report, standard error has the stacks. Not
// included by anything in the library; it needs <gtest/gtest.h>.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>

#include "stadial/runtime/gate.h"

namespace stadial::runtime::testing {

class NoRuntimeAllocationListener : public ::testing::EmptyTestEventListener {
 public:
  // For the whole program; GoogleTest owns it from then on.
  static void Install() {
    ::testing::UnitTest::GetInstance()->listeners().Append(new NoRuntimeAllocationListener);
  }

  void OnTestStart(const ::testing::TestInfo&) override { before_ = Current(); }

  void OnTestEnd(const ::testing::TestInfo& test) override {
    const GateSelfTestResult& gate = RunGateSelfTest();
    if (gate.state != GateState::Armed) {
      ADD_FAILURE() << test.name() << " proves nothing about its frames: the gate is " << ToString(gate.state)
                    << ": " << gate.why;
      return;
    }
    const Counted now = Current();
    if (now.allocations == before_.allocations && now.frees == before_.frees) return;
    ADD_FAILURE() << "frames of " << test.name() << " made " << now.allocations - before_.allocations
                  << " allocations and " << now.frees - before_.frees
                  << " frees; run them with GatePolicy::Report to see where";
  }

 private:
  struct Counted {
    std::uint64_t allocations = 0;
    std::uint64_t frees = 0;
  };
  static Counted Current() {
    Counted sum;
    for (const ThreadRole role : {ThreadRole::Frame, ThreadRole::Worker}) {
      GateThreadCounters counters;
      CountersByRole(role, counters);
      sum.allocations += counters.allocations;
      sum.frees += counters.frees;
    }
    return sum;
  }

  Counted before_;
};

}  // namespace stadial::runtime::testing
