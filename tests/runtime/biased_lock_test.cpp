#include "stadial/runtime/biased_lock.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

#include "biased_lock_traffic.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

void TakeUntilBiased(BiasedLock& lock) {
  for (std::uint32_t turn = 0; turn < BiasedLock::kTurnsBeforeBias; ++turn) {
    EXPECT_FALSE(lock.IsBiased()) << turn;
    const BiasedLock::Guard guard(lock);
  }
}

TEST(BiasedLock, LeansToAThreadThatIsAloneLongEnough) {
  if (!detail::CanBarrierAllThreads()) GTEST_SKIP() << "the kernel offers no barrier on all threads";
  BiasedLock lock;
  TakeUntilBiased(lock);
  EXPECT_TRUE(lock.IsBiased());
  const BiasedLock::Guard guard(lock);
  EXPECT_TRUE(lock.IsBiased());
}

TEST(BiasedLock, AnyOtherTurnEndsTheFavour) {
  if (!detail::CanBarrierAllThreads()) GTEST_SKIP() << "the kernel offers no barrier on all threads";
  BiasedLock lock;
  TakeUntilBiased(lock);
  lock.LockUnbiased();  // the favourite's own long way too
  EXPECT_FALSE(lock.IsBiased());
  lock.UnlockUnbiased();
  for (std::uint32_t turn = 1; turn < BiasedLock::kTurnsBeforeBias; ++turn)
    const BiasedLock::Guard guard(lock);
  EXPECT_TRUE(lock.IsBiased());
  std::thread([&] {
    EXPECT_FALSE(lock.IsBiased());
    const BiasedLock::Guard guard(lock);
  }).join();
  EXPECT_FALSE(lock.IsBiased());
  // The other one's turn was the last: this thread's begin anew.
  TakeUntilBiased(lock);
  EXPECT_TRUE(lock.IsBiased());
}

TEST(BiasedLock, AFavouriteThatEndsLeavesTheLockToOthers) {
  BiasedLock lock;
  std::thread([&] { TakeUntilBiased(lock); }).join();
  const BiasedLock::Guard guard(lock);
}

// The plain counter is whole only if one thread at a time is inside; ThreadSanitizer looks on.
TEST(BiasedLock, LetsOneThreadInAtATime) {
  const std::uint64_t turns = testing::Repetitions(4'000'000);
  for (const std::uint32_t others : {1u, 3u}) {
    const std::uint64_t expected = turns + others * (turns / (BiasedLock::kTurnsBeforeBias * 2));
    EXPECT_EQ(testing::TakeTurns<BiasedLock>(others, turns), expected);
  }
}

}  // namespace
}  // namespace stadial::runtime
