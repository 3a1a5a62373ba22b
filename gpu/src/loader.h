// The one door to libvulkan. volk opens the library and fills device tables; the few instance functions this
// layer needs are kept per instance here, so that no other file sees volk's global function pointers.
#pragma once

#include "stadial/gpu/vulkan.h"

namespace stadial::gpu {

struct GlobalFunctions {
  PFN_vkCreateInstance createInstance = nullptr;
  PFN_vkEnumerateInstanceExtensionProperties enumerateExtensions = nullptr;
  PFN_vkEnumerateInstanceLayerProperties enumerateLayers = nullptr;
};

struct InstanceFunctions {
  PFN_vkDestroyInstance destroyInstance = nullptr;
  PFN_vkEnumeratePhysicalDevices enumeratePhysicalDevices = nullptr;
  PFN_vkGetPhysicalDeviceProperties2 getProperties = nullptr;
  PFN_vkGetPhysicalDeviceFeatures2 getFeatures = nullptr;
  PFN_vkGetPhysicalDeviceMemoryProperties getMemoryProperties = nullptr;
  PFN_vkGetPhysicalDeviceMemoryProperties2 getMemoryProperties2 = nullptr;
  PFN_vkGetPhysicalDeviceQueueFamilyProperties getQueueFamilies = nullptr;
  PFN_vkGetPhysicalDeviceFormatProperties getFormatProperties = nullptr;
  PFN_vkEnumerateDeviceExtensionProperties enumerateDeviceExtensions = nullptr;
  PFN_vkCreateDevice createDevice = nullptr;
  // The rest is null without VK_EXT_debug_utils.
  PFN_vkCreateDebugUtilsMessengerEXT createMessenger = nullptr;
  PFN_vkDestroyDebugUtilsMessengerEXT destroyMessenger = nullptr;
  PFN_vkSetDebugUtilsObjectNameEXT setObjectName = nullptr;
  PFN_vkCmdBeginDebugUtilsLabelEXT beginLabel = nullptr;
  PFN_vkCmdEndDebugUtilsLabelEXT endLabel = nullptr;
};

// Opens libvulkan once per process (it stays open); NotSupported when there is none.
Result<GlobalFunctions> LoadLoader() noexcept;

// The loader's API version (VK_MAKE_API_VERSION).
std::uint32_t LoaderVersion() noexcept;

InstanceFunctions LoadInstanceFunctions(VkInstance instance) noexcept;

void LoadDeviceTable(VolkDeviceTable& table, VkInstance instance, VkDevice device) noexcept;

// Under a sanitizer: keeps every module that is loaded now in memory for good, so that a report at exit can
// name the driver it comes from (and a suppression can match it). Otherwise nothing.
void KeepModulesForReports() noexcept;

}  // namespace stadial::gpu
