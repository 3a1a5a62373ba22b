#include "stadial/gpu/vulkan.h"

#include <cstdarg>
#include <cstdio>

#include "driver_call.h"

namespace stadial::gpu {

const char* ToString(VkResult result) noexcept {
#define STADIAL_RESULT_NAME(name) \
  case name:                      \
    return #name
  switch (result) {
    STADIAL_RESULT_NAME(VK_SUCCESS);
    STADIAL_RESULT_NAME(VK_NOT_READY);
    STADIAL_RESULT_NAME(VK_TIMEOUT);
    STADIAL_RESULT_NAME(VK_EVENT_SET);
    STADIAL_RESULT_NAME(VK_EVENT_RESET);
    STADIAL_RESULT_NAME(VK_INCOMPLETE);
    STADIAL_RESULT_NAME(VK_ERROR_OUT_OF_HOST_MEMORY);
    STADIAL_RESULT_NAME(VK_ERROR_OUT_OF_DEVICE_MEMORY);
    STADIAL_RESULT_NAME(VK_ERROR_INITIALIZATION_FAILED);
    STADIAL_RESULT_NAME(VK_ERROR_DEVICE_LOST);
    STADIAL_RESULT_NAME(VK_ERROR_MEMORY_MAP_FAILED);
    STADIAL_RESULT_NAME(VK_ERROR_LAYER_NOT_PRESENT);
    STADIAL_RESULT_NAME(VK_ERROR_EXTENSION_NOT_PRESENT);
    STADIAL_RESULT_NAME(VK_ERROR_FEATURE_NOT_PRESENT);
    STADIAL_RESULT_NAME(VK_ERROR_INCOMPATIBLE_DRIVER);
    STADIAL_RESULT_NAME(VK_ERROR_TOO_MANY_OBJECTS);
    STADIAL_RESULT_NAME(VK_ERROR_FORMAT_NOT_SUPPORTED);
    STADIAL_RESULT_NAME(VK_ERROR_FRAGMENTED_POOL);
    STADIAL_RESULT_NAME(VK_ERROR_UNKNOWN);
    STADIAL_RESULT_NAME(VK_ERROR_OUT_OF_POOL_MEMORY);
    STADIAL_RESULT_NAME(VK_ERROR_INVALID_EXTERNAL_HANDLE);
    STADIAL_RESULT_NAME(VK_ERROR_FRAGMENTATION);
    STADIAL_RESULT_NAME(VK_ERROR_INVALID_OPAQUE_CAPTURE_ADDRESS);
    STADIAL_RESULT_NAME(VK_PIPELINE_COMPILE_REQUIRED);
    default:
      return "VK_RESULT_UNKNOWN";
  }
#undef STADIAL_RESULT_NAME
}

ErrorCode CodeOf(VkResult result) noexcept {
  switch (result) {
    case VK_ERROR_DEVICE_LOST:
      return ErrorCode::DeviceLost;
    case VK_TIMEOUT:
      return ErrorCode::Timeout;
    case VK_ERROR_OUT_OF_HOST_MEMORY:
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_FRAGMENTED_POOL:
    case VK_ERROR_FRAGMENTATION:
      return ErrorCode::OutOfMemory;
    case VK_ERROR_LAYER_NOT_PRESENT:
    case VK_ERROR_EXTENSION_NOT_PRESENT:
    case VK_ERROR_FEATURE_NOT_PRESENT:
    case VK_ERROR_FORMAT_NOT_SUPPORTED:
    case VK_ERROR_INCOMPATIBLE_DRIVER:
      return ErrorCode::NotSupported;
    default:
      return ErrorCode::Driver;
  }
}

const char* RemedyFor(VkResult result) noexcept {
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
      return "raise RuntimeOptions::driverBytes";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
      return "ask for smaller resources or lower GpuMemoryOptions::blockBytes";
    case VK_ERROR_OUT_OF_POOL_MEMORY:
    case VK_ERROR_FRAGMENTED_POOL:
      return "the pool holds exactly what was declared, so this is the driver's defect: update it";
    case VK_ERROR_DEVICE_LOST:
      return "the device stopped; restart the program, and update the driver if it happens again";
    case VK_ERROR_INCOMPATIBLE_DRIVER:
      return "install a Vulkan 1.2 driver";
    default:
      return "see the driver's log";
  }
}

Error DriverError(VkResult result, const char* entryPoint, const char* format, ...) noexcept {
  char what[320];
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  return Error::Format(CodeOf(result), "%s failed with %s: %s; %s", entryPoint, ToString(result), what,
                       RemedyFor(result));
}

}  // namespace stadial::gpu
