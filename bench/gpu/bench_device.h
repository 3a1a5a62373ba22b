// A device for the gpu benchmarks: the best one, or what STADIAL_BENCH_DEVICE names as --device does.
#pragma once

#include <cstdlib>
#include <memory>
#include <string>

#include "stadial/gpu/device.h"
#include "stadial/gpu/gpu_memory.h"
#include "stadial/gpu/instance.h"
#include "stadial/runtime/runtime.h"

namespace stadial::bench {

struct BenchDevice {
  runtime::RuntimePtr runtime;
  gpu::Owned<gpu::Instance> instance;
  gpu::Owned<gpu::Device> device;
  gpu::Owned<gpu::GpuMemory> memory;

  // Empty, with `error` filled in, where there is no device.
  static BenchDevice Open(bool hostMemoryCallbacks, std::string& error) {
    BenchDevice bench;
    const auto fail = [&](const arenas::Error& why) {
      error = why.Message();
      return BenchDevice{};
    };
    auto madeRuntime = runtime::Runtime::Create({.gate = runtime::GatePolicy::Allow});
    if (!madeRuntime) return fail(madeRuntime.GetError());
    bench.runtime = std::move(*madeRuntime);
    auto madeInstance = gpu::Instance::Create(*bench.runtime, {.hostMemoryCallbacks = hostMemoryCallbacks});
    if (!madeInstance) return fail(madeInstance.GetError());
    bench.instance = std::move(*madeInstance);
    const char* request = std::getenv("STADIAL_BENCH_DEVICE");
    auto info = bench.instance->SelectDevice(request != nullptr ? request : "");
    if (!info) return fail(info.GetError());
    auto madeDevice = gpu::Device::Create(*bench.instance, **info);
    if (!madeDevice) return fail(madeDevice.GetError());
    bench.device = std::move(*madeDevice);
    auto madeMemory = gpu::GpuMemory::Create(*bench.device, {.blockBytes = std::uint64_t{1} << 20});
    if (!madeMemory) return fail(madeMemory.GetError());
    bench.memory = std::move(*madeMemory);
    return bench;
  }
  explicit operator bool() const { return memory != nullptr; }
};

}  // namespace stadial::bench
