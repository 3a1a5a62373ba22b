// Command buffers that are recorded once, in Compile, and submitted again and again; and the Recorder, a
// typed view of one of them with the few commands that compute work with images in VK_IMAGE_LAYOUT_GENERAL
// needs. Recording allocates inside drivers (31 blocks for a small frame in lavapipe), so none happens in a
// frame. Thread rules: a pool and its buffers belong to one thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "stadial/arenas/fixed_vector.h"
#include "stadial/gpu/compute_pipeline.h"
#include "stadial/gpu/device.h"
#include "stadial/gpu/gpu_memory.h"

namespace stadial::gpu {

// Synchronization2 barriers collected and issued in one vkCmdPipelineBarrier2. Fixed capacity; asserts when
// exceeded.
class BarrierBatch {
 public:
  BarrierBatch() noexcept {}  // NOLINT(cppcoreguidelines-pro-type-member-init): see below
  // Everything written by compute and transfer before is visible to compute and transfer after. With images
  // in GENERAL this is all that two dependent passes need; repeated calls add nothing.
  BarrierBatch& Passes() noexcept;
  // Writes before are visible to the host after the submit completes: at the end of work that is read back.
  BarrierBatch& ToHost() noexcept;
  BarrierBatch& Memory(VkPipelineStageFlags2 sourceStages, VkAccessFlags2 sourceAccess,
                       VkPipelineStageFlags2 targetStages, VkAccessFlags2 targetAccess) noexcept;
  // A layout change to GENERAL; contents are lost when `from` is UNDEFINED.
  BarrierBatch& ToGeneral(const Image& image, VkImageLayout from = VK_IMAGE_LAYOUT_UNDEFINED) noexcept;
  bool IsEmpty() const noexcept { return memoryCount_ == 0 && imageCount_ == 0; }
  bool IsFull() const noexcept { return memoryCount_ == kMemoryMax || imageCount_ == kImagesMax; }

 private:
  friend class Recorder;
  static constexpr std::uint32_t kMemoryMax = 8;
  static constexpr std::uint32_t kImagesMax = 32;
  std::uint32_t memoryCount_ = 0;
  std::uint32_t imageCount_ = 0;
  // Not initialised: 3 KiB of zeros for every barrier would cost more than recording it.
  std::array<VkMemoryBarrier2, kMemoryMax> memory_;
  std::array<VkImageMemoryBarrier2, kImagesMax> images_;
};

class Recorder {
 public:
  Recorder(Device& device, VkCommandBuffer commands) noexcept : device_(&device), commands_(commands) {}

  void BindPipeline(const ComputePipeline& pipeline) noexcept;
  void BindSet(const ComputePipeline& pipeline, std::uint32_t setIndex, VkDescriptorSet set) noexcept;
  void PushConstants(const ComputePipeline& pipeline, const void* data, std::uint32_t bytes) noexcept;
  template <class T>
  void PushConstants(const ComputePipeline& pipeline, const T& value) noexcept {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) % 4 == 0, "push constants are whole words");
    PushConstants(pipeline, &value, static_cast<std::uint32_t>(sizeof(T)));
  }
  // Work groups; asserts within maxComputeWorkGroupCount. A count of 0 records nothing.
  void Dispatch(std::uint32_t groupsX, std::uint32_t groupsY = 1, std::uint32_t groupsZ = 1) noexcept;

  void Barrier(BarrierBatch& batch) noexcept;  // issues and empties it; nothing when empty
  void PassBarrier() noexcept;                 // BarrierBatch::Passes in one call

  void CopyBuffer(const Buffer& source, const Buffer& target, VkDeviceSize bytes,
                  VkDeviceSize sourceOffset = 0, VkDeviceSize targetOffset = 0) noexcept;
  // Tightly packed rows, the whole image.
  void CopyImageToBuffer(const Image& source, const Buffer& target, VkDeviceSize targetOffset = 0) noexcept;
  void CopyBufferToImage(const Buffer& source, const Image& target, VkDeviceSize sourceOffset = 0) noexcept;
  void CopyImage(const Image& source, const Image& target) noexcept;  // equal extents
  void FillBuffer(const Buffer& target, std::uint32_t word, VkDeviceSize offset = 0,
                  VkDeviceSize bytes = VK_WHOLE_SIZE) noexcept;
  void ClearImage(const Image& target, const VkClearColorValue& value = {}) noexcept;

  void BeginLabel(const char* name) noexcept;  // debug labels; nothing without VK_EXT_debug_utils
  void EndLabel() noexcept;

  VkCommandBuffer Handle() const noexcept { return commands_; }
  Device& GetDevice() const noexcept { return *device_; }

 private:
  Device* device_;
  VkCommandBuffer commands_;
};

// The work groups that cover `size` items, `groupSize` at a time.
constexpr std::uint32_t GroupsCovering(std::uint32_t size, std::uint32_t groupSize) noexcept {
  return size / groupSize + (size % groupSize != 0 ? 1u : 0u);
}

// A pool with `capacity` primary command buffers, all allocated by Create.
class CommandBuffers {
 public:
  static Result<Owned<CommandBuffers>> Create(Device& device, const char* name,
                                              std::uint32_t capacity) noexcept;
  CommandBuffers(Device& device, const char* name, std::uint32_t capacity, arenas::Arena& memory) noexcept;
  ~CommandBuffers();
  CommandBuffers(const CommandBuffers&) = delete;
  CommandBuffers& operator=(const CommandBuffers&) = delete;

  // Starts recording buffer number `index`; its former contents are gone. `replay` promises that it will be
  // submitted more than once, though never twice at a time.
  Result<Recorder> Begin(std::uint32_t index, bool replay) noexcept;
  Result<void> End(std::uint32_t index) noexcept;
  // Resets the whole pool: every buffer is empty again. The GPU is done with them: drain first.
  Result<void> Reset() noexcept;

  VkCommandBuffer operator[](std::uint32_t index) const noexcept { return buffers_[index]; }
  std::uint32_t Count() const noexcept { return static_cast<std::uint32_t>(buffers_.Size()); }

 private:
  Result<void> Initialize(std::uint32_t capacity) noexcept;
  Device& device_;
  const char* name_;
  VkCommandPool pool_ = VK_NULL_HANDLE;
  arenas::FixedVector<VkCommandBuffer> buffers_;
};

}  // namespace stadial::gpu
