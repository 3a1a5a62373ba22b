#include "stadial/runtime/frame_loop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "stadial/arenas/virtual_memory.h"
#include "stadial/runtime/audit.h"
#include "stadial/runtime/phase.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using ::testing::HasSubstr;
using testing::Random;
using testing::Repetitions;
using testing::TestArena;
using testing::TestSeed;

constexpr std::size_t kLaneBytes = 4096;

// A loop over heap memory, without gate, witness or compile memory.
struct Loop {
  explicit Loop(std::uint32_t framesInFlight, std::uint64_t deadlineNs = kWaitDeadlineNsDefault,
                std::uint32_t laneCount = 1)
      : table(1 << 16) {
    const std::size_t bytes = kLaneBytes * laneCount;
    memory.reset(static_cast<std::byte*>(std::aligned_alloc(arenas::PageSize(), bytes * framesInFlight)));
    for (std::uint32_t i = 0; i < framesInFlight; ++i) {
      slots.push_back(
          arenas::LaneSet::Carve("frame", memory.get() + i * bytes, bytes, laneCount, table.Get()).Value());
    }
    EXPECT_TRUE(phases.Transition(Phase::Compile));
    loop = std::make_unique<FrameLoop>(slots, phases, FrameLoop::Parts{.audit = &audit},
                                       FrameLoop::Options{.waitDeadlineNs = deadlineNs});
  }
  ~Loop() { EXPECT_TRUE(phases.Transition(Phase::Shutdown)); }

  struct Freer {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  std::unique_ptr<std::byte, Freer> memory;
  TestArena table;
  std::vector<arenas::LaneSet> slots;
  PhaseMachine phases;
  FrameAudit audit;
  std::unique_ptr<FrameLoop> loop;
};

// A device that completes late and out of step. Each frame leaves memory that the device "reads" when it gets
// there: whoever rewinds a slot too early is found by what stands in that memory then.
class LateDevice final : public CompletionSource {
 public:
  LateDevice(std::uint64_t seed, bool lies) : random_(seed), lies_(lies) {}

  void Submit(std::uint64_t value, const std::uint64_t* memory, std::size_t words, std::uint64_t pattern) {
    work_.push_back({value, memory, words, pattern});
  }
  // Completes up to `count` submissions.
  void Advance(std::size_t count) {
    for (; count != 0 && !work_.empty(); --count) {
      const Work& work = work_.front();
      for (std::size_t i = 0; i < work.words; ++i) corrupted_ += work.memory[i] != work.pattern + i;
      completed_ = work.value;
      work_.pop_front();
    }
  }
  std::uint64_t CompletedValue() noexcept override {
    if (random_.Below(4) == 0) Advance(random_.Below(3));
    return lies_ && random_.Below(8) == 0 && !work_.empty() ? work_.back().value : completed_;
  }
  Result<void> WaitForValue(std::uint64_t, std::uint64_t) noexcept override {
    ++waits_;
    Advance(random_.Below(3));  // sometimes returns before anything is done
    return {};
  }
  std::uint64_t Corrupted() const { return corrupted_; }
  std::uint64_t Waits() const { return waits_; }

 private:
  struct Work {
    std::uint64_t value;
    const std::uint64_t* memory;
    std::size_t words;
    std::uint64_t pattern;
  };
  Random random_;
  bool lies_;
  std::deque<Work> work_;
  std::uint64_t completed_ = 0;
  std::uint64_t corrupted_ = 0;
  std::uint64_t waits_ = 0;
};

// Runs `frames` random frames; returns the number of words the device found overwritten.
std::uint64_t RunLate(std::uint32_t framesInFlight, std::uint64_t frames, std::uint64_t seed, bool lies) {
  Random random(seed);
  LateDevice device(seed + 1, lies);
  Loop world(framesInFlight);
  FrameLoop& loop = *world.loop;
  loop.SetCompletionSource(&device);
  std::uint64_t value = 0;
  std::vector<std::uint64_t> model(framesInFlight, 0);  // value that frees each slot
  for (std::uint64_t i = 0; i < frames; ++i) {
    Result<FrameContext*> begun = loop.Begin();
    if (!begun) {
      ADD_FAILURE() << begun.GetError().Message();
      break;
    }
    FrameContext& frame = **begun;
    EXPECT_EQ(frame.frameIndex, i);
    EXPECT_EQ(frame.slot, i % framesInFlight);
    EXPECT_EQ(loop.SlotValue(frame.slot), model[frame.slot]);
    EXPECT_EQ(frame.lane->UsedBytes(), 0u) << "the slot was not rewound";
    const std::size_t words = 1 + random.Below(64);
    const std::uint64_t pattern = random.Next();
    const std::span<std::uint64_t> memory = frame.lane->NewArray<std::uint64_t>(words);
    for (std::size_t w = 0; w < words; ++w) memory[w] = pattern + w;
    // Values jump, and stand still in frames that give the device nothing to do.
    const std::uint64_t step = random.Below(4);
    value += step;
    if (step != 0) device.Submit(value, memory.data(), words, pattern);
    loop.End(value);
    model[frame.slot] = value;
  }
  device.Advance(~std::size_t{0});
  EXPECT_TRUE(loop.Drain());
  EXPECT_GT(device.Waits(), 0u) << "the device was never late: this run proves nothing";
  loop.SetCompletionSource(nullptr);
  return device.Corrupted();
}

TEST(FrameLoop, R5_ASlotIsRewoundOnlyWhenItsValueIsReached) {
  const std::uint64_t seed = TestSeed(31);
  for (std::uint32_t framesInFlight = 1; framesInFlight <= kFramesInFlightMax; ++framesInFlight) {
    EXPECT_EQ(RunLate(framesInFlight, Repetitions(20'000), seed + framesInFlight, false), 0u)
        << framesInFlight;
  }
}

TEST(FrameLoopCanary, R5_ADeviceThatReportsTooEarlyIsFoundOut) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "under AddressSanitizer the stale read itself is the report";
#endif
  EXPECT_GT(RunLate(2, 5'000, 1, true), 0u);
}

// A source whose values a test sets by hand.
class ManualSource final : public CompletionSource {
 public:
  std::uint64_t completed = 0;
  std::uint64_t waits = 0;
  ErrorCode failure = ErrorCode::Timeout;
  std::uint64_t CompletedValue() noexcept override { return completed; }
  Result<void> WaitForValue(std::uint64_t value, std::uint64_t) noexcept override {
    ++waits;
    if (value <= completed) return {};
    return Error::Format(failure, "manual source at %llu", static_cast<unsigned long long>(completed));
  }
};

TEST(FrameLoop, R5_DeadlineErrorNamesSlotAndValuesAndCanBeRetried) {
  Loop world(2, 1'000'000);
  ManualSource source;
  FrameLoop& loop = *world.loop;
  loop.SetCompletionSource(&source);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(loop.Begin());
    loop.End(static_cast<std::uint64_t>(10 + i));
  }
  source.completed = 9;
  const Result<FrameContext*> late = loop.Begin();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.GetError().Code(), ErrorCode::Timeout);
  EXPECT_THAT(late.GetError().Message(), HasSubstr("frame slot 0 is still in use at frame 2"));
  EXPECT_THAT(late.GetError().Message(), HasSubstr("completion value 10, 9 is reached"));
  EXPECT_FALSE(loop.IsFrameOpen());
  source.completed = 10;
  Result<FrameContext*> retried = loop.Begin();
  ASSERT_TRUE(retried);
  EXPECT_EQ((*retried)->frameIndex, 2u);
  loop.End(12);
  source.completed = 12;
  EXPECT_TRUE(loop.Drain());
  loop.SetCompletionSource(nullptr);
}

TEST(FrameLoop, ASourceThatReturnsEarlyForeverRunsIntoTheDeadline) {
  class Liar final : public CompletionSource {
   public:
    std::uint64_t CompletedValue() noexcept override { return 0; }
    Result<void> WaitForValue(std::uint64_t, std::uint64_t) noexcept override { return {}; }
  } liar;
  Loop world(1, 2'000'000);
  world.loop->SetCompletionSource(&liar);
  ASSERT_TRUE(world.loop->Begin());
  world.loop->End(1);
  const Result<FrameContext*> late = world.loop->Begin();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.GetError().Code(), ErrorCode::Timeout);
  EXPECT_THAT(late.GetError().Message(), HasSubstr("the source returned early"));
}

TEST(FrameLoop, OtherErrorsOfTheSourcePassThrough) {
  Loop world(1);
  ManualSource source;
  source.failure = ErrorCode::DeviceLost;
  world.loop->SetCompletionSource(&source);
  ASSERT_TRUE(world.loop->Begin());
  world.loop->End(1);
  const Result<FrameContext*> lost = world.loop->Begin();
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.GetError().Code(), ErrorCode::DeviceLost);
  EXPECT_EQ(world.loop->Drain().GetError().Code(), ErrorCode::DeviceLost);
  source.completed = 1;
  world.loop->SetCompletionSource(nullptr);
}

TEST(FrameLoop, R4_BeginNeedsTheRightPhase) {
  TestArena table(1 << 14);
  alignas(4096) static std::byte memory[4096];
  std::vector<arenas::LaneSet> slots{
      arenas::LaneSet::Carve("frame", memory, sizeof memory, 1, table.Get()).Value()};
  PhaseMachine phases;
  FrameLoop loop(slots, phases, {}, {});
  const Result<FrameContext*> early = loop.Begin();
  ASSERT_FALSE(early);
  EXPECT_EQ(early.GetError().Code(), ErrorCode::WrongPhase);
  EXPECT_THAT(early.GetError().Message(), HasSubstr("FrameLoop::Begin"));
  EXPECT_THAT(early.GetError().Message(), HasSubstr("Setup"));
  ASSERT_TRUE(phases.Transition(Phase::Compile));
  ASSERT_TRUE(loop.Begin());
  EXPECT_EQ(phases.Current(), Phase::Frame) << "the first Begin after a compile opens the Frame phase";
  const Result<FrameContext*> twice = loop.Begin();
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.GetError().Message(), HasSubstr("frame 0 is still open"));
  loop.End(1);
  ASSERT_TRUE(phases.Transition(Phase::Shutdown));
  EXPECT_FALSE(loop.Begin());
}

TEST(FrameLoop, ACallersOwnIndexLeavesGapsAndKeepsItsSlot) {
  Loop world(3);
  FrameLoop& loop = *world.loop;
  std::uint64_t index = 1'000;
  Random random(TestSeed(32));
  for (int i = 0; i < 1'000; ++i) {
    const bool isOwn = random.Below(2) == 0;
    if (isOwn && i != 0) {
      ++index;
    } else {
      index += 1 + random.Below(10);
    }
    Result<FrameContext*> begun = isOwn && i != 0 ? loop.Begin() : loop.Begin(index);
    ASSERT_TRUE(begun) << begun.GetError().Message();
    FrameContext& frame = **begun;
    ASSERT_EQ(frame.frameIndex, index);
    ASSERT_EQ(frame.slot, index % 3);
    ASSERT_EQ(frame.completionValue, index + 1);
    ASSERT_EQ(frame.lane->UsedBytes(), 0u) << "whatever slot comes next, it was rewound";
    static_cast<void>(frame.lane->Allocate(100));
    loop.End(frame.completionValue);
    ASSERT_EQ(loop.SlotValue(frame.slot), index + 1);
  }
}

TEST(FrameLoop, R5_ACallersIndexWaitsForTheSlotItComesBackTo) {
  Loop world(2, 1'000'000);
  ManualSource source;
  FrameLoop& loop = *world.loop;
  loop.SetCompletionSource(&source);
  ASSERT_TRUE(loop.Begin(4));
  loop.End(5);
  source.completed = 4;
  const Result<FrameContext*> sameSlot = loop.Begin(6);
  ASSERT_FALSE(sameSlot);
  EXPECT_THAT(sameSlot.GetError().Message(), HasSubstr("frame slot 0 is still in use at frame 6"));
  EXPECT_TRUE(loop.Begin(7)) << "the other slot is free";
  loop.End(8);
  source.completed = 8;
  EXPECT_TRUE(loop.Drain());
  loop.SetCompletionSource(nullptr);
}

TEST(FrameLoop, ACallersIndexMustGoUp) {
  Loop world(2);
  FrameLoop& loop = *world.loop;
  FrameContext* const frame = loop.Begin(10).Value();
  const Result<FrameContext*> nested = loop.Begin(20);
  ASSERT_FALSE(nested);
  EXPECT_EQ(nested.GetError().Code(), ErrorCode::WrongPhase);
  EXPECT_EQ(frame->frameIndex, 10u);
  loop.End(11);
  const Result<FrameContext*> again = loop.Begin(10);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_THAT(again.GetError().Message(),
              HasSubstr("frame 10 cannot follow; indices go up, the next one is 11"));
  EXPECT_FALSE(loop.Begin(~std::uint64_t{0}));
  EXPECT_EQ(loop.Begin().Value()->frameIndex, 11u);
  loop.End(12);
}

TEST(FrameLoop, EveryLaneOfTheSlotIsRewound) {
  Loop world(2, kWaitDeadlineNsDefault, 3);
  for (int i = 0; i < 6; ++i) {
    FrameContext& frame = **world.loop->Begin();
    ASSERT_EQ(frame.lanes->Count(), 3u);
    EXPECT_EQ(frame.lane, &frame.lanes->Lane(0));
    for (std::uint32_t lane = 0; lane < 3; ++lane) {
      EXPECT_EQ(frame.lanes->Lane(lane).UsedBytes(), 0u);
      static_cast<void>(frame.lanes->Lane(lane).Allocate(100));
    }
    world.loop->End(frame.completionValue);
  }
}

TEST(FrameLoop, ExcludedTimeIsNotTheRuntimes) {
  Loop world(1);
  for (int i = 0; i < 3; ++i) {
    FrameContext& frame = **world.loop->Begin();
    {
      const ExcludedTime excluded(frame);
      const std::uint64_t start = NowNs();
      while (NowNs() - start < 2'000'000) {
      }
    }
    EXPECT_GE(frame.excludedNs, 2'000'000u);
    world.loop->End(frame.completionValue);
  }
  EXPECT_EQ(world.audit.Frames().steady, 3u);
  EXPECT_GE(world.audit.FrameTimes().PercentileNs(0.0), 1'990'000.0);
  // The busy wait is counted in the frame and not in the overhead, whatever else this machine was doing.
  EXPECT_LE(world.audit.OverheadTimes().PercentileNs(0.0),
            world.audit.FrameTimes().PercentileNs(0.0) * 1.01 - 1'950'000.0);
}

TEST(FrameLoop, WaitingForASlotIsExcludedToo) {
  class Slow final : public CompletionSource {
   public:
    std::uint64_t completed = 0;
    std::uint64_t CompletedValue() noexcept override { return completed; }
    Result<void> WaitForValue(std::uint64_t value, std::uint64_t) noexcept override {
      const std::uint64_t start = NowNs();
      while (NowNs() - start < 1'000'000) {
      }
      completed = value;
      return {};
    }
  } slow;
  Loop world(1);
  world.loop->SetCompletionSource(&slow);
  ASSERT_TRUE(world.loop->Begin());
  world.loop->End(1);
  FrameContext& frame = **world.loop->Begin();
  EXPECT_GE(frame.excludedNs, 1'000'000u);
  EXPECT_EQ(world.loop->WaitCount(), 1u);
  world.loop->End(2);
  EXPECT_TRUE(world.loop->Drain());
  world.loop->SetCompletionSource(nullptr);
}

TEST(FrameLoopDeathTest, MisuseAsserts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Loop world(1);
        world.loop->End(1);
      },
      "FrameLoop::End without an open frame");
  EXPECT_DEATH(
      {
        Loop world(1);
        static_cast<void>(world.loop->Begin());
        world.loop->End(5);
        static_cast<void>(world.loop->Begin());
        world.loop->End(4);
      },
      "completion values must not fall");
  EXPECT_DEATH(
      {
        Loop world(1);
        ManualSource source;
        world.loop->SetCompletionSource(&source);
        static_cast<void>(world.loop->Begin());
        world.loop->End(5);
        world.loop->SetCompletionSource(nullptr);
      },
      "call Drain first");
}

}  // namespace
}  // namespace stadial::runtime
