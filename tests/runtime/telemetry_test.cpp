#include "stadial/runtime/telemetry.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "stadial/runtime/designated_fallback.h"
#include "stadial/runtime/kernel_witness.h"
#include "stadial/runtime/runtime.h"
#include "stadial/runtime/telemetry_reader.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using ::testing::HasSubstr;
using testing::Random;
using testing::Repetitions;
using testing::TestArena;
using testing::TestSeed;

// A number that depends on the frame alone, so that a record that mixes two frames shows.
std::uint64_t MarkOf(std::uint64_t frameIndex) { return frameIndex * 0x9E3779B97F4A7C15u + 7; }

class Telemetered : public ::testing::Test {
 protected:
  void Start(std::uint32_t records, const RuntimeOptions& base = {}) {
    RuntimeOptions options = base;
    options.name = "telemetry.test";
    options.telemetry = {.publish = true, .recordsMax = records};
    Result<RuntimePtr> created = Runtime::Create(options);
    ASSERT_TRUE(created) << created.GetError().Message();
    runtime_ = std::move(created).Value();
    ASSERT_TRUE(runtime_->GetTelemetry()->AddGauge(
        {.name = "mark",
         .read =
             [](const void* self) noexcept {
               return MarkOf(static_cast<const FrameLoop*>(self)->FrameIndex());
             },
         .self = &runtime_->Frames(),
         .unit = TelemetryUnit::Bytes,
         .limit = 99}));
    site_ = runtime_->Fallbacks().Register("planted", "test", 1 << 20, 0).Value();
  }
  std::string Segment() const { return runtime_->GetTelemetry()->SegmentName(); }
  TelemetryReader Reader() const { return TelemetryReader::OpenSegment(Segment().c_str()).Value(); }
  void Run(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) {
      FrameContext* const frame = runtime_->Frames().Begin().Value();
      runtime_->Frames().End(frame->completionValue);
    }
  }

  RuntimePtr runtime_;
  FallbackSite* site_ = nullptr;
};

TEST_F(Telemetered, IsOffUnlessAskedFor) {
  const RuntimePtr runtime = Runtime::Create({}).Value();
  EXPECT_EQ(runtime->GetTelemetry(), nullptr);
}

TEST_F(Telemetered, IsReadyWhenSetupIsSealed) {
  Start(8, {.framesInFlight = 3, .gate = GatePolicy::Count, .warmupFrames = 9, .pacing = kVrPacing});
  const Result<TelemetryReader> early = TelemetryReader::OpenSegment(Segment().c_str());
  ASSERT_FALSE(early);
  EXPECT_EQ(early.GetError().Code(), ErrorCode::WrongPhase);
  ASSERT_TRUE(runtime_->SealSetup());
  const TelemetryReader reader = Reader();
  const TelemetryInfo& info = reader.Info();
  EXPECT_EQ(info.program, "telemetry.test");
  EXPECT_EQ(Segment(), "stadial." + std::to_string(::getpid()) + ".telemetry_test");
  EXPECT_EQ(info.pid, static_cast<std::uint64_t>(::getpid()));
  EXPECT_EQ(info.recordCount, 8u);
  EXPECT_EQ(info.framesInFlight, 3u);
  EXPECT_EQ(info.warmupFrames, 9u);
  EXPECT_EQ(info.pacingPeriodNs, kVrPacing.periodNs);
  EXPECT_EQ(info.pacingCeilingNs, kVrPacing.ceilingNs);
  EXPECT_EQ(info.gateState, CurrentGateState());
  EXPECT_EQ(info.gatePolicy, GatePolicy::Count);
  EXPECT_GT(info.startUnixNs, info.startNs);
  const char* const arenas[] = {"setup",   "compile_a", "compile_b", "frame_0",
                                "frame_1", "frame_2",   "fallback"};
  ASSERT_EQ(info.arenas.size(), std::size(arenas));
  for (std::size_t i = 0; i < std::size(arenas); ++i) {
    EXPECT_EQ(info.arenas[i].name, arenas[i]);
    EXPECT_GT(info.arenas[i].capacityBytes, 0u);
  }
  ASSERT_EQ(info.sites.size(), 2u);
  EXPECT_EQ(info.sites[0].name, "event_bus");
  EXPECT_EQ(info.sites[1].name, "planted");
  EXPECT_EQ(info.sites[1].budgetBytes, 1u << 20);
  ASSERT_EQ(info.gauges.size(), 1u);
  EXPECT_EQ(info.gauges[0].name, "mark");
  EXPECT_EQ(info.gauges[0].unit, TelemetryUnit::Bytes);
  EXPECT_EQ(info.gauges[0].limit, 99u);
  EXPECT_TRUE(reader.IsWriterAlive());
}

TEST_F(Telemetered, ARecordSaysWhatItsFrameDid) {
  Start(8, {.gate = GatePolicy::Count, .warmupFrames = 2, .hitches = {.absoluteNs = 1'000'000}});
  ASSERT_TRUE(runtime_->SealSetup());
  Run(40);
  TelemetryReader reader = Reader();
  TelemetryRecord record;
  EXPECT_EQ(reader.Latest(record).Value(), TelemetryNext::Record);
  FrameContext* const frame = runtime_->Frames().Begin().Value();
  static_cast<void>(frame->lane->Allocate(1000));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(runtime_->Events().Emit({.type = EventType::NodeDirty, .data = i}));
  void* const block = site_->TryAllocate(64);
  ++frame->budgetDeferrals;
  const std::uint64_t startNs = NowNs();
  while (NowNs() - startNs < 3'000'000) {
  }
  runtime_->Frames().End(frame->completionValue);
  EXPECT_EQ(reader.Next(record).Value(), TelemetryNext::Record);
  EXPECT_EQ(record.frameIndex, 40u);
  EXPECT_EQ(record.slot, 0u);
  EXPECT_GE(record.beginNs, reader.Info().startNs);
  EXPECT_GE(record.frameNs, 3'000'000u);
  EXPECT_EQ(record.phase, static_cast<std::uint64_t>(Phase::Frame));
  EXPECT_EQ(record.flags, kTelemetryHitch);
  EXPECT_EQ(record.heapAllocations, 0u);
  EXPECT_EQ(record.budgetDeferrals, 1u);
  EXPECT_EQ(record.framesSteady, 39u);
  EXPECT_EQ(record.eventsQueued, 5u);
  EXPECT_EQ(record.eventsEmitted, 5u);
  EXPECT_EQ(record.eventCapacity, runtime_->Events().GetStats().capacity);
  EXPECT_EQ(record.fallbackAllocationsInFrame, 1u);
  EXPECT_EQ(record.fallbackAllocations, 1u);
  EXPECT_EQ(record.fallbackBytes, 64u);
  EXPECT_EQ(record.sites[1].allocations, 1u);
  EXPECT_EQ(record.sites[1].bytes, 64u);
  EXPECT_EQ(record.lastHitchFrame, 40u);
  EXPECT_EQ(record.lastHitchCause, static_cast<std::uint64_t>(HitchCause::Fallback));
  EXPECT_GE(record.hitches, 1u);
  EXPECT_GE(record.arenas[0].usedBytes, 1u) << "setup";
  EXPECT_EQ(record.arenas[3].usedBytes, runtime_->Frames().Slots()[0].UsedBytes());
  EXPECT_GE(record.arenas[3].usedBytes, 1000u);
  EXPECT_EQ(record.arenas[4].usedBytes, 0u) << "the other slot";
  EXPECT_EQ(record.gauges[0], MarkOf(40));
  site_->Free(block);
  runtime_->Events().ProcessEvents();
  Run(1);
  EXPECT_EQ(reader.Next(record).Value(), TelemetryNext::Record);
  EXPECT_EQ(record.flags & kTelemetryHitch, 0u) << "the next frame has its own flags";
  EXPECT_EQ(record.eventsDelivered, 5u);
  EXPECT_EQ(record.fallbackBytes, 0u);
  EXPECT_EQ(reader.Next(record).Value(), TelemetryNext::None);
}

TEST_F(Telemetered, WhatWasOverwrittenIsMissedAndCounted) {
  Start(8);
  ASSERT_TRUE(runtime_->SealSetup());
  Run(3);
  TelemetryReader reader = Reader();
  TelemetryRecord record;
  for (std::uint64_t i = 0; i < 3; ++i) {
    ASSERT_EQ(reader.Next(record).Value(), TelemetryNext::Record);
    EXPECT_EQ(record.frameIndex, i) << "what was there before the reader came";
  }
  EXPECT_EQ(reader.Next(record).Value(), TelemetryNext::None);
  Run(20);
  ASSERT_EQ(reader.Next(record).Value(), TelemetryNext::Record);
  EXPECT_EQ(record.frameIndex, 23u - 8u + 1u) << "the oldest that is left, but for the one that goes next";
  EXPECT_EQ(reader.Missed(), record.frameIndex - 3);
  ASSERT_EQ(reader.Latest(record).Value(), TelemetryNext::Record);
  EXPECT_EQ(record.frameIndex, 22u);
  EXPECT_EQ(reader.Missed(), 13u) << "passed over on purpose is not missed";
}

TEST_F(Telemetered, RandomReadersSeeOrMissEveryRecordOnce) {
  Start(16);
  ASSERT_TRUE(runtime_->SealSetup());
  Random random(TestSeed(404));
  TelemetryReader reader = Reader();
  TelemetryRecord record;
  std::uint64_t frames = 0;
  std::uint64_t last = 0;
  for (std::uint64_t round = 0; round < Repetitions(20'000); ++round) {
    const std::uint64_t count = random.Below(10) == 0 ? random.Below(40) : random.Below(4);
    Run(count);
    frames += count;
    for (std::uint64_t reads = random.Below(6); reads > 0; --reads) {
      if (reader.Next(record).Value() != TelemetryNext::Record) break;
      ASSERT_TRUE(reader.SeenCount() == 1 || record.frameIndex > last);
      ASSERT_EQ(record.frameIndex + 1, reader.SeenCount() + reader.Missed());
      ASSERT_EQ(record.gauges[0], MarkOf(record.frameIndex)) << "a record of two frames";
      last = record.frameIndex;
    }
  }
  while (reader.Next(record).Value() == TelemetryNext::Record) {
  }
  EXPECT_EQ(reader.SeenCount() + reader.Missed(), frames);
  EXPECT_GT(reader.Missed(), 0u) << "the ring never lapped the reader: this run proves nothing";
}

TEST_F(Telemetered, AtTheEndTheRestIsReadAndTheNameIsGone) {
  Start(8);
  ASSERT_TRUE(runtime_->SealSetup());
  TelemetryReader reader = Reader();
  Run(2);
  const std::string segment = Segment();
  runtime_.reset();
  TelemetryRecord record;
  EXPECT_EQ(reader.Next(record).Value(), TelemetryNext::Record);
  EXPECT_EQ(reader.Next(record).Value(), TelemetryNext::Record);
  EXPECT_EQ(record.frameIndex, 1u);
  EXPECT_EQ(reader.Next(record).Value(), TelemetryNext::Ended);
  EXPECT_EQ(reader.Next(record).Value(), TelemetryNext::Ended);
  EXPECT_FALSE(reader.IsWriterAlive());
  EXPECT_EQ(TelemetryReader::OpenSegment(segment.c_str()).GetError().Code(), ErrorCode::NotFound);
}

TEST_F(Telemetered, TwoOfOneNameInAProcessAreRefused) {
  Start(8);
  const Result<RuntimePtr> second =
      Runtime::Create({.name = "telemetry.test", .kernelWitness = false, .telemetry = {.publish = true}});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_THAT(second.GetError().Message(), HasSubstr("a name of its own"));
  EXPECT_TRUE(TelemetryReader::OpenSegment(Segment().c_str()).GetError().Code() == ErrorCode::WrongPhase)
      << "the first one's segment is untouched";
}

TEST_F(Telemetered, ASegmentThatADeadProcessOfThisNumberLeftIsTakenOver) {
  const std::string name = "/stadial." + std::to_string(::getpid()) + ".telemetry_test";
  const int old = ::shm_open(name.c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(old, 0);
  ::close(old);
  Start(8);
  ASSERT_TRUE(runtime_->SealSetup());
  EXPECT_EQ(Reader().Info().recordCount, 8u);
}

TEST_F(Telemetered, TablesThatAreFullSaySo) {
  Start(8);
  const auto zero = [](const void*) noexcept -> std::uint64_t { return 0; };
  Result<void> added;
  std::size_t count = 1;
  for (; added && count < 100; ++count) {
    Result<void> next = runtime_->GetTelemetry()->AddGauge({.name = "more", .read = zero});
    if (!next) {
      EXPECT_EQ(next.GetError().Code(), ErrorCode::CapacityExceeded);
      break;
    }
  }
  EXPECT_EQ(count, kTelemetryGaugesMax);
}

TEST_F(Telemetered, OptionsOutOfRangeAreNamed) {
  for (const std::uint32_t records : {0u, 1u, 3u, 1000u, 2 * kTelemetryRecordsLimit}) {
    const Result<RuntimePtr> created =
        Runtime::Create({.telemetry = {.publish = true, .recordsMax = records}});
    ASSERT_FALSE(created) << records;
    EXPECT_THAT(created.GetError().Message(),
                HasSubstr("TelemetryOptions::recordsMax is " + std::to_string(records)));
  }
}

TEST_F(Telemetered, PublishingAllocatesNothingAndMakesNoSystemCall) {
  STADIAL_ASSERT_ARMED();
  Start(64, {.kernelWitness = false});
  ASSERT_TRUE(runtime_->SealSetup());
  Telemetry& telemetry = *runtime_->GetTelemetry();
  Result<VmSyscallWitness> installed = VmSyscallWitness::Install();
  if (!installed) GTEST_SKIP() << installed.GetError().Message();
  VmSyscallWitness& witness = *installed;
  const std::uint64_t faultsBefore = MinorFaults();
  witness.Enter();
  {
    const GateScope trap(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "telemetry");
    for (std::uint64_t i = 0; i < 1000; ++i) telemetry.Publish({.frameIndex = i});
  }
  witness.Leave();
  EXPECT_EQ(witness.Counts().total, 0u);
  EXPECT_EQ(telemetry.PublishedCount(), 1000u);
  if (!testing::kIsSanitized) {
    EXPECT_EQ(MinorFaults(), faultsBefore) << "every page was there beforehand";
  }
  witness.Enter();
  ::syscall(SYS_getppid);
  witness.Leave();
  EXPECT_EQ(witness.Counts().total, 1u) << "the control: this witness does count";
}

// Segments that lie. Each is a copy of a good one, changed.
class HostileTelemetry : public Telemetered {
 protected:
  void SetUp() override {
    Start(8);
    ASSERT_TRUE(runtime_->SealSetup());
    Run(5);
    const int file = ::shm_open(std::string("/").append(Segment()).c_str(), O_RDONLY, 0);
    ASSERT_GE(file, 0);
    good_.resize(static_cast<std::size_t>(::lseek(file, 0, SEEK_END)));
    ASSERT_EQ(::pread(file, good_.data(), good_.size(), 0), static_cast<ssize_t>(good_.size()));
    ::close(file);
  }
  static int FileOf(const std::vector<std::byte>& bytes) {
    const int file = ::memfd_create("hostile", MFD_CLOEXEC);
    EXPECT_EQ(::write(file, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    return file;
  }
  static void Put(std::vector<std::byte>& bytes, std::size_t offset, std::uint64_t value) {
    std::memcpy(bytes.data() + offset, &value, sizeof value);
  }
  static constexpr std::size_t kDescription = offsetof(TelemetryHeader, description);

  std::vector<std::byte> good_;
};

TEST_F(HostileTelemetry, TheUnchangedCopyIsRead) {
  Result<TelemetryReader> reader = TelemetryReader::OpenFile(FileOf(good_), "copy");
  ASSERT_TRUE(reader) << reader.GetError().Message();
  TelemetryRecord record;
  for (int i = 0; i < 5; ++i) EXPECT_EQ(reader->Next(record).Value(), TelemetryNext::Record);
  EXPECT_EQ(reader->Next(record).Value(), TelemetryNext::Ended) << "nobody holds the copy's lock";
}

TEST_F(HostileTelemetry, EveryLieOfTheHeaderIsNamed) {
  struct Lie {
    std::size_t offset;
    std::uint64_t value;
    ErrorCode code;
    const char* message;
  };
  const auto field = [](std::size_t member) { return kDescription + member; };
  const Lie lies[] = {
      {offsetof(TelemetryHeader, ready), 0, ErrorCode::WrongPhase, "has not sealed its Setup"},
      {offsetof(TelemetryHeader, ready), 42, ErrorCode::CorruptData, "wrong magic"},
      {field(offsetof(TelemetryDescription, version)), 2, ErrorCode::NotSupported,
       "version 2; this program reads version 1"},
      {field(offsetof(TelemetryDescription, headerBytes)), 64, ErrorCode::CorruptData, "sizes of header"},
      {field(offsetof(TelemetryDescription, recordBytes)), 8, ErrorCode::CorruptData,
       "sizes of header or record"},
      {field(offsetof(TelemetryDescription, recordCount)), 0, ErrorCode::CorruptData, "number of records"},
      {field(offsetof(TelemetryDescription, recordCount)), 7, ErrorCode::CorruptData, "number of records"},
      {field(offsetof(TelemetryDescription, recordCount)), std::uint64_t{1} << 60, ErrorCode::CorruptData,
       "number of records"},
      {field(offsetof(TelemetryDescription, recordCount)), 16, ErrorCode::CorruptData, "cut off"},
      {field(offsetof(TelemetryDescription, totalBytes)), ~std::uint64_t{0}, ErrorCode::CorruptData,
       "cut off"},
      {field(offsetof(TelemetryDescription, arenaCount)), 17, ErrorCode::CorruptData, "more arenas"},
      {field(offsetof(TelemetryDescription, siteCount)), ~std::uint64_t{0}, ErrorCode::CorruptData,
       "more arenas, sites"},
      {field(offsetof(TelemetryDescription, gaugeCount)), 25, ErrorCode::CorruptData, "gauges"},
      {field(offsetof(TelemetryDescription, gateState)), 3, ErrorCode::CorruptData, "gate"},
      {field(offsetof(TelemetryDescription, gatePolicy)), 5, ErrorCode::CorruptData, "gate"},
      {field(offsetof(TelemetryDescription, gauges) + offsetof(TelemetryGaugeName, unit)), 3,
       ErrorCode::CorruptData, "unknown unit"},
  };
  for (const Lie& lie : lies) {
    std::vector<std::byte> bytes = good_;
    Put(bytes, lie.offset, lie.value);
    const Result<TelemetryReader> reader = TelemetryReader::OpenFile(FileOf(bytes), "liar");
    ASSERT_FALSE(reader) << lie.message;
    EXPECT_EQ(reader.GetError().Code(), lie.code) << reader.GetError().Message();
    EXPECT_THAT(reader.GetError().Message(), HasSubstr(lie.message));
    EXPECT_THAT(reader.GetError().Message(), HasSubstr("telemetry 'liar'"));
  }
}

TEST_F(HostileTelemetry, FilesThatAreTooShortOrTooLongOrNoneAreRefused) {
  // As it is for a moment while it is being made; nobody holds the lock of this one.
  EXPECT_THAT(TelemetryReader::OpenFile(FileOf({}), "empty").GetError().Message(),
              HasSubstr("has not sealed its Setup and is gone"));
  for (const std::size_t bytes : {std::size_t{1}, kTelemetryHeaderBytes - 1, kTelemetryHeaderBytes,
                                  good_.size() - 1, good_.size() + 1}) {
    std::vector<std::byte> cut = good_;
    cut.resize(bytes);
    const Result<TelemetryReader> reader = TelemetryReader::OpenFile(FileOf(cut), "cut");
    ASSERT_FALSE(reader) << bytes;
    EXPECT_EQ(reader.GetError().Code(), ErrorCode::CorruptData) << reader.GetError().Message();
  }
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  EXPECT_THAT(TelemetryReader::OpenFile(ends[0], "pipe").GetError().Message(),
              HasSubstr("no file of this user's"));
  ::close(ends[1]);
  EXPECT_FALSE(TelemetryReader::OpenFile(-1, "nothing"));
  EXPECT_EQ(TelemetryReader::OpenSegment("stadial.1.none").GetError().Code(), ErrorCode::NotFound);
  EXPECT_FALSE(TelemetryReader::OpenSegment(std::string(5000, 'x').c_str()));
}

TEST_F(HostileTelemetry, WhatGoesWrongLaterIsSaidToo) {
  TelemetryRecord record;
  {
    const int file = FileOf(good_);
    Result<TelemetryReader> reader = TelemetryReader::OpenFile(::dup(file), "cut");
    ASSERT_TRUE(reader);
    ASSERT_EQ(::ftruncate(file, kTelemetryHeaderBytes), 0);
    const Result<TelemetryNext> next = reader->Next(record);
    ASSERT_FALSE(next);
    EXPECT_THAT(next.GetError().Message(), HasSubstr("cut off since it was opened"));
    EXPECT_FALSE(reader->Latest(record));
    ::close(file);
  }
  {
    std::vector<std::byte> bytes = good_;
    Put(bytes, offsetof(TelemetryHeader, published), 7);  // two more than there are
    Result<TelemetryReader> reader = TelemetryReader::OpenFile(FileOf(bytes), "early");
    ASSERT_TRUE(reader);
    for (int i = 0; i < 5; ++i) EXPECT_EQ(reader->Next(record).Value(), TelemetryNext::Record);
    const Result<TelemetryNext> next = reader->Next(record);
    ASSERT_FALSE(next);
    EXPECT_THAT(next.GetError().Message(), HasSubstr("announced is not there"));
  }
  {
    const int file = FileOf(good_);
    Result<TelemetryReader> reader = TelemetryReader::OpenFile(::dup(file), "back");
    ASSERT_TRUE(reader);
    EXPECT_EQ(reader->Next(record).Value(), TelemetryNext::Record);
    const std::uint64_t none = 0;
    ASSERT_EQ(::pwrite(file, &none, sizeof none, offsetof(TelemetryHeader, published)), 8);
    EXPECT_THAT(reader->Next(record).GetError().Message(), HasSubstr("went backwards"));
    ::close(file);
  }
}

TEST_F(HostileTelemetry, NamesAreCutAndMadePrintable) {
  std::vector<std::byte> bytes = good_;
  const std::size_t name = kDescription + offsetof(TelemetryDescription, arenas);
  std::memset(bytes.data() + name, 0x1B, kTelemetryNameBytesMax);  // no zero, and a terminal's escape
  Result<TelemetryReader> reader = TelemetryReader::OpenFile(FileOf(bytes), "named");
  ASSERT_TRUE(reader);
  EXPECT_EQ(reader->Info().arenas[0].name, std::string(kTelemetryNameBytesMax, '?'));
}

// Damaged in random places, cut and grown: opened or refused, read to the end or to an error, and nothing
// else.
TEST_F(HostileTelemetry, DamagedSegmentsDoNoHarm) {
  Random random(TestSeed(31337));
  std::uint64_t refused = 0;
  std::uint64_t records = 0;
  const std::uint64_t interesting[] = {
      0, 1, 2, 7, 8, 9, 255, kTelemetryMagic, ~std::uint64_t{0}, std::uint64_t{1} << 63};
  const std::uint64_t rounds = Repetitions(5'000);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    std::vector<std::byte> bytes = good_;
    for (std::uint64_t damage = 1 + random.Below(4); damage > 0; --damage) {
      // Half of it in the header's numbers, the rest anywhere, by words or by bytes.
      const std::size_t range = random.Below(2) == 0 ? kDescription + 17 * 8 : bytes.size() - 8;
      const std::size_t offset = random.Below(range);
      const std::uint64_t value =
          random.Below(2) == 0 ? random.Next() : interesting[random.Below(std::size(interesting))];
      if (random.Below(2) == 0) {
        Put(bytes, offset & ~std::size_t{7}, value);
      } else {
        bytes[offset] = static_cast<std::byte>(value);
      }
    }
    if (random.Below(8) == 0) bytes.resize(random.Below(2 * good_.size()));
    Result<TelemetryReader> reader = TelemetryReader::OpenFile(FileOf(bytes), "damaged");
    if (!reader) {
      ++refused;
      continue;
    }
    ASSERT_LE(reader->Info().arenas.size(), kTelemetryArenasMax);
    TelemetryRecord record;
    for (int reads = 0; reads < 20; ++reads) {
      const Result<TelemetryNext> next = reader->Next(record);
      if (!next) break;
      records += 1;
    }
  }
  EXPECT_GT(refused, rounds / 4) << "damage that nobody sees: this run proves nothing";
  EXPECT_GT(records, rounds / 4);
}

}  // namespace
}  // namespace stadial::runtime
