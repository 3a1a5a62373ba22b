// Uploads before frames run: copies CPU data into device-local buffers and images through one mapped staging
// buffer, blocking until the GPU has it. For Setup and Compile (scene data, tables); streaming within frames
// is not its task. Thread rules: the producer thread of the SubmitThread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/gpu/commands.h"
#include "stadial/gpu/gpu_memory.h"
#include "stadial/gpu/submit_thread.h"

namespace stadial::gpu {

class SetupUploader {
 public:
  // Setup phase. Larger uploads go through the staging buffer in pieces of `stagingBytes`.
  static Result<Owned<SetupUploader>> Create(GpuMemory& memory, SubmitThread& submit,
                                             VkDeviceSize stagingBytes) noexcept;
  SetupUploader(GpuMemory& memory, SubmitThread& submit, const Buffer& staging,
                Owned<CommandBuffers> commands) noexcept
      : memory_(memory), submit_(submit), staging_(staging), commands_(std::move(commands)) {}

  // Upload buffers are simply written. Errors: out of range (InvalidArgument), or the submit's.
  Result<void> ToBuffer(const Buffer& target, VkDeviceSize offsetBytes,
                        std::span<const std::byte> data) noexcept;
  // Tightly packed texels of the whole image; it is moved to GENERAL. The staging buffer must hold them all.
  Result<void> ToImage(const Image& target, std::span<const std::byte> texels) noexcept;
  Result<void> Fill(const Buffer& target, std::uint32_t word) noexcept;

 private:
  GpuMemory& memory_;
  SubmitThread& submit_;
  Buffer staging_;
  Owned<CommandBuffers> commands_;
};

}  // namespace stadial::gpu
