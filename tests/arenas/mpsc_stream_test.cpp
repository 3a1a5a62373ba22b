#include "stadial/arenas/mpsc_stream.h"

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

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
std::string Text(const StreamRecord& record) {
  return {reinterpret_cast<const char*>(record.bytes.data()), record.bytes.size()};
}

TEST(MpscByteStream, DrainsLaneByLane) {
  ArenaBuffer buffer;
  MpscByteStream stream(buffer.arena, {.lanes = 2, .bytesPerLane = 256});
  auto first = stream.GetProducer(0);
  auto second = stream.GetProducer(1);
  EXPECT_TRUE(second.TryWrite(3, Bytes("c")));
  EXPECT_TRUE(first.TryWrite(1, Bytes("a")));
  EXPECT_TRUE(first.TryWrite(2, 7));
  std::vector<std::uint32_t> lanes;
  std::vector<std::uint32_t> tags;
  const auto note = [&](std::uint32_t lane, const StreamRecord& record) {
    lanes.push_back(lane);
    tags.push_back(record.tag);
    if (record.tag == 2) {
      EXPECT_EQ(record.Get<int>(), 7);
    }
  };
  EXPECT_EQ(stream.Drain(note), 3u);
  EXPECT_EQ(lanes, (std::vector<std::uint32_t>{0, 0, 1}));
  EXPECT_EQ(tags, (std::vector<std::uint32_t>{1, 2, 3}));
  EXPECT_EQ(stream.Drain(note), 0u);
}

TEST(MpscByteStream, ShowsReservedRecordsWhenPublished) {
  ArenaBuffer buffer;
  MpscByteStream stream(buffer.arena, {.lanes = 1, .bytesPerLane = 256});
  auto producer = stream.GetProducer(0);
  const auto ignore = [](std::uint32_t, const StreamRecord&) {};
  ASSERT_NE(producer.TryReserve(1, 8), nullptr);
  ASSERT_NE(producer.TryReserve(2, 8), nullptr);
  EXPECT_EQ(stream.Drain(ignore), 0u);
  EXPECT_TRUE(producer.TryStage(3, 7));
  EXPECT_TRUE(producer.TryStage(4, Bytes("abc")));
  EXPECT_EQ(stream.Drain(ignore), 0u);
  producer.Publish();
  std::string seen;
  EXPECT_EQ(stream.Drain([&](std::uint32_t, const StreamRecord& record) {
    if (record.tag == 3) seen += std::to_string(record.Get<int>());
    if (record.tag == 4) seen += Text(record);
  }),
            4u);
  EXPECT_EQ(seen, "7abc");
  EXPECT_FALSE(producer.TryStage(5, Bytes(std::string(stream.PayloadBytesMax() + 1, ' '))));
  EXPECT_EQ(stream.RefusedCount(), 1u);
}

TEST(MpscByteStream, ALimitedDrainGoesOnBehindTheLaneItStoppedIn) {
  ArenaBuffer buffer;
  MpscByteStream stream(buffer.arena, {.lanes = 3, .bytesPerLane = 256});
  for (int round = 0; round < 4; ++round) {
    for (std::uint32_t lane = 0; lane < 3; ++lane)
      ASSERT_TRUE(stream.GetProducer(lane).TryWrite(lane, round));
  }
  std::vector<std::uint32_t> lanes;
  for (int round = 0; round < 4; ++round) {
    EXPECT_EQ(stream.Drain([&](std::uint32_t lane, const StreamRecord&) { lanes.push_back(lane); }, 2), 2u);
  }
  EXPECT_EQ(lanes, (std::vector<std::uint32_t>{0, 0, 1, 1, 2, 2, 0, 0}));
}

TEST(MpscByteStream, RefusesAndCounts) {
  ArenaBuffer buffer;
  MpscByteStream stream(buffer.arena, {.lanes = 2, .bytesPerLane = 1});
  EXPECT_EQ(stream.BytesPerLane(), 64u);
  EXPECT_EQ(stream.PayloadBytesMax(), 24u);
  auto producer = stream.GetProducer(0);
  EXPECT_EQ(producer.TryReserve(0, 25), nullptr);
  EXPECT_EQ(producer.TryReserve(0, SIZE_MAX), nullptr);
  EXPECT_TRUE(producer.TryWrite(0, Bytes(std::string(24, 'a'))));
  EXPECT_TRUE(producer.TryWrite(0, Bytes(std::string(24, 'b'))));
  EXPECT_FALSE(producer.TryWrite(0, {}));
  EXPECT_EQ(stream.RefusedCount(), 3u);
  EXPECT_TRUE(stream.GetProducer(1).TryWrite(0, {})) << "a full lane shuts out no other";
  EXPECT_EQ(stream.Drain([](std::uint32_t, const StreamRecord&) {}), 3u);
  EXPECT_TRUE(producer.TryWrite(0, {}));
}

// Wherever the ring stands, the largest record fits into an empty lane.
TEST(MpscByteStream, TheLargestRecordFitsIntoEveryEmptyLane) {
  ArenaBuffer buffer;
  MpscByteStream stream(buffer.arena, {.lanes = 1, .bytesPerLane = 128});
  auto producer = stream.GetProducer(0);
  const std::string largest(stream.PayloadBytesMax(), 'x');
  for (int round = 0; round < 100; ++round) {
    ASSERT_TRUE(producer.TryWrite(0, {}));
    EXPECT_EQ(stream.Drain([](std::uint32_t, const StreamRecord&) {}), 1u);
    ASSERT_TRUE(producer.TryWrite(1, Bytes(largest))) << round;
    EXPECT_EQ(
        stream.Drain([&](std::uint32_t, const StreamRecord& record) { EXPECT_EQ(Text(record), largest); }),
        1u);
  }
}

TEST(MpscByteStream, AVisitorMayWriteToALaneOfItsOwn) {
  ArenaBuffer buffer;
  MpscByteStream stream(buffer.arena, {.lanes = 2, .bytesPerLane = 256});
  auto own = stream.GetProducer(0);
  ASSERT_TRUE(stream.GetProducer(1).TryWrite(0, 1));
  const auto answer = [&](std::uint32_t lane, const StreamRecord&) {
    if (lane == 1) {
      EXPECT_TRUE(own.TryWrite(1, 2));
    }
  };
  EXPECT_EQ(stream.Drain(answer), 1u);
  EXPECT_EQ(stream.Drain(answer), 1u);
}

// One lane's model: the records, and where the ring stands. A record never crosses the ring's end: it leaves
// a gap there and starts at the beginning.
struct LaneModel {
  struct Record {
    std::uint32_t tag;
    std::string text;
    std::uint64_t end;
  };
  std::deque<Record> records;
  std::uint64_t written = 0;
  std::uint64_t read = 0;

  bool TryWrite(const MpscByteStream& stream, std::uint32_t tag, const std::string& text) {
    if (text.size() > stream.PayloadBytesMax()) return false;
    const std::size_t bytes = StreamRecordBytes(text.size());
    const std::uint64_t untilEnd = stream.BytesPerLane() - written % stream.BytesPerLane();
    const std::uint64_t end = written + bytes + (bytes > untilEnd ? untilEnd : 0);
    if (end - read > stream.BytesPerLane()) return false;
    written = end;
    records.push_back({tag, text, end});
    return true;
  }
  bool Take(const StreamRecord& record) {
    if (records.empty()) return false;
    const Record front = records.front();
    records.pop_front();
    read = front.end;
    return front.tag == record.tag && front.text == Text(record);
  }
};

std::string RunByteStreamProgram(OpRandom& random, bool broken) {
  ArenaBuffer buffer;
  const auto lanes = static_cast<std::uint32_t>(1 + random.Below(3));
  MpscByteStream stream(buffer.arena, {.lanes = lanes, .bytesPerLane = 1 + random.Below(700)});
  std::vector<LaneModel> models(lanes);
  for (int step = 0; step < 6000; ++step) {
    const auto lane = static_cast<std::uint32_t>(random.Below(lanes));
    if (random.Below(100) < 70) {
      const auto tag = static_cast<std::uint32_t>(random.Next());
      const std::string text(random.Below(stream.PayloadBytesMax() + 2),
                             static_cast<char>(random.Below(256)));
      const bool written = stream.GetProducer(lane).TryWrite(tag, Bytes(text));
      const std::uint32_t noted = broken && step % 64 == 0 ? tag + 1 : tag;
      if (models[lane].TryWrite(stream, noted, text) != written)
        return Differs("step %d: %zu bytes", step, text.size());
      continue;
    }
    std::size_t pending = 0;
    for (const LaneModel& model : models) pending += model.records.size();
    const std::size_t recordsMax = random.OneIn(2) ? kDrainAll : random.Below(5);
    bool agrees = true;
    const std::size_t taken = stream.Drain(
        [&](std::uint32_t from, const StreamRecord& record) { agrees &= models[from].Take(record); },
        recordsMax);
    if (taken != std::min(pending, recordsMax)) return Differs("step %d: drained %zu", step, taken);
    if (!agrees) return Differs("step %d: another record", step);
  }
  return "";
}

TEST(MpscByteStream, ProgramAgreesWithModel) {
  testing::ExpectAgreement("mpsc_byte_stream",
                           [](OpRandom& random) { return RunByteStreamProgram(random, false); });
}
TEST(MpscByteStream, ProgramCanary) {
  testing::ExpectCanary("mpsc_byte_stream",
                        [](OpRandom& random) { return RunByteStreamProgram(random, true); });
}

TEST(MpscByteStream, ThreadsLoseNothingAndTearNothing) {
  for (const std::size_t bytesPerLane : {128u, 4096u}) {
    EXPECT_EQ(testing::SendThroughByteStream<MpscByteStream>(3, bytesPerLane, 20'000), "")
        << bytesPerLane << " bytes per lane";
  }
}
// A Producer that ends leaves what it published, and nothing else.
TEST(MpscByteStream, ALaneGoesOnWithItsNextProducer) {
  ArenaBuffer buffer;
  MpscByteStream stream(buffer.arena, {.lanes = 1, .bytesPerLane = 256});
  std::vector<int> taken;
  for (int round = 0; round < 50; ++round) {
    auto producer = stream.GetProducer(0);
    ASSERT_TRUE(producer.TryWrite(0, round));
    ASSERT_NE(producer.TryReserve(1, 20), nullptr);
    stream.Drain([&](std::uint32_t, const StreamRecord& record) { taken.push_back(record.Get<int>()); });
  }
  ASSERT_EQ(taken.size(), 50u);
  for (int round = 0; round < 50; ++round) EXPECT_EQ(taken[static_cast<std::size_t>(round)], round);
}

TEST(MpscByteStreamDeathTest, MisuseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  EXPECT_DEATH(MpscByteStream(buffer.arena, {.lanes = 0, .bytesPerLane = 64}), "a lane for each producing");
#if STADIAL_ASSERT_LEVEL >= 1
  MpscByteStream stream(buffer.arena, {.lanes = 1, .bytesPerLane = 64});
  EXPECT_DEATH((void)stream.GetProducer(1), "\\(1 vs 1\\).*no such lane");
#endif
}

}  // namespace
}  // namespace stadial::arenas
