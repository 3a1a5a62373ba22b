#include "stadial/gpu/instance.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <link.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "gpu_fixture.h"

namespace stadial::gpu {
namespace {

using ::testing::HasSubstr;
using namespace testing;  // NOLINT(google-build-using-namespace)

// Sets a variable for as long as it lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) {
    const char* before = std::getenv(name);
    had_ = before != nullptr;
    if (had_) before_ = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~Variable() {
    if (had_) {
      ::setenv(name_, before_.c_str(), 1);
    } else {
      ::unsetenv(name_);
    }
  }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  bool had_ = false;
  std::string before_;
};

TEST(Instance, NoDriverAtAllIsAClearError) {
  const std::string empty =
      std::filesystem::temp_directory_path() / ("stadial_no_icd_" + std::to_string(::getpid()));
  std::filesystem::create_directory(empty);
  const Variable drivers("VK_DRIVER_FILES", empty);
  const Variable icds("VK_ICD_FILENAMES", empty);
  LogCapture log;
  auto runtime = runtime::Runtime::Create(TestRuntimeOptions(log));
  ASSERT_TRUE(IsOk(runtime));
  auto host = HostMemory::Create(**runtime);
  ASSERT_TRUE(IsOk(host));
  {
    auto instance = Instance::Create(**runtime, {.hostMemory = host->get()});
    if (instance) {  // a loader that lets an instance without drivers be made
      auto device = (*instance)->SelectDevice("");
      ASSERT_FALSE(device);
      EXPECT_EQ(device.GetError().Code(), ErrorCode::NotFound);
      EXPECT_THAT(device.GetError().Message(), HasSubstr("install a driver"));
    } else {
      EXPECT_EQ(instance.GetError().Code(), ErrorCode::NotSupported);
      EXPECT_THAT(instance.GetError().Message(), HasSubstr("no Vulkan driver on this machine"));
      EXPECT_THAT(instance.GetError().Message(), HasSubstr("mesa-vulkan-drivers"));
    }
  }
  EXPECT_EQ((*host)->Stats().liveBlocks, 0u);
  std::filesystem::remove(empty);
}

TEST(Instance, R4_IsMadeInSetupOnly) {
  LogCapture log;
  auto runtime = runtime::Runtime::Create(TestRuntimeOptions(log));
  ASSERT_TRUE(IsOk(runtime));
  ASSERT_TRUE(IsOk((*runtime)->SealSetup()));
  auto instance = Instance::Create(**runtime, {});
  ASSERT_FALSE(instance);
  EXPECT_EQ(instance.GetError().Code(), ErrorCode::WrongPhase);
}

class InstanceOnDevice : public GpuTest {};

TEST_P(InstanceOnDevice, SelectsByIndexByNameAndInAnyCase) {
  const DeviceInfo& info = device_->Info();
  auto byIndex = instance_->SelectDevice("#" + std::to_string(info.index));
  ASSERT_TRUE(IsOk(byIndex));
  EXPECT_STREQ((*byIndex)->name, info.name);
  std::string shouted = info.name;
  for (char& c : shouted) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  auto byName = instance_->SelectDevice(shouted);
  ASSERT_TRUE(IsOk(byName));
  EXPECT_STREQ((*byName)->name, info.name);
  auto byDriver = instance_->SelectDevice(info.driverName);
  ASSERT_TRUE(IsOk(byDriver));
  EXPECT_STREQ((*byDriver)->driverName, info.driverName);
  if (info.driverId == VK_DRIVER_ID_MESA_LLVMPIPE) {
    auto alias = instance_->SelectDevice("LavaPipe");
    ASSERT_TRUE(IsOk(alias));
    EXPECT_STREQ((*alias)->name, info.name);
  }
}

TEST_P(InstanceOnDevice, BestScoreWinsAndLavapipeBeatsOtherSoftware) {
  auto best = instance_->SelectDevice("");
  ASSERT_TRUE(IsOk(best));
  for (const DeviceInfo& info : instance_->Devices()) {
    if (!info.usable) continue;
    EXPECT_GE((*best)->score, info.score);
    if ((*best)->type == VK_PHYSICAL_DEVICE_TYPE_CPU && info.driverId == VK_DRIVER_ID_MESA_LLVMPIPE) {
      EXPECT_EQ((*best)->driverId, VK_DRIVER_ID_MESA_LLVMPIPE);
    }
  }
}

TEST_P(InstanceOnDevice, AnUnknownNameListsWhatIsThere) {
  for (const char* request : {"no such device", "#99", "#", "#1x"}) {
    auto device = instance_->SelectDevice(request);
    ASSERT_FALSE(device) << request;
    EXPECT_EQ(device.GetError().Code(), ErrorCode::NotFound);
    EXPECT_THAT(device.GetError().Message(), HasSubstr(request));
    EXPECT_THAT(device.GetError().Message(), HasSubstr(instance_->Devices()[0].name));
  }
}

TEST_P(InstanceOnDevice, AnUnusableDeviceIsRefusedWithWhatItLacks) {
  DeviceInfo info = device_->Info();
  info.usable = false;
  std::snprintf(info.unusableReason, sizeof info.unusableReason, "timeline semaphores");
  auto device = Device::Create(*instance_, info);
  ASSERT_FALSE(device);
  EXPECT_EQ(device.GetError().Code(), ErrorCode::NotSupported);
  EXPECT_THAT(device.GetError().Message(), HasSubstr("it lacks timeline semaphores"));
}

TEST_P(InstanceOnDevice, DevicesStateWhatTheLayerNeeds) {
  const DeviceInfo& info = device_->Info();
  EXPECT_TRUE(info.usable) << info.unusableReason;
  EXPECT_GE(info.apiVersion, VK_API_VERSION_1_2);
  EXPECT_NE(device_->Queue(), VK_NULL_HANDLE);
  EXPECT_GT(device_->Limits().maxComputeWorkGroupCount[0], 0u);
  EXPECT_STRNE(ToString(info.type), "");
}

// Loaded again for each instance, a hardware driver uses up the static thread-local storage of the process,
// and the thirtieth instance finds no driver.
TEST_P(InstanceOnDevice, ADriverStaysLoadedBehindItsInstance) {
  std::vector<std::string> modules;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* found) -> int {
        static_cast<std::vector<std::string>*>(found)->emplace_back(info->dlpi_name);
        return 0;
      },
      &modules);
  submit_.reset();
  memory_.reset();
  device_.reset();
  instance_.reset();
  for (const std::string& module : modules) {
    if (module.empty() || module[0] != '/') continue;
    void* const loaded = ::dlopen(module.c_str(), RTLD_LAZY | RTLD_NOLOAD);
    EXPECT_NE(loaded, nullptr) << module << " was unloaded";
    if (loaded != nullptr) ::dlclose(loaded);
  }
}

}  // namespace

STADIAL_INSTANTIATE_ON_DEVICES(InstanceOnDevice);

}  // namespace stadial::gpu
