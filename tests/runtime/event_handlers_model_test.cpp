// Subscriptions against a model: random programs in which handlers, from inside their calls and by type or by
// category, destroy themselves and each other and make new ones, while the table is enlarged between drains.
// Every call, its order and its event must agree.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "stadial/runtime/event_bus.h"
#include "test_support.h"

namespace stadial::runtime {
namespace {

using testing::Random;
using testing::Repetitions;
using testing::TestSeed;

constexpr std::uint32_t kSlots = 24;
constexpr std::uint32_t kTypes = 5;

struct Call {
  std::uint64_t listener;
  std::int64_t data;
  bool operator==(const Call&) const = default;
};

// Of a new listener: a type, or a mask of categories.
struct Wish {
  EventType type;
  EventCategoryMask categories;
};
Wish MakeWish(Random& random) {
  const auto category = random.Below(2) == 0 ? EventCategory::User : MakeUserCategory(1);
  const EventType type = MakeEventType(category, static_cast<std::uint32_t>(random.Below(kTypes)));
  return {type, random.Below(4) == 0 ? MaskOf(category) : 0};
}

// What a listener does with an event: the same for bus and model, because only its number and `data` decide.
template <class World>
void Act(World& world, std::uint64_t listener, std::int64_t data) {
  Random random(listener * 7919 + static_cast<std::uint64_t>(data));
  for (std::uint64_t actions = random.Below(3); actions != 0; --actions) {
    const auto slot = static_cast<std::uint32_t>(random.Below(kSlots));
    const Wish wish = MakeWish(random);
    if (random.Below(3) == 0) {
      world.Remove(slot);
    } else {
      world.Add(slot, wish);
    }
  }
}

struct BusWorld {
  struct Listener {
    BusWorld* world;
    std::uint64_t number;
    Subscription subscription;
    static void OnEvent(void* self, const Event& event) {
      auto* const listener = static_cast<Listener*>(self);
      BusWorld& world = *listener->world;
      const std::uint64_t number = listener->number;
      world.calls.push_back({number, event.data});
      Act(world, number, event.data);  // may destroy the listener
    }
  };

  void Remove(std::uint32_t slot) { listeners[slot].reset(); }
  void Add(std::uint32_t slot, const Wish& wish) {
    if (listeners[slot] != nullptr) return;
    listeners[slot] = std::make_unique<Listener>(Listener{this, nextNumber++, {}});
    Listener* const listener = listeners[slot].get();
    auto made = wish.categories != 0 ? bus.SubscribeCategories(wish.categories, &Listener::OnEvent, listener)
                                     : bus.Subscribe(wish.type, &Listener::OnEvent, listener);
    ASSERT_TRUE(made) << made.GetError().Message();
    listener->subscription = std::move(made.Value());
  }

  // Handlers that are gone keep their place until the next event: twice the slots, and some.
  EventBus bus{EventBusOptions{.subscriptionsMax = 4 * kSlots}};
  std::array<std::unique_ptr<Listener>, kSlots> listeners;
  std::uint64_t nextNumber = 1;
  std::vector<Call> calls;
};

enum class Fault { None, LateUnsubscribe, EarlySubscribe };

struct ModelWorld {
  struct Entry {
    std::uint64_t number;
    std::uint32_t slot;
    Wish wish;
    std::uint64_t bornAt;  // the event in hand when it subscribed
    std::uint64_t diedAt;
  };
  static constexpr std::uint64_t kAlive = ~std::uint64_t{0};

  void Remove(std::uint32_t slot) {
    for (Entry& entry : entries) {
      if (entry.slot == slot && entry.diedAt == kAlive) entry.diedAt = now;
    }
  }
  void Add(std::uint32_t slot, const Wish& wish) {
    for (const Entry& entry : entries) {
      if (entry.slot == slot && entry.diedAt == kAlive) return;
    }
    entries.push_back({nextNumber++, slot, wish, now, kAlive});
  }
  void Deliver(const Event& event) {
    ++now;
    for (const bool byCategory : {false, true}) {
      for (std::size_t i = 0; i < entries.size(); ++i) {
        const Entry entry = entries[i];
        const bool wants = entry.wish.categories != 0
                               ? byCategory && (entry.wish.categories & MaskOf(CategoryOf(event.type))) != 0
                               : !byCategory && entry.wish.type == event.type;
        const bool isBorn = entry.bornAt < now || fault == Fault::EarlySubscribe;
        const bool isDead = fault == Fault::LateUnsubscribe ? entry.diedAt < now : entry.diedAt != kAlive;
        if (!wants || !isBorn || isDead) continue;
        calls.push_back({entry.number, event.data});
        Act(*this, entry.number, event.data);
      }
    }
    std::erase_if(entries, [](const Entry& entry) { return entry.diedAt != kAlive; });
  }

  Fault fault;
  std::uint64_t now = 0;
  std::uint64_t nextNumber = 1;
  std::vector<Entry> entries;
  std::vector<Call> calls;
};

// Runs `operations`; returns the number of the first that disagrees, or `operations`.
std::uint64_t FirstDisagreement(std::uint64_t operations, std::uint64_t seed, Fault fault = Fault::None) {
  Random random(seed);
  BusWorld world;
  world.bus.PreAllocate(8, EventBus::AllocationMode::Strict);
  ModelWorld model{.fault = fault, .entries = {}, .calls = {}};
  std::vector<Event> queued;
  std::uint32_t reserved = 4 * kSlots;
  std::uint64_t operation = 0;
  for (; operation < operations; ++operation) {
    const std::uint64_t roll = random.Below(100);
    if (roll < 60) {
      const Event event{.type = MakeWish(random).type,
                        .data = static_cast<std::int64_t>(random.Below(1 << 30))};
      if (world.bus.Emit(event)) queued.push_back(event);
    } else if (roll < 70) {
      const auto slot = static_cast<std::uint32_t>(random.Below(kSlots));
      const Wish wish = MakeWish(random);
      world.Add(slot, wish);
      model.Add(slot, wish);
    } else if (roll < 75) {
      const auto slot = static_cast<std::uint32_t>(random.Below(kSlots));
      world.Remove(slot);
      model.Remove(slot);
      std::erase_if(model.entries, [](const auto& entry) { return entry.diedAt != ModelWorld::kAlive; });
    } else if (roll == 75 && random.Below(100) == 0 && reserved < 4000) {
      reserved += 1 + static_cast<std::uint32_t>(random.Below(reserved));
      EXPECT_TRUE(world.bus.ReserveSubscriptions(reserved));
    } else if (roll > 80) {
      world.bus.ProcessEvents();
      for (const Event& event : queued) model.Deliver(event);
      queued.clear();
      if (world.calls != model.calls) break;
      world.calls.clear();
      model.calls.clear();
    }
    if (world.bus.GetStats().subscriptions != model.entries.size()) break;
  }
  world.listeners = {};
  return operation;
}

TEST(EventHandlersModel, Ef_RandomSubscriptionsAgree) {
  const std::uint64_t operations = Repetitions(2'000'000);
  const std::uint64_t seed = TestSeed(20260411);
  EXPECT_EQ(FirstDisagreement(operations, seed), operations) << "first operation that disagrees";
}

TEST(EventHandlersModelCanary, Ef_AModelThatUnsubscribesTooLateDisagrees) {
  EXPECT_LT(FirstDisagreement(10'000, 1, Fault::LateUnsubscribe), 10'000u);
}

TEST(EventHandlersModelCanary, Ef_AModelThatSubscribesTooEarlyDisagrees) {
  EXPECT_LT(FirstDisagreement(10'000, 1, Fault::EarlySubscribe), 10'000u);
}

}  // namespace
}  // namespace stadial::runtime
