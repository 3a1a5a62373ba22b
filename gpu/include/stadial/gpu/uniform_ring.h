// UniformRing: per-frame data of a node (camera, jitter, flags) in one persistently mapped, coherent buffer
// with one region per frame slot. Writing is a memcpy: no driver call, no flush. The region of a slot may be
// written from FrameLoop::Begin of that slot on, since Begin waits until the GPU is done with the slot's last
// frame. Thread rules: one writer per slot at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "stadial/arenas/assert.h"
#include "stadial/gpu/gpu_memory.h"

namespace stadial::gpu {

class UniformRing {
 public:
  UniformRing() noexcept = default;

  // `slots` is the runtime's frames in flight; `bytesPerSlot` at most maxUniformBufferRange. Lifetime::Setup,
  // so it survives resizes.
  static Result<UniformRing> Create(GpuMemory& memory, const char* name, std::size_t bytesPerSlot,
                                    std::uint32_t slots) noexcept;

  // The slot's bytes. Write only: the memory may be uncached.
  std::span<std::byte> Slot(std::uint32_t slot) const noexcept {
    STADIAL_ASSERT_COMPARE(slot, <, slots_, "UniformRing: no such frame slot");
    return {buffer_.mapped + strideBytes_ * slot, bytesPerSlot_};
  }

  template <class T>
  void Write(std::uint32_t slot, const T& value) const noexcept {
    static_assert(std::is_trivially_copyable_v<T>, "uniform data is copied bytewise");
    STADIAL_ASSERT_COMPARE(sizeof(T), <=, bytesPerSlot_, "UniformRing: the value is larger than the slot");
    std::memcpy(Slot(slot).data(), &value, sizeof(T));
  }

  // For descriptor writes: the slot's offset in GetBuffer(), a multiple of minUniformBufferOffsetAlignment.
  VkDeviceSize OffsetBytes(std::uint32_t slot) const noexcept { return strideBytes_ * slot; }
  std::size_t BytesPerSlot() const noexcept { return bytesPerSlot_; }
  std::uint32_t Slots() const noexcept { return slots_; }
  const Buffer& GetBuffer() const noexcept { return buffer_; }

 private:
  Buffer buffer_{};
  VkDeviceSize strideBytes_ = 0;
  std::size_t bytesPerSlot_ = 0;
  std::uint32_t slots_ = 0;
};

}  // namespace stadial::gpu
