#include "stadial/arenas/lifo_stack.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

TEST(LifoStack, TakesBackNewestFirst) {
  ArenaBuffer buffer;
  const std::size_t before = buffer.arena.UsedBytes();
  LifoStack stack(buffer.arena);
  void* const first = stack.TryAllocate(100);
  void* const second = stack.TryAllocate(200, 256);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(second) % 256, 0u);
  EXPECT_EQ(stack.Blocks(), 2u);
  stack.Free(second);
  EXPECT_EQ(stack.TryAllocate(200, 256), second) << "its bytes are used again";
  stack.Free(second);
  stack.Free(nullptr);
  stack.Free(first);
  EXPECT_EQ(stack.Blocks(), 0u);
  EXPECT_EQ(buffer.arena.UsedBytes(), before);
}

TEST(LifoStack, RefusesWithoutATrace) {
  ArenaBuffer buffer(4096);
  LifoStack stack(buffer.arena);
  void* const block = stack.TryAllocate(1000);
  const std::size_t used = buffer.arena.UsedBytes();
  for (const std::size_t size : {std::size_t{4096}, SIZE_MAX, SIZE_MAX - 63}) {
    EXPECT_EQ(stack.TryAllocate(size), nullptr);
    EXPECT_EQ(buffer.arena.UsedBytes(), used);
  }
  stack.Free(block);
}

TEST(LifoStack, ItsEndTakesBackEverything) {
  ArenaBuffer buffer;
  void* const older = buffer.arena.Allocate(100);
  const std::size_t before = buffer.arena.UsedBytes();
  {
    LifoStack stack(buffer.arena);
    for (int index = 0; index < 10; ++index) ASSERT_NE(stack.TryAllocate(50), nullptr);
  }
  EXPECT_EQ(buffer.arena.UsedBytes(), before);
  std::memset(older, 1, 100);
}

TEST(LifoStack, DeferredWaitsForItsTurn) {
  ArenaBuffer buffer;
  LifoStack stack(buffer.arena, LifoOrder::Deferred);
  void* const first = stack.TryAllocate(100);
  void* const second = stack.TryAllocate(100);
  void* const third = stack.TryAllocate(100);
  stack.Free(second);
  EXPECT_EQ(stack.Blocks(), 3u);
  EXPECT_EQ(stack.WaitingBlocks(), 1u);
  stack.Free(third);
  EXPECT_EQ(stack.Blocks(), 1u) << "both at once";
  EXPECT_EQ(stack.WaitingBlocks(), 0u);
  stack.Free(first);
  EXPECT_EQ(buffer.arena.UsedBytes(), 0u);
}

// The model: what each block was filled with, and the order. Broken: blocks that waited do not go back.
std::string RunLifoProgram(OpRandom& random, bool broken) {
  struct Live {
    unsigned char* memory;
    std::size_t size;
    unsigned char fill;
    bool isFreed;
  };
  ArenaBuffer buffer(64_KiB);
  LifoStack stack(buffer.arena, LifoOrder::Deferred);
  std::vector<Live> model;
  for (int step = 0; step < 4000; ++step) {
    if (random.Below(100) < 52) {
      const std::size_t size = random.Below(random.OneIn(10) ? 4000 : 100);
      const std::size_t alignment = std::size_t{1} << random.Below(10);
      auto* const memory = static_cast<unsigned char*>(stack.TryAllocate(size, alignment));
      if (memory == nullptr) continue;
      if (reinterpret_cast<std::uintptr_t>(memory) % alignment != 0)
        return Differs("step %d: alignment", step);
      model.push_back({memory, size, static_cast<unsigned char>(random.Next()), false});
      std::memset(memory, model.back().fill, size);
    } else if (!model.empty()) {
      const std::size_t depth = random.Below(model.size() < 4 ? model.size() : 4);
      Live& live = model[model.size() - 1 - depth];
      if (live.isFreed) continue;
      for (std::size_t index = 0; index < live.size; ++index) {
        if (live.memory[index] != live.fill) return Differs("step %d: contents", step);
      }
      stack.Free(live.memory);
      live.isFreed = true;
      while (!model.empty() && model.back().isFreed) {
        model.pop_back();
        if (broken) break;
      }
    }
    if (stack.Blocks() != model.size())
      return Differs("step %d: %zu blocks, not %zu", step, stack.Blocks(), model.size());
  }
  return "";
}

TEST(LifoStack, ProgramAgreesWithModel) {
  testing::ExpectAgreement("LIFO stack", [](OpRandom& random) { return RunLifoProgram(random, false); });
}
TEST(LifoStack, ProgramCanary) {
  testing::ExpectCanary("LIFO stack", [](OpRandom& random) { return RunLifoProgram(random, true); });
}

TEST(LifoStackDeathTest, DisorderIsNamed) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  {
    LifoStack stack(buffer.arena);
    void* const first = stack.TryAllocate(100);
    (void)stack.TryAllocate(100);
    EXPECT_DEATH(stack.Free(first),
                 "LIFO stack over arena 'test': Free\\(.*\\): it is not the newest block; the "
                 "newest of 2 blocks is");
  }
  LifoStack stack(buffer.arena, LifoOrder::Deferred);
  void* const first = stack.TryAllocate(100);
  (void)stack.TryAllocate(100);
  int local = 0;
  EXPECT_DEATH(stack.Free(&local), "no live block starts there");
  stack.Free(first);
  EXPECT_DEATH(stack.Free(first), "no live block starts there \\(foreign, or freed before\\)");
}

}  // namespace
}  // namespace stadial::arenas
