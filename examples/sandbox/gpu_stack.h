// Everything between the Vulkan loader and the graph, in the order in which it must be made and, backwards,
// unmade.
#pragma once

#include <string_view>

#include "stadial/gpu/compute_pipeline.h"
#include "stadial/gpu/device.h"
#include "stadial/gpu/gpu_memory.h"
#include "stadial/gpu/host_memory.h"
#include "stadial/gpu/instance.h"
#include "stadial/gpu/submit_thread.h"
#include "stadial/gpu/upload.h"

namespace stadial::sandbox {

struct GpuStackOptions {
  std::string_view device;  // see gpu::Instance::SelectDevice
  bool validation = false;
  std::uint64_t atlasBytesMax = 0;  // lowered to what the device can bind as one storage buffer
  std::uint32_t imageEdge = 0;      // pixels; must be possible on the device
};

struct GpuStack {
  gpu::Owned<gpu::HostMemory> hostMemory;
  gpu::Owned<gpu::Instance> instance;
  gpu::Owned<gpu::Device> device;
  gpu::Owned<gpu::GpuMemory> memory;
  gpu::Owned<gpu::PipelineLibrary> pipelines;
  gpu::Owned<gpu::SubmitThread> submit;
  gpu::Owned<gpu::SetupUploader> uploader;

  // Setup phase. Errors: no Vulkan, no such device, a device that cannot do what is asked.
  arenas::Result<void> Open(runtime::Runtime& runtime, const GpuStackOptions& options);
  // The largest buffer of cells that the device can bind, at most `wantedBytes`.
  std::uint64_t AtlasBytesMax(std::uint64_t wantedBytes) const noexcept;
};

// "#0  llvmpipe (LLVM 15.0.6, 256 bits)  cpu  ..." for each device, on standard output.
void PrintDevices(const gpu::Instance& instance);

}  // namespace stadial::sandbox
