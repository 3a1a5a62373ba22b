// Each macro turns on one error that must not compile; without any, everything here is right.
#include "stadial/graph/render_graph.h"

namespace {

using namespace stadial;

struct OtherConfig : graph::NodeConfig<OtherConfig> {
  INPUT_SLOT(ELSEWHERE, float);
  OUTPUT_SLOT(COUNT, int);
};
class OtherNode final : public graph::TypedNode<OtherConfig> {
 public:
  void Execute(ExecuteContext&) override {}
};

struct Owner {
  ~Owner() {}
};

struct Texture {
  static constexpr bool kIsGpuResource = true;
};

// The same texture, sharpened.
struct SharpenConfig : graph::NodeConfig<SharpenConfig> {
  INPUT_SLOT(SOURCE, Texture, graph::Access::ComputeStorageRead);
  INPUT_SLOT(AMOUNT, float);
  OUTPUT_SLOT(RESULT, Texture, graph::Access::ComputeStorageWrite, Inplace(SOURCE));
#ifdef FAIL_RESOURCE_WITHOUT_ACCESS
  OUTPUT_SLOT(PLAIN, Texture);
#endif
#ifdef FAIL_INPUT_WRITES
  INPUT_SLOT(TARGET, Texture, graph::Access::ComputeStorageWrite);
#endif
#ifdef FAIL_ACCESS_OF_MANY_MEANINGS
  INPUT_SLOT(ANYHOW, Texture, graph::Access{graph::stages::kCompute, 0x20});
#endif
#ifdef FAIL_INPLACE_TYPE
  OUTPUT_SLOT(OTHER, Texture, graph::Access::ComputeStorageWrite, Inplace(AMOUNT));
#endif
#ifdef FAIL_INPLACE_OF_OUTPUT
  OUTPUT_SLOT(AGAIN, Texture, graph::Access::ComputeStorageWrite, Inplace(RESULT));
#endif
};
class SharpenNode final : public graph::TypedNode<SharpenConfig> {
 public:
  void Execute(ExecuteContext&) override {}
};

struct ScaleConfig : graph::NodeConfig<ScaleConfig> {
  INPUT_SLOT(SOURCE, float);
  OUTPUT_SLOT(RESULT, float);
#ifdef FAIL_VALUE_WITH_DESTRUCTOR
  OUTPUT_SLOT(OWNER, Owner);
#endif
#ifdef FAIL_ARRAY_OUTPUT
  OUTPUT_SLOT(MANY, int, SlotMode::Array);
#endif
#ifdef FAIL_SAME_NAME_TWICE
  INPUT_SLOT(SOURCE, int);
#endif
};

class ScaleNode final : public graph::TypedNode<ScaleConfig> {
 public:
#ifdef FAIL_COMPILE_ROLE
  graph::Result<void> Compile(CompileContext& ctx) override {
    static_cast<void>(ctx.In(SOURCE));
    return {};
  }
#endif
#ifdef FAIL_UNTYPED_CONTEXT
  void Execute(graph::ExecuteContext& ctx) override {}
#else
  void Execute(ExecuteContext& ctx) override {
    ctx.Out(RESULT, 2.0f * ctx.In(SOURCE));
    ctx.Out(RESULT) = ctx.In(SOURCE);
#ifdef FAIL_IN_OF_OUTPUT
    static_cast<void>(ctx.In(RESULT));
#endif
#ifdef FAIL_OUT_OF_INPUT
    ctx.Out(SOURCE) = 1.0f;
#endif
#ifdef FAIL_WRITE_THROUGH_INPUT
    ctx.In(SOURCE) = 1.0f;
#endif
#ifdef FAIL_FOREIGN_SLOT
    static_cast<void>(ctx.In(OtherConfig::ELSEWHERE));
#endif
#ifdef FAIL_WRONG_VALUE_TYPE
    ctx.Out(RESULT, "text");
#endif
#ifdef FAIL_NARROWING_VALUE
    const double precise = 0.1;
    ctx.Out(RESULT, precise);
#endif
#ifdef FAIL_READ_AS_POINTER
    const int* pointer = ctx.In(SOURCE);
    static_cast<void>(pointer);
#endif
#ifdef FAIL_NOT_A_SLOT
    static_cast<void>(ctx.In(3));
#endif
  }
#endif
};

void Wire(graph::RenderGraph& graph) {
  const auto scale = graph.AddNode<ScaleNode>("scale");
  const auto other = graph.AddNode<OtherNode>("other");
  graph.AddNode<SharpenNode>("sharpen");
  graph.Connect(scale, ScaleConfig::RESULT, other, OtherConfig::ELSEWHERE);
#ifdef FAIL_CONNECT_TYPES
  graph.Connect(other, OtherConfig::COUNT, scale, ScaleConfig::SOURCE);
#endif
#ifdef FAIL_CONNECT_DIRECTION
  graph.Connect(scale, ScaleConfig::SOURCE, other, OtherConfig::ELSEWHERE);
#endif
#ifdef FAIL_CONNECT_FOREIGN
  graph.Connect(other, ScaleConfig::RESULT, other, OtherConfig::ELSEWHERE);
#endif
#ifdef FAIL_NOT_A_NODE
  graph.AddNode<int>("number");
#endif
}

}  // namespace

int main() { static_cast<void>(&Wire); }
