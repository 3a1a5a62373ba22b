#include "default_scene.h"

#include <utility>

#include "default_scene_parts.h"
#include "vox_scene_graph.h"

namespace stadial::sandbox {
namespace {

struct Rgb {
  std::uint8_t r, g, b;
};

// Builds the scene graph: MagicaVoxel's own shape, a transform over each group and each model.
class Assembly {
 public:
  explicit Assembly(VoxScene& scene) : scene_(scene) {
    scene_.nodes.push_back(Transform("", 1, -1));
    scene_.nodes.push_back({});
    root_ = Group(1);
  }

  std::int32_t Add(VoxModel model) {
    scene_.models.push_back(std::move(model));
    return static_cast<std::int32_t>(scene_.models.size()) - 1;
  }

  // A group whose content is turned by quarter turns about the vertical and then moved. Returns its node's
  // index.
  std::size_t AddGroup(const char* name, std::int32_t layer, std::array<std::int32_t, 3> at,
                       std::uint32_t quarterTurns) {
    const std::int32_t transform = NextId();
    VoxNode node = Transform(name, transform + 1, layer);
    node.frames[0].translation = at;
    node.frames[0].rotation = PackVoxRotation(Turn(quarterTurns));
    node.id = transform;
    scene_.nodes.push_back(node);
    scene_.nodes.push_back({});
    const std::size_t group = Group(transform + 1);
    scene_.nodes[root_].children.push_back(transform);
    return group;
  }

  // A model in a group; its turned box has its lowest corner at `corner` in the group's coordinates.
  void Place(std::size_t group, const char* name, std::int32_t model, std::array<std::int32_t, 3> corner,
             std::uint32_t quarterTurns = 0) {
    VoxInstance instance;
    instance.rotation = Turn(quarterTurns);
    const auto& size = scene_.models[static_cast<std::size_t>(model)].size;
    const auto low = instance.Place({0, 0, 0}, size);
    const auto high = instance.Place({size[0] - 1, size[1] - 1, size[2] - 1}, size);
    const std::int32_t transform = NextId();
    VoxNode node = Transform(name, transform + 1, -1);
    node.id = transform;
    node.frames[0].rotation = PackVoxRotation(instance.rotation);
    for (std::size_t a = 0; a < 3; ++a) {
      node.frames[0].translation[a] = corner[a] - static_cast<std::int32_t>(std::min(low[a], high[a]));
    }
    scene_.nodes.push_back(node);
    VoxNode shape;
    shape.kind = VoxNodeKind::Shape;
    shape.id = transform + 1;
    shape.models.push_back({model, 0});
    scene_.nodes.push_back(shape);
    scene_.nodes[group].children.push_back(transform);
  }

 private:
  static VoxRotation Turn(std::uint32_t quarterTurns) {
    VoxRotation turn;
    VoxRotation quarter;  // x to y, y to -x
    quarter.axis = {1, 0, 2};
    quarter.sign = {-1, 1, 1};
    for (std::uint32_t i = 0; i < quarterTurns % 4; ++i) turn = Multiply(quarter, turn);
    return turn;
  }
  static VoxNode Transform(const char* name, std::int32_t child, std::int32_t layer) {
    VoxNode node;
    node.kind = VoxNodeKind::Transform;
    node.name = name;
    node.layer = layer;
    node.children.push_back(child);
    node.frames.push_back({});
    return node;
  }
  // Makes the last node a group.
  std::size_t Group(std::int32_t id) {
    scene_.nodes.back().kind = VoxNodeKind::Group;
    scene_.nodes.back().id = id;
    return scene_.nodes.size() - 1;
  }
  std::int32_t NextId() const { return static_cast<std::int32_t>(scene_.nodes.size()); }

  VoxScene& scene_;
  std::size_t root_ = 0;
};

void SetShades(VoxScene& scene, std::size_t first, std::initializer_list<Rgb> shades) {
  for (const Rgb& shade : shades) scene.palette[first++] = {shade.r, shade.g, shade.b, 255};
}

void MakePalette(VoxScene& scene) {
  scene.hasPalette = true;
  for (std::size_t i = 1; i < scene.palette.size(); ++i) scene.palette[i] = {128, 128, 128, 255};
  SetShades(scene, kGrass, {{86, 122, 52}, {98, 136, 56}, {112, 148, 60}, {128, 160, 66}});
  SetShades(scene, kDirt, {{112, 80, 54}, {100, 70, 47}, {124, 90, 62}});
  SetShades(scene, kRock, {{118, 112, 108}, {134, 127, 120}, {104, 98, 97}, {146, 138, 129}});
  SetShades(scene, kMarble, {{232, 224, 208}, {222, 212, 194}, {240, 234, 222}});
  SetShades(scene, kBrick, {{186, 160, 126}, {174, 147, 113}, {198, 172, 138}});
  SetShades(scene, kRoof, {{176, 78, 52}, {162, 68, 46}, {188, 90, 60}});
  SetShades(scene, kWood, {{104, 70, 44}, {120, 82, 52}, {136, 96, 62}});
  SetShades(scene, kLeaf, {{42, 84, 56}, {54, 100, 62}, {70, 118, 68}});
  SetShades(scene, kBlossom, {{206, 112, 146}, {228, 142, 170}, {246, 184, 202}});
  SetShades(scene, kPath, {{176, 160, 134}, {160, 145, 121}, {190, 174, 148}});
  SetShades(scene, kGold, {{222, 172, 62}});
  SetShades(scene, kFlower, {{240, 220, 90}, {236, 236, 240}, {214, 96, 88}});
  SetShades(scene, kLanternGlow, {{255, 196, 112}});
  SetShades(scene, kFireGlow, {{255, 138, 54}});
  SetShades(scene, kSand, {{226, 190, 124}, {216, 178, 112}, {234, 200, 138}, {206, 168, 104}});
  SetShades(scene, kWater, {{44, 126, 150}, {50, 134, 156}});
  for (std::size_t i = kSand; i < kSand + 4U; ++i) scene.materials[i].behaviour = VoxBehaviour::Sand;
  for (std::size_t i = kWater; i < kWater + 2U; ++i) {
    scene.materials[i].type = VoxMaterialType::Glass;
    scene.materials[i].alpha = 0.5F;
    scene.materials[i].behaviour = VoxBehaviour::Water;
  }
  for (const std::size_t glow : {std::size_t{kLanternGlow}, std::size_t{kFireGlow}}) {
    scene.materials[glow].type = VoxMaterialType::Emit;
    scene.materials[glow].emit = 0.75F;
    scene.materials[glow].flux = 2.0F;
  }
  scene.materials[kGold].type = VoxMaterialType::Metal;
  scene.materials[kGold].metal = 0.8F;
  scene.materials[kGold].rough = 0.3F;
}

void PlaceTemple(Assembly& assembly) {
  constexpr std::int32_t kWidth = 34;
  constexpr std::int32_t kDepth = 42;
  // Built facing -y about the middle of its floor.
  const std::size_t group = assembly.AddGroup("temple", 1, {kTempleX, kTempleY, kTempleLevel}, 0);
  assembly.Place(group, "temple", assembly.Add(MakeTemple()), {-kWidth / 2, -kDepth / 2, 0});
  const std::int32_t column = assembly.Add(MakeColumn());
  for (std::int32_t i = 0; i < 4; ++i) {
    const std::int32_t x = -kWidth / 2 + 4 + i * 22 / 3;
    assembly.Place(group, "column", column, {x, -kDepth / 2 + 4, 4});
    assembly.Place(group, "column", column, {x, kDepth / 2 - 8, 4}, 2);
  }
  for (std::int32_t i = 1; i < 5; ++i) {
    const std::int32_t y = -kDepth / 2 + 4 + i * 6;
    assembly.Place(group, "column", column, {-kWidth / 2 + 4, y, 4}, 1);
    assembly.Place(group, "column", column, {kWidth / 2 - 8, y, 4}, 3);
  }
  assembly.Place(group, "brazier", assembly.Add(MakeBrazier()), {-4, -4, 4});
}

struct Spot {
  std::int32_t x, y;
  std::uint32_t turns;
};

// Models of `width` x `depth` cells that stand on the ground with their middle at each spot.
void PlaceOnGround(Assembly& assembly, std::size_t group, const char* name, std::int32_t model,
                   std::int32_t width, std::int32_t depth, std::initializer_list<Spot> spots) {
  for (const Spot& spot : spots) {
    const bool sideways = spot.turns % 2 == 1;
    const std::int32_t w = sideways ? depth : width;
    const std::int32_t d = sideways ? width : depth;
    assembly.Place(group, name, model, {spot.x - w / 2, spot.y - d / 2, GroundHeight(spot.x, spot.y)},
                   spot.turns);
  }
}

}  // namespace

VoxScene MakeDefaultScene() {
  VoxScene scene;
  MakePalette(scene);
  scene.layers = {{0, false, "land"}, {1, false, "buildings"}, {2, false, "plants"}, {3, false, "lights"}};
  Assembly assembly(scene);

  const std::size_t land = assembly.AddGroup("land", 0, {0, 0, 0}, 0);
  assembly.Place(land, "island", assembly.Add(MakeTerrain()), {0, 0, 0});

  PlaceTemple(assembly);

  // The tower's group is turned once as a whole; everything in it is round or square.
  const std::size_t tower = assembly.AddGroup("hourglass", 1, {kTowerX, kTowerY, kTowerLevel}, 1);
  assembly.Place(tower, "basin", assembly.Add(MakeBasin()), {-13, -13, 0});
  assembly.Place(tower, "tower", assembly.Add(MakeTower()), {-14, -14, 0});

  const std::size_t works = assembly.AddGroup("works", 1, {0, 0, 0}, 0);
  assembly.Place(works, "bridge", assembly.Add(MakeBridge()), {52, 50, 16});

  const std::size_t plants = assembly.AddGroup("plants", 2, {0, 0, 0}, 0);
  PlaceOnGround(
      assembly, plants, "pine", assembly.Add(MakePine()), 13, 13,
      {{20, 74, 0}, {14, 92, 1}, {26, 106, 2}, {44, 112, 3}, {60, 104, 1}, {66, 92, 2}, {16, 60, 3}});
  PlaceOnGround(assembly, plants, "blossom", assembly.Add(MakeBlossomTree()), 23, 21,
                {{112, 62, 0}, {112, 40, 1}, {64, 22, 2}});

  const std::size_t lights = assembly.AddGroup("lights", 3, {0, 0, 0}, 0);
  PlaceOnGround(assembly, lights, "lantern", assembly.Add(MakeLantern()), 5, 5,
                {{83, 66, 0}, {97, 66, 1}, {78, 62, 2}, {42, 66, 0}, {48, 47, 1}, {56, 24, 2}, {104, 28, 3}});
  return scene;
}

}  // namespace stadial::sandbox
