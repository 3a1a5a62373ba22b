// Transients in the plan: when each is alive, and where it lies. A dry run and a compile run the same packing
// over the same tables, so the budget is exact.
#include <algorithm>
#include <bit>

#include "graph_state.h"
#include "plan_bytes.h"
#include "stadial/runtime/runtime.h"

namespace stadial::graph {

bool IsSound(const TransientRequirement& transient, const SlotLayout& layout) noexcept {
  return std::has_single_bit(transient.alignment) && transient.alignment <= kPackingBytesMax &&
         transient.sizeBytes <= kPackingBytesMax && transient.memoryClass < kMemoryClassesMax &&
         (transient.outputSlot == kUsedWithinNode || transient.outputSlot < layout.outputs.size());
}

std::size_t TransientPlanBytes(std::size_t nodes, const TransientAnalysis& transients) noexcept {
  if (transients.count == 0) return 0;
  return ArenaBytes<std::uint32_t>(nodes + 1) + ArenaBytes<PlanTransient>(transients.count) +
         ArenaBytes<PlanMemoryClass>(transients.classes);
}

// In Setup, as many as the nodes state now; a node gives the same answer each time.
Result<void> GraphState::CarveTransients() {
  std::uint32_t count = 0;
  std::uint32_t holders = 0;
  for (std::uint32_t node = 0; node < nodeCount; ++node) {
    const std::size_t own = instances[node]->GetPreAllocRequirements().transients.size();
    count += static_cast<std::uint32_t>(own);
    holders += own != 0 ? 1 : 0;
  }
  if (count == 0) return {};
  const auto carve = [this]<class T>(std::span<T>& table, std::size_t places) {
    if (table.size() >= places) return true;
    table = setupMemory.TryNewArray<T>(places);
    return table.size() >= places;
  };
  const bool isCarved = carve(scratch.transientNodes, holders) && carve(scratch.transients, count) &&
                        carve(scratch.transientOffsets, count) &&
                        carve(scratch.outputLast, outputBase[nodeCount]) &&
                        carve(scratch.packing, PackLifetimesBytes(count));
  if (!isCarved) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "graph '%s': no Setup memory left for the tables of %u transients (%zu B left of "
                         "%zu B); raise RuntimeOptions::setupBytes",
                         options.name, count, setupMemory.RemainingBytes(), setupMemory.CapacityBytes());
  }
  holders = 0;
  for (std::uint32_t node = 0; node < nodeCount; ++node) {
    if (!instances[node]->GetPreAllocRequirements().transients.empty())
      scratch.transientNodes[holders++] = node;
  }
  scratch.transientNodes = scratch.transientNodes.first(holders);
  return {};
}

// After Analyze. Time is the position in the order, or the wave where execution is in waves: nodes of one
// wave run at once, so what is alive in the same wave is alive at once.
Result<void> GraphState::PackTransients(Analysis& analysis) const {
  TransientAnalysis& found = analysis.transients;
  if (scratch.transientNodes.empty() || !analysis.isAcyclic) return {};
  const std::span<const std::uint32_t> time = analysis.waves != 0 ? scratch.wave : scratch.position;
  std::fill(scratch.outputLast.begin(), scratch.outputLast.end(), 0u);
  for (std::uint32_t node = 0; node < nodeCount; ++node) {
    if (scratch.position[node] == kNone) continue;
    for (const SortedEdge& edge : EdgesInto(node)) {
      std::uint32_t& last = scratch.outputLast[edge.graphOutput];
      last = std::max(last, time[node]);
    }
  }
  // What an output changes in place is read by its readers, too: consumers before producers.
  for (std::uint32_t i = nodeCount; i-- > 0;) {
    const std::uint32_t node = scratch.order[i];
    if (scratch.position[node] == kNone) continue;
    for (std::uint32_t slot = 0; slot < layouts[node].outputs.size(); ++slot) {
      const std::uint32_t source = InplaceSource(node, layouts[node].outputs[slot]);
      if (source == kNone) continue;
      std::uint32_t& last = scratch.outputLast[source];
      last = std::max(last, scratch.outputLast[outputBase[node] + slot]);
    }
  }
  for (const std::uint32_t node : scratch.transientNodes) {
    if (scratch.position[node] == kNone) continue;
    for (const TransientRequirement& transient : instances[node]->GetPreAllocRequirements().transients) {
      if (found.count == scratch.transients.size() || !IsSound(transient, layouts[node])) {
        return Error::Format(ErrorCode::Invalid,
                             "graph '%s': node '%s' has transients that cannot be, or others than at Setup; "
                             "RenderGraph::Validate lists them",
                             options.name, NameOf(node));
      }
      ++found.count;
      ++found.byClass[transient.memoryClass].transients;
    }
  }
  std::array<std::uint32_t, kMemoryClassesMax> next{};
  std::uint32_t sum = 0;
  for (std::uint32_t i = 0; i < kMemoryClassesMax; ++i) {
    next[i] = sum;
    sum += found.byClass[i].transients;
  }
  for (const std::uint32_t node : scratch.transientNodes) {
    if (scratch.position[node] == kNone) continue;
    for (const TransientRequirement& transient : instances[node]->GetPreAllocRequirements().transients) {
      const std::uint32_t last = transient.outputSlot == kUsedWithinNode
                                     ? 0
                                     : scratch.outputLast[outputBase[node] + transient.outputSlot];
      scratch.transients[next[transient.memoryClass]++] = {time[node], std::max(time[node], last),
                                                           transient.sizeBytes, transient.alignment};
    }
  }
  arenas::Arena packing("packing of transients", scratch.packing.data(), scratch.packing.size());
  for (std::uint32_t i = 0; i < kMemoryClassesMax; ++i) {
    PlanMemoryClass& shared = found.byClass[i];
    if (shared.transients == 0) continue;
    const std::uint32_t begin = next[i] - shared.transients;
    auto packed = PackLifetimes(scratch.transients.subspan(begin, shared.transients),
                                scratch.transientOffsets.subspan(begin, shared.transients), packing);
    if (!packed) {
      return Error::Format(packed.GetError().Code(), "graph '%s': transients of memory class %u: %.300s",
                           options.name, i, packed.GetError().Message());
    }
    shared.memoryClass = i;
    shared.totalBytes = packed->totalBytes;
    shared.boundBytes = packed->boundBytes;
    shared.unaliasedBytes = packed->unaliasedBytes;
    found.totalBytes += packed->totalBytes;
    found.boundBytes += packed->boundBytes;
    found.unaliasedBytes += packed->unaliasedBytes;
    ++found.classes;
  }
  return {};
}

void GraphState::FillTransients(CompiledPlan& built, arenas::Arena& memory, const Analysis& analysis) const {
  const TransientAnalysis& found = analysis.transients;
  if (found.count == 0) return;
  const auto begins = memory.NewArrayUninitialized<std::uint32_t>(nodeCount + 1);
  const auto transients = memory.NewArrayUninitialized<PlanTransient>(found.count);
  const auto classes = memory.NewArrayUninitialized<PlanMemoryClass>(found.classes);
  std::array<std::uint32_t, kMemoryClassesMax> next{};
  std::uint32_t sum = 0;
  std::uint32_t classCount = 0;
  for (std::uint32_t i = 0; i < kMemoryClassesMax; ++i) {
    next[i] = sum;
    sum += found.byClass[i].transients;
    if (found.byClass[i].transients != 0) classes[classCount++] = found.byClass[i];
  }
  std::uint32_t count = 0;
  std::uint32_t node = 0;
  for (const std::uint32_t holder : scratch.transientNodes) {
    while (node <= holder) begins[node++] = count;
    if (scratch.position[holder] == kNone) continue;
    for (const TransientRequirement& transient : instances[holder]->GetPreAllocRequirements().transients) {
      const std::uint32_t place = next[transient.memoryClass]++;
      const LifetimeItem& item = scratch.transients[place];
      transients[count++] = {scratch.transientOffsets[place], item.sizeBytes, transient.memoryClass,
                             item.first, item.last};
    }
  }
  while (node <= nodeCount) begins[node++] = count;
  built.transientBegin = begins;
  built.transients = transients;
  built.memoryClasses = classes;
}

}  // namespace stadial::graph
