// The list of devices and the choice among them.
#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <cstring>

#include "driver_call.h"
#include "loader.h"
#include "stadial/gpu/instance.h"
#include "stadial/runtime/runtime.h"

namespace stadial::gpu {
namespace {

constexpr std::uint32_t kExtensionsMax = 512;
constexpr std::uint32_t kQueueFamiliesMax = 32;

bool HasExtension(const InstanceFunctions& functions, VkPhysicalDevice device, arenas::Arena& arena,
                  const char* wanted) noexcept {
  const arenas::ArenaScope scope(arena);
  const auto extensions = arena.NewArray<VkExtensionProperties>(kExtensionsMax);
  std::uint32_t count = kExtensionsMax;
  const VkResult result =
      STADIAL_DRIVER_CALL_NAMED("vkEnumerateDeviceExtensionProperties", functions.enumerateDeviceExtensions,
                                device, nullptr, &count, extensions.data());
  if (result != VK_SUCCESS && result != VK_INCOMPLETE) return false;
  return std::ranges::any_of(extensions.first(count), [wanted](const VkExtensionProperties& extension) {
    return std::strcmp(extension.extensionName, wanted) == 0;
  });
}

// The first family with compute and graphics, else the first with compute; false when there is none.
bool ChooseQueueFamily(const InstanceFunctions& functions, VkPhysicalDevice device,
                       std::uint32_t& family) noexcept {
  VkQueueFamilyProperties families[kQueueFamiliesMax];
  std::uint32_t count = kQueueFamiliesMax;
  STADIAL_DRIVER_CALL_NAMED("vkGetPhysicalDeviceQueueFamilyProperties", functions.getQueueFamilies, device,
                            &count, families);
  bool found = false;
  for (std::uint32_t i = 0; i < count; ++i) {
    if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0 || families[i].queueCount == 0) continue;
    if ((families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) != 0) {
      family = i;
      return true;
    }
    if (!found) family = i;
    found = true;
  }
  return found;
}

void Lacks(DeviceInfo& info, const char* what) noexcept {
  const std::size_t used = std::strlen(info.unusableReason);
  std::snprintf(info.unusableReason + used, sizeof info.unusableReason - used, "%s%s", used == 0 ? "" : ", ",
                what);
}

// Fills in features, queue family and the reason why a device cannot be used.
void Examine(const InstanceFunctions& functions, arenas::Arena& arena, DeviceInfo& info) noexcept {
  if (info.apiVersion < VK_API_VERSION_1_2) {
    char version[64];
    std::snprintf(version, sizeof version, "Vulkan 1.2 (it has %u.%u)", VK_API_VERSION_MAJOR(info.apiVersion),
                  VK_API_VERSION_MINOR(info.apiVersion));
    Lacks(info, version);
    return;
  }
  VkPhysicalDeviceSynchronization2Features synchronization2{};
  synchronization2.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SYNCHRONIZATION_2_FEATURES;
  VkPhysicalDeviceTimelineSemaphoreFeatures timeline{};
  timeline.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES;
  VkPhysicalDeviceFeatures2 features{};
  features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  features.pNext = &timeline;
  const bool core = info.apiVersion >= VK_API_VERSION_1_3;
  info.synchronization2Extension =
      !core && HasExtension(functions, info.handle, arena, VK_KHR_SYNCHRONIZATION_2_EXTENSION_NAME);
  info.memoryBudgetExtension =
      HasExtension(functions, info.handle, arena, VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  if (core || info.synchronization2Extension) timeline.pNext = &synchronization2;
  STADIAL_DRIVER_CALL_NAMED("vkGetPhysicalDeviceFeatures2", functions.getFeatures, info.handle, &features);
  if (timeline.timelineSemaphore == VK_FALSE) Lacks(info, "timeline semaphores");
  if (synchronization2.synchronization2 == VK_FALSE)
    Lacks(info, "synchronization2 (core 1.3 or VK_KHR_synchronization2)");
  if (!ChooseQueueFamily(functions, info.handle, info.queueFamily))
    Lacks(info, "a queue family with compute");
}

int BaseScore(VkPhysicalDeviceType type) noexcept {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
      return 4000;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      return 3000;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
      return 2000;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
      return 1000;
    default:
      return 1500;
  }
}

DeviceInfo Describe(const InstanceFunctions& functions, arenas::Arena& arena, VkPhysicalDevice device,
                    std::uint32_t index) noexcept {
  DeviceInfo info;
  info.handle = device;
  info.index = index;
  VkPhysicalDeviceDriverProperties driver{};
  driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES;
  VkPhysicalDeviceProperties2 properties{};
  properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  properties.pNext = &driver;
  STADIAL_DRIVER_CALL_NAMED("vkGetPhysicalDeviceProperties2", functions.getProperties, device, &properties);
  std::snprintf(info.name, sizeof info.name, "%s", properties.properties.deviceName);
  std::snprintf(info.driverName, sizeof info.driverName, "%s", driver.driverName);
  std::snprintf(info.driverInfo, sizeof info.driverInfo, "%s", driver.driverInfo);
  info.type = properties.properties.deviceType;
  info.driverId = driver.driverID;
  info.vendorId = properties.properties.vendorID;
  info.deviceId = properties.properties.deviceID;
  info.apiVersion = properties.properties.apiVersion;
  info.driverVersion = properties.properties.driverVersion;

  VkPhysicalDeviceMemoryProperties memory{};
  STADIAL_DRIVER_CALL_NAMED("vkGetPhysicalDeviceMemoryProperties", functions.getMemoryProperties, device,
                            &memory);
  for (std::uint32_t heap = 0; heap < memory.memoryHeapCount; ++heap) {
    if ((memory.memoryHeaps[heap].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0) {
      info.deviceLocalBytes += memory.memoryHeaps[heap].size;
    }
  }
  Examine(functions, arena, info);
  info.usable = info.unusableReason[0] == '\0';
  // Among equals the larger memory wins (up to 90 points, one a GiB); among software drivers lavapipe does.
  info.score =
      BaseScore(info.type) + static_cast<int>(std::min<std::uint64_t>(info.deviceLocalBytes >> 30, 90));
  if (info.driverId == VK_DRIVER_ID_MESA_LLVMPIPE) info.score += 100;
  return info;
}

bool ContainsIgnoringCase(std::string_view text, std::string_view part) noexcept {
  const auto same = [](char a, char b) noexcept {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  return std::search(text.begin(), text.end(), part.begin(), part.end(), same) != text.end();
}

bool Matches(const DeviceInfo& info, std::string_view request) noexcept {
  if (request.empty()) return true;
  if (request.front() == '#') {
    std::uint32_t index = 0;
    const char* end = request.data() + request.size();
    const auto parsed = std::from_chars(request.data() + 1, end, index);
    return parsed.ec == std::errc{} && parsed.ptr == end && index == info.index;
  }
  return ContainsIgnoringCase(info.name, request) || ContainsIgnoringCase(info.driverName, request) ||
         (info.driverId == VK_DRIVER_ID_MESA_LLVMPIPE && ContainsIgnoringCase("lavapipe", request));
}

// "#0 'NAME' (discrete), #1 ..." cut to fit.
void ListText(std::span<const DeviceInfo> devices, char* text, std::size_t bytes) noexcept {
  std::size_t used = 0;
  text[0] = '\0';
  for (const DeviceInfo& info : devices) {
    const int written =
        std::snprintf(text + used, bytes - used, "%s#%u '%.60s' (%s%s%s)", used == 0 ? "" : ", ", info.index,
                      info.name, ToString(info.type), info.usable ? "" : ", lacks ", info.unusableReason);
    if (written < 0 || static_cast<std::size_t>(written) >= bytes - used) return;
    used += static_cast<std::size_t>(written);
  }
}

}  // namespace

const char* ToString(VkPhysicalDeviceType type) noexcept {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
      return "discrete";
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      return "integrated";
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
      return "virtual";
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
      return "cpu";
    default:
      return "other";
  }
}

Result<void> Instance::ListDevices(std::uint32_t devicesMax) noexcept {
  arenas::Arena& arena = runtime_.SetupArena();
  devices_ = arena.NewArray<DeviceInfo>(devicesMax);
  const auto handles = arena.NewArray<VkPhysicalDevice>(devicesMax);
  std::uint32_t count = devicesMax;
  const VkResult result = STADIAL_DRIVER_CALL_NAMED(
      "vkEnumeratePhysicalDevices", functions_->enumeratePhysicalDevices, instance_, &count, handles.data());
  if (result == VK_INCOMPLETE) {
    runtime_.Options().log.Format(
        runtime::LogLevel::Warning,
        "more than %u Vulkan devices: the rest is ignored; raise InstanceOptions::devicesMax", devicesMax);
  } else if (result != VK_SUCCESS) {
    devices_ = {};
    return DriverError(result, "vkEnumeratePhysicalDevices", "listing the devices");
  }
  devices_ = devices_.first(count);
  for (std::uint32_t i = 0; i < count; ++i) devices_[i] = Describe(*functions_, arena, handles[i], i);
  return {};
}

Result<const DeviceInfo*> Instance::SelectDevice(std::string_view request) const noexcept {
  if (devices_.empty()) {
    return Error::Format(ErrorCode::NotFound,
                         "no Vulkan device on this machine; install a driver (Debian: mesa-vulkan-drivers "
                         "has the software device "
                         "lavapipe) or point VK_DRIVER_FILES at a driver's manifest");
  }
  const DeviceInfo* best = nullptr;
  const DeviceInfo* unusable = nullptr;
  for (const DeviceInfo& info : devices_) {
    if (!Matches(info, request)) continue;
    if (!info.usable) {
      unusable = &info;
    } else if (best == nullptr || info.score > best->score) {
      best = &info;
    }
  }
  if (best != nullptr) return best;
  char list[320];
  ListText(devices_, list, sizeof list);
  if (unusable != nullptr) {
    return Error::Format(ErrorCode::NotSupported, "device '%.60s' cannot be used: it lacks %s; there are: %s",
                         unusable->name, unusable->unusableReason, list);
  }
  return Error::Format(ErrorCode::NotFound, "no device matches '%.*s'; there are: %s",
                       static_cast<int>(std::min<std::size_t>(request.size(), 64)), request.data(), list);
}

}  // namespace stadial::gpu
