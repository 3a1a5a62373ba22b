#include "stadial/runtime/frame_pacing.h"

#include <gtest/gtest.h>

#include "stadial/runtime/runtime.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using testing::Random;
using testing::Repetitions;
using testing::TestSeed;

// Time that passes only when somebody sleeps, looks, or works.
class FakeTime {
 public:
  explicit FakeTime(std::uint64_t nowNs = 1'000'000'000) : nowNs_(nowNs) {}

  PacingClock Clock() {
    return {.nowNs =
                [](void* self) noexcept {
                  auto& time = *static_cast<FakeTime*>(self);
                  ++time.looks_;
                  return time.nowNs_ += time.lookNs_;
                },
            .sleepUntilNs =
                [](void* self, std::uint64_t untilNs) noexcept {
                  auto& time = *static_cast<FakeTime*>(self);
                  ++time.sleeps_;
                  time.lastSleepNs_ = untilNs;
                  if (untilNs > time.nowNs_) time.nowNs_ = untilNs + time.oversleepNs_;
                },
            .self = this};
  }
  void Work(std::uint64_t ns) { nowNs_ += ns; }
  std::uint64_t NowNs() const { return nowNs_; }

  std::uint64_t lookNs_ = 0;       // what a look at the clock takes
  std::uint64_t oversleepNs_ = 0;  // how late a sleep wakes up
  std::uint64_t looks_ = 0;
  std::uint64_t sleeps_ = 0;
  std::uint64_t lastSleepNs_ = 0;

 private:
  std::uint64_t nowNs_;
};

constexpr std::uint64_t kPeriodNs = 10'000'000;

TEST(FramePacing, SleepsThenSpinsToTheDeadline) {
  FakeTime time;
  time.lookNs_ = 40;
  time.oversleepNs_ = 70'000;
  FramePacer pacer({.periodNs = kPeriodNs, .spinNs = 200'000}, time.Clock());
  EXPECT_EQ(pacer.Wait(), 0u) << "the first frame begins the grid";
  const std::uint64_t startNs = pacer.DeadlineNs();
  time.Work(3'000'000);
  const std::uint64_t waitedNs = pacer.Wait();
  EXPECT_EQ(pacer.DeadlineNs(), startNs + kPeriodNs);
  EXPECT_EQ(time.lastSleepNs_, startNs + kPeriodNs - 200'000);
  EXPECT_EQ(time.sleeps_, 1u);
  EXPECT_GE(time.NowNs(), startNs + kPeriodNs);
  EXPECT_LE(time.NowNs(), startNs + kPeriodNs + 100) << "the spin ends at the deadline";
  EXPECT_NEAR(static_cast<double>(waitedNs), 7'000'000.0, 200.0);
  const FramePacingStats& stats = pacer.Stats();
  EXPECT_NEAR(static_cast<double>(stats.sleptNs), 6'870'000.0, 200.0);
  EXPECT_NEAR(static_cast<double>(stats.spunNs), 130'000.0, 200.0);
  EXPECT_EQ(stats.missedDeadlines, 0u);
}

TEST(FramePacing, AShortRestIsOnlySpun) {
  FakeTime time;
  time.lookNs_ = 40;
  FramePacer pacer({.periodNs = kPeriodNs, .spinNs = 200'000}, time.Clock());
  pacer.Wait();
  time.Work(kPeriodNs - 150'000);
  pacer.Wait();
  EXPECT_EQ(time.sleeps_, 0u);
  EXPECT_GT(time.looks_, 1'000u);
}

TEST(FramePacing, AMissedDeadlineIsCountedAndThePhaseIsKept) {
  FakeTime time;
  FramePacer pacer({.periodNs = kPeriodNs, .spinNs = 0}, time.Clock());
  pacer.Wait();
  const std::uint64_t startNs = pacer.DeadlineNs();
  time.Work(kPeriodNs + 4'000'000);  // late by 4 ms
  EXPECT_EQ(pacer.Wait(), 0u) << "a late frame begins at once";
  EXPECT_EQ(pacer.DeadlineNs(), startNs + kPeriodNs);
  EXPECT_EQ(pacer.Stats().missedDeadlines, 1u);
  time.Work(2'000'000);
  EXPECT_EQ(pacer.Wait(), 4'000'000u) << "the next one stands on the grid again";
  EXPECT_EQ(time.NowNs(), startNs + 2 * kPeriodNs);
  time.Work(5 * kPeriodNs + 1);  // five points passed, and a little
  EXPECT_EQ(pacer.Wait(), 0u);
  EXPECT_EQ(pacer.Stats().missedDeadlines, 6u);
  EXPECT_EQ(pacer.Stats().lateFrames, 2u);
  EXPECT_EQ(pacer.Stats().lateNsMax, 4 * kPeriodNs + 1);
  EXPECT_EQ(pacer.DeadlineNs(), startNs + 7 * kPeriodNs);
  time.Work(kPeriodNs);
  pacer.Restart();
  EXPECT_EQ(pacer.Wait(), 0u);
  EXPECT_EQ(pacer.Stats().lateFrames, 2u) << "a new grid begins without a miss";
}

TEST(FramePacing, ASleepThatWakesEarlyIsRepeated) {
  FakeTime time;
  PacingClock clock = time.Clock();
  clock.sleepUntilNs = [](void* self, std::uint64_t untilNs) noexcept {
    auto& fake = *static_cast<FakeTime*>(self);
    ++fake.sleeps_;
    fake.Work((untilNs - fake.NowNs() + 1) / 2);  // a signal came half way
  };
  FramePacer pacer({.periodNs = kPeriodNs, .spinNs = 0}, clock);
  pacer.Wait();
  const std::uint64_t startNs = pacer.DeadlineNs();
  pacer.Wait();
  EXPECT_GT(time.sleeps_, 5u);
  EXPECT_EQ(time.NowNs(), startNs + kPeriodNs);
}

// Frames of random length; returns how many began off the grid although they were in time. `restarts`: the
// pacer is told to begin anew after every late frame, as one does that forgets its phase.
std::uint64_t FramesOffTheGrid(std::uint64_t seed, std::uint64_t frames, bool restarts) {
  Random random(seed);
  FakeTime time;
  FramePacer pacer({.periodNs = kPeriodNs, .spinNs = 0}, time.Clock());
  pacer.Wait();
  const std::uint64_t startNs = time.NowNs();
  std::uint64_t gridPoints = 0;  // passed or hit so far
  std::uint64_t late = 0;
  std::uint64_t missed = 0;
  std::uint64_t offGrid = 0;
  for (std::uint64_t frame = 0; frame < frames; ++frame) {
    time.Work(random.Below(10) == 0 ? random.Below(5 * kPeriodNs) : random.Below(kPeriodNs));
    const std::uint64_t sinceStart = time.NowNs() - startNs;
    const bool isLate = sinceStart > (gridPoints + 1) * kPeriodNs;
    const std::uint64_t waited = pacer.Wait();
    if (isLate) {
      ++late;
      // The points between the deadline and now, the one that is hit exactly not among them.
      missed += (sinceStart - 1) / kPeriodNs - gridPoints;
      gridPoints = sinceStart / kPeriodNs;
      if (restarts) {
        pacer.Restart();
        pacer.Wait();
      }
      offGrid += waited != 0 ? 1u : 0u;
    } else {
      ++gridPoints;
      offGrid += time.NowNs() - startNs != gridPoints * kPeriodNs ? 1u : 0u;
    }
  }
  if (!restarts) {
    EXPECT_EQ(pacer.Stats().lateFrames, late);
    EXPECT_EQ(pacer.Stats().missedDeadlines, missed);
    EXPECT_GT(late, frames / 50) << "no frame was late: this run proves nothing";
  }
  return offGrid;
}

TEST(FramePacing, RandomFramesAgreeWithTheGrid) {
  EXPECT_EQ(FramesOffTheGrid(TestSeed(5), Repetitions(500'000), false), 0u);
}

TEST(FramePacingCanary, APacerThatForgetsItsPhaseIsFoundOut) {
  EXPECT_GT(FramesOffTheGrid(TestSeed(5), 10'000, true), 0u);
}

TEST(FramePacing, WithoutAPeriodNothingIsWaitedFor) {
  FakeTime time;
  FramePacer pacer({}, time.Clock());
  EXPECT_FALSE(pacer.IsPaced());
  EXPECT_EQ(pacer.Wait(), 0u);
  EXPECT_EQ(time.looks_, 0u);
}

TEST(FramePacing, Bd_TheVrPresetHasItsPeriodAndItsCeiling) {
  FakeTime time;
  FramePacer pacer(kVrPacing, time.Clock());
  EXPECT_NEAR(static_cast<double>(kVrPacing.periodNs), 11.1e6, 0.02e6);
  EXPECT_LT(pacer.CeilingNs(), kVrPacing.periodNs) << "a share of the period is the compositor's";
  pacer.NoteFrame(pacer.CeilingNs());
  EXPECT_EQ(pacer.Stats().overCeiling, 0u);
  pacer.NoteFrame(pacer.CeilingNs() + 1);
  EXPECT_EQ(pacer.Stats().overCeiling, 1u);
  EXPECT_EQ(FramePacer({.periodNs = kPeriodNs}, time.Clock()).CeilingNs(), kPeriodNs);
}

TEST(FramePacing, TheRuntimePacesOutsideOfFramesAndAllocatesNothing) {
  STADIAL_ASSERT_ARMED();
  constexpr std::uint64_t kFrames = 50;
  constexpr std::uint64_t kShortNs = 1'000'000;
  const RuntimePtr runtime =
      Runtime::Create({.warmupFrames = 5, .pacing = {.periodNs = kShortNs, .spinNs = 100'000}}).Value();
  ASSERT_TRUE(runtime->SealSetup());
  const std::uint64_t startNs = NowNs();
  for (std::uint64_t i = 0; i < kFrames; ++i) {
    FrameContext* const frame = runtime->Frames().Begin().Value();
    EXPECT_EQ(frame->excludedNs, 0u) << "the wait is no part of the frame";
    runtime->Frames().End(frame->completionValue);
  }
  EXPECT_GE(NowNs() - startNs, (kFrames - 1) * kShortNs) << "no frame begins before its deadline";
  const AuditReport report = runtime->BuildAudit();
  EXPECT_EQ(report.pacing.stats.frames, kFrames);
  EXPECT_EQ(report.pacing.periodNs, kShortNs);
  EXPECT_GT(report.pacing.stats.sleptNs + report.pacing.stats.spunNs, 0u);
  EXPECT_EQ(report.frameThreads.heapAllocations, 0u);
  EXPECT_EQ(report.frameThreads.vmSyscalls, 0u);
  // The empty frames themselves, waits left out, are far below the period.
  EXPECT_LT(report.frameTimeUs.p50, 1000.0);
}

}  // namespace
}  // namespace stadial::runtime
