#include "camera.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "default_scene.h"
#include "frame_uniforms.h"
#include "small_world.h"

namespace stadial::sandbox {
namespace {

using namespace testing;
using ::testing::HasSubstr;

std::string CameraError(const char* text) {
  const auto spec = ParseCamera(text);
  EXPECT_FALSE(spec) << text;
  return spec ? std::string() : std::string(spec.GetError().Message());
}

TEST(ParseCamera, ReadsBothForms) {
  auto orbit = ParseCamera("305, 24,120.5");
  ASSERT_TRUE(orbit);
  EXPECT_FALSE(orbit->fixed);
  EXPECT_EQ(orbit->yaw, 305.0F);
  EXPECT_EQ(orbit->pitch, 24.0F);
  EXPECT_EQ(orbit->distance, 120.5F);
  EXPECT_EQ(orbit->fieldOfView, kFieldOfViewDefault);
  EXPECT_EQ(ParseCamera("-30,-89,0,60")->fieldOfView, 60.0F);
  auto fixed = ParseCamera("1,2,3,4,5,6,90");
  ASSERT_TRUE(fixed);
  EXPECT_TRUE(fixed->fixed);
  EXPECT_EQ(fixed->position, (Vec3{1, 2, 3}));
  EXPECT_EQ(fixed->target, (Vec3{4, 5, 6}));
  EXPECT_EQ(fixed->fieldOfView, 90.0F);
}

TEST(ParseCamera, NamesWhatIsWrong) {
  for (const char* text : {"", "1", "1,2", "1,2,3,4,5", "1,2,3,4,5,6,7,8", "a,b,c", "1,2,3x", "1,,3",
                           "1,2,nan", "inf,2,3", "1,2,3,", "1e99,2,3"}) {
    EXPECT_THAT(CameraError(text), HasSubstr("neither yaw,pitch,distance[,fov] nor px,py,pz,tx,ty,tz[,fov]"));
  }
  EXPECT_THAT(CameraError("0,90,10"), HasSubstr("pitch 90 must lie in -89..89"));
  EXPECT_THAT(CameraError("0,0,-1"), HasSubstr("distance -1"));
  EXPECT_THAT(CameraError("0,0,1e9"), HasSubstr("distance 1e+09"));
  EXPECT_THAT(CameraError("0,0,10,180"), HasSubstr("field of view 180 must lie in 1..150"));
  EXPECT_THAT(CameraError("1,2,3,1,2,3"), HasSubstr("same point"));
  EXPECT_THAT(CameraError("1,2,300000,1,2,3"), HasSubstr("300000 lies beyond"));
}

TEST(MakeCamera, IsARightHandedOrthonormalFrame) {
  for (const char* text :
       {"0,0,10", "90,30,10", "305,-60,5", "200,89,5", "0,0,10,0,0,0", "0,0,0,0,0,-10", "3,4,5,-6,7,8"}) {
    const Camera camera = MakeCamera(ParseCamera(text).Value());
    EXPECT_NEAR(Length(camera.forward), 1.0F, 1e-5F) << text;
    EXPECT_NEAR(Length(camera.right), 1.0F, 1e-5F);
    EXPECT_NEAR(Length(camera.up), 1.0F, 1e-5F);
    EXPECT_NEAR(Dot(camera.forward, camera.right), 0.0F, 1e-5F);
    EXPECT_NEAR(Dot(Cross(camera.right, camera.forward), camera.up), 1.0F, 1e-5F);
    EXPECT_GE(camera.up.z, -1e-5F) << "up is never down";
  }
}

TEST(MakeCamera, YawSaysOnWhichSideItStands) {
  CameraSpec spec;
  spec.target = {100, 100, 10};
  spec.distance = 50;
  spec.pitch = 0;
  const auto position = [&](float yaw) {
    spec.yaw = yaw;
    return MakeCamera(spec).position;
  };
  EXPECT_NEAR(position(0).x, 150, 1e-3);
  EXPECT_NEAR(position(90).y, 150, 1e-3);
  EXPECT_NEAR(position(180).x, 50, 1e-3);
  const Camera turned = MakeCamera(spec, 90.0F);
  EXPECT_NEAR(turned.position.y, 50, 1e-3) << "a turn adds to the yaw";
}

TEST(HaltonJitter, CoversThePixelEvenlyAndRepeats) {
  std::set<std::pair<float, float>> seen;
  std::array<int, 36> strata{};
  for (std::uint64_t i = 0; i < 1296; ++i) {
    const Jitter j = HaltonJitter(i);
    ASSERT_GE(j.x, -0.5F);
    ASSERT_LT(j.x, 0.5F);
    ASSERT_GE(j.y, -0.5F);
    ASSERT_LT(j.y, 0.5F);
    seen.insert({j.x, j.y});
    const Jitter later = HaltonJitter(i + 1296);
    EXPECT_EQ(j.x, later.x);
    EXPECT_EQ(j.y, later.y);
  }
  EXPECT_EQ(seen.size(), 1296u);
  // 4 columns by 9 rows: 36 points in a row fall one into each.
  for (std::uint64_t i = 100; i < 136; ++i) {
    const Jitter j = HaltonJitter(i);
    const auto column = static_cast<std::size_t>((j.x + 0.5F) * 4);
    const auto row = static_cast<std::size_t>((j.y + 0.5F) * 9);
    ++strata[row * 4 + column];
  }
  for (const int count : strata) EXPECT_EQ(count, 1);
}

// Projects a point as a pixel of an image, as the shaders aim their rays.
struct Pixel {
  float x, y, depth;
};
Pixel Project(const FrameUniforms& frame, Vec3 p) {
  const auto v3 = [](const float(&v)[4]) { return Vec3{v[0], v[1], v[2]}; };
  const Vec3 v = p - v3(frame.previousPosition);
  const float depth = Dot(v, v3(frame.previousForward));
  const float x = Dot(v, v3(frame.previousRight)) / depth;
  const float y = -Dot(v, v3(frame.previousUp)) / depth;
  return {(x + 1) * 0.5F * static_cast<float>(frame.image[0]),
          (y + 1) * 0.5F * static_cast<float>(frame.image[1]), depth};
}

TEST(AimAtWorld, ShowsEverythingAndNoLessThanItMust) {
  const World world = BuildWorld(MakeDefaultScene());
  for (const char* text : {"305,24,0", "10,80,0", "140,-30,0,90"}) {
    for (const auto& [width, height] : {std::pair{640U, 360U}, std::pair{200U, 600U}}) {
      CameraSpec spec = ParseCamera(text).Value();
      AimAtWorld(world, static_cast<float>(width) / static_cast<float>(height), spec);
      ASSERT_GT(spec.distance, 10.0F);
      FrameParameters parameters;
      parameters.width = width;
      parameters.height = height;
      parameters.camera = parameters.previousCamera = MakeCamera(spec);
      const FrameUniforms frame = MakeFrameUniforms(world, {}, parameters);
      float nearest = 1e9F;
      for (std::int32_t z = 0; z < 96; z += 2) {
        for (std::int32_t y = 0; y < 128; y += 2) {
          for (std::int32_t x = 0; x < 128; x += 2) {
            if (CellOf(world, world.Cells(), x, y, z) == 0) continue;
            const Pixel p = Project(frame, {static_cast<float>(x) + 0.5F, static_cast<float>(y) + 0.5F,
                                            static_cast<float>(z) + 0.5F});
            ASSERT_GT(p.depth, 0.0F);
            nearest = std::min({nearest, p.x / static_cast<float>(width), p.y / static_cast<float>(height),
                                1 - p.x / static_cast<float>(width), 1 - p.y / static_cast<float>(height)});
          }
        }
      }
      EXPECT_GT(nearest, 0.0F) << text << ": everything is inside the image";
      EXPECT_LT(nearest, 0.2F) << text << ": and fills it";
    }
  }
}

TEST(AimAtWorld, LeavesWhatTheUserChose) {
  const World world =
      BuildWorld(MakeTestScene({32, 32, 32}, {{0, 0, 0, kTestStone}, {31, 31, 31, kTestStone}}));
  CameraSpec orbit = ParseCamera("0,0,77").Value();
  AimAtWorld(world, 1.0F, orbit);
  EXPECT_EQ(orbit.distance, 77.0F);
  EXPECT_EQ(orbit.target, (Vec3{16, 16, 16}));
  CameraSpec fixed = ParseCamera("1,2,3,4,5,6").Value();
  AimAtWorld(world, 1.0F, fixed);
  EXPECT_EQ(fixed.target, (Vec3{4, 5, 6}));
}

TEST(MakeFrameUniforms, SaysWhatTheFrameIs) {
  const World world =
      BuildWorld(MakeTestScene({40, 32, 32}, {{0, 0, 0, kTestSand}, {39, 31, 31, kTestWater}}));
  FrameParameters parameters;
  parameters.width = 100;
  parameters.height = 50;
  parameters.camera = parameters.previousCamera = MakeCamera(ParseCamera("0,0,0,1,0,0,90").Value());
  parameters.jitter = {0.25F, -0.5F};
  parameters.step = 9;
  parameters.seed = 4;
  FrameUniforms frame = MakeFrameUniforms(world, {}, parameters);
  EXPECT_EQ(frame.image[0], 100u);
  EXPECT_EQ(frame.image[2], kFrameGroundPlane);
  EXPECT_NEAR(Length({frame.cameraRight[0], frame.cameraRight[1], frame.cameraRight[2]}), 2.0F, 1e-5F);
  EXPECT_NEAR(Length({frame.previousRight[0], frame.previousRight[1], frame.previousRight[2]}), 0.5F, 1e-5F);
  EXPECT_EQ(frame.jitter[0], 0.25F);
  EXPECT_EQ(frame.world[0], 2u);
  EXPECT_EQ(frame.world[3], world.SlotCount());
  EXPECT_EQ(frame.automaton[0], 9u);
  EXPECT_EQ(frame.automaton[1], 4u);
  EXPECT_EQ(frame.automaton[2], 254u);
  EXPECT_EQ(frame.automaton[3], 255u);
  EXPECT_NEAR(Length({frame.sunDirection[0], frame.sunDirection[1], frame.sunDirection[2]}), 1.0F, 1e-5F);
  parameters.camera = MakeCamera(ParseCamera("0,0,1,1,0,0,90").Value());
  parameters.historyValid = parameters.still = true;
  frame = MakeFrameUniforms(world, {.groundPlane = false}, parameters);
  EXPECT_EQ(frame.image[2], kFrameHistoryValid | kFrameStill | kFrameCameraMoved);
}

}  // namespace
}  // namespace stadial::sandbox
