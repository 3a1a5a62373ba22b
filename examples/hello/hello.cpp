// A whole Stadial program, without a GPU: two typed nodes, an event, 1,000 frames that cannot allocate, the
// audit.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "stadial/graph/render_graph.h"
#include "stadial/runtime/runtime.h"

using namespace stadial;

struct WaveConfig : graph::NodeConfig<WaveConfig> {
  OUTPUT_SLOT(HEIGHT, float);
};
class WaveNode final : public graph::TypedNode<WaveConfig> {
 public:
  void Execute(ExecuteContext& ctx) override {
    ctx.Out(HEIGHT, std::sin(0.01f * static_cast<float>(ctx.Frame().frameIndex)));
  }
};

struct PeakConfig : graph::NodeConfig<PeakConfig> {
  INPUT_SLOT(HEIGHT, float);
};
class PeakNode final : public graph::TypedNode<PeakConfig> {
 public:
  arenas::Result<void> Compile(CompileContext&) override {
    peak = 0.0f;  // a NodeDirty event starts the search again
    return {};
  }
  void Execute(ExecuteContext& ctx) override { peak = std::max(peak, ctx.In(HEIGHT)); }
  float peak = 0.0f;
};

int main() {
  const runtime::RuntimePtr runtime = runtime::Runtime::Create({.name = "hello"}).Value();
  graph::RenderGraph graph(*runtime, {.name = "hello"});
  const auto wave = graph.AddNode<WaveNode>("wave");
  const auto peak = graph.AddNode<PeakNode>("peak");
  graph.Connect(wave, WaveConfig::HEIGHT, peak, PeakConfig::HEIGHT);
  for (const arenas::Result<void>& step : {graph.Setup(), runtime->SealSetup(), graph.Compile()}) {
    if (!step) return std::fprintf(stderr, "hello: %s\n", step.GetError().Message()), 1;
  }
  for (int i = 0; i < 1000; ++i) {
    if (i == 500 &&
        !runtime->Events().Emit({.type = runtime::EventType::NodeDirty, .data = peak.Handle().EventData()}))
      return 1;
    if (const arenas::Result<void> frame = graph.Execute(); !frame)
      return std::fprintf(stderr, "hello: %s\n", frame.GetError().Message()), 1;
  }
  std::printf("peak of the last 500 frames: %.3f\n\n", static_cast<double>(peak->peak));
  const runtime::AuditReport audit = runtime->BuildAudit();
  runtime::PrintAudit(audit, stdout);
  return audit.verdict == runtime::AuditVerdict::Fail ? 1 : 0;
}
