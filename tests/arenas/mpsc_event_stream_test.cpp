#include "stadial/arenas/mpsc_event_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include "support/arena_buffer.h"
#include "support/op_program.h"
#include "support/ring_traffic.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

TEST(MpscEventStream, DrainsLaneByLaneAndCountsRefusals) {
  ArenaBuffer buffer;
  MpscEventStream<int> stream(buffer.arena, {.lanes = 2, .eventsPerLane = 3});
  EXPECT_EQ(stream.EventsPerLane(), 4u);
  EXPECT_TRUE(stream.GetProducer(1).TryPush(10));
  EXPECT_EQ(stream.GetProducer(0).PushSome(std::vector<int>{1, 2, 3, 4, 5, 6}), 4u);
  EXPECT_FALSE(stream.GetProducer(0).TryPush(7));
  EXPECT_EQ(stream.RefusedCount(), 3u);
  std::vector<int> taken;
  const auto note = [&](std::uint32_t lane, int event) {
    EXPECT_EQ(lane, event == 10 ? 1u : 0u);
    taken.push_back(event);
  };
  EXPECT_EQ(stream.Drain(note, 3), 3u);
  EXPECT_EQ(stream.Drain(note), 2u);
  EXPECT_EQ(taken, (std::vector<int>{1, 2, 3, 10, 4}));
}

std::string RunEventStreamProgram(OpRandom& random, bool broken) {
  ArenaBuffer buffer;
  const auto lanes = static_cast<std::uint32_t>(1 + random.Below(4));
  MpscEventStream<std::uint64_t> stream(buffer.arena, {.lanes = lanes, .eventsPerLane = 1 + random.Below(9)});
  std::vector<std::deque<std::uint64_t>> models(lanes);
  for (int step = 0; step < 6000; ++step) {
    const auto lane = static_cast<std::uint32_t>(random.Below(lanes));
    if (random.Below(100) < 75) {
      const std::uint64_t value = random.Next();
      const bool pushed = stream.GetProducer(lane).TryPush(value);
      if (pushed != (models[lane].size() < stream.EventsPerLane() - (broken ? 1u : 0u)))
        return Differs("step %d: push", step);
      if (pushed) models[lane].push_back(value);
      continue;
    }
    std::size_t pending = 0;
    for (const auto& model : models) pending += model.size();
    const std::size_t eventsMax = random.OneIn(2) ? std::size_t{100} : random.Below(5);
    bool agrees = true;
    const std::size_t taken = stream.Drain(
        [&](std::uint32_t from, std::uint64_t value) {
          agrees &= !models[from].empty() && models[from].front() == value;
          if (!models[from].empty()) models[from].pop_front();
        },
        eventsMax);
    if (!agrees || taken != std::min(pending, eventsMax)) return Differs("step %d: drain", step);
  }
  return "";
}

TEST(MpscEventStream, ProgramAgreesWithModel) {
  testing::ExpectAgreement("mpsc_event_stream",
                           [](OpRandom& random) { return RunEventStreamProgram(random, false); });
}
TEST(MpscEventStream, ProgramCanary) {
  testing::ExpectCanary("mpsc_event_stream",
                        [](OpRandom& random) { return RunEventStreamProgram(random, true); });
}

TEST(MpscEventStream, ThreadsLoseNothingAndTearNothing) {
  for (const std::size_t eventsPerLane : {1u, 256u}) {
    EXPECT_EQ(testing::SendThroughEventStream<MpscEventStream<testing::Parcel>>(3, eventsPerLane, 20'000), "")
        << eventsPerLane << " events per lane";
  }
}

TEST(MpscEventStreamDeathTest, MisuseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  EXPECT_DEATH(MpscEventStream<int>(buffer.arena, {.lanes = 0, .eventsPerLane = 64}),
               "a lane for each producing");
#if STADIAL_ASSERT_LEVEL >= 1
  MpscEventStream<int> stream(buffer.arena, {.lanes = 1, .eventsPerLane = 4});
  EXPECT_DEATH((void)stream.GetProducer(1), "\\(1 vs 1\\).*no such lane");
#endif
#if STADIAL_ASSERT_LEVEL >= 2
  auto first = stream.GetProducer(0);
  auto second = stream.GetProducer(0);
  (void)second.TryPush(1);
  EXPECT_DEATH((void)first.TryPush(2), "another Producer pushed meanwhile");
#endif
}

}  // namespace
}  // namespace stadial::arenas
