// host_faults_child FD DEVICE FIRST STEP: makes one of everything on DEVICE again and again, and fails
// callback allocation FIRST, FIRST + STEP, ... until the last of them; FIRST 0 fails none and counts them. FD
// names the HostFaultsReport. A process of its own for each call: a driver that has started does not survive
// a fork.
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "gpu_test_runtime.h"
#include "host_faults_report.h"
#include "increment.comp.h"
#include "stadial/gpu/commands.h"
#include "stadial/gpu/compute_pipeline.h"
#include "stadial/gpu/descriptor_pool.h"
#include "stadial/gpu/device.h"
#include "stadial/gpu/gpu_memory.h"
#include "stadial/gpu/instance.h"
#include "stadial/gpu/submit_thread.h"
#include "stadial/runtime/gate.h"

namespace stadial::gpu {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)

HostFaultsReport* report = nullptr;

bool IsDriverModule(const char* path) {
  for (const char* name : {"libvulkan", "vk_swiftshader", "libLLVM", "libVkLayer", "nvidia", "libGLX"}) {
    if (std::strstr(path, name) != nullptr) return true;
  }
  return false;
}

// A fault whose instruction lies in a driver's module is the driver's. Everything else falls through to the
// default action.
void OnFault(int signal, siginfo_t*, void* context) {
#if defined(__x86_64__)
  const auto* machine = static_cast<const ucontext_t*>(context);
  void* at = reinterpret_cast<void*>(machine->uc_mcontext.gregs[REG_RIP]);
  Dl_info info{};
  if (::dladdr(at, &info) != 0 && info.dli_fname != nullptr && IsDriverModule(info.dli_fname)) {
    ++report->driverCrashes;
    std::snprintf(report->crashedIn, sizeof report->crashedIn, "%s", runtime::detail::gateThread.component);
    ::_exit(kHostFaultsDriverCrash);
  }
#else
  static_cast<void>(context);
#endif
  std::signal(signal, SIG_DFL);
}

void CatchFaults() {
  struct sigaction action {};
  action.sa_sigaction = &OnFault;
  action.sa_flags = SA_SIGINFO;
  for (const int signal : {SIGSEGV, SIGBUS}) ::sigaction(signal, &action, nullptr);
}

// Makes one of everything; the first error ends it.
Result<void> MakeOneOfEverything(runtime::Runtime& runtime, HostMemory& host, const std::string& name) {
  STADIAL_ASSIGN_OR_RETURN(auto instance, Instance::Create(runtime, {.hostMemory = &host}));
  STADIAL_ASSIGN_OR_RETURN(const DeviceInfo* info, instance->SelectDevice(name));
  STADIAL_ASSIGN_OR_RETURN(auto device, Device::Create(*instance, *info));
  STADIAL_ASSIGN_OR_RETURN(auto memory,
                           GpuMemory::Create(*device, {.blockBytes = 1_MiB, .hostBlockBytes = 1_MiB}));
  STADIAL_ASSIGN_OR_RETURN(auto submit, SubmitThread::Start(*device, {}));
  STADIAL_ASSIGN_OR_RETURN(auto library, PipelineLibrary::Create(*device, {}));
  STADIAL_ASSIGN_OR_RETURN(auto pool, DescriptorSetPool::Create(*library, {}));
  STADIAL_ASSIGN_OR_RETURN(auto commands, CommandBuffers::Create(*device, "faults", 2));
  STADIAL_RETURN_IF_ERROR(memory->CreateBuffer({.name = "faults", .sizeBytes = 1024}));
  STADIAL_RETURN_IF_ERROR(
      memory->CreateBuffer({.name = "faults mapped", .sizeBytes = 1024, .use = MemoryUse::Upload}));
  STADIAL_RETURN_IF_ERROR(memory->CreateImage({.name = "faults", .width = 16, .height = 16}));
  const graph::DescriptorBinding values[] = {{.binding = 0, .type = graph::DescriptorType::StorageBuffer}};
  const graph::DescriptorBinding step[] = {{.binding = 0, .type = graph::DescriptorType::UniformBuffer}};
  const graph::DescriptorSetRequirement sets[] = {{.setIndex = 0, .bindings = values, .debugName = "values"},
                                                  {.setIndex = 1, .bindings = step, .debugName = "step"}};
  STADIAL_RETURN_IF_ERROR(
      library->CreatePipeline({.name = "increment", .spirv = kIncrementCompSpirv, .sets = sets}));
  STADIAL_RETURN_IF_ERROR(pool->Declare("faults", sets, 2));
  return pool->Build();
}

template <class... Values>
int Problem(const char* format, Values... values) {
  std::snprintf(report->problem, sizeof report->problem, format, values...);
  return kHostFaultsProblem;
}

// Fails allocation `first`, `first` + `step`, ... until the last; 0 fails none and counts them.
int Attempt(const std::string& device, std::uint64_t first, std::uint64_t step) {
  LogCapture log;
  auto runtime = runtime::Runtime::Create(TestRuntimeOptions(log));
  if (!runtime) return Problem("%s", runtime.GetError().Message());
  for (std::uint64_t n = first; n <= report->total; n += step) {
    report->current = n;
    const arenas::ArenaScope scope((*runtime)->SetupArena());
    auto host = HostMemory::Create(**runtime);
    if (!host) return Problem("%s", host.GetError().Message());
    (*host)->InjectFailure(n);
    const Result<void> made = MakeOneOfEverything(**runtime, **host, device);
    const HostMemoryStats stats = (*host)->Stats();
    if (stats.liveBlocks != 0) {
      return Problem("%llu blocks leaked, after: %s", static_cast<unsigned long long>(stats.liveBlocks),
                     made ? "success" : made.GetError().Message());
    }
    if (n == 0) {
      if (!made) return Problem("without a failure: %s", made.GetError().Message());
      report->total = stats.callbackCalls;
      return kHostFaultsDone;
    }
    if (!made) {
      ++report->errors;
      if (made.GetError().Message()[0] == '\0') return Problem("%s", "an error without a message");
      if (made.GetError().Code() == ErrorCode::DeviceLost)
        return Problem("a lost device: %s", made.GetError().Message());
    }
  }
  return kHostFaultsDone;
}

}  // namespace
}  // namespace stadial::gpu

int main(int argc, char** argv) {
  using namespace stadial::gpu;  // NOLINT(google-build-using-namespace)
  if (argc != 5) {
    std::fprintf(stderr, "usage: host_faults_child FD DEVICE FIRST STEP\n");
    return testing::kHostFaultsProblem;
  }
  void* shared = ::mmap(nullptr, sizeof(testing::HostFaultsReport), PROT_READ | PROT_WRITE, MAP_SHARED,
                        std::atoi(argv[1]), 0);
  if (shared == MAP_FAILED) return testing::kHostFaultsProblem;
  report = static_cast<testing::HostFaultsReport*>(shared);
  CatchFaults();
  const int outcome =
      Attempt(argv[2], std::strtoull(argv[3], nullptr, 10), std::strtoull(argv[4], nullptr, 10));
  std::fflush(nullptr);
  ::_exit(outcome);  // without the exit handlers of a driver whose allocations have failed
}
