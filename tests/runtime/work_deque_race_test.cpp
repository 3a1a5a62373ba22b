// A race planted in the deque: its own header, compiled with every order taken out of it, must be reported by
// ThreadSanitizer. So its silence about the real one, under the same traffic, means something.

// First all that the header to be changed includes, and the traffic; these stay as they are.
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cstdlib>
#include <span>

#include "stadial/arenas/arena.h"
#include "test_support.h"
#include "work_deque_traffic.h"

// NOLINTBEGIN(readability-identifier-naming): the names are those of what is replaced
#define memory_order_acquire memory_order_relaxed
#define memory_order_release memory_order_relaxed
#define memory_order_seq_cst memory_order_relaxed
#define WorkDeque RacyWorkDeque
// NOLINTEND(readability-identifier-naming)
#include "stadial/runtime/work_deque.h"
#undef memory_order_acquire
#undef memory_order_release
#undef memory_order_seq_cst
#undef WorkDeque

namespace stadial::runtime {
namespace {

constexpr int kRaceExitCode = 66;  // ThreadSanitizer's, of a program with a report

TEST(PlantedRaceDeathTest, IsFoundInAWorkDeque) {
  if (!testing::kSeesRaces) GTEST_SKIP() << "only ThreadSanitizer sees races";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  // What arrives is not looked at: without an order it may be anything.
  EXPECT_EXIT(
      {
        (void)testing::SendThroughDeque<RacyWorkDeque>(2, 20'000, 7);
        std::exit(0);
      },
      ::testing::ExitedWithCode(kRaceExitCode), "ThreadSanitizer: data race");
}

}  // namespace
}  // namespace stadial::runtime
