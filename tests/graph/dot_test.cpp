#include <cstring>

#include "graph_fixture.h"

namespace stadial::graph::testing {
namespace {

std::string Dot(const RenderGraph& graph) {
  std::string text(16384, '\0');
  std::FILE* out = fmemopen(text.data(), text.size(), "w");
  graph.WriteDot(out);
  std::fclose(out);
  text.resize(std::strlen(text.c_str()));
  return text;
}

TEST(Dot, G11_ShowsNodesEdgesPositionsAndLifetimes) {
  const auto runtime = MakeRuntime();
  RenderGraph graph(*runtime, {.name = "demo", .cullDeadNodes = true});
  const auto sink = graph.AddNode<DynamicNode>("sink \"quoted\"", 1u, 0u);
  const auto source = graph.AddNode<DynamicNode>("source", 0u, 1u);
  graph.AddNode<SourceNode>("dead", 1.0f);
  graph.ConnectUntyped(source, 0, sink, 0);
  EXPECT_NE(Dot(graph).find("n1 -> n0 [label=\"OUT > IN\\nunsigned int\"]"), std::string::npos) << Dot(graph);
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime->SealSetup()));
  ASSERT_TRUE(Ok(graph.Compile()));
  EXPECT_EQ(Dot(graph),
            "digraph \"demo\" {\n"
            "  rankdir=LR;\n"
            "  node [shape=box];\n"
            "  n0 [label=\"sink \\\"quoted\\\"\\n#1\"];\n"
            "  n1 [label=\"source\\n#0\"];\n"
            "  n2 [label=\"dead\", style=dashed];\n"
            "  n1 -> n0 [label=\"OUT > IN\\nunsigned int\\n#0..#1\"];\n"
            "}\n");
}

TEST(Dot, G11_DanglingConnectionsAreLeftOutAndFailedNodesAreRed) {
  const auto runtime = MakeRuntime();
  RenderGraph broken(*runtime);
  const auto a = broken.AddNode<SourceNode>("a", 1.0f);
  broken.ConnectUntyped(a, 5, a, 0);
  broken.ConnectUntyped({}, 0, a, 0);
  EXPECT_EQ(Dot(broken).find("->"), std::string::npos);

  RenderGraph graph(*runtime);
  const auto probe = graph.AddNode<ProbeNode>("probe");
  probe->failuresLeft = 1;
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(runtime->SealSetup()));
  EXPECT_FALSE(graph.Compile());
  EXPECT_NE(Dot(graph).find("color=red"), std::string::npos);
}

}  // namespace
}  // namespace stadial::graph::testing
