#include "stadial/runtime/gate.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "gate/gate_forms.h"
#include "test_support.h"

// External linkage, so that a trap can name it.
namespace stadial_test {
[[gnu::noinline]] void PlantedFrameAllocation() {
  std::vector<int> grown;
  grown.push_back(1);
  stadial::runtime::testing::Escape(grown.data());
}
}  // namespace stadial_test

namespace stadial::runtime::testing {
namespace {

// Runs before the constructors of this program and of the gate, as the dynamic linker's own calls do.
bool servedEarly = false;
[[gnu::constructor(101)]] void AllocateBeforeConstructors() {
  void* block = Escape(std::malloc(100));
  block = Escape(std::realloc(block, 5000));
  servedEarly = block != nullptr;
  std::free(block);
  std::string* const text = new std::string(100, 'x');
  servedEarly = servedEarly && text->size() == 100;
  delete text;
}

void Allocate(int count) {
  for (int index = 0; index < count; ++index) std::free(Escape(std::malloc(24)));
}

class GateTest : public ::testing::Test {
 protected:
  void SetUp() override { STADIAL_ASSERT_ARMED(); }
};

TEST_F(GateTest, Ab_SelfTestSeesEveryFormAndSaysHow) {
  const GateSelfTestResult& result = RunGateSelfTest();
  EXPECT_EQ(result.state, GateState::Armed);
  EXPECT_EQ(result.formsSeen, result.formsTested);
  EXPECT_GE(result.formsTested, 33u);
  EXPECT_NE(std::string(result.why).find("all "), std::string::npos) << result.why;
  EXPECT_STREQ(result.method,
               kIsSanitized ? "sanitizer malloc hooks" : "malloc family and operators over mimalloc");
  EXPECT_EQ(CurrentGateState(), GateState::Armed);
  EXPECT_STREQ(ToString(CurrentGateState()), "ARMED");
}

TEST_F(GateTest, Ab_SelfTestLeavesNoTraceInTheCounters) {
  const ThreadRegistration registration(ThreadRole::Frame, "main");
  RunGateSelfTest();
  const GateThreadCounters counters = CurrentThreadCounters();
  EXPECT_EQ(counters.allocations, 0u);
  EXPECT_EQ(counters.frees, 0u);
}

TEST_F(GateTest, R6_MallocWorksBeforeAnyConstructor) { EXPECT_TRUE(servedEarly); }

TEST_F(GateTest, R6_CanaryInAFrameIsSeen) {
  const GateThreadCounters before = CurrentThreadCounters();
  {
    const GateScope frame(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "canary");
    stadial_test::PlantedFrameAllocation();
  }
  EXPECT_EQ(CurrentThreadCounters().allocations - before.allocations, 1u);
  EXPECT_EQ(CurrentThreadCounters().frees - before.frees, 1u);
}

// What a compiler does with two plain reads around a malloc; the counters must not fold that way.
TEST_F(GateTest, Ab_CountersDoNotFoldAroundMalloc) {
  const GateScope scope(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "fold");
  const std::uint64_t before = CurrentThreadCounters().allocations;
  void* const block = std::malloc(77);
  const std::uint64_t after = CurrentThreadCounters().allocations;
  EXPECT_EQ(after - before, 1u);
  std::free(Escape(block));
}

// A scope that only surrounds a malloc must not be optimised away.
TEST_F(GateTest, R6_PolicySurvivesOptimisation) {
  void* volatile sink = nullptr;
  const std::uint64_t before = CurrentThreadCounters().allocations;
  for (int repetition = 0; repetition < 10; ++repetition) {
    {
      const GateScope scope(GatePolicy::Count, GatePolicy::Allow, Phase::Frame, "loop");
      sink = std::malloc(8);
    }
    std::free(sink);
  }
  EXPECT_EQ(CurrentThreadCounters().allocations - before, 10u);
}

TEST_F(GateTest, R6_InnermostScopeDecidesAndIsRestored) {
  const std::uint64_t before = CurrentThreadCounters().allocations;
  {
    const GateScope outer(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "outer");
    Allocate(1);
    {
      const GateScope inner(GatePolicy::Allow, GatePolicy::Allow, Phase::Compile, "inner");
      Allocate(10);
      {
        const GateScope innermost(GatePolicy::Count, GatePolicy::Allow, Phase::Frame, "innermost");
        Allocate(100);
      }
      Allocate(10);
    }
    Allocate(1000);
  }
  Allocate(10000);
  EXPECT_EQ(CurrentThreadCounters().allocations - before, 1101u);
}

TEST_F(GateTest, R7_FreeingNullIsNothing) {
  const std::uint64_t before = CurrentThreadCounters().frees;
  const GateScope scope(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "null");
  std::free(Escape(nullptr));
  ::operator delete(Escape(nullptr));
  EXPECT_EQ(CurrentThreadCounters().frees - before, 0u);
}

TEST_F(GateTest, R6_ReallocIsAnAllocationAndAFree) {
  if (!GateCanDeny()) GTEST_SKIP() << "a sanitizer decides how its realloc shows";
  std::string expected(2000, 'q');
  auto* block = static_cast<char*>(std::malloc(2000));
  std::memcpy(block, expected.data(), 2000);
  const GateThreadCounters before = CurrentThreadCounters();
  {
    const GateScope scope(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "realloc");
    block = static_cast<char*>(Escape(std::realloc(block, 100000)));  // moves
    block = static_cast<char*>(Escape(std::realloc(block, 99000)));   // fits
    block = static_cast<char*>(Escape(std::realloc(block, 2000)));    // shrinks
  }
  const GateThreadCounters after = CurrentThreadCounters();
  EXPECT_EQ(after.allocations - before.allocations, 3u);
  EXPECT_EQ(after.frees - before.frees, 3u);
  EXPECT_EQ(std::string(block, 2000), expected);
  std::free(block);
}

TEST_F(GateTest, R6_DeniedReallocKeepsTheBlock) {
  if (!GateCanDeny()) GTEST_SKIP() << "a sanitizer's hook cannot refuse";
  auto* const block = static_cast<char*>(Escape(std::malloc(64)));
  // Through a volatile, because compilers take it that a realloc ends the block.
  char* volatile kept = block;
  std::memset(block, 'k', 64);
  for (const auto& [allocate, free] :
       {std::pair{GatePolicy::Deny, GatePolicy::Allow}, std::pair{GatePolicy::Allow, GatePolicy::Deny}}) {
    const GateScope scope(allocate, free, Phase::Frame, "realloc");
    errno = 0;
    EXPECT_EQ(std::realloc(kept, 5000), nullptr);
    EXPECT_EQ(errno, ENOMEM);
  }
  EXPECT_EQ(std::string(kept, 64), std::string(64, 'k'));
  std::free(kept);
}

TEST_F(GateTest, R6_ImpossibleSizesFailCleanly) {
  if (!GateCanDeny()) GTEST_SKIP() << "a sanitizer has its own limits";
  volatile std::size_t hugeBytes =
      static_cast<std::size_t>(PTRDIFF_MAX) - 100;  // compilers refuse it when they see it
  volatile std::size_t maxBytes = SIZE_MAX;
  const std::size_t huge = hugeBytes;
  void* block = nullptr;
  for (const GatePolicy policy : {GatePolicy::Allow, GatePolicy::Count}) {
    const GateScope scope(policy, policy, Phase::Setup, "huge");
    errno = 0;
    EXPECT_EQ(Escape(std::malloc(huge)), nullptr);
    EXPECT_EQ(errno, ENOMEM);
    EXPECT_EQ(Escape(std::calloc(huge, 16)), nullptr);
    EXPECT_EQ(Escape(::reallocarray(nullptr, huge, 16)), nullptr);
    EXPECT_EQ(Escape(::pvalloc(maxBytes)), nullptr);
    EXPECT_EQ(Escape(::memalign(64, huge)), nullptr);
    EXPECT_EQ(::posix_memalign(&block, 64, huge), ENOMEM);
    EXPECT_EQ(::posix_memalign(&block, 3, 64), EINVAL);
    EXPECT_EQ(Escape(::operator new(huge, std::nothrow)), nullptr);
#if defined(__cpp_exceptions)
    EXPECT_THROW(Escape(::operator new(huge)), std::bad_alloc);
#endif
  }
}

TEST_F(GateTest, R6_LargeAndWidelyAlignedBlocksComeBackToTheirOwner) {
  if (!GateCanDeny()) GTEST_SKIP() << "a sanitizer has its own limits";
  const std::uint64_t foreignBefore = ForeignBlocksFreed();
  for (const std::size_t bytes :
       {std::size_t{1} << 20, std::size_t{64} << 20, (std::size_t{1} << 30) + 5, std::size_t{3} << 30}) {
    auto* const block = static_cast<char*>(Escape(std::malloc(bytes)));
    ASSERT_NE(block, nullptr) << bytes;
    block[0] = 1;
    block[bytes - 1] = 1;
    EXPECT_GE(::malloc_usable_size(block), bytes);
    std::free(block);
  }
  for (std::size_t alignment = 16; alignment <= std::size_t{128} << 20; alignment *= 2) {
    for (const std::size_t bytes : {alignment / 2, alignment, 2 * alignment, std::size_t{100}}) {
      void* const block = Escape(::memalign(alignment, bytes));
      ASSERT_NE(block, nullptr) << alignment;
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block) % alignment, 0u) << bytes << " B at " << alignment;
      std::free(block);
      void* const object = Escape(::operator new (bytes, std::align_val_t{alignment}));
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(object) % alignment, 0u) << bytes << " B at " << alignment;
      ::operator delete (object, std::align_val_t{alignment});
    }
  }
  EXPECT_EQ(ForeignBlocksFreed(), foreignBefore);
}

TEST_F(GateTest, R6_ReportsAreLimitedPerFrameAndTheRestCounted) {
  const GateThreadCounters before = CurrentThreadCounters();
  ::testing::internal::CaptureStderr();
  for (std::uint64_t frame = 1000; frame < 1002; ++frame) {
    SetGateFrame(frame);
    const GateScope scope(GatePolicy::Report, GatePolicy::Allow, Phase::Frame, "storm");
    Allocate(50);
  }
  const std::string printed = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(CurrentThreadCounters().reports - before.reports, 100u);
  std::size_t lines = 0;
  for (std::size_t at = printed.find("gate report:"); at != std::string::npos;
       at = printed.find("gate report:", at + 1))
    ++lines;
  EXPECT_EQ(lines, 2u * kGateReportsPerFrameMax);
}

TEST_F(GateTest, R6_TheReporterItselfAllocatesNothing) {
  SetGateFrame(2000);
  const std::uint64_t before = CurrentThreadCounters().allocations;
  ::testing::internal::CaptureStderr();
  {
    const GateScope scope(GatePolicy::Report, GatePolicy::Report, Phase::Frame, "reporter");
    std::free(Escape(std::malloc(16)));
  }
  ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(CurrentThreadCounters().allocations - before, 1u);
}

TEST_F(GateTest, R6_DriverCallsAreNotOurs) {
  const ThreadRegistration registration(ThreadRole::Frame, "frame thread");
  SetFramesRunning(true);
  const DriverCounters driverBefore = CurrentDriverCounters();
  {
    // Trap outside: the driver's own allocations must pass, ours must not be counted with them.
    const GateScope frame(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "frame");
    const DriverCallScope driver("vkQueueSubmit2");
    Allocate(5);
  }
  SetFramesRunning(false);
  {
    const DriverCallScope driver("vkCreateDevice");
    Allocate(3);  // outside of frames nobody counts them
  }
  const DriverCounters driverAfter = CurrentDriverCounters();
  EXPECT_EQ(driverAfter.frameThread - driverBefore.frameThread, 5u);
  EXPECT_EQ(driverAfter.otherThreads - driverBefore.otherThreads, 0u);
  EXPECT_EQ(CurrentThreadCounters().allocations, 0u);
}

// A driver calls our code back: that is ours again, with our policies.
TEST_F(GateTest, R6_DriverCallbacksAreOurs) {
  const ThreadRegistration registration(ThreadRole::Frame, "frame thread");
  SetFramesRunning(true);
  const DriverCounters driverBefore = CurrentDriverCounters();
  {
    const GateScope frame(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "frame");
    const DriverCallScope driver("vkCreateBuffer");
    Allocate(2);
    {
      const DriverCallbackScope callback("host memory");
      Allocate(30);
      {
        const DriverCallScope nested("vkGetBufferMemoryRequirements");
        Allocate(4);
      }
      Allocate(300);
    }
    Allocate(5);
  }
  EXPECT_EQ(CurrentThreadCounters().allocations, 330u);
  EXPECT_EQ(CurrentDriverCounters().frameThread - driverBefore.frameThread, 11u);
  {
    const DriverCallbackScope elsewhere("on a thread without a driver call");
    Allocate(7);
  }
  SetFramesRunning(false);
  EXPECT_EQ(CurrentThreadCounters().allocations, 330u);
}

TEST_F(GateTest, R6_CountersByRole) {
  std::atomic<int> done{0};
  GateThreadCounters frameBefore, workerBefore, submitBefore, otherBefore;
  CountersByRole(ThreadRole::Frame, frameBefore);
  CountersByRole(ThreadRole::Worker, workerBefore);
  CountersByRole(ThreadRole::Submit, submitBefore);
  CountersByRole(ThreadRole::Unregistered, otherBefore);
  const DriverCounters driverBefore = CurrentDriverCounters();

  const auto ours = [&](ThreadRole role, int count, int driverCount) {
    const ThreadRegistration registration(role, "role test");
    {
      const GateScope scope(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "roles");
      Allocate(count);
      const DriverCallScope driver("driver");
      Allocate(driverCount);
    }
    EXPECT_EQ(CurrentThreadCounters().allocations, static_cast<std::uint64_t>(count));
    ++done;
  };
  SetFramesRunning(true);
  // One after the other: starting a thread allocates on the unregistered thread that starts it.
  std::thread(ours, ThreadRole::Frame, 10, 1).join();
  std::thread(ours, ThreadRole::Worker, 20, 2).join();
  std::thread(ours, ThreadRole::Worker, 30, 3).join();
  std::thread(ours, ThreadRole::Submit, 40, 4).join();
  std::thread([&] { Allocate(500), ++done; }).join();
  SetFramesRunning(false);
  ASSERT_EQ(done.load(), 5);

  const auto added = [](ThreadRole role, const GateThreadCounters& before) {
    GateThreadCounters now;
    CountersByRole(role, now);
    return now.allocations - before.allocations;
  };
  EXPECT_EQ(added(ThreadRole::Frame, frameBefore), 10u);
  EXPECT_EQ(added(ThreadRole::Worker, workerBefore), 50u);
  EXPECT_EQ(added(ThreadRole::Submit, submitBefore), 40u);
  EXPECT_GE(added(ThreadRole::Unregistered, otherBefore), 500u);
  const DriverCounters driverAfter = CurrentDriverCounters();
  EXPECT_EQ(driverAfter.frameThread - driverBefore.frameThread, 1u);
  EXPECT_EQ(driverAfter.workerThreads - driverBefore.workerThreads, 5u);
  EXPECT_EQ(driverAfter.submitThread - driverBefore.submitThread, 4u);
  EXPECT_GE(driverAfter.otherThreads - driverBefore.otherThreads, 500u);
}

TEST_F(GateTest, R6_ThreadsHammerTheirOwnCounters) {
  constexpr int kThreads = 8;
  constexpr int kCount = 20000;
  std::vector<std::thread> threads;
  std::atomic<int> exact{0};
  GateThreadCounters before;
  CountersByRole(ThreadRole::Worker, before);
  for (int index = 0; index < kThreads; ++index) {
    threads.emplace_back([&] {
      const ThreadRegistration registration(ThreadRole::Worker, "hammer");
      const GateScope scope(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "hammer");
      Allocate(kCount);
      if (CurrentThreadCounters().allocations == kCount && CurrentThreadCounters().frees == kCount) ++exact;
    });
  }
  GateThreadCounters running;  // reading while they count
  for (int look = 0; look < 100; ++look) CountersByRole(ThreadRole::Worker, running);
  for (std::thread& thread : threads) thread.join();
  CountersByRole(ThreadRole::Worker, running);
  EXPECT_EQ(exact.load(), kThreads);
  EXPECT_EQ(running.allocations - before.allocations, static_cast<std::uint64_t>(kThreads) * kCount);
}

TEST_F(GateTest, R6_ForkedChildrenAllocateWhileThreadsHammer) {
  if (kIsSanitized) GTEST_SKIP() << "sanitizers do not support fork in a program with threads";
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int index = 0; index < 3; ++index) {
    threads.emplace_back([&] {
      const ThreadRegistration registration(ThreadRole::Worker, "forker");
      const GateScope scope(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "fork");
      while (!stop.load(std::memory_order_relaxed)) Allocate(10);
    });
  }
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const std::uint64_t start = CurrentThreadCounters().allocations;
      {
        const GateScope scope(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "child");
        Allocate(1000);
      }
      ::_exit(CurrentThreadCounters().allocations - start == 1000 ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "round " << round << ", status " << status;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(GateTest, R6_HooksServeAGamesOwnMalloc) {
  const GateThreadCounters before = CurrentThreadCounters();
  EXPECT_TRUE(GateOnAllocate(100));  // no scope
  {
    const GateScope scope(GatePolicy::Count, GatePolicy::Count, Phase::Frame, "hook");
    EXPECT_TRUE(GateOnAllocate(100));
    char block[8];
    EXPECT_TRUE(GateOnFree(block));
  }
  {
    const GateScope scope(GatePolicy::Deny, GatePolicy::Deny, Phase::Frame, "hook");
    EXPECT_FALSE(GateOnAllocate(100));
    char block[8];
    EXPECT_FALSE(GateOnFree(block));
  }
  const GateThreadCounters after = CurrentThreadCounters();
  EXPECT_EQ(after.allocations - before.allocations, 2u);
  EXPECT_EQ(after.allocatedBytes - before.allocatedBytes, 200u);
  EXPECT_EQ(after.frees - before.frees, 2u);
  EXPECT_EQ(after.denied - before.denied, 2u);
}

class GateDeathTest : public GateTest {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    GateTest::SetUp();
  }
};

TEST_F(GateDeathTest, R6_TrapNamesPhaseThreadFrameComponentAndFunction) {
  EXPECT_DEATH(
      {
        const ThreadRegistration registration(ThreadRole::Frame, "main loop");
        SetGateFrame(100);
        const GateScope scope(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "frame");
        const ComponentScope component("water");
        stadial_test::PlantedFrameAllocation();
      },
      " of 4 B on thread 'main loop' \\(role Frame, index 0\\) in phase Frame, frame 100, component 'water'; "
      "policy Trap.*"
      "stadial_test::PlantedFrameAllocation\\+0x.*remedy: take it from the frame's lane");
}

TEST_F(GateDeathTest, R6_TrapInADriverCallbackNamesTheEntryPoint) {
  EXPECT_DEATH(
      {
        const ThreadRegistration registration(ThreadRole::Frame, "main loop");
        const GateScope scope(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "frame");
        const DriverCallScope driver("vkCreateImage");
        const DriverCallbackScope callback("host memory");
        stadial_test::PlantedFrameAllocation();
      },
      "component 'host memory', inside vkCreateImage; policy Trap");
}

TEST_F(GateDeathTest, R6_TrapOnAWorkerThread) {
  EXPECT_DEATH(std::thread([] {
                 const ThreadRegistration registration(ThreadRole::Worker, "worker 3");
                 const GateScope scope(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "jobs");
                 stadial_test::PlantedFrameAllocation();
               }).join(),
               "on thread 'worker 3' \\(role Worker, index 0\\).*stadial_test::PlantedFrameAllocation");
}

}  // namespace
}  // namespace stadial::runtime::testing
