// CleanupOrder against a model: random programs that add and remove nodes and dependencies, cycles included.
// The model knows reachability (by closure), and from it what an order must satisfy: each present node once,
// dependents before all they depend on directly or not; what a scope holds; and whether there is a cycle.
#include <gtest/gtest.h>

#include <algorithm>
#include <bitset>
#include <cstdio>
#include <string>
#include <vector>

#include "stadial/runtime/cleanup_order.h"
#include "test_support.h"

namespace stadial::runtime::testing {
namespace {

constexpr std::uint32_t kNodes = 24;
using Row = std::bitset<kNodes>;

enum class Fault { None, ForgetTransitive, ListRemoved, MissCycles };

struct Model {
  std::vector<DependencyEdge> edges;
  std::vector<std::uint8_t> isRemoved = std::vector<std::uint8_t>(kNodes, 0);
  Row reach[kNodes];  // what each node depends on, directly or not

  // Warshall, or with the fault one step only.
  void Close(Fault fault) {
    for (Row& row : reach) row.reset();
    for (const DependencyEdge& edge : edges) reach[edge.dependent].set(edge.dependency);
    if (fault == Fault::ForgetTransitive) return;
    for (std::uint32_t middle = 0; middle < kNodes; ++middle) {
      for (Row& row : reach) {
        if (row[middle]) row |= reach[middle];
      }
    }
  }
  bool HasCycle() const {
    for (std::uint32_t node = 0; node < kNodes; ++node) {
      if (reach[node][node]) return true;
    }
    return false;
  }
  bool HasEdge(std::uint32_t dependent, std::uint32_t dependency) const {
    return std::any_of(edges.begin(), edges.end(), [=](const DependencyEdge& edge) {
      return edge.dependent == dependent && edge.dependency == dependency;
    });
  }

  bool IsRealCycle(std::span<const std::uint32_t> cycle) const {
    if (cycle.empty()) return false;
    Row seen;
    for (std::size_t i = 0; i < cycle.size(); ++i) {
      if (seen[cycle[i]] || !HasEdge(cycle[i], cycle[(i + 1) % cycle.size()])) return false;
      seen.set(cycle[i]);
    }
    return true;
  }

  bool Accepts(std::span<const std::uint32_t> order, Fault fault) const {
    Row done;  // listed so far
    for (const std::uint32_t node : order) {
      if (node >= kNodes || done[node] || isRemoved[node] != 0) return false;
      if ((reach[node] & done).any()) return false;  // something it depends on went first
      done.set(node);
    }
    const auto gone = std::count_if(isRemoved.begin(), isRemoved.end(), [](auto mark) { return mark != 0; });
    const std::size_t expected =
        fault == Fault::ListRemoved ? kNodes : kNodes - static_cast<std::size_t>(gone);
    return order.size() == expected;
  }

  bool AcceptsScope(std::uint32_t root, std::span<const std::uint32_t> scope,
                    std::span<const std::uint32_t> order) const {
    std::vector<std::uint32_t> expected;
    for (const std::uint32_t node : order) {
      if (node == root || reach[node][root]) expected.push_back(node);
    }
    if (isRemoved[root] != 0) expected.clear();
    return std::equal(scope.begin(), scope.end(), expected.begin(), expected.end());
  }
};

bool Agree(const Model& model, CleanupOrder& order, arenas::Arena& memory, Random& random, Fault fault) {
  const arenas::ArenaScope scope(memory);
  auto table = BuildDependencyTable(kNodes, model.edges, memory);
  if (!table) return false;
  const bool isOrdered = order.Calculate(table.Value(), model.isRemoved).HasValue();
  if (!isOrdered) return fault != Fault::MissCycles && model.HasCycle() && model.IsRealCycle(order.Cycle());
  if (model.HasCycle() || !model.Accepts(order.Order(), fault)) return false;
  std::uint32_t members[kNodes];
  const auto root = static_cast<std::uint32_t>(random.Below(kNodes));
  const std::uint32_t count = order.GetScope(table.Value(), root, members);
  return model.AcceptsScope(root, std::span<const std::uint32_t>(members).first(count), order.Order());
}

// Returns the number of the first operation that disagrees, or `operations`.
std::uint64_t FirstDisagreement(std::uint64_t operations, std::uint64_t seed, Fault fault = Fault::None,
                                std::uint64_t* cyclic = nullptr) {
  Random random(seed);
  TestArena memory(1 << 16);
  CleanupOrder order(memory.Get(), kNodes);
  Model model;
  const auto node = [&] { return static_cast<std::uint32_t>(random.Below(kNodes)); };
  for (std::uint64_t operation = 0; operation < operations; ++operation) {
    const std::uint64_t roll = random.Below(100);
    if (roll < 10) {
      model.edges.push_back({node(), node()});
    } else if (roll < 60) {
      // Towards smaller numbers: these make no cycle among themselves, so that dense acyclic graphs appear.
      const std::uint32_t a = node();
      const std::uint32_t b = node();
      if (a != b) model.edges.push_back({std::max(a, b), std::min(a, b)});
    } else if (roll < 90) {
      if (!model.edges.empty())
        model.edges.erase(model.edges.begin() +
                          static_cast<std::ptrdiff_t>(random.Below(model.edges.size())));
    } else if (roll < 98) {
      std::uint8_t& mark = model.isRemoved[node()];
      mark = mark == 0 ? 1 : 0;
    } else {
      model.edges.clear();
    }
    if (model.edges.size() > 80) model.edges.resize(40);
    model.Close(fault);
    if (cyclic != nullptr && model.HasCycle()) ++*cyclic;
    if (!Agree(model, order, memory.Get(), random, fault)) return operation;
  }
  return operations;
}

TEST(CleanupOrderModel, G7_RandomGraphsAgreeWithTheClosure) {
  const std::uint64_t operations = Repetitions(500'000);
  const std::uint64_t seed = TestSeed(20260318);
  std::uint64_t cyclic = 0;
  EXPECT_EQ(FirstDisagreement(operations, seed, Fault::None, &cyclic), operations)
      << "first operation that disagrees";
  std::printf("%llu of %llu graphs had a cycle\n", static_cast<unsigned long long>(cyclic),
              static_cast<unsigned long long>(operations));
  EXPECT_GT(cyclic, operations / 10) << "the program must meet both kinds";
  EXPECT_LT(cyclic, operations / 10 * 9) << "the program must meet both kinds";
}

// The comparison must be able to fail.
TEST(CleanupOrderModelCanary, G7_AModelWithoutTransitiveDependenciesDisagrees) {
  EXPECT_LT(FirstDisagreement(10'000, 1, Fault::ForgetTransitive), 10'000u);
}
TEST(CleanupOrderModelCanary, G7_AModelThatListsRemovedNodesDisagrees) {
  EXPECT_LT(FirstDisagreement(10'000, 1, Fault::ListRemoved), 10'000u);
}
TEST(CleanupOrderModelCanary, G7_AModelThatMissesCyclesDisagrees) {
  EXPECT_LT(FirstDisagreement(10'000, 1, Fault::MissCycles), 10'000u);
}

}  // namespace
}  // namespace stadial::runtime::testing
