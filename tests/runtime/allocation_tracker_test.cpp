#include "stadial/runtime/allocation_tracker.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "gate/gate_forms.h"
#include "stadial/runtime/gate.h"
#include "test_support.h"

namespace stadial_test {
[[gnu::noinline]] void* TrackedAllocation(std::size_t bytes) {
  return stadial::runtime::testing::Escape(std::malloc(bytes));
}
}  // namespace stadial_test

namespace stadial::runtime::testing {
namespace {

class AllocationTrackerTest : public ::testing::Test {
 protected:
  void SetUp() override { STADIAL_ASSERT_ARMED(); }

  // Tracking, and known to hear something.
  void Start(AllocationTracker& tracker) {
    tracker.StartTracking();
    ASSERT_TRUE(tracker.IsArmed()) << tracker.WhyNotArmed();
  }
};

TEST_F(AllocationTrackerTest, Aa_SeesEveryForm) {
  AllocationTracker tracker;
  Start(tracker);
  std::size_t expected = 0;
  for (const AllocateForm& form : kAllocateForms) {
    void* const block = Escape(form.allocate());
    ++expected;
    EXPECT_EQ(tracker.GetAllocations().count, expected) << form.name;
    EXPECT_EQ(tracker.GetAllocations().liveCount, 1u) << form.name;
    EXPECT_EQ(tracker.GetAllocations().liveBytes, form.bytes) << form.name;
    form.release(block);
    EXPECT_EQ(tracker.GetAllocations().liveCount, 0u) << form.name;
    EXPECT_EQ(tracker.GetAllocations().frees, expected) << form.name;
  }
}

TEST_F(AllocationTrackerTest, Aa_ByComponentPhaseAndLargest) {
  AllocationTracker tracker;
  Start(tracker);
  void* blocks[4];
  {
    const ComponentScope component("water");
    blocks[0] = stadial_test::TrackedAllocation(100);
    const GateScope frame(GatePolicy::Allow, GatePolicy::Allow, Phase::Frame, "sand");
    blocks[1] = stadial_test::TrackedAllocation(3000);
    blocks[2] = stadial_test::TrackedAllocation(50);
  }
  blocks[3] = stadial_test::TrackedAllocation(7);
  const AllocationTracker::Stats stats = tracker.GetStats();
  EXPECT_EQ(stats.count, 4u);
  EXPECT_EQ(stats.totalBytes, 3157u);
  EXPECT_EQ(stats.byComponent["water"], 100u);
  EXPECT_EQ(stats.byComponent["sand"], 3050u);
  EXPECT_EQ(stats.byComponent["(no component)"], 7u);
  EXPECT_EQ(stats.byComponent["lava"], 0u);
  EXPECT_EQ(stats.byComponent.size(), 3u);
  ASSERT_NE(stats.byComponent.Find("sand"), nullptr);
  EXPECT_EQ(stats.byComponent.Find("sand")->count, 2u);
  EXPECT_EQ(stats.countByPhase[static_cast<std::size_t>(Phase::Setup)], 2u);
  EXPECT_EQ(stats.countByPhase[static_cast<std::size_t>(Phase::Frame)], 2u);
  EXPECT_EQ(stats.largestAllocation, "sand");
  EXPECT_EQ(stats.largestSize, 3000u);
  EXPECT_EQ(stats.largest.ptr, blocks[1]);
  EXPECT_EQ(stats.largest.phase, Phase::Frame);
  EXPECT_EQ(stats.first.ptr, blocks[0]);
  EXPECT_LE(stats.first.timeNs, stats.largest.timeNs);
  for (void* const block : blocks) std::free(block);
}

TEST_F(AllocationTrackerTest, Aa_EachComponentByPhaseAndLive) {
  AllocationTracker tracker;
  Start(tracker);
  void* blocks[3];
  {
    const GateScope compile(GatePolicy::Allow, GatePolicy::Allow, Phase::Compile, "sand");
    blocks[0] = stadial_test::TrackedAllocation(100);
    blocks[1] = stadial_test::TrackedAllocation(20);
  }
  {
    const GateScope frame(GatePolicy::Allow, GatePolicy::Allow, Phase::Frame, "sand");
    blocks[2] = stadial_test::TrackedAllocation(3);
  }
  std::free(blocks[0]);
  const AllocationTracker::Stats stats = tracker.GetStats();
  ASSERT_NE(stats.byComponent.Find("sand"), nullptr);
  const ComponentStats& sand = *stats.byComponent.Find("sand");
  const auto at = [](Phase phase) { return static_cast<std::size_t>(phase); };
  EXPECT_EQ(sand.count, 3u);
  EXPECT_EQ(sand.countByPhase[at(Phase::Compile)], 2u);
  EXPECT_EQ(sand.bytesByPhase[at(Phase::Compile)], 120u);
  EXPECT_EQ(sand.countByPhase[at(Phase::Frame)], 1u);
  EXPECT_EQ(sand.bytesByPhase[at(Phase::Frame)], 3u);
  EXPECT_EQ(sand.bytesByPhase[at(Phase::Setup)], 0u);
  EXPECT_EQ(sand.liveCount, 2u);
  EXPECT_EQ(sand.liveBytes, 23u);
  EXPECT_EQ(stats.bytesByPhase[at(Phase::Compile)], 120u);
  EXPECT_EQ(stats.bytesByPhase[at(Phase::Frame)], 3u);
  // An address that comes again under another component is that one's from then on.
  int place = 0;
  tracker.Record(&place, 50, "water");
  tracker.Record(&place, 70, "lava");
  EXPECT_EQ(tracker.GetStats().byComponent.Find("water")->liveCount, 0u);
  EXPECT_EQ(tracker.GetStats().byComponent.Find("lava")->liveBytes, 70u);
  std::free(blocks[1]);
  std::free(blocks[2]);
}

TEST_F(AllocationTrackerTest, Aa_SourcesBesideTheHeapAreCountedApartFromAnyThread) {
  AllocationTracker tracker;
  NoteAllocation(AllocationSource::Arena, 1);  // nobody listens
  Start(tracker);
  NoteAllocation(AllocationSource::Arena, 4096);
  NoteAllocation(AllocationSource::Arena, 0);
  NoteFree(AllocationSource::Arena, 1000);
  const std::size_t heapBefore = tracker.GetAllocations().count;
  std::vector<std::thread> threads;
  {
    const DriverCallScope untracked("test");  // starting a thread allocates
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([] {
        for (int n = 0; n < 1000; ++n) {
          NoteAllocation(AllocationSource::DriverCallback, 64);
          NoteFree(AllocationSource::DriverCallback, 64);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const AllocationTracker::Stats stats = tracker.GetStats();
  const SourceStats& arena = stats.bySource[static_cast<std::size_t>(AllocationSource::Arena)];
  EXPECT_EQ(arena.count, 1u);
  EXPECT_EQ(arena.bytes, 4096u);
  EXPECT_EQ(arena.frees, 1u);
  EXPECT_EQ(arena.freedBytes, 1000u);
  const SourceStats& driver = stats.bySource[static_cast<std::size_t>(AllocationSource::DriverCallback)];
  EXPECT_EQ(driver.count, 4000u);
  EXPECT_EQ(driver.freedBytes, 4000u * 64u);
  EXPECT_EQ(stats.count, heapBefore) << "none of it is the heap's";
  EXPECT_FALSE(stats.bySource[static_cast<std::size_t>(AllocationSource::Fallback)].count != 0);
}

// The outer of two frames calls the inner one from two places; what the allocation itself sees is the same.
[[gnu::noinline]] void RecordInside(AllocationTracker& tracker, std::uintptr_t key) {
  tracker.Record(reinterpret_cast<void*>(key * 64), 32, "inside");
  asm volatile("");  // no tail call
}
[[gnu::noinline]] void RecordFromTwoPlaces(AllocationTracker& tracker, std::uintptr_t key) {
  if (key % 2 == 0) {
    RecordInside(tracker, key);
    asm volatile("nop");
  } else {
    RecordInside(tracker, key);
    asm volatile("nop; nop");
  }
}

TEST_F(AllocationTrackerTest, Aa_EachBlockHasItsOwnStackHoweverOftenItsSiteIsSeen) {
  AllocationTracker tracker;
  Start(tracker);
  constexpr std::uintptr_t kBlocks = 8000;  // enough for the lock to lean to this thread
  for (std::uintptr_t key = 1; key <= kBlocks; ++key) RecordFromTwoPlaces(tracker, key);
  std::vector<TrackedAllocation> live;
  {
    const DriverCallScope untracked("test");
    live.resize(kBlocks + 8);
  }
  live.resize(tracker.CopyLive(live.data(), live.size()));
  std::erase_if(live, [](const TrackedAllocation& block) { return block.component != "inside"; });
  ASSERT_EQ(live.size(), kBlocks);
  const void* outer[2] = {nullptr, nullptr};
  for (const TrackedAllocation& block : live) {
    ASSERT_GE(block.stack.depth, 2u);
    EXPECT_EQ(block.stack.frames[0], live[0].stack.frames[0]) << "Record is called from one place";
    const void*& expected = outer[reinterpret_cast<std::uintptr_t>(block.ptr) / 64 % 2];
    if (expected == nullptr) expected = block.stack.frames[1];
    ASSERT_EQ(block.stack.frames[1], expected) << block.ptr;
  }
  EXPECT_NE(outer[0], outer[1]);
}

TEST_F(AllocationTrackerTest, Aa_TimesAreOfTheSnapshotsBetweenThem) {
  AllocationTracker tracker;
  Start(tracker);
  std::uint64_t snapshotNs[4];
  for (std::uintptr_t round = 0; round < 4; ++round) {
    snapshotNs[round] = tracker.Snapshot().timeNs;
    for (std::uintptr_t key = 1; key <= 1000; ++key)
      tracker.Record(reinterpret_cast<void*>((round * 1000 + key) * 16), 8, "times");
  }
  static TrackedAllocation live[4000];
  ASSERT_EQ(tracker.CopyLive(live, 4000), 4000u);
  const std::uint64_t endNs = tracker.Snapshot().timeNs;
  for (const TrackedAllocation& block : live) {
    const std::uintptr_t round = (reinterpret_cast<std::uintptr_t>(block.ptr) / 16 - 1) / 1000;
    EXPECT_GE(block.timeNs, snapshotNs[round]);
    EXPECT_LE(block.timeNs, round == 3 ? endNs : snapshotNs[round + 1]);
  }
}

// Origins are given back with their last block, and their places taken by others: far more of them than the
// tracker has room for at once.
TEST_F(AllocationTrackerTest, Aa_OriginsComeAndGo) {
  AllocationTracker tracker({.liveBlocksMax = 16});
  Start(tracker);
  std::string names[kTrackedComponentsMax - 8];
  {
    const DriverCallScope untracked("test");
    for (std::size_t index = 0; index < std::size(names); ++index)
      names[index] = std::string(1 + index % 40, 'a') + std::to_string(index);
  }
  std::uint64_t count = 0;
  for (std::uintptr_t round = 0; round < 200; ++round) {
    for (const std::string& name : names) {
      const std::uintptr_t key = ++count;
      if (key > 16) tracker.RecordFree(reinterpret_cast<void*>((key - 16) * 4096));
      const GateScope phase(GatePolicy::Allow, GatePolicy::Allow, static_cast<Phase>(key % 3), "phase");
      tracker.Record(reinterpret_cast<void*>(key * 4096), key, name);
    }
  }
  const AllocationTracker::Stats stats = tracker.GetStats();
  EXPECT_EQ(stats.count, count);
  EXPECT_EQ(stats.liveCount, 16u);
  EXPECT_EQ(stats.droppedRecords, 0u);
  for (const std::string& name : names) {
    ASSERT_NE(stats.byComponent.Find(name), nullptr) << name;
    EXPECT_EQ(stats.byComponent.Find(name)->count, 200u) << name;
  }
}

TEST_F(AllocationTrackerTest, Aa_DescribesTheCallSite) {
  AllocationTracker tracker;
  Start(tracker);
  void* const block = stadial_test::TrackedAllocation(123);
  char text[8192];
  EXPECT_GT(tracker.Describe(text, sizeof text), 0u);
  std::free(block);
  EXPECT_NE(std::strstr(text, "1 allocations of 123 B, 0 frees"), nullptr) << text;
  EXPECT_NE(std::strstr(text, "first: 123 B, component '(no component)', phase Setup"), nullptr) << text;
  if (!kIsSanitized) {
    EXPECT_NE(std::strstr(text, "stadial_test::TrackedAllocation+0x"), nullptr) << text;
  }
  char tiny[8];
  EXPECT_EQ(tracker.Describe(tiny, sizeof tiny), sizeof tiny - 1);
}

TEST_F(AllocationTrackerTest, Aa_StartForgetsAndStopFreezes) {
  AllocationTracker tracker;
  Start(tracker);
  std::free(stadial_test::TrackedAllocation(8));
  Start(tracker);
  EXPECT_EQ(tracker.GetAllocations().count, 0u);
  std::free(stadial_test::TrackedAllocation(8));
  tracker.StopTracking();
  tracker.StopTracking();
  EXPECT_FALSE(tracker.IsTracking());
  std::free(stadial_test::TrackedAllocation(8));
  tracker.Record(&tracker, 8, "late");
  EXPECT_EQ(tracker.GetAllocations().count, 1u);
  EXPECT_EQ(tracker.GetAllocations().frees, 1u);
  EXPECT_TRUE(tracker.IsArmed()) << "the verdict on the finished period stands";
}

TEST_F(AllocationTrackerTest, Aa_SnapshotDifferencesAreSigned) {
  AllocationTracker tracker;
  Start(tracker);
  void* const first = stadial_test::TrackedAllocation(1000);
  void* const second = stadial_test::TrackedAllocation(500);
  const AllocationSnapshot before = tracker.Snapshot();
  std::free(first);
  std::free(second);
  void* const third = stadial_test::TrackedAllocation(1);
  const AllocationSnapshot after = tracker.Snapshot();
  const SnapshotDelta delta = after - before;
  EXPECT_EQ(delta.count, 1);
  EXPECT_EQ(delta.totalBytes, 1);
  EXPECT_EQ(delta.frees, 2);
  EXPECT_EQ(delta.freedBytes, 1500);
  EXPECT_EQ(delta.liveCount, -1);
  EXPECT_EQ(delta.liveBytes, -1499);
  EXPECT_GE(delta.elapsedNs, 0);
  EXPECT_EQ((before - after).liveBytes, 1499);
  EXPECT_EQ((before - after).count, -1);
  std::free(third);
}

TEST_F(AllocationTrackerTest, Aa_FreesOfOlderBlocksCountButDoNotGoNegative) {
  void* const old = stadial_test::TrackedAllocation(64);
  AllocationTracker tracker;
  Start(tracker);
  std::free(old);
  const AllocationTracker::Allocations seen = tracker.GetAllocations();
  EXPECT_EQ(seen.frees, 1u);
  EXPECT_EQ(seen.liveCount, 0u);
  EXPECT_EQ(tracker.Snapshot().freedBytes, 0u);
}

TEST_F(AllocationTrackerTest, Aa_ThreadsByOwnership) {
  AllocationTracker ours;
  AllocationTracker current({.threads = TrackedThreads::Current});
  AllocationTracker all({.threads = TrackedThreads::All});
  std::atomic<int> step{0};
  std::atomic<int> started{0};  // starting a thread may allocate on it
  std::thread registered([&] {
    const ThreadRegistration registration(ThreadRole::Worker, "tracked");
    started.fetch_add(1);
    while (step.load() != 2) std::this_thread::yield();
    std::free(stadial_test::TrackedAllocation(10));
    step = 3;
    while (step.load() != 6) std::this_thread::yield();
  });
  std::thread stranger([&] {
    started.fetch_add(1);
    while (step.load() != 3) std::this_thread::yield();
    std::free(stadial_test::TrackedAllocation(20));
    step = 4;
    while (step.load() != 6) std::this_thread::yield();
  });
  while (started.load() != 2) std::this_thread::yield();
  Start(ours);
  Start(current);
  Start(all);
  std::free(stadial_test::TrackedAllocation(40));
  const std::size_t oursBefore = ours.GetAllocations().totalBytes;
  EXPECT_EQ(oursBefore, 40u);
  step = 2;
  while (step.load() != 4) std::this_thread::yield();
  EXPECT_EQ(ours.GetAllocations().totalBytes, 50u);
  EXPECT_EQ(ours.GetStats().otherThreadsCount, 1u);
  EXPECT_EQ(ours.GetStats().otherThreadsBytes, 20u);
  EXPECT_EQ(current.GetAllocations().totalBytes, 40u);
  EXPECT_EQ(current.GetStats().otherThreadsCount, 2u);
  EXPECT_EQ(all.GetAllocations().totalBytes, 70u);
  EXPECT_EQ(all.GetStats().otherThreadsCount, 0u);
  step = 6;
  registered.join();
  stranger.join();
}

TEST_F(AllocationTrackerTest, Aa_DriverCallsAreTheDriversOwn) {
  AllocationTracker tracker;
  Start(tracker);
  void* block = nullptr;
  {
    const DriverCallScope driver("vkQueueSubmit2");
    block = stadial_test::TrackedAllocation(64);
  }
  {
    const DriverCallScope driver("vkDestroyBuffer");
    std::free(block);
  }
  const AllocationTracker::Stats stats = tracker.GetStats();
  EXPECT_EQ(stats.count, 0u);
  EXPECT_EQ(stats.frees, 0u);
  EXPECT_EQ(stats.driverCount, 1u);
  EXPECT_EQ(stats.driverBytes, 64u);
}

TEST_F(AllocationTrackerTest, Aa_ItselfAllocatesNothing) {
  AllocationTracker tracker;
  Start(tracker);
  static char text[4096];
  static TrackedAllocation live[64];
  std::size_t copied = 0;
  {
    // Anything the tracker allocates here ends the program.
    const GateScope trap(GatePolicy::Trap, GatePolicy::Trap, Phase::Frame, "tracker");
    tracker.StopTracking();
    tracker.StartTracking();
    for (std::uintptr_t key = 1; key <= 1000; ++key)
      tracker.Record(reinterpret_cast<void*>(key * 16), key, "component");
    for (std::uintptr_t key = 1; key <= 990; ++key) tracker.RecordFree(reinterpret_cast<void*>(key * 16));
    const SnapshotDelta delta = tracker.Snapshot() - AllocationSnapshot{};
    copied = delta.liveCount == 10 ? tracker.CopyLive(live, 64) : 0;
    tracker.Describe(text, sizeof text);
  }
  EXPECT_TRUE(tracker.IsArmed()) << tracker.WhyNotArmed();
  EXPECT_EQ(copied, 10u);
  EXPECT_EQ(tracker.GetStats().byComponent["component"], 500500u);
}

TEST_F(AllocationTrackerTest, Aa_BlocksBeyondTheTableAreCountedAndSaidToBeDropped) {
  AllocationTracker tracker({.liveBlocksMax = 8});
  Start(tracker);
  for (std::uintptr_t key = 1; key <= 10; ++key)
    tracker.Record(reinterpret_cast<void*>(key * 16), 100, "many");
  EXPECT_EQ(tracker.GetStats().count, 10u);
  EXPECT_EQ(tracker.GetStats().liveCount, 8u);
  EXPECT_EQ(tracker.GetStats().droppedRecords, 2u);
  for (std::uintptr_t key = 1; key <= 10; ++key) tracker.RecordFree(reinterpret_cast<void*>(key * 16));
  EXPECT_EQ(tracker.GetStats().liveCount, 0u);
  EXPECT_EQ(tracker.GetStats().frees, 10u);
  EXPECT_EQ(tracker.Snapshot().freedBytes, 800u);
}

TEST_F(AllocationTrackerTest, Aa_ManyComponentsOverflowIntoOne) {
  AllocationTracker tracker;
  Start(tracker);
  for (std::uintptr_t key = 1; key <= kTrackedComponentsMax + 20; ++key) {
    tracker.Record(reinterpret_cast<void*>(key * 16), 1, "component " + std::to_string(key));
    tracker.RecordFree(reinterpret_cast<void*>(key * 16));
  }
  const AllocationTracker::Stats stats = tracker.GetStats();
  EXPECT_EQ(stats.byComponent.size(), kTrackedComponentsMax + 1);
  EXPECT_GE(stats.byComponent["(other components)"], 20u);
  std::uint64_t total = 0;
  for (const ComponentStats& component : stats.byComponent) total += component.bytes;
  EXPECT_EQ(total, stats.totalBytes);
}

TEST_F(AllocationTrackerTest, Ab_TooManyTrackersAreNotArmed) {
  std::vector<std::unique_ptr<AllocationTracker>> trackers;
  for (std::size_t index = 0; index < AllocationTracker::kActiveTrackersMax; ++index) {
    trackers.push_back(std::make_unique<AllocationTracker>(AllocationTrackerOptions{.liveBlocksMax = 4}));
    trackers.back()->StartTracking();
    EXPECT_TRUE(trackers.back()->IsArmed());
  }
  AllocationTracker late({.liveBlocksMax = 4});
  late.StartTracking();
  EXPECT_FALSE(late.IsArmed());
  EXPECT_NE(std::strstr(late.WhyNotArmed(), "kActiveTrackersMax"), nullptr) << late.WhyNotArmed();
  trackers.pop_back();
  late.StartTracking();
  EXPECT_TRUE(late.IsArmed());
}

TEST_F(AllocationTrackerTest, Aa_ThreadsRecordAtOnce) {
  AllocationTracker tracker({.liveBlocksMax = 65536, .threads = TrackedThreads::All});
  constexpr std::size_t kThreads = 6;
  const std::size_t count = Repetitions(20000);
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  std::atomic<bool> go{false};
  std::atomic<std::size_t> ready{0};
  std::atomic<std::size_t> finished{0};
  std::vector<void*> handedOver[kThreads];
  for (auto& blocks : handedOver) blocks.resize(count / 10);
  for (std::size_t which = 0; which < kThreads; ++which) {
    threads.emplace_back([&, which] {
      ready.fetch_add(1);
      while (!go.load()) std::this_thread::yield();
      for (std::size_t index = 0; index < count; ++index) {
        void* const block = stadial_test::TrackedAllocation(32);
        if (index % 10 == 0) {
          handedOver[which][index / 10] = block;  // freed by the main thread
        } else {
          std::free(block);
        }
      }
      finished.fetch_add(1);
      while (go.load()) std::this_thread::yield();
    });
  }
  while (ready.load() != kThreads) std::this_thread::yield();
  Start(tracker);
  go = true;
  while (finished.load() != kThreads) {
    const AllocationSnapshot snapshot = tracker.Snapshot();
    ASSERT_EQ(snapshot.liveCount, snapshot.count - snapshot.frees) << "a snapshot is taken at one moment";
  }
  EXPECT_EQ(tracker.GetAllocations().count, kThreads * count);
  EXPECT_EQ(tracker.GetAllocations().liveCount, kThreads * (count / 10));
  for (auto& blocks : handedOver) {
    for (void* const block : blocks) std::free(block);
  }
  EXPECT_EQ(tracker.GetAllocations().liveCount, 0u);
  tracker.StopTracking();
  go = false;
  for (std::thread& thread : threads) thread.join();
}

TEST_F(AllocationTrackerTest, Aa_AForkedChildKeepsTracking) {
  if (kIsSanitized) GTEST_SKIP() << "sanitizers do not support fork in a program with threads";
  AllocationTracker tracker;
  std::atomic<bool> stop{false};
  std::thread noise([&] {
    const ThreadRegistration registration(ThreadRole::Worker, "noise");
    while (!stop.load()) std::free(stadial_test::TrackedAllocation(16));
  });
  Start(tracker);
  for (int round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      const std::size_t before = tracker.GetAllocations().count;
      for (int index = 0; index < 100; ++index) std::free(stadial_test::TrackedAllocation(16));
      ::_exit(tracker.GetAllocations().count - before == 100 ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }
  stop = true;
  noise.join();
}

// The model: what a program with an unordered_map and plain additions says about the same operations.
struct Model {
  std::unordered_map<std::uintptr_t, std::uint64_t> live;
  AllocationSnapshot totals;

  // What the model itself allocates is none of the tracker's business: it passes as a driver's.
  void Record(std::uintptr_t key, std::uint64_t bytes) {
    const DriverCallScope untracked("model");
    ++totals.count;
    totals.totalBytes += bytes;
    if (const auto found = live.find(key); found != live.end()) {
      totals.liveBytes -= found->second;
      --totals.liveCount;
    }
    live[key] = bytes;
    ++totals.liveCount;
    totals.liveBytes += bytes;
  }
  void Free(std::uintptr_t key) {
    const DriverCallScope untracked("model");
    ++totals.frees;
    const auto found = live.find(key);
    if (found == live.end()) return;
    totals.freedBytes += found->second;
    totals.liveBytes -= found->second;
    --totals.liveCount;
    live.erase(found);
  }
};

// Runs a random program on both; false at the first difference. `sabotage`: one free is kept from the
// tracker.
bool AgreesWithModel(std::uint64_t seed, std::uint64_t steps, bool sabotage) {
  AllocationTracker tracker({.liveBlocksMax = 8192, .threads = TrackedThreads::Current});
  tracker.StartTracking();
  Model model;
  Random random(seed);
  AllocationSnapshot trackerMark = tracker.Snapshot();
  AllocationSnapshot modelMark = model.totals;
  std::uint64_t negativeDeltas = 0;
  for (std::uint64_t step = 0; step < steps; ++step) {
    // 5,000 addresses a page apart and in runs: collisions and long probe sequences.
    const std::uint64_t pick = random.Below(5000);
    const std::uintptr_t key = 0x10000 + (pick % 2 == 0 ? pick * 4096 : pick * 16);
    // Phases of growth and of shrinking, so that differences have both signs.
    const bool grow = random.Below(100) < ((step / 5000) % 2 == 0 ? 70u : 30u);
    if (grow) {
      const std::uint64_t bytes = random.Below(1 << 20);
      model.Record(key, bytes);
      tracker.Record(reinterpret_cast<void*>(key), bytes, pick % 3 == 0 ? "even" : "odd");
    } else {
      const bool hide = sabotage && step > steps / 2 && model.live.count(key) != 0;
      model.Free(key);
      if (!hide) tracker.RecordFree(reinterpret_cast<void*>(key));
      if (hide) sabotage = false;
    }
    if (step % 997 != 0) continue;
    const AllocationSnapshot now = tracker.Snapshot();
    const SnapshotDelta seen = now - trackerMark;
    const SnapshotDelta wanted = model.totals - modelMark;
    if (seen.count != wanted.count || seen.totalBytes != wanted.totalBytes || seen.frees != wanted.frees ||
        seen.freedBytes != wanted.freedBytes || seen.liveCount != wanted.liveCount ||
        seen.liveBytes != wanted.liveBytes) {
      return false;
    }
    negativeDeltas += seen.liveCount < 0 ? 1 : 0;
    trackerMark = now;
    modelMark = model.totals;
  }
  EXPECT_GT(negativeDeltas, 0u) << "the program never shrank: signs were not tested";
  EXPECT_EQ(tracker.GetStats().droppedRecords, 0u);
  return tracker.GetAllocations().liveCount == model.live.size();
}

TEST_F(AllocationTrackerTest, Aa_AMillionOperationsAgreeWithTheModel) {
  EXPECT_TRUE(AgreesWithModel(TestSeed(20240608), Repetitions(1'000'000), false));
}

TEST_F(AllocationTrackerTest, Aa_TheModelCatchesOneHiddenFree) {
  EXPECT_FALSE(AgreesWithModel(TestSeed(20240608), Repetitions(200'000), true));
}

}  // namespace
}  // namespace stadial::runtime::testing
