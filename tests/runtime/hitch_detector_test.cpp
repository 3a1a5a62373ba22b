#include "stadial/runtime/hitch_detector.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "stadial/arenas/virtual_memory.h"
#include "stadial/runtime/designated_fallback.h"
#include "stadial/runtime/runtime.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using testing::Random;
using testing::Repetitions;
using testing::TestSeed;

constexpr std::uint64_t kMs = 1'000'000;

// A detector that has seen `frames` frames of `frameNs`.
HitchDetector Settled(std::uint64_t frameNs, std::uint32_t frames = kHitchWindow,
                      const HitchOptions& options = {}) {
  HitchDetector detector(options);
  for (std::uint32_t i = 0; i < frames; ++i) detector.Judge({.frameIndex = i, .frameNs = frameNs});
  return detector;
}

TEST(HitchDetector, AFrameLongerThanFactorTimesMedianIsOne) {
  HitchDetector detector = Settled(10 * kMs);
  EXPECT_EQ(detector.Count(), 0u) << "steady frames are none, however long";
  EXPECT_EQ(detector.CalculateMedianNs(), 10 * kMs);
  EXPECT_EQ(detector.Judge({.frameIndex = 200, .frameNs = 20 * kMs}), nullptr);
  const Hitch* const hitch = detector.Judge({.frameIndex = 201, .frameNs = 20 * kMs + 2});
  ASSERT_NE(hitch, nullptr);
  EXPECT_EQ(hitch->frameIndex, 201u);
  EXPECT_EQ(hitch->frameNs, 20 * kMs + 2);
  EXPECT_EQ(hitch->medianNs, 10 * kMs);
  EXPECT_EQ(hitch->thresholdNs, 20 * kMs);
  EXPECT_EQ(hitch->cause, HitchCause::NodeCode);
  EXPECT_EQ(detector.Count(), 1u);
  EXPECT_EQ(detector.Count(HitchCause::NodeCode), 1u);
  EXPECT_EQ(detector.Last().frameIndex, 201u);
}

TEST(HitchDetector, NothingBelowTheAbsoluteLimitIsOne) {
  HitchDetector detector = Settled(kMs / 100);
  EXPECT_EQ(detector.Judge({.frameNs = 4 * kMs}), nullptr) << "400 times the median, but short";
  const Hitch* const hitch = detector.Judge({.frameNs = 4 * kMs + 1});
  ASSERT_NE(hitch, nullptr);
  EXPECT_EQ(hitch->thresholdNs, 4 * kMs);
}

TEST(HitchDetector, TheFirstFramesAreNotJudged) {
  HitchDetector detector = Settled(kMs, kHitchFramesMin - 1);
  EXPECT_EQ(detector.Judge({.frameNs = 900 * kMs}), nullptr);
  EXPECT_NE(detector.Judge({.frameNs = 900 * kMs}), nullptr);
}

TEST(HitchDetector, AProgramThatBecomesSlowerHasHitchesForHalfAWindow) {
  HitchDetector detector = Settled(5 * kMs);
  for (int i = 0; i < 1000; ++i) detector.Judge({.frameNs = 30 * kMs});
  EXPECT_EQ(detector.Count(), kHitchWindow / 2);
}

TEST(HitchDetector, WarmUpFramesEnterTheMedianOnly) {
  HitchDetector detector;
  for (int i = 0; i < 50; ++i) detector.Learn(kMs);
  detector.Learn(800 * kMs);
  EXPECT_EQ(detector.Count(), 0u);
  EXPECT_NE(detector.Judge({.frameNs = 5 * kMs}), nullptr);
}

struct CauseCase {
  const char* name;
  HitchEvidence did;
  HitchCause cause;
};

void PrintTo(const CauseCase& one, std::ostream* out) { *out << one.name; }

class HitchCauses : public ::testing::TestWithParam<CauseCase> {};

TEST_P(HitchCauses, AreTakenFromWhatTheFrameDid) {
  HitchDetector detector = Settled(10 * kMs);
  HitchEvidence frame = GetParam().did;
  frame.frameNs = 50 * kMs;
  const Hitch* const hitch = detector.Judge(frame);
  ASSERT_NE(hitch, nullptr);
  EXPECT_EQ(hitch->cause, GetParam().cause) << ToString(hitch->cause);
  EXPECT_EQ(detector.Count(GetParam().cause), 1u);
  const unsigned evidence = hitch->evidence;
  EXPECT_EQ((evidence >> static_cast<unsigned>(HitchCause::Compile)) & 1u, frame.compiled ? 1u : 0u);
  EXPECT_EQ((evidence >> static_cast<unsigned>(HitchCause::Wait)) & 1u, frame.waitedNs != 0 ? 1u : 0u);
  EXPECT_EQ((evidence >> static_cast<unsigned>(HitchCause::Fault)) & 1u, frame.minorFaults != 0 ? 1u : 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Evidence, HitchCauses,
    ::testing::Values(
        CauseCase{"Nothing", {}, HitchCause::NodeCode},
        CauseCase{"Compile", {.compiled = true}, HitchCause::Compile},
        CauseCase{"CompileThatWaited",
                  {.waitedNs = 45 * kMs, .minorFaults = 9, .compiled = true},
                  HitchCause::Compile},
        CauseCase{"Wait", {.waitedNs = 40 * kMs}, HitchCause::Wait},
        CauseCase{"WaitBesideAFault", {.waitedNs = 40 * kMs, .minorFaults = 1}, HitchCause::Wait},
        CauseCase{"AWaitTooShortToExplainIt", {.waitedNs = 29 * kMs}, HitchCause::NodeCode},
        CauseCase{"AWaitThatJustExplainsIt", {.waitedNs = 30 * kMs}, HitchCause::Wait},
        CauseCase{
            "Fallback", {.waitedNs = kMs, .fallbackAllocations = 1, .minorFaults = 3}, HitchCause::Fallback},
        CauseCase{"Fault", {.minorFaults = 3, .budgetDeferrals = 1}, HitchCause::Fault},
        CauseCase{"Budget", {.budgetDeferrals = 2}, HitchCause::Budget}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(HitchDetector, TheWorstAreKeptLongestFirst) {
  HitchDetector detector = Settled(kMs);
  Random random(TestSeed(9));
  std::vector<std::uint64_t> all;
  for (std::uint64_t i = 0; i < 40; ++i) {
    const std::uint64_t frameNs = 10 * kMs + random.Below(900 * kMs);
    all.push_back(frameNs);
    ASSERT_NE(detector.Judge({.frameIndex = i, .frameNs = frameNs}), nullptr);
  }
  std::ranges::sort(all, std::greater<>());
  ASSERT_EQ(detector.Worst().size(), kWorstHitchesMax);
  for (std::size_t i = 0; i < kWorstHitchesMax; ++i) EXPECT_EQ(detector.Worst()[i].frameNs, all[i]);
}

TEST(HitchDetector, Bd_TheVrPresetSeesALateFrame) {
  HitchDetector detector = Settled(8 * kMs, kHitchWindow, kVrHitches);
  EXPECT_EQ(detector.Judge({.frameNs = 11 * kMs}), nullptr);
  EXPECT_NE(detector.Judge({.frameNs = 11'111'112}), nullptr);
}

// What a sorted copy of the last frames says.
class Model {
 public:
  Model(std::size_t window, const HitchOptions& options) : window_(window), options_(options) {}

  bool Judge(std::uint64_t frameNs) {
    bool isHitch = false;
    if (last_.size() >= kHitchFramesMin && frameNs > options_.absoluteNs) {
      std::vector<std::uint64_t> sorted(last_.begin(), last_.end());
      std::ranges::sort(sorted);
      const auto shareNs = static_cast<std::uint64_t>(static_cast<double>(frameNs) / options_.factor);
      isHitch = sorted[sorted.size() / 2] < shareNs;
    }
    last_.push_back(frameNs);
    if (last_.size() > window_) last_.pop_front();
    return isHitch;
  }

 private:
  std::size_t window_;
  HitchOptions options_;
  std::deque<std::uint64_t> last_;
};

// Frames on which the detector and a model with this window differ.
std::uint64_t Disagreements(std::uint64_t seed, std::uint64_t frames, std::size_t modelWindow) {
  const HitchOptions options{.factor = 1.5, .absoluteNs = 2 * kMs};
  HitchDetector detector(options);
  Model model(modelWindow, options);
  Random random(seed);
  std::uint64_t differ = 0;
  std::uint64_t hitches = 0;
  std::uint64_t usualNs = 4 * kMs;
  for (std::uint64_t i = 0; i < frames; ++i) {
    if (random.Below(300) == 0) usualNs = kMs + random.Below(16 * kMs);  // another scene
    const std::uint64_t frameNs = usualNs + random.Below(usualNs);
    const bool seen = detector.Judge({.frameIndex = i, .frameNs = frameNs}) != nullptr;
    differ += seen != model.Judge(frameNs) ? 1u : 0u;
    hitches += seen ? 1u : 0u;
  }
  EXPECT_EQ(detector.Count(), hitches);
  EXPECT_GT(hitches, frames / 100) << "no hitches: this run proves nothing";
  return differ;
}

TEST(HitchDetector, RandomFramesAgreeWithASortedWindow) {
  EXPECT_EQ(Disagreements(TestSeed(11), Repetitions(50'000), kHitchWindow), 0u);
}

TEST(HitchDetectorCanary, AModelWithAnotherWindowDisagrees) {
  EXPECT_GT(Disagreements(TestSeed(11), 20'000, kHitchWindow - 16), 0u);
}

TEST(HitchDetectorDeathTest, AFactorOutOfRangeAsserts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(HitchDetector({.factor = 0.5}), "HitchOptions::factor");
  EXPECT_DEATH(HitchDetector({.factor = std::numeric_limits<double>::quiet_NaN()}), "HitchOptions::factor");
}

// From the loop to the report: each cause, planted in a frame that is long beyond doubt.
class HitchesOfARuntime : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kLongNs = 3 * kMs;

  void SetUp() override {
    runtime_ = Runtime::Create({.gate = GatePolicy::Count, .warmupFrames = 5, .hitches = {.absoluteNs = kMs}})
                   .Value();
    site_ = runtime_->Fallbacks().Register("planted", "test", 1 << 20, 0).Value();
    ASSERT_TRUE(runtime_->SealSetup());
    for (int i = 0; i < 50; ++i) Run([](FrameContext&) {});
  }
  template <class Body>
  void Run(Body&& body) {
    FrameContext* const frame = runtime_->Frames().Begin().Value();
    index_ = frame->frameIndex;
    body(*frame);
    runtime_->Frames().End(frame->completionValue);
  }
  static void Spin() {
    const std::uint64_t startNs = NowNs();
    while (NowNs() - startNs < kLongNs) {
    }
  }
  void ExpectLast(HitchCause cause) {
    const Hitch& last = runtime_->Audit().Hitches().Last();
    EXPECT_EQ(last.frameIndex, index_);
    EXPECT_EQ(last.cause, cause) << ToString(last.cause);
    EXPECT_GE(last.frameNs, kLongNs);
  }

  RuntimePtr runtime_;
  FallbackSite* site_ = nullptr;
  std::uint64_t index_ = 0;
};

TEST_F(HitchesOfARuntime, FromACompile) {
  Run([this](FrameContext&) {
    ASSERT_TRUE(runtime_->Compile().BeginCompile());
    Spin();
    ASSERT_TRUE(runtime_->Compile().SealCompile());
  });
  ExpectLast(HitchCause::Compile);
}

TEST_F(HitchesOfARuntime, FromAFallback) {
  Run([this](FrameContext&) {
    void* const block = site_->TryAllocate(64);
    Spin();
    site_->Free(block);
  });
  ExpectLast(HitchCause::Fallback);
}

TEST_F(HitchesOfARuntime, FromABudget) {
  Run([](FrameContext& frame) {
    ++frame.budgetDeferrals;
    Spin();
  });
  if (runtime_->Audit().Hitches().Last().evidence == 1u << static_cast<unsigned>(HitchCause::Budget))
    ExpectLast(HitchCause::Budget);  // otherwise the machine took a page away in this very frame
}

// The evidence is there in any case; a page that the machine takes away in this very frame would outrank it.
TEST_F(HitchesOfARuntime, Bb_FromTasksThatABudgetPutsOff) {
  const auto run = [this](std::uint64_t costMax) {
    Run([this, costMax](FrameContext& frame) {
      for (int i = 0; i < 2; ++i) ASSERT_TRUE(runtime_->Tasks().Submit([] { Spin(); }, {.cost = 10}));
      static_cast<void>(runtime_->Tasks().ExecuteParallel(frame, {.costMax = costMax}));
    });
    return runtime_->Audit().Hitches().Last().evidence;
  };
  constexpr unsigned kBudget = 1u << static_cast<unsigned>(HitchCause::Budget);
  const auto evidence = run(15);
  EXPECT_EQ(evidence & kBudget, kBudget);
  if (evidence == kBudget) ExpectLast(HitchCause::Budget);
  EXPECT_EQ(run(1000) & kBudget, 0u) << "all of it ran";
}

TEST_F(HitchesOfARuntime, FromAFault) {
  if (testing::kIsSanitized) GTEST_SKIP() << "the sanitizer's shadow memory faults in on the same thread";
  std::byte* const page = arenas::ReserveAddressSpace(arenas::PageSize(), arenas::PageSize()).Value();
  ASSERT_TRUE(arenas::CommitPages(page, arenas::PageSize()));
  ASSERT_TRUE(arenas::DecommitPages(page, arenas::PageSize()));
  ASSERT_TRUE(arenas::ProtectPages(page, arenas::PageSize(), arenas::PageAccess::ReadWrite));
  Run([page](FrameContext&) {
    *static_cast<volatile std::byte*>(page) = std::byte{1};
    Spin();
  });
  ExpectLast(HitchCause::Fault);
  arenas::ReleaseAddressSpace(page, arenas::PageSize());
}

TEST_F(HitchesOfARuntime, FromAWait) {
  class Slow final : public CompletionSource {
   public:
    std::uint64_t completed = 0;
    std::uint64_t CompletedValue() noexcept override { return completed; }
    Result<void> WaitForValue(std::uint64_t value, std::uint64_t) noexcept override {
      Spin();
      completed = value;
      return {};
    }
  } slow;
  runtime_->Frames().SetCompletionSource(&slow);
  std::uint64_t value = 0;
  for (std::uint32_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(runtime_->Frames().Begin());
    runtime_->Frames().End(++value);
  }
  const FrameContext* const frame = runtime_->Frames().Begin().Value();
  index_ = frame->frameIndex;
  EXPECT_GE(frame->waitedNs, kLongNs);
  runtime_->Frames().End(++value);
  ExpectLast(HitchCause::Wait);
  ASSERT_TRUE(runtime_->Frames().Drain());
  runtime_->Frames().SetCompletionSource(nullptr);
}

TEST_F(HitchesOfARuntime, AreInTheAudit) {
  Run([](FrameContext&) { Spin(); });
  const AuditReport report = runtime_->BuildAudit();
  EXPECT_GE(report.hitches.total, 1u);
  std::uint64_t sum = 0;
  for (const std::uint64_t count : report.hitches.byCause) sum += count;
  EXPECT_EQ(sum, report.hitches.total);
  ASSERT_FALSE(report.hitches.worst.empty());
  EXPECT_GE(report.hitches.worst.front().frameNs, kLongNs);
}

}  // namespace
}  // namespace stadial::runtime
