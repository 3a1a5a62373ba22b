// What RenderGraph::Validate finds: every fault at once, each with node, slot and reason, in bounded memory.
// Beyond GraphOptions::faultsMax faults only the count goes on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/arenas/result.h"
#include "stadial/graph/node.h"

namespace stadial::graph {

enum class FaultKind : std::uint8_t {
  Cycle,               // the nodes of the cycle are in the text, one path around it
  SelfEdge,            // a node connected to itself
  DanglingConnection,  // an end of a connection names no node or no slot
  TypeMismatch,        // an untyped connection between different types
  RoleMismatch,        // read in Compile, but written only in Execute
  DoublyWritten,       // two connections into an input that takes one, or two nodes that change one output
  MissingInput,        // a Single input without a connection
  DuplicateName,       // two nodes of one name
  CapacityShortfall,   // a table, arena or queue is too small; the text has the numbers
  SlotMismatch,        // stated requirements contradict the slot config
  DescriptorMismatch,  // a descriptor layout contradicts itself
  ReplayPeriod,        // a period of 0, or a common period beyond the limit
  LayoutMismatch,      // a node uses one image in two layouts at once
  TransientMismatch,   // a transient's alignment, size, memory class or output slot cannot be
};
const char* ToString(FaultKind kind) noexcept;

inline constexpr std::size_t kFaultTextBytesMax = 256;

struct Fault {
  FaultKind kind = FaultKind::Cycle;
  NodeHandle node;                     // null: the graph as a whole
  const char* slot = "";               // the slot's name, empty when no slot is concerned
  char text[kFaultTextBytesMax] = {};  // the whole message: node, slot, reason, numbers, remedy
};

// Spans into the graph's own table: valid until the next Validate or Compile.
struct ValidationReport {
  std::span<const Fault> faults;  // at most GraphOptions::faultsMax
  std::uint32_t totalCount = 0;   // all of them

  bool IsValid() const noexcept { return totalCount == 0; }
  // Ok, or one Error (Invalid) that gives the number of faults and the texts of the first ones.
  arenas::Result<void> ToResult(const char* graphName) const noexcept;
};

}  // namespace stadial::graph
