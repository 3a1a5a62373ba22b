// What the graph tests share: a small runtime, and a few nodes.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "stadial/graph/render_graph.h"
#include "stadial/runtime/runtime.h"
#include "stadial/runtime/task_runner.h"

namespace stadial::graph::testing {

using arenas::operator""_KiB;
using arenas::operator""_MiB;

struct TestRuntimeOptions {
  std::size_t setupBytes = 4_MiB;
  std::size_t compileBytes = 1_MiB;
  std::size_t eventCapacity = 64;
  std::uint32_t subscriptionsMax = 256;
  std::uint32_t framesInFlight = 2;
  runtime::GatePolicies gate = runtime::GatePolicy::Trap;
};

inline runtime::RuntimePtr MakeRuntime(const TestRuntimeOptions& options = {}) {
  runtime::RuntimeOptions full;
  full.name = "graph_test";
  full.setupBytes = options.setupBytes;
  full.compileBytes = options.compileBytes;
  full.frameLaneBytes = 64_KiB;
  full.driverBytes = 1_MiB;
  full.framesInFlight = options.framesInFlight;
  full.gate = options.gate;
  full.kernelWitness = false;
  full.eventCapacity = options.eventCapacity;
  full.events.subscriptionsMax = options.subscriptionsMax;
  auto made = runtime::Runtime::Create(full);
  if (!made) {
    std::fprintf(stderr, "%s\n", made.GetError().Message());
    std::abort();
  }
  return std::move(made).Value();
}

template <class T>
::testing::AssertionResult Ok(const Result<T>& result) {
  if (result) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << result.GetError().Message();
}

// One for graphs that execute in waves: on `workers` of its own, or on a runner that is given.
inline runtime::RuntimePtr MakeParallelRuntime(std::uint32_t workers, runtime::TaskRunner* runner = nullptr,
                                               runtime::GatePolicy policy = runtime::GatePolicy::Trap) {
  runtime::RuntimeOptions options;
  options.name = "graph_test";
  options.setupBytes = 1_MiB;
  options.compileBytes = 256_KiB;
  options.frameLaneBytes = 64_KiB;
  options.driverBytes = 0;
  options.kernelWitness = false;
  options.gate = policy;
  options.workers = workers;
  options.taskRunner = runner;
  options.tasks.tasksMax = 64;
  auto made = runtime::Runtime::Create(options);
  EXPECT_TRUE(Ok(made));
  return std::move(made).Value();
}

inline std::string Numbered(const char* prefix, std::uint64_t number) {
  std::string name(prefix);
  name += std::to_string(number);
  return name;
}

// out = a constant.
struct SourceConfig : NodeConfig<SourceConfig> {
  OUTPUT_SLOT(VALUE, float);
};
class SourceNode final : public TypedNode<SourceConfig> {
 public:
  explicit SourceNode(float constant) : value(constant) {}
  void Execute(ExecuteContext& ctx) override { ctx.Out(VALUE, value); }
  float value;
};

// out = factor * in.
struct ScaleConfig : NodeConfig<ScaleConfig> {
  INPUT_SLOT(SOURCE, float);
  OUTPUT_SLOT(RESULT, float);
};
class ScaleNode final : public TypedNode<ScaleConfig> {
 public:
  explicit ScaleNode(float factor) : factor_(factor) {}
  void Execute(ExecuteContext& ctx) override { ctx.Out(RESULT, factor_ * ctx.In(SOURCE)); }

 private:
  float factor_;
};

// out = sum of all inputs, plus the optional one.
struct SumConfig : NodeConfig<SumConfig> {
  INPUT_SLOT(TERMS, float, SlotMode::Array);
  INPUT_SLOT(OFFSET, float, SlotMode::Optional);
  OUTPUT_SLOT(SUM, float);
};
class SumNode final : public TypedNode<SumConfig> {
 public:
  void Execute(ExecuteContext& ctx) override {
    float sum = 0;
    for (const float term : ctx.In(TERMS)) sum += term;
    if (const float* offset = ctx.In(OFFSET)) sum += *offset;
    ctx.Out(SUM, sum);
  }
};

// Counts its calls and writes them into a log that may be shared; fails Compile on demand. The value slots
// carry what Compile computes, so recompiles cascade along SIZE.
struct ProbeConfig : NodeConfig<ProbeConfig> {
  INPUT_SLOT(SIZE_IN, int, SlotMode::Optional, SlotRole::Compile | SlotRole::Execute);
  INPUT_SLOT(FRAME_IN, int, SlotMode::Array);
  OUTPUT_SLOT(SIZE_OUT, int, SlotRole::Compile | SlotRole::Execute);
  OUTPUT_SLOT(FRAME_OUT, int);
};
class ProbeNode final : public TypedNode<ProbeConfig> {
 public:
  ProbeNode() { log.reserve(256); }
  explicit ProbeNode(std::vector<std::string>* shared) : shared_(shared) { log.reserve(256); }
  ~ProbeNode() override {
    if (shared_ != nullptr) shared_->push_back(std::string("~") + Name());
  }
  Result<void> Setup(SetupContext&) override {
    ++setups;
    return {};
  }
  Result<void> Compile(CompileContext& ctx) override {
    ++compiles;
    if (shared_ != nullptr) shared_->push_back(std::string("compile ") + Name());
    if (dirtyInCompile) ctx.Graph().MarkDirty(ctx.Node());
    if (failuresLeft > 0) {
      --failuresLeft;
      return Error::Format(ErrorCode::Driver, "probe was told to fail");
    }
    const int* size = ctx.In(SIZE_IN);
    ctx.Out(SIZE_OUT, (size == nullptr ? 0 : *size) + own);
    return {};
  }
  void Execute(ExecuteContext& ctx) override {
    ++executes;
    int sum = 1;
    for (const int value : ctx.In(FRAME_IN)) sum += value;
    ctx.Out(FRAME_OUT, sum);
  }
  void Cleanup() override {
    ++cleanups;
    if (shared_ != nullptr) shared_->push_back(std::string("cleanup ") + Name());
  }

  int own = 1;
  int setups = 0;
  int compiles = 0;
  int executes = 0;
  int cleanups = 0;
  int failuresLeft = 0;
  bool dirtyInCompile = false;
  std::vector<std::string> log;

 private:
  std::vector<std::string>* shared_ = nullptr;
};

// Slots decided at run time: `inputs` of int (each Array) and `outputs` of int. Execute adds up a hash, so
// that the value depends on every input and on their order.
class DynamicNode final : public NodeInstance {
 public:
  DynamicNode(std::uint32_t inputs, std::uint32_t outputs, bool hasSideEffects = false)
      : inputs_(inputs, {"IN", &kSlotType<std::uint32_t>, SlotMode::Array, SlotRole::Execute, 0}),
        outputs_(outputs, {"OUT", &kSlotType<std::uint32_t>, SlotMode::Single, SlotRole::Execute, 0}),
        hasSideEffects_(hasSideEffects) {
    for (std::uint32_t i = 0; i < outputs; ++i) outputs_[i].outputOffset = i * sizeof(std::uint32_t);
  }
  SlotLayout GetSlotLayout() const override { return {inputs_, outputs_}; }
  bool HasSideEffects() const override { return hasSideEffects_; }
  void ExecuteNode(graph::ExecuteContext&) override {
    std::uint32_t hash = 2166136261u ^ Handle().index;
    for (std::uint32_t slot = 0; slot < inputs_.size(); ++slot) {
      const InputBinding& binding = GetSlotPointers().inputs[slot];
      for (const std::uint32_t value :
           SlotArray<std::uint32_t>(static_cast<const void* const*>(binding.value), binding.count)) {
        hash = (hash ^ value) * 16777619u + slot;
      }
    }
    for (std::uint32_t slot = 0; slot < outputs_.size(); ++slot) {
      *reinterpret_cast<std::uint32_t*>(GetSlotPointers().outputs + outputs_[slot].outputOffset) =
          hash + slot;
    }
    lastHash = hash;
  }
  std::uint32_t lastHash = 0;

 private:
  std::vector<SlotDescription> inputs_;
  std::vector<SlotDescription> outputs_;
  bool hasSideEffects_;
};

// A runtime of its own, and the way from nodes and connections to a compiled graph.
class GraphTest : public ::testing::Test {
 protected:
  void Start(RenderGraph& graph) {
    ASSERT_TRUE(Ok(graph.Setup()));
    ASSERT_TRUE(Ok(runtime_->SealSetup()));
    ASSERT_TRUE(Ok(graph.Compile()));
  }
  runtime::RuntimePtr runtime_ = MakeRuntime();
};

}  // namespace stadial::graph::testing
