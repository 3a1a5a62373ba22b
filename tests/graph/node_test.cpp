#include "stadial/graph/node.h"

#include "graph_fixture.h"

namespace stadial::graph::testing {
namespace {

// The whole interface of a typed node, seen from inside one.
struct CuriousConfig : NodeConfig<CuriousConfig> {
  INPUT_SLOT(SIZE, int, SlotRole::Compile | SlotRole::Execute);
  OUTPUT_SLOT(DOUBLED, int, SlotRole::Compile);
  OUTPUT_SLOT(FRAME, std::uint64_t);
};
class CuriousNode : public TypedNode<CuriousConfig> {
 public:
  Result<void> Setup(SetupContext& ctx) override {
    kept = ctx.Memory().New<int>(5);
    resource = ctx.Resources().Create({.name = "kept"}).Value();
    seesItself = ctx.Node() == Handle() && &ctx.Graph().GetRuntime() == &ctx.GetRuntime() &&
                 &ctx.Events() == &ctx.GetRuntime().Events();
    return {};
  }
  Result<void> Compile(CompileContext& ctx) override {
    scratch = ctx.Scratch().NewArray<int>(100).data();
    wasRecompile = ctx.IsRecompile();
    ctx.Out(DOUBLED, 2 * ctx.In(SIZE));
    return {};
  }
  void Execute(ExecuteContext& ctx) override {
    lane = &ctx.Lane();
    ctx.Out(FRAME, ctx.Frame().frameIndex);
    lastSize = ctx.In(SIZE);
  }
  int* kept = nullptr;
  int* scratch = nullptr;
  ResourceHandle resource;
  arenas::Arena* lane = nullptr;
  int lastSize = 0;
  bool seesItself = false;
  bool wasRecompile = true;
};

struct SizeConfig : NodeConfig<SizeConfig> {
  OUTPUT_SLOT(SIZE, int, SlotRole::Compile | SlotRole::Execute);
};
class SizeNode final : public TypedNode<SizeConfig> {
 public:
  Result<void> Compile(CompileContext& ctx) override {
    ctx.Out(SIZE, size);
    return {};
  }
  void Execute(ExecuteContext&) override {}
  int size = 21;
};

// A class between config and final node.
class MoreCuriousNode final : public CuriousNode {
 public:
  void Execute(ExecuteContext& ctx) override {
    CuriousNode::Execute(ctx);
    ++own;
  }
  int own = 0;
};

TEST(Node, G1_ContextsGiveWhatTheyPromise) {
  const auto runtime = MakeRuntime();
  RenderGraph graph(*runtime);
  const auto size = graph.AddNode<SizeNode>("size");
  const auto curious = graph.AddNode<MoreCuriousNode>("curious");
  graph.Connect(size, SizeConfig::SIZE, curious, CuriousConfig::SIZE);
  ASSERT_TRUE(Ok(graph.Setup()));
  EXPECT_TRUE(curious->seesItself);
  EXPECT_EQ(*curious->kept, 5);
  EXPECT_TRUE(graph.Resources().IsAlive(curious->resource));
  ASSERT_TRUE(Ok(runtime->SealSetup()));
  ASSERT_TRUE(Ok(graph.Compile()));
  EXPECT_FALSE(curious->wasRecompile);
  EXPECT_NE(curious->scratch, nullptr);
  EXPECT_EQ(curious->Slots().Out(CuriousConfig::DOUBLED), 42);

  for (int i = 0; i < 3; ++i) ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_EQ(curious->Slots().Out(CuriousConfig::FRAME), 2u);
  EXPECT_EQ(curious->Slots().In(CuriousConfig::SIZE), 21);
  EXPECT_EQ(curious->lastSize, 21);
  EXPECT_EQ(curious->own, 3) << "the most derived Execute runs";
  ASSERT_NE(curious->lane, nullptr);
  EXPECT_STREQ(curious->lane->Kind(), "frame");
}

}  // namespace
}  // namespace stadial::graph::testing
