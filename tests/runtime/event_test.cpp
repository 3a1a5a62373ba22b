#include "stadial/runtime/event.h"

#include <gtest/gtest.h>

namespace stadial::runtime {
namespace {

struct Small {
  int a;
};
struct Large {
  double values[4];
  bool operator==(const Large&) const = default;
};
struct TooLarge {
  double values[5];
};
struct NotTrivial {
  ~NotTrivial() {}
};

static_assert(EventPayload<Small> && EventPayload<Large>);
static_assert(!EventPayload<TooLarge> && !EventPayload<NotTrivial>);

TEST(Event, E2_DesignatedInitialisersAsInTheGuideCompile) {
  const Event event{.type = EventType::NodeDirty, .data = 1};
  EXPECT_EQ(event.data, 1);
  EXPECT_EQ(event.flags, 0);
}

TEST(Event, Ef_PayloadsAreInlineAndTyped) {
  const Event event = MakeEvent(EventType::NodeDirty, Large{{1, 2, 3, 4}}, 9);
  EXPECT_EQ(event.key, 9u);
  EXPECT_TRUE(HasPayload<Large>(event));
  EXPECT_FALSE(HasPayload<Small>(event));
  EXPECT_EQ(PayloadOf<Large>(event), (Large{{1, 2, 3, 4}}));
  EXPECT_FALSE(HasPayload<Small>(Event{}));
}

TEST(EventDeathTest, Ef_ReadingAnotherTypeAsserts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
#if STADIAL_ASSERT_LEVEL >= 1
  const Event event = MakeEvent(EventType::NodeDirty, Small{1});
  EXPECT_DEATH(static_cast<void>(PayloadOf<Large>(event)), "payload of another type");
#else
  GTEST_SKIP() << "assertions are off";
#endif
}

TEST(Event, Ef_TypesCarryTheirCategory) {
  constexpr EventType kDoor = MakeEventType(MakeUserCategory(15), 77);
  static_assert(CategoryOf(kDoor) == static_cast<EventCategory>(31));
  static_assert(CategoryOf(EventType::NodeDirty) == EventCategory::Graph);
  static_assert(MaskOf(EventCategory::Graph) == 2);
  EXPECT_NE(kDoor, MakeEventType(MakeUserCategory(14), 77));
}

}  // namespace
}  // namespace stadial::runtime
