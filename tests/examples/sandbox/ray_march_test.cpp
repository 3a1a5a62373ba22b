#include "ray_march_cpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "default_scene.h"
#include "frame_uniforms.h"
#include "small_world.h"

namespace stadial::sandbox {
namespace {

using namespace testing;

// A view with one pixel of image per degree of freedom, without light other than what a test asks for.
struct View {
  World world;
  Environment environment;
  FrameParameters parameters;

  explicit View(World w) : world(std::move(w)) {
    parameters.width = 33;
    parameters.height = 33;
  }
  void LookFrom(const char* camera) {
    parameters.camera = parameters.previousCamera = MakeCamera(ParseCamera(camera).Value());
  }
  FrameUniforms Frame() const { return MakeFrameUniforms(world, environment, parameters); }
  PixelSample Middle() const {
    const FrameUniforms frame = Frame();
    return RayMarchCpu(world, world.Cells(), frame).Pixel(16, 16);
  }
};

// Cells 8..23 along each axis filled with a colour, in one chunk: content sits at 8..23 of the box in x and
// y.
View CubeView(std::uint8_t colour) {
  std::vector<TestCell> cells;
  AddBox(cells, {0, 0, 0}, {15, 15, 15}, colour);
  return View(BuildWorld(MakeTestScene({16, 16, 16}, cells)));
}

TEST(RayMarch, MeetsTheFaceAtItsDistance) {
  View view = CubeView(kTestStone);
  view.LookFrom("16,-84,8,16,0,8");
  EXPECT_NEAR(view.Middle().distance, 84.0F + 8.0F, 1e-3F);
  view.LookFrom("16,-84,8,16,-200,8");
  EXPECT_EQ(view.Middle().distance, kSkyDistance);
  view.LookFrom("16,16,500,16,16.001,0");
  EXPECT_NEAR(view.Middle().distance, 500.0F - 16.0F, 0.01F);
  view.LookFrom("1000,1000,20,1000,1010,0");
  EXPECT_NEAR(view.Middle().distance, std::sqrt(20.0F * 20.0F + 10.0F * 10.0F), 0.01F) << "the floor";
  view.environment.groundPlane = false;
  EXPECT_EQ(view.Middle().distance, kSkyDistance);
}

TEST(RayMarch, TheJitterMovesTheSample) {
  View view = CubeView(kTestStone);
  view.LookFrom("16,-84,8,16,0,8");
  view.parameters.jitter = {0.25F, -0.25F};
  const FrameUniforms frame = view.Frame();
  view.parameters.jitter = {};
  view.parameters.width = view.parameters.height = 33 * 4;
  // The pixel's centre plus (1/4, -1/4) is where pixel (4 * 16 + 2, 4 * 16 + 1) of a four times finer image
  // has its left bottom quarter: aim there exactly with that image's own jitter.
  view.parameters.jitter = {0.5F - 1e-7F, -0.5F};
  const FrameUniforms fine = view.Frame();
  const PixelSample a = RayMarchCpu(view.world, view.world.Cells(), frame).Pixel(16, 16);
  const PixelSample b = RayMarchCpu(view.world, view.world.Cells(), fine).Pixel(66, 65);
  EXPECT_NEAR(a.distance, b.distance, 1e-3F);
}

TEST(RayMarch, SunLightsAndShadowDarkens) {
  View view = CubeView(kTestStone);
  view.environment.ambient = 0.0F;
  view.environment.hazeCells = 1.0e9F;
  view.environment.sunYaw = 270.0F;  // from -y
  view.environment.sunPitch = 45.0F;
  view.LookFrom("16,-84,8,16,0,8");
  const PixelSample lit = view.Middle();
  const Material& stone = view.world.Materials().materials[1];
  // Facing cos 45 degrees.
  EXPECT_NEAR(lit.colour.x, stone.albedo.x * view.environment.sunColour.x * std::sqrt(0.5F), 1e-3F);
  view.LookFrom("16,116,8,16,0,8");
  EXPECT_NEAR(view.Middle().colour.x, 0.0F, 1e-5F) << "the far side has no sun";
  // The floor behind the cube lies in its shadow, the floor before it does not.
  view.LookFrom("16,26,60,16,28,0");
  EXPECT_NEAR(view.Middle().colour.x, 0.0F, 1e-5F);
  view.LookFrom("16,-10,60,16,-12,0");
  EXPECT_GT(view.Middle().colour.x, 0.05F);
}

TEST(RayMarch, WaterDoesNotShade) {
  std::vector<TestCell> cells;
  AddBox(cells, {0, 0, 0}, {31, 31, 0}, kTestStone);
  AddBox(cells, {0, 0, 20}, {31, 31, 20}, kTestWater);
  View view(BuildWorld(MakeTestScene({32, 32, 32}, cells)));
  view.environment.ambient = 0.0F;
  view.environment.sunPitch = 80.0F;
  view.LookFrom("16,16,10,16,16.01,0");
  EXPECT_GT(view.Middle().colour.x, 0.1F);
}

TEST(RayMarch, AmbientLightReachesCornersLess) {
  std::vector<TestCell> cells;
  AddBox(cells, {0, 0, 0}, {31, 31, 0}, kTestStone);
  AddBox(cells, {16, 16, 1}, {16, 16, 7}, kTestStone);
  View view(BuildWorld(MakeTestScene({32, 32, 32}, cells)));
  view.environment.sunColour = {0, 0, 0};
  view.environment.hazeCells = 1.0e9F;
  const auto from = [&](float x, float y) {
    char text[100];
    std::snprintf(text, sizeof text, "%f,%f,20,%f,%f,0", static_cast<double>(x), static_cast<double>(y),
                  static_cast<double>(x), static_cast<double>(y) + 1e-4);
    view.LookFrom(text);
    return view.Middle().colour.x;
  };
  const float open = from(8.5F, 8.5F);
  EXPECT_LT(from(15.9F, 16.5F), open * 0.85F) << "beside the pillar";
  EXPECT_NEAR(from(14.5F, 16.5F), open, open * 0.001F) << "one cell away it is open again";
}

TEST(RayMarch, AGlowingCellIsBrightAndLightsWhatIsNear) {
  std::vector<TestCell> cells;
  AddBox(cells, {0, 0, 0}, {31, 31, 0}, kTestStone);
  cells.push_back({16, 16, 4, kTestGlow});
  const auto colourAt = [&](const std::vector<TestCell>& all, const char* camera) {
    View view(BuildWorld(MakeTestScene({32, 32, 32}, all)));
    view.environment.sunColour = {0, 0, 0};
    view.environment.ambient = 0.0F;
    view.environment.hazeCells = 1.0e9F;
    view.LookFrom(camera);
    return view.Middle().colour.x;
  };
  EXPECT_NEAR(colourAt(cells, "16.5,-30,4.5,16.5,0,4.5"), 4.0F, 0.01F) << "albedo 1, emission 4";
  const float lit = colourAt(cells, "20.5,16.5,20,20.5,16.51,0");
  EXPECT_GT(lit, 0.01F);
  EXPECT_LT(colourAt(cells, "30.5,16.5,20,30.5,16.51,0"), lit) << "less farther away";
  std::vector<TestCell> walled = cells;
  for (std::int32_t z = 1; z < 12; ++z) {
    for (std::int32_t y = 8; y < 25; ++y) walled.push_back({18, y, z, kTestStone});
  }
  EXPECT_NEAR(colourAt(walled, "20.5,16.5,20,20.5,16.51,0"), 0.0F, 1e-9F) << "not through a wall";
}

TEST(RayMarch, WaterMixesWhatIsBehindWithItsOwnColour) {
  const auto colourThrough = [&](std::int32_t depth) {
    std::vector<TestCell> cells;
    AddBox(cells, {0, 0, 0}, {31, 31, 0}, kTestGlow);
    AddBox(cells, {0, 0, 1}, {31, 31, depth}, kTestWater);
    View view(BuildWorld(MakeTestScene({32, 32, 32}, cells)));
    view.environment.sunColour = {0, 0, 0};
    view.environment.ambient = 0.0F;
    view.environment.skyZenith = view.environment.skyHorizon = {0, 0, 0};
    view.LookFrom("16.5,16.5,60,16.5,16.51,0");
    return view.Middle();
  };
  const float bare = colourThrough(0).colour.x;
  const PixelSample shallow = colourThrough(1);
  const PixelSample deep = colourThrough(10);
  EXPECT_NEAR(shallow.distance, 60.0F - 2.0F, 0.01F) << "the distance is that of the water's face";
  const float absorbed = 1.0F - SrgbToLinear(40);
  const auto lets = [&](float d) {
    const float x = 0.22F * d * absorbed;
    return 1.0F / (1.0F + x + 0.5F * x * x);
  };
  EXPECT_NEAR(shallow.colour.x, bare * lets(1) * 0.97F, bare * 0.01F);
  EXPECT_NEAR(deep.colour.x, bare * lets(10) * 0.97F, bare * 0.01F);
}

TEST(RayMarch, ColoursAndDistancesAreFiniteFromAnywhere) {
  View view(BuildWorld(MakeDefaultScene()));
  view.parameters.width = 24;
  view.parameters.height = 16;
  for (const char* camera :
       {"305,24,300", "64,64,-50,64,64,0", "64.5,64.5,10.5,64,70,10", "0,0,0,1,0,0", "128,128,96,0,0,0",
        "-60000,3,3,0,3,3", "64,64,3000,64,64,0", "0,0,50,128,0,50", "32,32,32,96,96,96"}) {
    view.LookFrom(camera);
    const FrameUniforms frame = view.Frame();
    std::vector<PixelSample> image(24 * 16);
    RayMarchCpu(view.world, view.world.Cells(), frame).Rows(0, 16, image);
    for (const PixelSample& sample : image) {
      ASSERT_TRUE(std::isfinite(sample.colour.x + sample.colour.y + sample.colour.z)) << camera;
      ASSERT_GE(std::min({sample.colour.x, sample.colour.y, sample.colour.z}), 0.0F);
      ASSERT_GE(sample.distance, 0.0F);
      ASSERT_TRUE(sample.distance <= kDistanceMax || sample.distance == kSkyDistance);
    }
  }
}

}  // namespace
}  // namespace stadial::sandbox
