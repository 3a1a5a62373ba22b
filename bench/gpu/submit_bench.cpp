// What handing a frame to the GPU costs the frame thread: SubmitFrame in a real frame loop, single pushes to
// a pump that is awake and to one that sleeps, and, for comparison, vkQueueSubmit2 called on the thread
// itself.
#include <benchmark/benchmark.h>

#include <thread>

#include "bench_device.h"
#include "stadial/gpu/commands.h"
#include "stadial/gpu/device_table.h"
#include "stadial/gpu/gpu_executor.h"
#include "stadial/gpu/submit_thread.h"
#include "stadial/graph/render_graph.h"
#include "stadial/runtime/clock.h"
#include "stadial/runtime/time_histogram.h"

namespace {

using namespace stadial;  // NOLINT(google-build-using-namespace)
using runtime::NowNs;

constexpr std::uint64_t kSecondNs = 1'000'000'000;

struct FillConfig : graph::NodeConfig<FillConfig> {
  OUTPUT_SLOT(TARGET, gpu::Buffer, graph::Access::TransferWrite);
};
// The smallest frame that is one: a fill of 4 KiB.
class FillNode final : public gpu::GpuTypedNode<FillConfig> {
 public:
  gpu::Result<void> CreateResources(gpu::GpuResourceContext& ctx) override {
    STADIAL_ASSIGN_OR_RETURN(Slots().Out(TARGET),
                             ctx.memory.CreateBuffer({.name = "target", .sizeBytes = 4096}));
    return {};
  }
  void Record(gpu::RecordContext& ctx) override {
    ctx.recorder.FillBuffer(Slots().Out(TARGET), ctx.replayIndex);
  }
  void Execute(ExecuteContext&) override {}
};

void Report(benchmark::State& state, const runtime::TimeHistogram& times, std::uint64_t checksum) {
  state.counters["p50_ns"] = times.PercentileNs(0.5);
  state.counters["p99_ns"] = times.PercentileNs(0.99);
  state.counters["checksum"] = static_cast<double>(checksum != 0);
}

// The time of SubmitFrame alone, two clock readings (about 40 ns) included, in a loop of frames with `gapNs`
// of other work between them. Kernel witness on: a futex wake inside a frame costs a trapped system call
// more.
void RunFrames(benchmark::State& state, std::uint64_t gapNs) {
  std::string error;
  bench::BenchDevice bench = bench::BenchDevice::Open(true, error);
  if (!bench) return state.SkipWithError(error.c_str());
  auto submit = gpu::SubmitThread::Start(*bench.device, {}).Value();
  auto library = gpu::PipelineLibrary::Create(*bench.device, {}).Value();
  auto graph = graph::RenderGraph::Create(*bench.runtime, {.nodesMax = 4}).Value();
  graph->AddNode<FillNode>("fill");
  if (!graph->Setup()) return state.SkipWithError("graph setup failed");
  auto executor = gpu::GpuExecutor::Create(*bench.memory, *submit, *library, *graph, {}).Value();
  if (!bench.runtime->SealSetup() || !graph->Compile() || !executor->Prepare())
    return state.SkipWithError("prepare failed");
  runtime::TimeHistogram times;
  for (auto _ : state) {
    if (gapNs != 0) std::this_thread::sleep_for(std::chrono::nanoseconds(gapNs));
    runtime::FrameContext* frame = bench.runtime->Frames().Begin().Value();
    graph->Execute(*frame);
    const std::uint64_t start = NowNs();
    const auto submitted = executor->SubmitFrame(*frame);
    times.Record(NowNs() - start);
    bench.runtime->Frames().End(frame->completionValue);
    if (!submitted) return state.SkipWithError("submit failed");
  }
  Report(state, times, submit->SubmittedValue());
  state.counters["wakes"] = static_cast<double>(submit->Stats().wakes);
}

void BM_SubmitFrame(benchmark::State& state) { RunFrames(state, 0); }
void BM_SubmitFrameAfterGap(benchmark::State& state) { RunFrames(state, 2'000'000); }

// Bursts of pushes to a pump that is busy with them.
void BM_PushAwake(benchmark::State& state) {
  std::string error;
  bench::BenchDevice bench = bench::BenchDevice::Open(true, error);
  if (!bench) return state.SkipWithError(error.c_str());
  constexpr std::uint64_t kBurst = 64;
  auto submit = gpu::SubmitThread::Start(*bench.device, {.requestsMax = 2 * kBurst}).Value();
  std::uint64_t value = 0;
  for (auto _ : state) {
    if (!submit->Drain()) return state.SkipWithError("drain failed");
    const std::uint64_t start = NowNs();
    for (std::uint64_t i = 0; i < kBurst; ++i) {
      if (!submit->Submit(VK_NULL_HANDLE, VK_NULL_HANDLE, ++value))
        return state.SkipWithError("submit failed");
    }
    state.SetIterationTime(static_cast<double>(NowNs() - start) * 1e-9);
  }
  state.counters["ns_per_submit"] =
      benchmark::Counter(static_cast<double>(kBurst) * 1e-9,
                         benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
  state.counters["checksum"] = static_cast<double>(submit->SubmittedValue() == value);
}

// One push to a pump that sleeps: a futex wake.
void BM_PushAsleep(benchmark::State& state) {
  std::string error;
  bench::BenchDevice bench = bench::BenchDevice::Open(true, error);
  if (!bench) return state.SkipWithError(error.c_str());
  auto submit = gpu::SubmitThread::Start(*bench.device, {.lingerNs = 0}).Value();
  runtime::TimeHistogram times;
  std::uint64_t value = 0;
  for (auto _ : state) {
    if (!submit->Drain()) return state.SkipWithError("drain failed");
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    const std::uint64_t start = NowNs();
    const auto submitted = submit->Submit(VK_NULL_HANDLE, VK_NULL_HANDLE, ++value);
    times.Record(NowNs() - start);
    if (!submitted) return state.SkipWithError("submit failed");
  }
  Report(state, times, value);
}

// The same batch given to the driver by the thread itself.
void BM_DirectQueueSubmit(benchmark::State& state) {
  std::string error;
  bench::BenchDevice bench = bench::BenchDevice::Open(true, error);
  if (!bench) return state.SkipWithError(error.c_str());
  const VolkDeviceTable& table = bench.device->Table();
  VkSemaphoreTypeCreateInfo type{};
  type.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
  type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
  VkSemaphoreCreateInfo create{};
  create.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
  create.pNext = &type;
  VkSemaphore timeline = VK_NULL_HANDLE;
  if (table.vkCreateSemaphore(bench.device->Handle(), &create, bench.device->Callbacks(), &timeline) !=
      VK_SUCCESS) {
    return state.SkipWithError("no semaphore");
  }
  std::uint64_t value = 0;
  VkSemaphoreWaitInfo wait{};
  wait.sType = VK_STRUCTURE_TYPE_SEMAPHORE_WAIT_INFO;
  wait.semaphoreCount = 1;
  wait.pSemaphores = &timeline;
  wait.pValues = &value;
  runtime::TimeHistogram times;
  for (auto _ : state) {
    VkSemaphoreSubmitInfo signal{};
    signal.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SUBMIT_INFO;
    signal.semaphore = timeline;
    signal.value = ++value;
    signal.stageMask = VK_PIPELINE_STAGE_2_ALL_COMMANDS_BIT;
    VkSubmitInfo2 submit{};
    submit.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO_2;
    submit.signalSemaphoreInfoCount = 1;
    submit.pSignalSemaphoreInfos = &signal;
    const std::uint64_t start = NowNs();
    const VkResult result = table.vkQueueSubmit2(bench.device->Queue(), 1, &submit, VK_NULL_HANDLE);
    times.Record(NowNs() - start);
    if (result != VK_SUCCESS ||
        table.vkWaitSemaphores(bench.device->Handle(), &wait, 10 * kSecondNs) != VK_SUCCESS) {
      return state.SkipWithError("the queue failed");
    }
  }
  table.vkDestroySemaphore(bench.device->Handle(), timeline, bench.device->Callbacks());
  Report(state, times, value);
}

BENCHMARK(BM_SubmitFrame)->Iterations(5000);
BENCHMARK(BM_SubmitFrameAfterGap)->Iterations(200);
BENCHMARK(BM_PushAwake)->UseManualTime()->Iterations(2000);
BENCHMARK(BM_PushAsleep)->Iterations(500);
BENCHMARK(BM_DirectQueueSubmit)->Iterations(5000);

}  // namespace

BENCHMARK_MAIN();
