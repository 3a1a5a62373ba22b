#include "stadial/arenas/region.h"

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>

#include "support/system_probe.h"

namespace stadial::arenas {
namespace {

using testing::FaultsOfTouching;
using testing::ReadMappings;
using testing::TouchEveryPage;

std::uintptr_t AddressOf(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

std::size_t AddressSpaceUsed() {
  unsigned long pages = 0;
  std::FILE* const file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%lu", &pages) != 1) pages = 0;
  if (file != nullptr) std::fclose(file);
  return pages * PageSize();
}

// Bounds the address space to what is used now plus some, while it lives.
class AddressSpaceLimit {
 public:
  explicit AddressSpaceLimit(std::size_t moreBytes) {
    getrlimit(RLIMIT_AS, &before_);
    rlimit limit = before_;
    limit.rlim_cur = AddressSpaceUsed() + moreBytes;
    limitBytes = limit.rlim_cur;
    set_ = setrlimit(RLIMIT_AS, &limit) == 0;
  }
  ~AddressSpaceLimit() { setrlimit(RLIMIT_AS, &before_); }
  bool IsSet() const { return set_; }
  std::size_t limitBytes = 0;

 private:
  rlimit before_{};
  bool set_ = false;
};

TEST(Region, R1_ReservesSixtyFourGiBByDefault) {
  const std::size_t before = AddressSpaceUsed();
  auto region = Region::Reserve({});
  ASSERT_TRUE(region) << region.GetError().Message();
  EXPECT_EQ(region->ReservedBytes(), 64_GiB);
  EXPECT_FALSE(region->IsRetry());
  EXPECT_GE(AddressSpaceUsed() - before, 64_GiB) << "really reserved";
  EXPECT_TRUE(region->Segments().empty());
}

TEST(Region, R1_TheReservationIsOneInaccessibleRange) {
  auto region = Region::Reserve({.sizeBytes = 1_GiB});
  ASSERT_TRUE(region);
  std::uintptr_t expected = AddressOf(region->Base());
  std::size_t writable = 0;
  for (const auto& mapping : ReadMappings()) {
    if (mapping.begin < AddressOf(region->Base()) || mapping.begin >= AddressOf(region->Base()) + 1_GiB)
      continue;
    EXPECT_EQ(mapping.begin, expected) << "no hole";
    expected = mapping.end;
    if (mapping.access != "---p") writable += mapping.end - mapping.begin;
  }
  EXPECT_GE(expected, AddressOf(region->Base()) + 1_GiB);
  EXPECT_LE(writable, 2 * PageSize()) << "only the records are accessible";
}

TEST(Region, R1_RetriesOnceWithLessWhereTheAddressSpaceIsLimited) {
  const AddressSpaceLimit limit(16_GiB);
  ASSERT_TRUE(limit.IsSet());
  auto region = Region::Reserve({});
  ASSERT_TRUE(region) << region.GetError().Message();
  EXPECT_TRUE(region->IsRetry());
  EXPECT_EQ(region->ReservedBytes(), 8_GiB);
}

TEST(Region, R1_RefusalNamesTheLimitTheNumbersAndTheRemedy) {
  std::string message;
  ErrorCode code = ErrorCode::Io;
  {
    const AddressSpaceLimit limit(1_GiB);
    ASSERT_TRUE(limit.IsSet());
    auto region = Region::Reserve({});
    ASSERT_FALSE(region);
    message = region.GetError().Message();
    code = region.GetError().Code();
  }
  EXPECT_EQ(code, ErrorCode::AddressSpace);
  EXPECT_NE(
      message.find(
          "region 'stadial': 64.0 GiB of address space refused (Cannot allocate memory), then 8.0 GiB as "
          "well; RLIMIT_AS is "),
      std::string::npos)
      << message;
  EXPECT_NE(message.find("'ulimit -v unlimited' or set RuntimeOptions::region.sizeBytes below it"),
            std::string::npos)
      << message;
}

TEST(Region, R1_WithoutARetryTheErrorDoesNotClaimOne) {
  const AddressSpaceLimit limit(16_GiB);
  ASSERT_TRUE(limit.IsSet());
  const auto region = Region::Reserve({.retryBytes = 0});
  ASSERT_FALSE(region);
  EXPECT_EQ(std::strstr(region.GetError().Message(), "as well"), nullptr) << region.GetError().Message();
}

TEST(Region, R1_EachLimitHasItsOwnMessage) {
  const RegionOptions options;
  const auto text = [&](const AddressSpaceLimits& limits) {
    return std::string(MakeAddressSpaceError(options, limits, ENOMEM).Message());
  };
  EXPECT_NE(text({.addressSpaceBytes = 4_GiB}).find("RLIMIT_AS is 4.0 GiB"), std::string::npos);
  EXPECT_NE(text({.overcommitPolicy = 2}).find("vm.overcommit_memory is 2; set it to 0 or 1"),
            std::string::npos);
  EXPECT_NE(text({.underValgrind = true}).find("48 GiB or less under valgrind"), std::string::npos);
  EXPECT_NE(text({}).find("no limit of this process explains it"), std::string::npos);
}

TEST(Region, R2_SegmentsAreNamedInTheMaps) {
  auto region = Region::Reserve({.name = "maps-test", .sizeBytes = 1_GiB});
  ASSERT_TRUE(region);
  for (const char* const name : {"Setup", "CompileA", "Driver"}) {
    Segment* const segment = *region->AddSegment({.name = name, .sizeBytes = 1_MiB});
    ASSERT_TRUE(segment->Commit(64_KiB));
    ASSERT_NE(segment->NameMethod(), MappingNameMethod::None);
    const std::string wanted = std::string("maps-test:") + name;
    bool found = false;
    for (const auto& mapping : ReadMappings()) {
      if (mapping.name.find(wanted) == std::string::npos) continue;
      found = true;
      if (segment->NameMethod() == MappingNameMethod::GuardMemfd) {
        EXPECT_EQ(mapping.end, AddressOf(segment->Base())) << "the name stands right before the segment";
        EXPECT_EQ(mapping.access, "---p");
      } else {
        EXPECT_LE(AddressOf(segment->Base()), mapping.begin);
      }
    }
    EXPECT_TRUE(found) << wanted;
  }
}

TEST(Region, R2_SegmentsAreApartAlignedAndFound) {
  auto reserved = Region::Reserve({.sizeBytes = 1_GiB, .guardBytes = 32_KiB});
  ASSERT_TRUE(reserved);
  Region region = std::move(reserved).Value();
  Segment* const setup = *region.AddSegment({.name = "Setup", .sizeBytes = 100'000});
  Segment* const fallback =
      *region.AddSegment({.name = "Fallback", .sizeBytes = 64_MiB, .alignmentBytes = 64_MiB});
  EXPECT_EQ(setup->ReservedBytes() % PageSize(), 0u);
  EXPECT_GE(setup->ReservedBytes(), 100'000u);
  EXPECT_EQ(AddressOf(fallback->Base()) % 64_MiB, 0u);
  EXPECT_GE(fallback->Base(), setup->Base() + setup->ReservedBytes() + 32_KiB);
  EXPECT_EQ(region.Find("Setup"), setup);
  EXPECT_EQ(region.Find("setup"), nullptr);
  EXPECT_EQ(region.SegmentOf(setup->Base() + 99'999), setup);
  EXPECT_EQ(region.SegmentOf(setup->Base() - 1), nullptr) << "a guard belongs to nobody";
  EXPECT_EQ(region.SegmentOf(setup->Base() + setup->ReservedBytes()), nullptr);
  EXPECT_EQ(region.Segments().size(), 2u);

  Region moved = std::move(region);
  EXPECT_EQ(moved.Find("Fallback"), fallback) << "records do not move with the region";
  EXPECT_TRUE(region.Segments().empty());  // NOLINT(bugprone-use-after-move): that is what is tested
}

TEST(Region, R3_CommitPrefaultsThePrefix) {
  auto region = Region::Reserve({.sizeBytes = 1_GiB});
  ASSERT_TRUE(region);
  Segment* const segment = *region->AddSegment({.name = "Frame0", .sizeBytes = 8_MiB});
  EXPECT_EQ(segment->CommittedBytes(), 0u);
  ASSERT_TRUE(segment->Commit(1_MiB));
  ASSERT_TRUE(segment->Commit(4_MiB));
  EXPECT_EQ(segment->CommittedBytes(), 4_MiB);
  EXPECT_EQ(FaultsOfTouching(segment->Base(), 4_MiB, PageSize()), 0);
  ASSERT_TRUE(segment->Commit(1_MiB)) << "less than there is: nothing to do";
  EXPECT_EQ(segment->CommittedBytes(), 4_MiB);

  ASSERT_TRUE(segment->Decommit());
  EXPECT_EQ(segment->CommittedBytes(), 0u);
  ASSERT_TRUE(segment->CommitAll());
  EXPECT_EQ(FaultsOfTouching(segment->Base(), 8_MiB, PageSize()), 0);
}

// A page shared after fork() would fault once more at the parent's next write, inside a frame.
TEST(Region, R3_AForkElsewhereCausesNoFaultsHere) {
  auto region = Region::Reserve({.sizeBytes = 1_GiB});
  ASSERT_TRUE(region);
  Segment* const segment = *region->AddSegment({.name = "Frame0", .sizeBytes = 4_MiB});
  ASSERT_TRUE(segment->CommitAll());
  TouchEveryPage(segment->Base(), 4_MiB, PageSize());
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    pause();
    _exit(0);
  }
  // The child lives on: its copy, if it had one, would still share the pages.
  const long faults = FaultsOfTouching(segment->Base(), 4_MiB, PageSize());
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_LT(faults, 8) << "1024 pages were written";
}

TEST(Region, ArenasOverASegment) {
  auto region = Region::Reserve({.sizeBytes = 1_GiB});
  ASSERT_TRUE(region);
  Segment* const segment = *region->AddSegment({.name = "Setup", .sizeBytes = 1_MiB});
  ASSERT_TRUE(segment->Commit(128_KiB));
  Arena whole = segment->MakeArena();
  EXPECT_EQ(whole.CapacityBytes(), 128_KiB);
  EXPECT_STREQ(whole.Name(), "Setup");
  std::memset(whole.Allocate(128_KiB), 1, 128_KiB);
  whole = Arena();
  Arena part = segment->MakeArena({.name = "second half"}, 64_KiB, 64_KiB);
  EXPECT_EQ(part.Base(), segment->Base() + 64_KiB);
}

TEST(Region, EveryRefusalSaysWhy) {
  const auto expect = [](const Result<Segment*>& result, ErrorCode code, const char* text) {
    ASSERT_FALSE(result);
    EXPECT_EQ(result.GetError().Code(), code) << result.GetError().Message();
    EXPECT_NE(std::strstr(result.GetError().Message(), text), nullptr) << result.GetError().Message();
  };
  auto region = Region::Reserve({.sizeBytes = 16_MiB, .segmentsMax = 2});
  ASSERT_TRUE(region);
  expect(region->AddSegment({.name = "", .sizeBytes = 4096}), ErrorCode::InvalidArgument,
         "name '' is not usable");
  expect(region->AddSegment({.name = "a b", .sizeBytes = 4096}), ErrorCode::InvalidArgument,
         "without blanks");
  expect(region->AddSegment({.name = "x", .sizeBytes = 0}), ErrorCode::InvalidArgument, "above 0");
  expect(region->AddSegment({.name = "x", .sizeBytes = 4096, .alignmentBytes = 12'288}),
         ErrorCode::InvalidArgument, "power of two");
  expect(region->AddSegment({.name = "x", .sizeBytes = 1_GiB}), ErrorCode::CapacityExceeded, "asked 1.0 GiB");
  expect(region->AddSegment({.name = "x", .sizeBytes = SIZE_MAX}), ErrorCode::CapacityExceeded,
         "raise region.sizeBytes");
  expect(region->AddSegment({.name = "x", .sizeBytes = 4096, .alignmentBytes = std::size_t{1} << 63}),
         ErrorCode::CapacityExceeded, "raise region.sizeBytes");
  ASSERT_TRUE(region->AddSegment({.name = "Setup", .sizeBytes = 1_MiB}));
  expect(region->AddSegment({.name = "Setup", .sizeBytes = 4096}), ErrorCode::InvalidArgument,
         "exists already");
  ASSERT_TRUE(region->AddSegment({.name = "Frame0", .sizeBytes = 1_MiB}));
  expect(region->AddSegment({.name = "Frame1", .sizeBytes = 4096}), ErrorCode::CapacityExceeded,
         "raise segmentsMax");
  region->Seal();
  EXPECT_TRUE(region->IsSealed());
  expect(region->AddSegment({.name = "Late", .sizeBytes = 4096}), ErrorCode::WrongPhase, "is sealed");

  Segment* const setup = region->Find("Setup");
  const auto tooMuch = setup->Commit(1_MiB + 1);
  ASSERT_FALSE(tooMuch);
  EXPECT_EQ(tooMuch.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_NE(std::strstr(tooMuch.GetError().Message(), "segment 'Setup': asked to commit"), nullptr);
  EXPECT_FALSE(setup->Commit(SIZE_MAX));

  EXPECT_EQ(Region::Reserve({.name = nullptr}).GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(Region::Reserve({.sizeBytes = 0}).GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(Region::Reserve({.sizeBytes = 64_KiB}).GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(Region::Reserve({.segmentsMax = 0}).GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(Region::Reserve({.guardBytes = SIZE_MAX}).GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(Region::Reserve({.sizeBytes = SIZE_MAX, .retryBytes = 0}).GetError().Code(),
            ErrorCode::AddressSpace);
}

TEST(Region, TheWholeRegionCanBeUsedUpToItsLastGuard) {
  auto region = Region::Reserve({.sizeBytes = 16_MiB, .guardBytes = 4096, .segmentsMax = 4});
  ASSERT_TRUE(region);
  ASSERT_TRUE(region->AddSegment({.name = "a", .sizeBytes = 8_MiB}));
  Segment* const last = *region->AddSegment({.name = "b", .sizeBytes = 8_MiB - 5 * PageSize()});
  EXPECT_EQ(last->Base() + last->ReservedBytes() + 4096, region->Base() + region->ReservedBytes());
  EXPECT_FALSE(region->AddSegment({.name = "c", .sizeBytes = 4096}));
}

class RegionDeathTest : public ::testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    auto region = Region::Reserve({.sizeBytes = 1_GiB});
    region_.emplace(std::move(region).Value());
    first_ = *region_->AddSegment({.name = "first", .sizeBytes = 64_KiB});
    second_ = *region_->AddSegment({.name = "second", .sizeBytes = 64_KiB});
    ASSERT_TRUE(first_->CommitAll());
    ASSERT_TRUE(second_->CommitAll());
  }
  // A fault ends an ordinary build by SIGSEGV; a sanitizer's report ends it by its own exit.
  static bool EndedByFault(int status) {
    return STADIAL_TEST_SANITIZED ? status != 0 : WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
  }
  std::optional<Region> region_;
  Segment* first_ = nullptr;
  Segment* second_ = nullptr;
};

TEST_F(RegionDeathTest, R2_GuardsFaultOnBothSidesOfASegment) {
  std::byte* const end = first_->Base() + first_->ReservedBytes();
  EXPECT_EXIT(TouchEveryPage(end, 1, 1), EndedByFault, "");
  EXPECT_EXIT(TouchEveryPage(end + region_->GuardBytes() - 1, 1, 1), EndedByFault, "");
  EXPECT_EXIT(TouchEveryPage(first_->Base() - 1, 1, 1), EndedByFault, "");
  EXPECT_EXIT(TouchEveryPage(second_->Base() - 1, 1, 1), EndedByFault, "");
  EXPECT_EXIT(TouchEveryPage(second_->Base() + second_->ReservedBytes(), 1, 1), EndedByFault, "");
  TouchEveryPage(end - 1, 1, 1);  // the last byte itself is fine
}

TEST_F(RegionDeathTest, ASealedPlanIsReadOnlyInHardware) {
  first_->Base()[5] = std::byte{9};
  ASSERT_TRUE(first_->Protect(PageAccess::ReadOnly));
  EXPECT_EQ(first_->Base()[5], std::byte{9});
  EXPECT_EXIT(TouchEveryPage(first_->Base(), 1, 1), EndedByFault, "");
  ASSERT_TRUE(first_->Protect(PageAccess::ReadWrite));
  first_->Base()[5] = std::byte{10};
}

TEST_F(RegionDeathTest, DecommittedMemoryFaults) {
  ASSERT_TRUE(first_->Decommit());
  EXPECT_EXIT(TouchEveryPage(first_->Base(), 1, 1), EndedByFault, "");
}

TEST_F(RegionDeathTest, AnArenaOverUncommittedBytesIsRefused) {
  EXPECT_DEATH((void)first_->MakeArena({.name = "x"}, 0, 128_KiB), "commit the segment before its arena");
}

}  // namespace
}  // namespace stadial::arenas
