// A race planted in each ring and stream: their own headers, compiled with every acquire and release taken
// out of them, must be reported by ThreadSanitizer. So its silence about the real ones, under the same
// traffic, means something.

// First all that the headers to be changed include, and the real rings' traffic; these stay as they are.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <string>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/byte_stream.h"
#include "support/ring_traffic.h"

// NOLINTBEGIN(readability-identifier-naming): the names are those of what is replaced
#define memory_order_acquire memory_order_relaxed
#define memory_order_release memory_order_relaxed
#define SpscRing RacySpscRing
#define MpscRing RacyMpscRing
#define MpscByteStream RacyMpscByteStream
#define MpscEventStream RacyMpscEventStream
// NOLINTEND(readability-identifier-naming)
#include "stadial/arenas/mpsc_event_stream.h"
#include "stadial/arenas/mpsc_ring.h"
#include "stadial/arenas/mpsc_stream.h"
#include "stadial/arenas/spsc_ring.h"
#undef memory_order_acquire
#undef memory_order_release
#undef SpscRing
#undef MpscRing
#undef MpscByteStream
#undef MpscEventStream

#include "stadial/arenas/poison.h"

namespace stadial::arenas {
namespace {

#if defined(__SANITIZE_THREAD__)
constexpr bool kSeesRaces = true;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
constexpr bool kSeesRaces = true;
#else
constexpr bool kSeesRaces = false;
#endif
#else
constexpr bool kSeesRaces = false;
#endif

// ThreadSanitizer's exit code of a program with a report.
constexpr int kRaceExitCode = 66;
constexpr std::uint32_t kCount = 5'000;

// What arrives is not looked at: without acquire and release it may be anything.
#define EXPECT_RACE(traffic)                                          \
  if (!kSeesRaces) GTEST_SKIP() << "only ThreadSanitizer sees races"; \
  GTEST_FLAG_SET(death_test_style, "threadsafe");                     \
  EXPECT_EXIT(                                                        \
      {                                                               \
        (void)traffic;                                                \
        std::exit(0);                                                 \
      },                                                              \
      ::testing::ExitedWithCode(kRaceExitCode), "ThreadSanitizer: data race")

TEST(PlantedRaceDeathTest, IsFoundInASpscRing) {
  EXPECT_RACE(testing::SendThroughSpscRing<RacySpscRing<testing::Parcel>>(64, kCount));
}
TEST(PlantedRaceDeathTest, IsFoundInAnMpscRing) {
  EXPECT_RACE(testing::SendThroughMpscRing<RacyMpscRing<testing::Parcel>>(64, 2, kCount));
}
TEST(PlantedRaceDeathTest, IsFoundInAnMpscByteStream) {
  EXPECT_RACE(testing::SendThroughByteStream<RacyMpscByteStream>(2, 4096, kCount));
}
TEST(PlantedRaceDeathTest, IsFoundInAnMpscEventStream) {
  EXPECT_RACE(testing::SendThroughEventStream<RacyMpscEventStream<testing::Parcel>>(2, 64, kCount));
}

}  // namespace
}  // namespace stadial::arenas
