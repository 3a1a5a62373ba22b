#include "stadial/gpu/host_memory.h"

#include <gmock/gmock.h>

#include "gpu_fixture.h"
#include "stadial/runtime/allocation_tracker.h"

namespace stadial::gpu {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

class HostMemoryCallbacks : public ::testing::Test {
 protected:
  void SetUp() override {
    auto runtime = runtime::Runtime::Create(TestRuntimeOptions(log_));
    ASSERT_TRUE(IsOk(runtime));
    runtime_ = std::move(*runtime);
    auto host = HostMemory::Create(*runtime_);
    ASSERT_TRUE(IsOk(host));
    host_ = std::move(*host);
    callbacks_ = host_->Callbacks();
  }
  void* Allocate(std::size_t size, std::size_t alignment = 16) {
    return callbacks_->pfnAllocation(callbacks_->pUserData, size, alignment,
                                     VK_SYSTEM_ALLOCATION_SCOPE_OBJECT);
  }
  void* Reallocate(void* block, std::size_t size) {
    return callbacks_->pfnReallocation(callbacks_->pUserData, block, size, 16,
                                       VK_SYSTEM_ALLOCATION_SCOPE_OBJECT);
  }
  void Free(void* block) { callbacks_->pfnFree(callbacks_->pUserData, block); }
  const HostMemoryPhaseStats& InSetup() {
    stats_ = host_->Stats();
    return stats_.byPhase[0];
  }

  LogCapture log_;
  runtime::RuntimePtr runtime_;
  Owned<HostMemory> host_;
  const VkAllocationCallbacks* callbacks_ = nullptr;
  HostMemoryStats stats_;
};

TEST_F(HostMemoryCallbacks, ServeFromTheDriverSegmentWithTheAlignmentAsked) {
  for (const std::size_t alignment : {std::size_t{1}, std::size_t{8}, std::size_t{64}, std::size_t{4096}}) {
    void* block = Allocate(100, alignment);
    ASSERT_NE(block, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % alignment, 0u);
    EXPECT_TRUE(runtime_->DriverSegment().Contains(block));
    std::memset(block, 0xab, 100);
    Free(block);
  }
  EXPECT_EQ(InSetup().allocations, 4u);
  EXPECT_EQ(InSetup().frees, 4u);
  EXPECT_EQ(stats_.liveBlocks, 0u);
}

TEST_F(HostMemoryCallbacks, ReallocateFollowsTheSpecification) {
  void* block = Reallocate(nullptr, 16);  // as an allocation
  ASSERT_NE(block, nullptr);
  std::memset(block, 7, 16);
  block = Reallocate(block, 4000);
  ASSERT_NE(block, nullptr);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(static_cast<unsigned char*>(block)[i], 7);
  EXPECT_EQ(Reallocate(block, 0), nullptr);  // as a free
  Free(nullptr);
  EXPECT_EQ(InSetup().allocations, 1u);
  EXPECT_EQ(InSetup().reallocations, 1u);
  EXPECT_EQ(InSetup().frees, 1u);
  EXPECT_EQ(stats_.liveBlocks, 0u);
}

TEST_F(HostMemoryCallbacks, Aa_ATrackerSeesThemApartFromTheHeap) {
  runtime::AllocationTracker tracker;
  tracker.StartTracking();
  ASSERT_TRUE(tracker.IsArmed()) << tracker.WhyNotArmed();
  void* block = Allocate(100);
  block = Reallocate(block, 300);
  Free(block);
  Free(Allocate(20));
  tracker.StopTracking();
  const runtime::AllocationTracker::Stats stats = tracker.GetStats();
  const runtime::SourceStats& seen =
      stats.bySource[static_cast<std::size_t>(runtime::AllocationSource::DriverCallback)];
  const auto rounded = [](std::size_t bytes) { return arenas::SizeClassBytes(arenas::SizeClassOf(bytes)); };
  const std::uint64_t bytes = rounded(100) + rounded(300) + rounded(20);
  EXPECT_EQ(seen.count, 3u);
  EXPECT_EQ(seen.bytes, bytes);
  EXPECT_EQ(seen.frees, 3u);
  EXPECT_EQ(seen.freedBytes, bytes);
  EXPECT_EQ(stats.count, 0u) << "none of it is the heap's";
}

TEST_F(HostMemoryCallbacks, ExhaustionAnswersNullAndIsCounted) {
  EXPECT_EQ(Allocate(std::size_t{1} << 40), nullptr);
  EXPECT_EQ(InSetup().refusals, 1u);
  EXPECT_EQ(stats_.liveBlocks, 0u);
}

TEST_F(HostMemoryCallbacks, SealedOnlyHeadroomAndRecycledBlocksAreLeft) {
  void* recycled = Allocate(1 << 20);
  ASSERT_NE(recycled, nullptr);
  Free(recycled);
  host_->Seal(64 * 1024);
  void* again = Allocate(1 << 20);
  EXPECT_NE(again, nullptr) << "a recycled block is handed out again";
  EXPECT_EQ(Allocate(1 << 20), nullptr) << "a new one is beyond the headroom";
  void* small = Allocate(1024);
  EXPECT_NE(small, nullptr) << "the headroom serves small needs";
  host_->Unseal();
  void* large = Allocate(1 << 20);
  EXPECT_NE(large, nullptr);
  for (void* block : {again, small, large}) Free(block);
  EXPECT_EQ(InSetup().refusals, 1u);
}

TEST_F(HostMemoryCallbacks, InjectedFailuresComeAtTheirPlace) {
  host_->InjectFailure(3, 2);
  std::array<void*, 6> blocks{};
  for (void*& block : blocks) block = Allocate(32);
  EXPECT_NE(blocks[0], nullptr);
  EXPECT_NE(blocks[1], nullptr);
  EXPECT_EQ(blocks[2], nullptr);
  EXPECT_EQ(blocks[3], nullptr);
  EXPECT_NE(blocks[4], nullptr);
  EXPECT_NE(blocks[5], nullptr);
  EXPECT_EQ(host_->InjectedFailures(), 2u);
  for (void* block : blocks) Free(block);
}

TEST_F(HostMemoryCallbacks, CountsByPhase) {
  ASSERT_TRUE(IsOk(runtime_->SealSetup()));
  Free(Allocate(64));
  const HostMemoryStats stats = host_->Stats();
  EXPECT_EQ(stats.byPhase[0].allocations, 0u);
  EXPECT_EQ(stats.byPhase[1].allocations, 1u);
  EXPECT_EQ(stats.byPhase[1].frees, 1u);
}

}  // namespace

}  // namespace stadial::gpu
