// The validation pass (G4). Every check runs, whatever the others found; each is linear in nodes and
// connections.
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "graph_state.h"
#include "node_survey.h"
#include "plan_accesses.h"
#include "plan_bytes.h"

namespace stadial::graph {

namespace {

class FaultList {
 public:
  explicit FaultList(std::span<Fault> faults) : faults_(faults) {}

  [[gnu::format(printf, 5, 6)]] void Add(FaultKind kind, NodeHandle node, const char* slot,
                                         const char* format, ...) {
    if (count_ < faults_.size()) {
      Fault& fault = faults_[count_];
      fault.kind = kind;
      fault.node = node;
      fault.slot = slot;
      va_list arguments;
      va_start(arguments, format);
      std::vsnprintf(fault.text, sizeof(fault.text), format, arguments);
      va_end(arguments);
    }
    ++count_;
  }
  // One that is only counted: as many have been kept already as the list holds.
  void AddUnseen() { ++count_; }
  bool IsFull() const { return count_ >= faults_.size(); }
  ValidationReport Report() const {
    return {.faults = faults_.first(std::min<std::size_t>(count_, faults_.size())), .totalCount = count_};
  }

 private:
  std::span<Fault> faults_;
  std::uint32_t count_ = 0;
};

int Length(std::string_view text) { return static_cast<int>(text.size()); }

}  // namespace

// One check per method, all over the same state and list.
class GraphValidator {
 public:
  GraphValidator(const GraphState& state, FaultList& faults) : s_(state), faults_(faults) {}

  void CheckRefusals() {
    const Refusals& r = s_.refusals;
    if (r.nodesAfterSetup > 0) {
      faults_.Add(FaultKind::CapacityShortfall, {}, "",
                  "%u nodes (first: '%s') came after Runtime::SealSetup; add nodes before it",
                  r.nodesAfterSetup, r.firstNode);
    }
    if (r.nodesOverTable > 0) {
      faults_.Add(FaultKind::CapacityShortfall, {}, "",
                  "%u nodes (first: '%s') did not fit beside %u; raise GraphOptions::nodesMax to %u",
                  r.nodesOverTable, r.firstNode, s_.options.nodesMax, s_.options.nodesMax + r.nodesOverTable);
    }
    if (r.nodesOverMemory > 0) {
      faults_.Add(FaultKind::CapacityShortfall, {}, "",
                  "%u nodes (first: '%s') of %zu B found no Setup memory (%zu B left); raise "
                  "RuntimeOptions::setupBytes",
                  r.nodesOverMemory, r.firstNode, r.memoryBytes, s_.setupMemory.RemainingBytes());
    }
    if (r.connectionsAfterSetup > 0) {
      faults_.Add(FaultKind::CapacityShortfall, {}, "",
                  "%u connections came after Runtime::SealSetup; connect before it", r.connectionsAfterSetup);
    }
    if (r.connectionsOverTable > 0) {
      faults_.Add(FaultKind::CapacityShortfall, {}, "",
                  "%u connections did not fit beside %u; raise GraphOptions::connectionsMax to %u",
                  r.connectionsOverTable, s_.options.connectionsMax,
                  s_.options.connectionsMax + r.connectionsOverTable);
    }
  }

  void CheckConnections() {
    if (s_.connected.faulty == 0) return;
    for (std::uint32_t i = 0; i < s_.connectionCount; ++i) {
      if (s_.connections[i].hasFault) CheckConnection(i, s_.connections[i]);
    }
  }

  void CheckInputs() {
    for (std::uint32_t node = 0; node < s_.nodeCount; ++node) {
      const std::span<const SlotDescription> inputs = s_.layouts[node].inputs;
      for (std::uint32_t slot = 0; slot < inputs.size(); ++slot) {
        const std::uint32_t begin = s_.scratch.inputBegin[s_.inputBase[node] + slot];
        const std::uint32_t count = s_.scratch.inputBegin[s_.inputBase[node] + slot + 1] - begin;
        if (inputs[slot].mode == SlotMode::Array) continue;
        if (count > 1) {
          const SortedEdge& first = s_.scratch.edges[begin];
          const SortedEdge& second = s_.scratch.edges[begin + 1];
          faults_.Add(FaultKind::DoublyWritten, HandleOf(node), inputs[slot].name,
                      "'%s'.%s takes one connection and has %u, from '%s'.%s and '%s'.%s; remove one or make "
                      "it SlotMode::Array",
                      s_.NameOf(node), inputs[slot].name, count, s_.NameOf(first.producer), OutputName(first),
                      s_.NameOf(second.producer), OutputName(second));
        } else if (count == 0 && inputs[slot].mode == SlotMode::Single) {
          faults_.Add(
              FaultKind::MissingInput, HandleOf(node), inputs[slot].name,
              "'%s'.%s (%.*s) is required and not connected; connect it or make it SlotMode::Optional",
              s_.NameOf(node), inputs[slot].name, Length(inputs[slot].type->name),
              inputs[slot].type->name.data());
        }
      }
    }
  }

  void CheckNames() {
    for (const DuplicateName& names :
         s_.duplicates.first(std::min<std::size_t>(s_.duplicateCount, s_.duplicates.size()))) {
      faults_.Add(FaultKind::DuplicateName, HandleOf(names.second), "",
                  "nodes %u and %u are both named '%s'; names must be unique", names.first, names.second,
                  s_.NameOf(names.second));
    }
    for (std::size_t i = s_.duplicates.size(); i < s_.duplicateCount; ++i) faults_.AddUnseen();
  }

  // Components of more than one node are the cycles; their members stand together in the order.
  void CheckCycles(const Analysis& analysis) {
    if (analysis.isAcyclic) return;
    const std::span<const std::uint32_t> order = s_.scratch.order.first(s_.nodeCount);
    for (std::size_t begin = 0; begin < order.size();) {
      std::size_t end = begin + 1;
      while (end < order.size() && s_.scratch.component[order[end]] == s_.scratch.component[order[begin]])
        ++end;
      if (end - begin > 1) ReportCycle(order.subspan(begin, end - begin));
      begin = end;
    }
  }

  // Walks again what the analysis has walked, now that there is something to say.
  void CheckAccesses(const Analysis& analysis) {
    if (analysis.accessesMissing != 0) {
      faults_.Add(
          FaultKind::CapacityShortfall, {}, "",
          "the nodes use GPU resources %u times, which is more than the %zu that Setup has seen; call "
          "RenderGraph::Setup again before SealSetup",
          analysis.accessesMissing, s_.sync.accesses.size());
    }
    if (analysis.accessConflicts == 0) return;
    s_.ResolveInplace([this](std::uint32_t node, std::uint32_t slot, std::uint32_t other) {
      const SlotDescription& output = s_.layouts[node].outputs[slot];
      faults_.Add(FaultKind::DoublyWritten, HandleOf(node), output.name,
                  "'%s'.%s changes in place what '%s' changes already; connect it behind '%s'",
                  s_.NameOf(node), output.name, s_.NameOf(other), s_.NameOf(other));
    });
    s_.CollectAccesses([this](std::uint32_t node, const char* slot, std::uint32_t resource) {
      const std::uint32_t place = s_.sync.accessOf[resource];
      faults_.Add(
          FaultKind::LayoutMismatch, HandleOf(node), slot,
          "'%s'.%s uses an image that '%s' uses in layout '%s' already, in another; a node can have an "
          "image in one layout only, General serves all",
          s_.NameOf(node), slot, s_.NameOf(node), ToString(s_.sync.accesses[place].access.layout));
    });
  }

  void CheckRequirements(std::uint32_t node, const PreAllocRequirements& stated,
                         std::span<const DescriptorSetRequirement> descriptorSets,
                         std::uint32_t replayPeriod) {
    CheckSlotCount(node, "input", stated.inputSlotCount, s_.inputBase[node + 1] - s_.inputBase[node]);
    CheckSlotCount(node, "output", stated.outputSlotCount, s_.outputBase[node + 1] - s_.outputBase[node]);
    CheckDescriptors(node, descriptorSets, stated.descriptorSetCount);
    CheckTransients(node, stated.transients);
    if (replayPeriod == 0) {
      faults_.Add(FaultKind::ReplayPeriod, HandleOf(node), "",
                  "'%s' gives a ReplayPeriod of 0; the least is 1", s_.NameOf(node));
    }
  }

  void CheckTransients(std::uint32_t node, std::span<const TransientRequirement> transients) {
    for (const TransientRequirement& transient : transients) {
      if (IsSound(transient, s_.layouts[node])) continue;
      faults_.Add(
          FaultKind::TransientMismatch, HandleOf(node), "",
          "'%s': transient '%.48s' has %llu B aligned to %llu, memory class %u and output slot %d; the "
          "alignment must be a power of two, the class below %u, the slot one of the node's %zu or "
          "kUsedWithinNode",
          s_.NameOf(node), transient.debugName, static_cast<unsigned long long>(transient.sizeBytes),
          static_cast<unsigned long long>(transient.alignment), transient.memoryClass,
          static_cast<int>(transient.outputSlot), kMemoryClassesMax, s_.layouts[node].outputs.size());
    }
  }

  void CheckReplayPeriod(const NodeSurvey& survey) {
    if (survey.replayPeriod > s_.options.replayPeriodMax) {
      faults_.Add(
          FaultKind::ReplayPeriod, {}, "",
          "the nodes' replay periods have a common period of more than %u frames; align them or raise "
          "GraphOptions::replayPeriodMax",
          s_.options.replayPeriodMax);
    }
  }

  void CheckCapacities(const Analysis& analysis, const NodeSurvey& survey) {
    const PlanBudget budget = s_.CalculateBudget(analysis, survey);
    if (budget.compileBytes > budget.compileBytesAvailable) {
      faults_.Add(
          FaultKind::CapacityShortfall, {}, "",
          "the plan takes %zu B, a half of Compile memory has %zu B; raise RuntimeOptions::compileBytes",
          budget.compileBytes, budget.compileBytesAvailable);
    }
    if (budget.frameBytes > budget.frameBytesAvailable) {
      faults_.Add(FaultKind::CapacityShortfall, {}, "",
                  "the nodes state %zu B of frame memory, a frame lane has %zu B; raise "
                  "RuntimeOptions::frameLaneBytes",
                  budget.frameBytes, budget.frameBytesAvailable);
    }
    const std::size_t events = s_.runtime.Events().GetStats().capacity;
    if (budget.eventCapacity > events) {
      faults_.Add(FaultKind::CapacityShortfall, {}, "",
                  "the nodes' events need room for %zu, the event bus has %zu; call "
                  "RenderGraph::Setup again before SealSetup",
                  budget.eventCapacity, events);
    }
  }

 private:
  NodeHandle HandleOf(std::uint32_t node) const { return s_.instances[node]->Handle(); }
  const char* OutputName(const SortedEdge& edge) const {
    return s_.layouts[edge.producer].outputs[edge.outputSlot].name;
  }

  void CheckConnection(std::uint32_t index, const Connection& c) {
    if (c.producer == kNone || c.consumer == kNone) {
      faults_.Add(FaultKind::DanglingConnection, c.consumer == kNone ? NodeHandle{} : HandleOf(c.consumer),
                  "", "connection %u, from %s%s%s output %u to %s%s%s input %u: %s is null or stale", index,
                  c.producer == kNone ? "no node" : "'", c.producer == kNone ? "" : s_.NameOf(c.producer),
                  c.producer == kNone ? "" : "'", c.outputSlot, c.consumer == kNone ? "no node" : "'",
                  c.consumer == kNone ? "" : s_.NameOf(c.consumer), c.consumer == kNone ? "" : "'",
                  c.inputSlot, c.producer == kNone ? "the producer's handle" : "the consumer's handle");
      return;
    }
    const std::span<const SlotDescription> outputs = s_.layouts[c.producer].outputs;
    const std::span<const SlotDescription> inputs = s_.layouts[c.consumer].inputs;
    if (c.outputSlot >= outputs.size() || c.inputSlot >= inputs.size()) {
      const bool isOutput = c.outputSlot >= outputs.size();
      faults_.Add(FaultKind::DanglingConnection, HandleOf(isOutput ? c.producer : c.consumer), "",
                  "connection %u from '%s' to '%s': '%s' has no %s %u, it has %zu of them", index,
                  s_.NameOf(c.producer), s_.NameOf(c.consumer), s_.NameOf(isOutput ? c.producer : c.consumer),
                  isOutput ? "output" : "input", isOutput ? c.outputSlot : c.inputSlot,
                  isOutput ? outputs.size() : inputs.size());
      return;
    }
    const SlotDescription& output = outputs[c.outputSlot];
    const SlotDescription& input = inputs[c.inputSlot];
    if (c.producer == c.consumer) {
      faults_.Add(FaultKind::SelfEdge, HandleOf(c.consumer), input.name,
                  "'%s'.%s feeds its own node's %s; read the last value from a history",
                  s_.NameOf(c.producer), output.name, input.name);
    }
    if (!SameType(*output.type, *input.type)) {
      faults_.Add(FaultKind::TypeMismatch, HandleOf(c.consumer), input.name,
                  "'%s'.%s is %.*s, but '%s'.%s takes %.*s", s_.NameOf(c.producer), output.name,
                  Length(output.type->name), output.type->name.data(), s_.NameOf(c.consumer), input.name,
                  Length(input.type->name), input.type->name.data());
    }
    if (HasRole(input.roles, SlotRole::Compile) && !HasRole(output.roles, SlotRole::Compile)) {
      faults_.Add(FaultKind::RoleMismatch, HandleOf(c.consumer), input.name,
                  "'%s'.%s is read in Compile, but '%s'.%s is written in Execute only; give the output "
                  "SlotRole::Compile",
                  s_.NameOf(c.consumer), input.name, s_.NameOf(c.producer), output.name);
    }
  }

  void CheckSlotCount(std::uint32_t node, const char* direction, std::uint32_t stated, std::uint32_t actual) {
    if (stated == 0 || stated == actual) return;
    faults_.Add(FaultKind::SlotMismatch, HandleOf(node), "", "'%s' states %u %s slots, its config has %u",
                s_.NameOf(node), stated, direction, actual);
  }

  void CheckDescriptors(std::uint32_t node, std::span<const DescriptorSetRequirement> sets,
                        std::uint32_t stated) {
    std::uint32_t total = 0;
    for (std::size_t i = 0; i < sets.size(); ++i) {
      total += sets[i].setCount;
      for (std::size_t j = 0; j < i; ++j) {
        if (sets[j].setIndex != sets[i].setIndex) continue;
        faults_.Add(FaultKind::DescriptorMismatch, HandleOf(node), "",
                    "'%s': layouts '%s' and '%s' both claim set %u", s_.NameOf(node), sets[j].debugName,
                    sets[i].debugName, sets[i].setIndex);
      }
      if (sets[i].setCount == 0) {
        faults_.Add(FaultKind::DescriptorMismatch, HandleOf(node), "", "'%s': layout '%s' asks for 0 sets",
                    s_.NameOf(node), sets[i].debugName);
      }
      CheckBindings(node, sets[i]);
    }
    if (stated != 0 && stated < total) {
      faults_.Add(FaultKind::DescriptorMismatch, HandleOf(node), "",
                  "'%s' states %u descriptor sets, its layouts need %u", s_.NameOf(node), stated, total);
    }
  }

  void CheckBindings(std::uint32_t node, const DescriptorSetRequirement& set) {
    for (std::size_t i = 0; i < set.bindings.size(); ++i) {
      const DescriptorBinding& binding = set.bindings[i];
      if (binding.count == 0 || static_cast<std::uint32_t>(binding.type) >= kDescriptorTypeCount) {
        faults_.Add(FaultKind::DescriptorMismatch, HandleOf(node), "",
                    "'%s': layout '%s' binding %u has count %u and type %u (%s)", s_.NameOf(node),
                    set.debugName, binding.binding, binding.count, static_cast<std::uint32_t>(binding.type),
                    ToString(binding.type));
      }
      for (std::size_t j = 0; j < i; ++j) {
        if (set.bindings[j].binding != binding.binding) continue;
        faults_.Add(FaultKind::DescriptorMismatch, HandleOf(node), "",
                    "'%s': layout '%s' declares binding %u twice", s_.NameOf(node), set.debugName,
                    binding.binding);
      }
    }
  }

  void ReportCycle(std::span<const std::uint32_t> members);

  const GraphState& s_;
  FaultList& faults_;
};

// A shortest path around the cycle through its first node, found breadth-first against the edges, in the
// direction of the data. Long ones are cut in the middle of the text, with the number of nodes left out.
void GraphValidator::ReportCycle(std::span<const std::uint32_t> members) {
  const std::uint32_t start = *std::min_element(members.begin(), members.end());
  if (faults_.IsFull()) {
    faults_.AddUnseen();
    return;
  }
  const std::uint32_t component = s_.scratch.component[start];
  const std::span<std::uint32_t> next = s_.scratch.callNode;  // by node: the node it feeds on the path
  const std::span<std::uint32_t> queue = s_.scratch.callCursor;
  const std::span<std::uint8_t> isSeen = s_.scratch.marks;
  for (const std::uint32_t member : members) isSeen[member] = 0;
  std::size_t head = 0;
  std::size_t tail = 0;
  queue[tail++] = start;
  std::uint32_t last = kNone;  // the node that start feeds and that leads back to it
  while (last == kNone) {
    const std::uint32_t node = queue[head++];
    for (const SortedEdge& edge : s_.EdgesInto(node)) {
      const std::uint32_t producer = edge.producer;
      if (producer == start) {
        last = node;
        break;
      }
      if (s_.scratch.component[producer] != component || isSeen[producer] != 0) continue;
      isSeen[producer] = 1;
      next[producer] = node;
      queue[tail++] = producer;
    }
  }
  std::uint32_t length = 2;
  for (std::uint32_t node = last; next[node] != start; node = next[node]) ++length;

  char path[160];
  std::size_t used = 0;
  const auto append = [&](const char* name) {
    const int written = std::snprintf(path + used, sizeof(path) - used, "'%.24s' -> ", name);
    used = std::min(used + static_cast<std::size_t>(written), sizeof(path) - 1);
  };
  append(s_.NameOf(start));
  std::uint32_t shown = 1;
  for (std::uint32_t node = last; node != start; node = next[node], ++shown) {
    if (shown < 4 || shown == length - 1) {
      append(s_.NameOf(node));
    } else if (shown == 4) {
      const int written = std::snprintf(path + used, sizeof(path) - used, "(%u more) -> ", length - 5);
      used = std::min(used + static_cast<std::size_t>(written), sizeof(path) - 1);
    }
  }
  const auto into = s_.EdgesInto(last);
  const auto closing = std::find_if(into.begin(), into.end(),
                                    [start](const SortedEdge& edge) { return edge.producer == start; });
  faults_.Add(FaultKind::Cycle, HandleOf(last), s_.layouts[last].inputs[closing->inputSlot].name,
              "%s'%.24s': %u nodes in a circle%s; break one connection", path, s_.NameOf(start), length,
              members.size() > length ? ", others tangled with it" : "");
}

ValidationReport GraphState::Validate(const Analysis& analysis) const {
  FaultList list(faults);
  GraphValidator validator(*this, list);
  validator.CheckRefusals();
  validator.CheckConnections();
  validator.CheckInputs();
  validator.CheckNames();
  validator.CheckCycles(analysis);
  validator.CheckAccesses(analysis);
  const NodeSurvey survey = SurveyNodes([&validator](std::uint32_t node, const PreAllocRequirements& stated,
                                                     std::span<const DescriptorSetRequirement> descriptorSets,
                                                     std::uint32_t period) {
    validator.CheckRequirements(node, stated, descriptorSets, period);
  });
  validator.CheckReplayPeriod(survey);
  validator.CheckCapacities(analysis, survey);
  return list.Report();
}

Result<ValidationReport> RenderGraph::Validate() const noexcept {
  STADIAL_RETURN_IF_ERROR(state_->RequireSetUp("RenderGraph::Validate"));
  return state_->Validate(state_->Analyze());
}

}  // namespace stadial::graph
