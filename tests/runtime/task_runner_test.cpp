#include "stadial/runtime/task_runner.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "stadial/runtime/worker_threads.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using testing::Random;
using testing::Repetitions;
using testing::TestArena;
using testing::TestSeed;

TEST(SerialTaskRunner, RunsEveryJobInOrder) {
  SerialTaskRunner runner(3);
  std::vector<std::uint32_t> order;
  runner.Run(
      [](void* data, std::uint32_t worker) noexcept {
        static_cast<std::vector<std::uint32_t>*>(data)->push_back(worker);
      },
      &order);
  EXPECT_EQ(order, (std::vector<std::uint32_t>{0, 1, 2}));
  EXPECT_EQ(SerialTaskRunner(0).WorkerCount(), 1u);
}

TEST(ParallelFor, Ka_CoversEveryRangeOnceInChunksOfTheGrain) {
  TestArena arena(1 << 16);
  const WorkerThreadsPtr workers = WorkerThreads::Create(arena.Get(), {.workerCount = 3}).Value();
  SerialTaskRunner serial(2);
  Random random(TestSeed(5));
  for (std::uint64_t round = 0; round < Repetitions(2'000); ++round) {
    const std::uint64_t count = random.Below(300);
    const std::uint64_t grain = random.Below(20);
    std::vector<std::uint32_t> hits(count, 0);
    std::atomic<std::uint64_t> odd{0};
    TaskRunner& runner = round % 2 == 0 ? static_cast<TaskRunner&>(*workers) : serial;
    ParallelFor(runner, count, grain, [&](const TaskChunk& chunk) {
      const std::uint64_t step = grain == 0 ? 1 : grain;
      odd += chunk.begin != chunk.index * step || chunk.end <= chunk.begin ||
             chunk.end - chunk.begin > step || (chunk.end != count && chunk.end - chunk.begin != step) ||
             chunk.worker >= runner.WorkerCount();
      for (std::uint64_t i = chunk.begin; i < chunk.end; ++i) ++hits[i];
    });
    EXPECT_EQ(odd, 0u);
    for (const std::uint32_t hit : hits) ASSERT_EQ(hit, 1u);
  }
}

TEST(ParallelFor, RangesNearTheEndOfTheNumbersDoNotWrap) {
  SerialTaskRunner runner;
  std::uint64_t chunks = 0, last = 0;
  const std::uint64_t count = ~std::uint64_t{0};
  ParallelFor(runner, count, count - 5, [&](const TaskChunk& chunk) { ++chunks, last = chunk.end; });
  EXPECT_EQ(chunks, 2u);
  EXPECT_EQ(last, count);
}

// The sum of floats depends on the order of addition, so it shows any change of the chunks.
TEST(ParallelFor, Ka_ResultsByChunkAreTheSameForEveryNumberOfWorkers) {
  Random random(TestSeed(9));
  std::vector<float> values(100'000);
  for (float& value : values) value = 1.0f / static_cast<float>(1 + random.Below(1'000'000));
  const auto sum = [&](TaskRunner& runner) {
    constexpr std::uint64_t kGrain = 777;
    std::vector<float> partial((values.size() - 1) / kGrain + 1);
    ParallelFor(runner, values.size(), kGrain, [&](const TaskChunk& chunk) {
      for (std::uint64_t i = chunk.begin; i < chunk.end; ++i) partial[chunk.index] += values[i];
    });
    float total = 0;
    for (const float value : partial) total += value;
    return total;
  };
  SerialTaskRunner serial;
  const float expected = sum(serial);
  for (std::uint32_t count = 1; count <= 8; ++count) {
    TestArena arena(1 << 16);
    const WorkerThreadsPtr workers = WorkerThreads::Create(arena.Get(), {.workerCount = count}).Value();
    for (int i = 0; i < 20; ++i) ASSERT_EQ(sum(*workers), expected) << count << " workers";
  }
}

}  // namespace
}  // namespace stadial::runtime
