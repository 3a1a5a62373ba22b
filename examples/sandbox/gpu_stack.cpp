#include "gpu_stack.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "shader_interface.h"
#include "stadial/arenas/size_literals.h"
#include "stadial/runtime/runtime.h"

namespace stadial::sandbox {

using namespace arenas::literals;

arenas::Result<void> GpuStack::Open(runtime::Runtime& runtime, const GpuStackOptions& options) {
  STADIAL_ASSIGN_OR_RETURN(hostMemory, gpu::HostMemory::Create(runtime));
  STADIAL_ASSIGN_OR_RETURN(instance, gpu::Instance::Create(runtime, {.applicationName = "stadial sandbox",
                                                                     .validation = options.validation,
                                                                     .hostMemory = hostMemory.get()}));
  STADIAL_ASSIGN_OR_RETURN(const gpu::DeviceInfo* const info, instance->SelectDevice(options.device));
  STADIAL_ASSIGN_OR_RETURN(device, gpu::Device::Create(*instance, *info));
  const std::uint32_t edgeMax = device->Limits().maxImageDimension2D;
  if (options.imageEdge > edgeMax) {
    return arenas::Error::Format(arenas::ErrorCode::NotSupported,
                                 "device '%s' has images of up to %" PRIu32 " pixels a side, %" PRIu32
                                 " were asked for; give a smaller --size",
                                 device->Name(), edgeMax, options.imageEdge);
  }
  STADIAL_ASSIGN_OR_RETURN(memory, gpu::GpuMemory::Create(*device, {}));
  STADIAL_ASSIGN_OR_RETURN(pipelines, gpu::PipelineLibrary::Create(*device, {}));
  STADIAL_ASSIGN_OR_RETURN(submit, gpu::SubmitThread::Start(*device, {}));
  STADIAL_ASSIGN_OR_RETURN(uploader, gpu::SetupUploader::Create(*memory, *submit, 4_MiB));
  return {};
}

std::uint64_t GpuStack::AtlasBytesMax(std::uint64_t wantedBytes) const noexcept {
  return std::min<std::uint64_t>(wantedBytes,
                                 device->Limits().maxStorageBufferRange / kChunkBytes * kChunkBytes);
}

void PrintDevices(const gpu::Instance& instance) {
  for (const gpu::DeviceInfo& info : instance.Devices()) {
    std::printf("#%" PRIu32 "  %s  %s, Vulkan %u.%u, driver %s %s%s%s\n", info.index, info.name,
                gpu::ToString(info.type), VK_API_VERSION_MAJOR(info.apiVersion),
                VK_API_VERSION_MINOR(info.apiVersion), info.driverName, info.driverInfo,
                info.usable ? "" : "; cannot be used, it lacks ", info.unusableReason);
  }
}

}  // namespace stadial::sandbox
