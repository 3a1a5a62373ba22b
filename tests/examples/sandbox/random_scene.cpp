#include "random_scene.h"

#include <string>

#include "vox_scene_graph.h"

namespace stadial::sandbox::testing {
namespace {

std::string RandomName(Random& random) {
  return std::string(random.OneIn(8) ? kVoxNameBytesMax : random.Below(12),
                     static_cast<char>('a' + random.Below(26)));
}

std::uint8_t RandomRotation(Random& random) {
  while (true) {
    const auto packed = static_cast<std::uint8_t>(random.Below(128));
    VoxRotation rotation;
    if (UnpackVoxRotation(packed, rotation)) return packed;
  }
}

VoxModel RandomModel(Random& random) {
  VoxModel model;
  for (std::int32_t& edge : model.size)
    edge = static_cast<std::int32_t>(random.OneIn(20) ? 256 : 1 + random.Below(9));
  const std::uint32_t count = random.OneIn(6) ? 0 : random.Below(40);
  const auto within = [&](std::int32_t edge) {
    return static_cast<std::uint8_t>(random.Below(static_cast<std::uint32_t>(edge)));
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    model.voxels.push_back({within(model.size[0]), within(model.size[1]), within(model.size[2]),
                            static_cast<std::uint8_t>(1 + random.Below(255))});
  }
  return model;
}

class Tree {
 public:
  Tree(VoxScene& scene, Random& random) : scene_(scene), random_(random) {}

  // A transform over a shape or a group; returns the transform's id.
  std::int32_t Grow(std::uint32_t depth) {
    const std::int32_t id = Begin(VoxNodeKind::Transform);
    const auto at = static_cast<std::size_t>(id);
    scene_.nodes[at].layer = static_cast<std::int32_t>(random_.Below(4)) - 1;
    const std::uint32_t frames = random_.OneIn(4) ? 1 + random_.Below(3) : 1;
    for (std::uint32_t i = 0; i < frames; ++i) {
      VoxTransformFrame frame{static_cast<std::int32_t>(i * 10), RandomRotation(random_), {}};
      for (std::int32_t& t : frame.translation) t = static_cast<std::int32_t>(random_.Below(400)) - 200;
      scene_.nodes[at].frames.push_back(frame);
    }
    const std::int32_t child = depth > 0 && random_.OneIn(2) ? Group(depth) : Shape();
    scene_.nodes[at].children.push_back(child);
    return id;
  }

 private:
  std::int32_t Begin(VoxNodeKind kind) {
    VoxNode node;
    node.kind = kind;
    node.id = static_cast<std::int32_t>(scene_.nodes.size());
    node.hidden = random_.OneIn(12);
    node.name = RandomName(random_);
    scene_.nodes.push_back(node);
    return node.id;
  }
  std::int32_t Group(std::uint32_t depth) {
    const std::int32_t id = Begin(VoxNodeKind::Group);
    const std::uint32_t children = random_.Below(4);
    for (std::uint32_t i = 0; i < children; ++i) {
      const std::int32_t child = Grow(depth - 1);
      scene_.nodes[static_cast<std::size_t>(id)].children.push_back(child);
    }
    return id;
  }
  std::int32_t Shape() {
    const std::int32_t id = Begin(VoxNodeKind::Shape);
    const std::uint32_t models = random_.OneIn(5) ? 2 : 1;
    for (std::uint32_t i = 0; i < models; ++i) {
      scene_.nodes[static_cast<std::size_t>(id)].models.push_back(
          {static_cast<std::int32_t>(random_.Below(static_cast<std::uint32_t>(scene_.models.size()))),
           static_cast<std::int32_t>(i * 5)});
    }
    return id;
  }

  VoxScene& scene_;
  Random& random_;
};

VoxMaterial RandomMaterial(Random& random) {
  VoxMaterial material;
  material.type = static_cast<VoxMaterialType>(random.Below(6));
  material.behaviour = static_cast<VoxBehaviour>(random.Below(4));
  for (float* number : {&material.weight, &material.rough, &material.metal, &material.alpha, &material.emit,
                        &material.flux, &material.ior}) {
    if (random.OneIn(2)) *number = static_cast<float>(random.Below(1000)) / 128.0F;
  }
  return material;
}

}  // namespace

VoxScene MakeRandomScene(std::uint32_t seed) {
  Random random(seed * 2654435761U + 12345U);
  VoxScene scene;
  scene.version = random.OneIn(3) ? 200 : 150;
  const std::uint32_t models = 1 + random.Below(5);
  for (std::uint32_t i = 0; i < models; ++i) scene.models.push_back(RandomModel(random));
  if (!random.OneIn(8)) Tree(scene, random).Grow(4);
  const std::uint32_t layers = random.Below(3);
  for (std::uint32_t i = 0; i < layers; ++i) {
    scene.layers.push_back({static_cast<std::int32_t>(i), random.OneIn(4), RandomName(random)});
  }
  scene.palette = MakeDefaultVoxPalette();
  scene.hasPalette = random.OneIn(2);
  if (scene.hasPalette) {
    for (std::size_t i = 1; i < scene.palette.size(); ++i) {
      const std::uint32_t word = random.Word();
      scene.palette[i] = {static_cast<std::uint8_t>(word), static_cast<std::uint8_t>(word >> 8),
                          static_cast<std::uint8_t>(word >> 16), 255};
    }
  }
  const std::uint32_t materials = random.Below(6);
  for (std::uint32_t i = 0; i < materials; ++i)
    scene.materials[1 + random.Below(255)] = RandomMaterial(random);
  return scene;
}

}  // namespace stadial::sandbox::testing
