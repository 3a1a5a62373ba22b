// A race planted in the inbox: its own header and its stream's, compiled with every acquire and release taken
// out of them, must be reported by ThreadSanitizer. So its silence about the real one, under the same
// traffic, means something.

// First all that the headers to be changed include, and the traffic; these stay as they are.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <span>

#include "event_inbox_traffic.h"
#include "stadial/arenas/arena.h"
#include "stadial/arenas/byte_stream.h"

// NOLINTBEGIN(readability-identifier-naming): the names are those of what is replaced
#define memory_order_acquire memory_order_relaxed
#define memory_order_release memory_order_relaxed
#define MpscByteStream RacyMpscByteStream
#define EventInbox RacyEventInbox
// NOLINTEND(readability-identifier-naming)
#include "stadial/runtime/event_inbox.h"
#undef memory_order_acquire
#undef memory_order_release
#undef MpscByteStream
#undef EventInbox

namespace stadial::runtime {
namespace {

constexpr int kRaceExitCode = 66;  // ThreadSanitizer's, of a program with a report

TEST(PlantedRaceDeathTest, Eh_IsFoundInAnInbox) {
  if (!testing::kSeesRaces) GTEST_SKIP() << "only ThreadSanitizer sees races";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  // What arrives is not looked at: without an order it may be anything.
  EXPECT_EXIT(
      {
        testing::TestArena arena(1 << 16);
        RacyEventInbox inbox(arena.Get(), 2, 64);
        testing::TrafficSeen seen(2);
        testing::SendThroughInbox(inbox, 2, 5'000, seen,
                                  [&] { inbox.Drain([&](const Event&) { ++seen.events; }); });
        std::exit(0);
      },
      ::testing::ExitedWithCode(kRaceExitCode), "ThreadSanitizer: data race");
}

}  // namespace
}  // namespace stadial::runtime
