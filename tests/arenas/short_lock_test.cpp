#include "stadial/arenas/short_lock.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "support/system_probe.h"

namespace stadial::arenas {
namespace {

TEST(ShortLock, IsHeldUntilGivenBack) {
  ShortLock lock;
  ASSERT_TRUE(lock.try_lock());
  EXPECT_FALSE(lock.try_lock());
  lock.unlock();
  EXPECT_TRUE(lock.try_lock());
  lock.unlock();
}

// The plain counter is whole only if one thread at a time is inside; ThreadSanitizer looks on. More threads
// than cores: holders are preempted and waiters sleep.
TEST(ShortLock, LetsOneThreadInAtATime) {
  constexpr int kThreads = 8;
  constexpr int kTurns = STADIAL_TEST_SANITIZED ? 2'000 : 50'000;
  ShortLock lock;
  std::uint64_t counter = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < kTurns; ++turn) {
        const std::lock_guard guard(lock);
        ++counter;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter, std::uint64_t{kThreads} * kTurns);
}

}  // namespace
}  // namespace stadial::arenas
