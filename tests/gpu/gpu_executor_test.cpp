// The whole loop: a compiled graph of GPU nodes with history, replayed with the gate at Trap, checked against
// a model.
#include "stadial/gpu/gpu_executor.h"

#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "gpu_fixture.h"
#include "stadial/runtime/audit.h"
#include "test_nodes.h"

namespace stadial::gpu {
namespace {

using ::testing::HasSubstr;
using namespace testing;  // NOLINT(google-build-using-namespace)

class Executor : public GpuTest {
 protected:
  virtual GpuExecutorOptions ExecutorOptions() const { return {}; }
  virtual void AddMore() {}
  runtime::RuntimeOptions Options() override {
    runtime::RuntimeOptions options = GpuTest::Options();
    options.gate = runtime::GatePolicy::Trap;
    return options;
  }

  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto library = PipelineLibrary::Create(*device_, {});
    ASSERT_TRUE(IsOk(library));
    library_ = std::move(*library);
    auto graph = graph::RenderGraph::Create(*runtime_, {.nodesMax = 16, .historyFramesMin = 2});
    ASSERT_TRUE(IsOk(graph));
    graph_.emplace(std::move(*graph));
    seed_ = (*graph_)->AddNode<SeedNode>("seed");
    accumulate_ = (*graph_)->AddNode<AccumulateNode>("accumulate");
    finish_ = (*graph_)->AddNode<FinishNode>("finish");
    (*graph_)->Connect(seed_, SeedConfig::VALUES, accumulate_, AccumulateConfig::VALUES);
    (*graph_)->Connect(accumulate_, AccumulateConfig::CURRENT, finish_, FinishConfig::CURRENT);
    AddMore();
    ASSERT_TRUE(IsOk((*graph_)->Setup()));
    auto executor = GpuExecutor::Create(*memory_, *submit_, *library_, **graph_, ExecutorOptions());
    ASSERT_TRUE(IsOk(executor));
    executor_ = std::move(*executor);
    ASSERT_TRUE(IsOk(runtime_->SealSetup()));
    ASSERT_TRUE(IsOk((*graph_)->Compile()));
  }
  void TearDown() override {
    executor_.reset();
    graph_.reset();
    library_.reset();
    GpuTest::TearDown();
  }

  // One frame; with `capture` its results are copied out and compared with the model.
  void RunFrame(bool capture) {
    auto frame = runtime_->Frames().Begin();
    ASSERT_TRUE(IsOk(frame));
    runtime::FrameContext& context = **frame;
    (*graph_)->ProcessEvents();
    (*graph_)->Execute(context);
    const Result<void> submitted = executor_->SubmitFrame(context, capture);
    const std::uint64_t value = context.completionValue;
    const auto index = static_cast<std::uint32_t>(context.frameIndex);
    runtime_->Frames().End(value);
    ASSERT_TRUE(IsOk(submitted));
    model_.Step(index);
    if (!capture) return;
    auto bytes = finish_->Results().Read(*submit_, value, 60 * kSecondNs);
    ASSERT_TRUE(IsOk(bytes));
    std::array<std::uint32_t, kItems> results;
    std::memcpy(results.data(), bytes->data(), sizeof results);
    for (std::uint32_t i = 0; i < kItems; ++i)
      ASSERT_EQ(results[i], model_.Result(i)) << "frame " << index << ", item " << i;
  }

  Owned<PipelineLibrary> library_;
  std::optional<graph::RenderGraphPtr> graph_;
  graph::NodeRef<SeedNode> seed_;
  graph::NodeRef<AccumulateNode> accumulate_;
  graph::NodeRef<FinishNode> finish_;
  Owned<GpuExecutor> executor_;
  Model model_;
};

// T8: with validation, its synchronization part within and between submits included.
TEST_P(Executor, T8_FramesWithHistoryAreRightAndValidationIsSilent) {
  ASSERT_TRUE(IsOk(executor_->Prepare()));
  EXPECT_EQ(executor_->ReplayPeriod(), 6u) << "lcm of 3 (history) and 2 (frames in flight)";
  EXPECT_EQ(executor_->NodeCount(), 3u);
  EXPECT_EQ(executor_->BarriersPerFrame(), 3u)
      << "one at the start, one before each node with a GPU producer";
  for (int frame = 0; frame < 60; ++frame) ASSERT_NO_FATAL_FAILURE(RunFrame(frame % 7 == 0 || frame < 8));
}

TEST_P(Executor, Da_DescriptorsAreExact) {
  ASSERT_TRUE(IsOk(executor_->Prepare()));
  const DescriptorPoolStats& stats = executor_->Descriptors().Stats();
  EXPECT_EQ(stats.setsSized, 2u + 6u + 6u)
      << "seed in 2 copies (frames in flight), the history users in lcm(3, 2)";
  EXPECT_EQ(stats.setsAllocated, stats.setsSized);
  EXPECT_EQ(stats.descriptorsSized[VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER], 2u + 6u);
  EXPECT_EQ(stats.descriptorsSized[VK_DESCRIPTOR_TYPE_STORAGE_BUFFER], 2u + 6u + 6u);
  EXPECT_EQ(stats.descriptorsSized[VK_DESCRIPTOR_TYPE_STORAGE_IMAGE], 3u * 6u + 6u);
}

TEST_P(Executor, NothingIsSubmittedBeforePrepare) {
  auto frame = runtime_->Frames().Begin();
  ASSERT_TRUE(IsOk(frame));
  const Result<void> submitted = executor_->SubmitFrame(**frame);
  // The frame stays open, as on an error path: teardown closes it.
  ASSERT_FALSE(submitted);
  EXPECT_EQ(submitted.GetError().Code(), ErrorCode::WrongPhase);
}

TEST_P(Executor, AFrameEndedWithoutSubmitDoesNotBlockTeardown) {
  ASSERT_TRUE(IsOk(executor_->Prepare()));
  auto frame = runtime_->Frames().Begin();
  ASSERT_TRUE(IsOk(frame));
  runtime_->Frames().End((*frame)->completionValue);
}

TEST_P(Executor, R4_PrepareBelongsToCompile) {
  ASSERT_TRUE(IsOk(executor_->Prepare()));
  ASSERT_NO_FATAL_FAILURE(RunFrame(false));
  auto prepared = executor_->Prepare();
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.GetError().Code(), ErrorCode::WrongPhase);
  ASSERT_NO_FATAL_FAILURE(RunFrame(true)) << "a refused Prepare leaves the prepared frames alone";
}

// lavapipe's queue thread frees up to three blocks a little later than the work they belong to is complete.
// This waits until nothing has changed for a while, at most two seconds, so that an exact count can be
// demanded.
HostMemoryStats SettledStats(const HostMemory& memory) {
  constexpr int kQuietLooks = 10;
  constexpr int kLooksMax = 2000;
  HostMemoryStats stats = memory.Stats();
  for (int look = 0, quiet = 0; look < kLooksMax && quiet < kQuietLooks; ++look) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const HostMemoryStats now = memory.Stats();
    quiet = now.liveBlocks == stats.liveBlocks ? quiet + 1 : 0;
    stats = now;
  }
  return stats;
}

// T14: what was made for the old size is gone, nothing grows, and history starts anew.
TEST_P(Executor, T14_AHundredResizesDoNotGrow) {
  ASSERT_TRUE(IsOk(executor_->Prepare()));
  std::uint64_t liveBlocks = 0;
  VkDeviceSize taken = 0;
  std::uint64_t carved = 0;
  const std::uint32_t rounds = Repetitions(100);
  for (std::uint32_t round = 0; round < rounds; ++round) {
    for (int frame = 0; frame < 3; ++frame) {
      ASSERT_NO_FATAL_FAILURE(RunFrame(frame == 2));
    }
    ASSERT_TRUE(IsOk(runtime_->Phases().Transition(runtime::Phase::Compile)));
    accumulate_->Resize(round % 2 == 0 ? 640 : 16);
    model_.Forget();
    ASSERT_TRUE(IsOk((*graph_)->Compile()));
    ASSERT_TRUE(IsOk(executor_->Prepare())) << "round " << round;
    const HostMemoryStats host = SettledStats(*host_);
    if (round == 3) {
      liveBlocks = host.liveBlocks;
      taken = memory_->Stats().takenBytes;
      carved = host.carvedBytes;
    }
    if (round > 3 && round % 2 == 1) {
      EXPECT_EQ(host.liveBlocks, liveBlocks) << "round " << round;
      EXPECT_EQ(memory_->Stats().takenBytes, taken) << "round " << round;
      EXPECT_LE(host.carvedBytes, carved + 256 * 1024) << "round " << round;
    }
  }
  EXPECT_EQ(seed_->PipelinesMade(), 1u) << "pipelines outlive resizes";
  ASSERT_NO_FATAL_FAILURE(RunFrame(true));
}

class WithStranger : public Executor {
 protected:
  void AddMore() override { static_cast<void>((*graph_)->AddNode<SeedNode>("stranger")); }
};

TEST_P(WithStranger, Cc_BarriersStandOnlyWhereEdgesSaySo) {
  ASSERT_TRUE(IsOk(executor_->Prepare()));
  EXPECT_EQ(executor_->NodeCount(), 4u);
  EXPECT_EQ(executor_->BarriersPerFrame(), 3u) << "a node that nobody depends on costs no barrier";
  for (int frame = 0; frame < 12; ++frame) {
    ASSERT_NO_FATAL_FAILURE(RunFrame(true));
  }
}

class ShortPeriod : public Executor {
 protected:
  GpuExecutorOptions ExecutorOptions() const override { return {.replayPeriodMax = 4}; }
};

TEST_P(ShortPeriod, APeriodThatCannotBeRecordedIsAnErrorWithItsReason) {
  auto prepared = executor_->Prepare();
  ASSERT_FALSE(prepared);
  EXPECT_EQ(prepared.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_THAT(prepared.GetError().Message(), HasSubstr("GpuExecutorOptions::replayPeriodMax"));
  EXPECT_FALSE(executor_->IsPrepared());
}

class FewNodes : public Executor {
 protected:
  GpuExecutorOptions ExecutorOptions() const override { return {.nodesMax = 2}; }
};

TEST_P(FewNodes, TooManyNodesAreAnErrorWithTheKnob) {
  auto prepared = executor_->Prepare();
  ASSERT_FALSE(prepared);
  EXPECT_THAT(prepared.GetError().Message(), HasSubstr("GpuExecutorOptions::nodesMax"));
}

// The proof: without the validation layer, which allocates, 500 frames with the gate at Trap.
class GatedExecutor : public Executor {
 protected:
  bool WantsValidation() const override { return false; }
};

TEST_P(GatedExecutor, R6_FiveHundredFramesWithoutAnAllocation) {
  ASSERT_EQ(runtime::RunGateSelfTest().state, runtime::GateState::Armed) << runtime::RunGateSelfTest().why;
  ASSERT_TRUE(IsOk(executor_->Prepare()));
  const std::uint32_t frames = 500;
  const runtime::DriverCounters before = runtime::CurrentDriverCounters();  // earlier tests of this process
  for (std::uint32_t frame = 0; frame < frames; ++frame) {
    ASSERT_NO_FATAL_FAILURE(RunFrame(frame % 50 == 49 || frame < 4));
  }
  const runtime::DriverCounters after = runtime::CurrentDriverCounters();
  runtime::AuditReport report = runtime_->BuildAudit();
  executor_->FillAudit(report);
  runtime::Judge(report);
  EXPECT_EQ(report.frames.total, frames);
  EXPECT_GE(report.frames.steady, 490u);
  EXPECT_EQ(report.frameThreads.heapAllocations, 0u);
  EXPECT_EQ(report.frameThreads.heapFrees, 0u);
  EXPECT_EQ(report.frameThreads.vmSyscalls, 0u);
  EXPECT_EQ(after.frameThread, before.frameThread)
      << "no driver call, so no driver allocation, on the frame thread";
  ASSERT_EQ(report.devices.size(), 1u);
  EXPECT_EQ(report.devices[0].name, device_->Name());
  EXPECT_EQ(host_->Stats().byPhase[2].refusals, 0u) << "the headroom of the sealed host memory was enough";
  std::printf("%s: callbacks per frame %.3f, driver on the submit thread %llu in all, other threads %llu\n",
              device_->Name(), report.driver.callbackAllocationsPerFrame,
              static_cast<unsigned long long>(after.submitThread - before.submitThread),
              static_cast<unsigned long long>(after.otherThreads - before.otherThreads));
}

TEST_P(GatedExecutor, R6_AFrameThatAllocatesIsTrapped) {
  // The canary of the test above, in a process of its own.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  ASSERT_EQ(runtime::RunGateSelfTest().state, runtime::GateState::Armed) << runtime::RunGateSelfTest().why;
  ASSERT_TRUE(IsOk(executor_->Prepare()));
  EXPECT_DEATH(
      {
        auto frame = runtime_->Frames().Begin();
        volatile std::size_t bytes = 24;
        void* volatile planted = std::malloc(bytes);
        std::free(planted);
        runtime_->Frames().End((*frame)->completionValue);
      },
      "Frame");
}

}  // namespace

STADIAL_INSTANTIATE_ON_DEVICES(Executor);
STADIAL_INSTANTIATE_ON_DEVICES(WithStranger);
STADIAL_INSTANTIATE_ON_DEVICES(ShortPeriod);
STADIAL_INSTANTIATE_ON_DEVICES(FewNodes);
STADIAL_INSTANTIATE_ON_DEVICES(GatedExecutor);

}  // namespace stadial::gpu
