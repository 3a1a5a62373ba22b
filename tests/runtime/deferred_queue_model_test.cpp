// DeferredQueue against a model: random programs of enqueueing, retiring (with and without a limit) and
// flushing, with functions that enqueue, retire and flush from inside a drain; ten million operations per
// mode. Every result, every counter and the order of every call must agree.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "event_bus_support.h"
#include "stadial/runtime/deferred_queue.h"
#include "test_support.h"

namespace stadial::runtime::testing {
namespace {

using arenas::AllocationMode;

constexpr std::size_t kChunkRecords = 64;  // the capacity stays below, so a growth chunk always has this many
constexpr std::size_t kChunksMax = 3;
constexpr std::size_t kCapacity = 24;
constexpr std::size_t kReservedMax = 60;  // by Reserve, in steps

// What the function of `handle` does: the same for queue and model, because only the handle decides. Handles
// with the top bits set have no children, so that nothing grows without end.
template <class Enqueue>
void ForEachChild(std::uint64_t handle, std::uint64_t retireValue, Enqueue&& enqueue) {
  const std::uint64_t depth = handle >> 60;
  const std::uint64_t roll = handle % 16;
  const std::uint64_t children = depth >= 3 || roll < 12 ? 0 : roll - 11;
  for (std::uint64_t i = 0; i < children; ++i) {
    const std::uint64_t mixed = (handle + i + 1) * 0x9e3779b97f4a7c15u;
    enqueue((mixed >> 4) | (depth + 1) << 60, retireValue + mixed % 3);
  }
}

enum class Fault { None, DropNewest, RunEarly, SameDrain };

class Model {
 public:
  Model(AllocationMode mode, Fault fault) : mode_(mode), fault_(fault) {}

  AcceptResult::Value Enqueue(std::uint64_t handle, std::uint64_t value) {
    ++enqueued;
    AcceptResult::Value result = AcceptResult::Accepted;
    bool isInGrowth = false;
    if (mode_ == AllocationMode::Fallback && (GrowthSize() != 0 || queue_.size() >= capacity_)) {
      if (!TakeGrowthSlot()) {
        ++rejected;
        return AcceptResult::Rejected;
      }
      isInGrowth = true;
      result = AcceptResult::AcceptedAfterGrowth;
    } else if (queue_.size() >= capacity_) {
      if (mode_ == AllocationMode::Strict) {
        ++rejected;
        return AcceptResult::Rejected;
      }
      if (fault_ == Fault::DropNewest) {
        queue_.pop_back();
      } else {
        queue_.pop_front();
      }
      ++discarded;
      result = AcceptResult::AcceptedOlderDropped;
    }
    queue_.push_back({handle, value, next_++, isInGrowth});
    peak = std::max(peak, queue_.size());
    return result;
  }

  std::size_t Retire(std::uint64_t completed, std::size_t recordsMax, std::vector<std::uint64_t>& ran) {
    const std::uint64_t end = next_;
    std::size_t count = 0;
    while (count < recordsMax && !queue_.empty() &&
           (queue_.front().number < end || fault_ == Fault::SameDrain)) {
      const Item item = queue_.front();
      if (item.value > completed + (fault_ == Fault::RunEarly ? 1 : 0)) break;
      queue_.pop_front();
      if (item.isInGrowth) ReturnGrowthSlot();
      ++count;
      ran.push_back(item.handle);
      ForEachChild(item.handle, item.value,
                   [&](std::uint64_t handle, std::uint64_t value) { Enqueue(handle, value); });
    }
    retired += count;
    return count;
  }

  std::size_t Flush(std::vector<std::uint64_t>& ran) {
    std::size_t count = 0;
    while (!queue_.empty()) count += Retire(UINT64_MAX - 1, SIZE_MAX, ran);
    return count;
  }

  void Reserve(std::size_t capacity) { capacity_ = std::max(capacity_, capacity); }

  std::size_t Size() const { return queue_.size(); }
  std::size_t Capacity() const { return capacity_ + chunks_.size() * kChunkRecords; }

  std::uint64_t enqueued = 0, retired = 0, rejected = 0, discarded = 0;
  std::size_t peak = 0;

 private:
  struct Item {
    std::uint64_t handle, value, number;
    bool isInGrowth;
  };
  struct ChunkUse {
    std::size_t begin = 0, end = 0;
  };

  std::size_t GrowthSize() const {
    std::size_t size = 0;
    for (const ChunkUse& chunk : chunks_) size += chunk.end - chunk.begin;
    return size;
  }
  bool TakeGrowthSlot() {
    if (chunks_.empty() || chunks_.back().end == kChunkRecords) {
      if (chunks_.size() == kChunksMax) return false;
      chunks_.emplace_back();
    }
    ++chunks_.back().end;
    return true;
  }
  void ReturnGrowthSlot() {
    ++chunks_.front().begin;
    if (chunks_.front().begin == kChunkRecords || GrowthSize() == 0) chunks_.pop_front();
  }

  AllocationMode mode_;
  Fault fault_;
  std::size_t capacity_ = kCapacity;
  std::uint64_t next_ = 0;
  std::deque<Item> queue_;
  std::deque<ChunkUse> chunks_;
};

struct Device {
  DeferredQueue* queue = nullptr;
  std::vector<std::uint64_t> ran;
};

// A function is not told its record's value, and children need it: the record's device is an entry of a table
// by value. Values in the queue at once lie close together, so none is overwritten while it is in use.
struct Entry {
  Device* device;
  std::uint64_t value;
};

void DestroyEntry(Entry* entry, std::uint64_t handle) noexcept {
  Device& device = *entry->device;
  device.ran.push_back(handle);
  static_cast<void>(device.queue->Retire(UINT64_MAX));
  static_cast<void>(device.queue->Flush());
  Entry* const base = entry - entry->value % 4096;
  ForEachChild(handle, entry->value, [&](std::uint64_t child, std::uint64_t value) {
    base[value % 4096].value = value;
    static_cast<void>(
        device.queue->Enqueue(MakeDeferredRecord<&DestroyEntry>(&base[value % 4096], child, value)));
  });
}

// Runs `operations` random operations; returns the number of the first that disagrees, or `operations`.
std::uint64_t FirstDisagreement(AllocationMode mode, std::uint64_t operations, std::uint64_t seed,
                                Fault fault = Fault::None) {
  Random random(seed);
  LogCapture log;
  TestArena memory(1 << 17);
  Growth growth(kChunksMax * (kChunkRecords * sizeof(DeferredRecord) + 32));
  Device device;
  std::vector<Entry> entries(4096, Entry{&device, 0});
  DeferredQueue queue(
      memory.Get(),
      {.name = "model", .capacity = kCapacity, .mode = mode, .growth = growth.site, .log = log.Sink()});
  device.queue = &queue;
  Model model(mode, fault);
  std::vector<std::uint64_t> expected;
  std::uint64_t completed = 0;
  std::uint64_t operation = 0;
  for (; operation < operations; ++operation) {
    const std::uint64_t roll = random.Below(1000);
    if (roll < 940) {
      const std::uint64_t handle = random.Next() >> 4;
      const std::uint64_t value = completed + random.Below(4);
      Entry& entry = entries[value % entries.size()];
      entry.value = value;
      const DeferredRecord record = MakeDeferredRecord<&DestroyEntry>(&entry, handle, value);
      if (queue.Enqueue(record).Get() != model.Enqueue(handle, value)) break;
    } else if (roll == 999 && queue.Capacity() <= kReservedMax) {  // no growth in use
      const std::size_t capacity = std::min(queue.Capacity() + random.Below(3), kReservedMax);
      model.Reserve(capacity);
      if (!queue.Reserve(memory.Get(), capacity)) break;
    } else {
      device.ran.clear();
      expected.clear();
      std::size_t count = 0;
      std::size_t countExpected = 0;
      if (roll < 995) {
        completed += random.Below(3);
        const std::size_t recordsMax =
            random.Below(4) == 0 ? static_cast<std::size_t>(random.Below(20)) : DeferredQueue::kNoLimit;
        count = queue.Retire(completed, recordsMax);
        countExpected = model.Retire(completed, recordsMax, expected);
      } else {
        count = queue.Flush();
        countExpected = model.Flush(expected);
      }
      if (count != countExpected || device.ran != expected) break;
    }
    const DeferredQueueStats stats = queue.GetStats();
    if (stats.size != model.Size() || stats.capacity != model.Capacity() ||
        stats.enqueued != model.enqueued || stats.retired != model.retired ||
        stats.rejected != model.rejected || stats.discarded != model.discarded || stats.peak != model.peak ||
        stats.enqueued != stats.retired + stats.discarded + stats.rejected + stats.size) {
      break;
    }
  }
  queue.Flush();
  return operation;
}

class DeferredQueueModel : public ::testing::TestWithParam<AllocationMode> {};

TEST_P(DeferredQueueModel, Cb_TenMillionRandomOperationsAgree) {
  const std::uint64_t operations = Repetitions(10'000'000);
  const std::uint64_t seed = TestSeed(20260211);
  EXPECT_EQ(FirstDisagreement(GetParam(), operations, seed), operations) << "first operation that disagrees";
}

INSTANTIATE_TEST_SUITE_P(Modes, DeferredQueueModel,
                         ::testing::Values(AllocationMode::Strict, AllocationMode::Fallback,
                                           AllocationMode::Discard),
                         [](const auto& test) { return std::string(arenas::ToString(test.param)); });

// The comparison must be able to fail.
TEST(DeferredQueueModelCanary, Cb_AModelThatDropsTheNewestDisagrees) {
  EXPECT_LT(FirstDisagreement(AllocationMode::Discard, 10'000, 1, Fault::DropNewest), 10'000u);
}
TEST(DeferredQueueModelCanary, Cb_AModelThatRunsEarlyDisagrees) {
  EXPECT_LT(FirstDisagreement(AllocationMode::Strict, 10'000, 1, Fault::RunEarly), 10'000u);
}
TEST(DeferredQueueModelCanary, Cb_AModelThatRunsChildrenInTheSameDrainDisagrees) {
  EXPECT_LT(FirstDisagreement(AllocationMode::Fallback, 10'000, 1, Fault::SameDrain), 10'000u);
}

}  // namespace
}  // namespace stadial::runtime::testing
