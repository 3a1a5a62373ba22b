// What the gpu tests share: the devices of this machine as test parameters, and a runtime with an open
// device. Every test runs on each usable device that the Vulkan loader finds (VK_DRIVER_FILES chooses
// drivers), and is skipped, with the reason, only where there is none at all.
#pragma once

#include <gtest/gtest.h>

#include <cctype>
#include <cstdio>
#include <string>
#include <vector>

#include "gpu_test_runtime.h"
#include "stadial/gpu/device.h"
#include "stadial/gpu/gpu_memory.h"
#include "stadial/gpu/instance.h"
#include "stadial/gpu/submit_thread.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/runtime.h"

namespace stadial::gpu::testing {

inline constexpr const char* kNoDevice = "none";
inline constexpr const char* kNoRuntime = "no runtime";  // a failure, not a reason to skip

// Names of the usable devices, or one entry kNoDevice or kNoRuntime.
inline std::vector<std::string> FindDeviceNames() {
  std::vector<std::string> names;
  LogCapture log;
  auto runtime = runtime::Runtime::Create(TestRuntimeOptions(log));
  if (runtime) {
    auto instance = Instance::Create(**runtime, {});
    if (instance) {
      for (const DeviceInfo& info : (*instance)->Devices()) {
        if (info.usable) names.emplace_back(info.name);
      }
    } else {
      std::fprintf(stderr, "no Vulkan: %s\n", instance.GetError().Message());
    }
  } else {
    std::fprintf(stderr, "no runtime: %s\n", runtime.GetError().Message());
    names.emplace_back(kNoRuntime);
  }
  if (names.empty()) names.emplace_back(kNoDevice);
  return names;
}

// One look per process: every test case is a process of its own under ctest.
inline const std::vector<std::string>& DeviceNames() {
  static const std::vector<std::string> names = FindDeviceNames();
  return names;
}

inline std::string DeviceTestName(const ::testing::TestParamInfo<std::string>& info) {
  std::string name;
  for (const char c : info.param.substr(0, 24)) name += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return name + "_" + std::to_string(info.index);
}

#define STADIAL_INSTANTIATE_ON_DEVICES(suite)                                                           \
  INSTANTIATE_TEST_SUITE_P(Devices, suite, ::testing::ValuesIn(::stadial::gpu::testing::DeviceNames()), \
                           ::stadial::gpu::testing::DeviceTestName)

template <class T>
::testing::AssertionResult IsOk(const Result<T>& result) {
  if (result) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << arenas::ToString(result.GetError().Code()) << ": " << result.GetError().Message();
}

// Objects in the order of their making; the fixture destroys them in reverse and then looks at what is left.
class GpuTest : public ::testing::TestWithParam<std::string> {
 protected:
  virtual bool WantsValidation() const { return true; }
  virtual runtime::RuntimeOptions Options() { return TestRuntimeOptions(log_); }
  virtual GpuMemoryOptions MemoryOptions() const { return {.blockBytes = 8_MiB, .hostBlockBytes = 1_MiB}; }
  virtual SubmitThreadOptions SubmitOptions() const { return {.deadlineNs = 60'000'000'000}; }

  void SetUp() override {
    ASSERT_NE(GetParam(), kNoRuntime);
    if (GetParam() == kNoDevice) GTEST_SKIP() << "no usable Vulkan device on this machine";
    auto runtime = runtime::Runtime::Create(Options());
    ASSERT_TRUE(IsOk(runtime));
    runtime_ = std::move(*runtime);
    auto host = HostMemory::Create(*runtime_);
    ASSERT_TRUE(IsOk(host));
    host_ = std::move(*host);
    auto instance = Instance::Create(*runtime_, {.validation = WantsValidation(), .hostMemory = host_.get()});
    if (!instance && WantsValidation() && Instance::Create(*runtime_, {.hostMemory = host_.get()})) {
      GTEST_SKIP() << "without validation layers: " << instance.GetError().Message();
    }
    ASSERT_TRUE(IsOk(instance));
    instance_ = std::move(*instance);
    auto info = instance_->SelectDevice(GetParam());
    ASSERT_TRUE(IsOk(info));
    auto device = Device::Create(*instance_, **info);
    ASSERT_TRUE(IsOk(device));
    device_ = std::move(*device);
    auto memory = GpuMemory::Create(*device_, MemoryOptions());
    ASSERT_TRUE(IsOk(memory));
    memory_ = std::move(*memory);
    auto submit = SubmitThread::Start(*device_, SubmitOptions());
    ASSERT_TRUE(IsOk(submit));
    submit_ = std::move(*submit);
  }

  void TearDown() override {
    submit_.reset();
    memory_.reset();
    device_.reset();
    const std::uint64_t messages = instance_ != nullptr ? instance_->ValidationMessages() : 0;
    instance_.reset();
    EXPECT_EQ(messages, expectedMessages_);
    if (expectedMessages_ == 0) {
      EXPECT_EQ(log_.validationLines.load(), 0u);
    }
    if (host_ != nullptr) {
      EXPECT_EQ(host_->Stats().liveBlocks, 0u) << "host memory is left after teardown";
    }
    host_.reset();
    runtime_.reset();
  }

  LogCapture log_;
  runtime::RuntimePtr runtime_;
  Owned<HostMemory> host_;
  Owned<Instance> instance_;
  Owned<Device> device_;
  Owned<GpuMemory> memory_;
  Owned<SubmitThread> submit_;
  std::uint64_t expectedMessages_ = 0;
};

inline constexpr std::uint64_t kSecondNs = 1'000'000'000;

}  // namespace stadial::gpu::testing
