#include "stadial/runtime/phase.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "stadial/runtime/gate.h"

namespace stadial::runtime {
namespace {

using ::testing::HasSubstr;

void WalkTo(PhaseMachine& phases, Phase wanted) {
  if (wanted == Phase::Setup) return;
  EXPECT_TRUE(phases.Transition(wanted == Phase::Shutdown ? Phase::Shutdown : Phase::Compile));
  if (wanted == Phase::Frame) {
    EXPECT_TRUE(phases.Transition(Phase::Frame));
  }
}

TEST(PhaseMachine, R4_WalksTheLegalPath) {
  PhaseMachine phases;
  EXPECT_EQ(phases.Current(), Phase::Setup);
  EXPECT_TRUE(phases.Transition(Phase::Compile));
  EXPECT_TRUE(phases.Transition(Phase::Frame));
  EXPECT_TRUE(phases.Transition(Phase::Compile));
  EXPECT_TRUE(phases.Transition(Phase::Frame));
  EXPECT_TRUE(phases.Transition(Phase::Shutdown));
  EXPECT_EQ(phases.TransitionCount(), 5u);
}

// Every pair of phases: exactly the six arrows of the header are legal.
TEST(PhaseMachine, R4_ExactlySixTransitionsAreLegal) {
  constexpr Phase kAll[] = {Phase::Setup, Phase::Compile, Phase::Frame, Phase::Shutdown};
  int legal = 0;
  for (const Phase from : kAll) {
    for (const Phase to : kAll) {
      PhaseMachine phases;
      WalkTo(phases, from);
      const Result<void> result = phases.Transition(to);
      EXPECT_EQ(result.HasValue(), IsLegalTransition(from, to));
      EXPECT_EQ(phases.Current(), result ? to : from) << "a refused transition must change nothing";
      legal += result.HasValue();
    }
  }
  EXPECT_EQ(legal, 6);
  SetFramesRunning(false);
}

TEST(PhaseMachine, R4_ErrorNamesPhasesSitesAndWhatIsLegal) {
  PhaseMachine phases;
  const unsigned lastLine = __LINE__ + 1;
  ASSERT_TRUE(phases.Transition(Phase::Compile));
  const unsigned wrongLine = __LINE__ + 1;
  const Result<void> wrong = phases.Transition(Phase::Setup);
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.GetError().Code(), ErrorCode::WrongPhase);
  const std::string message = wrong.GetError().Message();
  EXPECT_THAT(message, HasSubstr("Compile -> Setup"));
  EXPECT_THAT(message, HasSubstr("phase_test.cpp:" + std::to_string(wrongLine)));
  EXPECT_THAT(message, HasSubstr("in Compile since"));
  EXPECT_THAT(message, HasSubstr("phase_test.cpp:" + std::to_string(lastLine)));
  EXPECT_THAT(message, HasSubstr("legal next: Frame or Shutdown"));
}

TEST(PhaseMachine, R4_ErrorBeforeAnyTransitionNamesTheCreation) {
  const unsigned createdLine = __LINE__ + 1;
  PhaseMachine phases;
  const Result<void> wrong = phases.Transition(Phase::Frame);
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.GetError().Message(), HasSubstr("phase_test.cpp:" + std::to_string(createdLine)));
  EXPECT_THAT(wrong.GetError().Message(), HasSubstr("legal next: Compile or Shutdown"));
}

TEST(PhaseMachine, R4_RequireNamesTheOperation) {
  PhaseMachine phases;
  EXPECT_TRUE(phases.Require(Phase::Setup, "carving"));
  const Result<void> wrong = phases.Require(Phase::Frame, "carving");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.GetError().Message(), HasSubstr("carving at"));
  EXPECT_THAT(wrong.GetError().Message(), HasSubstr("needs phase Frame, but the program is in Setup"));
}

TEST(PhaseMachine, R6_TheGateKnowsWhenFramesRun) {
  PhaseMachine phases;
  ASSERT_TRUE(phases.Transition(Phase::Compile));
  EXPECT_FALSE(FramesRunning());
  ASSERT_TRUE(phases.Transition(Phase::Frame));
  EXPECT_TRUE(FramesRunning());
  ASSERT_TRUE(phases.Transition(Phase::Shutdown));
  EXPECT_FALSE(FramesRunning());
}

}  // namespace
}  // namespace stadial::runtime
