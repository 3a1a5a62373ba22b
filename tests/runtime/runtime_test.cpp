#include "stadial/runtime/runtime.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "stadial/runtime/designated_fallback.h"
#include "stadial/runtime/kernel_witness.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using ::testing::HasSubstr;
using testing::LogCapture;
using ::testing::Not;
using testing::Repetitions;

RuntimeOptions Small(GatePolicy policy = GatePolicy::Trap) {
  RuntimeOptions options;
  options.name = "runtime_test";
  options.setupBytes = std::size_t{1} << 20;
  options.compileBytes = std::size_t{256} << 10;
  options.frameLaneBytes = std::size_t{64} << 10;
  options.driverBytes = std::size_t{1} << 20;
  options.gate = policy;
  options.warmupFrames = 10;
  return options;
}

std::string Maps() {
  std::ifstream file("/proc/self/maps");
  return {std::istreambuf_iterator<char>(file), {}};
}

void RunFrames(Runtime& runtime, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    FrameContext* const frame = runtime.Frames().Begin().Value();
    runtime.Frames().End(frame->completionValue);
  }
}

// Exact: the kernel walks the page tables for it, where /proc/self/statm may be off by what each core has not
// handed in yet. Reading allocates nothing, so it cannot change what it reads.
std::size_t ResidentBytes() {
  static char text[4096];
  const int file = ::open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
  const ssize_t length = ::read(file, text, sizeof text - 1);
  ::close(file);
  text[length > 0 ? length : 0] = '\0';
  const char* const line = std::strstr(text, "\nRss:");
  return line == nullptr ? 0 : std::strtoull(line + 5, nullptr, 10) << 10;
}

[[maybe_unused]] void LimitAddressSpace() {
  const rlimit limit{.rlim_cur = rlim_t{1} << 30, .rlim_max = rlim_t{1} << 30};
  ::setrlimit(RLIMIT_AS, &limit);
}

TEST(Runtime, R2_SegmentsAreNamedAndGuarded) {
  const RuntimePtr runtime = Runtime::Create(Small()).Value();
  const char* const names[] = {"setup", "compile_a", "compile_b", "frame_0", "frame_1", "driver", "fallback"};
  const std::span<arenas::Segment> segments = runtime->GetRegion().Segments();
  ASSERT_EQ(segments.size(), std::size(names));
  const std::string maps = Maps();
  for (std::size_t i = 0; i < segments.size(); ++i) {
    EXPECT_STREQ(segments[i].Name(), names[i]);
    if (segments[i].NameMethod() != arenas::MappingNameMethod::None) {
      EXPECT_THAT(maps, HasSubstr(std::string("runtime_test:") + names[i]));
    }
    if (i != 0) {
      EXPECT_GE(segments[i].Base() - (segments[i - 1].Base() + segments[i - 1].ReservedBytes()),
                static_cast<std::ptrdiff_t>(arenas::PageSize()))
          << "no guard before " << names[i];
    }
  }
}

TEST(Runtime, R3_FrameMemoryIsPreFaulted) {
  if (testing::kIsSanitized) GTEST_SKIP() << "the sanitizer's shadow memory faults in on the same thread";
  const RuntimePtr runtime = Runtime::Create(Small()).Value();
  ASSERT_TRUE(runtime->SealSetup());
  for (int i = 0; i < 2; ++i) {
    FrameContext* const frame = runtime->Frames().Begin().Value();
    const std::uint64_t before = MinorFaults();
    std::memset(frame->lane->Allocate(frame->lane->RemainingBytes()), 1, frame->lane->CapacityBytes());
    const std::uint64_t faults = MinorFaults() - before;
    runtime->Frames().End(frame->completionValue);
    EXPECT_EQ(faults, 0u);
  }
}

TEST(Runtime, R4_WalksThroughItsPhases) {
  const RuntimePtr runtime = Runtime::Create(Small()).Value();
  EXPECT_EQ(runtime->Phases().Current(), Phase::Setup);
  EXPECT_EQ(runtime->Frames().Begin().GetError().Code(), ErrorCode::WrongPhase);
  ASSERT_TRUE(runtime->SealSetup());
  EXPECT_EQ(runtime->Phases().Current(), Phase::Compile);
  const Result<void> again = runtime->SealSetup();
  ASSERT_FALSE(again);
  EXPECT_THAT(again.GetError().Message(), HasSubstr("runtime_test.cpp"));
  RunFrames(*runtime, 3);
  EXPECT_EQ(runtime->Phases().Current(), Phase::Frame);
  ASSERT_TRUE(runtime->Frames().Begin());
  const Result<void> early = runtime->Shutdown();
  runtime->Frames().End(4);  // before the matchers, which allocate
  ASSERT_FALSE(early);
  EXPECT_THAT(early.GetError().Message(), HasSubstr("frame 3 is open"));
  ASSERT_TRUE(runtime->Shutdown());
  EXPECT_EQ(runtime->Phases().Current(), Phase::Shutdown);
  EXPECT_EQ(runtime->Shutdown().GetError().Code(), ErrorCode::WrongPhase);
  EXPECT_EQ(runtime->Frames().Begin().GetError().Code(), ErrorCode::WrongPhase);
}

TEST(Runtime, R5_ASealedSetupRefusesToBeCarved) {
  const RuntimePtr runtime = Runtime::Create(Small()).Value();
  arenas::Arena& kept = runtime->SetupArena();
  const int* const value = kept.New<int>(42);
  ASSERT_TRUE(runtime->SealSetup());
  EXPECT_EQ(kept.TryAllocate(1), nullptr) << "a reference from before the seal must not carve";
  EXPECT_EQ(*value, 42);
  EXPECT_FALSE(runtime->Fallbacks().Register("late", "test", 4096, 1));
  EXPECT_EQ(runtime->Events().TryPreAllocate(5000).GetError().Code(), ErrorCode::OutOfMemory);
}

TEST(Runtime, R8_GuardsTakeNothingFromSetup) {
  RuntimeOptions options = Small();
  options.setupGuardBytes = std::size_t{64} << 10;
  const RuntimePtr runtime = Runtime::Create(options).Value();
  const std::size_t setupBytes = runtime->Options().setupBytes;  // with what the runtime takes itself
  EXPECT_EQ(runtime->SetupArena().CapacityBytes(), setupBytes);
  EXPECT_EQ(runtime->GetRegion().Find("setup")->ReservedBytes() - setupBytes,
            arenas::kArenaChecks ? options.setupGuardBytes : 0);
}

// Writes behind an object of Setup memory, before or after the seal, and ends the runtime.
void OverrunInSetup(bool isSealed) {
  const RuntimePtr runtime = Runtime::Create(Small()).Value();
  auto* const bytes = static_cast<volatile char*>(runtime->SetupArena().Allocate(24));
  if (isSealed && !runtime->SealSetup()) std::_Exit(1);
  bytes[24] = 1;
  if (!isSealed && !runtime->SealSetup()) std::_Exit(1);
  if (!runtime->Shutdown()) std::_Exit(1);
}

TEST(RuntimeDeathTest, R8_AnOverrunInSetupMemoryIsReportedAtTheSealAndAtShutdown) {
  if (!arenas::kArenaChecks) GTEST_SKIP() << "guards stand in checked builds only";
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const char* const message = STADIAL_ADDRESS_SANITIZER != 0
                                  ? "use-after-poison"
                                  : "setup arena 'setup': overrun: offset [0-9]+ was written, 0 B past the "
                                    "end of the allocation of 24 B at offset [0-9]+ made by ";
  EXPECT_DEATH(OverrunInSetup(false), message);
  EXPECT_DEATH(OverrunInSetup(true), message);
}

TEST(RuntimeDeathTest, R5_SetupArenaAfterTheSealAsserts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const RuntimePtr runtime = Runtime::Create(Small()).Value();
  ASSERT_TRUE(runtime->SealSetup());
  EXPECT_DEATH(static_cast<void>(runtime->SetupArena()), "Setup is sealed");
}

TEST(Runtime, DriverSegmentIsCommittedOnDemandInSetup) {
  {
    const RuntimePtr runtime = Runtime::Create(Small()).Value();
    EXPECT_EQ(runtime->GetRegion().Find("driver")->CommittedBytes(), 0u);
    EXPECT_EQ(runtime->DriverSegment().CommittedBytes(), std::size_t{1} << 20);
    ASSERT_TRUE(runtime->SealSetup());
    EXPECT_TRUE(runtime->OpenDriverSegment());
  }
  {
    const RuntimePtr runtime = Runtime::Create(Small()).Value();
    ASSERT_TRUE(runtime->SealSetup());
    EXPECT_EQ(runtime->OpenDriverSegment().GetError().Code(), ErrorCode::WrongPhase);
  }
  {
    RuntimeOptions options = Small();
    options.driverBytes = 0;
    const RuntimePtr runtime = Runtime::Create(options).Value();
    EXPECT_EQ(runtime->OpenDriverSegment().GetError().Code(), ErrorCode::InvalidArgument);
  }
}

struct BadOption {
  const char* name;
  void (*plant)(RuntimeOptions&);
  const char* message;
};

void PrintTo(const BadOption& option, std::ostream* out) { *out << option.name; }

class RuntimeOptionErrors : public ::testing::TestWithParam<BadOption> {};

TEST_P(RuntimeOptionErrors, NameTheOptionAndItsRange) {
  RuntimeOptions options = Small();
  GetParam().plant(options);
  const Result<RuntimePtr> created = Runtime::Create(options);
  ASSERT_FALSE(created);
  EXPECT_THAT(created.GetError().Message(), HasSubstr(GetParam().message));
  EXPECT_EQ(RegisteredThreadCount(), 0u);
}

INSTANTIATE_TEST_SUITE_P(
    Options, RuntimeOptionErrors,
    ::testing::Values(
        BadOption{"NoFrames", [](RuntimeOptions& o) { o.framesInFlight = 0; },
                  "framesInFlight is 0; it must be 1 to 8"},
        BadOption{"ManyFrames", [](RuntimeOptions& o) { o.framesInFlight = 9; }, "framesInFlight is 9"},
        BadOption{"NoLanes", [](RuntimeOptions& o) { o.lanes = 0; }, "lanes is 0"},
        BadOption{"ManyLanes", [](RuntimeOptions& o) { o.lanes = 65; }, "lanes is 65; it must be 1 to 64"},
        BadOption{"NoSetup", [](RuntimeOptions& o) { o.setupBytes = 0; }, "setupBytes is 0"},
        BadOption{"HugeSetup", [](RuntimeOptions& o) { o.setupBytes = ~std::size_t{0}; },
                  "setupBytes is 18446744073709551615"},
        BadOption{"NoCompile", [](RuntimeOptions& o) { o.compileBytes = 0; }, "compileBytes is 0"},
        BadOption{"NoLane", [](RuntimeOptions& o) { o.frameLaneBytes = 0; }, "frameLaneBytes is 0"},
        BadOption{"NoFallback", [](RuntimeOptions& o) { o.fallbackBytes = 0; }, "fallbackBytes is 0"},
        BadOption{"HugeEvents", [](RuntimeOptions& o) { o.eventCapacity = ~std::size_t{0}; },
                  "eventCapacity is"},
        BadOption{"NoName", [](RuntimeOptions& o) { o.name = ""; }, "RuntimeOptions::name is empty"},
        BadOption{"PacedTooFast", [](RuntimeOptions& o) { o.pacing.periodNs = 10; },
                  "pacing.periodNs is out of range"},
        BadOption{"SpunTooLong",
                  [](RuntimeOptions& o) { o.pacing = {.periodNs = 1'000'000, .spinNs = 2'000'000}; },
                  "pacing.spinNs is out of range"},
        BadOption{"HitchFactor", [](RuntimeOptions& o) { o.hitches.factor = 0.5; },
                  "hitches.factor is 0.5; it must be 1 to 1000"},
        BadOption{"EventsBeyondSetup", [](RuntimeOptions& o) { o.eventCapacity = 1 << 20; },
                  "raise RuntimeOptions::setupBytes"},
        BadOption{"LanesBeyondRegion", [](RuntimeOptions& o) { o.region.sizeBytes = std::size_t{16} << 20; },
                  "region"},
        BadOption{"SegmentBeyondRegion", [](RuntimeOptions& o) { o.frameLaneBytes = std::size_t{1} << 39; },
                  "region"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST(Runtime, AFailedCreateLeavesNothingBehind) {
  RuntimeOptions options = Small();
  options.name = "failed_create";
  options.eventCapacity = 1 << 20;
  const std::uint64_t threads = RegisteredThreadCount();
  ASSERT_FALSE(Runtime::Create(options));
  EXPECT_THAT(Maps(), Not(HasSubstr("failed_create")));
  EXPECT_EQ(RegisteredThreadCount(), threads);
  EXPECT_EQ(CurrentThreadRole(), ThreadRole::Unregistered);
}

TEST(Runtime, TheCreatingThreadIsTheFrameThread) {
  {
    const RuntimePtr runtime = Runtime::Create(Small()).Value();
    EXPECT_EQ(CurrentThreadRole(), ThreadRole::Frame);
    EXPECT_STREQ(CurrentThreadName(), "frame");
  }
  EXPECT_EQ(CurrentThreadRole(), ThreadRole::Unregistered);
  EXPECT_THAT(Maps(), Not(HasSubstr("runtime_test:")));
}

// In a child process, whose limit does not bind this one.
TEST(RuntimeDeathTest, R1_AddressSpaceLimitIsAClearError) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers reserve terabytes themselves and cannot run under RLIMIT_AS";
#else
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        LimitAddressSpace();
        const Result<RuntimePtr> created = Runtime::Create(Small());
        if (created) std::_Exit(0);
        std::fprintf(stderr, "%s\n", created.GetError().Message());
        std::_Exit(created.GetError().Code() == ErrorCode::AddressSpace ? 3 : 4);
      },
      ::testing::ExitedWithCode(3), "RLIMIT_AS");
#endif
}

TEST(RuntimeDeathTest, R1_ASmallerRegionRunsUnderTheLimit) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers reserve terabytes themselves and cannot run under RLIMIT_AS";
#else
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        LimitAddressSpace();
        RuntimeOptions options = Small();
        options.region.sizeBytes = std::size_t{256} << 20;
        RuntimePtr runtime = Runtime::Create(options).Value();
        if (!runtime->SealSetup()) std::_Exit(1);
        RunFrames(*runtime, 100);
        runtime.reset();
        std::_Exit(7);
      },
      ::testing::ExitedWithCode(7), "");
#endif
}

TEST(RuntimeDeathTest, R6_AnAllocationInFrame100Traps) {
  STADIAL_ASSERT_ARMED();
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        RuntimePtr runtime = Runtime::Create(Small(GatePolicy::Trap)).Value();
        static_cast<void>(runtime->SealSetup());
        for (int i = 0; i < 200; ++i) {
          FrameContext* const frame = runtime->Frames().Begin().Value();
          void* volatile block = frame->frameIndex == 100 ? std::malloc(24) : nullptr;
          std::free(block);
          runtime->Frames().End(frame->completionValue);
        }
      },
      "of 24 B on thread 'frame' .role Frame, index 0. in phase Frame, frame 100, component 'frame'");
}

TEST(Runtime, T_AnAllocationInFrame100IsCountedAndFailsTheAudit) {
  STADIAL_ASSERT_ARMED();
  const RuntimePtr runtime = Runtime::Create(Small(GatePolicy::Count)).Value();
  ASSERT_TRUE(runtime->SealSetup());
  for (int i = 0; i < 200; ++i) {
    FrameContext* const frame = runtime->Frames().Begin().Value();
    if (frame->frameIndex == 100) {
      void* volatile block = std::malloc(24);
      std::free(block);
    }
    runtime->Frames().End(frame->completionValue);
  }
  const AuditReport report = runtime->BuildAudit();
  EXPECT_EQ(report.verdict, AuditVerdict::Fail);
  EXPECT_EQ(report.frameThreads.heapAllocations, 1u);
  EXPECT_EQ(report.frameThreads.heapFrees, 1u);
  EXPECT_EQ(report.firstOffendingFrame, 100u);
}

TEST(Runtime, T_EmptyFramesPassTheAudit) {
  STADIAL_ASSERT_ARMED();
  const RuntimePtr runtime = Runtime::Create(Small()).Value();
  ASSERT_TRUE(runtime->SealSetup());
  RunFrames(*runtime, 1000);
  const AuditReport report = runtime->BuildAudit();
  EXPECT_EQ(report.gate.state, "ARMED");
  EXPECT_EQ(report.frames.steady, 990u);
  EXPECT_EQ(report.frameThreads.heapAllocations, 0u);
  EXPECT_EQ(report.frameThreads.heapFrees, 0u);
  EXPECT_EQ(report.frameThreads.vmSyscalls, 0u);
  EXPECT_EQ(report.frameThreads.minorFaults, 0u);
  const bool isWatched = report.witness.vmSyscalls && report.witness.minorFaults;
  EXPECT_EQ(report.verdict, isWatched ? AuditVerdict::Pass : AuditVerdict::Incomplete);
  ASSERT_EQ(report.arenas.size(), 7u);
  EXPECT_EQ(report.arenas[0].name, "setup");
  EXPECT_GT(report.arenas[0].peakBytes, sizeof(Event) * kEventCapacityDefault);
  EXPECT_EQ(report.fallbacks.size(), 1u);
  EXPECT_EQ(report.fallbacks[0].name, "event_bus");
}

TEST(Runtime, R6_TheAuditTellsEachFallbacksLimitsUsesAndRefusals) {
  const RuntimePtr runtime = Runtime::Create(Small()).Value();
  FallbackSite* const site = runtime->Fallbacks().Register("scripts", "lua", 1000, 3).Value();
  ASSERT_TRUE(runtime->SealSetup());
  RunFrames(*runtime, 12);
  FrameContext* const frame = runtime->Frames().Begin().Value();
  void* const kept = site->TryAllocate(600);
  void* const given = site->TryAllocate(300);
  void* const tooLarge = site->TryAllocate(101);  // beyond the budget
  site->Free(given);
  void* const third = site->TryAllocate(100);
  void* const fourth = site->TryAllocate(1);  // beyond the count
  runtime->Frames().End(frame->completionValue);
  EXPECT_EQ(tooLarge, nullptr);
  EXPECT_EQ(fourth, nullptr);
  AuditReport report = runtime->BuildAudit();
  ASSERT_EQ(report.fallbacks.size(), 2u);
  const AuditFallback& seen = report.fallbacks[1];
  EXPECT_EQ(seen.name, "scripts");
  EXPECT_EQ(seen.owner, "lua");
  EXPECT_EQ(seen.budgetBytes, 1000u);
  EXPECT_EQ(seen.countPerFrameMax, 3u);
  EXPECT_EQ(seen.allocations, 3u);
  EXPECT_EQ(seen.allocationsInWorstFrame, 3u);
  EXPECT_EQ(seen.bytes, 700u);
  EXPECT_EQ(seen.peakBytes, 900u);
  EXPECT_EQ(seen.refused, 2u);
  EXPECT_EQ(seen.refusedByBudget, 1u);
  EXPECT_EQ(seen.refusedByFrame, 1u);
  EXPECT_EQ(seen.refusedByHeap + seen.refusedByThread, 0u);
  EXPECT_THAT(report.reasons, ::testing::Contains(HasSubstr(
                                  "fallback 'scripts' refused 2 requests (1 beyond its budget of 1000 B, "
                                  "1 beyond its 3 a frame)")));
  site->Free(kept);
  site->Free(third);
}

TEST(Runtime, T_WithTheWitnessOffTheAuditIsIncomplete) {
  RuntimeOptions options = Small();
  options.kernelWitness = false;
  const RuntimePtr runtime = Runtime::Create(options).Value();
  ASSERT_TRUE(runtime->SealSetup());
  RunFrames(*runtime, 50);
  const AuditReport report = runtime->BuildAudit();
  EXPECT_FALSE(report.witness.vmSyscalls);
  EXPECT_NE(report.verdict, AuditVerdict::Pass);
}

TEST(Runtime, T_AVmSyscallInAFrameIsSeenAndACompileIsNot) {
  const RuntimePtr runtime = Runtime::Create(Small()).Value();
  if (!runtime->BuildAudit().witness.vmSyscalls) GTEST_SKIP() << runtime->BuildAudit().witness.reason;
  ASSERT_TRUE(runtime->SealSetup());
  arenas::Segment& scratch = *runtime->GetRegion().Find("frame_0");
  for (int i = 0; i < 60; ++i) {
    FrameContext* const frame = runtime->Frames().Begin().Value();
    if (i == 20) {
      ASSERT_TRUE(runtime->Compile().BeginCompile());
      ASSERT_TRUE(runtime->Compile().SealCompile());
    }
    if (i == 40) {
      ASSERT_TRUE(arenas::ProtectPages(scratch.Base(), arenas::PageSize(), arenas::PageAccess::ReadWrite));
    }
    runtime->Frames().End(frame->completionValue);
  }
  const AuditReport report = runtime->BuildAudit();
  EXPECT_EQ(report.frames.compile, 1u);
  EXPECT_EQ(report.frameThreads.vmSyscalls, 1u);
  EXPECT_EQ(report.firstOffendingFrame, 40u);
}

TEST(Runtime, T_TheDriversAllocationsAreItsOwnAndCountedSinceTheWarmUp) {
  STADIAL_ASSERT_ARMED();
  const RuntimePtr runtime = Runtime::Create(Small()).Value();
  ASSERT_TRUE(runtime->SealSetup());
  for (int i = 0; i < 30; ++i) {
    FrameContext* const frame = runtime->Frames().Begin().Value();
    {
      const DriverCallScope call("vkPretend");
      void* volatile block = std::malloc(24);
      std::free(block);
    }
    runtime->Frames().End(frame->completionValue);
  }
  const AuditReport report = runtime->BuildAudit();
  EXPECT_EQ(report.frames.steady, 20u);
  EXPECT_EQ(report.driver.directFrameThread, 20u);
  EXPECT_EQ(report.frameThreads.heapAllocations, 0u);
}

TEST(Runtime, E17_ADirtyNodeIsNeverDropped) {
  LogCapture log;
  RuntimeOptions options = Small();
  options.log = log.Sink();
  const RuntimePtr runtime = Runtime::Create(options).Value();
  EventBus& events = runtime->Events();
  ASSERT_TRUE(events.TryPreAllocate(8, EventBus::AllocationMode::Discard));
  int seen = 0;
  const auto subscription = events.Subscribe(
      EventType::NodeDirty, [](void* self, const Event&) { ++*static_cast<int*>(self); }, &seen);
  ASSERT_TRUE(events.Emit({.type = EventType::NodeDirty, .data = 1}));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(events.Emit({.type = EventType::WindowResize}));
  events.ProcessEvents();
  EXPECT_EQ(seen, 1);
}

TEST(Runtime, Eb_EventsOverflowIntoTheDesignatedFallbackUnderTrap) {
  STADIAL_ASSERT_ARMED();
  LogCapture log;
  RuntimeOptions options = Small();
  options.eventCapacity = 16;
  options.log = log.Sink();
  const RuntimePtr runtime = Runtime::Create(options).Value();
  ASSERT_TRUE(runtime->SealSetup());
  std::size_t delivered = 0;
  for (int i = 0; i < 100; ++i) {
    FrameContext* const frame = runtime->Frames().Begin().Value();
    for (int e = 0; e < 500; ++e) static_cast<void>(runtime->Events().Emit({.type = EventType::NodeDirty}));
    delivered += runtime->Events().ProcessEvents();
    runtime->Frames().End(frame->completionValue);
  }
  EXPECT_EQ(delivered, 50'000u);
  EXPECT_EQ(log.lines, 100u) << "one warning per frame";
  const AuditReport report = runtime->BuildAudit();
  EXPECT_EQ(report.fallbacks[0].refused, 0u);
  EXPECT_GE(report.fallbacks[0].allocations, 100u);
  EXPECT_EQ(report.frameThreads.heapAllocations, 0u);
  EXPECT_EQ(report.frameThreads.vmSyscalls, 0u) << "growing must not map memory";
  EXPECT_EQ(report.frameThreads.minorFaults, 0u);
}

// Resident bytes after `frames` frames less those before. `drifts`: one page more in one of them.
std::int64_t ResidentDrift(std::uint64_t frames, bool drifts) {
  const RuntimePtr runtime = Runtime::Create(Small(GatePolicy::Count)).Value();
  EXPECT_TRUE(runtime->SealSetup());
  const std::size_t page = arenas::PageSize();
  std::byte* const fresh = arenas::ReserveAddressSpace(page, page).Value();
  EXPECT_TRUE(arenas::ProtectPages(fresh, page, arenas::PageAccess::ReadWrite));
  RunFrames(*runtime, 1000);
  ResidentBytes();
  const std::size_t before = ResidentBytes();
  RunFrames(*runtime, frames / 2);
  if (drifts) {
    FrameContext* const frame = runtime->Frames().Begin().Value();
    *static_cast<volatile std::byte*>(fresh) = std::byte{1};
    runtime->Frames().End(frame->completionValue);
  }
  RunFrames(*runtime, frames / 2);
  const std::size_t after = ResidentBytes();
  EXPECT_GT(before, 0u) << "/proc/self/smaps_rollup cannot be read: this run proves nothing";
  EXPECT_EQ(runtime->Audit().Steady().heapAllocations, 0u);
  EXPECT_EQ(runtime->Audit().Steady().vmSyscalls, 0u);
  EXPECT_EQ(runtime->Audit().Steady().minorFaults, drifts && !testing::kIsSanitized ? 1u : 0u);
  arenas::ReleaseAddressSpace(fresh, page);
  return static_cast<std::int64_t>(after) - static_cast<std::int64_t>(before);
}

TEST(Runtime, AMillionEmptyFramesDoNotDrift) {
  STADIAL_ASSERT_ARMED();
  const std::int64_t drift = ResidentDrift(Repetitions(1'000'000), false);
  if (testing::kIsSanitized) {
    EXPECT_LE(drift, std::int64_t{8} << 20) << "a sanitizer keeps records of its own";
  } else {
    EXPECT_EQ(drift, 0);
  }
}

TEST(RuntimeCanary, ADriftOfOnePageInAHundredThousandFramesIsSeen) {
  STADIAL_ASSERT_ARMED();
  const std::int64_t drift = ResidentDrift(Repetitions(100'000), true);
  if (testing::kIsSanitized) {
    EXPECT_GE(drift, static_cast<std::int64_t>(arenas::PageSize())) << "the page, and its shadow";
  } else {
    EXPECT_EQ(drift, static_cast<std::int64_t>(arenas::PageSize()));
  }
}

}  // namespace
}  // namespace stadial::runtime
