#include "stadial/arenas/quarantine.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "stadial/arenas/region.h"
#include "support/arena_buffer.h"
#include "support/memory_probe.h"
#include "support/op_program.h"
#include "support/system_probe.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::MemoryProbe;
using testing::OpRandom;

// Frame memory as a runtime lays it out: a committed segment, windows in it, lanes in the first window.
class Frames {
 public:
  Frames(std::uint32_t windowCount, std::uint32_t laneCount, std::size_t laneBytes,
         std::size_t guardBytes = 0)
      : region_(Region::Reserve({.name = "frames", .sizeBytes = 256_MiB}).Value()) {
    const std::size_t windowBytes = (laneBytes + (kArenaChecks ? guardBytes : 0)) * laneCount;
    segment =
        region_.AddSegment({.name = "frame", .sizeBytes = windowBytes * std::max(windowCount, 1u)}).Value();
    EXPECT_TRUE(segment->CommitAll());
    lanes = LaneSet::Carve({.name = "frame", .count = laneCount, .guardBytes = guardBytes}, segment->Base(),
                           windowBytes, table_.arena)
                .Value();
    if (windowCount != 0) {
      quarantine = Quarantine::Create({.name = "frame", .windowCount = windowCount}, segment->Base(),
                                      segment->CommittedBytes())
                       .Value();
    }
  }
  void NextFrame() {
    if (quarantine.IsOn()) {
      ASSERT_TRUE(quarantine.RotateAndReset(lanes));
    } else {
      lanes.ResetAll();
    }
  }

  Segment* segment = nullptr;
  LaneSet lanes;
  Quarantine quarantine;

 private:
  Region region_;
  ArenaBuffer table_{1_MiB, "table"};
};

TEST(Quarantine, R8_OnlyTheOpenWindowIsAccessible) {
  Frames frames(4, 2, 16_KiB);
  const MemoryProbe probe;
  for (std::uint64_t rotation = 0; rotation < 10; ++rotation) {
    std::byte* const open = frames.quarantine.Window();
    EXPECT_EQ(frames.lanes.Lane(0).Base(), open);
    EXPECT_EQ(frames.lanes.Lane(1).Base(), open + 16_KiB);
    for (std::uint32_t window = 0; window < 4; ++window) {
      std::byte* const base = frames.segment->Base() + window * frames.quarantine.WindowBytes();
      EXPECT_EQ(probe.IsReadable(base), base == open);
      EXPECT_EQ(probe.IsReadable(base + frames.quarantine.WindowBytes() - 1), base == open);
    }
    EXPECT_EQ(frames.quarantine.Rotations(), rotation);
    frames.NextFrame();
  }
}

TEST(Quarantine, LanesKeepTheirAccount) {
  Frames frames(3, 1, 16_KiB);
  Arena& lane = frames.lanes.Lane(0);
  (void)lane.Allocate(1000);
  frames.NextFrame();
  EXPECT_EQ(lane.UsedBytes(), 0u);
  EXPECT_EQ(lane.PeakBytes(), 1008u);
  EXPECT_EQ(lane.ResetCount(), 1u);
  EXPECT_EQ(lane.CapacityBytes(), 16_KiB);
  EXPECT_STREQ(lane.Name(), "lane 0");
  std::memset(lane.Allocate(16_KiB), 1, 16_KiB);
  EXPECT_EQ(lane.TryAllocate(1), nullptr);
}

TEST(Quarantine, DescribesAnAddress) {
  Frames frames(4, 1, 4096);
  std::byte* const stale = frames.lanes.Lane(0).New<std::byte>();
  EXPECT_TRUE(frames.quarantine.Describe(stale).isOpen);
  frames.NextFrame();
  frames.NextFrame();
  const Quarantine::Place place = frames.quarantine.Describe(stale + 8);
  EXPECT_TRUE(place.isInside);
  EXPECT_FALSE(place.isOpen);
  EXPECT_EQ(place.window, 0u);
  EXPECT_EQ(place.offsetBytes, 8u);
  EXPECT_EQ(place.rotationsAgo, 2u);
  EXPECT_EQ(frames.quarantine.Describe(stale + 3 * 4096).rotationsAgo, 0u) << "never used yet";
  EXPECT_FALSE(frames.quarantine.Describe(&frames).isInside);
}

TEST(Quarantine, OptionsOutOfRangeAreNamed) {
  alignas(4096) static std::byte memory[4 * 4096];
  const auto one = Quarantine::Create({.name = "q", .windowCount = 1}, memory, sizeof memory);
  ASSERT_FALSE(one);
  EXPECT_NE(std::strstr(one.GetError().Message(), "quarantine 'q': windowCount is 1; give 2 to 4096"),
            nullptr);
  const auto thin = Quarantine::Create({.name = "q", .windowCount = 5}, memory, sizeof memory);
  ASSERT_FALSE(thin);
  EXPECT_NE(std::strstr(thin.GetError().Message(), "less than a page"), nullptr) << thin.GetError().Message();
  auto good = Quarantine::Create({.name = "q", .windowCount = 2}, memory, sizeof memory);
  ASSERT_TRUE(good);
  ASSERT_TRUE(good->Open());
  const MemoryProbe probe;
  EXPECT_TRUE(probe.IsReadable(memory + sizeof memory - 1));
}

TEST(Quarantine, R3_AReopenedWindowDoesNotFault) {
#if STADIAL_TEST_SANITIZED
  GTEST_SKIP() << "a sanitizer's shadow memory faults too";
#endif
  Frames frames(2, 1, 256_KiB);
  for (int frame = 0; frame < 4; ++frame) {
    EXPECT_EQ(testing::FaultsOfTouching(frames.lanes.Lane(0).Base(), 256_KiB, PageSize()), 0) << frame;
    frames.NextFrame();
  }
  // The control: the same memory decommitted and mapped without pre-fault does fault.
  ASSERT_TRUE(frames.quarantine.Open());
  std::byte* const base = frames.segment->Base();
  ASSERT_TRUE(DecommitPages(base, 256_KiB));
  ASSERT_TRUE(ProtectPages(base, 256_KiB, PageAccess::ReadWrite));
  EXPECT_GT(testing::FaultsOfTouching(base, 256_KiB, PageSize()), 0);
}

// --- frames against a model ---

// Fewer where each frame costs a hundred times as much.
constexpr int kRounds = STADIAL_TEST_SANITIZED ? 2 : 8;

// Frames of random allocations in random lanes. What was written in this frame stays; what was written in the
// last windowCount - 1 frames is gone from the address space. Broken: the model forgets that frames end.
std::string RunFrameProgram(OpRandom& random, std::uint32_t windowCount, bool broken) {
  constexpr std::uint32_t kLanes = 3;
  Frames frames(windowCount, kLanes, 16_KiB, 32_KiB);
  const MemoryProbe probe;
  struct Block {
    unsigned char* memory;
    std::size_t size;
    unsigned char fill;
    std::uint32_t lane;
  };
  std::vector<Block> blocks;
  std::deque<std::vector<Block>> past;
  for (int frame = 0; frame < 40; ++frame) {
    const std::size_t count = random.Below(30);
    for (std::size_t index = 0; index < count; ++index) {
      const auto lane = static_cast<std::uint32_t>(random.Below(kLanes));
      const std::size_t size = 1 + random.Below(random.OneIn(6) ? 4000 : 300);
      auto* const memory = static_cast<unsigned char*>(
          frames.lanes.Lane(lane).TryAllocate(size, std::size_t{1} << random.Below(9)));
      if (memory == nullptr) continue;
      if (!frames.lanes.Lane(lane).Contains(memory)) return Differs("frame %d: outside its lane", frame);
      const auto fill = static_cast<unsigned char>(random.Next());
      std::memset(memory, fill, size);
      blocks.push_back({memory, size, fill, lane});
    }
    for (const Block& block : blocks) {
      if (!probe.IsReadable(block.memory) || IsPoisoned(block.memory))
        return Differs("frame %d: a live block is not accessible", frame);
      if (std::any_of(block.memory, block.memory + block.size,
                      [&](unsigned char byte) { return byte != block.fill; }))
        return Differs("frame %d: a live block was overwritten", frame);
    }
    for (const std::vector<Block>& old : past) {
      for (const Block& block : old) {
        if (probe.IsReadable(block.memory)) return Differs("frame %d: a stale block is accessible", frame);
      }
    }
    frames.NextFrame();
    if (windowCount != 0) {
      past.push_back(blocks);
      if (past.size() == windowCount) past.pop_front();
    }
    if (!broken) blocks.clear();
  }
  return "";
}

TEST(Quarantine, ProgramAgreesWithModel) {
  testing::ExpectAgreement(
      "quarantine", [](OpRandom& random) { return RunFrameProgram(random, 4, false); }, kRounds);
}
TEST(Quarantine, ProgramCanary) {
  testing::ExpectCanary(
      "quarantine", [](OpRandom& random) { return RunFrameProgram(random, 4, true); }, kRounds);
}
TEST(Quarantine, FrameMemoryProgramAgreesWithModel) {
  testing::ExpectAgreement(
      "frame memory", [](OpRandom& random) { return RunFrameProgram(random, 0, false); }, kRounds);
}
TEST(Quarantine, FrameMemoryProgramCanary) {
  testing::ExpectCanary(
      "frame memory", [](OpRandom& random) { return RunFrameProgram(random, 0, true); }, kRounds);
}

// --- what must die ---

// Killed by SIGSEGV; a sanitizer turns the signal into its own report and exit code.
bool DiesOfAccess(int status) {
  return STADIAL_TEST_SANITIZED ? !WIFEXITED(status) || WEXITSTATUS(status) != 0
                                : WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

// Writes through a pointer of the last frame and ends with exit code 0 if that was possible.
void UseStalePointer(std::uint32_t windowCount) {
  Frames frames(windowCount, 1, 16_KiB);
  volatile int* const stale = frames.lanes.Lane(0).New<int>(1);
  frames.NextFrame();
  *stale = 2;
  std::_Exit(0);
}

class QuarantineDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(QuarantineDeathTest, R8_AStaleRawPointerFaultsWhereItIsUsed) {
  EXPECT_EXIT(UseStalePointer(2), DiesOfAccess, "");
}
TEST_F(QuarantineDeathTest, R8_ControlWithoutQuarantineItGoesUnnoticed) {
#if STADIAL_ADDRESS_SANITIZER
  GTEST_SKIP() << "AddressSanitizer notices";
#endif
  EXPECT_EXIT(UseStalePointer(0), ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace stadial::arenas
