#include "stadial/gpu/compute_pipeline.h"

#include <gmock/gmock.h>

#include "finish.comp.h"
#include "gpu_fixture.h"
#include "increment.comp.h"

namespace stadial::gpu {
namespace {

using ::testing::HasSubstr;
using namespace testing;  // NOLINT(google-build-using-namespace)
using graph::DescriptorType;

constexpr graph::DescriptorBinding kValues[] = {{.binding = 0, .type = DescriptorType::StorageBuffer}};
constexpr graph::DescriptorBinding kStep[] = {{.binding = 0, .type = DescriptorType::UniformBuffer}};
constexpr graph::DescriptorSetRequirement kSets[] = {
    {.setIndex = 0, .bindings = kValues, .debugName = "values"},
    {.setIndex = 1, .bindings = kStep, .debugName = "step"}};

class Pipelines : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto library = PipelineLibrary::Create(*device_, {.pipelinesMax = 2});
    ASSERT_TRUE(IsOk(library));
    library_ = std::move(*library);
  }
  void TearDown() override {
    library_.reset();
    GpuTest::TearDown();
  }
  Owned<PipelineLibrary> library_;
};

TEST_P(Pipelines, AreMadeFromWordsAndShareLayouts) {
  auto first = library_->CreatePipeline({.name = "first", .spirv = kIncrementCompSpirv, .sets = kSets});
  auto second = library_->CreatePipeline({.name = "second", .spirv = kIncrementCompSpirv, .sets = kSets});
  ASSERT_TRUE(IsOk(first));
  ASSERT_TRUE(IsOk(second));
  EXPECT_TRUE(*first);
  EXPECT_NE(first->handle, second->handle);
  EXPECT_EQ(library_->LayoutCount(), 2u);
  auto third = library_->CreatePipeline({.name = "third", .spirv = kIncrementCompSpirv, .sets = kSets});
  ASSERT_FALSE(third);
  EXPECT_EQ(third.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_THAT(third.GetError().Message(), HasSubstr("PipelineLibraryOptions::pipelinesMax"));
}

TEST_P(Pipelines, BadInputIsRefusedByName) {
  const std::uint32_t words[] = {1, 2, 3, 4, 5, 6};
  auto garbage = library_->CreatePipeline({.name = "garbage", .spirv = words, .sets = kSets});
  ASSERT_FALSE(garbage);
  EXPECT_THAT(garbage.GetError().Message(), HasSubstr("'garbage': its 6 words are not SPIR-V"));
  auto none = library_->CreatePipeline({.name = "none", .sets = kSets});
  ASSERT_FALSE(none);

  const graph::DescriptorSetRequirement gap[] = {{.setIndex = 1, .bindings = kValues, .debugName = "values"}};
  auto misnumbered = library_->CreatePipeline({.name = "gap", .spirv = kIncrementCompSpirv, .sets = gap});
  ASSERT_FALSE(misnumbered);
  EXPECT_THAT(misnumbered.GetError().Message(), HasSubstr("number 0 ('values') says 1"));

  auto large = library_->CreatePipeline({.name = "large",
                                         .spirv = kIncrementCompSpirv,
                                         .sets = kSets,
                                         .pushConstantBytes = device_->Limits().maxPushConstantsSize + 4});
  ASSERT_FALSE(large);
  EXPECT_THAT(large.GetError().Message(), HasSubstr("push constants"));
  EXPECT_EQ(library_->PipelineCount(), 0u);
}

}  // namespace

STADIAL_INSTANTIATE_ON_DEVICES(Pipelines);

}  // namespace stadial::gpu
