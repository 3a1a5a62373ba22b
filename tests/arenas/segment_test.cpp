// Segments of a region: what they give back, what is pinned, huge pages, and the policies of their mappings.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "stadial/arenas/region.h"
#include "support/memory_probe.h"
#include "support/op_program.h"
#include "support/system_probe.h"

namespace stadial::arenas {
namespace {

using testing::Differs;
using testing::FaultsOfTouching;
using testing::MemoryProbe;
using testing::OpRandom;
using testing::TouchEveryPage;

Region MakeRegion() { return Region::Reserve({.name = "segment_test", .sizeBytes = 1_GiB}).Value(); }

void ExpectRefused(const Result<void>& result, ErrorCode code, const char* text) {
  ASSERT_FALSE(result);
  EXPECT_EQ(result.GetError().Code(), code);
  EXPECT_NE(std::strstr(result.GetError().Message(), text), nullptr) << result.GetError().Message();
}

// The VmFlags of the mapping that holds the address: "rd wr mr mw me dc ac sd".
std::string VmFlagsOf(const void* address) {
  std::ifstream smaps("/proc/self/smaps");
  std::string line;
  bool isInside = false;
  while (std::getline(smaps, line)) {
    unsigned long begin = 0;
    unsigned long end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &begin, &end) == 2) {
      const auto wanted = reinterpret_cast<unsigned long>(address);
      isInside = begin <= wanted && wanted < end;
    } else if (isInside && line.starts_with("VmFlags:")) {
      return line.substr(8) + " ";
    }
  }
  return "";
}
bool HasFlag(const void* address, const char* flag) {
  return VmFlagsOf(address).find(std::string(" ") + flag + " ") != std::string::npos;
}

// --- decommit ---

TEST(Segment, DecommitKeepsAPrefixAndItsContents) {
  Region region = MakeRegion();
  Segment* const segment = *region.AddSegment({.name = "level", .sizeBytes = 8_MiB});
  ASSERT_TRUE(segment->Commit(8_MiB));
  std::memset(segment->Base(), 0x5a, 8_MiB);
  ASSERT_TRUE(segment->Decommit({.keepBytes = 1_MiB + 1}));
  EXPECT_EQ(segment->CommittedBytes(), 1_MiB + PageSize());
  EXPECT_EQ(segment->Base()[1_MiB], std::byte{0x5a});
  const MemoryProbe probe;
  EXPECT_TRUE(probe.IsReadable(segment->Base() + 1_MiB));
  EXPECT_FALSE(probe.IsReadable(segment->Base() + 1_MiB + PageSize()));
  ASSERT_TRUE(segment->Commit(2_MiB));
  EXPECT_EQ(segment->Base()[2_MiB - 1], std::byte{0}) << "the storage was given back";
  EXPECT_EQ(segment->Base()[1_MiB], std::byte{0x5a});
  ASSERT_TRUE(segment->Decommit({.keepBytes = SIZE_MAX})) << "more than there is: nothing to do";
  EXPECT_EQ(segment->CommittedBytes(), 2_MiB);
}

TEST(Segment, TheSlackStopsThrashing) {
  Region region = MakeRegion();
  Segment* const segment = *region.AddSegment({.name = "level", .sizeBytes = 16_MiB});
  ASSERT_TRUE(segment->Commit(8_MiB));
  ASSERT_TRUE(segment->Decommit({.keepBytes = 4_MiB, .slackBytes = 4_MiB}));
  EXPECT_EQ(segment->CommittedBytes(), 8_MiB) << "within the slack";
  ASSERT_TRUE(segment->Commit(16_MiB));
  ASSERT_TRUE(segment->Decommit({.keepBytes = 4_MiB, .slackBytes = 4_MiB}));
  EXPECT_EQ(segment->CommittedBytes(), 6_MiB) << "half of the slack stays";
  const SegmentStats before = segment->Stats();
  for (int level = 0; level < 50; ++level) {
    ASSERT_TRUE(segment->Commit(6_MiB));
    ASSERT_TRUE(segment->Decommit(
        {.keepBytes = 4_MiB - static_cast<std::size_t>(level % 7) * 4096, .slackBytes = 4_MiB}));
  }
  const SegmentStats after = segment->Stats();
  EXPECT_EQ(after.commits, before.commits);
  EXPECT_EQ(after.decommits, before.decommits);
  EXPECT_EQ(after.decommitsDeferred, before.decommitsDeferred + 50);

  // The control: without slack the same pattern does pay each time.
  for (int level = 0; level < 50; ++level) {
    ASSERT_TRUE(segment->Commit(6_MiB));
    ASSERT_TRUE(segment->Decommit({.keepBytes = 4_MiB}));
  }
  EXPECT_EQ(segment->Stats().decommits, after.decommits + 50);
  EXPECT_EQ(segment->Stats().commits, after.commits + 49);
}

TEST(Segment, StatsCountWhatHappened) {
  Region region = MakeRegion();
  Segment* const segment = *region.AddSegment({.name = "level", .sizeBytes = 4_MiB});
  ASSERT_TRUE(segment->Commit(1_MiB));
  ASSERT_TRUE(segment->Commit(3_MiB));
  ASSERT_TRUE(segment->Commit(2_MiB));
  EXPECT_FALSE(segment->Commit(5_MiB));
  ASSERT_TRUE(segment->Decommit({.keepBytes = 1_MiB}));
  const SegmentPin pin = segment->Pin(0, 4096, "device").Value();
  const SegmentStats stats = segment->Stats();
  EXPECT_EQ(stats.reservedBytes, 4_MiB);
  EXPECT_EQ(stats.committedBytes, 1_MiB);
  EXPECT_EQ(stats.committedBytesPeak, 3_MiB);
  EXPECT_EQ(stats.commits, 2u);
  EXPECT_EQ(stats.decommits, 1u);
  EXPECT_EQ(stats.decommitsDeferred, 0u);
  EXPECT_EQ(stats.pins, 1u);
  EXPECT_EQ(stats.pinnedBytes, 4096u);
  segment->Unpin(pin);
  EXPECT_EQ(segment->Stats().pins, 0u);
  EXPECT_EQ(segment->Stats().pinnedBytes, 0u);
}

// --- pins ---

TEST(Segment, APinnedRangeIsNeitherDecommittedNorMadeInaccessible) {
  Region region = MakeRegion();
  Segment* const segment = *region.AddSegment({.name = "staging", .sizeBytes = 4_MiB});
  ASSERT_TRUE(segment->CommitAll());
  const SegmentPin pin = segment->Pin(1_MiB, 64_KiB, "device 0").Value();
  ExpectRefused(
      segment->Decommit(), ErrorCode::WrongPhase,
      "segment 'staging': decommitting all but the first 0 B is refused: 64.0 KiB at offset 1048576 are "
      "pinned by 'device 0'; unpin them first, or keep at least 1114112 bytes");
  ExpectRefused(segment->Decommit({.keepBytes = 1_MiB + 60_KiB}), ErrorCode::WrongPhase,
                "pinned by 'device 0'");
  ExpectRefused(segment->Protect(PageAccess::None), ErrorCode::WrongPhase,
                "making inaccessible all but the first 0 B is refused");
  EXPECT_EQ(segment->CommittedBytes(), 4_MiB);
  segment->Base()[1_MiB] = std::byte{1};  // still there

  ASSERT_TRUE(segment->Decommit({.keepBytes = 1_MiB + 64_KiB})) << "all that is pinned is kept";
  ASSERT_TRUE(segment->Protect(PageAccess::ReadOnly)) << "readable it stays";
  ASSERT_TRUE(segment->Protect(PageAccess::ReadWrite));
  segment->Unpin(pin);
  ASSERT_TRUE(segment->Decommit());
  EXPECT_EQ(segment->CommittedBytes(), 0u);
}

TEST(Segment, PinsOfOneSegmentDoNotHoldAnother) {
  Region region = MakeRegion();
  Segment* const first = *region.AddSegment({.name = "first", .sizeBytes = 64_KiB});
  Segment* const second = *region.AddSegment({.name = "second", .sizeBytes = 64_KiB});
  ASSERT_TRUE(first->CommitAll());
  ASSERT_TRUE(second->CommitAll());
  const SegmentPin pin = first->Pin(0, 1, "device").Value();
  EXPECT_TRUE(second->Decommit());
  EXPECT_FALSE(first->Decommit());
  Region moved = std::move(region);
  EXPECT_FALSE(first->Decommit()) << "pins do not go when the region moves";
  first->Unpin(pin);
  EXPECT_TRUE(first->Decommit());
}

TEST(Segment, RefusedPinsSayWhy) {
  Region region = Region::Reserve({.sizeBytes = 64_MiB, .pinsMax = 2}).Value();
  Segment* const segment = *region.AddSegment({.name = "staging", .sizeBytes = 1_MiB});
  ASSERT_TRUE(segment->Commit(64_KiB));
  const auto refuse = [&](std::size_t offset, std::size_t size, ErrorCode code, const char* text) {
    const auto pin = segment->Pin(offset, size, "device 1");
    ASSERT_FALSE(pin);
    EXPECT_EQ(pin.GetError().Code(), code);
    EXPECT_NE(std::strstr(pin.GetError().Message(), text), nullptr) << pin.GetError().Message();
  };
  refuse(0, 0, ErrorCode::InvalidArgument, "pin at least a byte");
  refuse(0, 64_KiB + 1, ErrorCode::InvalidArgument, "64.0 KiB are committed");
  refuse(SIZE_MAX, 1, ErrorCode::InvalidArgument, "'device 1' asks to pin 1 B at offset");
  refuse(1, SIZE_MAX, ErrorCode::InvalidArgument, "commit them first");
  ASSERT_TRUE(segment->Protect(PageAccess::None));
  refuse(0, 1, ErrorCode::InvalidArgument, "it is inaccessible");
  ASSERT_TRUE(segment->Protect(PageAccess::ReadWrite));
  ASSERT_TRUE(segment->Pin(0, 1, "a"));
  const SegmentPin second = segment->Pin(0, 64_KiB, "b").Value();
  refuse(0, 1, ErrorCode::CapacityExceeded,
         "all 2 pins of the region are in use; raise RegionOptions::pinsMax");
  segment->Unpin(second);
  EXPECT_TRUE(segment->Pin(1, 1, "c"));
  EXPECT_EQ(segment->Stats().pinnedBytes, 2u);
}

// Against a list of ranges. Broken on request: the model forgets a pin now and then.
std::string RunPinProgram(OpRandom& random, bool broken) {
  struct Pinned {
    SegmentPin pin;
    std::size_t end;
    bool isForgotten;
  };
  Region region = Region::Reserve({.sizeBytes = 64_MiB, .pinsMax = 8}).Value();
  Segment* const segment = region.AddSegment({.name = "program", .sizeBytes = 1_MiB}).Value();
  std::vector<Pinned> pins;
  for (int step = 0; step < 400; ++step) {
    const std::size_t committed = segment->CommittedBytes();
    const std::size_t choice = random.Below(100);
    if (choice < 25) {
      if (!segment->Commit(random.Below(1_MiB + 1))) return Differs("step %d: commit refused", step);
    } else if (choice < 50) {
      const std::size_t offset = random.Below(1_MiB);
      const std::size_t size = random.Below(64_KiB);
      auto pin = segment->Pin(offset, size, "program");
      const bool expected = size != 0 && offset + size <= committed && pins.size() < 8;
      if (pin.HasValue() != expected)
        return Differs("step %d: pin %zu+%zu: %d", step, offset, size, expected);
      if (expected) pins.push_back({*pin, offset + size, broken && random.OneIn(4)});
    } else if (choice < 70 && !pins.empty()) {
      const std::size_t index = random.Below(pins.size());
      segment->Unpin(pins[index].pin);
      pins.erase(pins.begin() + static_cast<std::ptrdiff_t>(index));
    } else {
      const std::size_t keep = random.Below(1_MiB);
      const std::size_t kept = (keep + PageSize() - 1) / PageSize() * PageSize();
      std::size_t pinnedEnd = 0;
      for (const Pinned& pinned : pins) {
        if (!pinned.isForgotten) pinnedEnd = std::max(pinnedEnd, pinned.end);
      }
      const bool expected = kept >= committed || pinnedEnd <= kept;
      const bool did = segment->Decommit({.keepBytes = keep}).HasValue();
      if (did != expected) return Differs("step %d: decommit to %zu: %d", step, keep, expected);
      const std::size_t left = expected ? std::min(committed, kept) : committed;
      if (segment->CommittedBytes() != left) return Differs("step %d: committed", step);
    }
  }
  return "";
}

TEST(Segment, ProgramAgreesWithModel) {
  testing::ExpectAgreement("segment", [](OpRandom& random) { return RunPinProgram(random, false); });
}
TEST(Segment, ProgramCanary) {
  testing::ExpectCanary("segment", [](OpRandom& random) { return RunPinProgram(random, true); });
}

// --- pages ---

// The control stands in the middle: pages that lost their storage do fault.
TEST(Segment, R3_PrefaultGivesStorageBack) {
  Region region = MakeRegion();
  Segment* const segment =
      *region.AddSegment({.name = "frame0", .sizeBytes = 2_MiB, .hugePages = HugePages::Never});
  ASSERT_TRUE(segment->CommitAll());
  ASSERT_EQ(madvise(segment->Base(), 2_MiB, MADV_DONTNEED), 0);
  EXPECT_GE(FaultsOfTouching(segment->Base(), 2_MiB, PageSize()), 512);
  ASSERT_EQ(madvise(segment->Base(), 2_MiB, MADV_DONTNEED), 0);
  ASSERT_TRUE(segment->Prefault());
  EXPECT_EQ(FaultsOfTouching(segment->Base(), 2_MiB, PageSize()), 0);
}

TEST(Segment, HugePagesAreAChoicePerSegmentAndReported) {
  Region region = MakeRegion();
  Segment* const small =
      *region.AddSegment({.name = "small", .sizeBytes = 8_MiB, .hugePages = HugePages::Never});
  Segment* const huge =
      *region.AddSegment({.name = "huge", .sizeBytes = 7_MiB, .hugePages = HugePages::Advise});
  EXPECT_EQ(small->StepBytes(), PageSize());
  EXPECT_EQ(huge->StepBytes(), kHugePageBytes);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(huge->Base()) % kHugePageBytes, 0u);
  EXPECT_EQ(huge->ReservedBytes(), 8_MiB) << "whole huge pages";
  ASSERT_TRUE(small->CommitAll());
  ASSERT_TRUE(huge->Commit(1));
  EXPECT_EQ(huge->CommittedBytes(), kHugePageBytes);
  ASSERT_TRUE(huge->CommitAll());
  EXPECT_EQ(FaultsOfTouching(huge->Base(), 8_MiB, PageSize()), 0);

  const SegmentStats stats = huge->Stats();
  EXPECT_EQ(stats.hugePages, HugePages::Advise);
  EXPECT_EQ(*small->CalculateHugeBytes(), 0u);
  const std::size_t given = *huge->CalculateHugeBytes();
  EXPECT_LE(given, 8_MiB);
  EXPECT_EQ(given % kHugePageBytes, 0u);
  std::string setting;
  std::getline(std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled"), setting);
  if (setting.empty()) {
    EXPECT_TRUE(stats.isHugePagesRefused);
    EXPECT_EQ(given, 0u);
    GTEST_SKIP() << "this kernel has no transparent huge pages";
  }
  EXPECT_FALSE(stats.isHugePagesRefused);
  EXPECT_TRUE(HasFlag(huge->Base(), "hg"));
  EXPECT_TRUE(HasFlag(small->Base(), "nh"));
  std::printf("huge pages: %s; given %zu of %zu\n", setting.c_str(), given, huge->CommittedBytes());
  ASSERT_TRUE(huge->Decommit({.keepBytes = kHugePageBytes + 1}));
  EXPECT_EQ(huge->CommittedBytes(), 2 * kHugePageBytes);
  EXPECT_LE(*huge->CalculateHugeBytes(), 2 * kHugePageBytes);
}

TEST(Segment, WhatDumpsAndForksSeeIsAChoice) {
  Region region = MakeRegion();
  Segment* const plain = *region.AddSegment({.name = "plain", .sizeBytes = 64_KiB});
  Segment* const open = *region.AddSegment(
      {.name = "open", .sizeBytes = 64_KiB, .isInheritedByFork = true, .isInDumps = false});
  EXPECT_TRUE(HasFlag(plain->Base(), "dd")) << "not in dumps until committed";
  ASSERT_TRUE(plain->CommitAll());
  ASSERT_TRUE(open->CommitAll());
  EXPECT_FALSE(HasFlag(plain->Base(), "dd"));
  EXPECT_TRUE(HasFlag(plain->Base(), "dc"));
  EXPECT_TRUE(HasFlag(open->Base(), "dd"));
  EXPECT_FALSE(HasFlag(open->Base(), "dc"));
  EXPECT_TRUE(HasFlag(open->Base() - 1, "dc")) << "the guard";

  // Addresses, since the records of the segments are not inherited.
  std::byte* const shown = open->Base();
  std::byte* const hidden = plain->Base();
  shown[5] = std::byte{42};
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(shown[5] == std::byte{42} && msync(hidden, 4096, MS_ASYNC) != 0 ? 0 : 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "a child sees the one and has no mapping for the other";
}

TEST(Segment, GuardsStandOnBothSidesOfAHugeSegment) {
  Region region = MakeRegion();
  Segment* const huge =
      *region.AddSegment({.name = "huge", .sizeBytes = 2_MiB, .hugePages = HugePages::Advise});
  Segment* const next = *region.AddSegment({.name = "next", .sizeBytes = 4096});
  ASSERT_TRUE(huge->CommitAll());
  ASSERT_TRUE(next->CommitAll());
  const MemoryProbe probe;
  EXPECT_FALSE(probe.IsReadable(huge->Base() - 1));
  EXPECT_TRUE(probe.IsReadable(huge->Base()));
  EXPECT_TRUE(probe.IsReadable(huge->Base() + 2_MiB - 1));
  EXPECT_FALSE(probe.IsReadable(huge->Base() + 2_MiB));
  EXPECT_FALSE(probe.IsReadable(next->Base() - 1));
}

class SegmentDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(SegmentDeathTest, APinIsLiftedOnceAndByItsOwner) {
  Region region = MakeRegion();
  Segment* const first = *region.AddSegment({.name = "first", .sizeBytes = 64_KiB});
  Segment* const second = *region.AddSegment({.name = "second", .sizeBytes = 64_KiB});
  ASSERT_TRUE(first->CommitAll());
  const SegmentPin pin = first->Pin(0, 1, "device").Value();
  EXPECT_DEATH(second->Unpin(pin), "the pin belongs to another segment");
  first->Unpin(pin);
  EXPECT_DEATH(first->Unpin(pin), "the pin was lifted already");
  ASSERT_TRUE(first->Pin(0, 1, "again"));
  EXPECT_DEATH(first->Unpin(pin), "the pin was lifted already") << "the record is in use by another";
  EXPECT_DEATH(first->Unpin(SegmentPin()), "the pin was lifted already");
}

}  // namespace
}  // namespace stadial::arenas
