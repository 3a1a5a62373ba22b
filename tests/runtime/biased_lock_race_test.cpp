// A race planted in the lock: its own header, compiled with every order taken out of it, must be reported by
// ThreadSanitizer. So its silence about the real one, under the same traffic, means something.

// First all that the header to be changed includes, and the traffic; these stay as they are.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>

#include "biased_lock_traffic.h"
#include "stadial/arenas/short_lock.h"
#include "stadial/arenas/thread_slot.h"
#include "test_support.h"

// NOLINTBEGIN(readability-identifier-naming): the names are those of what is replaced
#define memory_order_acquire memory_order_relaxed
#define memory_order_release memory_order_relaxed
#define BiasedLock RacyBiasedLock
// NOLINTEND(readability-identifier-naming)
#include "stadial/runtime/biased_lock.h"
#undef memory_order_acquire
#undef memory_order_release
#undef BiasedLock

namespace stadial::runtime {
namespace {

constexpr int kRaceExitCode = 66;  // ThreadSanitizer's, of a program with a report

TEST(PlantedRaceDeathTest, IsFoundInABiasedLock) {
  if (!testing::kSeesRaces) GTEST_SKIP() << "only ThreadSanitizer sees races";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        (void)testing::TakeTurns<RacyBiasedLock>(3, 1'000'000);
        std::exit(0);
      },
      ::testing::ExitedWithCode(kRaceExitCode), "ThreadSanitizer: data race");
}

}  // namespace
}  // namespace stadial::runtime
