#include "stadial/graph/requirements.h"

#include <gtest/gtest.h>

#include <array>

namespace stadial::graph {
namespace {

constexpr std::array kSceneBindings = {
    DescriptorBinding{.binding = 0, .type = DescriptorType::UniformBuffer},
    DescriptorBinding{.binding = 1, .type = DescriptorType::StorageBuffer, .count = 3},
};
constexpr std::array kMaterialBindings = {
    DescriptorBinding{.binding = 0, .type = DescriptorType::SampledImage, .count = 4},
    DescriptorBinding{.binding = 1, .type = DescriptorType::StorageBuffer},
};

class GeometryNode : public IDescriptorRequirements {
 public:
  std::span<const DescriptorSetRequirement> GetDescriptorRequirements() const override { return sets_; }

 private:
  std::array<DescriptorSetRequirement, 2> sets_ = {
      DescriptorSetRequirement{.setIndex = 0, .bindings = kSceneBindings, .debugName = "GeometryScene"},
      DescriptorSetRequirement{
          .setIndex = 1, .bindings = kMaterialBindings, .debugName = "GeometryMaterial", .setCount = 3},
  };
};

TEST(Requirements, X1_EmptyAnswerIsUndeclaredAnyOtherIsDeclared) {
  EXPECT_FALSE(PreAllocRequirements{}.IsDeclared());
  EXPECT_TRUE(PreAllocRequirements{.declared = true}.IsDeclared()) << "a node may say that it needs nothing";
  EXPECT_TRUE(PreAllocRequirements{.inputSlotCount = 1}.IsDeclared());
  EXPECT_TRUE(PreAllocRequirements{.frameBytes = 1}.IsDeclared());
  const TransientRequirement transient{};
  EXPECT_TRUE(PreAllocRequirements{.transients = std::span(&transient, 1)}.IsDeclared());
}

TEST(Requirements, X1_SetsCountPerLayout) {
  EXPECT_EQ(GeometryNode().GetEstimatedDescriptorSetCount(), 4u) << "one scene set and three material sets";
}

// D4: the seeds multiplied the node's set count into every layout.
TEST(Requirements, X2_EstimateMultipliesEachLayoutByItsOwnCount) {
  const ResourceEstimate estimate = EstimateFrom({}, GeometryNode().GetDescriptorRequirements());
  EXPECT_EQ(estimate.descriptorSets, 4u);
  EXPECT_EQ(estimate.descriptors[static_cast<std::size_t>(DescriptorType::UniformBuffer)], 1u);
  EXPECT_EQ(estimate.descriptors[static_cast<std::size_t>(DescriptorType::StorageBuffer)], 3u + 3u);
  EXPECT_EQ(estimate.descriptors[static_cast<std::size_t>(DescriptorType::SampledImage)], 12u);
  EXPECT_EQ(estimate.descriptors[static_cast<std::size_t>(DescriptorType::Sampler)], 0u);
}

TEST(Requirements, X2_EstimatesAddUp) {
  const TransientRequirement transients[] = {{.sizeBytes = 100, .alignment = 64},
                                             {.sizeBytes = 1, .alignment = 0}};
  const PreAllocRequirements stated{.descriptorSetCount = 9,
                                    .commandBufferSize = 1000,
                                    .primaryCommandBuffers = 1,
                                    .secondaryCommandBuffers = 2,
                                    .stagingBytes = 50,
                                    .frameBytes = 7,
                                    .transients = transients};
  ResourceEstimate sum = EstimateFrom(stated, {});
  EXPECT_EQ(sum.descriptorSets, 9u) << "a stated count above the layouts' is taken";
  EXPECT_EQ(sum.deviceBytes, 128u + 1u);
  sum += sum;
  EXPECT_EQ(sum.commandBytes, 2000u);
  EXPECT_EQ(sum.primaryCommandBuffers, 2u);
  EXPECT_EQ(sum.secondaryCommandBuffers, 4u);
  EXPECT_EQ(sum.stagingBytes, 100u);
  EXPECT_EQ(sum.frameBytes, 14u);
}

}  // namespace
}  // namespace stadial::graph
