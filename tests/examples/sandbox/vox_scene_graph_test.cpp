#include "vox_scene_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace stadial::sandbox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Matrix = std::array<std::array<int, 3>, 3>;

Matrix ToMatrix(const VoxRotation& rotation) {
  Matrix m{};
  for (std::size_t row = 0; row < 3; ++row) m[row][rotation.axis[row]] = rotation.sign[row];
  return m;
}

Matrix Product(const Matrix& a, const Matrix& b) {
  Matrix m{};
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      for (std::size_t k = 0; k < 3; ++k) m[i][j] += a[i][k] * b[k][j];
    }
  }
  return m;
}

TEST(VoxRotation, ThereAreFortyEightAndTheyPackBack) {
  std::set<std::uint8_t> seen;
  for (unsigned packed = 0; packed < 256; ++packed) {
    VoxRotation rotation;
    if (!UnpackVoxRotation(static_cast<std::uint8_t>(packed), rotation)) continue;
    EXPECT_EQ(PackVoxRotation(rotation), packed);
    seen.insert(static_cast<std::uint8_t>(packed));
  }
  EXPECT_EQ(seen.size(), 48u);
  VoxRotation identity;
  ASSERT_TRUE(UnpackVoxRotation(kVoxRotationIdentity, identity));
  EXPECT_EQ(identity, VoxRotation{});
}

// The example of the format's description.
TEST(VoxRotation, MatchesThePublishedExample) {
  VoxRotation rotation;
  ASSERT_TRUE(UnpackVoxRotation((1 << 0) | (2 << 2) | (0 << 4) | (1 << 5) | (1 << 6), rotation));
  EXPECT_EQ(ToMatrix(rotation), (Matrix{{{0, 1, 0}, {0, 0, -1}, {-1, 0, 0}}}));
}

TEST(VoxRotation, MultipliesAndAppliesAsMatricesDo) {
  for (unsigned a = 0; a < 128; ++a) {
    for (unsigned b = 0; b < 128; ++b) {
      VoxRotation ra;
      VoxRotation rb;
      if (!UnpackVoxRotation(static_cast<std::uint8_t>(a), ra) ||
          !UnpackVoxRotation(static_cast<std::uint8_t>(b), rb)) {
        continue;
      }
      ASSERT_EQ(ToMatrix(Multiply(ra, rb)), Product(ToMatrix(ra), ToMatrix(rb)));
      const std::array<std::int64_t, 3> v{3, -5, 7};
      ASSERT_EQ(Multiply(ra, rb).Apply(v), ra.Apply(rb.Apply(v)));
    }
  }
}

// floor(R * (v + 1/2 - floor(size / 2)) + t), in floating point, is exact for such small numbers.
TEST(VoxInstance, PlacesCellsByThePivotConvention) {
  for (unsigned packed = 0; packed < 128; ++packed) {
    VoxInstance instance;
    if (!UnpackVoxRotation(static_cast<std::uint8_t>(packed), instance.rotation)) continue;
    instance.translation = {11, -20, 3};
    const std::array<std::int32_t, 3> size{5, 4, 1};
    std::set<std::array<std::int64_t, 3>> targets;
    for (std::int64_t i = 0; i < 20; ++i) {
      const std::array<std::int64_t, 3> v{i % 5, i / 5, 0};
      const auto placed = instance.Place(v, size);
      for (std::size_t row = 0; row < 3; ++row) {
        const std::size_t axis = instance.rotation.axis[row];
        const double centre = static_cast<double>(v[axis]) + 0.5 - static_cast<double>(size[axis] / 2);
        const double moved =
            instance.rotation.sign[row] * centre + static_cast<double>(instance.translation[row]);
        ASSERT_EQ(placed[row], static_cast<std::int64_t>(std::floor(moved))) << packed;
      }
      targets.insert(placed);
    }
    EXPECT_EQ(targets.size(), 20u) << "no two cells land in one";
  }
}

VoxNode Transform(std::int32_t id, std::int32_t child, std::array<std::int32_t, 3> t = {},
                  std::uint8_t r = kVoxRotationIdentity) {
  VoxNode node;
  node.kind = VoxNodeKind::Transform;
  node.id = id;
  node.children = {child};
  node.frames = {{0, r, t}};
  return node;
}
VoxNode Group(std::int32_t id, std::vector<std::int32_t> children) {
  VoxNode node;
  node.id = id;
  node.children = std::move(children);
  return node;
}
VoxNode Shape(std::int32_t id, std::int32_t model = 0) {
  VoxNode node;
  node.kind = VoxNodeKind::Shape;
  node.id = id;
  node.models = {{model, 0}};
  return node;
}
VoxScene SceneOf(std::vector<VoxNode> nodes) {
  VoxScene scene;
  scene.models.assign(2, VoxModel{{1, 1, 1}, {{0, 0, 0, 1}}});
  scene.nodes = std::move(nodes);
  return scene;
}

VoxFlattened Flatten(const VoxScene& scene, const VoxFlattenOptions& options = {}) {
  auto flat = FlattenVox(scene, options);
  EXPECT_TRUE(flat) << flat.GetError().Message();
  return flat ? std::move(flat).Value() : VoxFlattened{};
}
std::string FlattenError(const VoxScene& scene, const VoxFlattenOptions& options = {}) {
  const auto flat = FlattenVox(scene, options);
  EXPECT_FALSE(flat);
  return flat ? std::string() : std::string(flat.GetError().Message());
}

TEST(VoxFlatten, ComposesParentsWithChildren) {
  // A quarter turn about z: x to y, y to -x. Row 0 is -y (column 1, negative), row 1 is x.
  const std::uint8_t quarter = 1 | (0 << 2) | (1 << 4);
  const VoxScene scene =
      SceneOf({Transform(0, 1, {100, 0, 0}, quarter), Group(1, {2, 4}), Transform(2, 3, {10, 0, 0}),
               Shape(3, 1), Transform(4, 5, {0, 7, 1}, quarter), Shape(5)});
  const VoxFlattened flat = Flatten(scene);
  ASSERT_EQ(flat.instances.size(), 2u);
  EXPECT_EQ(flat.instances[0].model, 1u);
  EXPECT_THAT(flat.instances[0].translation, ElementsAre(100, 10, 0));
  EXPECT_THAT(flat.instances[1].translation, ElementsAre(93, 0, 1));
  EXPECT_THAT(flat.instances[1].rotation.Apply({1, 0, 0}), ElementsAre(-1, 0, 0)) << "two quarter turns";
}

TEST(VoxFlatten, WithoutAGraphTheFirstModelIsShownAndTheOthersAreFrames) {
  VoxScene scene = SceneOf({});
  scene.models.resize(3);
  const VoxFlattened flat = Flatten(scene);
  EXPECT_EQ(flat.instances.size(), 1u);
  EXPECT_THAT(flat.animationFrames, ElementsAre(1, 2));
  EXPECT_TRUE(Flatten(VoxScene{}).instances.empty());
}

TEST(VoxFlatten, SkipsHiddenNodesAndLayersUnlessAsked) {
  VoxScene scene =
      SceneOf({Group(0, {1, 3, 5}), Transform(1, 2), Shape(2), Transform(3, 4), Shape(4), Shape(5)});
  scene.nodes[1].hidden = true;
  scene.nodes[3].layer = 7;
  scene.layers = {{6, false, ""}, {7, true, ""}};
  EXPECT_EQ(Flatten(scene).instances.size(), 1u);
  EXPECT_EQ(Flatten(scene).hiddenNodes, 2u);
  VoxFlattenOptions all;
  all.includeHidden = true;
  EXPECT_EQ(Flatten(scene, all).instances.size(), 3u);
}

TEST(VoxFlatten, ListsAnimationFramesAndShowsTheFirst) {
  VoxScene scene = SceneOf({Transform(0, 1), Shape(1)});
  scene.nodes[0].frames = {
      {0, kVoxRotationIdentity, {1, 2, 3}}, {30, kVoxRotationIdentity, {}}, {15, kVoxRotationIdentity, {}}};
  scene.nodes[1].models = {{1, 0}, {0, 15}, {0, 40}};
  const VoxFlattened flat = Flatten(scene);
  EXPECT_EQ(flat.instances[0].model, 1u);
  EXPECT_THAT(flat.instances[0].translation, ElementsAre(1, 2, 3));
  EXPECT_THAT(flat.animationFrames, ElementsAre(15, 30, 40));
}

TEST(VoxFlatten, FindsARootThatIsNotNodeZero) {
  EXPECT_EQ(Flatten(SceneOf({Shape(9), Transform(5, 9)})).instances.size(), 1u);
  EXPECT_THAT(FlattenError(SceneOf({Shape(9), Shape(5)})),
              HasSubstr("no node 0 and 2 nodes without a parent"));
  EXPECT_THAT(FlattenError(SceneOf({Transform(5, 9), Transform(9, 5)})),
              HasSubstr("0 nodes without a parent"));
}

TEST(VoxFlatten, NamesMissingNodesAndModels) {
  EXPECT_THAT(FlattenError(SceneOf({Transform(0, 77)})), HasSubstr("transform node 0 names child 77"));
  EXPECT_THAT(FlattenError(SceneOf({Shape(0, 2)})), HasSubstr("shape node 0 shows model 2 of 2"));
  EXPECT_THAT(FlattenError(SceneOf({Shape(0, -1)})), HasSubstr("model -1"));
}

TEST(VoxFlatten, RefusesCyclesOfAnyLength) {
  EXPECT_THAT(FlattenError(SceneOf({Transform(0, 0)})), HasSubstr("cycle: transform node 0"));
  EXPECT_THAT(FlattenError(SceneOf({Group(0, {1}), Group(1, {2}), Group(2, {3}), Group(3, {1})})),
              HasSubstr("cycle: group node 1"));
}

TEST(VoxFlatten, ANodeMayHaveSeveralParents) {
  EXPECT_EQ(Flatten(SceneOf({Group(0, {1, 1, 1}), Shape(1)})).instances.size(), 3u);
}

// Thirty levels, each naming the next twice: 2^30 shapes from 31 nodes.
TEST(VoxFlatten, AGraphThatUnfoldsWithoutEndIsRefusedInBoundedTime) {
  std::vector<VoxNode> nodes;
  for (std::int32_t i = 0; i < 30; ++i) nodes.push_back(Group(i, {i + 1, i + 1}));
  nodes.push_back(Shape(30));
  EXPECT_THAT(FlattenError(SceneOf(nodes)), HasSubstr("more than 65536 models"));
  nodes.back() = Group(30, {});
  EXPECT_THAT(FlattenError(SceneOf(nodes)), HasSubstr("visits"));
  EXPECT_THAT(FlattenError(SceneOf({Group(0, std::vector<std::int32_t>(2'000'000, 1)), Group(1, {})})),
              HasSubstr("2000000 children"));
}

TEST(VoxFlatten, DepthIsBounded) {
  std::vector<VoxNode> nodes;
  for (std::int32_t i = 0; i < 300; ++i) nodes.push_back(Transform(i, i + 1, {1, 0, 0}));
  nodes.push_back(Shape(300));
  EXPECT_THAT(FlattenError(SceneOf(nodes)), HasSubstr("deeper than 256 nodes"));
  VoxFlattenOptions deep;
  deep.depthMax = 1000;
  EXPECT_THAT(Flatten(SceneOf(nodes), deep).instances[0].translation, ElementsAre(300, 0, 0));
}

}  // namespace
}  // namespace stadial::sandbox
