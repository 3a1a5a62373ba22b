// The peer of record_bench.cpp in a program that links no part of Stadial, so that the driver's own malloc is
// the C library's: a Stadial program links mimalloc, which takes malloc's place. Raw Vulkan through volk, the
// same commands.
#include <benchmark/benchmark.h>
#include <volk.h>

#include <dlfcn.h>
#include <cctype>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

// Which library malloc comes from: the probe that keeps the row honest.
std::string MallocHome() {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<void*>(&std::malloc), &info) == 0 || info.dli_fname == nullptr)
    return "unknown";
  void* found = ::dlsym(RTLD_DEFAULT, "malloc");
  return ::dladdr(found, &info) != 0 && info.dli_fname != nullptr ? info.dli_fname : "unknown";
}

bool Contains(std::string text, std::string part) {
  for (std::string* s : {&text, &part}) {
    for (char& c : *s) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return text.find(part) != std::string::npos;
}

// The device the other benchmarks take: STADIAL_BENCH_DEVICE, else a hardware device, else lavapipe, else the
// first.
VkPhysicalDevice ChooseDevice(VkInstance instance) {
  std::uint32_t count = 0;
  vkEnumeratePhysicalDevices(instance, &count, nullptr);
  std::vector<VkPhysicalDevice> devices(count);
  vkEnumeratePhysicalDevices(instance, &count, devices.data());
  const char* request = std::getenv("STADIAL_BENCH_DEVICE");
  VkPhysicalDevice best = VK_NULL_HANDLE;
  int bestScore = -1;
  for (VkPhysicalDevice device : devices) {
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(device, &properties);
    if (request != nullptr && !Contains(properties.deviceName, request)) continue;
    const int score = properties.deviceType != VK_PHYSICAL_DEVICE_TYPE_CPU ? 2
                      : Contains(properties.deviceName, "llvmpipe")        ? 1
                                                                           : 0;
    if (score > bestScore) {
      best = device;
      bestScore = score;
    }
  }
  return best;
}

struct Raw {
  VkInstance instance = VK_NULL_HANDLE;
  VkDevice device = VK_NULL_HANDLE;
  VkCommandPool pool = VK_NULL_HANDLE;
  VkCommandBuffer commands = VK_NULL_HANDLE;
  VkBuffer buffer = VK_NULL_HANDLE;
  VkDeviceMemory memory = VK_NULL_HANDLE;

  bool Open() {
    if (volkInitialize() != VK_SUCCESS) return false;
    VkApplicationInfo application{};
    application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
    application.apiVersion = VK_API_VERSION_1_3;
    VkInstanceCreateInfo instanceInfo{};
    instanceInfo.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
    instanceInfo.pApplicationInfo = &application;
    if (vkCreateInstance(&instanceInfo, nullptr, &instance) != VK_SUCCESS) return false;
    volkLoadInstance(instance);
    VkPhysicalDevice physical = ChooseDevice(instance);
    if (physical == VK_NULL_HANDLE) return false;
    const float priority = 1;
    VkDeviceQueueCreateInfo queue{};
    queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
    queue.queueCount = 1;
    queue.pQueuePriorities = &priority;
    VkPhysicalDeviceSynchronization2Features features{};
    features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SYNCHRONIZATION_2_FEATURES;
    features.synchronization2 = VK_TRUE;
    VkDeviceCreateInfo deviceInfo{};
    deviceInfo.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
    deviceInfo.pNext = &features;
    deviceInfo.queueCreateInfoCount = 1;
    deviceInfo.pQueueCreateInfos = &queue;
    if (vkCreateDevice(physical, &deviceInfo, nullptr, &device) != VK_SUCCESS) return false;
    volkLoadDevice(device);
    return MakeObjects();
  }

  bool MakeObjects() {
    VkCommandPoolCreateInfo poolInfo{};
    poolInfo.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
    poolInfo.flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT;
    if (vkCreateCommandPool(device, &poolInfo, nullptr, &pool) != VK_SUCCESS) return false;
    VkCommandBufferAllocateInfo commandInfo{};
    commandInfo.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
    commandInfo.commandPool = pool;
    commandInfo.commandBufferCount = 1;
    if (vkAllocateCommandBuffers(device, &commandInfo, &commands) != VK_SUCCESS) return false;
    VkBufferCreateInfo bufferInfo{};
    bufferInfo.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
    bufferInfo.size = 4096;
    bufferInfo.usage = VK_BUFFER_USAGE_TRANSFER_DST_BIT;
    if (vkCreateBuffer(device, &bufferInfo, nullptr, &buffer) != VK_SUCCESS) return false;
    VkMemoryRequirements needs;
    vkGetBufferMemoryRequirements(device, buffer, &needs);
    VkMemoryAllocateInfo memoryInfo{};
    memoryInfo.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
    memoryInfo.allocationSize = needs.size;
    while ((needs.memoryTypeBits & (1u << memoryInfo.memoryTypeIndex)) == 0) ++memoryInfo.memoryTypeIndex;
    if (vkAllocateMemory(device, &memoryInfo, nullptr, &memory) != VK_SUCCESS) return false;
    return vkBindBufferMemory(device, buffer, memory, 0) == VK_SUCCESS;
  }

  void Close() {
    vkDestroyBuffer(device, buffer, nullptr);
    vkFreeMemory(device, memory, nullptr);
    vkDestroyCommandPool(device, pool, nullptr);
    vkDestroyDevice(device, nullptr);
    vkDestroyInstance(instance, nullptr);
  }
};

void BM_RecordGlibc(benchmark::State& state) {
  const std::string home = MallocHome();
  if (!Contains(home, "libc.so")) return state.SkipWithError(("malloc comes from " + home).c_str());
  Raw raw;
  if (!raw.Open()) return state.SkipWithError("no Vulkan device");
  constexpr VkPipelineStageFlags2 kStages =
      VK_PIPELINE_STAGE_2_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_2_ALL_TRANSFER_BIT;
  const auto pairs = static_cast<std::uint32_t>(state.range(0));
  for (auto _ : state) {
    VkCommandBufferBeginInfo begin{};
    begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    vkBeginCommandBuffer(raw.commands, &begin);
    for (std::uint32_t i = 0; i < pairs; ++i) {
      VkMemoryBarrier2 barrier{};
      barrier.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER_2;
      barrier.srcStageMask = kStages;
      barrier.srcAccessMask = VK_ACCESS_2_SHADER_STORAGE_WRITE_BIT | VK_ACCESS_2_TRANSFER_WRITE_BIT;
      barrier.dstStageMask = kStages;
      barrier.dstAccessMask = barrier.srcAccessMask | VK_ACCESS_2_TRANSFER_READ_BIT;
      VkDependencyInfo dependency{};
      dependency.sType = VK_STRUCTURE_TYPE_DEPENDENCY_INFO;
      dependency.memoryBarrierCount = 1;
      dependency.pMemoryBarriers = &barrier;
      vkCmdPipelineBarrier2(raw.commands, &dependency);
      vkCmdFillBuffer(raw.commands, raw.buffer, 0, VK_WHOLE_SIZE, i);
    }
    if (vkEndCommandBuffer(raw.commands) != VK_SUCCESS) {
      state.SkipWithError("recording failed");
      break;
    }
  }
  raw.Close();
  state.counters["us_per_buffer"] =
      benchmark::Counter(1e-6, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.counters["checksum"] = static_cast<double>(pairs);
}

BENCHMARK(BM_RecordGlibc)->Arg(10)->Arg(1000);

}  // namespace

BENCHMARK_MAIN();
