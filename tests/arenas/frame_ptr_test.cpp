#include "stadial/arenas/frame_ptr.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

struct Base {
  int value = 0;
};
struct Derived : Base {
  int more = 0;
};

TEST(FramePtr, PointsAndConverts) {
  ArenaBuffer buffer;
  FramePtr<Derived> derived = NewFramePtr<Derived>(buffer.arena, Derived{{1}, 2});
  EXPECT_EQ(derived->more, 2);
  const FramePtr<Base> base = derived;
  const FramePtr<const Base> constant = base;
  base->value = 7;
  EXPECT_EQ((*constant).value, 7);
  EXPECT_EQ(base.Get(), derived.Get());
  EXPECT_TRUE(base == FramePtr<Base>(buffer.arena, derived.Get()));
  EXPECT_TRUE(base.IsLive());
}

TEST(FramePtr, NullPointsNowhereAndIsNeverStale) {
  ArenaBuffer buffer;
  const FramePtr<int> none;
  const FramePtr<int> null = nullptr;
  const FramePtr<int> made(buffer.arena, nullptr);
  buffer.arena.Reset();
  EXPECT_FALSE(none);
  EXPECT_FALSE(null);
  EXPECT_FALSE(made);
  EXPECT_EQ(made.Get(), nullptr);
  EXPECT_TRUE(made == none);
}

TEST(FramePtr, IsABarePointerInRelease) {
  EXPECT_TRUE(std::is_trivially_copyable_v<FramePtr<int>>);
  EXPECT_TRUE(std::is_trivially_destructible_v<FramePtr<int>>);
  if constexpr (!kArenaChecks) {
    EXPECT_EQ(sizeof(FramePtr<int>), sizeof(int*));
    ArenaBuffer buffer;
    const FramePtr<int> stale = NewFramePtr<int>(buffer.arena, 5);
    buffer.arena.Reset();
    EXPECT_TRUE(stale.IsLive()) << "nothing is known in this build";
  }
}

#if STADIAL_ASSERT_LEVEL >= 2

TEST(FramePtr, R8_DiesWithResetAndRewindAndNotBefore) {
  ArenaBuffer buffer;
  const FramePtr<int> early = NewFramePtr<int>(buffer.arena, 1);
  const ArenaMark mark = buffer.arena.Mark();
  const FramePtr<int> late = NewFramePtr<int>(buffer.arena, 2);
  buffer.arena.RewindTo(mark);
  EXPECT_TRUE(early.IsLive());
  EXPECT_FALSE(late.IsLive());
  const FramePtr<int> reused = NewFramePtr<int>(buffer.arena, 3);
  EXPECT_TRUE(reused.IsLive());
  EXPECT_FALSE(late.IsLive()) << "that the address is in use again does not revive it";
  buffer.arena.Reset();
  EXPECT_FALSE(early.IsLive());
  EXPECT_FALSE(reused.IsLive());
}

// Pointers made at random moments against a model of who is alive. Broken: the model keeps what a rewind
// took.
std::string RunGenerationProgram(OpRandom& random, bool broken) {
  ArenaBuffer buffer(64_KiB);
  struct Entry {
    FramePtr<int> pointer;
    bool isLive;
    int rewindsSince;
  };
  std::vector<Entry> all;
  std::vector<std::size_t> liveStack;  // indices into all, in the order of their addresses
  std::vector<std::pair<ArenaMark, std::size_t>> marks;
  for (int step = 0; step < 3000; ++step) {
    const std::size_t choice = random.Below(100);
    if (choice < 60) {
      if (buffer.arena.RemainingBytes() < 64) continue;
      liveStack.push_back(all.size());
      all.push_back({NewFramePtr<int>(buffer.arena, step), true, 0});
    } else if (choice < 75) {
      marks.emplace_back(buffer.arena.Mark(), liveStack.size());
    } else if (choice < 95 && !marks.empty()) {
      const std::size_t target = random.Below(marks.size());
      const std::size_t depth = marks[target].second;
      buffer.arena.RewindTo(marks[target].first);
      for (std::size_t index = depth; index < liveStack.size(); ++index)
        all[liveStack[index]].isLive = broken;
      for (Entry& entry : all) ++entry.rewindsSince;
      liveStack.resize(depth);
      marks.resize(target);
    } else if (choice >= 95) {
      buffer.arena.Reset();
      for (Entry& entry : all) entry = {entry.pointer, false, 0};
      liveStack.clear();
      marks.clear();
      if (all.size() > 500) all.clear();
    }
    for (const Entry& entry : all) {
      if (entry.isLive && !entry.pointer.IsLive())
        return Differs("step %d: a live pointer is reported", step);
      if (!entry.isLive && entry.pointer.IsLive() && entry.rewindsSince <= 16)
        return Differs("step %d: a stale pointer goes unnoticed", step);
    }
  }
  return "";
}

TEST(FramePtr, ProgramAgreesWithModel) {
  testing::ExpectAgreement(
      "frame_ptr", [](OpRandom& random) { return RunGenerationProgram(random, false); }, 4);
}
TEST(FramePtr, ProgramCanary) {
  testing::ExpectCanary(
      "frame_ptr", [](OpRandom& random) { return RunGenerationProgram(random, true); }, 4);
}

TEST(FramePtr, OtherThreadsMayUseItWhileTheOwnerRewinds) {
  ArenaBuffer buffer(64_KiB);
  const FramePtr<int> kept = NewFramePtr<int>(buffer.arena, 42);
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  std::thread reader([&] {
    while (!done.load()) wrong += *kept != 42;
  });
  for (int round = 0; round < 20000; ++round) {
    const ArenaScope scope(buffer.arena);
    (void)buffer.arena.Allocate(64);
    if (round % 40 == 0 && buffer.arena.RemainingBytes() > 1024) (void)buffer.arena.Allocate(16);
  }
  done = true;
  reader.join();
  EXPECT_EQ(wrong.load(), 0);
}

class FramePtrDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(FramePtrDeathTest, R8_StaleUseNamesOriginAndReset) {
  const auto use = [] {
    ArenaBuffer buffer(4096);
    Arena arena({.name = "lane 2", .kind = "frame"}, buffer.Memory(), 4096);
    arena.Reset();
    const FramePtr<int> stale = NewFramePtr<int>(arena, 1);
    arena.Reset();
    arena.Reset();
    *stale = 2;
  };
  EXPECT_DEATH(
      use(),
      "frame arena 'lane 2': stale FramePtr .*: its object was allocated at .*frame_ptr_test\\.cpp:[0-9]+ in "
      "use 2 of the arena and taken back by reset 2 of the arena at .*frame_ptr_test\\.cpp:[0-9]+; the "
      "arena is in use 4 now");
}

TEST_F(FramePtrDeathTest, R8_StaleUseNamesTheMarkOfARewind) {
  const auto use = [] {
    ArenaBuffer buffer(4096, "scratch");
    FramePtr<int> stale;
    {
      const ArenaScope scope(buffer.arena);
      stale = NewFramePtr<int>(buffer.arena, 1);
    }
    *stale = 2;
  };
  EXPECT_DEATH(use(),
               "arena 'scratch': stale FramePtr .* by a rewind to the mark set at .*frame_ptr_test\\.cpp:");
}

TEST_F(FramePtrDeathTest, AnObjectOfAnotherArenaIsRefused) {
  ArenaBuffer first;
  ArenaBuffer second;
  int* const object = second.arena.New<int>(1);
  EXPECT_DEATH((void)FramePtr<int>(first.arena, object), "the object lies in another arena");
}

#endif

}  // namespace
}  // namespace stadial::arenas
