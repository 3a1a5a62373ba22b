// Graphviz text of graph and plan.
#include <string_view>

#include "graph_state.h"

namespace stadial::graph {

namespace {

// Inside a quoted DOT string.
void WriteEscaped(std::string_view text, std::FILE* out) {
  for (const char c : text) {
    if (c == '"' || c == '\\') std::fputc('\\', out);
    std::fputc(c == '\n' ? ' ' : c, out);
  }
}

void WritePosition(const SyncPlan& sync, std::uint32_t position, std::FILE* out) {
  std::fprintf(out, "\\n#%u", position);
  if (!sync.queueOf.empty() && sync.queueOf[position] != kNoQueue)
    std::fprintf(out, "\\nqueue %u, %zu waits", static_cast<unsigned>(sync.queueOf[position]),
                 sync.WaitsAt(position).size());
  if (const std::size_t barriers = sync.BarriersAt(position).size(); barriers != 0)
    std::fprintf(out, "\\n%zu barrier%s", barriers, barriers == 1 ? "" : "s");
}

void WriteNode(const GraphState& s, std::uint32_t node, std::FILE* out) {
  std::fprintf(out, "  n%u [label=\"", node);
  WriteEscaped(s.NameOf(node), out);
  const std::uint32_t position = s.plan == nullptr ? kNotInPlan : s.plan->positionOf[node];
  if (position != kNotInPlan) WritePosition(s.plan->sync, position, out);
  std::fputs("\"", out);
  if (s.plan != nullptr && position == kNotInPlan) std::fputs(", style=dashed", out);
  if (s.nodeStates[node] != NodeState::Ready) std::fputs(", color=red", out);
  std::fputs("];\n", out);
}

void WriteConnection(const GraphState& s, const Connection& c, std::FILE* out) {
  if (c.producer == kNone || c.consumer == kNone) return;
  const auto outputs = s.layouts[c.producer].outputs;
  const auto inputs = s.layouts[c.consumer].inputs;
  if (c.outputSlot >= outputs.size() || c.inputSlot >= inputs.size()) return;
  std::fprintf(out, "  n%u -> n%u [label=\"", c.producer, c.consumer);
  WriteEscaped(outputs[c.outputSlot].name, out);
  std::fputs(" > ", out);
  WriteEscaped(inputs[c.inputSlot].name, out);
  std::fputs("\\n", out);
  WriteEscaped(outputs[c.outputSlot].type->name, out);
  if (s.plan != nullptr) {
    const OutputLifetime lifetime = s.plan->LifetimeOf(c.producer, c.outputSlot);
    if (lifetime.firstPosition != kNotInPlan)
      std::fprintf(out, "\\n#%u..#%u", lifetime.firstPosition, lifetime.lastPosition);
  }
  std::fputs("\"", out);
  if (HasRole(inputs[c.inputSlot].roles, SlotRole::Compile)) std::fputs(", style=bold", out);
  std::fputs("];\n", out);
}

}  // namespace

void RenderGraph::WriteDot(std::FILE* out) const {
  const GraphState& s = *state_;
  std::fputs("digraph \"", out);
  WriteEscaped(s.options.name, out);
  std::fputs("\" {\n  rankdir=LR;\n  node [shape=box];\n", out);
  for (std::uint32_t node = 0; node < s.nodeCount; ++node) WriteNode(s, node, out);
  for (const Connection& connection : s.connections.first(s.connectionCount))
    WriteConnection(s, connection, out);
  std::fputs("}\n", out);
}

}  // namespace stadial::graph
