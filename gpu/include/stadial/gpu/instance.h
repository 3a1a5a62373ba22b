// Instance: the Vulkan loader, one VkInstance, the list of devices, and the validation messenger.
// libvulkan is opened at run time: a machine without it gets an Error, not a program that does not start.
// Thread rules: create and destroy on one thread in Setup; afterwards everything here is read-only.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

#include "stadial/gpu/host_memory.h"
#include "stadial/gpu/owned.h"
#include "stadial/gpu/vulkan.h"

namespace stadial::gpu {

struct InstanceFunctions;  // private to gpu/src

struct InstanceOptions {
  const char* applicationName = "stadial";
  // VK_LAYER_KHRONOS_validation with synchronization validation, within and between submits. The layer
  // allocates 25 to 150 times a frame with plain new, so zero-allocation proofs run without it.
  bool validation = false;
  // False passes null to the driver instead of our callbacks: for measuring what they gain, nothing else.
  bool hostMemoryCallbacks = true;
  // Null: the instance makes its own. A caller that wants to look at the counters after teardown makes it
  // first.
  HostMemory* hostMemory = nullptr;
  // Devices listed at most; more are reported on the log and ignored.
  std::uint32_t devicesMax = 16;
};

// What this layer needs of a device: Vulkan 1.2, timeline semaphores, synchronization2 (core 1.3 or
// VK_KHR_synchronization2), and a queue family with compute.
struct DeviceInfo {
  VkPhysicalDevice handle = VK_NULL_HANDLE;
  std::uint32_t index = 0;  // position in Instance::Devices(), as in the request "#1"
  char name[VK_MAX_PHYSICAL_DEVICE_NAME_SIZE] = {};
  char driverName[VK_MAX_DRIVER_NAME_SIZE] = {};
  char driverInfo[VK_MAX_DRIVER_INFO_SIZE] = {};
  VkPhysicalDeviceType type = VK_PHYSICAL_DEVICE_TYPE_OTHER;
  VkDriverId driverId{};
  std::uint32_t vendorId = 0;
  std::uint32_t deviceId = 0;
  std::uint32_t apiVersion = 0;
  std::uint32_t driverVersion = 0;
  std::uint64_t deviceLocalBytes = 0;      // the sum of its device-local heaps
  std::uint32_t queueFamily = 0;           // the family this layer uses
  bool synchronization2Extension = false;  // through VK_KHR_synchronization2 instead of core 1.3
  bool memoryBudgetExtension = false;      // VK_EXT_memory_budget
  bool usable = false;
  char unusableReason[192] = {};  // why not, when not usable
  int score = 0;                  // higher is better; see SelectDevice
};

// "discrete", "integrated", "virtual", "cpu" or "other".
const char* ToString(VkPhysicalDeviceType type) noexcept;

class Instance {
 public:
  // Setup phase. Errors (NotSupported): no Vulkan loader, no driver, a loader older than 1.2, the validation
  // layer asked for but not installed. Errors (OutOfMemory): the driver ran out of host memory.
  static Result<Owned<Instance>> Create(runtime::Runtime& runtime, const InstanceOptions& options) noexcept;

  explicit Instance(runtime::Runtime& runtime) noexcept : runtime_(runtime) {}
  ~Instance();
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;

  // All devices, unusable ones too, in the loader's order. May be empty.
  std::span<const DeviceInfo> Devices() const noexcept { return devices_; }

  // `request` is empty (best score), "#1" (the index), or a part of the device's or the driver's name, in any
  // case ("nvidia", "llvmpipe", "swiftshader"; "lavapipe" finds llvmpipe). Where a name fits several, the
  // best score wins. Score: discrete 4000, integrated 3000, virtual 2000, other 1500, cpu 1000, and lavapipe
  // 100 over other software drivers. Errors: NotFound or NotSupported, listing what is there and, for an
  // unusable device, what it lacks.
  Result<const DeviceInfo*> SelectDevice(std::string_view request) const noexcept;

  // Warnings and errors of the validation layer so far, duplicates included. 0 when validation is off.
  std::uint64_t ValidationMessages() const noexcept { return messages_.load(std::memory_order_relaxed); }
  bool HasValidation() const noexcept { return messenger_ != VK_NULL_HANDLE; }
  bool HasDebugUtils() const noexcept { return debugUtils_; }

  // Device::Quarantine: with a device that nobody dares destroy, the instance stays as well.
  void KeepForEver() noexcept { kept_ = true; }

  VkInstance Handle() const noexcept { return instance_; }
  runtime::Runtime& GetRuntime() const noexcept { return runtime_; }
  HostMemory& Memory() const noexcept { return *hostMemory_; }
  const VkAllocationCallbacks* Callbacks() const noexcept { return callbacks_; }
  const InstanceFunctions& Functions() const noexcept { return *functions_; }

 private:
  static VkBool32 VKAPI_CALL OnMessage(VkDebugUtilsMessageSeverityFlagBitsEXT severity,
                                       VkDebugUtilsMessageTypeFlagsEXT types,
                                       const VkDebugUtilsMessengerCallbackDataEXT* data, void* self) noexcept;
  Result<void> Initialize(const InstanceOptions& options) noexcept;
  Result<void> CreateInstance(const InstanceOptions& options) noexcept;
  Result<void> ListDevices(std::uint32_t devicesMax) noexcept;
  bool IsNewMessage(std::uint32_t hash) noexcept;

  runtime::Runtime& runtime_;
  Owned<HostMemory> ownHostMemory_;
  HostMemory* hostMemory_ = nullptr;
  const VkAllocationCallbacks* callbacks_ = nullptr;
  const InstanceFunctions* functions_ = nullptr;  // in Setup memory
  VkInstance instance_ = VK_NULL_HANDLE;
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  bool debugUtils_ = false;
  bool kept_ = false;
  std::span<DeviceInfo> devices_{};
  std::atomic<std::uint64_t> messages_{0};
  // Hashes of the messages printed so far: each different one is printed once, all are counted.
  static constexpr std::size_t kRememberedMessages = 256;
  std::array<std::atomic<std::uint32_t>, kRememberedMessages> remembered_{};
};

}  // namespace stadial::gpu
