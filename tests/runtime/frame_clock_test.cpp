#include "stadial/runtime/frame_clock.h"

#include <gtest/gtest.h>

#include <vector>

#include "test_support.h"

namespace stadial::runtime {
namespace {

using testing::Random;
using testing::Repetitions;
using testing::TestSeed;

__extension__ using Wide = unsigned __int128;
constexpr std::uint64_t kSecondNs = 1'000'000'000;

TEST(FrameClock, AnHourAtSixtyHertzHasExactlyItsSteps) {
  FrameClock clock({.rate = {60}, .catchUpStepsMax = 100});
  // Frames of 7 ms: the hour is 514,285 of them and one of 5 ms.
  for (int frame = 0; frame < 514'285; ++frame) clock.Advance(7'000'000);
  const FrameTime last = clock.Advance(5'000'000);
  EXPECT_EQ(clock.StepCount(), 216'000u);
  EXPECT_EQ(last.alpha, 0.0);
  EXPECT_EQ(clock.DroppedNs(), 0u);
}

TEST(FrameClock, StepsAreCountedAndAlphaIsWhatIsLeft) {
  FrameClock clock({.rate = {100}});
  FrameTime time = clock.Advance(25'000'000);
  EXPECT_EQ(time.frame, 0u);
  EXPECT_EQ(time.firstStep, 0u);
  EXPECT_EQ(time.steps, 2u);
  EXPECT_DOUBLE_EQ(time.stepSeconds, 0.01);
  EXPECT_DOUBLE_EQ(time.alpha, 0.5);
  time = clock.Advance(4'000'000);
  EXPECT_EQ(time.steps, 0u) << "a frame may have no step at all";
  EXPECT_EQ(time.firstStep, 2u);
  EXPECT_DOUBLE_EQ(time.alpha, 0.9);
  time = clock.Advance(1'000'000);
  EXPECT_EQ(time.frame, 2u);
  EXPECT_EQ(time.firstStep, 2u);
  EXPECT_EQ(time.steps, 1u);
  EXPECT_EQ(time.alpha, 0.0);
}

TEST(FrameClock, CatchingUpIsBoundedAndWhatIsGivenUpIsTold) {
  FrameClock clock({.rate = {100}, .catchUpStepsMax = 3});
  const FrameTime time = clock.Advance(77'000'000);
  EXPECT_EQ(time.steps, 3u);
  EXPECT_EQ(time.droppedSteps, 4u);
  EXPECT_EQ(time.droppedNs, 40'000'000u);
  EXPECT_DOUBLE_EQ(time.alpha, 0.7) << "the phase is kept";
  EXPECT_EQ(clock.Advance(~std::uint64_t{0}).steps, 3u) << "any time is legal";
}

TEST(FrameClock, AFractionOfIntegersIsExact) {
  // 59.94 Hz: 1,001 seconds are 60,000 steps.
  FrameClock clock({.rate = {60'000, 1'001}, .catchUpStepsMax = 1'000});
  for (int second = 0; second < 1'001; ++second) clock.Advance(kSecondNs);
  EXPECT_EQ(clock.StepCount(), 60'000u);
}

TEST(FrameClock, AVariableStepIsClamped) {
  FrameClock clock({.kind = FrameClockKind::Variable, .elapsedNsMin = 1'000'000, .elapsedNsMax = 50'000'000});
  EXPECT_DOUBLE_EQ(clock.Advance(16'000'000).stepSeconds, 0.016);
  EXPECT_DOUBLE_EQ(clock.Advance(10).stepSeconds, 0.001);
  const FrameTime paused = clock.Advance(3 * kSecondNs);
  EXPECT_DOUBLE_EQ(paused.stepSeconds, 0.05);
  EXPECT_EQ(paused.droppedNs, 2'950'000'000u);
  EXPECT_EQ(paused.steps, 1u);
  EXPECT_EQ(paused.alpha, 0.0);
  EXPECT_EQ(clock.DroppedNs(), 2'950'000'000u);
}

TEST(FrameClock, ByAClockTheFirstFrameHasNoTimeAndAPauseIsNone) {
  FrameClock clock({.rate = {100}});
  EXPECT_EQ(clock.AdvanceTo(5 * kSecondNs).elapsedNs, 0u);
  EXPECT_EQ(clock.AdvanceTo(5 * kSecondNs + 20'000'000).steps, 2u);
  clock.Pause();
  EXPECT_EQ(clock.AdvanceTo(900 * kSecondNs).steps, 0u);
  EXPECT_EQ(clock.AdvanceTo(900 * kSecondNs + 10'000'000).firstStep, 2u);
}

// A clock that keeps its step as whole nanoseconds, which the model must find out.
class RoundingClock {
 public:
  explicit RoundingClock(StepRate rate) : stepNs_(rate.perSeconds * kSecondNs / rate.steps) {}
  std::uint64_t Advance(std::uint64_t elapsedNs) {
    carriedNs_ += elapsedNs;
    const std::uint64_t steps = carriedNs_ / stepNs_;
    carriedNs_ %= stepNs_;
    return steps;
  }

 private:
  std::uint64_t stepNs_;
  std::uint64_t carriedNs_ = 0;
};

constexpr StepRate kRates[] = {{60}, {90}, {60'000, 1'001}, {1'000'000}, {1, 10}, {7, 3}, {999'983, 999'979}};

// What all time so far is worth in steps, by one division.
std::uint64_t StepsOf(Wide totalNs, StepRate rate) {
  return static_cast<std::uint64_t>(totalNs * rate.steps / (Wide{rate.perSeconds} * kSecondNs));
}

TEST(FrameClock, RandomTimesAgreeWithOneDivisionOfTheirSum) {
  Random random(TestSeed(77));
  for (const StepRate rate : kRates) {
    FrameClock clock({.rate = rate, .catchUpStepsMax = 4});
    Wide totalNs = 0;
    std::uint64_t dropped = 0;
    for (std::uint64_t frame = 0; frame < Repetitions(200'000); ++frame) {
      // Mostly frames, now and then an hour.
      const std::uint64_t elapsedNs =
          random.Below(1000) == 0 ? random.Below(3600 * kSecondNs) : random.Below(50'000'000);
      totalNs += elapsedNs;
      const FrameTime time = clock.Advance(elapsedNs);
      ASSERT_EQ(time.frame, frame);
      ASSERT_LE(time.steps, 4u);
      ASSERT_GE(time.alpha, 0.0);
      ASSERT_LT(time.alpha, 1.0);
      ASSERT_EQ(time.firstStep + time.steps, clock.StepCount());
      dropped += time.droppedSteps;
      ASSERT_EQ(clock.StepCount() + dropped, StepsOf(totalNs, rate)) << frame;
    }
    EXPECT_EQ(clock.FrameCount(), Repetitions(200'000));
  }
}

TEST(FrameClockCanary, AClockThatRoundsItsStepIsFoundOut) {
  RoundingClock clock({60});
  std::uint64_t steps = 0;
  // A hundred days in frames of ten seconds.
  for (int frame = 0; frame < 864'000; ++frame) steps += clock.Advance(10 * kSecondNs);
  EXPECT_NE(steps, StepsOf(Wide{8'640'000} * kSecondNs, {60}));
}

TEST(FrameClock, ARecordedRunIsReplayedToTheBit) {
  Random random(TestSeed(78));
  std::vector<std::uint64_t> recorded;
  std::vector<FrameTime> seen;
  FrameClock clock({.rate = {90}});
  std::uint64_t nowNs = 12'345;
  for (int frame = 0; frame < 5'000; ++frame) {
    nowNs += random.Below(40'000'000);
    seen.push_back(clock.AdvanceTo(nowNs));
    recorded.push_back(seen.back().elapsedNs);
  }
  FrameClock replay({.rate = {90}});
  for (std::size_t frame = 0; frame < recorded.size(); ++frame) {
    const FrameTime time = replay.Advance(recorded[frame]);
    ASSERT_EQ(time.firstStep, seen[frame].firstStep);
    ASSERT_EQ(time.steps, seen[frame].steps);
    ASSERT_EQ(time.alpha, seen[frame].alpha);
    ASSERT_EQ(time.droppedSteps, seen[frame].droppedSteps);
  }
}

TEST(FrameClockDeathTest, MisuseAsserts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(FrameClock({.rate = {0}}), "StepRate::steps");
  EXPECT_DEATH(FrameClock({.rate = {1, 11}}), "a step is too long");
  EXPECT_DEATH(FrameClock({.catchUpStepsMax = 0}), "catchUpStepsMax");
  EXPECT_DEATH(FrameClock({.elapsedNsMin = 2, .elapsedNsMax = 1}), "wrong way round");
  EXPECT_DEATH(
      {
        FrameClock clock;
        clock.AdvanceTo(2);
        clock.AdvanceTo(1);
      },
      "a clock must not fall");
}

}  // namespace
}  // namespace stadial::runtime
