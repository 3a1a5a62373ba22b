#include "stadial/arenas/virtual_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <csignal>
#include <cstring>
#include <string>

#include "stadial/arenas/size_literals.h"
#include "support/system_probe.h"

namespace stadial::arenas {
namespace {

using testing::FaultsOfTouching;
using testing::TouchEveryPage;

TEST(VirtualMemory, ReservesAtTheAlignmentAsked) {
  for (const std::size_t alignment : {PageSize(), 2_MiB, 64_MiB, 1_GiB}) {
    auto reserved = ReserveAddressSpace(3 * PageSize(), alignment);
    ASSERT_TRUE(reserved) << reserved.GetError().Message();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(*reserved) % alignment, 0u);
    ReleaseAddressSpace(*reserved, 3 * PageSize());
  }
}

TEST(VirtualMemory, AnImpossibleReservationIsAnErrorWithNumbers) {
  const auto reserved = ReserveAddressSpace(std::size_t{1} << 52, PageSize());
  ASSERT_FALSE(reserved);
  EXPECT_EQ(reserved.GetError().Code(), ErrorCode::AddressSpace);
  EXPECT_NE(std::strstr(reserved.GetError().Message(), "mmap of 4.0 PiB of address space failed: "), nullptr)
      << reserved.GetError().Message();
}

// The control in the same test: the same pages, not committed by us, do fault.
TEST(VirtualMemory, R3_CommittedPagesDoNotFault) {
  constexpr std::size_t kPages = 512;
  const std::size_t bytes = kPages * PageSize();
  std::byte* const base = *ReserveAddressSpace(bytes, PageSize());
  ASSERT_TRUE(CommitPages(base, bytes));
  const long committed = FaultsOfTouching(base, bytes, PageSize());
  ReleaseAddressSpace(base, bytes);

  void* const lazy = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(lazy, MAP_FAILED);
  madvise(lazy, bytes, MADV_NOHUGEPAGE);
  const long uncommitted = FaultsOfTouching(static_cast<std::byte*>(lazy), bytes, PageSize());
  munmap(lazy, bytes);

  EXPECT_EQ(committed, 0);
  EXPECT_GE(uncommitted, static_cast<long>(kPages)) << "the fault counter sees nothing, so 0 proves nothing";
}

TEST(VirtualMemory, CommittingAgainKeepsTheContents) {
  const std::size_t bytes = 4 * PageSize();
  std::byte* const base = *ReserveAddressSpace(bytes, PageSize());
  ASSERT_TRUE(CommitPages(base, bytes));
  std::memset(base, 0x5a, bytes);
  ASSERT_TRUE(CommitPages(base, bytes));
  EXPECT_EQ(base[bytes - 1], std::byte{0x5a});
  ASSERT_TRUE(DecommitPages(base, bytes));
  ASSERT_TRUE(CommitPages(base, bytes));
  EXPECT_EQ(base[bytes - 1], std::byte{0}) << "decommitting gave the storage back";
  ReleaseAddressSpace(base, bytes);
}

TEST(VirtualMemory, R2_TheMemfdGuardCarriesTheNameAndStaysInaccessible) {
  const std::size_t guard = 2 * PageSize();
  std::byte* const base = *ReserveAddressSpace(guard + PageSize(), PageSize());
  ASSERT_TRUE(CommitPages(base + guard, PageSize()));
  ASSERT_EQ(NameGuardByMemfd("stadial:vm-test", base, guard), MappingNameMethod::GuardMemfd);
  bool found = false;
  for (const auto& mapping : testing::ReadMappings()) {
    if (mapping.begin != reinterpret_cast<std::uintptr_t>(base)) continue;
    found = true;
    EXPECT_EQ(mapping.end, mapping.begin + guard);
    EXPECT_EQ(mapping.access, "---p");
    EXPECT_EQ(mapping.name, "/memfd:stadial:vm-test (deleted)");
  }
  EXPECT_TRUE(found);
  ReleaseAddressSpace(base, guard + PageSize());
}

TEST(VirtualMemory, R2_NameMappingSaysTruthfullyHow) {
  const std::size_t guard = PageSize();
  std::byte* const base = *ReserveAddressSpace(guard + 2 * PageSize(), PageSize());
  const auto method = NameMapping("stadial:how", base, guard, base + guard, 2 * PageSize());
  std::string expected;
  unsigned long where = 0;
  if (method == MappingNameMethod::AnonymousVma) {
    expected = "[anon:stadial:how]";
    where = reinterpret_cast<std::uintptr_t>(base + guard);
  } else {
    ASSERT_EQ(method, MappingNameMethod::GuardMemfd);
    expected = "/memfd:stadial:how (deleted)";
    where = reinterpret_cast<std::uintptr_t>(base);
  }
  bool found = false;
  for (const auto& mapping : testing::ReadMappings())
    found |= mapping.begin == where && mapping.name == expected;
  EXPECT_TRUE(found) << ToString(method);
  ReleaseAddressSpace(base, guard + 2 * PageSize());
}

TEST(VirtualMemory, LimitsAreRead) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_DATA, &before), 0);
  rlimit lowered = before;
  lowered.rlim_cur = std::size_t{1} << 40;
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &lowered), 0);
  EXPECT_EQ(ReadAddressSpaceLimits().dataBytes, std::uint64_t{1} << 40);
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &before), 0);
  EXPECT_GE(ReadAddressSpaceLimits().overcommitPolicy, 0);
}

// RLIMIT_DATA counts private writable memory, which is what committing makes.
TEST(VirtualMemory, ARefusedCommitNamesTheLimit) {
  std::byte* const base = *ReserveAddressSpace(64_MiB, PageSize());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_DATA, &before), 0);
  rlimit lowered = before;
  lowered.rlim_cur = 16_MiB;
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &lowered), 0);
  const auto committed = CommitPages(base, 64_MiB);
  ASSERT_EQ(setrlimit(RLIMIT_DATA, &before), 0);
  ASSERT_FALSE(committed);
  EXPECT_EQ(committed.GetError().Code(), ErrorCode::OutOfMemory);
  const std::string message = committed.GetError().Message();
  EXPECT_NE(message.find("committing 64.0 MiB failed in mprotect"), std::string::npos) << message;
  EXPECT_NE(message.find("RLIMIT_DATA is 16.0 MiB; raise it with 'ulimit -d unlimited'"), std::string::npos)
      << message;
  ReleaseAddressSpace(base, 64_MiB);
}

class VirtualMemoryDeathTest : public ::testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(VirtualMemoryDeathTest, ReservedMemoryIsInaccessible) {
  std::byte* const base = *ReserveAddressSpace(PageSize(), PageSize());
  EXPECT_DEATH(TouchEveryPage(base, 1, 1), "");
  ReleaseAddressSpace(base, PageSize());
}

TEST_F(VirtualMemoryDeathTest, ReadOnlyPagesCanBeReadAndNotWritten) {
  std::byte* const base = *ReserveAddressSpace(PageSize(), PageSize());
  ASSERT_TRUE(CommitPages(base, PageSize()));
  base[0] = std::byte{7};
  ASSERT_TRUE(ProtectPages(base, PageSize(), PageAccess::ReadOnly));
  EXPECT_EQ(base[0], std::byte{7});
  EXPECT_DEATH(TouchEveryPage(base, 1, 1), "");
  ASSERT_TRUE(ProtectPages(base, PageSize(), PageAccess::ReadWrite));
  base[0] = std::byte{8};
  ReleaseAddressSpace(base, PageSize());
}

#if STADIAL_ASSERT_LEVEL >= 1
TEST_F(VirtualMemoryDeathTest, OddSizesAreProgrammingErrors) {
  EXPECT_DEATH((void)ReserveAddressSpace(PageSize() + 1, PageSize()), "multiple of a page");
  EXPECT_DEATH((void)ReserveAddressSpace(PageSize(), 3 * PageSize()), "power of two");
}
#endif

#if !STADIAL_TEST_SANITIZED
TEST_F(VirtualMemoryDeathTest, TheFilterThatOtherTestsRelyOnDoesKill) {
  EXPECT_EXIT(
      {
        if (!testing::ForbidVmSystemCalls()) _exit(3);
        mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        _exit(0);
      },
      ::testing::KilledBySignal(SIGSYS), "");
}
#endif

}  // namespace
}  // namespace stadial::arenas
