#include "stadial/runtime/deferred_queue.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <new>
#include <vector>

#include "event_bus_support.h"
#include "test_support.h"

namespace stadial::runtime::testing {
namespace {

using arenas::AllocationMode;

// A device whose destroyed handles are remembered, and which may do something in a destruction.
struct Device {
  std::vector<std::uint64_t> destroyed;
  DeferredQueue* queue = nullptr;
  void (*during)(Device& device, std::uint64_t handle) = nullptr;

  Device() { destroyed.reserve(1 << 12); }
};

void Destroy(Device* device, std::uint64_t handle) noexcept {
  device->destroyed.push_back(handle);
  if (device->during != nullptr) device->during(*device, handle);
}

DeferredRecord Record(Device& device, std::uint64_t handle, std::uint64_t value) {
  return MakeDeferredRecord<&Destroy>(&device, handle, value);
}

class DeferredQueueTest : public ::testing::Test {
 protected:
  DeferredQueueOptions Options(std::size_t capacity, AllocationMode mode = AllocationMode::Strict) {
    return {.name = "test", .capacity = capacity, .mode = mode, .log = log_.Sink()};
  }
  std::vector<std::uint64_t> Handles(std::initializer_list<std::uint64_t> handles) { return handles; }

  TestArena memory_{1 << 20};
  LogCapture log_;
  Device device_;
};

TEST_F(DeferredQueueTest, Cb_SizedByNodesTimesFiveTimesFramesInFlightAtLeast64) {
  EXPECT_EQ(CalculateDeferredCapacity(0, 2), 64u);
  EXPECT_EQ(CalculateDeferredCapacity(6, 2), 64u);
  EXPECT_EQ(CalculateDeferredCapacity(7, 2), 70u);
  EXPECT_EQ(CalculateDeferredCapacity(1000, 3), 15'000u);
  EXPECT_EQ(CalculateDeferredCapacity(10, 2, {.recordsPerNode = 1, .recordsMin = 8}), 20u);
  EXPECT_EQ(CalculateDeferredCapacity(SIZE_MAX, 2), DeferredQueue::kCapacityMax);
  EXPECT_EQ(CalculateDeferredCapacity(SIZE_MAX / 5, 8), DeferredQueue::kCapacityMax);
}

TEST_F(DeferredQueueTest, Cb_ReservesWhatItSays) {
  for (const std::size_t capacity : {0u, 1u, 64u, 1000u}) {
    TestArena exact(DeferredQueue::CalculateBytes(capacity) + 64);
    const std::size_t before = exact.Get().RemainingBytes();
    DeferredQueue queue(exact.Get(), Options(capacity));
    EXPECT_EQ(queue.Capacity(), capacity);
    EXPECT_LE(before - exact.Get().RemainingBytes(), DeferredQueue::CalculateBytes(capacity));
  }
}

TEST_F(DeferredQueueTest, Cb_RunsWhenTheValueIsReachedAndNotEarlier) {
  DeferredQueue queue(memory_.Get(), Options(8));
  EXPECT_TRUE(queue.Enqueue(Record(device_, 10, 1)));
  EXPECT_TRUE(queue.Enqueue(Record(device_, 11, 2)));
  EXPECT_TRUE(queue.Enqueue(Record(device_, 12, 2)));
  EXPECT_EQ(queue.Retire(0), 0u);
  EXPECT_EQ(device_.destroyed, Handles({}));
  EXPECT_EQ(queue.Retire(1), 1u);
  EXPECT_EQ(device_.destroyed, Handles({10}));
  EXPECT_EQ(queue.Retire(7), 2u);
  EXPECT_EQ(device_.destroyed, Handles({10, 11, 12}));
  EXPECT_EQ(queue.Retire(7), 0u);
  EXPECT_TRUE(queue.IsEmpty());
}

TEST_F(DeferredQueueTest, Cb_OrderIsThatOfEnqueueingWhateverTheValues) {
  DeferredQueue queue(memory_.Get(), Options(8));
  EXPECT_TRUE(queue.Enqueue(Record(device_, 1, 5)));
  EXPECT_TRUE(queue.Enqueue(Record(device_, 2, 3)));
  EXPECT_EQ(queue.Retire(4), 0u) << "the second must not overtake the first";
  EXPECT_EQ(queue.Retire(5), 2u);
  EXPECT_EQ(device_.destroyed, Handles({1, 2}));
}

TEST_F(DeferredQueueTest, Cb_ALimitSpreadsATeardownOverFrames) {
  DeferredQueue queue(memory_.Get(), Options(8));
  for (std::uint64_t handle = 0; handle < 7; ++handle) EXPECT_TRUE(queue.Enqueue(Record(device_, handle, 1)));
  EXPECT_EQ(queue.Retire(1, 3), 3u);
  EXPECT_EQ(queue.Retire(1, 0), 0u);
  EXPECT_EQ(queue.Retire(1, 3), 3u);
  EXPECT_EQ(queue.Retire(1, 3), 1u);
}

enum class BufferId : std::uint32_t {};
struct Image {
  int destroyed = 0;
};
void DestroyBuffer(Device* device, BufferId buffer) noexcept {
  device->destroyed.push_back(static_cast<std::uint64_t>(buffer));
}
void DestroyImage(Device*, Image* image) noexcept { ++image->destroyed; }

TEST_F(DeferredQueueTest, Cb_TypedRecordsKeepTheirHandles) {
  DeferredQueue queue(memory_.Get(), Options(8));
  Image image;
  EXPECT_TRUE(queue.Enqueue(MakeDeferredRecord<&DestroyBuffer>(&device_, BufferId{0xFFFFFFFFu}, 1)));
  EXPECT_TRUE(queue.Enqueue(MakeDeferredRecord<&DestroyImage>(&device_, &image, 1)));
  EXPECT_EQ(queue.Retire(1), 2u);
  EXPECT_EQ(device_.destroyed, Handles({0xFFFFFFFFu}));
  EXPECT_EQ(image.destroyed, 1);
}

TEST_F(DeferredQueueTest, Cb_StrictRejectsAndSaysSoOncePerRetire) {
  DeferredQueue queue(memory_.Get(), Options(2));
  EXPECT_EQ(queue.Enqueue(Record(device_, 1, 1)).Get(), AcceptResult::Accepted);
  EXPECT_EQ(queue.Enqueue(Record(device_, 2, 1)).Get(), AcceptResult::Accepted);
  EXPECT_EQ(queue.Enqueue(Record(device_, 3, 1)).Get(), AcceptResult::Rejected);
  EXPECT_FALSE(queue.Enqueue(Record(device_, 4, 1)));
  EXPECT_EQ(log_.lines, 1u);
  EXPECT_STREQ(log_.last,
               "deferred queue 'test' is full (2 of 2, mode Strict): handle 0x3, value 1 rejected; retire "
               "more often or raise its capacity");
  EXPECT_EQ(queue.Retire(1), 2u);
  EXPECT_EQ(device_.destroyed, Handles({1, 2}));
  EXPECT_TRUE(queue.Enqueue(Record(device_, 3, 1))) << "after Retire there is room";
  EXPECT_TRUE(queue.Enqueue(Record(device_, 4, 1)));
  EXPECT_FALSE(queue.Enqueue(Record(device_, 5, 1)));
  EXPECT_EQ(log_.lines, 2u);
  const DeferredQueueStats stats = queue.GetStats();
  EXPECT_EQ(stats.enqueued, 7u);
  EXPECT_EQ(stats.rejected, 3u);
  EXPECT_EQ(stats.retired, 2u);
  EXPECT_EQ(stats.size, 2u);
  EXPECT_EQ(stats.peak, 2u);
  EXPECT_EQ(queue.Flush(), 2u);
}

TEST_F(DeferredQueueTest, Cb_DiscardDropsTheOldestWithoutCallingItAndHandsItOver) {
  DeferredQueueOptions options = Options(2, AllocationMode::Discard);
  std::vector<std::uint64_t> dropped;
  options.onDiscardSelf = &dropped;
  options.onDiscard = [](void* self, const DeferredRecord& record) noexcept {
    static_cast<std::vector<std::uint64_t>*>(self)->push_back(record.handle);
  };
  DeferredQueue queue(memory_.Get(), options);
  EXPECT_EQ(queue.Enqueue(Record(device_, 1, 9)).Get(), AcceptResult::Accepted);
  EXPECT_EQ(queue.Enqueue(Record(device_, 2, 1)).Get(), AcceptResult::Accepted);
  EXPECT_EQ(queue.Enqueue(Record(device_, 3, 1)).Get(), AcceptResult::AcceptedOlderDropped);
  EXPECT_EQ(dropped, Handles({1}));
  EXPECT_EQ(log_.lines, 1u);
  EXPECT_EQ(queue.Retire(1), 2u);
  EXPECT_EQ(device_.destroyed, Handles({2, 3})) << "the device may still use the first";
  EXPECT_EQ(queue.GetStats().discarded, 1u);
}

TEST_F(DeferredQueueTest, Cb_FallbackKeepsEverythingInOrderAndGivesGrowthBack) {
  Growth growth;
  DeferredQueueOptions options = Options(4, AllocationMode::Fallback);
  options.growth = growth.site;
  DeferredQueue queue(memory_.Get(), options);
  std::vector<std::uint64_t> expected;
  for (std::uint64_t handle = 0; handle < 200; ++handle) {
    expected.push_back(handle);
    EXPECT_EQ(queue.Enqueue(Record(device_, handle, 1)).Get(),
              handle < 4 ? AcceptResult::Accepted : AcceptResult::AcceptedAfterGrowth);
  }
  EXPECT_EQ(log_.lines, 1u);
  EXPECT_EQ(queue.Capacity(), 4u + 4 * 64);
  EXPECT_EQ(queue.GetStats().growths, 4u);
  EXPECT_EQ(queue.Retire(1, 10), 10u);
  EXPECT_EQ(queue.Enqueue(Record(device_, 200, 1)).Get(), AcceptResult::AcceptedAfterGrowth)
      << "the ring has room, but what stands in growth is older";
  expected.push_back(200);
  EXPECT_EQ(queue.Retire(1), 191u);
  EXPECT_EQ(device_.destroyed, expected);
  EXPECT_EQ(growth.site->Stats().bytes, 0u);
  EXPECT_EQ(queue.Capacity(), 4u);
  EXPECT_EQ(queue.Enqueue(Record(device_, 201, 2)).Get(), AcceptResult::Accepted);
  EXPECT_EQ(queue.Retire(2), 1u);
  EXPECT_EQ(queue.GetStats().peak, 200u);
}

TEST_F(DeferredQueueTest, Cb_FallbackRejectsOnlyWhenTheFallbackItselfRefuses) {
  Growth growth(64 * sizeof(DeferredRecord) + 32);  // one chunk
  DeferredQueueOptions options = Options(1, AllocationMode::Fallback);
  options.growth = growth.site;
  DeferredQueue queue(memory_.Get(), options);
  for (std::uint64_t handle = 0; handle < 65; ++handle)
    EXPECT_TRUE(queue.Enqueue(Record(device_, handle, 1)));
  EXPECT_EQ(queue.Enqueue(Record(device_, 65, 1)).Get(), AcceptResult::Rejected);
  EXPECT_EQ(queue.Retire(1), 65u);
  EXPECT_EQ(growth.site->Stats().refused, 1u);
}

// What a game does: an object gives its handle up in its destructor.
struct Texture {
  DeferredQueue* queue;
  Device* device;
  std::uint64_t handle;
  std::uint64_t lastUse;
  ~Texture() { static_cast<void>(queue->Enqueue(Record(*device, handle, lastUse))); }
};

TEST_F(DeferredQueueTest, Cb_EnqueueFromADestructor) {
  DeferredQueue queue(memory_.Get(), Options(8));
  {
    const Texture first{&queue, &device_, 1, 3};
    const Texture second{&queue, &device_, 2, 3};
  }
  EXPECT_EQ(queue.Size(), 2u);
  EXPECT_EQ(queue.Retire(3), 2u);
  EXPECT_EQ(device_.destroyed, Handles({2, 1}));
}

TEST_F(DeferredQueueTest, Cb_EnqueueWhileDraining) {
  DeferredQueue queue(memory_.Get(), Options(2));
  device_.queue = &queue;
  device_.during = [](Device& device, std::uint64_t handle) {
    // A destructor inside a destruction, twice as many as there are slots in all.
    if (handle < 4) const Texture child{device.queue, &device, handle + 1, 1};
  };
  EXPECT_TRUE(queue.Enqueue(Record(device_, 0, 1)));
  for (std::uint64_t round = 0; round < 5; ++round) EXPECT_EQ(queue.Retire(1), 1u) << round;
  EXPECT_EQ(device_.destroyed, Handles({0, 1, 2, 3, 4}));
  EXPECT_TRUE(queue.IsEmpty());
}

TEST_F(DeferredQueueTest, Cb_ARecordThatEnqueuesItselfCannotHoldTheFrameUp) {
  DeferredQueue queue(memory_.Get(), Options(2));
  device_.queue = &queue;
  device_.during = [](Device& device, std::uint64_t handle) {
    EXPECT_TRUE(device.queue->Enqueue(Record(device, handle, 0)));
    EXPECT_EQ(device.queue->Retire(100), 0u) << "the outer call goes on";
    EXPECT_EQ(device.queue->Flush(), 0u);
  };
  EXPECT_TRUE(queue.Enqueue(Record(device_, 7, 0)));
  EXPECT_EQ(queue.Retire(100), 1u);
  EXPECT_EQ(queue.Flush(5), 5u);
  EXPECT_EQ(queue.Size(), 1u);
  device_.during = nullptr;
  EXPECT_EQ(queue.Flush(), 1u);
}

TEST_F(DeferredQueueTest, Cb_DiscardWhileDrainingKeepsTheAccount) {
  DeferredQueue queue(memory_.Get(), Options(2, AllocationMode::Discard));
  device_.queue = &queue;
  device_.during = [](Device& device, std::uint64_t handle) {
    if (handle != 0) return;
    for (std::uint64_t child = 10; child < 13; ++child)
      EXPECT_TRUE(device.queue->Enqueue(Record(device, child, 1)));
  };
  EXPECT_TRUE(queue.Enqueue(Record(device_, 0, 1)));
  EXPECT_TRUE(queue.Enqueue(Record(device_, 1, 1)));
  EXPECT_EQ(queue.Retire(1), 1u) << "the second was dropped by the first one's children";
  EXPECT_EQ(queue.Retire(1), 2u);
  EXPECT_EQ(device_.destroyed, Handles({0, 11, 12}));
  const DeferredQueueStats stats = queue.GetStats();
  EXPECT_EQ(stats.enqueued, stats.retired + stats.discarded + stats.rejected + stats.size);
}

TEST_F(DeferredQueueTest, Cb_FlushRunsEverythingWhateverTheValue) {
  DeferredQueue queue(memory_.Get(), Options(8));
  device_.queue = &queue;
  device_.during = [](Device& device, std::uint64_t handle) {
    if (handle != 1) return;
    EXPECT_TRUE(device.queue->Enqueue(Record(device, 2, UINT64_MAX)));
  };
  EXPECT_TRUE(queue.Enqueue(Record(device_, 1, UINT64_MAX)));
  EXPECT_EQ(queue.Flush(), 2u);
  EXPECT_EQ(device_.destroyed, Handles({1, 2}));
}

TEST_F(DeferredQueueTest, Cb_TheEndReportsWhatNeverRan) {
  Growth growth;
  {
    DeferredQueueOptions options = Options(1, AllocationMode::Fallback);
    options.growth = growth.site;
    DeferredQueue queue(memory_.Get(), options);
    EXPECT_TRUE(queue.Enqueue(Record(device_, 0xAB, 4)));
    EXPECT_TRUE(queue.Enqueue(Record(device_, 2, 4)));
  }
  EXPECT_EQ(log_.lastLevel, LogLevel::Error);
  EXPECT_STREQ(log_.last,
               "deferred queue 'test' ends with 2 records that never ran; their objects leak (the first: "
               "handle 0xab, value 4); call Flush once the device is idle");
  EXPECT_EQ(device_.destroyed, Handles({}));
}

TEST_F(DeferredQueueTest, Cb_ACapacityOfNothingIsAlwaysFull) {
  for (const AllocationMode mode : {AllocationMode::Strict, AllocationMode::Discard}) {
    DeferredQueue queue(memory_.Get(), Options(0, mode));
    EXPECT_FALSE(queue.Enqueue(Record(device_, 1, 1)));
    EXPECT_EQ(queue.Retire(1), 0u);
  }
  Growth growth;
  DeferredQueueOptions options = Options(0, AllocationMode::Fallback);
  options.growth = growth.site;
  DeferredQueue queue(memory_.Get(), options);
  EXPECT_EQ(queue.Enqueue(Record(device_, 1, 1)).Get(), AcceptResult::AcceptedAfterGrowth);
  EXPECT_EQ(queue.Retire(1), 1u);
}

TEST_F(DeferredQueueTest, Cb_NothingAllocates) {
  STADIAL_ASSERT_ARMED();
  Growth growth;
  for (const AllocationMode mode :
       {AllocationMode::Strict, AllocationMode::Fallback, AllocationMode::Discard}) {
    DeferredQueueOptions options = Options(16, mode);
    options.growth = growth.site;
    DeferredQueue queue(memory_.Get(), options);
    const CountedScope counted;
    std::size_t kept = 0;
    for (std::uint64_t frame = 0; frame < 100; ++frame) {
      for (std::uint64_t i = 0; i < 20; ++i) kept += queue.Enqueue(Record(device_, i, frame)) ? 1u : 0u;
      queue.Retire(frame);
    }
    EXPECT_EQ(counted.Allocations(), 0u) << arenas::ToString(mode);
    EXPECT_EQ(counted.Frees(), 0u) << arenas::ToString(mode);
    EXPECT_EQ(kept, mode == AllocationMode::Strict ? 1600u : 2000u);
    device_.destroyed.clear();
  }
}

TEST(DeferredQueueDeathTest, Cb_MisuseIsNamed) {
  ::testing::GTEST_FLAG(death_test_style) = "threadsafe";
  TestArena memory(1 << 16);
  EXPECT_DEATH(DeferredQueue(memory.Get(), {.mode = AllocationMode::Fallback}),
               "Fallback mode needs a designated fallback");
#if STADIAL_ASSERT_LEVEL >= 1
  EXPECT_DEATH(
      {
        DeferredQueue queue(memory.Get(), {});
        static_cast<void>(queue.Enqueue({}));
      },
      "without a function");
#endif
  DeferredQueueOptions options;
  options.capacity = 1;
  options.mode = AllocationMode::Discard;
  options.onDiscard = [](void* self, const DeferredRecord& record) noexcept {
    static_cast<void>(static_cast<DeferredQueue*>(self)->Enqueue(record));
  };
  alignas(DeferredQueue) std::byte place[sizeof(DeferredQueue)];
  options.onDiscardSelf = place;
  auto* const queue = ::new (place) DeferredQueue(memory.Get(), options);
  Device device;
  EXPECT_TRUE(queue->Enqueue(Record(device, 1, 1)));
  EXPECT_DEATH(static_cast<void>(queue->Enqueue(Record(device, 2, 1))), "onDiscard must not enqueue");
  EXPECT_EQ(queue->Flush(), 1u);
  queue->~DeferredQueue();
}

}  // namespace
}  // namespace stadial::runtime::testing
