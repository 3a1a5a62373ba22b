// The one door to libvulkan. volk opens the library and fills device tables; the few instance functions this
// layer needs are kept per instance here, so that no other file sees volk's global function pointers.
#pragma once

#include <cstddef>
#include <cstdint>

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

// Keeps what a vkCreateInstance has loaded (drivers, layers) in memory for good, where the loader would
// unload it with the instance: NVIDIA's driver takes static thread-local storage each time it is loaded and
// gives none back, and after some thirty instances glibc has no more and the driver is "not there".
// CountModules: how many modules are loaded now; modules loaded later stand behind them. Under a sanitizer
// everything is kept.
std::size_t CountModules() noexcept;
void KeepModulesLoadedSince(std::size_t before) noexcept;

}  // namespace stadial::gpu
