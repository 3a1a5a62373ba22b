// Construction, nodes, connections, and the accessors.
#include "stadial/graph/render_graph.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "byte_rounding.h"
#include "graph_state.h"

namespace stadial::graph {

namespace {

GraphOptions Resolve(const GraphOptions& options) noexcept {
  GraphOptions resolved = options;
  if (resolved.connectionsMax == 0) resolved.connectionsMax = resolved.nodesMax * 4;
  if (resolved.resourcesMax == 0) resolved.resourcesMax = resolved.nodesMax * 2;
  if (resolved.faultsMax == 0) resolved.faultsMax = 1;
  return resolved;
}

std::size_t NameTableSize(std::size_t nodes) noexcept { return std::bit_ceil(nodes * 2 + 1); }

std::uint32_t HashName(const char* text) noexcept {
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a
  for (; *text != '\0'; ++text) hash = (hash ^ static_cast<unsigned char>(*text)) * 1099511628211u;
  return static_cast<std::uint32_t>(hash ^ (hash >> 32));
}

std::size_t StateBytesFor(const GraphOptions& o) noexcept {
  const std::size_t nodes = o.nodesMax;
  return ResourceTable::BytesFor(o.resourcesMax) + ArenaBytes<NodeInstance*>(nodes) +
         2 * ArenaBytes<ExecuteEntry>(nodes) +  // callbacks, entries
         ArenaBytes<SlotLayout>(nodes) + ArenaBytes<std::byte*>(nodes) +
         2 * ArenaBytes<std::uint32_t>(nodes + 1) +  // inputBase, outputBase
         ArenaBytes<TimelineNode*>(nodes) + ArenaBytes<NodeState>(nodes) +
         2 * ArenaBytes<std::uint8_t>(nodes) +  // failures, isPending
         ArenaBytes<std::uint32_t>(nodes) +     // pending
         ArenaBytes<std::uint64_t>((nodes + 63) / 64) + ArenaBytes<Connection>(o.connectionsMax) +
         ArenaBytes<NameEntry>(NameTableSize(nodes)) + ArenaBytes<DuplicateName>(o.faultsMax) +
         ArenaBytes<Fault>(o.faultsMax) + ArenaBytes(o.compileScratchBytes) +
         ArenaBytes(2 * sizeof(void*) * nodes);  // cleanups
}

}  // namespace

std::size_t RenderGraph::SetupBytesFor(const GraphOptions& options) noexcept {
  // + one alignment: the state is over-aligned for the arena it contains.
  return sizeof(GraphState) + alignof(GraphState) + StateBytesFor(Resolve(options));
}

Result<RenderGraphPtr> RenderGraph::Create(runtime::Runtime& runtime, const GraphOptions& options) noexcept {
  STADIAL_RETURN_IF_ERROR(runtime.Phases().Require(runtime::Phase::Setup, "RenderGraph::Create"));
  arenas::Arena& memory = runtime.SetupArena();
  const std::size_t needed = SetupBytesFor(options) + ArenaBytes(sizeof(RenderGraph));
  if (memory.RemainingBytes() < needed) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "graph '%s' for %u nodes needs %zu B of Setup memory, %zu B are left of %zu B; raise "
        "RuntimeOptions::setupBytes or lower GraphOptions::nodesMax",
        options.name, options.nodesMax, needed, memory.RemainingBytes(), memory.CapacityBytes());
  }
  RenderGraph* graph =
      ::new (memory.Allocate(sizeof(RenderGraph), alignof(RenderGraph))) RenderGraph(runtime, options);
  return RenderGraphPtr(graph, [](RenderGraph* dead) { dead->~RenderGraph(); });
}

GraphState::GraphState(RenderGraph& owner, runtime::Runtime& ownerRuntime, const GraphOptions& graphOptions)
    : graph(owner),
      runtime(ownerRuntime),
      setupMemory(ownerRuntime.SetupArena()),
      options(Resolve(graphOptions)),
      resources(setupMemory, options.resourcesMax) {
  const std::size_t nodes = options.nodesMax;
  instances = setupMemory.NewArray<NodeInstance*>(nodes);
  callbacks = setupMemory.NewArray<ExecuteEntry>(nodes);
  entries = setupMemory.NewArray<ExecuteEntry>(nodes);
  layouts = setupMemory.NewArray<SlotLayout>(nodes);
  outputBlocks = setupMemory.NewArray<std::byte*>(nodes);
  inputBase = setupMemory.NewArray<std::uint32_t>(nodes + 1);
  outputBase = setupMemory.NewArray<std::uint32_t>(nodes + 1);
  timelines = setupMemory.NewArray<TimelineNode*>(nodes);
  nodeStates = setupMemory.NewArray<NodeState>(nodes);
  failures = setupMemory.NewArray<std::uint8_t>(nodes);
  isPending = setupMemory.NewArray<std::uint8_t>(nodes);
  pending = setupMemory.NewArray<std::uint32_t>(nodes);
  passBits = setupMemory.NewArray<std::uint64_t>((nodes + 63) / 64);
  connections = setupMemory.NewArrayUninitialized<Connection>(options.connectionsMax);
  names = setupMemory.NewArrayUninitialized<NameEntry>(NameTableSize(nodes));
  std::fill(names.begin(), names.end(), NameEntry{0, kNone});
  duplicates = setupMemory.NewArrayUninitialized<DuplicateName>(options.faultsMax);
  faults = setupMemory.NewArray<Fault>(options.faultsMax);
  cleanups = CleanupStack(setupMemory, options.nodesMax);
  compileScratch = arenas::Arena(
      {.name = options.name, .kind = "compile scratch", .remedy = "raise GraphOptions::compileScratchBytes"},
      static_cast<std::byte*>(setupMemory.Allocate(options.compileScratchBytes)),
      ArenaBytes(options.compileScratchBytes));
}

RenderGraph::RenderGraph(runtime::Runtime& runtime, const GraphOptions& options) {
  arenas::Arena& memory = runtime.SetupArena();
  const std::size_t before = memory.UsedBytes();
  state_ =
      ::new (memory.Allocate(sizeof(GraphState), alignof(GraphState))) GraphState(*this, runtime, options);
  state_->setupBytesUsed = memory.UsedBytes() - before;
}

RenderGraph::~RenderGraph() {
  Cleanup();
  state_->Teardown();
  state_->~GraphState();
}

void* RenderGraph::AllocateNode(const char* name, std::size_t sizeBytes, std::size_t alignment) noexcept {
  GraphState& s = *state_;
  void* memory = nullptr;
  if (s.runtime.Phases().Current() != runtime::Phase::Setup) {
    ++s.refusals.nodesAfterSetup;
  } else if (s.nodeCount == s.options.nodesMax) {
    ++s.refusals.nodesOverTable;
  } else {
    const std::size_t before = s.setupMemory.UsedBytes();
    memory = s.setupMemory.TryAllocate(sizeBytes, alignment);
    s.setupBytesUsed += s.setupMemory.UsedBytes() - before;
    if (memory == nullptr) {
      ++s.refusals.nodesOverMemory;
      s.refusals.memoryBytes += sizeBytes;
    }
  }
  if (memory == nullptr && s.refusals.firstNode[0] == '\0') {
    std::strncpy(s.refusals.firstNode, name, sizeof(s.refusals.firstNode) - 1);
  }
  return memory;
}

NodeHandle RenderGraph::RegisterNode(NodeInstance& node, const char* name, ExecuteFunction execute,
                                     TimelineNode* timeline) noexcept {
  GraphState& s = *state_;
  const SlotLayout layout = node.GetSlotLayout();
  std::size_t outputBytes = 0;
  std::size_t alignment = 1;
  for (const SlotDescription& output : layout.outputs) {
    const std::size_t end = output.outputOffset + output.type->sizeBytes;
    if (end > outputBytes) outputBytes = end;
    if (output.type->alignment > alignment) alignment = output.type->alignment;
  }
  const std::size_t nameBytes = std::strlen(name) + 1;
  const std::size_t before = s.setupMemory.UsedBytes();
  auto* const outputs = static_cast<std::byte*>(s.setupMemory.TryAllocate(outputBytes, alignment));
  auto* const ownName =
      outputs == nullptr ? nullptr : static_cast<char*>(s.setupMemory.TryAllocate(nameBytes));
  s.setupBytesUsed += s.setupMemory.UsedBytes() - before;
  if (ownName == nullptr) {
    ++s.refusals.nodesOverMemory;
    s.refusals.memoryBytes += outputBytes + nameBytes;
    if (s.refusals.firstNode[0] == '\0')
      std::strncpy(s.refusals.firstNode, name, sizeof(s.refusals.firstNode) - 1);
    return {};
  }
  std::memcpy(ownName, name, nameBytes);
  for (const SlotDescription& output : layout.outputs) output.type->construct(outputs + output.outputOffset);

  const std::uint32_t index = s.nodeCount++;
  node.name_ = ownName;
  node.handle_ = {index, 0};
  node.slots_ = {nullptr, outputs};
  s.instances[index] = &node;
  s.callbacks[index] = {execute, &node};
  s.layouts[index] = layout;
  s.outputBlocks[index] = outputs;
  s.inputBase[index + 1] = s.inputBase[index] + static_cast<std::uint32_t>(layout.inputs.size());
  s.outputBase[index + 1] = s.outputBase[index] + static_cast<std::uint32_t>(layout.outputs.size());
  const std::uint32_t hash = HashName(ownName);
  std::size_t place = 0;
  const std::uint32_t namesake = s.FindName(ownName, hash, place);
  if (namesake == kNone) {
    s.names[place] = {hash, index};
  } else if (s.duplicateCount++ < s.duplicates.size()) {
    s.duplicates[s.duplicateCount - 1] = {namesake, index};
  }
  if (timeline != nullptr) s.timelines[s.timelineCount++] = timeline;
  s.isSetUpCurrent = false;
  return node.handle_;
}

std::uint32_t GraphState::FindName(const char* name, std::uint32_t hash, std::size_t& place) const {
  const std::size_t mask = names.size() - 1;
  for (place = hash & mask; names[place].node != kNone; place = (place + 1) & mask) {
    if (names[place].hash == hash && std::strcmp(NameOf(names[place].node), name) == 0)
      return names[place].node;
  }
  return kNone;
}

void RenderGraph::ConnectUntyped(NodeHandle from, std::uint32_t output, NodeHandle to,
                                 std::uint32_t input) noexcept {
  GraphState& s = *state_;
  if (s.runtime.Phases().Current() != runtime::Phase::Setup) {
    ++s.refusals.connectionsAfterSetup;
    return;
  }
  if (s.connectionCount == s.options.connectionsMax) {
    ++s.refusals.connectionsOverTable;
    return;
  }
  Connection c{.producer = s.IsCurrent(from) ? from.index : kNone,
               .consumer = s.IsCurrent(to) ? to.index : kNone,
               .outputSlot = output,
               .inputSlot = input};
  const bool isDangling = c.producer == kNone || c.consumer == kNone ||
                          output >= s.layouts[c.producer].outputs.size() ||
                          input >= s.layouts[c.consumer].inputs.size();
  if (isDangling || c.producer == c.consumer) {
    c.hasFault = true;
  } else {
    const SlotDescription& source = s.layouts[c.producer].outputs[output];
    const SlotDescription& target = s.layouts[c.consumer].inputs[input];
    c.value = s.outputBlocks[c.producer] + source.outputOffset;
    c.graphInput = s.inputBase[c.consumer] + input;
    c.graphOutput = s.outputBase[c.producer] + output;
    c.isArray = target.mode == SlotMode::Array;
    c.cascades = HasRole(target.roles, SlotRole::Compile);
    c.hasFault =
        !SameType(*source.type, *target.type) || (c.cascades && !HasRole(source.roles, SlotRole::Compile));
    ++s.connected.valid;
    s.connected.arrayValues += c.isArray ? 1 : 0;
    s.connected.cascades += c.cascades ? 1 : 0;
    if (c.producer > c.consumer) s.connected.areInOrder = false;
  }
  s.connected.faulty += c.hasFault ? 1 : 0;
  s.connections[s.connectionCount++] = c;
  s.isSetUpCurrent = false;
}

Result<void> GraphState::RequireSetUp(const char* operation) const {
  if (isCleanedUp) {
    return Error::Format(ErrorCode::WrongPhase, "%s: graph '%s' was cleaned up", operation, options.name);
  }
  if (!isSetUpCurrent) {
    return Error::Format(
        ErrorCode::WrongPhase,
        "%s: graph '%s' has nodes or connections that Setup has not seen (%u nodes, %u set up); call "
        "RenderGraph::Setup after the last AddNode and Connect, before Runtime::SealSetup",
        operation, options.name, nodeCount, setUpCount);
  }
  return {};
}

// Accessors.

runtime::Runtime& SetupContext::GetRuntime() const noexcept { return graph_.GetRuntime(); }
arenas::Arena& SetupContext::Memory() const noexcept { return graph_.SetupMemory(); }
ResourceTable& SetupContext::Resources() const noexcept { return graph_.Resources(); }
runtime::EventBus& SetupContext::Events() const noexcept { return graph_.Events(); }
runtime::Runtime& CompileContext::GetRuntime() const noexcept { return graph_.GetRuntime(); }
ResourceTable& CompileContext::Resources() const noexcept { return graph_.Resources(); }
runtime::EventBus& CompileContext::Events() const noexcept { return graph_.Events(); }

ResourceEstimate NodeInstance::GetResourceEstimate() const {
  return EstimateFrom(GetPreAllocRequirements(), GetDescriptorRequirements());
}

ResourceTable& RenderGraph::Resources() noexcept { return state_->resources; }
const ResourceTable& RenderGraph::Resources() const noexcept { return state_->resources; }
runtime::EventBus& RenderGraph::Events() const noexcept { return state_->runtime.Events(); }
runtime::Runtime& RenderGraph::GetRuntime() const noexcept { return state_->runtime; }
arenas::Arena& RenderGraph::SetupMemory() const noexcept { return state_->runtime.SetupArena(); }
const GraphOptions& RenderGraph::Options() const noexcept { return state_->options; }
std::uint32_t RenderGraph::NodeCount() const noexcept { return state_->nodeCount; }
std::uint32_t RenderGraph::ConnectionCount() const noexcept { return state_->connectionCount; }
std::uint32_t RenderGraph::HistoryDepth() const noexcept {
  return state_->timelineCount == 0 ? 1 : state_->historyFrames + 1;
}
std::uint32_t RenderGraph::ReplayPeriod() const noexcept { return state_->replayPeriod; }
bool RenderGraph::HasPlan() const noexcept { return state_->plan != nullptr; }

const CompiledPlan& RenderGraph::CurrentPlan() const noexcept {
  STADIAL_ASSERT_ALWAYS(state_->plan != nullptr,
                        "the graph has no plan yet; call RenderGraph::Compile first");
  return *state_->plan;
}

NodeInstance* RenderGraph::NodeAt(NodeHandle node) const noexcept {
  return state_->IsCurrent(node) ? state_->instances[node.index] : nullptr;
}

NodeHandle RenderGraph::HandleAt(std::uint32_t index) const noexcept {
  return index < state_->nodeCount ? state_->instances[index]->Handle() : NodeHandle{};
}

NodeHandle RenderGraph::FindNode(const char* name) const noexcept {
  std::size_t place = 0;
  const std::uint32_t node = state_->FindName(name, HashName(name), place);
  return node == kNone ? NodeHandle{} : state_->instances[node]->Handle();
}

}  // namespace stadial::graph
