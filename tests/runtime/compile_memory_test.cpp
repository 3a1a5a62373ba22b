#include "stadial/runtime/compile_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "stadial/arenas/region.h"
#include "stadial/runtime/frame_loop.h"
#include "stadial/runtime/kernel_witness.h"
#include "stadial/runtime/phase.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using ::testing::HasSubstr;
using testing::TestArena;

class ManualSource final : public CompletionSource {
 public:
  std::uint64_t completed = 0;
  std::uint64_t CompletedValue() noexcept override { return completed; }
  Result<void> WaitForValue(std::uint64_t value, std::uint64_t) noexcept override {
    if (completesOnWait && completed < value) completed = value;
    if (completed >= value) return {};
    return Error::Format(ErrorCode::Timeout, "stuck");
  }
  bool completesOnWait = false;
};

constexpr std::size_t kHalfBytes = 64 << 10;
constexpr std::size_t kHalfGuardBytes = arenas::kArenaChecks ? 16 << 10 : 0;

struct World {
  World()
      : region(arenas::Region::Reserve({.name = "compile_test", .sizeBytes = std::size_t{64} << 20}).Value()),
        compile(*region.AddSegment({.name = "a", .sizeBytes = kHalfBytes + kHalfGuardBytes}).Value(),
                *region.AddSegment({.name = "b", .sizeBytes = kHalfBytes + kHalfGuardBytes}).Value(),
                kHalfGuardBytes),
        slots{arenas::LaneSet::Carve("frame", Committed("frame"), 16 << 10, 1, table.Get()).Value(),
              arenas::LaneSet::Carve("frame", Committed("frame2"), 16 << 10, 1, table.Get()).Value()},
        loop(slots, phases, {.compile = &compile}, {.waitDeadlineNs = 1'000'000}) {
    EXPECT_TRUE(phases.Transition(Phase::Compile));
    loop.SetCompletionSource(&source);
  }
  ~World() { EXPECT_TRUE(phases.Transition(Phase::Shutdown)); }
  std::byte* Committed(const char* name) {
    arenas::Segment* const segment = region.AddSegment({.name = name, .sizeBytes = 16 << 10}).Value();
    EXPECT_TRUE(segment->CommitAll());
    return segment->Base();
  }
  // Builds a plan of one number.
  int* Build(int number) {
    arenas::Arena* const memory = compile.BeginCompile().Value();
    int* const plan = memory->New<int>(number);
    EXPECT_TRUE(compile.SealCompile());
    return plan;
  }
  void Frame(std::uint64_t value) {
    ASSERT_TRUE(loop.Begin());
    loop.End(value);
  }

  TestArena table{1 << 14};
  arenas::Region region;
  ManualSource source;
  PhaseMachine phases;
  CompileMemory compile;
  std::vector<arenas::LaneSet> slots;
  FrameLoop loop;
};

TEST(CompileMemory, R2_TheHalvesAlternate) {
  World world;
  const int* const one = world.Build(1);
  const int* const two = world.Build(2);
  EXPECT_TRUE(world.compile.Half(0).Contains(one));
  EXPECT_TRUE(world.compile.Half(1).Contains(two));
  EXPECT_EQ(*one, 1) << "the plan before the last one is still readable";
  const int* const three = world.Build(3);
  EXPECT_EQ(three, one) << "a half is rewound, not extended";
  EXPECT_EQ(world.compile.PlanGeneration(), 3u);
}

TEST(CompileMemory, R3_AHalfIsPreFaultedWhenItIsOpened) {
  if (testing::kIsSanitized) GTEST_SKIP() << "the sanitizer's shadow memory faults in on the same thread";
  World world;
  // Each half twice: fresh, and again after it was sealed read-only.
  for (int opening = 0; opening < 4; ++opening) {
    arenas::Arena* const memory = world.compile.BeginCompile().Value();
    const std::uint64_t before = MinorFaults();
    std::memset(memory->Allocate(memory->RemainingBytes()), 1, memory->CapacityBytes());
    EXPECT_EQ(MinorFaults() - before, 0u) << "opening " << opening;
    ASSERT_TRUE(world.compile.SealCompile());
  }
}

TEST(CompileMemory, R8_GuardsTakeNothingFromTheCapacity) {
  World world;
  const arenas::Arena* const memory = world.compile.BeginCompile().Value();
  EXPECT_EQ(memory->CapacityBytes(), kHalfBytes);
  world.compile.AbandonCompile();
}

TEST(CompileMemoryDeathTest, R8_AnOverrunInAPlanIsReportedWhenItIsSealed) {
  if (!arenas::kArenaChecks) GTEST_SKIP() << "guards stand in checked builds only";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  World world;
  auto* const bytes = static_cast<volatile char*>(world.compile.BeginCompile().Value()->Allocate(24));
  bytes[23] = 1;
  EXPECT_DEATH(
      {
        bytes[24] = 1;
        static_cast<void>(world.compile.SealCompile());
      },
      STADIAL_ADDRESS_SANITIZER != 0
          ? "use-after-poison"
          : "arena 'a': overrun: offset [0-9]+ was written, 0 B past the end of the allocation of 24 B");
  EXPECT_TRUE(world.compile.SealCompile());
}

TEST(CompileMemoryDeathTest, R5_ASealedPlanIsReadOnlyInHardware) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  World world;
  int* const plan = world.Build(1);
  EXPECT_EQ(world.compile.Half(0).Access(), arenas::PageAccess::ReadOnly);
  EXPECT_DEATH(*const_cast<volatile int*>(plan) = 2, "");
}

TEST(CompileMemory, R5_TheOldHalfIsReusedOnlyWhenItsLastFrameHasCompleted) {
  World world;
  const int* const one = world.Build(1);
  world.Frame(1);
  world.Frame(2);
  static_cast<void>(world.Build(2));  // frames 1 and 2 used plan one
  world.source.completed = 1;
  const Result<arenas::Arena*> early = world.compile.BeginCompile();
  ASSERT_FALSE(early) << "the half is still read by frame value 2";
  EXPECT_EQ(early.GetError().Code(), ErrorCode::Timeout);
  EXPECT_THAT(early.GetError().Message(), HasSubstr("compile half 0"));
  EXPECT_THAT(early.GetError().Message(), HasSubstr("value 2, 1 is reached"));
  EXPECT_EQ(*one, 1);
  world.source.completed = 2;
  EXPECT_TRUE(world.compile.BeginCompile());
  EXPECT_TRUE(world.compile.SealCompile());
}

TEST(CompileMemory, R5_BeginCompileWaitsForTheFramesInFlight) {
  World world;
  static_cast<void>(world.Build(1));
  world.Frame(7);
  static_cast<void>(world.Build(2));
  world.source.completesOnWait = true;
  EXPECT_TRUE(world.compile.BeginCompile());
  EXPECT_EQ(world.source.completed, 7u);
  world.compile.AbandonCompile();
}

TEST(CompileMemory, R5_APlanReplacedInsideAFrameLivesUntilThatFrameCompletes) {
  World world;
  static_cast<void>(world.Build(1));
  ASSERT_TRUE(world.loop.Begin());
  static_cast<void>(world.Build(2));
  const Result<arenas::Arena*> twice = world.compile.BeginCompile();
  ASSERT_FALSE(twice);
  EXPECT_EQ(twice.GetError().Code(), ErrorCode::WrongPhase);
  EXPECT_THAT(twice.GetError().Message(), HasSubstr("compile once a frame"));
  world.loop.End(1);
  EXPECT_EQ(world.compile.BeginCompile().GetError().Code(), ErrorCode::Timeout) << "value 1 is not reached";
  world.source.completed = 1;
  EXPECT_TRUE(world.compile.BeginCompile());
  world.compile.AbandonCompile();
}

TEST(CompileMemory, AnAbandonedPlanLeavesTheOldOneInUse) {
  World world;
  const int* const one = world.Build(1);
  arenas::Arena* const memory = world.compile.BeginCompile().Value();
  static_cast<void>(memory->New<int>(2));
  EXPECT_TRUE(world.compile.IsCompiling());
  EXPECT_FALSE(world.loop.Begin()) << "no frame while a plan is being built";
  world.compile.AbandonCompile();
  EXPECT_FALSE(world.compile.IsCompiling());
  EXPECT_EQ(*one, 1);
  EXPECT_EQ(world.compile.PlanGeneration(), 1u);
  world.Frame(1);
  EXPECT_EQ(memory->UsedBytes(), 0u);
}

TEST(CompileMemory, WrongOrderIsAnError) {
  World world;
  EXPECT_EQ(world.compile.SealCompile().GetError().Code(), ErrorCode::WrongPhase);
  ASSERT_TRUE(world.compile.BeginCompile());
  const Result<arenas::Arena*> twice = world.compile.BeginCompile();
  ASSERT_FALSE(twice);
  EXPECT_THAT(twice.GetError().Message(), HasSubstr("a plan is being built in 'a'"));
  world.compile.AbandonCompile();
}

TEST(CompileMemory, D_d_TenThousandRecompilesUseNoMoreMemoryThanTwo) {
  World world;
  world.source.completesOnWait = true;
  std::uint64_t value = 0;
  for (int i = 0; i < 10'000; ++i) {
    arenas::Arena* const memory = world.compile.BeginCompile().Value();
    static_cast<void>(memory->NewArray<std::uint32_t>(1000));
    ASSERT_TRUE(world.compile.SealCompile());
    world.Frame(++value);
  }
  EXPECT_EQ(world.compile.PeakBytes(0), 4000u);
  EXPECT_EQ(world.compile.PeakBytes(1), 4000u);
}

}  // namespace
}  // namespace stadial::runtime
