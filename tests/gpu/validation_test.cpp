// The canaries of T8: mistakes planted on purpose must reach the counter, or "validation was silent" would
// say nothing.
#include <gmock/gmock.h>

#include "gpu_fixture.h"
#include "increment.comp.h"
#include "stadial/gpu/commands.h"
#include "stadial/gpu/descriptor_pool.h"
#include "stadial/gpu/device_table.h"

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

}  // namespace

STADIAL_INSTANTIATE_ON_DEVICES(Validation);

}  // namespace stadial::gpu
