#include "stadial/graph/requirements.h"

#include "stadial/graph/slot.h"

namespace stadial::graph {

const char* ToString(SlotDirection direction) noexcept {
  return direction == SlotDirection::Input ? "input" : "output";
}

const char* ToString(SlotMode mode) noexcept {
  switch (mode) {
    case SlotMode::Single:
      return "Single";
    case SlotMode::Array:
      return "Array";
    case SlotMode::Optional:
      return "Optional";
  }
  return "unknown";
}

const char* ToString(DescriptorType type) noexcept {
  switch (type) {
    case DescriptorType::Sampler:
      return "Sampler";
    case DescriptorType::CombinedImageSampler:
      return "CombinedImageSampler";
    case DescriptorType::SampledImage:
      return "SampledImage";
    case DescriptorType::StorageImage:
      return "StorageImage";
    case DescriptorType::UniformTexelBuffer:
      return "UniformTexelBuffer";
    case DescriptorType::StorageTexelBuffer:
      return "StorageTexelBuffer";
    case DescriptorType::UniformBuffer:
      return "UniformBuffer";
    case DescriptorType::StorageBuffer:
      return "StorageBuffer";
    case DescriptorType::UniformBufferDynamic:
      return "UniformBufferDynamic";
    case DescriptorType::StorageBufferDynamic:
      return "StorageBufferDynamic";
    case DescriptorType::InputAttachment:
      return "InputAttachment";
  }
  return "unknown";
}

std::uint32_t IDescriptorRequirements::GetEstimatedDescriptorSetCount() const {
  std::uint32_t sets = 0;
  for (const DescriptorSetRequirement& requirement : GetDescriptorRequirements())
    sets += requirement.setCount;
  return sets;
}

std::uint64_t BytesOf(std::span<const TransientRequirement> transients) noexcept {
  std::uint64_t bytes = 0;
  for (const TransientRequirement& transient : transients) {
    const std::uint64_t alignment = transient.alignment == 0 ? 1 : transient.alignment;
    bytes += (transient.sizeBytes + alignment - 1) / alignment * alignment;
  }
  return bytes;
}

bool PreAllocRequirements::IsDeclared() const noexcept {
  return declared || inputSlotCount != 0 || outputSlotCount != 0 || descriptorSetCount != 0 ||
         commandBufferSize != 0 || primaryCommandBuffers != 0 || secondaryCommandBuffers != 0 ||
         stagingBytes != 0 || historyFrames != 0 || historyResources != 0 || eventsPerFrame != 0 ||
         frameBytes != 0 || !transients.empty();
}

ResourceEstimate& ResourceEstimate::operator+=(const ResourceEstimate& other) noexcept {
  hostBytes += other.hostBytes;
  deviceBytes += other.deviceBytes;
  stagingBytes += other.stagingBytes;
  frameBytes += other.frameBytes;
  commandBytes += other.commandBytes;
  primaryCommandBuffers += other.primaryCommandBuffers;
  secondaryCommandBuffers += other.secondaryCommandBuffers;
  descriptorSets += other.descriptorSets;
  for (std::size_t i = 0; i < descriptors.size(); ++i) descriptors[i] += other.descriptors[i];
  return *this;
}

ResourceEstimate EstimateFrom(const PreAllocRequirements& requirements,
                              std::span<const DescriptorSetRequirement> descriptorSets) noexcept {
  ResourceEstimate estimate;
  for (const DescriptorSetRequirement& set : descriptorSets) {
    estimate.descriptorSets += set.setCount;
    for (const DescriptorBinding& binding : set.bindings) {
      const auto type = static_cast<std::size_t>(binding.type);
      if (type < kDescriptorTypeCount) estimate.descriptors[type] += set.setCount * binding.count;
    }
  }
  if (requirements.descriptorSetCount > estimate.descriptorSets)
    estimate.descriptorSets = requirements.descriptorSetCount;
  estimate.commandBytes = requirements.commandBufferSize;
  estimate.primaryCommandBuffers = requirements.primaryCommandBuffers;
  estimate.secondaryCommandBuffers = requirements.secondaryCommandBuffers;
  estimate.stagingBytes = requirements.stagingBytes;
  estimate.frameBytes = requirements.frameBytes;
  estimate.deviceBytes = BytesOf(requirements.transients);
  return estimate;
}

}  // namespace stadial::graph
