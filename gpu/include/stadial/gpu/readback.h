// Readback: a mapped buffer the GPU copies into and the CPU reads after the frame's value is complete.
// Recording is done once (in Record or RecordCapture of a node); reading makes no driver call on the calling
// thread: where the memory is not coherent, the submit thread invalidates it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/arenas/effects.h"
#include "stadial/gpu/commands.h"
#include "stadial/gpu/gpu_memory.h"
#include "stadial/gpu/submit_thread.h"

namespace stadial::gpu {

class Readback {
 public:
  Readback() noexcept = default;
  static Result<Readback> Create(GpuMemory& memory, const char* name, VkDeviceSize bytes,
                                 Lifetime lifetime) noexcept;

  // Records: pass barrier, copy, barrier to the host.
  void RecordImage(Recorder& recorder, const Image& source) const noexcept;
  void RecordBuffer(Recorder& recorder, const Buffer& source, VkDeviceSize bytes,
                    VkDeviceSize sourceOffset = 0) const noexcept;

  // Waits until `value` is complete, then shows the bytes. They stay valid until the GPU copies here again.
  // Errors: those of SubmitThread::WaitForValue.
  Result<std::span<const std::byte>> Read(SubmitThread& submit, std::uint64_t value,
                                          std::uint64_t timeoutNs) const noexcept STADIAL_NONALLOCATING;

  VkDeviceSize SizeBytes() const noexcept { return buffer_.sizeBytes; }
  const Buffer& GetBuffer() const noexcept { return buffer_; }

 private:
  GpuMemory* memory_ = nullptr;
  Buffer buffer_{};
};

}  // namespace stadial::gpu
