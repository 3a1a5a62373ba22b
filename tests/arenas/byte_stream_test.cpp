#include "stadial/arenas/byte_stream.h"

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

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
std::string Text(const StreamRecord& record) {
  return {reinterpret_cast<const char*>(record.bytes.data()), record.bytes.size()};
}

struct Point {
  float x;
  float y;
  bool operator==(const Point&) const = default;
};

TEST(ByteStream, ReadsBackWhatWasWritten) {
  ArenaBuffer buffer;
  ByteStream stream(buffer.arena, 256);
  stream.Write(1, Bytes("hello"));
  stream.Write(2, Point{1.5F, 2.5F});
  stream.Write(3, {});
  std::memcpy(stream.Reserve(4, 3), "abc", 3);
  std::vector<std::uint32_t> tags;
  stream.ForEach([&](const StreamRecord& record) {
    tags.push_back(record.tag);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(record.bytes.data()) % kStreamAlignment, 0u);
    if (record.tag == 1) {
      EXPECT_EQ(Text(record), "hello");
    }
    if (record.tag == 2) {
      EXPECT_EQ(record.Get<Point>(), (Point{1.5F, 2.5F}));
    }
    if (record.tag == 3) {
      EXPECT_TRUE(record.bytes.empty());
    }
    if (record.tag == 4) {
      EXPECT_EQ(Text(record), "abc");
    }
  });
  EXPECT_EQ(tags, (std::vector<std::uint32_t>{1, 2, 3, 4}));
  EXPECT_EQ(stream.UsedBytes(), 3 * StreamRecordBytes(8) + StreamRecordBytes(0));
  stream.Clear();
  EXPECT_TRUE(stream.IsEmpty());
  stream.ForEach([](const StreamRecord&) { FAIL(); });
}

TEST(ByteStream, FillsToItsCapacityAndNoFurther) {
  ArenaBuffer buffer;
  ByteStream stream(buffer.arena, 47);
  EXPECT_EQ(stream.CapacityBytes(), 40u) << "whole words";
  EXPECT_TRUE(stream.TryWrite(1, std::uint64_t{1}));
  EXPECT_TRUE(stream.TryWrite(1, std::uint64_t{2}));
  EXPECT_FALSE(stream.TryWrite(1, std::uint8_t{3}));
  EXPECT_EQ(stream.UsedBytes(), 32u) << "a refusal changes nothing";
  EXPECT_TRUE(stream.TryWrite(1, {}));
  EXPECT_EQ(stream.UsedBytes(), stream.CapacityBytes());
  EXPECT_FALSE(stream.TryWrite(1, {}));
}

TEST(ByteStream, ImpossibleSizesAreRefused) {
  ArenaBuffer buffer;
  ByteStream stream(buffer.arena, 64);
  EXPECT_EQ(stream.TryReserve(1, SIZE_MAX), nullptr);
  EXPECT_EQ(stream.TryReserve(1, SIZE_MAX - 7), nullptr);
  EXPECT_EQ(stream.TryReserve(1, kStreamPayloadBytesMax + 1), nullptr);
  EXPECT_EQ(stream.TryReserve(1, std::size_t{1} << 32), nullptr);
  EXPECT_TRUE(stream.IsEmpty());
}

TEST(ByteStream, WhatAVisitorWritesIsVisitedToo) {
  ArenaBuffer buffer;
  ByteStream stream(buffer.arena, 1024);
  stream.Write(1, 3);
  int visits = 0;
  stream.ForEach([&](const StreamRecord& record) {
    ++visits;
    if (const int left = record.Get<int>(); left > 0) stream.Write(1, left - 1);
  });
  EXPECT_EQ(visits, 4);
}

TEST(ByteStream, MovesItsStorageOver) {
  ArenaBuffer buffer;
  ByteStream source(buffer.arena, 64);
  source.Write(7, 1);
  ByteStream target = std::move(source);
  EXPECT_FALSE(target.IsEmpty());
  EXPECT_EQ(source.CapacityBytes(), 0u);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_FALSE(source.TryWrite(1, {}));
  source = std::move(target);
  source.ForEach([](const StreamRecord& record) { EXPECT_EQ(record.tag, 7u); });
}

std::string RunStreamProgram(OpRandom& random, bool broken) {
  struct Written {
    std::uint32_t tag;
    std::string text;
  };
  ArenaBuffer buffer;
  const std::size_t capacity = random.Below(2000);
  ByteStream stream(buffer.arena, capacity);
  std::vector<Written> model;
  std::size_t used = 0;
  for (int step = 0; step < 3000; ++step) {
    if (random.OneIn(60)) {
      stream.Clear();
      model.clear();
      used = 0;
    }
    const auto tag = static_cast<std::uint32_t>(random.Next());
    std::string text(random.Below(60), static_cast<char>(random.Below(256)));
    const bool fits = used + StreamRecordBytes(text.size()) <= stream.CapacityBytes();
    if (stream.TryWrite(tag, Bytes(text)) != fits) return Differs("step %d: %zu bytes", step, text.size());
    if (fits) {
      used += StreamRecordBytes(text.size());
      if (broken && text.size() > 50) text.back() = static_cast<char>(text.back() + 1);
      model.push_back({tag, text});
    }
    if (stream.UsedBytes() != used) return Differs("step %d: used", step);
    std::size_t index = 0;
    bool agrees = true;
    stream.ForEach([&](const StreamRecord& record) {
      agrees &= index < model.size() && record.tag == model[index].tag && Text(record) == model[index].text;
      ++index;
    });
    if (!agrees || index != model.size()) return Differs("step %d: contents", step);
  }
  return "";
}

TEST(ByteStream, ProgramAgreesWithModel) {
  testing::ExpectAgreement("byte_stream", [](OpRandom& random) { return RunStreamProgram(random, false); });
}
TEST(ByteStream, ProgramCanary) {
  testing::ExpectCanary("byte_stream", [](OpRandom& random) { return RunStreamProgram(random, true); });
}

TEST(ByteStreamDeathTest, MisuseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ArenaBuffer buffer;
  ByteStream stream(buffer.arena, 32);
  stream.Write(1, 1);
  EXPECT_DEATH(stream.Write(1, Bytes("more than eight")), "\\(24 vs 16\\).*ByteStream is full");
  EXPECT_DEATH((void)stream.Reserve(1, SIZE_MAX), "cannot be that large");
#if STADIAL_ASSERT_LEVEL >= 1
  EXPECT_DEATH(stream.ForEach([](const StreamRecord& record) { (void)record.Get<double>(); }),
               "\\(4 vs 8\\).*written as another type");
#endif
}

}  // namespace
}  // namespace stadial::arenas
