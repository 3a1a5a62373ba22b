#include "loader.h"

#include <volk.h>

#include <mutex>

namespace stadial::gpu {
namespace {

template <class Function>
Function Find(VkInstance instance, const char* name) noexcept {
  return reinterpret_cast<Function>(vkGetInstanceProcAddr(instance, name));
}

// volk keeps its loader state in globals; instances are made rarely and one at a time.
std::mutex& VolkMutex() noexcept {
  static std::mutex mutex;
  return mutex;
}

}  // namespace

Result<GlobalFunctions> LoadLoader() noexcept {
  const std::lock_guard lock(VolkMutex());
  static const VkResult loaded = volkInitialize();
  if (loaded != VK_SUCCESS) {
    return Error::Format(ErrorCode::NotSupported,
                         "no Vulkan on this machine: libvulkan.so.1 could not be opened; install a Vulkan loader and driver "
                         "(Debian: libvulkan1 mesa-vulkan-drivers)");
  }
  GlobalFunctions functions;
  functions.createInstance = Find<PFN_vkCreateInstance>(VK_NULL_HANDLE, "vkCreateInstance");
  functions.enumerateExtensions =
      Find<PFN_vkEnumerateInstanceExtensionProperties>(VK_NULL_HANDLE, "vkEnumerateInstanceExtensionProperties");
  functions.enumerateLayers =
      Find<PFN_vkEnumerateInstanceLayerProperties>(VK_NULL_HANDLE, "vkEnumerateInstanceLayerProperties");
  return functions;
}

std::uint32_t LoaderVersion() noexcept { return volkGetInstanceVersion(); }

InstanceFunctions LoadInstanceFunctions(VkInstance instance) noexcept {
  InstanceFunctions functions;
  functions.destroyInstance = Find<PFN_vkDestroyInstance>(instance, "vkDestroyInstance");
  functions.enumeratePhysicalDevices = Find<PFN_vkEnumeratePhysicalDevices>(instance, "vkEnumeratePhysicalDevices");
  functions.getProperties = Find<PFN_vkGetPhysicalDeviceProperties2>(instance, "vkGetPhysicalDeviceProperties2");
  functions.getFeatures = Find<PFN_vkGetPhysicalDeviceFeatures2>(instance, "vkGetPhysicalDeviceFeatures2");
  functions.getMemoryProperties =
      Find<PFN_vkGetPhysicalDeviceMemoryProperties>(instance, "vkGetPhysicalDeviceMemoryProperties");
  functions.getQueueFamilies =
      Find<PFN_vkGetPhysicalDeviceQueueFamilyProperties>(instance, "vkGetPhysicalDeviceQueueFamilyProperties");
  functions.getFormatProperties =
      Find<PFN_vkGetPhysicalDeviceFormatProperties>(instance, "vkGetPhysicalDeviceFormatProperties");
  functions.enumerateDeviceExtensions =
      Find<PFN_vkEnumerateDeviceExtensionProperties>(instance, "vkEnumerateDeviceExtensionProperties");
  functions.createDevice = Find<PFN_vkCreateDevice>(instance, "vkCreateDevice");
  functions.createMessenger = Find<PFN_vkCreateDebugUtilsMessengerEXT>(instance, "vkCreateDebugUtilsMessengerEXT");
  functions.destroyMessenger = Find<PFN_vkDestroyDebugUtilsMessengerEXT>(instance, "vkDestroyDebugUtilsMessengerEXT");
  functions.setObjectName = Find<PFN_vkSetDebugUtilsObjectNameEXT>(instance, "vkSetDebugUtilsObjectNameEXT");
  functions.beginLabel = Find<PFN_vkCmdBeginDebugUtilsLabelEXT>(instance, "vkCmdBeginDebugUtilsLabelEXT");
  functions.endLabel = Find<PFN_vkCmdEndDebugUtilsLabelEXT>(instance, "vkCmdEndDebugUtilsLabelEXT");
  return functions;
}

void LoadDeviceTable(VolkDeviceTable& table, VkInstance instance, VkDevice device) noexcept {
  const std::lock_guard lock(VolkMutex());
  vkGetDeviceProcAddr = Find<PFN_vkGetDeviceProcAddr>(instance, "vkGetDeviceProcAddr");
  volkLoadDeviceTable(&table, device);
}

}  // namespace stadial::gpu
