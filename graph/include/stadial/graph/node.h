// Nodes. A complete one:
//
//   struct ScaleConfig : graph::NodeConfig<ScaleConfig> {
//     INPUT_SLOT(SOURCE, float);
//     OUTPUT_SLOT(RESULT, float);
//   };
//   class ScaleNode final : public graph::TypedNode<ScaleConfig> {
//    public:
//     explicit ScaleNode(float factor) : factor_(factor) {}
//     void Execute(ExecuteContext& ctx) override { ctx.Out(RESULT, factor_ * ctx.In(SOURCE)); }
//    private:
//     float factor_;
//   };
//
// Slot names are usable unqualified, and inside a node `ExecuteContext` and `CompileContext` are the node's
// own typed contexts: a slot of another config, a value of another type, reading an output or writing an
// input do not compile. Write the context's name unqualified too (graph::ExecuteContext is the untyped one).
//
// The life of a node: constructed by RenderGraph::AddNode in Setup memory; Setup once; Compile in topological
// order at each graph compile and when dirty; Execute once per frame; Cleanup once, dependents first;
// destructor. What a node keeps it takes in Setup (SetupContext::Memory). Thread rules: one thread, the
// graph's, but for Execute with GraphOptions::executeInWaves.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/assert.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/result.h"
#include "stadial/graph/queues.h"
#include "stadial/graph/requirements.h"
#include "stadial/graph/resources.h"
#include "stadial/graph/slot.h"
#include "stadial/graph/slot_view.h"
#include "stadial/runtime/frame_loop.h"

namespace stadial::runtime {
class EventBus;
class Runtime;
}  // namespace stadial::runtime

namespace stadial::graph {

class RenderGraph;
struct GraphState;
class TimelineNode;

// Names a node of one graph. Index: the node's place in the order of AddNode, which a NodeDirty event carries
// as its `data`. Generation: moves on when the place is reused.
struct NodeHandle {
  static constexpr std::uint32_t kNullIndex = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t index = kNullIndex;
  std::uint32_t generation = 0;

  constexpr bool IsNull() const noexcept { return index == kNullIndex; }
  // What a NodeDirty event carries as `data`: for a node that was never replaced, just its index.
  constexpr std::int64_t EventData() const noexcept {
    return static_cast<std::int64_t>((std::uint64_t{generation} << 32) | index);
  }
  static constexpr NodeHandle FromEventData(std::int64_t data) noexcept {
    const auto bits = static_cast<std::uint64_t>(data);
    return {static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(bits >> 32)};
  }
  friend constexpr bool operator==(NodeHandle, NodeHandle) = default;
};

// A node's slots as the graph sees them; the spans stay valid as long as the node.
struct SlotLayout {
  std::span<const SlotDescription> inputs;
  std::span<const SlotDescription> outputs;
};

// A use of another node's output without a connection to it, which orders nothing but work on the GPU: where
// the other node stands later in the plan, what is found is the frame before's.
struct SideAccess {
  NodeHandle node;
  std::uint32_t outputSlot = 0;
  Access access;
};

// Handed to NodeInstance::Setup. Runs in the Setup phase, in order of AddNode.
class SetupContext {
 public:
  SetupContext(RenderGraph& graph, NodeHandle node) noexcept : graph_(graph), node_(node) {}
  RenderGraph& Graph() const noexcept { return graph_; }
  NodeHandle Node() const noexcept { return node_; }
  runtime::Runtime& GetRuntime() const noexcept STADIAL_NONALLOCATING;
  arenas::Arena& Memory() const noexcept;  // Setup memory: lives as long as the process
  ResourceTable& Resources() const noexcept STADIAL_NONALLOCATING;
  runtime::EventBus& Events() const noexcept STADIAL_NONALLOCATING;

 private:
  RenderGraph& graph_;
  NodeHandle node_;
};

// Handed to NodeInstance::Compile: at a graph compile (IsRecompile false) and when the node is dirty (true).
class CompileContext {
 public:
  CompileContext(RenderGraph& graph, NodeHandle node, arenas::Arena& scratch, bool isRecompile) noexcept
      : graph_(graph), node_(node), scratch_(scratch), isRecompile_(isRecompile) {}
  RenderGraph& Graph() const noexcept { return graph_; }
  NodeHandle Node() const noexcept { return node_; }
  bool IsRecompile() const noexcept { return isRecompile_; }
  arenas::Arena& Scratch() const noexcept { return scratch_; }  // rewound when this Compile returns
  runtime::Runtime& GetRuntime() const noexcept STADIAL_NONALLOCATING;
  ResourceTable& Resources() const noexcept STADIAL_NONALLOCATING;
  runtime::EventBus& Events() const noexcept STADIAL_NONALLOCATING;

 private:
  RenderGraph& graph_;
  NodeHandle node_;
  arenas::Arena& scratch_;
  bool isRecompile_;
};

// Handed to every Execute of one frame; in waves each worker has its own. Time spent in Execute is excluded
// from the runtime's overhead as a whole: do not open a runtime::ExcludedTime inside.
class ExecuteContext {
 public:
  ExecuteContext(RenderGraph& graph, runtime::FrameContext& frame) noexcept : graph_(graph), frame_(frame) {}
  RenderGraph& Graph() const noexcept { return graph_; }
  runtime::FrameContext& Frame() const noexcept { return frame_; }
  arenas::Arena& Lane() const noexcept { return *frame_.lane; }  // this thread's memory of this frame

 private:
  RenderGraph& graph_;
  runtime::FrameContext& frame_;
};

class NodeInstance : public IDescriptorRequirements {
 public:
  NodeInstance() noexcept = default;
  NodeInstance(const NodeInstance&) = delete;
  NodeInstance& operator=(const NodeInstance&) = delete;
  ~NodeInstance() override = default;

  // X1: stated before Compile, asked after Setup. Must give the same answer each time.
  virtual PreAllocRequirements GetPreAllocRequirements() const { return {}; }
  // X2: by default what follows from the requirements.
  virtual ResourceEstimate GetResourceEstimate() const;
  // After this many frames the node's recorded work repeats: 1 for stateless nodes, 2 for ping-pong, the
  // history's depth for history users. At least 1.
  virtual std::uint32_t ReplayPeriod() const { return 1; }
  // False for a node that may be culled when nobody reads its outputs (GraphOptions::cullDeadNodes).
  // Nodes without outputs are never culled.
  virtual bool HasSideEffects() const { return false; }
  // True for a node whose Execute emits events, marks nodes dirty, touches the resource table or anything
  // else that belongs to the frame thread: with GraphOptions::executeInWaves it runs there, in its wave. Must
  // give the same answer each time.
  virtual bool NeedsFrameThread() const { return false; }
  // Where its GPU work would like to run (GraphOptions::queues). Must give the same answer each time.
  virtual QueueClass PreferredQueue() const { return QueueClass::Any; }
  // Beside what the slots say. Asked in Setup and at each compile; as many or fewer each time.
  virtual std::span<const SideAccess> GetSideAccesses() const { return {}; }

  // Once per life, in the Setup phase.
  virtual Result<void> Setup(SetupContext&) { return {}; }
  // Once per life, dependents before what they depend on. Nothing it relies on upstream is gone yet.
  virtual void Cleanup() {}

  // The untyped entry points, which the graph calls. TypedNode implements them; only a node whose slots are
  // known no sooner than run time overrides them itself.
  virtual SlotLayout GetSlotLayout() const = 0;
  virtual Result<void> CompileNode(graph::CompileContext&) STADIAL_NONALLOCATING { return {}; }
  virtual void ExecuteNode(graph::ExecuteContext&) STADIAL_NONALLOCATING = 0;

  const char* Name() const noexcept { return name_; }
  NodeHandle Handle() const noexcept { return handle_; }
  // Pointers to this node's slot values; rebound at each graph compile.
  const SlotPointers& GetSlotPointers() const noexcept { return slots_; }
  // Where this node's transients lie, in the order of its requirements; given anew at each graph compile.
  // Empty before the first one, and for a culled node.
  std::span<const PlanTransient> Transients() const noexcept { return transients_; }

 private:
  friend class RenderGraph;
  friend struct GraphState;
  const char* name_ = "";
  NodeHandle handle_;
  SlotPointers slots_;
  std::span<const PlanTransient> transients_;
};

// A typed view of the slots for Compile; inputs and outputs used here need SlotRole::Compile.
template <class ConfigT>
class TypedCompileContext : public SlotView<ConfigT, SlotRole::Compile> {
 public:
  TypedCompileContext(graph::CompileContext& base, const SlotPointers& slots) noexcept
      : SlotView<ConfigT, SlotRole::Compile>(slots), base_(base) {}
  graph::CompileContext& Base() const noexcept { return base_; }
  RenderGraph& Graph() const noexcept { return base_.Graph(); }
  NodeHandle Node() const noexcept { return base_.Node(); }
  bool IsRecompile() const noexcept { return base_.IsRecompile(); }
  arenas::Arena& Scratch() const noexcept { return base_.Scratch(); }
  runtime::Runtime& GetRuntime() const noexcept { return base_.GetRuntime(); }
  ResourceTable& Resources() const noexcept { return base_.Resources(); }
  runtime::EventBus& Events() const noexcept { return base_.Events(); }

 private:
  graph::CompileContext& base_;
};

// A typed view of the slots for Execute.
template <class ConfigT>
class TypedExecuteContext : public SlotView<ConfigT, SlotRole::Execute> {
 public:
  TypedExecuteContext(graph::ExecuteContext& base, const SlotPointers& slots) noexcept
      : SlotView<ConfigT, SlotRole::Execute>(slots), base_(base) {}
  graph::ExecuteContext& Base() const noexcept { return base_; }
  RenderGraph& Graph() const noexcept { return base_.Graph(); }
  runtime::FrameContext& Frame() const noexcept { return base_.Frame(); }
  arenas::Arena& Lane() const noexcept { return base_.Lane(); }

 private:
  graph::ExecuteContext& base_;
};

template <class ConfigT>
class TypedNode : public NodeInstance, public ConfigT {
 public:
  using SlotConfig = ConfigT;
  using CompileContext = TypedCompileContext<ConfigT>;
  using ExecuteContext = TypedExecuteContext<ConfigT>;

  // At each graph compile and when dirty, after the producers of its Compile inputs. An error isolates the
  // node: it is not executed until a later Compile of it succeeds.
  virtual Result<void> Compile(CompileContext&) STADIAL_NONALLOCATING { return {}; }
  // Once per frame. May not allocate outside the frame's lanes.
  virtual void Execute(ExecuteContext& ctx) STADIAL_NONALLOCATING = 0;

  // The slots outside Compile and Execute (recording of commands, tests). Valid after the first graph
  // compile.
  SlotView<ConfigT> Slots() const noexcept { return SlotView<ConfigT>(GetSlotPointers()); }

  SlotLayout GetSlotLayout() const final {
    return {kSlotDescriptions<ConfigT, SlotDirection::Input>,
            kSlotDescriptions<ConfigT, SlotDirection::Output>};
  }
  Result<void> CompileNode(graph::CompileContext& base) final {
    CompileContext ctx(base, GetSlotPointers());
    return Compile(ctx);
  }
  void ExecuteNode(graph::ExecuteContext& base) final {
    ExecuteContext ctx(base, GetSlotPointers());
    Execute(ctx);
  }
};

// What AddNode returns: the node and its handle. Null when the node could not be added (Validate says why).
template <class NodeT>
class NodeRef {
 public:
  using Node = NodeT;
  NodeRef() noexcept = default;
  NodeRef(NodeT* node, NodeHandle handle) noexcept : node_(node), handle_(handle) {}

  NodeT* Get() const noexcept { return node_; }
  NodeT* operator->() const noexcept {
    STADIAL_ASSERT_ALWAYS(node_ != nullptr,
                          "this NodeRef is null: AddNode was refused; RenderGraph::Validate says why");
    return node_;
  }
  NodeT& operator*() const noexcept { return *operator->(); }
  NodeHandle Handle() const noexcept { return handle_; }
  operator NodeHandle() const noexcept { return handle_; }  // NOLINT(google-explicit-constructor)
  explicit operator bool() const noexcept { return node_ != nullptr; }

 private:
  NodeT* node_ = nullptr;
  NodeHandle handle_;
};

}  // namespace stadial::graph
