#include "stadial/arenas/intrusive_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <list>
#include <vector>

#include "stadial/arenas/arena.h"
#include "support/arena_buffer.h"
#include "support/op_program.h"

namespace stadial::arenas {
namespace {

using testing::ArenaBuffer;
using testing::Differs;
using testing::OpRandom;

struct ByName {};
struct ByAge {};
struct Node : IntrusiveLink<ByName>, IntrusiveLink<ByAge> {
  explicit Node(int given) : value(given) {}
  int value;
};
using NameList = IntrusiveList<Node, ByName>;
using AgeList = IntrusiveList<Node, ByAge>;
static_assert(kArenaStorable<Node> && kArenaStorable<NameList>);

std::vector<int> Values(const auto& list) {
  std::vector<int> values;
  for (const Node& node : list) values.push_back(node.value);
  return values;
}

TEST(IntrusiveList, KeepsTheOrderOfInsertion) {
  Node nodes[] = {Node(0), Node(1), Node(2), Node(3)};
  NameList list;
  EXPECT_EQ(list.Front(), nullptr);
  list.PushBack(nodes[2]);
  list.PushFront(nodes[0]);
  list.InsertBefore(nodes[2], nodes[1]);
  list.InsertAfter(nodes[2], nodes[3]);
  EXPECT_THAT(Values(list), ::testing::ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(list.Size(), 4u);
  EXPECT_EQ(list.Back(), &nodes[3]);
  list.Remove(nodes[1]);
  EXPECT_EQ(list.TryPopFront(), &nodes[0]);
  EXPECT_EQ(list.TryPopBack(), &nodes[3]);
  EXPECT_THAT(Values(list), ::testing::ElementsAre(2));
  EXPECT_EQ(list.TryPopBack(), &nodes[2]);
  EXPECT_EQ(list.TryPopFront(), nullptr);
  EXPECT_TRUE(list.IsEmpty());
}

TEST(IntrusiveList, AnElementStandsInOneListOfEachTag) {
  Node node(1);
  NameList names;
  AgeList ages;
  names.PushBack(node);
  ages.PushBack(node);
  names.Remove(node);
  EXPECT_FALSE(names.Contains(node));
  EXPECT_TRUE(ages.Contains(node));
  EXPECT_EQ(ages.Front(), &node);
}

TEST(IntrusiveList, LivesInAnArenaWithItsElements) {
  ArenaBuffer buffer;
  auto* const list = buffer.arena.New<NameList>();
  for (int value = 0; value < 3; ++value) list->PushBack(*buffer.arena.New<Node>(value));
  EXPECT_THAT(Values(*list), ::testing::ElementsAre(0, 1, 2));
}

TEST(IntrusiveList, TheElementUnderTheIteratorMayLeave) {
  std::vector<Node> nodes;
  for (int value = 0; value < 6; ++value) nodes.emplace_back(value);
  NameList list;
  for (Node& node : nodes) list.PushBack(node);
  for (Node& node : list) {
    if (node.value % 2 == 0) list.Remove(node);
  }
  EXPECT_THAT(Values(list), ::testing::ElementsAre(1, 3, 5));
}

TEST(IntrusiveList, MovesAndSplices) {
  Node nodes[] = {Node(0), Node(1), Node(2)};
  NameList first;
  NameList second;
  first.PushBack(nodes[0]);
  second.PushBack(nodes[1]);
  second.PushBack(nodes[2]);
  first.SpliceBack(second);
  EXPECT_THAT(Values(first), ::testing::ElementsAre(0, 1, 2));
  EXPECT_TRUE(second.IsEmpty());
  first.SpliceBack(second);
  EXPECT_EQ(first.Size(), 3u);
  NameList moved = std::move(first);
  EXPECT_THAT(Values(moved), ::testing::ElementsAre(0, 1, 2));
  EXPECT_TRUE(first.IsEmpty());  // NOLINT(bugprone-use-after-move): that is what is tested
  Node other(9);
  second.PushBack(other);
  second = std::move(moved);
  EXPECT_THAT(Values(second), ::testing::ElementsAre(0, 1, 2));
  EXPECT_FALSE(static_cast<IntrusiveLink<ByName>&>(other).IsLinked());
}

TEST(IntrusiveList, ACopiedElementIsInNoList) {
  Node node(1);
  NameList list;
  list.PushBack(node);
  Node copy = node;
  EXPECT_FALSE(static_cast<IntrusiveLink<ByName>&>(copy).IsLinked());
  Node assigned(2);
  list.PushBack(assigned);
  assigned = node;
  EXPECT_THAT(Values(list), ::testing::ElementsAre(1, 1)) << "and an assigned one keeps its place";
}

// Two lists over one set of nodes, against two std::lists.
std::string RunListProgram(OpRandom& random, bool broken) {
  std::vector<Node> nodes;
  for (int value = 0; value < 24; ++value) nodes.emplace_back(value);
  NameList lists[2];
  std::list<int> models[2];
  for (int step = 0; step < 5000; ++step) {
    const std::size_t which = random.Below(2);
    NameList& list = lists[which];
    std::list<int>& model = models[which];
    Node& node = nodes[random.Below(nodes.size())];
    const std::size_t choice = random.Below(100);
    const bool linked = static_cast<IntrusiveLink<ByName>&>(node).IsLinked();
    if (linked != (lists[0].Contains(node) || lists[1].Contains(node)))
      return Differs("step %d: linked", step);
    if (choice < 50 && !linked) {
      const std::size_t place = random.Below(model.size() + 1);
      const auto before = std::next(model.begin(), static_cast<std::ptrdiff_t>(place));
      if (before == model.end()) {
        list.PushBack(node);
      } else if (place == 0) {
        list.PushFront(node);
      } else if (random.OneIn(2)) {
        list.InsertBefore(nodes[static_cast<std::size_t>(*before)], node);
      } else {
        list.InsertAfter(nodes[static_cast<std::size_t>(*std::prev(before))], node);
      }
      model.insert(before, node.value);
    } else if (choice < 75 && linked) {
      const std::size_t owner = lists[0].Contains(node) ? 0 : 1;
      lists[owner].Remove(node);
      if (!broken || step % 16 != 0) models[owner].remove(node.value);
    } else if (choice < 85) {
      const Node* const popped = random.OneIn(2) ? list.TryPopFront() : list.TryPopBack();
      if ((popped != nullptr) != !model.empty()) return Differs("step %d: pop", step);
      if (popped != nullptr && popped->value == model.front()) {
        model.pop_front();
      } else if (popped != nullptr && popped->value == model.back()) {
        model.pop_back();
      } else if (popped != nullptr) {
        return Differs("step %d: popped from the middle", step);
      }
    } else if (choice < 88) {
      list.SpliceBack(lists[1 - which]);
      model.splice(model.end(), models[1 - which]);
    } else if (choice < 90) {
      list.Clear();
      model.clear();
    }
    for (const std::size_t each : {0u, 1u}) {
      const std::vector<int> values = Values(lists[each]);
      if (!std::equal(values.begin(), values.end(), models[each].begin(), models[each].end()))
        return Differs("step %d: contents", step);
      if (lists[each].Size() != models[each].size()) return Differs("step %d: size", step);
      const Node* const back = lists[each].Back();
      if (back != nullptr && back->value != models[each].back()) return Differs("step %d: back", step);
    }
  }
  return "";
}

TEST(IntrusiveList, ProgramAgreesWithModel) {
  testing::ExpectAgreement("intrusive_list", [](OpRandom& random) { return RunListProgram(random, false); });
}
TEST(IntrusiveList, ProgramCanary) {
  testing::ExpectCanary("intrusive_list", [](OpRandom& random) { return RunListProgram(random, true); });
}

#if STADIAL_ASSERT_LEVEL >= 1
TEST(IntrusiveListDeathTest, MisuseAborts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  Node node(1);
  Node loose(2);
  NameList list;
  list.PushBack(node);
  EXPECT_DEATH(list.PushBack(node), "in a list of this tag already");
  EXPECT_DEATH(list.Remove(loose), "in no list");
  EXPECT_DEATH(list.InsertBefore(loose, node), "in no list");
#if STADIAL_ASSERT_LEVEL >= 2
  NameList other;
  EXPECT_DEATH(other.Remove(node), "in another list");
#endif
}
#endif

}  // namespace
}  // namespace stadial::arenas
