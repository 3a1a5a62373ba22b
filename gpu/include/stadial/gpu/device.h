// Device: one VkDevice with one queue, its function table and its limits. A single queue carries all work of
// this layer: software drivers have only one, and compute with history has nothing to overlap that a second
// would gain. Thread rules: the queue belongs to the SubmitThread (submit_thread.h) once that is started;
// everything else here is read-only after Create.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "stadial/gpu/instance.h"
#include "stadial/gpu/owned.h"
#include "stadial/gpu/vulkan.h"
#include "stadial/runtime/budget.h"

namespace stadial::gpu {

class Device {
 public:
  // Setup phase. `info` is one of instance.Devices(). Errors: the device lacks what the layer needs
  // (NotSupported, with the list), or the driver refused (Driver, OutOfMemory).
  static Result<Owned<Device>> Create(Instance& instance, const DeviceInfo& info) noexcept;

  Device(Instance& instance, const DeviceInfo& info) noexcept : instance_(instance), info_(info) {}
  // Destroys the device. All objects made from it are gone by then, the submit thread first of all.
  ~Device();
  Device(const Device&) = delete;
  Device& operator=(const Device&) = delete;

  VkDevice Handle() const noexcept { return device_; }
  VkPhysicalDevice Physical() const noexcept { return info_.handle; }
  VkQueue Queue() const noexcept { return queue_; }
  std::uint32_t QueueFamily() const noexcept { return info_.queueFamily; }
  const VolkDeviceTable& Table() const noexcept { return *table_; }
  const DeviceInfo& Info() const noexcept { return info_; }
  const char* Name() const noexcept { return info_.name; }
  const VkPhysicalDeviceLimits& Limits() const noexcept { return limits_; }
  const VkPhysicalDeviceMemoryProperties& MemoryProperties() const noexcept { return memory_; }
  const VkAllocationCallbacks* Callbacks() const noexcept { return instance_.Callbacks(); }
  Instance& GetInstance() const noexcept { return instance_; }
  runtime::Runtime& GetRuntime() const noexcept { return instance_.GetRuntime(); }

  // What the device says of its heaps now, in their order (VK_EXT_memory_budget); zeros without the
  // extension. Asks the driver: not for frames.
  std::array<runtime::HeapReading, VK_MAX_MEMORY_HEAPS> ReadHeaps() const noexcept;

  // Names a Vulkan object for debuggers and messages; nothing when VK_EXT_debug_utils is absent. Not for
  // frames.
  void SetName(VkObjectType type, std::uint64_t handle, const char* name) const noexcept;

  // After a drain that failed (a hung or lost device) nobody knows what the GPU still touches: every Vulkan
  // object is then left as it is instead of being destroyed under it. Said once on the log. Never undone.
  void Quarantine(const char* why) noexcept;
  bool IsQuarantined() const noexcept { return quarantined_.load(std::memory_order_acquire); }

 private:
  Result<void> Initialize() noexcept;
  Result<void> CreateDevice() noexcept;
  void AliasSynchronization2() noexcept;

  Instance& instance_;
  DeviceInfo info_;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE;
  VolkDeviceTable* table_ = nullptr;  // in Setup memory
  VkPhysicalDeviceLimits limits_{};
  VkPhysicalDeviceMemoryProperties memory_{};
  std::atomic<bool> quarantined_{false};
};

}  // namespace stadial::gpu
