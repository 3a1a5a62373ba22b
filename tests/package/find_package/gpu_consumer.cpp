// Uses the installed gpu layer: lists the devices. A machine without Vulkan is fine; a program that does not link is not.
#include <cstdio>

#include "stadial/gpu/instance.h"
#include "stadial/runtime/runtime.h"

int main() {
  auto runtime = stadial::runtime::Runtime::Create({.name = "gpu-consumer"});
  if (!runtime) {
    std::fprintf(stderr, "%s\n", runtime.GetError().Message());
    return 1;
  }
  auto instance = stadial::gpu::Instance::Create(*runtime.Value(), {.applicationName = "gpu-consumer"});
  if (!instance) {
    std::printf("no Vulkan: %s\n", instance.GetError().Message());
    return 0;
  }
  for (const stadial::gpu::DeviceInfo& device : instance.Value()->Devices()) std::printf("%s\n", device.name);
  return 0;
}
