#include "stadial/runtime/cleanup_order.h"

#include <cstdio>
#include <cstring>
#include <limits>

namespace stadial::runtime {
namespace {

constexpr std::size_t kCountMax = std::numeric_limits<std::uint32_t>::max() - 1;
// A path in an error message shows this many nodes at either end.
constexpr std::size_t kPathEnd = 6;
constexpr std::size_t kPathBytesMax = 360;

std::size_t ArenaBytes(std::size_t bytes) noexcept {
  return (bytes + arenas::kArenaGranularityBytes - 1) & ~(arenas::kArenaGranularityBytes - 1);
}

// Text that grows in a fixed buffer, and is cut there.
class PathText {
 public:
  void Add(const char* text) noexcept {
    const std::size_t room = sizeof text_ - 1 - length_;
    const std::size_t bytes = std::min(std::strlen(text), room);
    std::memcpy(text_ + length_, text, bytes);
    length_ += bytes;
    text_[length_] = '\0';
  }
  void AddNode(const NodeNames& names, std::uint32_t node) noexcept {
    const char* const name = names.name != nullptr ? names.name(names.self, node) : nullptr;
    if (name != nullptr) return Add(name);
    char number[16];
    std::snprintf(number, sizeof number, "%u", node);
    Add(number);
  }
  const char* Get() const noexcept { return text_; }

 private:
  char text_[kPathBytesMax] = {};
  std::size_t length_ = 0;
};

}  // namespace

Result<DependencyTable> BuildDependencyTable(std::uint32_t nodeCount, std::span<const DependencyEdge> edges,
                                             arenas::Arena& memory) noexcept {
  if (nodeCount > kCountMax || edges.size() > kCountMax) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "%u nodes with %zu dependencies: fewer than 2^32 - 1 of each are possible",
                         nodeCount, edges.size());
  }
  for (const DependencyEdge& edge : edges) {
    if (edge.dependent >= nodeCount || edge.dependency >= nodeCount) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "dependency %zu of %zu leads from node %u to node %u; there are %u nodes",
                           static_cast<std::size_t>(&edge - edges.data()), edges.size(), edge.dependent,
                           edge.dependency, nodeCount);
    }
  }
  const std::size_t nodes = nodeCount;
  const std::size_t bytes =
      ArenaBytes((nodes + 2) * sizeof(std::uint32_t)) + ArenaBytes(edges.size() * sizeof(std::uint32_t));
  if (bytes > memory.RemainingBytes()) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "a table of %u nodes and %zu dependencies takes %zu B; arena '%s' has %zu B left",
                         nodeCount, edges.size(), bytes, memory.Name(), memory.RemainingBytes());
  }
  // Counting sort. Rows are counted two places on, so that filling, which moves every begin to its end,
  // leaves begin[i] at the begin of row i.
  const std::span<std::uint32_t> counts = memory.NewArray<std::uint32_t>(nodes + 2);
  const std::span<std::uint32_t> targets = memory.NewArray<std::uint32_t>(edges.size());
  for (const DependencyEdge& edge : edges) ++counts[edge.dependent + 2];
  for (std::size_t row = 2; row < counts.size(); ++row) counts[row] += counts[row - 1];
  for (const DependencyEdge& edge : edges) targets[counts[edge.dependent + 1]++] = edge.dependency;
  return DependencyTable{.begin = counts.first(nodes + 1), .targets = targets};
}

std::size_t CleanupOrder::CalculateBytes(std::uint32_t nodesMax) noexcept {
  return ArenaBytes(nodesMax) + 4 * ArenaBytes(std::size_t{nodesMax} * sizeof(std::uint32_t));
}

CleanupOrder::CleanupOrder(arenas::Arena& memory, std::uint32_t nodesMax) noexcept
    : marks_(memory.NewArray<std::uint8_t>(nodesMax)),
      callNode_(memory.NewArray<std::uint32_t>(nodesMax)),
      callCursor_(memory.NewArray<std::uint32_t>(nodesMax)),
      sorted_(memory.NewArray<std::uint32_t>(nodesMax)),
      order_(memory.NewArray<std::uint32_t>(nodesMax)) {}

Result<void> CleanupOrder::Check(const DependencyTable& table,
                                 std::span<const std::uint8_t> isRemoved) const noexcept {
  const std::uint32_t nodes = table.NodeCount();
  if (nodes > NodesMax()) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "%u nodes to order, room for %u; raise the nodesMax that CleanupOrder was given",
                         nodes, NodesMax());
  }
  if (!isRemoved.empty() && isRemoved.size() < nodes) {
    return Error::Format(ErrorCode::InvalidArgument, "%zu marks of removal for %u nodes", isRemoved.size(),
                         nodes);
  }
  for (std::uint32_t node = 0; node < nodes; ++node) {
    if (table.begin[node] > table.begin[node + 1] || table.begin[node + 1] > table.targets.size()) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "the dependencies of node %u stand at %u to %u; there are %zu in all", node,
                           table.begin[node], table.begin[node + 1], table.targets.size());
    }
  }
  for (const std::uint32_t& target : table.targets) {
    if (target >= nodes) {
      return Error::Format(ErrorCode::InvalidArgument, "dependency %zu leads to node %u; there are %u nodes",
                           static_cast<std::size_t>(&target - table.targets.data()), target, nodes);
    }
  }
  return {};
}

Result<void> CleanupOrder::Calculate(const DependencyTable& table, std::span<const std::uint8_t> isRemoved,
                                     const NodeNames& names) noexcept {
  nodeCount_ = 0;
  orderCount_ = 0;
  cycle_ = {};
  STADIAL_RETURN_IF_ERROR(Check(table, isRemoved));
  const std::uint32_t nodes = table.NodeCount();
  cycle_ = OrderByDependencies(table, nodes, {marks_, callNode_, callCursor_}, sorted_);
  if (!cycle_.empty()) return CycleError(names);
  nodeCount_ = nodes;
  for (std::uint32_t i = nodes; i-- > 0;) {
    const std::uint32_t node = sorted_[i];
    if (isRemoved.empty() || isRemoved[node] == 0) order_[orderCount_++] = node;
  }
  return {};
}

Error CleanupOrder::CycleError(const NodeNames& names) const noexcept {
  PathText path;
  for (std::size_t i = 0; i < cycle_.size(); ++i) {
    if (cycle_.size() > 2 * kPathEnd && i == kPathEnd) {
      char text[48];
      std::snprintf(text, sizeof text, "... (%zu more) -> ", cycle_.size() - 2 * kPathEnd);
      path.Add(text);
      i = cycle_.size() - kPathEnd;
    }
    path.AddNode(names, cycle_[i]);
    path.Add(" -> ");
  }
  path.AddNode(names, cycle_[0]);
  if (cycle_.size() == 1)
    return Error::Format(ErrorCode::Invalid, "no order: a node depends on itself: %s", path.Get());
  return Error::Format(ErrorCode::Invalid,
                       "no order: %zu nodes depend on each other in a cycle: %s; take one dependency out",
                       cycle_.size(), path.Get());
}

std::uint32_t CleanupOrder::GetScope(const DependencyTable& table, std::uint32_t node,
                                     std::span<std::uint32_t> scope) noexcept {
  if (node >= nodeCount_) return 0;
  STADIAL_ASSERT_COMPARE(table.NodeCount(), ==, nodeCount_, "not the table of the last Calculate");
  MarkDependents(table, sorted_.first(nodeCount_), node, marks_);
  // Marked nodes that are listed: the removed ones are not.
  std::uint32_t count = 0;
  bool isListed = false;
  for (const std::uint32_t listed : Order()) {
    if (marks_[listed] == 0) continue;
    isListed = isListed || listed == node;
    if (count < scope.size()) scope[count] = listed;
    ++count;
  }
  return isListed ? count : 0;
}

}  // namespace stadial::runtime
