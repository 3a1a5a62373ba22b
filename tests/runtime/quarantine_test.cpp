// RuntimeOptions::quarantineWindows: rewound frames become inaccessible, and nothing else changes.
#include "stadial/arenas/quarantine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <vector>

#include "stadial/runtime/runtime.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using ::testing::HasSubstr;

RuntimeOptions Small(std::uint32_t windows) {
  RuntimeOptions options;
  options.region.sizeBytes = std::size_t{1} << 30;
  options.setupBytes = std::size_t{1} << 20;
  options.driverBytes = 0;
  options.frameLaneBytes = std::size_t{64} << 10;
  options.frameGuardBytes = std::size_t{64} << 10;
  options.lanes = 2;
  options.warmupFrames = 4;
  options.quarantineWindows = windows;
  return options;
}

// One frame; returns an object of its lane.
volatile int* RunFrame(Runtime& runtime, arenas::Arena** lane = nullptr) {
  FrameContext* const frame = runtime.Frames().Begin().Value();
  volatile int* const object = frame->lane->New<int>(1);
  if (lane != nullptr) *lane = frame->lane;
  runtime.Frames().End(frame->completionValue);
  return object;
}

TEST(Quarantine, R8_EachFrameOfASlotStandsAtOtherAddresses) {
  const RuntimePtr runtime = Runtime::Create(Small(4)).Value();
  ASSERT_TRUE(runtime->SealSetup());
  std::vector<volatile int*> objects;
  arenas::Arena* first = nullptr;
  for (int frame = 0; frame < 16; ++frame) {
    arenas::Arena* lane = nullptr;
    objects.push_back(RunFrame(*runtime, &lane));
    if (frame == 0) first = lane;
    EXPECT_EQ(lane == first, frame % 2 == 0) << "the lane itself stays what it is";
    EXPECT_EQ(lane->CapacityBytes(), std::size_t{64} << 10);
  }
  // Two slots of four windows: the same address again after eight frames, not before.
  for (int frame = 0; frame < 8; ++frame) {
    EXPECT_EQ(objects[static_cast<std::size_t>(frame)], objects[static_cast<std::size_t>(frame) + 8]);
    for (int other = 0; other < frame; ++other)
      EXPECT_NE(objects[static_cast<std::size_t>(frame)], objects[static_cast<std::size_t>(other)]);
  }
}

TEST(Quarantine, R8_SteadyFramesStillAllocateFaultAndCallNothing) {
  STADIAL_ASSERT_ARMED();
  const RuntimePtr runtime = Runtime::Create(Small(3)).Value();
  ASSERT_TRUE(runtime->SealSetup());
  for (int frame = 0; frame < 200; ++frame) RunFrame(*runtime);
  const AuditReport report = runtime->BuildAudit();
  const AuditFrameThreads& steady = runtime->Audit().Steady();
  EXPECT_EQ(steady.heapAllocations, 0u);
  EXPECT_EQ(steady.heapFrees, 0u);
  EXPECT_EQ(steady.vmSyscalls, 0u) << "the rotation is the frame loop's, before the frame opens";
  if (report.witness.minorFaults) {
    EXPECT_EQ(steady.minorFaults, 0u);
  }
}

TEST(Quarantine, OneWindowIsRefused) {
  const Result<RuntimePtr> refused = Runtime::Create(Small(1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_THAT(refused.GetError().Message(), HasSubstr("quarantineWindows is 1; it must be 0 (off) or 2 to"));
}

bool DiesOfAccess(int status) {
  return testing::kIsSanitized ? !WIFEXITED(status) || WEXITSTATUS(status) != 0
                               : WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

void UseStalePointer(std::uint32_t windows) {
  const RuntimePtr runtime = Runtime::Create(Small(windows)).Value();
  if (!runtime->SealSetup()) std::_Exit(90);
  volatile int* const stale = RunFrame(*runtime);
  RunFrame(*runtime);
  RunFrame(*runtime);  // the first frame's slot again
  *stale = 2;
  std::_Exit(0);
}

TEST(QuarantineDeathTest, R8_AStalePointerOfAFrameFaults) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(UseStalePointer(2), DiesOfAccess, "");
}
#if !defined(__SANITIZE_ADDRESS__)
TEST(QuarantineDeathTest, R8_ControlWithoutItTheFrameGoesOn) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(UseStalePointer(0), ::testing::ExitedWithCode(0), "");
}
#endif

}  // namespace
}  // namespace stadial::runtime
