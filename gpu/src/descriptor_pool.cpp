#include "stadial/gpu/descriptor_pool.h"

#include <algorithm>

#include "driver_call.h"
#include "stadial/runtime/runtime.h"

namespace stadial::gpu {

static_assert(kDescriptorTypeCount == graph::kDescriptorTypeCount);

Result<Owned<DescriptorSetPool>> DescriptorSetPool::Create(PipelineLibrary& library,
                                                           const DescriptorPoolOptions& options) noexcept {
  runtime::Runtime& runtime = library.GetDevice().GetRuntime();
  STADIAL_RETURN_IF_ERROR(runtime.Phases().Require(runtime::Phase::Setup, "gpu::DescriptorSetPool::Create"));
  return MakeOwned<DescriptorSetPool>(runtime.SetupArena(), "gpu::DescriptorSetPool", library, options,
                                      runtime.SetupArena());
}

DescriptorSetPool::DescriptorSetPool(PipelineLibrary& library, const DescriptorPoolOptions& options,
                                     arenas::Arena& memory) noexcept
    : library_(library),
      entries_(memory, options.requirementsMax),
      firstEntry_(memory, options.requirementsMax),
      sets_(memory, options.setsMax),
      layoutOfSet_(memory, options.setsMax) {}

DescriptorSetPool::~DescriptorSetPool() { Reset(); }

void DescriptorSetPool::Reset() noexcept {
  Device& device = library_.GetDevice();
  if (pool_ != VK_NULL_HANDLE && !device.IsQuarantined()) {
    STADIAL_DRIVER_CALL(device.Table(), vkDestroyDescriptorPool, device.Handle(), pool_, device.Callbacks());
  }
  pool_ = VK_NULL_HANDLE;
  entries_.Clear();
  firstEntry_.Clear();
  sets_.Clear();
  layoutOfSet_.Clear();
  const std::uint32_t builds = stats_.builds;
  stats_ = {};
  stats_.builds = builds;
}

Result<std::uint32_t> DescriptorSetPool::Declare(
    const char* ownerName, std::span<const graph::DescriptorSetRequirement> requirements,
    std::uint32_t copies) noexcept {
  if (pool_ != VK_NULL_HANDLE) {
    return Error::Format(ErrorCode::WrongPhase, "descriptors of '%s' declared after Build; Reset comes first",
                         ownerName);
  }
  if (copies == 0) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "descriptors of '%s' in 0 copies; at least the frames in flight are needed",
                         ownerName);
  }
  if (entries_.Capacity() - entries_.Size() < requirements.size() || firstEntry_.IsFull()) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "'%s' states %zu descriptor set requirements, %zu of %zu are taken; raise "
                         "DescriptorPoolOptions::requirementsMax",
                         ownerName, requirements.size(), entries_.Size(), entries_.Capacity());
  }
  const auto owner = static_cast<std::uint32_t>(firstEntry_.Size());
  const std::size_t entriesBefore = entries_.Size();
  const std::size_t setsBefore = layoutOfSet_.Size();
  const DescriptorPoolStats statsBefore = stats_;
  const auto refuse = [&](const Error& error) -> Result<std::uint32_t> {  // all of an owner's needs, or none
    entries_.Truncate(entriesBefore);
    layoutOfSet_.Truncate(setsBefore);
    stats_ = statsBefore;
    return error;
  };
  for (const graph::DescriptorSetRequirement& requirement : requirements) {
    auto layout = library_.SetLayout(requirement);
    if (!layout) return refuse(layout.GetError());
    const std::uint64_t count = std::uint64_t{requirement.setCount} * copies;
    if (count == 0 || count > layoutOfSet_.Capacity() - layoutOfSet_.Size()) {
      return refuse(
          Error::Format(count == 0 ? ErrorCode::InvalidArgument : ErrorCode::CapacityExceeded,
                        "'%s' states %u sets of '%s' in %u copies; 1 to %zu more sets are possible, raise "
                        "DescriptorPoolOptions::setsMax",
                        ownerName, requirement.setCount, requirement.debugName, copies,
                        layoutOfSet_.Capacity() - layoutOfSet_.Size()));
    }
    entries_.PushBack({requirement.setCount, copies, static_cast<std::uint32_t>(layoutOfSet_.Size())});
    for (std::uint64_t i = 0; i < count; ++i) layoutOfSet_.PushBack(*layout);
    stats_.setsSized += static_cast<std::uint32_t>(count);
    for (const graph::DescriptorBinding& binding : requirement.bindings) {
      stats_.descriptorsSized[static_cast<std::size_t>(binding.type)] +=
          binding.count * static_cast<std::uint32_t>(count);
    }
  }
  firstEntry_.PushBack(static_cast<std::uint32_t>(entriesBefore));
  return owner;
}

Result<void> DescriptorSetPool::Build() noexcept {
  if (pool_ != VK_NULL_HANDLE)
    return Error::Format(ErrorCode::WrongPhase, "descriptor pool built twice; Reset comes first");
  stats_.builds += 1;
  if (stats_.setsSized == 0) return {};
  VkDescriptorPoolSize sizes[kDescriptorTypeCount];
  std::uint32_t sizeCount = 0;
  for (std::uint32_t type = 0; type < kDescriptorTypeCount; ++type) {
    if (stats_.descriptorsSized[type] != 0) {
      sizes[sizeCount++] = {static_cast<VkDescriptorType>(type), stats_.descriptorsSized[type]};
    }
  }
  VkDescriptorPoolCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
  info.maxSets = stats_.setsSized;
  info.poolSizeCount = sizeCount;
  info.pPoolSizes = sizes;
  Device& device = library_.GetDevice();
  const VkResult result = STADIAL_DRIVER_CALL(device.Table(), vkCreateDescriptorPool, device.Handle(), &info,
                                              device.Callbacks(), &pool_);
  if (result != VK_SUCCESS) {
    pool_ = VK_NULL_HANDLE;
    return DriverError(result, "vkCreateDescriptorPool", "%u sets of %u descriptor types", stats_.setsSized,
                       sizeCount);
  }
  device.SetName(VK_OBJECT_TYPE_DESCRIPTOR_POOL, HandleBits(pool_), "graph descriptors");
  return AllocateSets();
}

// In batches, so that one call with thousands of sets does not need an array on the stack.
Result<void> DescriptorSetPool::AllocateSets() noexcept {
  Device& device = library_.GetDevice();
  constexpr std::size_t kBatch = 64;
  while (sets_.Size() < layoutOfSet_.Size()) {
    const std::size_t first = sets_.Size();
    const std::size_t count = std::min(kBatch, layoutOfSet_.Size() - first);
    VkDescriptorSetAllocateInfo info{};
    info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
    info.descriptorPool = pool_;
    info.descriptorSetCount = static_cast<std::uint32_t>(count);
    info.pSetLayouts = &layoutOfSet_[first];
    VkDescriptorSet batch[kBatch];
    const VkResult result =
        STADIAL_DRIVER_CALL(device.Table(), vkAllocateDescriptorSets, device.Handle(), &info, batch);
    if (result != VK_SUCCESS) {
      return DriverError(result, "vkAllocateDescriptorSets", "sets %zu to %zu of exactly %u on device '%s'",
                         first, first + count - 1, stats_.setsSized, device.Name());
    }
    for (std::size_t i = 0; i < count; ++i) sets_.PushBack(batch[i]);
    stats_.setsAllocated += static_cast<std::uint32_t>(count);
  }
  return {};
}

VkDescriptorSet DescriptorSetPool::Set(std::uint32_t owner, std::uint32_t requirement, std::uint32_t copy,
                                       std::uint32_t index) const noexcept {
  STADIAL_ASSERT_COMPARE(owner, <, firstEntry_.Size(), "DescriptorSetPool: no such owner");
  const std::size_t end = owner + 1 < firstEntry_.Size() ? firstEntry_[owner + 1] : entries_.Size();
  const std::size_t at = firstEntry_[owner] + requirement;
  STADIAL_ASSERT_COMPARE(at, <, end, "DescriptorSetPool: the owner did not declare so many requirements");
  const Entry& entry = entries_[at];
  STADIAL_ASSERT_COMPARE(copy, <, entry.copies, "DescriptorSetPool: no such copy");
  STADIAL_ASSERT_COMPARE(index, <, entry.setCount,
                         "DescriptorSetPool: the requirement's setCount is smaller");
  return sets_[std::size_t{entry.firstSet} + std::size_t{copy} * entry.setCount + index];
}

DescriptorWriter& DescriptorWriter::StorageBuffer(VkDescriptorSet set, std::uint32_t binding,
                                                  const Buffer& buffer, VkDeviceSize offsetBytes,
                                                  VkDeviceSize rangeBytes) noexcept {
  const VkDescriptorBufferInfo info{buffer.handle, offsetBytes, rangeBytes};
  return Add(set, binding, 0, VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, &info, nullptr);
}

DescriptorWriter& DescriptorWriter::UniformBuffer(VkDescriptorSet set, std::uint32_t binding,
                                                  const Buffer& buffer, VkDeviceSize offsetBytes,
                                                  VkDeviceSize rangeBytes) noexcept {
  const VkDescriptorBufferInfo info{buffer.handle, offsetBytes, rangeBytes};
  return Add(set, binding, 0, VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER, &info, nullptr);
}

DescriptorWriter& DescriptorWriter::StorageImage(VkDescriptorSet set, std::uint32_t binding,
                                                 const Image& image, std::uint32_t arrayElement) noexcept {
  const VkDescriptorImageInfo info{VK_NULL_HANDLE, image.view, VK_IMAGE_LAYOUT_GENERAL};
  return Add(set, binding, arrayElement, VK_DESCRIPTOR_TYPE_STORAGE_IMAGE, nullptr, &info);
}

DescriptorWriter& DescriptorWriter::Add(VkDescriptorSet set, std::uint32_t binding, std::uint32_t element,
                                        VkDescriptorType type, const VkDescriptorBufferInfo* buffer,
                                        const VkDescriptorImageInfo* image) noexcept {
  if (count_ == kWritesMax) Flush();
  VkWriteDescriptorSet& write = writes_[count_];
  write = {};
  write.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
  write.dstSet = set;
  write.dstBinding = binding;
  write.dstArrayElement = element;
  write.descriptorCount = 1;
  write.descriptorType = type;
  if (buffer != nullptr) {
    buffers_[count_] = *buffer;
    write.pBufferInfo = &buffers_[count_];
  }
  if (image != nullptr) {
    images_[count_] = *image;
    write.pImageInfo = &images_[count_];
  }
  ++count_;
  return *this;
}

void DescriptorWriter::Flush() noexcept {
  if (count_ == 0) return;
  STADIAL_DRIVER_CALL(device_.Table(), vkUpdateDescriptorSets, device_.Handle(), count_, writes_.data(), 0,
                      nullptr);
  count_ = 0;
}

}  // namespace stadial::gpu
