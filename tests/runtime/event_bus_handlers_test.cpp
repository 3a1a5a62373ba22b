// EventBus: payloads, subscriptions, what a handler may do, composite events and batches (E-f, E-g).
#include "stadial/runtime/event_bus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "event_bus_support.h"

namespace stadial::runtime {
namespace {

using namespace testing;  // NOLINT(google-build-using-namespace)
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Resize {
  std::uint32_t width, height;
};

TEST(EventBus, Ef_TypedPayloadsAndSubscriptions) {
  EventBus bus;
  bus.PreAllocate(4);
  struct Window {
    Resize last{};
    int raw = 0;
    void OnResize(const Resize& resize) { last = resize; }
    void OnRaw(const Event& event) noexcept { raw += HasPayload<Resize>(event) ? 1 : 0; }
  } window;
  const auto typed = bus.Subscribe<&Window::OnResize>(EventType::WindowResize, &window);
  const auto raw = bus.Subscribe<&Window::OnRaw>(EventType::WindowResize, &window);
  ASSERT_TRUE(bus.Emit(MakeEvent(EventType::WindowResize, Resize{640, 480})));
  bus.ProcessEvents();
  EXPECT_EQ(window.last.width, 640u);
  EXPECT_EQ(window.last.height, 480u);
  EXPECT_EQ(window.raw, 1);
}

TEST(EventBus, Ef_SubscriptionsEndWithTheirScope) {
  EventBus bus;
  bus.PreAllocate(4);
  std::vector<std::int64_t> seen;
  {
    Recorder recorder(bus);
    ASSERT_TRUE(bus.Emit({.type = kPing}));
    bus.ProcessEvents();
    EXPECT_EQ(recorder.data.size(), 1u);
    EXPECT_EQ(bus.GetStats().subscriptions, 1u);
  }
  EXPECT_EQ(bus.GetStats().subscriptions, 0u);
  ASSERT_TRUE(bus.Emit({.type = kPing}));
  EXPECT_EQ(bus.ProcessEvents(), 1u);  // delivered to nobody
}

TEST(EventBus, Ef_MovedSubscriptionsStayOne) {
  EventBus bus;
  bus.PreAllocate(4);
  int count = 0;
  const EventHandler handler = [](void* self, const Event&) { ++*static_cast<int*>(self); };
  Subscription a = bus.Subscribe(kPing, handler, &count).Value();
  Subscription b = std::move(a);
  EXPECT_FALSE(a.IsActive());  // NOLINT(bugprone-use-after-move): the moved-from state is what is tested
  EXPECT_TRUE(b.IsActive());
  // T10: setting up again replaces the subscription and does not double it.
  b = bus.Subscribe(kPing, handler, &count).Value();
  ASSERT_TRUE(bus.Emit({.type = kPing}));
  bus.ProcessEvents();
  EXPECT_EQ(count, 1);
  b.Reset();
  b.Reset();
  EXPECT_EQ(bus.GetStats().subscriptions, 0u);
}

TEST(EventBus, Ef_CategorySubscriptionsSeeTheirCategoriesOnly) {
  EventBus bus;
  bus.PreAllocate(8);
  Recorder recorder(bus, {});
  const auto subscription = bus.SubscribeCategories(
      MaskOf(EventCategory::User) | MaskOf(EventCategory::Graph),
      [](void* self, const Event& event) { static_cast<Recorder*>(self)->OnEvent(event); }, &recorder);
  ASSERT_TRUE(bus.Emit({.type = kPing, .data = 1}));
  ASSERT_TRUE(bus.Emit({.type = kOther, .data = 2}));
  ASSERT_TRUE(bus.Emit({.type = EventType::NodeDirty, .data = 3}));
  ASSERT_TRUE(bus.Emit({.type = EventType::WindowResize, .data = 4}));
  bus.ProcessEvents();
  EXPECT_THAT(recorder.data, ElementsAre(1, 3));
  EXPECT_FALSE(bus.SubscribeCategories(
      0, [](void*, const Event&) {}, nullptr));
}

TEST(EventBus, Ef_HandlersRunInTheOrderOfSubscription) {
  EventBus bus;
  bus.PreAllocate(8);
  std::vector<int> order;
  struct Tag {
    std::vector<int>& order;
    int number;
    void OnEvent(const Event&) { order.push_back(number); }
  } one{order, 1}, two{order, 2}, three{order, 3};
  const auto category = bus.SubscribeCategories(
      MaskOf(EventCategory::User),
      [](void* self, const Event& event) { static_cast<Tag*>(self)->OnEvent(event); }, &three);
  const auto first = bus.Subscribe<&Tag::OnEvent>(kPing, &one);
  const auto second = bus.Subscribe<&Tag::OnEvent>(kPing, &two);
  ASSERT_TRUE(bus.Emit({.type = kPing}));
  bus.ProcessEvents();
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST(EventBus, Ef_UnsubscribingInsideAHandlerTakesEffectAtOnce) {
  EventBus bus;
  bus.PreAllocate(8);
  struct Node {
    Subscription own;
    Node* victim = nullptr;
    int calls = 0;
    void OnEvent(const Event&) {
      ++calls;
      if (victim != nullptr) victim->own.Reset();
    }
  } killer, victim, self;
  killer.victim = &victim;
  self.victim = &self;
  killer.own = bus.Subscribe<&Node::OnEvent>(kPing, &killer).Value();
  victim.own = bus.Subscribe<&Node::OnEvent>(kPing, &victim).Value();
  self.own = bus.Subscribe<&Node::OnEvent>(kPing, &self).Value();
  ASSERT_TRUE(bus.Emit({.type = kPing}));
  ASSERT_TRUE(bus.Emit({.type = kPing}));
  bus.ProcessEvents();
  EXPECT_EQ(killer.calls, 2);
  EXPECT_EQ(victim.calls, 0);
  EXPECT_EQ(self.calls, 1);
  EXPECT_EQ(bus.GetStats().subscriptions, 1u);
}

TEST(EventBus, Ef_AHandlerMayDestroyItsOwnObjectAndOthers) {
  EventBus bus;
  bus.PreAllocate(8);
  struct Node {
    std::vector<std::unique_ptr<Node>>& nodes;
    std::vector<int>& calls;
    int number;
    Subscription subscription;
    void OnEvent(const Event& event) {
      calls.push_back(number);
      // The first destroys the third, then itself: nothing of it may be touched afterwards.
      std::vector<std::unique_ptr<Node>>& all = nodes;
      if (number != 0 || event.data != 1) return;
      all[2].reset();
      all[0].reset();
    }
  };
  std::vector<int> calls;
  std::vector<std::unique_ptr<Node>> nodes;
  for (int i = 0; i < 4; ++i) {
    nodes.push_back(std::make_unique<Node>(Node{nodes, calls, i, {}}));
    nodes.back()->subscription = bus.Subscribe<&Node::OnEvent>(kPing, nodes.back().get()).Value();
  }
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(bus.Emit({.type = kPing, .data = i}));
  bus.ProcessEvents();
  EXPECT_THAT(calls, ElementsAre(0, 1, 2, 3, 0, 1, 3, 1, 3));
  EXPECT_EQ(bus.GetStats().subscriptions, 2u);
}

// The only handler of a type has a place of its own in the table: it must not be called from there once gone.
TEST(EventBus, Ef_TheOnlyHandlerOfATypeMayDestroyItself) {
  EventBus bus;
  bus.PreAllocate(8);
  struct Node {
    std::unique_ptr<Node>& owner;
    int& calls;
    Subscription subscription;
    void OnEvent(const Event&) {
      ++calls;
      owner.reset();
    }
  };
  int calls = 0;
  std::unique_ptr<Node> node;
  node = std::make_unique<Node>(Node{node, calls, {}});
  node->subscription = bus.Subscribe<&Node::OnEvent>(kPing, node.get()).Value();
  ASSERT_TRUE(bus.Emit({.type = kPing}));
  ASSERT_TRUE(bus.Emit({.type = kPing}));
  EXPECT_EQ(bus.ProcessEvents(), 2u);
  EXPECT_EQ(calls, 1);
}

TEST(EventBus, Ef_SubscribingInsideAHandlerTakesEffectFromTheNextEvent) {
  EventBus bus;
  bus.PreAllocate(8);
  struct Late {
    int calls = 0;
    void OnEvent(const Event&) { ++calls; }
  } late, dropped;
  struct Early {
    EventBus& bus;
    Late& late;
    Late& dropped;
    Subscription subscription;
    void OnEvent(const Event&) {
      if (!subscription.IsActive()) subscription = bus.Subscribe<&Late::OnEvent>(kPing, &late).Value();
      // Subscribed and ended within one handler: never called.
      const Subscription brief = bus.Subscribe<&Late::OnEvent>(kPing, &dropped).Value();
    }
  } early{bus, late, dropped, {}};
  const auto subscription = bus.Subscribe<&Early::OnEvent>(kPing, &early);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(bus.Emit({.type = kPing}));
  bus.ProcessEvents();
  EXPECT_EQ(late.calls, 2);
  EXPECT_EQ(dropped.calls, 0);
  EXPECT_EQ(bus.GetStats().subscriptions, 2u);
}

TEST(EventBus, Ef_AFullSubscriptionTableIsAClearErrorAndCanBeRaised) {
  EventBus bus(EventBusOptions{.name = "small", .subscriptionsMax = 2});
  bus.PreAllocate(8);
  Recorder recorder(bus, {kPing, kPong});
  const auto refused = bus.Subscribe(
      kOther, [](void*, const Event&) {}, nullptr);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_THAT(refused.GetError().Message(), HasSubstr("'small': all 2 subscriptions are taken"));
  ASSERT_TRUE(bus.ReserveSubscriptions(5));
  EXPECT_EQ(bus.GetStats().subscriptionsMax, 5u);
  const auto accepted = bus.Subscribe(
      kOther, [](void*, const Event&) {}, nullptr);
  EXPECT_TRUE(accepted);
  ASSERT_TRUE(bus.Emit({.type = kPong, .data = 3}));
  bus.ProcessEvents();
  EXPECT_THAT(recorder.data, ElementsAre(3));  // the old subscriptions moved along
  EXPECT_FALSE(bus.Subscribe(kPing, nullptr, nullptr));
}

TEST(EventBus, Eg_CompositeEventCarriesTheMaskOfItsOrigins) {
  EventBus bus;
  bus.PreAllocate(4, Mode::Strict);
  struct Seen {
    int calls = 0;
    std::uint64_t origins = 0;
    void OnEvent(const Event& event) {
      ++calls;
      origins = event.origins;
    }
  } seen;
  const auto subscription = bus.Subscribe<&Seen::OnEvent>(EventType::FrameSetupNeeded, &seen);
  for (unsigned node = 0; node < 20; ++node) {
    EXPECT_TRUE(bus.Emit({.type = EventType::FrameSetupNeeded, .origins = std::uint64_t{1} << (2 * node)}));
  }
  EXPECT_EQ(bus.ProcessEvents(), 1u);
  EXPECT_EQ(seen.calls, 1);
  EXPECT_EQ(seen.origins, 0x5555555555u);
}

TEST(EventBus, Eg_ABatchTurnsSimultaneousEventsIntoOnePass) {
  EventBus bus;
  bus.PreAllocate(8, Mode::Strict);
  Recorder recorder(bus);
  {
    const EventBatch batch(bus);
    const EventBatch nested(bus);
    for (int i = 0; i < 100; ++i)
      EXPECT_TRUE(bus.Emit({.type = kPing, .data = i, .key = std::uint64_t(i % 3)}));
    EXPECT_EQ(bus.ProcessEvents(), 0u);
  }
  EXPECT_EQ(bus.ProcessEvents(), 3u);
  EXPECT_THAT(recorder.data, ElementsAre(99, 97, 98));
  EXPECT_TRUE(bus.Emit({.type = kPing, .data = 1}));
  EXPECT_TRUE(bus.Emit({.type = kPing, .data = 2}));
  EXPECT_EQ(bus.ProcessEvents(), 2u) << "coalescing must end with the batch";
}

}  // namespace
}  // namespace stadial::runtime
