#include "stadial/gpu/submit_thread.h"

#include <gmock/gmock.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "gpu_fixture.h"
#include "stadial/gpu/commands.h"
#include "stadial/gpu/device_table.h"
#include "stadial/runtime/clock.h"

namespace stadial::gpu {
namespace {

using ::testing::HasSubstr;
using namespace testing;  // NOLINT(google-build-using-namespace)

class Submit : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto commands = CommandBuffers::Create(*device_, "empty", 4);
    ASSERT_TRUE(IsOk(commands));
    commands_ = std::move(*commands);
    for (std::uint32_t i = 0; i < 4; ++i) {
      ASSERT_TRUE(IsOk(commands_->Begin(i, true)));
      ASSERT_TRUE(IsOk(commands_->End(i)));
    }
  }
  void TearDown() override {
    commands_.reset();
    GpuTest::TearDown();
  }
  Owned<CommandBuffers> commands_;
};

TEST_P(Submit, ValuesCompleteInOrder) {
  const std::uint64_t count = Repetitions(2000);
  for (std::uint64_t value = 1; value <= count; ++value) {
    if (value > 4) {
      ASSERT_TRUE(IsOk(submit_->WaitForValue(value - 4, 60 * kSecondNs)));
    }
    ASSERT_TRUE(IsOk(submit_->Submit((*commands_)[value % 4], VK_NULL_HANDLE, value)));
    ASSERT_LE(submit_->CompletedValue(), submit_->SubmittedValue());
  }
  ASSERT_TRUE(IsOk(submit_->Drain()));
  EXPECT_EQ(submit_->CompletedValue(), count);
  EXPECT_EQ(submit_->Stats().submits, count);
}

TEST_P(Submit, TwoCommandBuffersAndNoneShareOneValue) {
  ASSERT_TRUE(IsOk(submit_->Submit((*commands_)[0], (*commands_)[1], 10)));
  ASSERT_TRUE(IsOk(submit_->Submit(VK_NULL_HANDLE, VK_NULL_HANDLE, 20)));
  ASSERT_TRUE(IsOk(submit_->WaitForValue(20, 60 * kSecondNs)));
  EXPECT_EQ(submit_->CompletedValue(), 20u);
}

TEST_P(Submit, AWaitForAValueNeverSubmittedTimesOut) {
  ASSERT_TRUE(IsOk(submit_->Submit((*commands_)[0], VK_NULL_HANDLE, 7)));
  ASSERT_TRUE(IsOk(submit_->WaitForValue(7, 60 * kSecondNs)));
  const std::uint64_t before = runtime::NowNs();
  auto wait = submit_->WaitForValue(8, 30'000'000);
  EXPECT_GE(runtime::NowNs() - before, 30'000'000u);
  ASSERT_FALSE(wait);
  EXPECT_EQ(wait.GetError().Code(), ErrorCode::Timeout);
  EXPECT_THAT(wait.GetError().Message(), HasSubstr("GPU value 8"));
  EXPECT_THAT(wait.GetError().Message(), HasSubstr("7 is the last submitted; it was never submitted"));
  // A timeout breaks nothing, and the pump does not go on waiting for it.
  ASSERT_TRUE(IsOk(submit_->Submit((*commands_)[0], VK_NULL_HANDLE, 8)));
  ASSERT_TRUE(IsOk(submit_->WaitForValue(8, 60 * kSecondNs)));
}

TEST_P(Submit, AnAbsurdTimeoutDoesNotOverflow) {
  ASSERT_TRUE(IsOk(submit_->Submit((*commands_)[0], VK_NULL_HANDLE, 1)));
  ASSERT_TRUE(IsOk(submit_->WaitForValue(1, ~std::uint64_t{0})));
  auto now = submit_->WaitForValue(2, 0);
  ASSERT_FALSE(now);
  EXPECT_EQ(now.GetError().Code(), ErrorCode::Timeout);
}

TEST_P(Submit, ValuesMustGrow) {
  ASSERT_TRUE(IsOk(submit_->Submit((*commands_)[0], VK_NULL_HANDLE, 5)));
  for (const std::uint64_t value : {5u, 4u, 0u}) {
    auto again = submit_->Submit((*commands_)[0], VK_NULL_HANDLE, value);
    ASSERT_FALSE(again);
    EXPECT_EQ(again.GetError().Code(), ErrorCode::InvalidArgument);
    EXPECT_THAT(again.GetError().Message(), HasSubstr("after value 5"));
  }
  ASSERT_TRUE(IsOk(submit_->Drain()));
}

TEST_P(Submit, AFullRingIsAnErrorThatNamesItsKnob) {
  // Nothing is wrong on the GPU: the producer is simply faster than vkQueueSubmit2.
  std::uint64_t value = 0;
  for (std::uint32_t i = 0; i < 200'000; ++i) {
    auto pushed = submit_->Submit(VK_NULL_HANDLE, VK_NULL_HANDLE, value + 1);
    if (!pushed) {
      EXPECT_EQ(pushed.GetError().Code(), ErrorCode::CapacityExceeded);
      EXPECT_THAT(pushed.GetError().Message(), HasSubstr("SubmitThreadOptions::requestsMax"));
      EXPECT_EQ(submit_->SubmittedValue(), value) << "a refused value may be used again";
      ASSERT_TRUE(IsOk(submit_->Drain()));
      ASSERT_TRUE(IsOk(submit_->Submit(VK_NULL_HANDLE, VK_NULL_HANDLE, value + 1)));
      ASSERT_TRUE(IsOk(submit_->Drain()));
      return;
    }
    ++value;
  }
  GTEST_SKIP() << "the pump kept up with 200,000 pushes";
}

TEST_P(Submit, RunOnceWaitsOnATimelineOfItsOwn) {
  ASSERT_TRUE(IsOk(submit_->Submit((*commands_)[0], VK_NULL_HANDLE, 100)));
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(IsOk(submit_->RunOnce((*commands_)[1])));
  ASSERT_TRUE(IsOk(submit_->Drain()));
  EXPECT_EQ(submit_->CompletedValue(), 100u);
}

TEST_P(Submit, AnotherThreadMayWait) {
  std::array<std::thread, 3> waiters;
  std::atomic<std::uint32_t> satisfied{0};
  for (std::size_t i = 0; i < waiters.size(); ++i) {
    waiters[i] = std::thread([&, i] {
      for (std::uint64_t value = i + 1; value <= 300; value += 3) {
        if (submit_->WaitForValue(value, 60 * kSecondNs)) ++satisfied;
      }
    });
  }
  for (std::uint64_t value = 1; value <= 300; ++value) {
    if (value > 8) {
      ASSERT_TRUE(IsOk(submit_->WaitForValue(value - 8, 60 * kSecondNs)));
    }
    ASSERT_TRUE(IsOk(submit_->Submit(VK_NULL_HANDLE, VK_NULL_HANDLE, value)));
  }
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(satisfied.load(), 300u);
}

TEST_P(Submit, SleepAndWakeLoseNothing) {
  // Pauses around the linger time, so that pushes meet a pump that lingers, falls asleep, and sleeps.
  for (std::uint64_t value = 1; value <= Repetitions(200); ++value) {
    std::this_thread::sleep_for(std::chrono::microseconds((value * 7) % 120));
    ASSERT_TRUE(IsOk(submit_->Submit((*commands_)[value % 4], VK_NULL_HANDLE, value)));
    ASSERT_TRUE(IsOk(submit_->WaitForValue(value, 60 * kSecondNs)));
  }
  EXPECT_GT(submit_->Stats().sleeps, 0u);
}

TEST_P(Submit, StopDrainsAndIsIdempotent) {
  for (std::uint64_t value = 1; value <= 4; ++value) {
    ASSERT_TRUE(IsOk(submit_->Submit((*commands_)[value % 4], VK_NULL_HANDLE, value)));
  }
  ASSERT_TRUE(IsOk(submit_->Stop()));
  EXPECT_EQ(submit_->CompletedValue(), 4u);
  ASSERT_TRUE(IsOk(submit_->Stop()));
  auto late = submit_->Submit((*commands_)[0], VK_NULL_HANDLE, 21);
  ASSERT_FALSE(late);
}

TEST_P(Submit, Ca_TheFrameThreadMakesNoAllocationAndTheDriverNoneOnIt) {
  ASSERT_EQ(runtime::RunGateSelfTest().state, runtime::GateState::Armed) << runtime::RunGateSelfTest().why;
  const std::uint64_t driverBefore = runtime::CurrentDriverCounters().frameThread;
  const auto before = runtime::CurrentThreadCounters();
  runtime::SetFramesRunning(true);
  {
    const runtime::GateScope gate(runtime::GatePolicy::Trap, runtime::GatePolicy::Trap, runtime::Phase::Frame,
                                  "submit test");
    for (std::uint64_t value = 1; value <= 100; ++value) {
      if (!submit_->Submit((*commands_)[value % 4], VK_NULL_HANDLE, value)) break;
      if (!submit_->WaitForValue(value, 60 * kSecondNs)) break;
    }
    static_cast<void>(submit_->WaitForValue(200, 1000));  // an error allocates as little
  }
  runtime::SetFramesRunning(false);
  EXPECT_EQ(submit_->CompletedValue(), 100u);
  EXPECT_EQ(runtime::CurrentThreadCounters().allocations, before.allocations);
  EXPECT_EQ(runtime::CurrentDriverCounters().frameThread, driverBefore);
}

// The pump's own failures, planted in the device table so that every device has them. Each ends in a process
// of its own: a quarantined device stays alive under a runtime that goes away.
VkResult VKAPI_CALL LoseSubmit(VkQueue, std::uint32_t, const VkSubmitInfo2*, VkFence) {
  return VK_ERROR_DEVICE_LOST;
}
VkResult VKAPI_CALL LosePoll(VkDevice, VkSemaphore, std::uint64_t*) { return VK_ERROR_DEVICE_LOST; }
VkResult VKAPI_CALL PollTooFar(VkDevice, VkSemaphore, std::uint64_t* value) {
  *value = ~std::uint64_t{0};
  return VK_SUCCESS;
}
VkResult VKAPI_CALL RefuseSubmit(VkQueue, std::uint32_t, const VkSubmitInfo2*, VkFence) {
  return VK_ERROR_OUT_OF_HOST_MEMORY;
}
VkResult VKAPI_CALL HangWait(VkDevice, const VkSemaphoreWaitInfo*, std::uint64_t) { return VK_TIMEOUT; }

class SubmitFailureDeathTest : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    ASSERT_NE(GetParam(), kNoRuntime);
    if (GetParam() == kNoDevice) GTEST_SKIP() << "no usable Vulkan device on this machine";
    GTEST_FLAG_SET(death_test_style, "threadsafe");
  }

  // In the child: 42 when a wait and every later submit report `code` and the device ends up as expected.
  template <class Plant>
  [[noreturn]] void FailAndTearDown(Plant&& plant, ErrorCode code, bool quarantined) {
    LogCapture log;
    auto runtime = runtime::Runtime::Create(TestRuntimeOptions(log));
    auto instance = Instance::Create(**runtime, {});
    auto device = Device::Create(**instance, **(*instance)->SelectDevice(GetParam()));
    auto submit = SubmitThread::Start(**device, {.deadlineNs = kSecondNs / 2});
    plant(**device, const_cast<VolkDeviceTable&>((*device)->Table()));
    static_cast<void>((*submit)->Submit(VK_NULL_HANDLE, VK_NULL_HANDLE, 1));
    auto wait = (*submit)->WaitForValue(1, 20 * kSecondNs);
    bool good = !wait && wait.GetError().Code() == code;
    if (!wait) std::fprintf(stderr, "the waiter reads: %s\n", wait.GetError().Message());
    auto after = (*submit)->Submit(VK_NULL_HANDLE, VK_NULL_HANDLE, 2);
    good = good && !after && after.GetError().Code() == code;
    auto once = (*submit)->RunOnce(VK_NULL_HANDLE);
    good = good && !once && once.GetError().Code() == code;
    submit->reset();
    good = good && (*device)->IsQuarantined() == quarantined;
    device->reset();
    instance->reset();
    std::_Exit(good ? 42 : 1);
  }
};

// A driver that calls back: what runs in there is the pump's own code again.
VkResult VKAPI_CALL SubmitThatAllocates(VkQueue, std::uint32_t, const VkSubmitInfo2*, VkFence) {
  const runtime::DriverCallbackScope callback("planted in the pump");
  void* volatile block = std::malloc(40);
  std::free(block);
  return VK_ERROR_OUT_OF_HOST_MEMORY;
}

// One submit in Setup, then one in a frame.
[[noreturn]] void SubmitUnder(const std::string& name, const runtime::GatePolicies& gate) {
  LogCapture log;
  runtime::RuntimeOptions options = TestRuntimeOptions(log);
  options.gate = gate;
  auto runtime = runtime::Runtime::Create(options);
  auto instance = Instance::Create(**runtime, {});
  auto device = Device::Create(**instance, **(*instance)->SelectDevice(name));
  // One fails for good with its first submit.
  auto first = SubmitThread::Start(**device, {.deadlineNs = kSecondNs / 2});
  auto second = SubmitThread::Start(**device, {.deadlineNs = kSecondNs / 2});
  const_cast<VolkDeviceTable&>((*device)->Table()).vkQueueSubmit2 = &SubmitThatAllocates;
  const auto submitOnce = [](SubmitThread& submit) {
    static_cast<void>(submit.Submit(VK_NULL_HANDLE, VK_NULL_HANDLE, 1));
    static_cast<void>(submit.WaitForValue(1, 20 * kSecondNs));
  };
  submitOnce(**first);
  runtime::GateThreadCounters inSetup;
  runtime::CountersByRole(runtime::ThreadRole::Submit, inSetup);
  std::fprintf(stderr, "in Setup %d; ", static_cast<int>(inSetup.allocations));
  if (!(*runtime)->SealSetup() || !(*runtime)->Frames().Begin()) std::_Exit(1);
  submitOnce(**second);
  (*runtime)->Frames().End(1);
  runtime::GateThreadCounters inFrame;
  runtime::CountersByRole(runtime::ThreadRole::Submit, inFrame);
  std::fprintf(stderr, "in a frame %d\n", static_cast<int>(inFrame.allocations - inSetup.allocations));
  std::_Exit(42);
}

TEST_P(SubmitFailureDeathTest, R6_ThePumpHasAPolicyOfItsOwnByPhase) {
  using runtime::GatePolicies;
  using runtime::GatePolicy;
  using runtime::GateRole;
  using runtime::Phase;
  GatePolicies counts = GatePolicy::Count;
  counts.Set(GateRole::Submit, Phase::Setup, GatePolicy::Allow);
  EXPECT_EXIT(SubmitUnder(GetParam(), counts), ::testing::ExitedWithCode(42), "in Setup 0; in a frame 1");
  GatePolicies traps = counts;
  traps.Set(GateRole::Submit, Phase::Frame, GatePolicy::Trap);
  EXPECT_DEATH(SubmitUnder(GetParam(), traps),
               "in Setup 0; (.|\n)*'gpu submit'(.|\n)*in phase Frame(.|\n)*planted in the pump");
}

TEST_P(SubmitFailureDeathTest, ALostDeviceReachesTheWaiterWhereverItShows) {
  EXPECT_EXIT(FailAndTearDown([](Device&, VolkDeviceTable& table) { table.vkQueueSubmit2 = &LoseSubmit; },
                              ErrorCode::DeviceLost, true),
              ::testing::ExitedWithCode(42), "is quarantined");
  EXPECT_EXIT(
      FailAndTearDown([](Device&, VolkDeviceTable& table) { table.vkGetSemaphoreCounterValue = &LosePoll; },
                      ErrorCode::DeviceLost, true),
      ::testing::ExitedWithCode(42), "vkGetSemaphoreCounterValue failed with VK_ERROR_DEVICE_LOST");
  EXPECT_EXIT(
      FailAndTearDown([](Device&, VolkDeviceTable& table) { table.vkGetSemaphoreCounterValue = &PollTooFar; },
                      ErrorCode::DeviceLost, true),
      ::testing::ExitedWithCode(42), "1 is the last value submitted");
}

TEST_P(SubmitFailureDeathTest, ARefusedSubmitIsNoLostDevice) {
  EXPECT_EXIT(FailAndTearDown([](Device&, VolkDeviceTable& table) { table.vkQueueSubmit2 = &RefuseSubmit; },
                              ErrorCode::OutOfMemory, false),
              ::testing::ExitedWithCode(42),
              "vkQueueSubmit2 failed with VK_ERROR_OUT_OF_HOST_MEMORY.*RuntimeOptions::driverBytes");
}

TEST_P(SubmitFailureDeathTest, WorkThatHangsEndsInQuarantine) {
  EXPECT_EXIT(
      {
        LogCapture log;
        auto runtime = runtime::Runtime::Create(TestRuntimeOptions(log));
        auto instance = Instance::Create(**runtime, {});
        auto device = Device::Create(**instance, **(*instance)->SelectDevice(GetParam()));
        auto submit = SubmitThread::Start(**device, {.waitSliceNs = 1'000'000, .deadlineNs = kSecondNs / 4});
        auto& table = const_cast<VolkDeviceTable&>((*device)->Table());
        table.vkWaitSemaphores = &HangWait;
        table.vkGetSemaphoreCounterValue = [](VkDevice, VkSemaphore, std::uint64_t* value) -> VkResult {
          *value = 0;
          return VK_SUCCESS;
        };
        static_cast<void>((*submit)->Submit(VK_NULL_HANDLE, VK_NULL_HANDLE, 1));
        auto wait = (*submit)->WaitForValue(1, kSecondNs / 10);
        const bool timedOut = !wait && wait.GetError().Code() == ErrorCode::Timeout;
        submit->reset();
        const bool quarantined = (*device)->IsQuarantined();
        device->reset();
        instance->reset();
        std::_Exit(timedOut && quarantined ? 42 : 1);
      },
      ::testing::ExitedWithCode(42), "the device hangs or needs longer");
}

// lavapipe loses its device, for good, on a host signal that does not grow: the real thing, where it can be
// had.
TEST_P(SubmitFailureDeathTest, ARealLossIsToldAsOne) {
  const bool isLavapipe = GetParam().find("llvmpipe") != std::string::npos;
  EXPECT_EXIT(FailAndTearDown(
                  [isLavapipe](Device& device, VolkDeviceTable& table) {
                    if (!isLavapipe) {  // elsewhere the signal would be undefined behaviour
                      table.vkQueueSubmit2 = &LoseSubmit;
                      return;
                    }
                    VkSemaphoreTypeCreateInfo type{};
                    type.sType = VK_STRUCTURE_TYPE_SEMAPHORE_TYPE_CREATE_INFO;
                    type.semaphoreType = VK_SEMAPHORE_TYPE_TIMELINE;
                    type.initialValue = 5;
                    VkSemaphoreCreateInfo info{};
                    info.sType = VK_STRUCTURE_TYPE_SEMAPHORE_CREATE_INFO;
                    info.pNext = &type;
                    VkSemaphore semaphore = VK_NULL_HANDLE;
                    table.vkCreateSemaphore(device.Handle(), &info, nullptr, &semaphore);
                    VkSemaphoreSignalInfo signal{};
                    signal.sType = VK_STRUCTURE_TYPE_SEMAPHORE_SIGNAL_INFO;
                    signal.semaphore = semaphore;
                    signal.value = 3;
                    static_cast<void>(table.vkSignalSemaphore(device.Handle(), &signal));
                  },
                  ErrorCode::DeviceLost, true),
              ::testing::ExitedWithCode(42), "VK_ERROR_DEVICE_LOST");
}

}  // namespace

STADIAL_INSTANTIATE_ON_DEVICES(Submit);
STADIAL_INSTANTIATE_ON_DEVICES(SubmitFailureDeathTest);

}  // namespace stadial::gpu
