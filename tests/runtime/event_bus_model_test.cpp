// EventBus against a model: random programs of emissions (plain, with keys, with payloads, pinned,
// coalescing), cascades out of handlers, batches, re-allocations and drains, ten million operations per mode.
// Every result, every counter, and the order and content of every delivery must agree.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

#include "stadial/runtime/event_bus.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using testing::LogCapture;
using testing::Random;
using testing::Repetitions;
using testing::TestSeed;
using Mode = EventBus::AllocationMode;

constexpr std::uint32_t kTypes = 8;
constexpr std::uint32_t kCascadeDepthMax = 3;
constexpr std::size_t kChunkEvents = 64;  // capacities stay below, so a growth chunk always has this many
constexpr std::size_t kOwnChunks = 4;
constexpr std::size_t kCapacityMax = 60;

EventType TypeOf(std::uint32_t index) { return MakeEventType(EventCategory::User, index); }

// Types 3, 4 and 5 have a policy.
std::uint16_t PolicyOf(EventType type) {
  if (type == TypeOf(3)) return kEventCoalesce;
  if (type == TypeOf(4)) return kEventPinned;
  if (type == TypeOf(5)) return kEventCoalesce | kEventPinned;
  return 0;
}

struct Payload {
  std::uint64_t words[4];
};

// Plain, with key and origins, or with a payload: what an event stores differs.
Event MakeRandomEvent(Random& random, std::uint64_t keys) {
  const auto type = TypeOf(static_cast<std::uint32_t>(random.Below(kTypes)));
  const auto data = static_cast<std::int64_t>(random.Next() >> 1);
  const std::uint64_t shape = random.Below(4);
  if (shape == 0) return {.type = type, .data = data};
  Event event{
      .type = type, .data = data, .key = random.Below(keys), .origins = std::uint64_t{1} << random.Below(64)};
  if (shape == 1) {
    event = MakeEvent(type, Payload{{random.Next(), 2, 3, random.Next()}}, random.Below(keys));
    event.data = data;
  }
  return event;
}

// The events that the handler of `event` emits: the same for bus and model, because only `data` decides.
template <class Emit>
void ForEachChild(const Event& event, Emit&& emit) {
  Random random(static_cast<std::uint64_t>(event.data));
  const std::uint64_t roll = random.Below(10);
  const int children = roll < 6 ? 0 : roll < 9 ? 1 : 2;
  for (int i = 0; i < children; ++i) {
    Event child = MakeRandomEvent(random, 6);
    child.flags = static_cast<std::uint16_t>(random.Below(4));
    emit(child);
  }
}

enum class Fault { None, DropNewest, ForgetCascade, KeepOldPayload };

class Model {
 public:
  Model(Mode mode, std::size_t capacity, Fault fault) : mode_(mode), capacity_(capacity), fault_(fault) {}

  EmitResult::Value Emit(const Event& event) {
    ++emitted;
    std::uint16_t flags =
        static_cast<std::uint16_t>((event.flags & kEventFlagsPublic) | PolicyOf(event.type));
    if (batchDepth != 0) flags |= kEventCoalesce;
    if ((flags & kEventCoalesce) != 0) {
      const auto same = std::find_if(queue_.begin(), queue_.end(), [&](const Item& item) {
        return item.isIndexed && item.event.type == event.type && item.event.key == event.key;
      });
      if (same != queue_.end()) {
        if (mode_ == Mode::Discard && (flags & ~same->event.flags & kEventPinned) != 0) {
          same->isIndexed = false;
        } else {
          const Event before = same->event;
          same->event = event;
          if (fault_ == Fault::KeepOldPayload)
            std::memcpy(same->event.payload, before.payload, sizeof before.payload);
          same->event.flags = before.flags;
          same->event.origins |= before.origins;
          ++coalesced;
          return EmitResult::Coalesced;
        }
      }
    }
    EmitResult::Value result = EmitResult::Accepted;
    bool isInGrowth = false;
    if (mode_ == Mode::Fallback) {
      if (GrowthSize() != 0 || queue_.size() >= capacity_) {
        if (!TakeGrowthSlot()) return Reject();
        isInGrowth = true;
        result = EmitResult::AcceptedAfterGrowth;
      }
    } else if (queue_.size() >= capacity_) {
      if (mode_ == Mode::Strict) return Reject();
      const auto unpinned = [](const Item& item) { return (item.event.flags & kEventPinned) == 0; };
      auto victim = std::find_if(queue_.begin(), queue_.end(), unpinned);
      if (victim == queue_.end()) return Reject();
      if (fault_ == Fault::DropNewest) {
        victim = std::prev(std::find_if(queue_.rbegin(), queue_.rend(), unpinned).base());
      }
      queue_.erase(victim);
      ++discarded;
      result = EmitResult::AcceptedOlderDropped;
    }
    Item item{event, false, isInGrowth, nextNumber_++};
    item.event.flags = flags;
    Index(item);
    queue_.push_back(item);
    return result;
  }

  void Process(std::vector<Event>& delivered) {
    if (batchDepth != 0) return;
    for (std::uint32_t level = 0; level <= kCascadeDepthMax && !queue_.empty(); ++level) {
      const std::uint64_t end = nextNumber_;
      while (!queue_.empty() && queue_.front().number < end) {
        const Item item = queue_.front();
        queue_.pop_front();
        if (item.isInGrowth) ReturnGrowthSlot();
        delivered.push_back(item.event);
        ForEachChild(item.event, [&](const Event& child) {
          if (fault_ == Fault::ForgetCascade && level == kCascadeDepthMax) return;
          static_cast<void>(Emit(child));
        });
      }
    }
  }

  void PreAllocate(std::size_t capacity) {
    capacity_ = capacity;
    chunks_.clear();
    std::deque<Item> old = std::exchange(queue_, {});
    for (Item& item : old) {
      item.isInGrowth = false;
      item.isIndexed = false;
      Index(item);
      queue_.push_back(item);
    }
  }

  std::size_t Size() const { return queue_.size(); }
  std::size_t Capacity() const { return capacity_ + chunks_.size() * kChunkEvents; }

  std::uint64_t emitted = 0, coalesced = 0, discarded = 0, rejected = 0;
  int batchDepth = 0;

 private:
  struct Item {
    Event event;
    bool isIndexed;
    bool isInGrowth;
    std::uint64_t number;
  };
  struct ChunkUse {
    std::size_t begin = 0, end = 0;
  };

  EmitResult::Value Reject() {
    ++rejected;
    return EmitResult::Rejected;
  }
  void Index(Item& item) {
    if ((item.event.flags & kEventCoalesce) == 0) return;
    std::size_t indexed = 0;
    for (const Item& other : queue_) {
      indexed += other.isIndexed;
      if (other.isIndexed && other.event.type == item.event.type && other.event.key == item.event.key) return;
    }
    item.isIndexed = indexed < std::max<std::size_t>(capacity_, 16);
  }
  std::size_t GrowthSize() const {
    std::size_t size = 0;
    for (const ChunkUse& chunk : chunks_) size += chunk.end - chunk.begin;
    return size;
  }
  bool TakeGrowthSlot() {
    if (chunks_.empty() || chunks_.back().end == kChunkEvents) {
      if (chunks_.size() == kOwnChunks) return false;
      chunks_.emplace_back();
    }
    ++chunks_.back().end;
    return true;
  }
  void ReturnGrowthSlot() {
    ChunkUse& chunk = chunks_.front();
    ++chunk.begin;
    if (chunk.begin == kChunkEvents || GrowthSize() == 0) chunks_.pop_front();
  }

  Mode mode_;
  std::size_t capacity_;
  Fault fault_;
  std::uint64_t nextNumber_ = 0;
  std::deque<Item> queue_;
  std::deque<ChunkUse> chunks_;
};

struct Driver {
  EventBus& bus;
  std::vector<Event> delivered;

  static void OnEvent(void* self, const Event& event) {
    auto* const driver = static_cast<Driver*>(self);
    driver->delivered.push_back(event);
    ForEachChild(event, [&](const Event& child) { static_cast<void>(driver->bus.Emit(child)); });
  }
};

bool SameEvent(const Event& a, const Event& b) {
  return a.type == b.type && a.flags == b.flags && a.data == b.data && a.key == b.key &&
         a.origins == b.origins && a.payloadTag == b.payloadTag &&
         (a.payloadTag == 0 || std::memcmp(a.payload, b.payload, sizeof a.payload) == 0);
}

// Runs `operations` random operations; returns the number of the first that disagrees, or `operations`.
std::uint64_t FirstDisagreement(Mode mode, std::uint64_t operations, std::uint64_t seed,
                                Fault fault = Fault::None) {
  Random random(seed);
  LogCapture log;
  EventBus bus(EventBusOptions{.cascadeDepthMax = kCascadeDepthMax, .log = log.Sink()});
  for (std::uint32_t i = 0; i < kTypes; ++i) {
    if (PolicyOf(TypeOf(i)) == 0) continue;
    EXPECT_TRUE(bus.SetTypePolicy(TypeOf(i), PolicyOf(TypeOf(i))));
  }
  Driver driver{bus, {}};
  const auto subscription = bus.SubscribeCategories(MaskOf(EventCategory::User), &Driver::OnEvent, &driver);
  std::size_t capacity = 10;
  bus.PreAllocate(capacity, mode);
  Model model(mode, capacity, fault);
  std::vector<Event> expected;
  std::vector<EventBatch*> batches;
  alignas(EventBatch) std::byte batchMemory[4][sizeof(EventBatch)];
  std::uint64_t deliveredTotal = 0;
  std::uint64_t operation = 0;
  for (; operation < operations; ++operation) {
    const std::uint64_t roll = random.Below(1000);
    if (roll < 870) {
      Event event = MakeRandomEvent(random, 24);
      if (random.Below(8) == 0) event.flags = static_cast<std::uint16_t>(random.Below(4));
      if (random.Below(16) == 0) {  // the typed form
        const Payload payload{{random.Next(), 5, 6, 7}};
        event = MakeEvent(event.type, payload, event.key);
        if (bus.Emit(event.type, payload, event.key).Get() != model.Emit(event)) break;
        continue;
      }
      if (bus.Emit(event).Get() != model.Emit(event)) break;
    } else if (roll < 920) {
      driver.delivered.clear();
      expected.clear();
      const std::size_t count = bus.ProcessEvents();
      model.Process(expected);
      deliveredTotal += expected.size();
      if (count != expected.size() || !std::equal(expected.begin(), expected.end(), driver.delivered.begin(),
                                                  driver.delivered.end(), SameEvent)) {
        break;
      }
    } else if (roll < 925) {
      capacity = model.Size() + random.Below(20);
      if (capacity <= kCapacityMax) {
        bus.PreAllocate(capacity, mode);
        model.PreAllocate(capacity);
      }
    } else if (roll < 950) {
      if (batches.size() < 2) {
        batches.push_back(::new (batchMemory[batches.size()]) EventBatch(bus));
        ++model.batchDepth;
      }
    } else if (roll < 990) {
      if (!batches.empty()) {
        batches.back()->~EventBatch();
        batches.pop_back();
        --model.batchDepth;
      }
    } else {
      bus.BeginFrame();
    }
    const EventBus::QueueStats stats = bus.GetStats();
    if (stats.eventCount != model.Size() || stats.capacity != model.Capacity() ||
        stats.emitted != model.emitted || stats.coalesced != model.coalesced ||
        stats.discarded != model.discarded || stats.rejected != model.rejected ||
        stats.delivered != deliveredTotal ||
        stats.emitted !=
            stats.delivered + stats.discarded + stats.rejected + stats.coalesced + stats.eventCount) {
      break;
    }
  }
  while (!batches.empty()) {
    batches.back()->~EventBatch();
    batches.pop_back();
  }
  return operation;
}

class EventBusModel : public ::testing::TestWithParam<Mode> {};

TEST_P(EventBusModel, Eb_RandomOperationsAgree) {
  const std::uint64_t operations = Repetitions(10'000'000);
  const std::uint64_t seed = TestSeed(20260103);
  EXPECT_EQ(FirstDisagreement(GetParam(), operations, seed), operations) << "first operation that disagrees";
}

INSTANTIATE_TEST_SUITE_P(Modes, EventBusModel, ::testing::Values(Mode::Strict, Mode::Fallback, Mode::Discard),
                         [](const auto& test) { return std::string(arenas::ToString(test.param)); });

// The comparison must be able to fail: models with the seeds' own defects.
TEST(EventBusModelCanary, E16_AModelThatDropsTheNewestDisagrees) {
  EXPECT_LT(FirstDisagreement(Mode::Discard, 10'000, 1, Fault::DropNewest), 10'000u);
}

TEST(EventBusModelCanary, E7_AModelThatLosesTheDeepestCascadeDisagrees) {
  EXPECT_LT(FirstDisagreement(Mode::Fallback, 10'000, 1, Fault::ForgetCascade), 10'000u);
}

TEST(EventBusModelCanary, Eb_AModelThatKeepsTheOldPayloadDisagrees) {
  EXPECT_LT(FirstDisagreement(Mode::Strict, 10'000, 1, Fault::KeepOldPayload), 10'000u);
}

}  // namespace
}  // namespace stadial::runtime
