// The canaries of T8: mistakes planted on purpose must reach the counter, or "validation was silent" would
// say nothing.
#include <gmock/gmock.h>

#include <array>

#include "gpu_fixture.h"
#include "increment.comp.h"
#include "stadial/gpu/commands.h"
#include "stadial/gpu/descriptor_pool.h"
#include "stadial/gpu/device_table.h"
#include "stadial/gpu/plan_barriers.h"

namespace stadial::gpu {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

class Validation : public GpuTest {
 protected:
  void Allow() { expectedMessages_ = instance_->ValidationMessages(); }
};

TEST_P(Validation, T8_AMistakeIsCountedEachTimeAndPrintedOnce) {
  ASSERT_TRUE(instance_->HasValidation());
  ASSERT_EQ(instance_->ValidationMessages(), 0u);
  VkSamplerCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_SAMPLER_CREATE_INFO;
  info.minLod = 2.0f;  // above maxLod: VUID-VkSamplerCreateInfo-maxLod-01973
  for (int i = 0; i < 3; ++i) {
    VkSampler sampler = VK_NULL_HANDLE;
    ASSERT_EQ(device_->Table().vkCreateSampler(device_->Handle(), &info, device_->Callbacks(), &sampler),
              VK_SUCCESS);
    device_->Table().vkDestroySampler(device_->Handle(), sampler, device_->Callbacks());
  }
  EXPECT_EQ(instance_->ValidationMessages(), 3u);
  EXPECT_EQ(log_.validationLines.load(), 1u);
  Allow();
}

TEST_P(Validation, T8_AMissingBarrierInsideACommandBufferIsSeen) {
  auto buffer = memory_->CreateBuffer({.name = "hazard", .sizeBytes = 256});
  ASSERT_TRUE(IsOk(buffer));
  auto commands = CommandBuffers::Create(*device_, "hazard", 1);
  ASSERT_TRUE(IsOk(commands));
  auto recorder = (*commands)->Begin(0, false);
  ASSERT_TRUE(IsOk(recorder));
  recorder->FillBuffer(*buffer, 1);
  recorder->FillBuffer(*buffer, 2);  // write after write
  static_cast<void>((*commands)->End(0));
  EXPECT_GE(instance_->ValidationMessages(), 1u);
  EXPECT_THAT(log_.last, ::testing::HasSubstr("SYNC-HAZARD-WRITE-AFTER-WRITE"));
  Allow();
}

TEST_P(Validation, T8_AMissingBarrierBetweenSubmitsIsSeen) {
  auto buffer = memory_->CreateBuffer({.name = "hazard", .sizeBytes = 256});
  ASSERT_TRUE(IsOk(buffer));
  auto commands = CommandBuffers::Create(*device_, "hazard", 2);
  ASSERT_TRUE(IsOk(commands));
  for (std::uint32_t i = 0; i < 2; ++i) {
    auto recorder = (*commands)->Begin(i, true);
    ASSERT_TRUE(IsOk(recorder));
    recorder->FillBuffer(*buffer, i);
    ASSERT_TRUE(IsOk((*commands)->End(i)));
  }
  ASSERT_EQ(instance_->ValidationMessages(), 0u);
  ASSERT_TRUE(IsOk(submit_->Submit((**commands)[0], VK_NULL_HANDLE, 1)));
  ASSERT_TRUE(IsOk(submit_->Submit((**commands)[1], VK_NULL_HANDLE, 2)));
  static_cast<void>(submit_->Drain());
  EXPECT_GE(instance_->ValidationMessages(), 1u);
  EXPECT_THAT(log_.last, ::testing::HasSubstr("SYNC-HAZARD"));
  Allow();
}

TEST_P(Validation, T8_TheLayersOwnBarrierIsEnough) {
  auto buffer = memory_->CreateBuffer({.name = "no hazard", .sizeBytes = 256});
  ASSERT_TRUE(IsOk(buffer));
  auto commands = CommandBuffers::Create(*device_, "no hazard", 2);
  ASSERT_TRUE(IsOk(commands));
  for (std::uint32_t i = 0; i < 2; ++i) {
    auto recorder = (*commands)->Begin(i, true);
    ASSERT_TRUE(IsOk(recorder));
    recorder->PassBarrier();
    recorder->FillBuffer(*buffer, i);
    recorder->PassBarrier();
    recorder->FillBuffer(*buffer, i + 1);
    ASSERT_TRUE(IsOk((*commands)->End(i)));
  }
  for (std::uint64_t value = 1; value <= 6; ++value) {
    ASSERT_TRUE(IsOk(submit_->Submit((**commands)[value % 2], VK_NULL_HANDLE, value)));
    ASSERT_TRUE(IsOk(submit_->WaitForValue(value, 60 * kSecondNs)));
  }
  EXPECT_EQ(instance_->ValidationMessages(), 0u);
}

// Copies from and to three buffers, again and again, with the barriers that a plan has for them: silent; and
// with any one of these left out a hazard.
TEST_P(Validation, T8_EveryBarrierOfAPlanIsNeeded) {
  using graph::Access;
  const graph::ResourceAccess accesses[] = {
      {0, 0, Access::TransferWrite},                                 // fill 0
      {1, 0, Access::TransferRead},  {1, 1, Access::TransferWrite},  // copy 0 to 1
      {2, 1, Access::TransferRead},  {2, 2, Access::TransferWrite},  // copy 1 to 2
      {3, 1, Access::TransferWrite},                                 // fill 1
  };
  const graph::SyncInput input{.accesses = accesses, .positions = 4, .resources = 3};
  graph::SyncPlanner planner(runtime_->SetupArena(), {.accesses = 6, .positions = 4, .resources = 3});
  const graph::SyncPlan plan = planner.Derive(input);
  ASSERT_EQ(plan.barriers.size(), 4u);
  std::array<Buffer, 3> buffers;
  for (Buffer& buffer : buffers) {
    auto made = memory_->CreateBuffer({.name = "planned", .sizeBytes = 256});
    ASSERT_TRUE(IsOk(made));
    buffer = *made;
  }
  auto commands = CommandBuffers::Create(*device_, "planned", 5);
  ASSERT_TRUE(IsOk(commands));
  for (std::uint32_t leftOut = 0; leftOut <= 4; ++leftOut) {  // 4: none
    const std::uint64_t before = instance_->ValidationMessages();
    auto recorder = (*commands)->Begin(leftOut, false);
    ASSERT_TRUE(IsOk(recorder));
    // A frame cut short, and a whole one: what stands at the end of a frame is not counted upon by the next.
    std::uint32_t step = 0;
    for (const std::uint32_t position : {0u, 1u, 0u, 1u, 2u, 3u}) {
      ++step;
      for (const graph::Barrier& barrier : plan.BarriersAt(position)) {
        if (&barrier != plan.barriers.data() + leftOut) RecordBarriers(*recorder, std::span(&barrier, 1));
      }
      if (position == 0) recorder->FillBuffer(buffers[0], step);
      if (position == 1) recorder->CopyBuffer(buffers[0], buffers[1], 256);
      if (position == 2) recorder->CopyBuffer(buffers[1], buffers[2], 256);
      if (position == 3) recorder->FillBuffer(buffers[1], step);
    }
    static_cast<void>((*commands)->End(leftOut));
    if (leftOut == 4) {
      EXPECT_EQ(instance_->ValidationMessages(), before);
    } else {
      EXPECT_GT(instance_->ValidationMessages(), before) << "barrier " << leftOut << " was not missed";
    }
  }
  Allow();
}

}  // namespace

STADIAL_INSTANTIATE_ON_DEVICES(Validation);

}  // namespace stadial::gpu
