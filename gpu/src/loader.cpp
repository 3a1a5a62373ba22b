#include "loader.h"

#include <dlfcn.h>
#include <link.h>
#include <volk.h>

#include <cstdio>
#include <mutex>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STADIAL_GPU_SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define STADIAL_GPU_SANITIZED 1
#endif
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
    return Error::Format(
        ErrorCode::NotSupported,
        "no Vulkan on this machine: libvulkan.so.1 could not be opened; install a Vulkan loader and driver "
        "(Debian: libvulkan1 mesa-vulkan-drivers)");
  }
  GlobalFunctions functions;
  functions.createInstance = Find<PFN_vkCreateInstance>(VK_NULL_HANDLE, "vkCreateInstance");
  functions.enumerateExtensions = Find<PFN_vkEnumerateInstanceExtensionProperties>(
      VK_NULL_HANDLE, "vkEnumerateInstanceExtensionProperties");
  functions.enumerateLayers =
      Find<PFN_vkEnumerateInstanceLayerProperties>(VK_NULL_HANDLE, "vkEnumerateInstanceLayerProperties");
  return functions;
}

std::uint32_t LoaderVersion() noexcept { return volkGetInstanceVersion(); }

InstanceFunctions LoadInstanceFunctions(VkInstance instance) noexcept {
  InstanceFunctions functions;
  functions.destroyInstance = Find<PFN_vkDestroyInstance>(instance, "vkDestroyInstance");
  functions.enumeratePhysicalDevices =
      Find<PFN_vkEnumeratePhysicalDevices>(instance, "vkEnumeratePhysicalDevices");
  functions.getProperties =
      Find<PFN_vkGetPhysicalDeviceProperties2>(instance, "vkGetPhysicalDeviceProperties2");
  functions.getFeatures = Find<PFN_vkGetPhysicalDeviceFeatures2>(instance, "vkGetPhysicalDeviceFeatures2");
  functions.getMemoryProperties =
      Find<PFN_vkGetPhysicalDeviceMemoryProperties>(instance, "vkGetPhysicalDeviceMemoryProperties");
  functions.getMemoryProperties2 =
      Find<PFN_vkGetPhysicalDeviceMemoryProperties2>(instance, "vkGetPhysicalDeviceMemoryProperties2");
  functions.getQueueFamilies = Find<PFN_vkGetPhysicalDeviceQueueFamilyProperties>(
      instance, "vkGetPhysicalDeviceQueueFamilyProperties");
  functions.getFormatProperties =
      Find<PFN_vkGetPhysicalDeviceFormatProperties>(instance, "vkGetPhysicalDeviceFormatProperties");
  functions.enumerateDeviceExtensions =
      Find<PFN_vkEnumerateDeviceExtensionProperties>(instance, "vkEnumerateDeviceExtensionProperties");
  functions.createDevice = Find<PFN_vkCreateDevice>(instance, "vkCreateDevice");
  functions.createMessenger =
      Find<PFN_vkCreateDebugUtilsMessengerEXT>(instance, "vkCreateDebugUtilsMessengerEXT");
  functions.destroyMessenger =
      Find<PFN_vkDestroyDebugUtilsMessengerEXT>(instance, "vkDestroyDebugUtilsMessengerEXT");
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

std::size_t CountModules() noexcept {
#if defined(STADIAL_GPU_SANITIZED)
  return 0;  // keep them all: a report at exit can then name the driver it comes from
#else
  std::size_t count = 0;
  ::dl_iterate_phdr(
      [](dl_phdr_info*, std::size_t, void* counted) -> int {
        ++*static_cast<std::size_t*>(counted);
        return 0;
      },
      &count);
  return count;
#endif
}

void KeepModulesLoadedSince(std::size_t before) noexcept {
  constexpr std::size_t kModulesMax = 128;
  constexpr std::size_t kPathBytesMax = 256;
  struct Paths {
    std::size_t skip = 0;
    std::size_t count = 0;
    char text[kModulesMax][kPathBytesMax];
  };
  static Paths paths;
  const std::lock_guard lock(VolkMutex());
  paths.skip = before;
  paths.count = 0;
  // Names first: the iteration holds the lock that dlopen wants.
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void*) -> int {
        if (paths.skip > 0) {
          --paths.skip;
        } else if (info->dlpi_name != nullptr && info->dlpi_name[0] == '/' && paths.count < kModulesMax) {
          std::snprintf(paths.text[paths.count++], kPathBytesMax, "%s", info->dlpi_name);
        }
        return 0;
      },
      nullptr);
  for (std::size_t i = 0; i < paths.count; ++i)
    ::dlopen(paths.text[i], RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

}  // namespace stadial::gpu
