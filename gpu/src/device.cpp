#include "stadial/gpu/device.h"

#include "driver_call.h"
#include "loader.h"
#include "stadial/runtime/runtime.h"

namespace stadial::gpu {

Result<Owned<Device>> Device::Create(Instance& instance, const DeviceInfo& info) noexcept {
  runtime::Runtime& runtime = instance.GetRuntime();
  STADIAL_RETURN_IF_ERROR(runtime.Phases().Require(runtime::Phase::Setup, "gpu::Device::Create"));
  if (!info.usable) {
    return Error::Format(ErrorCode::NotSupported, "device '%s' cannot be used: it lacks %s", info.name,
                         info.unusableReason);
  }
  STADIAL_ASSIGN_OR_RETURN(Owned<Device> device,
                           MakeOwned<Device>(runtime.SetupArena(), "gpu::Device", instance, info));
  STADIAL_RETURN_IF_ERROR(device->Initialize());
  return device;
}

Device::~Device() {
  if (device_ == VK_NULL_HANDLE || IsQuarantined()) return;
  STADIAL_DRIVER_CALL(*table_, vkDestroyDevice, device_, Callbacks());
}

Result<void> Device::Initialize() noexcept {
  const InstanceFunctions& functions = instance_.Functions();
  VkPhysicalDeviceProperties2 properties{};
  properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  STADIAL_DRIVER_CALL_NAMED("vkGetPhysicalDeviceProperties2", functions.getProperties, info_.handle,
                            &properties);
  limits_ = properties.properties.limits;
  STADIAL_DRIVER_CALL_NAMED("vkGetPhysicalDeviceMemoryProperties", functions.getMemoryProperties,
                            info_.handle, &memory_);
  table_ = GetRuntime().SetupArena().New<VolkDeviceTable>();
  STADIAL_RETURN_IF_ERROR(CreateDevice());
  STADIAL_DRIVER_CALL(*table_, vkGetDeviceQueue, device_, info_.queueFamily, 0, &queue_);
  return {};
}

Result<void> Device::CreateDevice() noexcept {
  VkPhysicalDeviceSynchronization2Features synchronization2{};
  synchronization2.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SYNCHRONIZATION_2_FEATURES;
  synchronization2.synchronization2 = VK_TRUE;
  VkPhysicalDeviceTimelineSemaphoreFeatures timeline{};
  timeline.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES;
  timeline.pNext = &synchronization2;
  timeline.timelineSemaphore = VK_TRUE;

  const float priority = 1.0f;
  VkDeviceQueueCreateInfo queue{};
  queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queue.queueFamilyIndex = info_.queueFamily;
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;

  const char* extensions[2];
  std::uint32_t extensionCount = 0;
  if (info_.synchronization2Extension) extensions[extensionCount++] = VK_KHR_SYNCHRONIZATION_2_EXTENSION_NAME;
  if (info_.memoryBudgetExtension) extensions[extensionCount++] = VK_EXT_MEMORY_BUDGET_EXTENSION_NAME;
  VkDeviceCreateInfo create{};
  create.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  create.pNext = &timeline;
  create.queueCreateInfoCount = 1;
  create.pQueueCreateInfos = &queue;
  create.enabledExtensionCount = extensionCount;
  create.ppEnabledExtensionNames = extensions;
  VkDevice handle = VK_NULL_HANDLE;
  const VkResult result = STADIAL_DRIVER_CALL_NAMED("vkCreateDevice", instance_.Functions().createDevice,
                                                    info_.handle, &create, Callbacks(), &handle);
  if (result != VK_SUCCESS) return DriverError(result, "vkCreateDevice", "opening device '%s'", info_.name);
  device_ = handle;
  {
    const runtime::DriverCallScope scope("vkGetDeviceProcAddr");
    LoadDeviceTable(*table_, instance_.Handle(), device_);
  }
  AliasSynchronization2();
  if (table_->vkQueueSubmit2 == nullptr || table_->vkCmdPipelineBarrier2 == nullptr ||
      table_->vkWaitSemaphores == nullptr) {
    return Error::Format(ErrorCode::NotSupported,
                         "device '%s' promises timeline semaphores and synchronization2 but its driver lacks "
                         "the entry points; "
                         "update the driver",
                         info_.name);
  }
  SetName(VK_OBJECT_TYPE_DEVICE, HandleBits(device_), info_.name);
  return {};
}

// With the extension only the KHR names are sure to work; the rest of the layer knows the core names alone.
void Device::AliasSynchronization2() noexcept {
  if (!info_.synchronization2Extension) return;
  table_->vkQueueSubmit2 = table_->vkQueueSubmit2KHR;
  table_->vkCmdPipelineBarrier2 = table_->vkCmdPipelineBarrier2KHR;
}

std::array<runtime::HeapReading, VK_MAX_MEMORY_HEAPS> Device::ReadHeaps() const noexcept {
  std::array<runtime::HeapReading, VK_MAX_MEMORY_HEAPS> readings{};
  if (!info_.memoryBudgetExtension) return readings;
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{};
  budget.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT;
  VkPhysicalDeviceMemoryProperties2 properties{};
  properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2;
  properties.pNext = &budget;
  STADIAL_DRIVER_CALL_NAMED("vkGetPhysicalDeviceMemoryProperties2",
                            instance_.Functions().getMemoryProperties2, info_.handle, &properties);
  for (std::uint32_t heap = 0; heap < memory_.memoryHeapCount; ++heap)
    readings[heap] = {.usageBytes = budget.heapUsage[heap], .budgetBytes = budget.heapBudget[heap]};
  return readings;
}

void Device::SetName(VkObjectType type, std::uint64_t handle, const char* name) const noexcept {
  const InstanceFunctions& functions = instance_.Functions();
  if (!instance_.HasDebugUtils() || functions.setObjectName == nullptr || handle == 0) return;
  VkDebugUtilsObjectNameInfoEXT info{};
  info.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_OBJECT_NAME_INFO_EXT;
  info.objectType = type;
  info.objectHandle = handle;
  info.pObjectName = name;
  // A name that could not be stored is no reason to fail.
  static_cast<void>(
      STADIAL_DRIVER_CALL_NAMED("vkSetDebugUtilsObjectNameEXT", functions.setObjectName, device_, &info));
}

void Device::Quarantine(const char* why) noexcept {
  if (quarantined_.exchange(true, std::memory_order_acq_rel)) return;
  instance_.KeepForEver();
  GetRuntime().Options().log.Format(runtime::LogLevel::Error,
                                    "device '%s' is quarantined, its Vulkan objects are left undestroyed: %s",
                                    info_.name, why);
}

}  // namespace stadial::gpu
