#pragma once

#include <algorithm>
#include <cstdint>

#include "graph_state.h"

namespace stadial::graph {

// Fills `resourceOf`; conflict(node, slot, other) for each output slot that changes in place what `other`
// changes already.
template <class Conflict>
void GraphState::ResolveInplace(Conflict&& conflict) const {
  const std::uint32_t outputs = outputBase[nodeCount];
  for (std::uint32_t i = 0; i < outputs; ++i) sync.resourceOf[i] = i;
  if (!sync.hasInplace) return;
  std::fill_n(sync.changedBy.begin(), outputs, kNone);
  for (const std::uint32_t node : scratch.order.first(nodeCount)) {
    if (scratch.position[node] == kNone) continue;
    const std::span<const SlotDescription> slots = layouts[node].outputs;
    for (std::uint32_t slot = 0; slot < slots.size(); ++slot) {
      const std::uint32_t source = InplaceSource(node, slots[slot]);
      if (source == kNone) continue;
      sync.resourceOf[outputBase[node] + slot] = sync.resourceOf[source];
      if (!slots[slot].access.Writes()) continue;
      if (sync.changedBy[source] != kNone) conflict(node, slot, sync.changedBy[source]);
      sync.changedBy[source] = node;
    }
  }
}

// Calls visit(node, name of the slot, resource, access) for all that the live nodes use, in execution order.
template <class Visit>
void GraphState::ForEachAccess(Visit&& visit) const {
  for (const std::uint32_t node : scratch.order.first(nodeCount)) {
    if (scratch.position[node] == kNone) continue;
    const SlotLayout& layout = layouts[node];
    for (const SortedEdge& edge : EdgesInto(node)) {
      const SlotDescription& input = layout.inputs[edge.inputSlot];
      if (!input.access.IsNone()) visit(node, input.name, sync.resourceOf[edge.graphOutput], input.access);
    }
    for (std::uint32_t slot = 0; slot < layout.outputs.size(); ++slot) {
      const SlotDescription& output = layout.outputs[slot];
      if (!output.access.IsNone())
        visit(node, output.name, sync.resourceOf[outputBase[node] + slot], output.access);
    }
    if (sync.sideAccesses == 0) continue;
    for (const SideAccess& side : instances[node]->GetSideAccesses()) {
      if (!IsCurrent(side.node) || side.outputSlot >= layouts[side.node.index].outputs.size()) continue;
      if (!side.access.IsNone())
        visit(node, layouts[side.node.index].outputs[side.outputSlot].name,
              sync.resourceOf[outputBase[side.node.index] + side.outputSlot], side.access);
    }
  }
}

// Gathers one access per position and resource into `accesses`; conflict(node, slot, resource) where a node
// wants one image in two layouts. Returns their number, which may exceed the table; no more than fit are
// kept.
template <class Conflict>
std::uint32_t GraphState::CollectAccesses(Conflict&& conflict) const {
  std::uint32_t count = 0;
  ForEachAccess([&](std::uint32_t node, const char* slot, std::uint32_t resource, const Access& access) {
    const std::uint32_t position = scratch.position[node];
    const std::uint32_t place = sync.accessOf[resource];
    if (place < std::min<std::size_t>(count, sync.accesses.size()) &&
        sync.accesses[place].resource == resource && sync.accesses[place].position == position) {
      Access& merged = sync.accesses[place].access;
      const bool isAny = merged.layout == ImageLayout::Any;
      if (!isAny && access.layout != ImageLayout::Any && access.layout != merged.layout)
        conflict(node, slot, resource);
      merged = isAny ? access | merged : merged | access;
    } else {
      if (count < sync.accesses.size()) {
        sync.accessOf[resource] = count;
        sync.accesses[count] = {position, resource, access};
      }
      ++count;
    }
  });
  return count;
}

}  // namespace stadial::graph
