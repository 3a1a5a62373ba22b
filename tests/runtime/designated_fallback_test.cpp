#include "stadial/runtime/designated_fallback.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "stadial/arenas/region.h"
#include "stadial/runtime/kernel_witness.h"
#include "test_support.h"

namespace stadial::runtime::testing {
namespace {

using arenas::FallbackHeap;
using namespace arenas::literals;

// A region with one segment, a heap over it, and a registry.
class DesignatedFallback : public ::testing::Test {
 protected:
  void SetUp() override {
    auto region =
        arenas::Region::Reserve({.name = "fallback_test", .sizeBytes = 1_GiB, .retryBytes = 512_MiB});
    ASSERT_TRUE(region) << region.GetError().Message();
    region_.emplace(std::move(region).Value());
    auto segment = region_->AddSegment(
        {.name = "fallback", .sizeBytes = 64_MiB, .alignmentBytes = FallbackHeap::kSegmentAlignmentBytes});
    ASSERT_TRUE(segment) << segment.GetError().Message();
    ASSERT_TRUE(segment.Value()->CommitAll());
    auto heap = FallbackHeap::Create("test", *segment.Value(), 64_MiB, setup_.Get());
    ASSERT_TRUE(heap) << heap.GetError().Message();
    heap_ = heap.Value();
    auto registry = FallbackRegistry::Create(*heap_, 3, setup_.Get());
    ASSERT_TRUE(registry) << registry.GetError().Message();
    registry_ = registry.Value();
  }
  void TearDown() override {
    if (heap_ != nullptr) {
      EXPECT_EQ(heap_->Close(), 0u) << "blocks leaked";
    }
  }

  FallbackSite& Site(const char* name, std::size_t budgetBytes, std::uint32_t countPerFrameMax = 0) {
    auto site = registry_->Register(name, "test", budgetBytes, countPerFrameMax);
    EXPECT_TRUE(site) << site.GetError().Message();
    return *site.Value();
  }

  TestArena setup_{1_MiB};
  std::optional<arenas::Region> region_;
  FallbackHeap* heap_ = nullptr;
  FallbackRegistry* registry_ = nullptr;
};

TEST_F(DesignatedFallback, R6_ServesAlignedMemoryFromTheSegmentAndCounts) {
  FallbackSite& site = Site("events", 1_MiB);
  std::vector<void*> blocks;
  std::uint64_t bytes = 0;
  for (std::size_t alignment = 1; alignment <= 65536; alignment *= 4) {
    void* const block = site.TryAllocate(100 + alignment, alignment);
    ASSERT_NE(block, nullptr) << alignment;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % std::max<std::size_t>(alignment, 16), 0u);
    EXPECT_TRUE(heap_->Contains(block));
    std::memset(block, 0x11, 100 + alignment);
    blocks.push_back(block);
    bytes += 100 + alignment;
  }
  EXPECT_EQ(site.Stats().allocations, blocks.size());
  EXPECT_EQ(site.Stats().bytes, bytes);
  EXPECT_EQ(heap_->LiveBlocks(), blocks.size());
  for (void* const block : blocks) site.Free(block);
  site.Free(nullptr);
  EXPECT_EQ(site.Stats().bytes, 0u);
  EXPECT_EQ(site.Stats().frees, blocks.size());
  EXPECT_EQ(site.Stats().peakBytes, bytes);
  EXPECT_EQ(heap_->LiveBlocks(), 0u);
}

TEST_F(DesignatedFallback, R6_TheBudgetBoundsASite) {
  FallbackSite& site = Site("small", 1000);
  void* const first = site.TryAllocate(600);
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(site.TryAllocate(401), nullptr);
  EXPECT_EQ(site.TryAllocate(SIZE_MAX), nullptr);
  void* const second = site.TryAllocate(400);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(site.TryAllocate(0), nullptr) << "0 is served as 1";
  site.Free(first);
  void* const third = site.TryAllocate(0);
  EXPECT_NE(third, nullptr);
  EXPECT_EQ(site.Stats().refusedByBudget, 3u);
  EXPECT_EQ(site.Stats().refused, 3u);
  EXPECT_EQ(site.Stats().peakBytes, 1000u);
  site.Free(second);
  site.Free(third);
}

TEST_F(DesignatedFallback, R6_TheAllowancePerFrameIsRenewedByBeginFrame) {
  FallbackSite& site = Site("bursts", 1_MiB, 2);
  std::vector<void*> blocks;
  for (int frame = 0; frame < 3; ++frame) {
    registry_->BeginFrame();
    blocks.push_back(site.TryAllocate(16));
    blocks.push_back(site.TryAllocate(16));
    EXPECT_EQ(site.TryAllocate(16), nullptr);
    EXPECT_EQ(site.Stats().allocationsThisFrame, 2u);
  }
  EXPECT_EQ(site.Stats().refusedByFrame, 3u);
  EXPECT_EQ(site.Stats().allocationsInWorstFrame, 2u);
  EXPECT_EQ(site.Stats().allocations, 6u);
  for (void* const block : blocks) site.Free(block);
}

TEST_F(DesignatedFallback, R6_OtherThreadsMayFreeButNotTake) {
  FallbackSite& site = Site("threads", 1_MiB);
  void* const block = site.TryAllocate(64);
  std::thread([&] {
    EXPECT_EQ(site.TryAllocate(64), nullptr);
    site.Free(block);
  }).join();
  EXPECT_EQ(site.Stats().refusedByThread, 1u);
  EXPECT_EQ(site.Stats().bytes, 0u);
}

TEST_F(DesignatedFallback, R6_ServesInsideATrappingFrameWithoutTheKernel) {
  STADIAL_ASSERT_ARMED();
  FallbackSite& site = Site("frame", 8_MiB);
  auto witness = VmSyscallWitness::Install();
  const CountedScope counted;
  const auto work = [&] {
    const GateScope frame(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "frame");
    if (witness) witness.Value().Enter();
    void* blocks[64];
    std::size_t served = 0;
    for (std::size_t index = 0; index < 64; ++index) {
      blocks[index] = site.TryAllocate(16 + 700 * index, index % 2 == 0 ? 16 : 64);
      served += blocks[index] != nullptr ? 1 : 0;
    }
    for (void* const block : blocks) site.Free(block);
    if (witness) witness.Value().Leave();
    return served;
  };
  EXPECT_EQ(work(), 64u);
  EXPECT_EQ(counted.Allocations(), 0u);
  if (witness) {
    EXPECT_EQ(witness.Value().Counts().Vm(), 0u);
  }
}

TEST_F(DesignatedFallback, R6_RegistrationFaultsAreErrors) {
  Site("one", 100);
  EXPECT_EQ(registry_->Register("one", "other", 100, 0).GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(registry_->Register("", "test", 100, 0).GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(registry_->Register("no owner", "", 100, 0).GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_EQ(registry_->Register("no budget", "test", 0, 0).GetError().Code(), ErrorCode::InvalidArgument);
  Site("two", 100);
  Site("three", 100);
  const auto full = registry_->Register("four", "test", 100, 0);
  EXPECT_EQ(full.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_NE(std::string(full.GetError().Message()).find("3 of 3 sites"), std::string::npos)
      << full.GetError().Message();
  registry_->Seal();
  const auto late = registry_->Register("five", "test", 100, 0);
  EXPECT_EQ(late.GetError().Code(), ErrorCode::WrongPhase);
  EXPECT_EQ(registry_->Sites().size(), 3u);
  EXPECT_EQ(registry_->Find("two"), &registry_->Sites()[1]);
  EXPECT_EQ(registry_->Find("four"), nullptr);
}

TEST_F(DesignatedFallback, R6_ASmallArenaIsAnErrorNotACrash) {
  TestArena tiny(64);
  const auto registry = FallbackRegistry::Create(*heap_, 8, tiny.Get());
  ASSERT_FALSE(registry);
  EXPECT_EQ(registry.GetError().Code(), ErrorCode::CapacityExceeded);
}

TEST(FallbackSiteAlone, R6_AnUnregisteredSiteRefuses) {
  FallbackSite site("stray", "test", 1000, 0);
  EXPECT_EQ(site.TryAllocate(10), nullptr);
  EXPECT_EQ(site.Stats().refused, 1u);
}

// Random takes and returns on three sites against a ledger of our own.
TEST_F(DesignatedFallback, R6_RandomProgramsKeepTheLedger) {
  const std::uint64_t seed = TestSeed(20240607);
  Random random(seed);
  FallbackSite* const sites[] = {&Site("a", 200000), &Site("b", 50000), &Site("c", 5000)};
  struct Live {
    void* block;
    std::size_t bytes;
    unsigned char fill;
  };
  std::vector<Live> live[3];
  std::uint64_t bytes[3] = {};
  std::uint64_t refused[3] = {};
  for (std::uint64_t step = 0; step < Repetitions(200000); ++step) {
    const std::size_t which = random.Below(3);
    if (random.Below(2) == 0 || live[which].empty()) {
      const std::size_t size = 1 + random.Below(3000);
      void* const block = sites[which]->TryAllocate(size, std::size_t{1} << random.Below(8));
      if (bytes[which] + size > sites[which]->BudgetBytes()) {
        ASSERT_EQ(block, nullptr);
        ++refused[which];
        continue;
      }
      ASSERT_NE(block, nullptr) << "step " << step;
      const auto fill = static_cast<unsigned char>(step);
      std::memset(block, fill, size);
      live[which].push_back({block, size, fill});
      bytes[which] += size;
    } else {
      const std::size_t at = random.Below(live[which].size());
      const Live taken = live[which][at];
      live[which][at] = live[which].back();
      live[which].pop_back();
      ASSERT_EQ(static_cast<unsigned char*>(taken.block)[0], taken.fill);
      ASSERT_EQ(static_cast<unsigned char*>(taken.block)[taken.bytes - 1], taken.fill);
      sites[which]->Free(taken.block);
      bytes[which] -= taken.bytes;
    }
    ASSERT_EQ(sites[which]->Stats().bytes, bytes[which]) << "step " << step;
  }
  std::size_t blocks = 0;
  for (std::size_t which = 0; which < 3; ++which) {
    EXPECT_EQ(sites[which]->Stats().refusedByBudget, refused[which]);
    blocks += live[which].size();
  }
  EXPECT_GT(refused[2], 0u) << "the smallest budget was never reached: the program tests nothing";
  EXPECT_EQ(heap_->LiveBlocks(), blocks);
  for (std::size_t which = 0; which < 3; ++which) {
    for (const Live& block : live[which]) sites[which]->Free(block.block);
  }
}

class DesignatedFallbackDeathTest : public DesignatedFallback {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    DesignatedFallback::SetUp();
  }
};

TEST_F(DesignatedFallbackDeathTest, R6_WrongFreesAreAssertions) {
  FallbackSite& one = Site("one", 1000);
  FallbackSite& two = Site("two", 1000);
  void* const block = one.TryAllocate(32);
  EXPECT_DEATH(two.Free(block), "belongs to another fallback site");
  int local = 0;
  EXPECT_DEATH(one.Free(&local), "does not lie in the Fallback segment");
  EXPECT_DEATH(
      {
        one.Free(block);
        one.Free(block);
      },
      "assertion failed");
  one.Free(block);
}

}  // namespace
}  // namespace stadial::runtime::testing
