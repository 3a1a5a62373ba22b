#include "stadial/gpu/commands.h"

#include "driver_call.h"
#include "loader.h"
#include "stadial/runtime/runtime.h"

namespace stadial::gpu {
namespace {

constexpr VkPipelineStageFlags2 kWorkStages =
    VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT;
constexpr VkAccessFlags2 kWorkWrites = VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT;
constexpr VkAccessFlags2 kWorkReads = VK_ACCESS_2_SHADER_STORAGE_READ_BIT |
                                      VK_ACCESS_2_SHADER_SAMPLED_READ_BIT | VK_ACCESS_2_UNIFORM_READ_BIT |
                                      VK_ACCESS_2_TRANSFER_READ_BIT;

VkImageSubresourceRange WholeImage() noexcept { return {VK_IMAGE_ASPECT_COLOR_BIT, 0, 1, 0, 1}; }

VkBufferImageCopy WholeImageCopy(const Image& image, VkDeviceSize bufferOffset) noexcept {
  VkBufferImageCopy copy{};
  copy.bufferOffset = bufferOffset;
  copy.imageSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};
  copy.imageExtent = image.extent;
  return copy;
}

}  // namespace

BarrierBatch& BarrierBatch::Passes() noexcept {
  for (std::uint32_t i = 0; i < memoryCount_; ++i) {
    if (memory_[i].srcStageMask == kWorkStages && memory_[i].dstStageMask == kWorkStages) return *this;
  }
  return Memory(kWorkStages, kWorkWrites, kWorkStages, kWorkReads | kWorkWrites);
}

BarrierBatch& BarrierBatch::ToHost() noexcept {
  return Memory(kWorkStages, kWorkWrites, VK_PIPELINE_STAGE_2_HOST_BIT, VK_ACCESS_2_HOST_READ_BIT);
}

BarrierBatch& BarrierBatch::Memory(VkPipelineStageFlags2 sourceStages, VkAccessFlags2 sourceAccess,
                                   VkPipelineStageFlags2 targetStages, VkAccessFlags2 targetAccess) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(memoryCount_, <, kMemoryMax,
                                "BarrierBatch: too many memory barriers; issue it first");
  VkMemoryBarrier2& barrier = memory_[memoryCount_++];
  barrier = {};
  barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2;
  barrier.srcStageMask = sourceStages;
  barrier.srcAccessMask = sourceAccess;
  barrier.dstStageMask = targetStages;
  barrier.dstAccessMask = targetAccess;
  return *this;
}

BarrierBatch& BarrierBatch::ToGeneral(const Image& image, VkImageLayout from) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(imageCount_, <, kImagesMax,
                                "BarrierBatch: too many image barriers; issue it first");
  VkImageMemoryBarrier2& barrier = images_[imageCount_++];
  barrier = {};
  barrier.sType = VK_STRUCTURE_TYPE_IMAGE_MEMORY_BARRIER_2;
  barrier.srcStageMask = kWorkStages;
  barrier.srcAccessMask = kWorkWrites;
  barrier.dstStageMask = kWorkStages;
  barrier.dstAccessMask = kWorkReads | kWorkWrites;
  barrier.oldLayout = from;
  barrier.newLayout = VK_IMAGE_LAYOUT_GENERAL;
  barrier.srcQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED;
  barrier.dstQueueFamilyIndex = VK_QUEUE_FAMILY_IGNORED;
  barrier.image = image.handle;
  barrier.subresourceRange = WholeImage();
  return *this;
}

void Recorder::BindPipeline(const ComputePipeline& pipeline) noexcept {
  STADIAL_DRIVER_CALL(device_->Table(), vkCmdBindPipeline, commands_, VK_PIPELINE_BIND_POINT_COMPUTE,
                      pipeline.handle);
}

void Recorder::BindSet(const ComputePipeline& pipeline, std::uint32_t setIndex,
                       VkDescriptorSet set) noexcept {
  STADIAL_DRIVER_CALL(device_->Table(), vkCmdBindDescriptorSets, commands_, VK_PIPELINE_BIND_POINT_COMPUTE,
                      pipeline.layout, setIndex, 1, &set, 0, nullptr);
}

void Recorder::PushConstants(const ComputePipeline& pipeline, const void* data,
                             std::uint32_t bytes) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(bytes, <=, pipeline.pushConstantBytes,
                                "more push constants than the pipeline declared");
  STADIAL_DRIVER_CALL(device_->Table(), vkCmdPushConstants, commands_, pipeline.layout,
                      VK_SHADER_STAGE_COMPUTE_BIT, 0, bytes, data);
}

void Recorder::Dispatch(std::uint32_t groupsX, std::uint32_t groupsY, std::uint32_t groupsZ) noexcept {
  if (groupsX == 0 || groupsY == 0 || groupsZ == 0) return;
  [[maybe_unused]] const std::uint32_t* limits = device_->Limits().maxComputeWorkGroupCount;
  STADIAL_ASSERT_COMPARE(groupsX, <=, limits[0], "too many work groups in x for this device");
  STADIAL_ASSERT_COMPARE(groupsY, <=, limits[1], "too many work groups in y for this device");
  STADIAL_ASSERT_COMPARE(groupsZ, <=, limits[2], "too many work groups in z for this device");
  STADIAL_DRIVER_CALL(device_->Table(), vkCmdDispatch, commands_, groupsX, groupsY, groupsZ);
}

void Recorder::Barrier(BarrierBatch& batch) noexcept {
  if (batch.IsEmpty()) return;
  VkDependencyInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO;
  info.memoryBarrierCount = batch.memoryCount_;
  info.pMemoryBarriers = batch.memory_.data();
  info.imageMemoryBarrierCount = batch.imageCount_;
  info.pImageMemoryBarriers = batch.images_.data();
  STADIAL_DRIVER_CALL(device_->Table(), vkCmdPipelineBarrier2, commands_, &info);
  batch.memoryCount_ = 0;
  batch.imageCount_ = 0;
}

void Recorder::PassBarrier() noexcept {
  BarrierBatch batch;
  Barrier(batch.Passes());
}

void Recorder::CopyBuffer(const Buffer& source, const Buffer& target, VkDeviceSize bytes,
                          VkDeviceSize sourceOffset, VkDeviceSize targetOffset) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(sourceOffset + bytes, <=, source.sizeBytes,
                                "copy reads past the source buffer");
  STADIAL_ASSERT_COMPARE_ALWAYS(targetOffset + bytes, <=, target.sizeBytes,
                                "copy writes past the target buffer");
  const VkBufferCopy region{sourceOffset, targetOffset, bytes};
  STADIAL_DRIVER_CALL(device_->Table(), vkCmdCopyBuffer, commands_, source.handle, target.handle, 1, &region);
}

void Recorder::CopyImageToBuffer(const Image& source, const Buffer& target,
                                 VkDeviceSize targetOffset) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(targetOffset + PackedBytes(source), <=, target.sizeBytes,
                                "the buffer cannot hold the image");
  const VkBufferImageCopy region = WholeImageCopy(source, targetOffset);
  STADIAL_DRIVER_CALL(device_->Table(), vkCmdCopyImageToBuffer, commands_, source.handle,
                      VK_IMAGE_LAYOUT_GENERAL, target.handle, 1, &region);
}

void Recorder::CopyBufferToImage(const Buffer& source, const Image& target,
                                 VkDeviceSize sourceOffset) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(sourceOffset + PackedBytes(target), <=, source.sizeBytes,
                                "the buffer does not hold the image");
  const VkBufferImageCopy region = WholeImageCopy(target, sourceOffset);
  STADIAL_DRIVER_CALL(device_->Table(), vkCmdCopyBufferToImage, commands_, source.handle, target.handle,
                      VK_IMAGE_LAYOUT_GENERAL, 1, &region);
}

void Recorder::CopyImage(const Image& source, const Image& target) noexcept {
  VkImageCopy region{};
  region.srcSubresource = {VK_IMAGE_ASPECT_COLOR_BIT, 0, 0, 1};
  region.dstSubresource = region.srcSubresource;
  region.extent = source.extent;
  STADIAL_DRIVER_CALL(device_->Table(), vkCmdCopyImage, commands_, source.handle, VK_IMAGE_LAYOUT_GENERAL,
                      target.handle, VK_IMAGE_LAYOUT_GENERAL, 1, &region);
}

void Recorder::FillBuffer(const Buffer& target, std::uint32_t word, VkDeviceSize offset,
                          VkDeviceSize bytes) noexcept {
  STADIAL_DRIVER_CALL(device_->Table(), vkCmdFillBuffer, commands_, target.handle, offset, bytes, word);
}

void Recorder::ClearImage(const Image& target, const VkClearColorValue& value) noexcept {
  const VkImageSubresourceRange range = WholeImage();
  STADIAL_DRIVER_CALL(device_->Table(), vkCmdClearColorImage, commands_, target.handle,
                      VK_IMAGE_LAYOUT_GENERAL, &value, 1, &range);
}

void Recorder::BeginLabel(const char* name) noexcept {
  const Instance& instance = device_->GetInstance();
  if (!instance.HasDebugUtils() || instance.Functions().beginLabel == nullptr) return;
  VkDebugUtilsLabelEXT label{};
  label.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_LABEL_EXT;
  label.pLabelName = name;
  STADIAL_DRIVER_CALL_NAMED("vkCmdBeginDebugUtilsLabelEXT", instance.Functions().beginLabel, commands_,
                            &label);
}

void Recorder::EndLabel() noexcept {
  const Instance& instance = device_->GetInstance();
  if (!instance.HasDebugUtils() || instance.Functions().endLabel == nullptr) return;
  STADIAL_DRIVER_CALL_NAMED("vkCmdEndDebugUtilsLabelEXT", instance.Functions().endLabel, commands_);
}

Result<Owned<CommandBuffers>> CommandBuffers::Create(Device& device, const char* name,
                                                     std::uint32_t capacity) noexcept {
  runtime::Runtime& runtime = device.GetRuntime();
  STADIAL_RETURN_IF_ERROR(runtime.Phases().Require(runtime::Phase::Setup, "gpu::CommandBuffers::Create"));
  STADIAL_ASSIGN_OR_RETURN(Owned<CommandBuffers> buffers,
                           MakeOwned<CommandBuffers>(runtime.SetupArena(), "gpu::CommandBuffers", device,
                                                     name, capacity, runtime.SetupArena()));
  STADIAL_RETURN_IF_ERROR(buffers->Initialize(capacity));
  return buffers;
}

CommandBuffers::CommandBuffers(Device& device, const char* name, std::uint32_t capacity,
                               arenas::Arena& memory) noexcept
    : device_(device), name_(name), buffers_(memory, capacity) {}

CommandBuffers::~CommandBuffers() {
  if (pool_ == VK_NULL_HANDLE || device_.IsQuarantined()) return;
  STADIAL_DRIVER_CALL(device_.Table(), vkDestroyCommandPool, device_.Handle(), pool_, device_.Callbacks());
}

Result<void> CommandBuffers::Initialize(std::uint32_t capacity) noexcept {
  VkCommandPoolCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  info.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
  info.queueFamilyIndex = device_.QueueFamily();
  VkResult result = STADIAL_DRIVER_CALL(device_.Table(), vkCreateCommandPool, device_.Handle(), &info,
                                        device_.Callbacks(), &pool_);
  if (result != VK_SUCCESS) {
    pool_ = VK_NULL_HANDLE;
    return DriverError(result, "vkCreateCommandPool", "'%s'", name_);
  }
  device_.SetName(VK_OBJECT_TYPE_COMMAND_POOL, HandleBits(pool_), name_);
  while (buffers_.Size() < capacity) {
    constexpr std::uint32_t kBatch = 32;
    VkCommandBuffer batch[kBatch];
    VkCommandBufferAllocateInfo allocate{};
    allocate.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    allocate.commandPool = pool_;
    allocate.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
    const auto left = capacity - static_cast<std::uint32_t>(buffers_.Size());
    allocate.commandBufferCount = left < kBatch ? left : kBatch;
    result =
        STADIAL_DRIVER_CALL(device_.Table(), vkAllocateCommandBuffers, device_.Handle(), &allocate, batch);
    if (result != VK_SUCCESS)
      return DriverError(result, "vkAllocateCommandBuffers", "%u for '%s'", capacity, name_);
    for (std::uint32_t i = 0; i < allocate.commandBufferCount; ++i) buffers_.PushBack(batch[i]);
  }
  return {};
}

Result<Recorder> CommandBuffers::Begin(std::uint32_t index, bool replay) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(index, <, buffers_.Size(), "CommandBuffers: no such buffer");
  VkCommandBufferBeginInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
  info.flags = replay ? 0 : VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT;
  const VkResult result = STADIAL_DRIVER_CALL(device_.Table(), vkBeginCommandBuffer, buffers_[index], &info);
  if (result != VK_SUCCESS)
    return DriverError(result, "vkBeginCommandBuffer", "'%s' number %u", name_, index);
  return Recorder(device_, buffers_[index]);
}

Result<void> CommandBuffers::End(std::uint32_t index) noexcept {
  const VkResult result = STADIAL_DRIVER_CALL(device_.Table(), vkEndCommandBuffer, buffers_[index]);
  if (result != VK_SUCCESS) return DriverError(result, "vkEndCommandBuffer", "'%s' number %u", name_, index);
  return {};
}

Result<void> CommandBuffers::Reset() noexcept {
  const VkResult result =
      STADIAL_DRIVER_CALL(device_.Table(), vkResetCommandPool, device_.Handle(), pool_, 0);
  if (result != VK_SUCCESS) return DriverError(result, "vkResetCommandPool", "'%s'", name_);
  return {};
}

}  // namespace stadial::gpu
