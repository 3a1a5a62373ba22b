// Copies between the CPU and the GPU: uniform rings, uploads before frames, readback.
#include <algorithm>
#include <cstring>

#include "driver_call.h"
#include "stadial/arenas/virtual_memory.h"
#include "stadial/gpu/readback.h"
#include "stadial/gpu/uniform_ring.h"
#include "stadial/gpu/upload.h"
#include "stadial/runtime/runtime.h"

namespace stadial::gpu {

Result<UniformRing> UniformRing::Create(GpuMemory& memory, const char* name, std::size_t bytesPerSlot,
                                        std::uint32_t slots) noexcept {
  const VkPhysicalDeviceLimits& limits = memory.GetDevice().Limits();
  if (slots == 0 || bytesPerSlot == 0 || bytesPerSlot > limits.maxUniformBufferRange) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "uniform ring '%s' of %u slots of %zu B: 1 slot at least and 1 to %u B per slot are "
                         "possible on device '%s'",
                         name, slots, bytesPerSlot, limits.maxUniformBufferRange, memory.GetDevice().Name());
  }
  UniformRing ring;
  // Both alignments are powers of two; a slot is also whole cache lines, so that two slots never share one.
  const VkDeviceSize alignment = std::max<VkDeviceSize>(limits.minUniformBufferOffsetAlignment, 64);
  ring.strideBytes_ = (bytesPerSlot + alignment - 1) / alignment * alignment;
  ring.bytesPerSlot_ = bytesPerSlot;
  ring.slots_ = slots;
  STADIAL_ASSIGN_OR_RETURN(ring.buffer_, memory.CreateBuffer({.name = name,
                                                              .sizeBytes = ring.strideBytes_ * slots,
                                                              .usage = VK_BUFFER_USAGE_UNIFORM_BUFFER_BIT,
                                                              .use = MemoryUse::Upload,
                                                              .lifetime = Lifetime::Setup}));
  std::memset(ring.buffer_.mapped, 0, ring.buffer_.sizeBytes);
  return ring;
}

Result<Owned<SetupUploader>> SetupUploader::Create(GpuMemory& memory, SubmitThread& submit,
                                                   VkDeviceSize stagingBytes) noexcept {
  Device& device = memory.GetDevice();
  STADIAL_ASSIGN_OR_RETURN(const Buffer staging, memory.CreateBuffer({.name = "upload staging",
                                                                      .sizeBytes = stagingBytes,
                                                                      .usage = 0,
                                                                      .use = MemoryUse::Upload,
                                                                      .lifetime = Lifetime::Setup}));
  STADIAL_ASSIGN_OR_RETURN(Owned<CommandBuffers> commands, CommandBuffers::Create(device, "uploads", 1));
  return MakeOwned<SetupUploader>(device.GetRuntime().SetupArena(), "gpu::SetupUploader", memory, submit,
                                  staging, std::move(commands));
}

Result<void> SetupUploader::ToBuffer(const Buffer& target, VkDeviceSize offsetBytes,
                                     std::span<const std::byte> data) noexcept {
  if (offsetBytes > target.sizeBytes || data.size() > target.sizeBytes - offsetBytes) {
    return Error::Format(ErrorCode::InvalidArgument, "upload of %zu B at offset %llu into a buffer of %llu B",
                         data.size(), static_cast<unsigned long long>(offsetBytes),
                         static_cast<unsigned long long>(target.sizeBytes));
  }
  if (target.mapped != nullptr) {
    std::memcpy(target.mapped + offsetBytes, data.data(), data.size());
    return {};
  }
  while (!data.empty()) {
    const std::size_t piece = std::min<std::size_t>(data.size(), staging_.sizeBytes);
    std::memcpy(staging_.mapped, data.data(), piece);
    STADIAL_ASSIGN_OR_RETURN(Recorder recorder, commands_->Begin(0, false));
    recorder.PassBarrier();
    recorder.CopyBuffer(staging_, target, piece, 0, offsetBytes);
    recorder.PassBarrier();
    STADIAL_RETURN_IF_ERROR(commands_->End(0));
    STADIAL_RETURN_IF_ERROR(submit_.RunOnce((*commands_)[0]));
    data = data.subspan(piece);
    offsetBytes += piece;
  }
  return {};
}

Result<void> SetupUploader::ToImage(const Image& target, std::span<const std::byte> texels) noexcept {
  if (texels.size() > staging_.sizeBytes) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "upload of an image of %zu B through a staging buffer of %llu B; create the uploader with more",
        texels.size(), static_cast<unsigned long long>(staging_.sizeBytes));
  }
  if (PackedBytes(target) != 0 && texels.size() != PackedBytes(target)) {
    return Error::Format(ErrorCode::InvalidArgument, "upload of %zu B into an image of %llu B", texels.size(),
                         static_cast<unsigned long long>(PackedBytes(target)));
  }
  std::memcpy(staging_.mapped, texels.data(), texels.size());
  STADIAL_ASSIGN_OR_RETURN(Recorder recorder, commands_->Begin(0, false));
  BarrierBatch before;
  before.Passes();
  if (memory_.TakeImageAwaitingLayout(target)) before.ToGeneral(target);
  recorder.Barrier(before);
  recorder.CopyBufferToImage(staging_, target);
  recorder.PassBarrier();
  STADIAL_RETURN_IF_ERROR(commands_->End(0));
  return submit_.RunOnce((*commands_)[0]);
}

Result<void> SetupUploader::Fill(const Buffer& target, std::uint32_t word) noexcept {
  STADIAL_ASSIGN_OR_RETURN(Recorder recorder, commands_->Begin(0, false));
  recorder.PassBarrier();
  recorder.FillBuffer(target, word);
  recorder.PassBarrier();
  STADIAL_RETURN_IF_ERROR(commands_->End(0));
  return submit_.RunOnce((*commands_)[0]);
}

Result<Readback> Readback::Create(GpuMemory& memory, const char* name, VkDeviceSize bytes,
                                  Lifetime lifetime) noexcept {
  Readback readback;
  readback.memory_ = &memory;
  STADIAL_ASSIGN_OR_RETURN(
      readback.buffer_,
      memory.CreateBuffer(
          {.name = name, .sizeBytes = bytes, .usage = 0, .use = MemoryUse::Readback, .lifetime = lifetime}));
  // A first touch in a frame would be a page fault on the frame thread, on drivers that map lazily. Read, not written:
  // in memory that is not coherent a written line could later come back over what the GPU wrote.
  const std::size_t pageBytes = arenas::PageSize();
  for (VkDeviceSize at = 0; at < readback.buffer_.sizeBytes; at += pageBytes) {
    static_cast<void>(*static_cast<const volatile std::byte*>(readback.buffer_.mapped + at));
  }
  return readback;
}

void Readback::RecordImage(Recorder& recorder, const Image& source) const noexcept {
  recorder.PassBarrier();
  recorder.CopyImageToBuffer(source, buffer_);
  BarrierBatch after;
  recorder.Barrier(after.ToHost());
}

void Readback::RecordBuffer(Recorder& recorder, const Buffer& source, VkDeviceSize bytes,
                            VkDeviceSize sourceOffset) const noexcept {
  recorder.PassBarrier();
  recorder.CopyBuffer(source, buffer_, bytes, sourceOffset);
  BarrierBatch after;
  recorder.Barrier(after.ToHost());
}

Result<std::span<const std::byte>> Readback::Read(SubmitThread& submit, std::uint64_t value,
                                                  std::uint64_t timeoutNs) const noexcept {
  STADIAL_RETURN_IF_ERROR(submit.WaitForValue(value, timeoutNs));
  if (!buffer_.coherent) STADIAL_RETURN_IF_ERROR(submit.Invalidate(*memory_, buffer_));
  return std::span<const std::byte>(buffer_.mapped, buffer_.sizeBytes);
}

}  // namespace stadial::gpu
