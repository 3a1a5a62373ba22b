#include "stadial/runtime/designated_fallback.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "gate/gate_forms.h"
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
    if (registry_ != nullptr) registry_->Close();
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

// malloc and new of a scope come from its site.
class FallbackScopes : public DesignatedFallback {
 protected:
  void SetUp() override {
    STADIAL_ASSERT_ARMED();
    if (!GateCanDeny()) GTEST_SKIP() << "a sanitizer's hook cannot choose where memory comes from";
    DesignatedFallback::SetUp();
  }
};

TEST_F(FallbackScopes, R6_EveryFormIsServedBySiteAndNotByTheGate) {
  FallbackSite& site = Site("library", 1_MiB);
  const GateThreadCounters before = CurrentThreadCounters();
  std::uint64_t forms = 0;
  for (const AllocateForm& form : kAllocateForms) {
    const GateScope frame(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "frame");
    const FallbackScope scope(site);
    void* const block = Escape(form.allocate());
    ++forms;
    EXPECT_TRUE(heap_->Contains(block)) << form.name;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % form.alignment, 0u) << form.name;
    EXPECT_EQ(::malloc_usable_size(block), form.bytes) << form.name;
    std::memset(block, 0x5A, form.bytes);
    form.release(block);
  }
  EXPECT_EQ(CurrentThreadCounters().allocations, before.allocations);
  EXPECT_EQ(CurrentThreadCounters().frees, before.frees);
  EXPECT_EQ(site.Stats().allocations, forms);
  EXPECT_EQ(site.Stats().frees, forms);
  EXPECT_EQ(site.Stats().bytes, 0u);
}

TEST_F(FallbackScopes, R6_BeyondEitherBudgetThePolicyDecides) {
  FallbackSite& site = Site("library", 1000, 3);
  void* blocks[3];
  const GateThreadCounters before = CurrentThreadCounters();
  {
    const GateScope frame(GatePolicy::Deny, GatePolicy::Deny, Phase::Frame, "frame");
    const FallbackScope scope(site);
    EXPECT_EQ(Escape(std::malloc(1001)), nullptr);
    for (void*& block : blocks) block = Escape(std::malloc(100));
    EXPECT_EQ(Escape(std::malloc(100)), nullptr);
    bool isCaught = false;
    try {
      Escape(::operator new(100));
    } catch (const std::bad_alloc&) {
      isCaught = true;
    }
    EXPECT_TRUE(isCaught);
    registry_->BeginFrame();
    std::free(blocks[0]);
    blocks[0] = Escape(std::malloc(100));
  }
  for (void* const block : blocks) EXPECT_TRUE(heap_->Contains(block));
  EXPECT_EQ(site.Stats().refusedByBudget, 1u);
  EXPECT_GE(site.Stats().refusedByFrame, 2u) << "the malloc, the new, and what throwing asks for";
  EXPECT_EQ(CurrentThreadCounters().denied - before.denied, site.Stats().refused);
  for (void* const block : blocks) std::free(block);
  EXPECT_EQ(site.Stats().bytes, 0u);
}

TEST_F(FallbackScopes, R7_BlocksMayBeFreedElsewhereByThePolicyThere) {
  FallbackSite& site = Site("library", 1_MiB);
  std::vector<void*> blocks;
  blocks.reserve(3);
  {
    const FallbackScope scope(site);
    for (int i = 0; i < 3; ++i) blocks.push_back(Escape(std::malloc(50)));
  }
  {
    const CountedScope counted;
    std::free(blocks[0]);
    EXPECT_EQ(counted.Frees(), 1u);
  }
  {
    const GateScope deny(GatePolicy::Deny, GatePolicy::Deny, Phase::Frame, "frame");
    std::free(blocks[1]);
  }
  EXPECT_EQ(site.Stats().frees, 1u) << "the denied one is still live";
  std::thread([&] {
    std::free(blocks[1]);
    ::operator delete(blocks[2]);
  }).join();
  EXPECT_EQ(site.Stats().frees, 3u);
}

TEST_F(FallbackScopes, R6_ReallocMovesInWithinAndOut) {
  FallbackSite& site = Site("library", 1_MiB);
  auto* block = static_cast<char*>(Escape(std::malloc(100)));
  std::memset(block, 'a', 100);
  {
    const GateScope frame(GatePolicy::Trap, GatePolicy::Allow, Phase::Frame, "frame");
    const FallbackScope scope(site);
    block = static_cast<char*>(Escape(std::realloc(block, 5000)));
    EXPECT_TRUE(heap_->Contains(block));
    block = static_cast<char*>(Escape(std::realloc(block, 200)));
    EXPECT_TRUE(heap_->Contains(block));
  }
  block = static_cast<char*>(Escape(std::realloc(block, 300)));
  EXPECT_FALSE(heap_->Contains(block));
  EXPECT_EQ(std::string(block, 100), std::string(100, 'a'));
  std::free(block);
  EXPECT_EQ(site.Stats().bytes, 0u);
  EXPECT_EQ(site.Stats().allocations, 2u);
}

TEST_F(FallbackScopes, R6_OnAnotherThreadTheSiteServesNothing) {
  FallbackSite& site = Site("library", 1_MiB);
  bool isOurs = true;
  std::thread([&] {
    const FallbackScope scope(site);
    void* const block = Escape(std::malloc(100));
    isOurs = heap_->Contains(block);
    std::free(block);
  }).join();
  EXPECT_FALSE(isOurs);
  EXPECT_EQ(site.Stats().refusedByThread, 1u);
}

TEST_F(FallbackScopes, R6_ATrapNamesTheSiteThatRefused) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  FallbackSite& site = Site("shader cache", 10);
  EXPECT_DEATH(
      {
        const GateScope frame(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "frame");
        const FallbackScope scope(site);
        Escape(std::malloc(11));
      },
      "gate trap: malloc of 11 B .*refused by fallback site 'shader cache'; policy Trap");
}

TEST_F(DesignatedFallback, R6_WhereMemoryIsNotOursToChooseTheSiteCountsIt) {
  FallbackSite& site = Site("library", 1000, 2);
  const GateThreadCounters before = CurrentThreadCounters();
  {
    const GateScope frame(GatePolicy::Deny, GatePolicy::Deny, Phase::Frame, "frame");
    const FallbackScope scope(site);
    EXPECT_FALSE(GateOnAllocate(1001));
    EXPECT_TRUE(GateOnAllocate(1000));
    EXPECT_TRUE(GateOnFree(&site));
    EXPECT_TRUE(GateOnAllocate(1000));
    EXPECT_FALSE(GateOnAllocate(1)) << "the frame's count is used up";
  }
  EXPECT_EQ(site.Stats().allocations, 2u);
  EXPECT_EQ(site.Stats().refused, 2u);
  EXPECT_EQ(CurrentThreadCounters().denied - before.denied, 2u);
}

}  // namespace
}  // namespace stadial::runtime::testing
