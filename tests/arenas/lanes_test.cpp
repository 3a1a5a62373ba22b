#include "stadial/arenas/lanes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "stadial/arenas/virtual_memory.h"
#include "support/arena_buffer.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;

TEST(Lanes, EachHasItsOwnPagesAndCacheLines) {
  ArenaBuffer table;
  ArenaBuffer memory(10 * 4096 + 100);
  auto carved = LaneSet::Carve("frame", memory.Memory(), memory.Bytes(), 3, table.arena);
  ASSERT_TRUE(carved);
  const LaneSet lanes = *carved;
  ASSERT_EQ(lanes.Count(), 3u);
  for (std::uint32_t index = 0; index < 3; ++index) {
    EXPECT_EQ(lanes.Lane(index).CapacityBytes(), 3 * PageSize());
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(lanes.Lane(index).Base()) % PageSize(), 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&lanes.Lane(index)) % 64, 0u);
  }
  EXPECT_STREQ(lanes.Lane(2).Name(), "lane 2");
  EXPECT_STREQ(lanes.Lane(2).Kind(), "frame");
}

TEST(Lanes, PeaksAndResets) {
  ArenaBuffer table;
  ArenaBuffer memory(4 * 4096);
  const LaneSet lanes = *LaneSet::Carve("frame", memory.Memory(), memory.Bytes(), 2, table.arena);
  (void)lanes.Lane(0).Allocate(160);
  (void)lanes.Lane(1).Allocate(320);
  lanes.ResetAll();
  EXPECT_EQ(lanes.Lane(1).UsedBytes(), 0u);
  EXPECT_EQ(lanes.Lane(1).ResetCount(), 1u);
  EXPECT_EQ(lanes.PeakBytes(), 480u);
  EXPECT_EQ(lanes.LanePeakBytesMax(), 320u);
  EXPECT_EQ(lanes.CapacityBytes(), 4 * 4096u);
}

TEST(Lanes, ThreadsShareNothing) {
  constexpr std::uint32_t kThreads = 4;
  ArenaBuffer table;
  ArenaBuffer memory(kThreads * 64_KiB);
  const LaneSet lanes = *LaneSet::Carve("frame", memory.Memory(), memory.Bytes(), kThreads, table.arena);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (std::uint32_t index = 0; index < kThreads; ++index) {
    threads.emplace_back([&, index] {
      Arena& lane = lanes.Lane(index);
      for (int frame = 0; frame < 200; ++frame) {
        std::vector<std::span<std::uint32_t>> blocks;
        for (int block = 0; block < 20; ++block) {
          blocks.push_back(lane.NewArrayUninitialized<std::uint32_t>(100));
          std::fill(blocks.back().begin(), blocks.back().end(),
                    index * 1000 + static_cast<std::uint32_t>(block));
        }
        for (std::uint32_t block = 0; block < 20; ++block) {
          for (const std::uint32_t value : blocks[block]) wrong += value != index * 1000 + block;
        }
        lane.Reset();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST(Lanes, TooLittleIsAClearError) {
  ArenaBuffer table;
  ArenaBuffer memory(4096);
  const auto tooMany = LaneSet::Carve("frame", memory.Memory(), memory.Bytes(), 2, table.arena);
  ASSERT_FALSE(tooMany);
  EXPECT_EQ(tooMany.GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_NE(std::strstr(tooMany.GetError().Message(), "frame lanes: 4096 B for 2 lanes is less than a page"),
            nullptr)
      << tooMany.GetError().Message();
  EXPECT_FALSE(LaneSet::Carve("frame", memory.Memory(), memory.Bytes(), 0, table.arena));

  ArenaBuffer smallTable(256, "setup");
  ArenaBuffer big(8 * 4096);
  const auto noTable = LaneSet::Carve("frame", big.Memory(), big.Bytes(), 8, smallTable.arena);
  ASSERT_FALSE(noTable);
  EXPECT_EQ(noTable.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_NE(std::strstr(noTable.GetError().Message(), "arena 'setup' has 256 B left"), nullptr)
      << noTable.GetError().Message();
  EXPECT_EQ(smallTable.arena.UsedBytes(), 0u) << "a failed carve takes nothing";
}

TEST(LanesDeathTest, ALaneNamesItselfWhenExhausted) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer table;
  ArenaBuffer memory(4 * 4096);
  const LaneSet lanes =
      *LaneSet::Carve("frame", memory.Memory(), memory.Bytes(), 4, table.arena, "raise frame.lane_bytes");
  EXPECT_DEATH(
      (void)lanes.Lane(2).Allocate(5000),
      "frame arena 'lane 2' exhausted: asked 5000 B, 4096 B left of 4096 B .*; raise frame.lane_bytes");
}

}  // namespace
}  // namespace stadial::arenas
