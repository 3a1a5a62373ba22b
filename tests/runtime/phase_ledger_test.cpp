#include "stadial/runtime/phase_ledger.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <vector>

#include "gate/gate_forms.h"
#include "stadial/runtime/designated_fallback.h"
#include "stadial/runtime/runtime.h"
#include "test_support.h"

namespace stadial::runtime::testing {
namespace {

void* Allocate(std::size_t bytes) { return Escape(std::malloc(bytes)); }

class PhaseLedgerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    STADIAL_ASSERT_ARMED();
    tracker_.StartTracking();
    ASSERT_TRUE(tracker_.IsArmed()) << tracker_.WhyNotArmed();
  }
  AllocationTracker tracker_{AllocationTrackerOptions{.threads = TrackedThreads::Current}};
};

TEST_F(PhaseLedgerTest, Aa_DifferencesBelongToThePhaseBetweenTwoBoundariesAndAreSigned) {
  PhaseMachine phases;
  PhaseLedger ledger(tracker_);
  phases.SetObserver(&ledger);
  void* const first = Allocate(1000);
  void* const second = Allocate(500);
  ASSERT_TRUE(phases.Transition(Phase::Compile));
  std::free(first);
  void* const third = Allocate(10);
  ASSERT_TRUE(phases.Transition(Phase::Frame));
  ASSERT_TRUE(phases.Transition(Phase::Compile));
  std::free(second);
  ASSERT_TRUE(phases.Transition(Phase::Shutdown));
  std::free(third);

  const PhaseAllocations setup = ledger.Of(Phase::Setup);
  EXPECT_EQ(setup.stays, 1u);
  EXPECT_EQ(setup.sum.count, 2);
  EXPECT_EQ(setup.sum.totalBytes, 1500);
  EXPECT_EQ(setup.sum.liveBytes, 1500);
  const PhaseAllocations compile = ledger.Of(Phase::Compile);
  EXPECT_EQ(compile.stays, 2u);
  EXPECT_EQ(compile.sum.count, 1);
  EXPECT_EQ(compile.sum.frees, 2);
  EXPECT_EQ(compile.sum.liveCount, -1);
  EXPECT_EQ(compile.sum.liveBytes, -1490);
  const PhaseAllocations frame = ledger.Of(Phase::Frame);
  EXPECT_EQ(frame.stays, 1u);
  EXPECT_EQ(frame.sum.count, 0);
  EXPECT_EQ(frame.sum.frees, 0);
  const PhaseAllocations shutdown = ledger.Of(Phase::Shutdown);
  EXPECT_EQ(shutdown.sum.frees, 1) << "the present stay counts up to now";
  EXPECT_EQ(shutdown.sum.liveBytes, -10);

  std::array<PhaseBoundary, kPhaseBoundariesMax> seen;
  ASSERT_EQ(ledger.CopyBoundaries(seen.data(), seen.size()), 4u);
  EXPECT_EQ(seen[0].from, Phase::Setup);
  EXPECT_EQ(seen[0].to, Phase::Compile);
  EXPECT_EQ(seen[0].snapshot.liveBytes, 1500u);
  EXPECT_EQ(seen[1].delta.liveBytes, -990);
  EXPECT_EQ(seen[3].to, Phase::Shutdown);
  EXPECT_LE(seen[0].snapshot.timeNs, seen[3].snapshot.timeNs);
  ASSERT_EQ(ledger.CopyBoundaries(seen.data(), 1), 1u);
  EXPECT_EQ(seen[0].to, Phase::Shutdown) << "the last one, where there is room for one";
}

TEST_F(PhaseLedgerTest, Aa_AWrongTransitionIsNoBoundary) {
  PhaseMachine phases;
  PhaseLedger ledger(tracker_);
  phases.SetObserver(&ledger);
  EXPECT_FALSE(phases.Transition(Phase::Frame));
  EXPECT_EQ(ledger.BoundaryCount(), 0u);
  EXPECT_EQ(ledger.Current(), Phase::Setup);
}

// Random phases and allocations against sums kept beside them. `skips`: the ledger is not told of one stay,
// which it then takes for a part of its neighbours.
bool AgreesWithModel(const AllocationTracker& tracker, std::uint64_t seed, std::uint64_t steps, bool skips) {
  Random random(seed);
  std::vector<void*> live;
  live.reserve(steps);
  PhaseLedger ledger(tracker, Phase::Compile);
  Phase now = Phase::Compile;
  std::uint32_t boundariesToSkip = skips ? 2 : 0;
  std::array<std::int64_t, kTrackedPhases> allocated{};
  std::array<std::int64_t, kTrackedPhases> freed{};
  for (std::uint64_t step = 0; step < steps; ++step) {
    const auto index = static_cast<std::size_t>(now);
    if (random.Below(20) == 0) {
      const Phase next = now == Phase::Compile ? Phase::Frame : Phase::Compile;
      if (boundariesToSkip != 0 && step > steps / 2) {
        --boundariesToSkip;
      } else {
        ledger.OnTransition(now, next);
      }
      now = next;
    } else if (random.Below(2) == 0 || live.empty()) {
      live.push_back(Allocate(16 + random.Below(64)));
      ++allocated[index];
    } else {
      std::free(live.back());
      live.pop_back();
      ++freed[index];
    }
  }
  bool agrees = true;
  for (const Phase phase : {Phase::Compile, Phase::Frame}) {
    const SnapshotDelta sum = ledger.Of(phase).sum;
    const auto index = static_cast<std::size_t>(phase);
    agrees = agrees && sum.count == allocated[index] && sum.frees == freed[index] &&
             sum.liveCount == allocated[index] - freed[index];
  }
  for (void* const block : live) std::free(block);
  return agrees;
}

TEST_F(PhaseLedgerTest, Aa_RandomPhasesAgreeWithSumsKeptBeside) {
  const std::uint64_t seed = TestSeed(55);
  tracker_.StartTracking();
  EXPECT_TRUE(AgreesWithModel(tracker_, seed, Repetitions(50'000), false));
}

TEST_F(PhaseLedgerTest, Aa_AForgottenBoundaryIsFoundOut) {
  EXPECT_FALSE(AgreesWithModel(tracker_, 55, 5'000, true));
}

TEST_F(PhaseLedgerTest, Aa_TheRuntimeTakesItsSnapshotsByItself) {
  RuntimePtr runtime =
      Runtime::Create({.gate = GatePolicy::Trap, .warmupFrames = 2, .trackAllocations = true}).Value();
  ASSERT_NE(runtime->Tracker(), nullptr);
  EXPECT_TRUE(runtime->Tracker()->IsArmed()) << runtime->Tracker()->WhyNotArmed();
  FallbackSite* const site = runtime->Fallbacks().Register("planted", "test", 1 << 20, 0).Value();
  void* const setup = Allocate(4096);
  ASSERT_TRUE(runtime->SealSetup());
  void* const compile = Allocate(300);
  std::free(setup);
  arenas::Arena* const plan = runtime->Compile().BeginCompile().Value();
  static_cast<void>(plan->Allocate(2048));
  ASSERT_TRUE(runtime->Compile().SealCompile());
  std::uint64_t laneBytes = 0;
  for (int i = 0; i < 20; ++i) {
    FrameContext* const frame = runtime->Frames().Begin().Value();
    static_cast<void>(frame->lane->Allocate(128));
    site->Free(site->TryAllocate(64));
    laneBytes += frame->lanes->UsedBytes();
    runtime->Frames().End(frame->completionValue);
  }
  const PhaseLedger& ledger = *runtime->Ledger();
  EXPECT_EQ(ledger.Current(), Phase::Frame);
  EXPECT_EQ(ledger.Of(Phase::Frame).sum.count, 0) << "20 frames, none of which allocated";
  EXPECT_EQ(ledger.Of(Phase::Frame).sum.frees, 0);
  EXPECT_GE(ledger.Of(Phase::Setup).sum.totalBytes, 4096);
  EXPECT_EQ(ledger.Of(Phase::Compile).sum.count, 1);
  EXPECT_EQ(ledger.Of(Phase::Compile).sum.liveBytes, 300 - 4096);

  const AllocationTracker::Stats stats = runtime->Tracker()->GetStats();
  const SourceStats& arena = stats.bySource[static_cast<std::size_t>(AllocationSource::Arena)];
  EXPECT_GE(arena.bytes, laneBytes + 2048) << "setup, the plan, and each frame's lane";
  EXPECT_GE(arena.count, 20u + 2u);
  EXPECT_EQ(arena.frees, 18u) << "of two slots, the frames before the last two were rewound";
  const SourceStats& fallback = stats.bySource[static_cast<std::size_t>(AllocationSource::Fallback)];
  EXPECT_EQ(fallback.count, 20u);
  EXPECT_EQ(fallback.bytes, 20u * 64u);
  EXPECT_EQ(fallback.freedBytes, 20u * 64u);

  const AuditReport report = runtime->BuildAudit();
  ASSERT_EQ(report.phases.size(), 3u);
  EXPECT_EQ(report.phases[2].name, "Frame");
  EXPECT_EQ(report.phases[1].liveBytes, 300 - 4096);
  EXPECT_EQ(report.phases[2].stays, 1u);
  std::free(compile);
  runtime.reset();
}

TEST_F(PhaseLedgerTest, Aa_WithoutTheOptionThereIsNone) {
  const RuntimePtr runtime = Runtime::Create({}).Value();
  EXPECT_EQ(runtime->Tracker(), nullptr);
  EXPECT_EQ(runtime->Ledger(), nullptr);
  EXPECT_TRUE(runtime->BuildAudit().phases.empty());
}

}  // namespace
}  // namespace stadial::runtime::testing
