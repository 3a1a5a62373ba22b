#include "taa_cpu.h"

#include <gtest/gtest.h>

#include <cmath>

#include "default_scene.h"
#include "frame_uniforms.h"
#include "small_world.h"

namespace stadial::sandbox {
namespace {

using namespace testing;

constexpr std::uint32_t kWidth = 64, kHeight = 48;

class Accumulation {
 public:
  explicit Accumulation(const World& world)
      : world_(world), current_(kWidth * kHeight), history_(kWidth * kHeight), resolved_(kWidth * kHeight) {
    parameters.width = kWidth;
    parameters.height = kHeight;
    CameraSpec spec = ParseCamera("305,24,0").Value();
    AimAtWorld(world, static_cast<float>(kWidth) / kHeight, spec);
    parameters.camera = parameters.previousCamera = MakeCamera(spec);
  }

  // Draws the next frame and blends it in.
  void Frame() {
    parameters.jitter = HaltonJitter(index_);
    parameters.historyValid = index_ > 0;
    const FrameUniforms frame = MakeFrameUniforms(world_, environment, parameters);
    RayMarchCpu(world_, world_.Cells(), frame).Rows(0, kHeight, current_);
    ResolveTaaCpu(frame, current_, history_, resolved_);
    history_.swap(resolved_);
    ++index_;
  }

  const std::vector<HistorySample>& Image() const { return history_; }
  const std::vector<PixelSample>& Current() const { return current_; }

  FrameParameters parameters;
  Environment environment;

 private:
  const World& world_;
  std::uint64_t index_ = 0;
  std::vector<PixelSample> current_;
  std::vector<HistorySample> history_, resolved_;
};

// 64 samples per pixel on a regular 8 x 8 grid: not the sequence that accumulation uses.
std::vector<Vec3> Supersampled(const World& world, FrameParameters parameters,
                               const Environment& environment) {
  std::vector<Vec3> mean(kWidth * kHeight);
  std::vector<PixelSample> samples(kWidth * kHeight);
  for (int i = 0; i < 64; ++i) {
    const int column = i % 8;
    const int row = i / 8;
    parameters.jitter = {(static_cast<float>(column) + 0.5F) / 8.0F - 0.5F,
                         (static_cast<float>(row) + 0.5F) / 8.0F - 0.5F};
    const FrameUniforms frame = MakeFrameUniforms(world, environment, parameters);
    RayMarchCpu(world, world.Cells(), frame).Rows(0, kHeight, samples);
    for (std::size_t p = 0; p < mean.size(); ++p) mean[p] = mean[p] + samples[p].colour * (1.0F / 64.0F);
  }
  return mean;
}

// Mean absolute error after tone mapping, in steps of 1/255.
double Error(const std::vector<HistorySample>& image, const std::vector<Vec3>& truth, float exposure) {
  double sum = 0;
  for (std::size_t p = 0; p < image.size(); ++p) {
    const std::uint32_t a = TonemapCpu(image[p].colour, exposure);
    const std::uint32_t b = TonemapCpu(truth[p], exposure);
    for (unsigned shift = 0; shift < 24; shift += 8) {
      sum += std::abs(static_cast<double>(a >> shift & 0xffU) - static_cast<double>(b >> shift & 0xffU));
    }
  }
  return sum / (3.0 * static_cast<double>(image.size()));
}

TEST(Taa, He_ConvergesOnAStillScene) {
  const World world = BuildWorld(MakeDefaultScene());
  Accumulation taa(world);
  taa.parameters.still = true;
  const std::vector<Vec3> truth = Supersampled(world, taa.parameters, taa.environment);
  std::vector<double> errors;
  std::uint32_t frames = 0;
  for (const std::uint32_t until : {1U, 2U, 4U, 8U, 16U, 32U, 64U}) {
    while (frames < until) {
      taa.Frame();
      ++frames;
    }
    errors.push_back(Error(taa.Image(), truth, taa.environment.exposure));
    std::printf("after %2u frames: mean absolute error %.3f of 255\n", frames, errors.back());
  }
  for (std::size_t i = 1; i < errors.size(); ++i) EXPECT_LT(errors[i], errors[i - 1]);
  EXPECT_LT(errors.back(), 0.1 * errors.front());
  for (const HistorySample& sample : taa.Image()) ASSERT_EQ(HistoryCount(sample.packed), 64u);
}

// With things moving the samples are clamped and counted up to 16: still much better than one frame.
TEST(Taa, He_HelpsWhileThingsMove) {
  const World world = BuildWorld(MakeDefaultScene());
  Accumulation taa(world);
  const std::vector<Vec3> truth = Supersampled(world, taa.parameters, taa.environment);
  taa.Frame();
  const double first = Error(taa.Image(), truth, taa.environment.exposure);
  for (int i = 0; i < 31; ++i) taa.Frame();
  const double later = Error(taa.Image(), truth, taa.environment.exposure);
  EXPECT_LT(later, 0.5 * first);
  std::uint32_t most = 0;
  for (const HistorySample& sample : taa.Image()) most = std::max(most, HistoryCount(sample.packed));
  EXPECT_EQ(most, taa.parameters.accumulatedFramesMax);
}

TEST(Taa, He_FollowsAMovingCamera) {
  const World world = BuildWorld(MakeDefaultScene());
  Accumulation taa(world);
  CameraSpec spec = ParseCamera("305,24,0").Value();
  AimAtWorld(world, static_cast<float>(kWidth) / kHeight, spec);
  for (int i = 0; i < 24; ++i) {
    taa.parameters.previousCamera = taa.parameters.camera;
    taa.parameters.camera = MakeCamera(spec, 0.05F * static_cast<float>(i));
    taa.Frame();
  }
  FrameParameters last = taa.parameters;
  const std::vector<Vec3> truth = Supersampled(world, last, taa.environment);
  std::vector<HistorySample> raw;
  for (const PixelSample& sample : taa.Current()) raw.push_back({sample.colour, 0});
  EXPECT_LT(Error(taa.Image(), truth, taa.environment.exposure),
            0.8 * Error(raw, truth, taa.environment.exposure));
  std::uint32_t kept = 0;
  for (const HistorySample& sample : taa.Image()) kept += HistoryCount(sample.packed) > 8;
  EXPECT_GT(kept, kWidth * kHeight * 2 / 3) << "most pixels found their history";
}

TEST(Taa, He_WithoutValidHistoryTheSampleStandsAlone) {
  const World world = BuildWorld(MakeDefaultScene());
  Accumulation taa(world);
  taa.Frame();
  const auto first = taa.Current();
  for (std::size_t p = 0; p < first.size(); ++p) {
    ASSERT_EQ(taa.Image()[p].colour, first[p].colour);
    ASSERT_EQ(HistoryCount(taa.Image()[p].packed), 1u);
  }
}

// One pixel of history that shows something nearer than anything around the pixel now.
TEST(Taa, He_DropsHistoryOfWhatIsGone) {
  const World world = BuildWorld(MakeTestScene({32, 32, 32}, {{0, 0, 0, kTestStone}}));
  FrameParameters parameters;
  parameters.width = parameters.height = 4;
  parameters.camera = parameters.previousCamera = MakeCamera(ParseCamera("0,0,10").Value());
  parameters.historyValid = true;
  const FrameUniforms frame = MakeFrameUniforms(world, {}, parameters);
  const std::vector<PixelSample> current(16, PixelSample{{0.5F, 0.5F, 0.5F}, 100.0F});
  std::vector<HistorySample> history(16, HistorySample{{0.5F, 0.5F, 0.5F}, PackHistory(100.0F, 7)});
  history[5] = {{9.0F, 0.0F, 0.0F}, PackHistory(50.0F, 7)};   // another surface
  history[6] = {{9.0F, 0.0F, 0.0F}, PackHistory(100.5F, 7)};  // the same one, in another light
  std::vector<HistorySample> resolved(16);
  ResolveTaaCpu(frame, current, history, resolved);
  EXPECT_EQ(HistoryCount(resolved[0].packed), 8u);
  EXPECT_EQ(HistoryCount(resolved[5].packed), 1u);
  EXPECT_EQ(resolved[5].colour, current[5].colour);
  EXPECT_EQ(HistoryCount(resolved[6].packed), 8u);
  EXPECT_EQ(resolved[6].colour, current[6].colour) << "clamped to what is around";
}

TEST(PackHistory, IsExactOverItsRange) {
  for (std::uint32_t count = 1; count <= kAccumulatedFramesMax; ++count) {
    for (std::uint32_t sixteenths = 0; sixteenths < 65536; sixteenths += 97) {
      const float distance = std::min(static_cast<float>(sixteenths) / 16.0F, kDistanceMax);
      const float packed = PackHistory(distance, count);
      ASSERT_EQ(HistoryCount(packed), count);
      ASSERT_EQ(HistoryDistance(packed), std::floor(distance * 16.0F) / 16.0F);
    }
  }
  EXPECT_EQ(HistoryDistance(PackHistory(kSkyDistance, 255)), 65534.0F / 16.0F);
}

TEST(Tonemap, EndsOrderAndAlpha) {
  EXPECT_EQ(TonemapCpu({0, 0, 0}, 1.0F), 0xff000000U);
  EXPECT_EQ(TonemapCpu({1000, 1000, 1000}, 1.0F), 0xffffffffU);
  EXPECT_EQ(TonemapCpu({1000, 0, -1}, 1.0F), 0xff0000ffU) << "red in the low byte";
  std::uint32_t before = 0;
  for (int i = 0; i < 1000; ++i) {
    const std::uint32_t red = TonemapCpu({static_cast<float>(i) * 0.01F, 0, 0}, 0.7F) & 0xffU;
    EXPECT_GE(red, before);
    before = red;
  }
}

}  // namespace
}  // namespace stadial::sandbox
