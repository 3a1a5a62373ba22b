// The Vulkan types of this layer, without a single global function: VK_NO_PROTOTYPES is set, and volk's own
// header (which declares one global pointer per function) is seen by one source file only. Device functions
// are reached through the device's VolkDeviceTable, so that every call can be attributed to its entry point
// and made to fail in a test. A node that needs an entry point the Recorder (commands.h) does not wrap
// includes <volk.h> for the table's definition.
#pragma once

#ifndef VK_NO_PROTOTYPES
#define VK_NO_PROTOTYPES
#endif
#include <vulkan/vulkan_core.h>

#include "stadial/arenas/result.h"

struct VolkDeviceTable;

namespace stadial::gpu {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

// "VK_ERROR_DEVICE_LOST"; "VK_RESULT_UNKNOWN" for a code newer than this library.
const char* ToString(VkResult result) noexcept;

// The error code of the one vocabulary for a failed call: DEVICE_LOST is DeviceLost, TIMEOUT is Timeout, both
// OUT_OF_MEMORYs and the pool exhaustions are OutOfMemory, the *_NOT_PRESENT and INCOMPATIBLE_DRIVER family
// is NotSupported, everything else Driver.
ErrorCode CodeOf(VkResult result) noexcept;

}  // namespace stadial::gpu
