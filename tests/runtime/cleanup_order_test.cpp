#include "stadial/runtime/cleanup_order.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <vector>

#include "stadial/runtime/cleanup_stack.h"
#include "test_support.h"

namespace stadial::runtime::testing {
namespace {

using Nodes = std::vector<std::uint32_t>;

Nodes Listed(std::span<const std::uint32_t> nodes) { return Nodes(nodes.begin(), nodes.end()); }

class CleanupOrderTest : public ::testing::Test {
 protected:
  DependencyTable Table(std::uint32_t nodes, std::vector<DependencyEdge> edges) {
    auto table = BuildDependencyTable(nodes, edges, memory_.Get());
    EXPECT_TRUE(table) << table.GetError().Message();
    return table.Value();
  }

  TestArena memory_{8 << 20};
};

TEST_F(CleanupOrderTest, G7_ReverseTopologicalTransitiveEachOnce) {
  CleanupOrder order(memory_.Get(), 8);
  // 3 needs 0 through 2 and 1, and directly; 4 stands alone; numbers against the order on purpose.
  const DependencyTable table = Table(5, {{3, 2}, {2, 1}, {1, 0}, {3, 0}, {3, 2}});
  ASSERT_TRUE(order.Calculate(table));
  EXPECT_EQ(Listed(order.Order()), (Nodes{4, 3, 2, 1, 0}));
  const DependencyTable backwards = Table(4, {{0, 1}, {1, 2}, {2, 3}});
  ASSERT_TRUE(order.Calculate(backwards));
  EXPECT_EQ(Listed(order.Order()), (Nodes{0, 1, 2, 3}));
}

TEST_F(CleanupOrderTest, G7_TheDryRunIsTheScopeInOrder) {
  CleanupOrder order(memory_.Get(), 8);
  const DependencyTable table = Table(6, {{1, 0}, {2, 1}, {3, 1}, {4, 3}});
  ASSERT_TRUE(order.Calculate(table));
  Nodes scope(6, 99);
  ASSERT_EQ(order.GetScope(table, 1, scope), 4u);
  EXPECT_EQ(scope, (Nodes{4, 3, 2, 1, 99, 99}));
  EXPECT_EQ(order.GetScope(table, 1, {}), 4u) << "counting needs no room";
  EXPECT_EQ(order.GetScope(table, 5, scope), 1u);
  EXPECT_EQ(order.GetScope(table, 0, scope), 5u);
  EXPECT_EQ(order.GetScope(table, 6, scope), 0u);
}

TEST_F(CleanupOrderTest, G7_RemovedNodesAreLeftOutAndKeepTheOrder) {
  CleanupOrder order(memory_.Get(), 8);
  const DependencyTable table = Table(4, {{0, 1}, {1, 2}, {3, 2}});
  const std::uint8_t isRemoved[] = {0, 1, 0, 0};
  ASSERT_TRUE(order.Calculate(table, isRemoved));
  EXPECT_EQ(Listed(order.Order()), (Nodes{3, 0, 2})) << "0 needs 2 through the removed one";
  Nodes scope(4, 99);
  EXPECT_EQ(order.GetScope(table, 2, scope), 3u);
  EXPECT_EQ(order.GetScope(table, 1, scope), 0u) << "it is gone";
  const std::uint8_t all[] = {1, 1, 1, 1};
  ASSERT_TRUE(order.Calculate(table, all));
  EXPECT_TRUE(order.Order().empty());
  EXPECT_EQ(order.Calculate(table, std::span(isRemoved).first(3)).GetError().Code(),
            ErrorCode::InvalidArgument);
}

TEST_F(CleanupOrderTest, G7_ACycleIsRefusedWithItsPath) {
  CleanupOrder order(memory_.Get(), 64);
  const DependencyTable table = Table(5, {{0, 1}, {1, 2}, {2, 3}, {3, 1}});
  auto result = order.Calculate(table);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.GetError().Code(), ErrorCode::Invalid);
  EXPECT_STREQ(
      result.GetError().Message(),
      "no order: 3 nodes depend on each other in a cycle: 1 -> 2 -> 3 -> 1; take one dependency out");
  EXPECT_EQ(Listed(order.Cycle()), (Nodes{1, 2, 3}));
  EXPECT_TRUE(order.Order().empty());
  Nodes scope(5);
  EXPECT_EQ(order.GetScope(table, 1, scope), 0u);

  static const char* const kNames[] = {"window", "swapchain"};
  const NodeNames names{
      .name = [](const void* self,
                 std::uint32_t node) noexcept { return static_cast<const char* const*>(self)[node]; },
      .self = kNames};
  auto named = order.Calculate(Table(2, {{0, 1}, {1, 0}}), {}, names);
  ASSERT_FALSE(named);
  EXPECT_NE(std::string(named.GetError().Message()).find("window -> swapchain -> window"), std::string::npos)
      << named.GetError().Message();

  auto itself = order.Calculate(Table(3, {{2, 2}}));
  ASSERT_FALSE(itself);
  EXPECT_STREQ(itself.GetError().Message(), "no order: a node depends on itself: 2 -> 2");
  EXPECT_EQ(Listed(order.Cycle()), (Nodes{2}));

  ASSERT_TRUE(order.Calculate(Table(2, {{1, 0}})));
  EXPECT_TRUE(order.Cycle().empty()) << "of the last Calculate";
}

TEST_F(CleanupOrderTest, G7_ALongPathIsCutInTheMiddleAndWholeInCycle) {
  constexpr std::uint32_t kCount = 1000;
  CleanupOrder order(memory_.Get(), kCount);
  std::vector<DependencyEdge> edges;
  for (std::uint32_t i = 0; i < kCount; ++i) edges.push_back({i, (i + 1) % kCount});
  auto result = order.Calculate(Table(kCount, edges));
  ASSERT_FALSE(result);
  EXPECT_STREQ(result.GetError().Message(),
               "no order: 1000 nodes depend on each other in a cycle: 0 -> 1 -> 2 -> 3 -> 4 -> 5 -> ... (988 "
               "more) -> 994 -> 995 -> 996 -> 997 -> 998 -> 999 -> 0; take one dependency out");
  EXPECT_EQ(order.Cycle().size(), kCount);
  // Names as long as one likes are cut, too.
  const NodeNames names{
      .name = [](const void* self,
                 std::uint32_t) noexcept { return static_cast<const std::string*>(self)->c_str(); },
      .self = nullptr};
  const std::string longName(4000, 'x');
  auto cut = order.Calculate(Table(kCount, edges), {}, {.name = names.name, .self = &longName});
  ASSERT_FALSE(cut);
  EXPECT_LT(std::string(cut.GetError().Message()).size(), arenas::kErrorMessageBytesMax);
}

TEST_F(CleanupOrderTest, G7_MalformedTablesAreRefused) {
  CleanupOrder order(memory_.Get(), 4);
  const auto code = [&](Nodes begin, Nodes targets) {
    auto result = order.Calculate({.begin = begin, .targets = targets});
    return result ? std::string("none") : std::string(result.GetError().Message());
  };
  EXPECT_EQ(code({}, {}), "none") << "no nodes";
  EXPECT_EQ(code({0}, {}), "none");
  EXPECT_EQ(code({0, 2, 1}, {0, 0}), "the dependencies of node 1 stand at 2 to 1; there are 2 in all");
  EXPECT_EQ(code({0, 3}, {0}), "the dependencies of node 0 stand at 0 to 3; there are 1 in all");
  EXPECT_EQ(code({0, 1}, {7}), "dependency 0 leads to node 7; there are 1 nodes");
  EXPECT_EQ(code({0, 0, 0, 0, 0, 0}, {}),
            "5 nodes to order, room for 4; raise the nodesMax that CleanupOrder was given");
  CleanupOrder none;
  EXPECT_TRUE(none.Calculate({}));
  EXPECT_FALSE(none.Calculate({.begin = Nodes{0, 0}, .targets = {}}));
}

TEST_F(CleanupOrderTest, G7_EdgesThatNameNoNodeAreRefused) {
  const DependencyEdge wrong[] = {{0, 1}, {2, 0}};
  auto table = BuildDependencyTable(2, wrong, memory_.Get());
  ASSERT_FALSE(table);
  EXPECT_STREQ(table.GetError().Message(),
               "dependency 1 of 2 leads from node 2 to node 0; there are 2 nodes");
  EXPECT_EQ(BuildDependencyTable(UINT32_MAX, {}, memory_.Get()).GetError().Code(),
            ErrorCode::InvalidArgument);
  TestArena tiny(64);
  auto large = BuildDependencyTable(100, {}, tiny.Get());
  ASSERT_FALSE(large);
  EXPECT_EQ(large.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_EQ(tiny.Get().UsedBytes(), 0u);
}

TEST_F(CleanupOrderTest, G7_ADiamondLadderVisitsEachNodeOnce) {
  // Rungs of three nodes: 2^333 paths. What follows paths and not nodes does not come back.
  constexpr std::uint32_t kRungs = 333;
  CleanupOrder order(memory_.Get(), 3 * kRungs + 1);
  std::vector<DependencyEdge> edges;
  for (std::uint32_t rung = 0; rung < kRungs; ++rung) {
    const std::uint32_t top = 3 * rung;
    for (const std::uint32_t side : {top + 1, top + 2}) {
      edges.push_back({side, top});
      edges.push_back({top + 3, side});
    }
  }
  const DependencyTable table = Table(3 * kRungs + 1, edges);
  ASSERT_TRUE(order.Calculate(table));
  ASSERT_EQ(order.Order().size(), 3 * kRungs + 1);
  EXPECT_EQ(order.Order().front(), 3 * kRungs);
  EXPECT_EQ(order.Order().back(), 0u);
  EXPECT_EQ(order.GetScope(table, 0, {}), 3 * kRungs + 1);
}

TEST_F(CleanupOrderTest, G7_AChainOf100000NeedsNoStack) {
  constexpr std::uint32_t kCount = 100'000;
  CleanupOrder order(memory_.Get(), kCount);
  std::vector<DependencyEdge> edges;
  for (std::uint32_t i = 0; i + 1 < kCount; ++i) edges.push_back({i, i + 1});
  ASSERT_TRUE(order.Calculate(Table(kCount, edges)));
  EXPECT_EQ(order.Order().front(), 0u);
  EXPECT_EQ(order.Order().back(), kCount - 1);
}

TEST_F(CleanupOrderTest, G7_TakesTheMemoryItSays) {
  const std::size_t before = memory_.Get().UsedBytes();
  const CleanupOrder order(memory_.Get(), 1001);
  EXPECT_EQ(memory_.Get().UsedBytes() - before, CleanupOrder::CalculateBytes(1001));
}

TEST_F(CleanupOrderTest, G7_OrderAndStackTogether) {
  // Pushed in the opposite order, the stack unwinds in the order of cleanup.
  CleanupOrder order(memory_.Get(), 3);
  ASSERT_TRUE(order.Calculate(Table(3, {{0, 2}, {2, 1}})));
  struct Thing {
    Nodes* log;
    std::uint32_t node;
  };
  Nodes log;
  Thing things[] = {{&log, 0}, {&log, 1}, {&log, 2}};
  CleanupStack stack(memory_.Get(), 3);
  for (std::size_t i = order.Order().size(); i-- > 0;) {
    ASSERT_TRUE(stack.TryPush(
        [](void* object) {
          auto* const thing = static_cast<Thing*>(object);
          thing->log->push_back(thing->node);
        },
        &things[order.Order()[i]]));
  }
  EXPECT_EQ(stack.Unwind(), 3u);
  EXPECT_EQ(log, (Nodes{0, 2, 1}));
}

TEST_F(CleanupOrderTest, G7_NothingAllocates) {
  STADIAL_ASSERT_ARMED();
  CleanupOrder order(memory_.Get(), 64);
  std::vector<DependencyEdge> edges;
  for (std::uint32_t i = 0; i + 1 < 64; ++i) edges.push_back({i + 1, i});
  const std::vector<DependencyEdge> ring = {{0, 1}, {1, 0}};
  Nodes scope(64);
  const CountedScope counted;
  auto table = BuildDependencyTable(64, edges, memory_.Get());
  auto ringTable = BuildDependencyTable(64, ring, memory_.Get());
  const bool isOrdered = order.Calculate(table.Value()).HasValue();
  const std::uint32_t inScope = order.GetScope(table.Value(), 0, scope);
  const bool isRefused = !order.Calculate(ringTable.Value()).HasValue();
  EXPECT_EQ(counted.Allocations(), 0u);
  EXPECT_EQ(counted.Frees(), 0u);
  EXPECT_TRUE(isOrdered && isRefused);
  EXPECT_EQ(inScope, 64u);
}

}  // namespace
}  // namespace stadial::runtime::testing
