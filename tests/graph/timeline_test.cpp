#include "stadial/graph/timeline.h"

#include "graph_fixture.h"

namespace stadial::graph::testing {
namespace {

constexpr ResourceId kColor = 1;

struct AccumulateConfig : NodeConfig<AccumulateConfig> {
  OUTPUT_SLOT(RESULT, float);
};

// Keeps one image per frame and looks back as far as it may; remembers what it saw.
class AccumulateNode : public TimelineTypedNode<AccumulateConfig> {
 public:
  explicit AccumulateNode(std::uint32_t frames) : frames_(frames) {}
  std::uint32_t GetMaxHistoryFrames() const override { return frames_; }
  std::uint32_t GetHistoryResourceCount() const override { return 2; }
  Result<void> Setup(SetupContext& ctx) override {
    ++setups;
    depthInSetup = History().Depth();
    for (auto& image : images) {
      auto created = ctx.Resources().Create({.kind = ResourceKind::Image, .name = "colour"});
      if (!created) return created.GetError();
      image = *created;
    }
    return {};
  }
  void Execute(ExecuteContext& ctx) override {
    lookup = GetPreviousFrameResource(1, kColor);
    oldest = GetPreviousFrameResource(frames_, kColor);
    if (stores) StoreCurrentFrameResource(kColor, images[ctx.Frame().frameIndex % images.size()], true);
    ctx.Out(RESULT, lookup ? 1.0f : 0.0f);
  }

  std::array<ResourceHandle, 16> images;
  HistoryLookup lookup;
  HistoryLookup oldest;
  std::uint32_t depthInSetup = 0;
  int setups = 0;
  bool stores = true;

 private:
  std::uint32_t frames_;
};

class TimelineTest : public GraphTest {};

TEST_F(TimelineTest, Ha_SurveyAppliesTheDeepestRequestToAll) {
  RenderGraph graph(*runtime_);
  const auto taa = graph.AddNode<AccumulateNode>("taa", 4u);
  const auto blur = graph.AddNode<AccumulateNode>("blur", 8u);
  const auto filter = graph.AddNode<AccumulateNode>("filter", 2u);
  ASSERT_TRUE(Ok(graph.Setup()));
  EXPECT_EQ(taa->History().HistoryFrames(), 8u);
  EXPECT_EQ(blur->History().HistoryFrames(), 8u);
  EXPECT_EQ(filter->History().HistoryFrames(), 8u);
  EXPECT_EQ(taa->depthInSetup, 9u) << "a node's own Setup may already rely on it";
  EXPECT_EQ(graph.HistoryDepth(), 9u);
  EXPECT_EQ(graph.ReplayPeriod(), 9u);
}

TEST_F(TimelineTest, Ha_FloorIsConfigurable) {
  RenderGraph standard(*runtime_);
  const auto a = standard.AddNode<AccumulateNode>("a", 1u);
  ASSERT_TRUE(Ok(standard.Setup()));
  EXPECT_EQ(a->History().HistoryFrames(), 4u);
  RenderGraph shallow(*runtime_, {.historyFramesMin = 0});
  const auto b = shallow.AddNode<AccumulateNode>("b", 1u);
  ASSERT_TRUE(Ok(shallow.Setup()));
  EXPECT_EQ(b->History().HistoryFrames(), 1u);
  EXPECT_EQ(b->History().Depth(), 2u);
}

TEST_F(TimelineTest, Hb_HistoryFollowsTheFrames) {
  RenderGraph graph(*runtime_, {.historyFramesMin = 3});
  const auto node = graph.AddNode<AccumulateNode>("node", 3u);
  Start(graph);
  for (std::uint64_t frame = 0; frame < 40; ++frame) {
    ASSERT_TRUE(Ok(graph.Execute()));
    if (frame == 0) {
      EXPECT_EQ(node->lookup.reason, HistoryReason::FirstFrame);
    } else {
      EXPECT_EQ(node->lookup.handle, node->images[(frame - 1) % node->images.size()]);
    }
    if (frame >= 3) {
      EXPECT_EQ(node->oldest.handle, node->images[(frame - 3) % node->images.size()]);
    }
  }
}

// T5: the seeds rotated on a queued FrameEnd event, so a full or late queue shifted all history by a frame.
// Here the queue is full and never drained.
TEST_F(TimelineTest, T5_RotationNeedsNoEvent) {
  RenderGraph graph(*runtime_);
  const auto node = graph.AddNode<AccumulateNode>("node", 2u);
  Start(graph);
  const std::size_t capacity = graph.Events().GetStats().capacity;
  for (std::size_t i = 0; i < capacity; ++i) {
    ASSERT_TRUE(graph.Events().Emit({.type = runtime::EventType::FrameEnd}));
  }
  for (std::uint64_t frame = 0; frame < 5; ++frame) {
    runtime::FrameContext* ctx = runtime_->Frames().Begin().Value();
    graph.BeginFrame(*ctx);  // before anybody looks; Execute then leaves it alone
    EXPECT_EQ(node->History().CurrentFrame(), frame);
    graph.Execute(*ctx);
    EXPECT_EQ(node->History().CurrentFrame(), frame);
    runtime_->Frames().End(ctx->completionValue);
    EXPECT_EQ(node->lookup.reason, frame == 0 ? HistoryReason::FirstFrame : HistoryReason::Available);
  }
  EXPECT_EQ(graph.Events().GetStats().eventCount, capacity);
}

// T10: the seeds subscribed again at every Setup, and then handled every event twice.
TEST_F(TimelineTest, T10_RepeatedSetupSubscribesAndSetsUpOnce) {
  RenderGraph graph(*runtime_);
  const auto node = graph.AddNode<AccumulateNode>("node", 2u);
  const auto probe = graph.AddNode<ProbeNode>("probe");
  ASSERT_TRUE(Ok(graph.Setup()));
  const std::uint32_t subscriptions = graph.Events().GetStats().subscriptions;
  const FrameHistory* const history = &node->History();
  ASSERT_EQ(node->StoreCurrentFrameResource(kColor, node->images[0], true), StoreResult::Stored);
  ASSERT_TRUE(Ok(graph.Setup()));
  ASSERT_TRUE(Ok(graph.Setup()));
  EXPECT_EQ(graph.Events().GetStats().subscriptions, subscriptions);
  EXPECT_EQ(node->setups, 1);
  EXPECT_TRUE(history->Get(0, kColor)) << "and forgets nothing";

  ASSERT_TRUE(Ok(runtime_->SealSetup()));
  ASSERT_TRUE(Ok(graph.Compile()));
  ASSERT_TRUE(
      graph.Events().Emit({.type = runtime::EventType::NodeDirty, .data = probe.Handle().EventData()}));
  graph.ProcessEvents();
  ASSERT_TRUE(Ok(graph.RecompileDirtyNodes()));
  EXPECT_EQ(graph.LastRecompile().eventsReceived, 1u);
  EXPECT_EQ(probe->compiles, 2) << "at the graph compile, and once for the event";
}

// T14: a resize destroys the images; nothing of the old size comes back, and the new history starts.
TEST_F(TimelineTest, T14_ResizeLeavesNoDanglingResource) {
  RenderGraph graph(*runtime_);
  const auto node = graph.AddNode<AccumulateNode>("node", 2u);
  Start(graph);
  for (int frame = 0; frame < 3; ++frame) ASSERT_TRUE(Ok(graph.Execute()));
  ASSERT_TRUE(node->lookup);

  for (auto& image : node->images) {
    ASSERT_TRUE(graph.Resources().Destroy(image));
    image = graph.Resources().Create({.kind = ResourceKind::Image, .name = "resized"}).Value();
  }
  node->Invalidate();
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_EQ(node->lookup.reason, HistoryReason::Resized);
  EXPECT_TRUE(node->lookup.handle.IsNull());
  EXPECT_EQ(node->oldest.reason, HistoryReason::Resized);
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_TRUE(node->lookup);
  EXPECT_EQ(node->oldest.reason, HistoryReason::Resized);
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_TRUE(node->oldest);
}

TEST_F(TimelineTest, Hb_ANodeThatStoresNothingSeesThat) {
  RenderGraph graph(*runtime_);
  const auto node = graph.AddNode<AccumulateNode>("node", 2u);
  Start(graph);
  ASSERT_TRUE(Ok(graph.Execute()));
  node->stores = false;
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_TRUE(node->lookup);
  ASSERT_TRUE(Ok(graph.Execute()));
  EXPECT_EQ(node->lookup.reason, HistoryReason::NotStored);
}

TEST_F(TimelineTest, Ha_WithoutTimelinesDepthIsOne) {
  RenderGraph graph(*runtime_);
  graph.AddNode<SourceNode>("source", 1.0f);
  ASSERT_TRUE(Ok(graph.Setup()));
  EXPECT_EQ(graph.HistoryDepth(), 1u);
  EXPECT_EQ(graph.ReplayPeriod(), 1u);
}

}  // namespace
}  // namespace stadial::graph::testing
