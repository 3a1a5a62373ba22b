// What the devices compute against what the CPU references compute, in this process, with the gate at trap:
// cells, the first frame, the accumulated picture, the picture after a resize; and one driver against the
// other.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "automaton_cpu.h"
#include "default_scene.h"
#include "ray_march_cpu.h"
#include "run_program.h"
#include "sandbox_app.h"
#include "taa_cpu.h"
#include "taa_node.h"

namespace stadial::tests {
namespace {

using namespace stadial::sandbox;

// The CPU references are what takes the time, many times more of it in a sanitized build.
constexpr bool kIsSanitized = SANDBOX_IS_SANITIZED;
constexpr std::uint64_t kAutomatonFrames = kIsSanitized ? 20 : 100;  // of three steps
constexpr std::uint64_t kTruthSamples = 256;                         // per pixel
constexpr const char* kNothingNewForASanitizer =
    "about the numbers in a picture only; the other tests run the same code";

// Some pixels at edges fall on the other side of one: 0.06 % of the channels on an H100, 0.02 % on the
// software drivers. A picture of other cells has many more of them.
constexpr double kVisiblyWrongMax = 0.001;

constexpr std::uint32_t kChannels = 3;  // alpha is 255 everywhere

// A picture as its channels, 0..255.
using Channels = std::vector<double>;

Channels ChannelsOf(const Picture& picture) {
  Channels channels;
  for (std::size_t i = 0; i < picture.pixels.size(); i += 4) {
    for (std::size_t c = 0; c < kChannels; ++c)
      channels.push_back(static_cast<double>(std::to_integer<unsigned>(picture.pixels[i + c])));
  }
  return channels;
}

Channels ChannelsOf(std::span<const Vec3> colours, float exposure) {
  Channels channels;
  for (const Vec3& colour : colours) {
    const std::uint32_t pixel = TonemapCpu(colour, exposure);
    for (std::uint32_t c = 0; c < kChannels; ++c)
      channels.push_back(static_cast<double>((pixel >> (8 * c)) & 0xffU));
  }
  return channels;
}

// In steps of 1/255.
double MeanAbsoluteError(const Channels& a, const Channels& b) {
  EXPECT_EQ(a.size(), b.size());
  double sum = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) sum += std::fabs(a[i] - b[i]);
  return sum / static_cast<double>(a.size());
}

// Of the channels, the part that is off by more than `steps`.
double PartBeyond(const Channels& a, const Channels& b, double steps) {
  std::size_t beyond = 0;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    beyond += std::fabs(a[i] - b[i]) > steps ? 1u : 0u;
  return static_cast<double>(beyond) / static_cast<double>(a.size());
}

double Spread(const Channels& channels) {
  const auto [low, high] = std::ranges::minmax(channels);
  return high - low;
}

World DefaultWorld() {
  auto world = World::Build(MakeDefaultScene(), {}, "the default scene");
  EXPECT_TRUE(world) << world.GetError().Message();
  return std::move(world).Value();
}

std::vector<Vec3> MarchCpu(const World& world, std::span<const std::uint32_t> cells,
                           const FrameUniforms& frame) {
  std::vector<PixelSample> image(std::size_t{frame.image[0]} * frame.image[1]);
  RayMarchCpu(world, cells, frame).Rows(0, frame.image[1], image);
  std::vector<Vec3> colours;
  for (const PixelSample& sample : image) colours.push_back(sample.colour);
  return colours;
}

// The mean of many jittered samples per pixel: what accumulation is after.
std::vector<Vec3> MarchCpuSupersampled(const World& world, std::span<const std::uint32_t> cells,
                                       FrameUniforms frame, std::uint64_t samples) {
  std::vector<Vec3> mean(std::size_t{frame.image[0]} * frame.image[1]);
  for (std::uint64_t i = 0; i < samples; ++i) {
    const Jitter jitter = HaltonJitter(i);
    frame.jitter[0] = jitter.x;
    frame.jitter[1] = jitter.y;
    const std::vector<Vec3> colours = MarchCpu(world, cells, frame);
    for (std::size_t p = 0; p < mean.size(); ++p)
      mean[p] = mean[p] + colours[p] * (1.0F / static_cast<float>(samples));
  }
  return mean;
}

class SandboxPicture : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!HasDevice(GetParam()))
      GTEST_SKIP() << "no driver with a device '" << GetParam() << "' on this machine";
  }

  // Runs to the end and checks that no frame allocated on the way.
  static std::unique_ptr<SandboxApp> RunApp(Options options, const char* device = GetParam()) {
    options.device = device;
    auto app = SandboxApp::Create(options, {.levelMin = runtime::LogLevel::Warning});
    EXPECT_TRUE(app) << app.GetError().Message();
    if (!app) return nullptr;
    const auto run = (*app)->Run();
    EXPECT_TRUE(run) << run.GetError().Message();
    if (!run) return nullptr;
    const runtime::AuditReport audit = (*app)->Audit();
    EXPECT_NE(audit.gate.state, "DISARMED") << audit.gate.selftest;
    if (!kIsSanitized) {
      EXPECT_EQ(audit.gate.state, "ARMED") << audit.gate.selftest;
    }
    EXPECT_EQ(audit.frameThreads.heapAllocations, 0u);
    EXPECT_EQ(audit.frameThreads.heapFrees, 0u);
    for (const Picture& picture : (*app)->Pictures())
      EXPECT_TRUE(picture.isFilled) << "frame " << picture.frame;
    return std::move(app).Value();
  }

  static std::vector<std::byte> CellsOf(SandboxApp& app) {
    auto cells = app.Cells();
    EXPECT_TRUE(cells) << cells.GetError().Message();
    if (!cells) return {};
    return {cells->begin(), cells->end()};
  }
};

Options Small(std::uint64_t frames, std::uint32_t width, std::uint32_t height) {
  Options options;
  options.frames = frames;
  options.size = {width, height};
  return options;
}

// The number of cells that differ; all of them when the sizes do.
std::size_t DifferentCells(std::span<const std::byte> a, std::span<const std::uint32_t> words) {
  const std::span<const std::byte> b = std::as_bytes(words);
  if (a.size() != b.size()) return std::max(a.size(), b.size());
  std::size_t different = 0;
  for (std::size_t i = 0; i < a.size(); ++i) different += a[i] != b[i] ? 1u : 0u;
  return different;
}

TEST_P(SandboxPicture, P_b_AutomatonEqualsTheReferenceAfter300Steps) {
  Options options = Small(kAutomatonFrames, 16, 16);
  options.stepsPerFrame = 3;  // odd, so that frames begin with either buffer in turn
  options.seed = 20;
  options.cellsPath = "kept in memory";
  const auto app = RunApp(options);
  ASSERT_NE(app, nullptr);
  const std::vector<std::byte> cells = CellsOf(*app);

  const World world = DefaultWorld();
  ASSERT_GT(world.Statistics().sandCells + world.Statistics().waterCells, 1000u)
      << "too little moves for this to say anything";
  AutomatonCpu reference(world, options.seed);
  for (std::uint64_t step = 1; step < kAutomatonFrames * options.stepsPerFrame; ++step) reference.Step();
  EXPECT_GT(DifferentCells(cells, reference.Cells()), 0u)
      << "control: one step earlier the cells were others";
  reference.Step();
  EXPECT_EQ(DifferentCells(cells, reference.Cells()), 0u) << "of " << cells.size() << " cells";
}

TEST_P(SandboxPicture, FirstFrameMatchesTheReference) {
  const auto app = RunApp(Small(1, 320, 180));
  ASSERT_NE(app, nullptr);
  const World world = DefaultWorld();
  AutomatonCpu automaton(world, app->GetOptions().seed);
  automaton.Step();
  const FrameUniforms& frame = app->LastUniforms();
  const Channels expected = ChannelsOf(MarchCpu(world, automaton.Cells(), frame), frame.cameraPosition[3]);
  const Channels seen = ChannelsOf(app->Pictures().back());
  ASSERT_GT(Spread(expected), 100.0) << "an even picture would match anything";
  const double error = MeanAbsoluteError(seen, expected);
  RecordProperty("mean_absolute_error", std::to_string(error));
  EXPECT_LE(error, 1.0) << "in steps of 1/255";
  EXPECT_LE(PartBeyond(seen, expected, 8), kVisiblyWrongMax);
}

TEST_P(SandboxPicture, H_e_AccumulationConvergesOnAStillScene) {
  if (kIsSanitized) GTEST_SKIP() << kNothingNewForASanitizer;
  Options options = Small(96, 96, 54);
  options.stepsPerFrame = 0;
  options.saveEvery = 1;
  const auto app = RunApp(options);
  ASSERT_NE(app, nullptr);
  const World world = DefaultWorld();
  const FrameUniforms& frame = app->LastUniforms();
  const Channels truth =
      ChannelsOf(MarchCpuSupersampled(world, world.Cells(), frame, kTruthSamples), frame.cameraPosition[3]);
  const auto errorOf = [&](std::size_t index) {
    return MeanAbsoluteError(ChannelsOf(app->Pictures()[index]), truth);
  };
  const double first = errorOf(0);
  EXPECT_GT(first, 2.0) << "one sample per pixel was as good as many: there is nothing to accumulate";
  EXPECT_LT(errorOf(7), first / 2);
  EXPECT_LT(errorOf(31), errorOf(7));
  EXPECT_LT(errorOf(95), first / 8);
  // Nothing flickers any more.
  EXPECT_LT(MeanAbsoluteError(ChannelsOf(app->Pictures()[95]), ChannelsOf(app->Pictures()[94])), 0.25);
}

TEST_P(SandboxPicture, H_e_AccumulationHelpsAMovingCamera) {
  if (kIsSanitized) GTEST_SKIP() << kNothingNewForASanitizer;
  Options options = Small(24, 160, 90);
  options.stepsPerFrame = 0;
  options.turnDegrees = 12.0F;
  const auto app = RunApp(options);
  ASSERT_NE(app, nullptr);
  const World world = DefaultWorld();
  const FrameUniforms& frame = app->LastUniforms();
  const float exposure = frame.cameraPosition[3];
  const Channels truth =
      ChannelsOf(MarchCpuSupersampled(world, world.Cells(), frame, kTruthSamples / 2), exposure);
  const Channels single = ChannelsOf(MarchCpu(world, world.Cells(), frame), exposure);
  const double accumulated = MeanAbsoluteError(ChannelsOf(app->Pictures().back()), truth);
  EXPECT_LT(accumulated, MeanAbsoluteError(single, truth))
      << "ghosts and smear cost more than the samples of earlier frames gain";
}

TEST_P(SandboxPicture, H_c_AResizeForgetsTheHistory) {
  Options options = Small(9, 96, 54);
  options.resizes = {{.frame = 4, .size = {48, 80}}, {.frame = 8, .size = {128, 72}}};
  options.saveEvery = 1;
  // Much moves from frame to frame, and each begins with the other buffer.
  options.stepsPerFrame = kIsSanitized ? 3 : 15;
  const auto app = RunApp(options);
  ASSERT_NE(app, nullptr);
  ASSERT_EQ(app->Pictures().size(), 9u);
  EXPECT_EQ(app->RecompileCount(), 2u);
  for (std::uint64_t frame = 0; frame < 9; ++frame) {
    EXPECT_EQ(app->Pictures()[frame].size, SizeOfFrame(options, frame)) << "frame " << frame;
  }
  // The first frame of the new size is a first frame: one sample per pixel, nothing of what was before.
  const World world = DefaultWorld();
  AutomatonCpu automaton(world, options.seed);
  const std::uint64_t steps = options.frames * options.stepsPerFrame;
  while (automaton.StepCount() < steps - options.stepsPerFrame) automaton.Step();
  const FrameUniforms& frame = app->LastUniforms();
  ASSERT_EQ(frame.image[0], 128u);
  const Channels stale = ChannelsOf(MarchCpu(world, automaton.Cells(), frame), frame.cameraPosition[3]);
  while (automaton.StepCount() < steps) automaton.Step();
  const Channels expected = ChannelsOf(MarchCpu(world, automaton.Cells(), frame), frame.cameraPosition[3]);
  const Channels seen = ChannelsOf(app->Pictures()[8]);
  EXPECT_LE(MeanAbsoluteError(seen, expected), 1.0) << "in steps of 1/255";
  EXPECT_LE(PartBeyond(seen, expected, 8), kVisiblyWrongMax);
  if (!kIsSanitized) {  // there too little moves in a frame
    EXPECT_GT(PartBeyond(seen, stale, 8), kVisiblyWrongMax)
        << "the cells of one frame before would have passed";
  }
  // And the timeline says why there is no earlier frame.
  auto* const taa = dynamic_cast<TaaNode*>(app->Graph().NodeAt(app->Graph().FindNode("taa")));
  ASSERT_NE(taa, nullptr);
  EXPECT_EQ(taa->GetPreviousFrameResource(1, TaaNode::kAccumulated).reason, graph::HistoryReason::Resized);
}

// Under a sanitizer one driver is enough here: it sees our code, which is the same for both, and they are
// compared below.
INSTANTIATE_TEST_SUITE_P(Drivers, SandboxPicture,
                         ::testing::ValuesIn(kIsSanitized ? std::vector<const char*>{kLavapipe}
                                                          : TestDevices()),
                         [](const auto& instance) { return TestNameOf(instance.param); });

class SandboxDrivers : public SandboxPicture {};

TEST_P(SandboxDrivers, BothDriversAgree) {
  if (!HasDevice(kSwiftShader))
    GTEST_SKIP() << "no driver with a device '" << kSwiftShader << "' on this machine";
  Options options = Small(24, 160, 90);
  options.turnDegrees = 5.0F;
  options.cellsPath = "kept in memory";
  const auto one = RunApp(options, kLavapipe);
  ASSERT_NE(one, nullptr);
  const std::vector<std::byte> cells = CellsOf(*one);
  std::vector<Channels> pictures;
  for (const Picture& picture : one->Pictures()) pictures.push_back(ChannelsOf(picture));

  const auto other = RunApp(options, kSwiftShader);
  ASSERT_NE(other, nullptr);
  EXPECT_TRUE(cells == CellsOf(*other)) << "cells differ";
  ASSERT_EQ(other->Pictures().size(), pictures.size());
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    EXPECT_LE(MeanAbsoluteError(ChannelsOf(other->Pictures()[i]), pictures[i]), 1.0)
        << "frame " << other->Pictures()[i].frame;
  }
}

INSTANTIATE_TEST_SUITE_P(Drivers, SandboxDrivers, ::testing::Values(kLavapipe),
                         [](const auto& instance) { return std::string(instance.param); });

}  // namespace
}  // namespace stadial::tests
