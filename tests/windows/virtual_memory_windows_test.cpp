// The platform seam on Windows, and a region on top of it. What the system holds is asked of the system
// itself.
#include <gtest/gtest.h>
#include <windows.h>

#include <cstring>

#include "stadial/arenas/region.h"
#include "stadial/arenas/size_literals.h"
#include "stadial/arenas/virtual_memory.h"

namespace stadial::arenas {
namespace {

MEMORY_BASIC_INFORMATION StateOf(const void* address) {
  MEMORY_BASIC_INFORMATION state{};
  EXPECT_EQ(VirtualQuery(address, &state, sizeof state), sizeof state);
  return state;
}

TEST(VirtualMemoryWindows, ReservesAtTheAlignmentAsked) {
  for (const std::size_t alignment : {PageSize(), 64_KiB, 2_MiB, 64_MiB}) {
    auto reserved = ReserveAddressSpace(3 * PageSize(), alignment);
    ASSERT_TRUE(reserved) << reserved.GetError().Message();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(*reserved) % alignment, 0u);
    EXPECT_EQ(StateOf(*reserved).State, static_cast<DWORD>(MEM_RESERVE));
    ReleaseAddressSpace(*reserved, 3 * PageSize());
    EXPECT_EQ(StateOf(*reserved).State, static_cast<DWORD>(MEM_FREE));
  }
}

TEST(VirtualMemoryWindows, AnImpossibleReservationIsAnErrorWithNumbers) {
  const auto reserved = ReserveAddressSpace(std::size_t{1} << 52, PageSize());
  ASSERT_FALSE(reserved);
  EXPECT_EQ(reserved.GetError().Code(), ErrorCode::AddressSpace);
  EXPECT_NE(std::strstr(reserved.GetError().Message(), "VirtualAlloc of 4.0 PiB of address space failed: "),
            nullptr)
      << reserved.GetError().Message();
}

TEST(VirtualMemoryWindows, CommitProtectAndDecommit) {
  const std::size_t bytes = 4 * PageSize();
  std::byte* const base = *ReserveAddressSpace(bytes, PageSize());
  ASSERT_TRUE(CommitPages(base, bytes));
  EXPECT_EQ(StateOf(base).State, static_cast<DWORD>(MEM_COMMIT));
  EXPECT_EQ(base[bytes - 1], std::byte{0});
  std::memset(base, 0x5a, bytes);
  ASSERT_TRUE(ProtectPages(base, PageSize(), PageAccess::ReadOnly));
  EXPECT_EQ(StateOf(base).Protect, static_cast<DWORD>(PAGE_READONLY));
  ASSERT_TRUE(ProtectPages(base, bytes, PageAccess::None));
  EXPECT_EQ(StateOf(base + PageSize()).Protect, static_cast<DWORD>(PAGE_NOACCESS));
  ASSERT_TRUE(CommitPages(base, bytes)) << "opens them again";
  EXPECT_EQ(StateOf(base).Protect, static_cast<DWORD>(PAGE_READWRITE));
  EXPECT_EQ(base[bytes - 1], std::byte{0x5a}) << "contents stay";
  ASSERT_TRUE(DecommitPages(base + PageSize(), bytes - PageSize()));
  EXPECT_EQ(StateOf(base).State, static_cast<DWORD>(MEM_COMMIT));
  EXPECT_EQ(StateOf(base + PageSize()).State, static_cast<DWORD>(MEM_RESERVE));
  EXPECT_FALSE(ProtectPages(base, bytes, PageAccess::ReadOnly)) << "not all of it is committed";
  ASSERT_TRUE(CommitPages(base, bytes));
  EXPECT_EQ(base[bytes - 1], std::byte{0});
  ReleaseAddressSpace(base, bytes);
}

TEST(RegionWindows, SegmentsCommitShrinkAndKeepTheirGuards) {
  auto region = Region::Reserve({.sizeBytes = 1_GiB});
  ASSERT_TRUE(region) << region.GetError().Message();
  Segment* const segment = *region->AddSegment({.name = "frame0", .sizeBytes = 8_MiB});
  EXPECT_EQ(segment->NameMethod(), MappingNameMethod::None);
  ASSERT_TRUE(segment->Commit(4_MiB));
  EXPECT_EQ(StateOf(segment->Base()).RegionSize, 4_MiB);
  EXPECT_EQ(StateOf(segment->Base() - 1).State, static_cast<DWORD>(MEM_RESERVE)) << "the guard";
  const SegmentPin pin = segment->Pin(0, 1_MiB, "device").Value();
  EXPECT_FALSE(segment->Decommit());
  ASSERT_TRUE(segment->Decommit({.keepBytes = 1_MiB}));
  EXPECT_EQ(StateOf(segment->Base() + 1_MiB).State, static_cast<DWORD>(MEM_RESERVE));
  segment->Unpin(pin);
  ASSERT_TRUE(segment->Protect(PageAccess::ReadOnly));
  EXPECT_EQ(StateOf(segment->Base()).Protect, static_cast<DWORD>(PAGE_READONLY));
  ASSERT_TRUE(segment->Decommit());
  EXPECT_EQ(segment->CommittedBytes(), 0u);
}

TEST(RegionWindows, ArenasGrowOverASegment) {
  auto region = Region::Reserve({.sizeBytes = 1_GiB});
  ASSERT_TRUE(region);
  Segment* const segment = *region->AddSegment({.name = "setup", .sizeBytes = 8_MiB});
  Arena arena = segment->MakeGrowingArena({.name = "setup"}, {.stepBytes = 64_KiB});
  for (int i = 0; i < 100; ++i) std::memset(arena.AllocateZeroed(10'000), 1, 10'000);
  EXPECT_EQ(arena.CapacityBytes(), 1_MiB);
  EXPECT_EQ(StateOf(segment->Base()).RegionSize, 1_MiB);
  EXPECT_EQ(arena.TryAllocate(8_MiB), nullptr);
}

TEST(RegionWindows, HugePagesAreRefusedAndSaidSo) {
  auto region = Region::Reserve({.sizeBytes = 1_GiB});
  ASSERT_TRUE(region);
  Segment* const segment =
      *region->AddSegment({.name = "huge", .sizeBytes = 4_MiB, .hugePages = HugePages::Advise});
  EXPECT_TRUE(segment->Stats().isHugePagesRefused);
  const auto given = segment->CalculateHugeBytes();
  ASSERT_FALSE(given);
  EXPECT_EQ(given.GetError().Code(), ErrorCode::NotSupported);
}

}  // namespace
}  // namespace stadial::arenas
