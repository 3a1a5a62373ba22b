// How this layer calls a driver: through a function table, inside a DriverCallScope that names the entry
// point, so that whatever the driver allocates on this thread is counted as the driver's.
#pragma once

#include "stadial/gpu/device_table.h"
#include "stadial/gpu/vulkan.h"
#include "stadial/runtime/gate.h"

// The scope is a temporary: it lives to the end of the full expression that contains the call.
#define STADIAL_DRIVER_CALL(table, function, ...) \
  (static_cast<void>(::stadial::runtime::DriverCallScope(#function)), (table).function(__VA_ARGS__))

// The same for a plain function pointer with the entry point's name.
#define STADIAL_DRIVER_CALL_NAMED(name, pointer, ...) \
  (static_cast<void>(::stadial::runtime::DriverCallScope(name)), (pointer)(__VA_ARGS__))

namespace stadial::gpu {

// "vkCreateBuffer failed with VK_ERROR_OUT_OF_DEVICE_MEMORY: WHAT", with the result's error code.
[[gnu::format(printf, 3, 4)]] Error DriverError(VkResult result, const char* entryPoint, const char* format,
                                                ...) noexcept;

// What a user can do about a result, as the end of a message ("raise RuntimeOptions::driverBytes ...").
const char* RemedyFor(VkResult result) noexcept;

template <class Handle>
std::uint64_t HandleBits(Handle handle) noexcept {
  return reinterpret_cast<std::uint64_t>(handle);
}

}  // namespace stadial::gpu
