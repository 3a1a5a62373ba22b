// RealtimeSanitizer's view of a frame (preset rtsan): what it ends the program for, with its own words, and
// what a frame may do without a word of it.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <mutex>

#include "stadial/runtime/designated_fallback.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/runtime.h"

namespace stadial::runtime {
namespace {

RuntimeOptions Small(GatePolicy policy) {
  RuntimeOptions options;
  options.name = "realtime_sanitizer_test";
  options.setupBytes = std::size_t{1} << 20;
  options.compileBytes = std::size_t{64} << 10;
  options.frameLaneBytes = std::size_t{64} << 10;
  options.driverBytes = std::size_t{1} << 20;
  options.gate = policy;
  options.workers = 2;
  return options;
}

void Allocate() {
  void* volatile block = std::malloc(64);
  std::free(block);
}

std::mutex mutex;
FallbackSite* site = nullptr;

// A frame around body(runtime, frame), after a few empty ones; ends the process with 0 when nothing objects.
template <class Body>
void RunAFrame(GatePolicy policy, const Body& body) {
  auto runtime = Runtime::Create(Small(policy));
  if (!runtime) std::_Exit(1);
  auto registered = (*runtime)->Fallbacks().Register("a library", "test", 4096, 0);
  if (!registered || !(*runtime)->SealSetup()) std::_Exit(1);
  site = *registered;
  for (int i = 0; i < 4; ++i) {
    auto frame = (*runtime)->Frames().Begin();
    if (!frame) std::_Exit(2);
    if (i == 3) body(**runtime, **frame);
    (*runtime)->Frames().End((*frame)->completionValue);
  }
  std::_Exit(0);
}

class RealtimeSanitizerDeathTest : public ::testing::Test {
 protected:
  RealtimeSanitizerDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(RealtimeSanitizerDeathTest, MallocInAFrameIsCaught) {
  EXPECT_DEATH(RunAFrame(GatePolicy::Trap, [](Runtime&, FrameContext&) { Allocate(); }),
               "real-time unsafe function `malloc`");
}

TEST_F(RealtimeSanitizerDeathTest, AMutexInAFrameIsCaught) {
  EXPECT_DEATH(RunAFrame(GatePolicy::Deny,
                         [](Runtime&, FrameContext&) { const std::lock_guard<std::mutex> guard(mutex); }),
               "real-time unsafe function `pthread_mutex_lock`");
}

TEST_F(RealtimeSanitizerDeathTest, MallocOnAWorkerIsCaught) {
  const auto body = [](Runtime& runtime, FrameContext&) {
    // The frame thread's share ends last, so that the worker has one.
    std::atomic<bool> isWorkerHere{false};
    runtime.Runner().Run(
        [](void* data, std::uint32_t worker) noexcept {
          auto& isHere = *static_cast<std::atomic<bool>*>(data);
          if (worker == 0) {
            while (!isHere) {
            }
          } else {
            Allocate();
            isHere = true;
          }
        },
        &isWorkerHere);
  };
  EXPECT_DEATH(RunAFrame(GatePolicy::Trap, body), "real-time unsafe function `malloc`");
}

TEST_F(RealtimeSanitizerDeathTest, ACallbackOfADriverIsOursAgain) {
  EXPECT_DEATH(RunAFrame(GatePolicy::Trap,
                         [](Runtime&, FrameContext&) {
                           const DriverCallScope call("vkQueueSubmit2");
                           const DriverCallbackScope callback("host memory");
                           Allocate();
                         }),
               "real-time unsafe function `malloc`");
}

// What a frame is meant to do, with waiting workers; and what stands outside of the gate.
TEST_F(RealtimeSanitizerDeathTest, AFrameThatKeepsTheRulesRuns) {
  EXPECT_EXIT(RunAFrame(GatePolicy::Trap,
                        [](Runtime& runtime, FrameContext& frame) {
                          static_cast<void>(frame.lane->Allocate(1000, 16));
                          if (!runtime.Events().Emit(Event{.type = EventType::FrameStart})) std::_Exit(3);
                          runtime.Events().ProcessEvents();
                          std::atomic<int> shares{0};
                          runtime.Runner().Run(
                              [](void* data, std::uint32_t) noexcept {
                                static_cast<std::atomic<int>*>(data)->fetch_add(1);
                              },
                              &shares);
                          {
                            const DriverCallScope call("vkQueueSubmit2");
                            Allocate();
                          }
                          {
                            const FallbackScope fallback(*site);
                            Allocate();
                          }
                          {
                            const GateScope open(GatePolicy::Count, GatePolicy::Count, Phase::Frame,
                                                 "counted");
                            Allocate();
                          }
                        }),
              ::testing::ExitedWithCode(0), "");
}

TEST_F(RealtimeSanitizerDeathTest, AFrameThatOnlyCountsRuns) {
  EXPECT_EXIT(RunAFrame(GatePolicy::Count, [](Runtime&, FrameContext&) { Allocate(); }),
              ::testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace stadial::runtime
