// WriteVox: the inverse of the reader, in the order MagicaVoxel itself writes.
#include <charconv>
#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

#include "vox_file.h"
#include "vox_scene_graph.h"

namespace stadial::sandbox {
namespace {

class Writer {
 public:
  std::vector<std::byte> bytes;

  void Raw(std::string_view text) {
    const auto* data = reinterpret_cast<const std::byte*>(text.data());
    bytes.insert(bytes.end(), data, data + text.size());
  }
  void Int32(std::int32_t value) {
    const auto bits = static_cast<std::uint32_t>(value);
    for (unsigned i = 0; i < 4; ++i) bytes.push_back(static_cast<std::byte>((bits >> (8 * i)) & 0xffU));
  }
  void Text(std::string_view text) {
    Int32(static_cast<std::int32_t>(text.size()));
    Raw(text);
  }

  // A chunk without children; its size is written when its content is complete.
  template <class Content>
  void Chunk(const char (&id)[5], Content&& content) {
    Raw({id, 4});
    const std::size_t sizeAt = bytes.size();
    Int32(0);
    Int32(0);
    content();
    PatchInt32(sizeAt, bytes.size() - sizeAt - 8);
  }
  void PatchInt32(std::size_t at, std::size_t value) {
    for (unsigned i = 0; i < 4; ++i) bytes[at + i] = static_cast<std::byte>((value >> (8 * i)) & 0xffU);
  }
};

using Pairs = std::vector<std::pair<std::string, std::string>>;

void WritePairs(Writer& out, const Pairs& pairs) {
  out.Int32(static_cast<std::int32_t>(pairs.size()));
  for (const auto& [key, value] : pairs) {
    out.Text(key);
    out.Text(value);
  }
}

// The shortest text that reads back as the same float.
std::string FloatText(float value) {
  char text[48];
  const auto [end, error] = std::to_chars(text, text + sizeof text, value);
  return error == std::errc{} ? std::string(text, end) : std::string("0");
}

Pairs NodeAttributes(const std::string& name, bool hidden) {
  Pairs pairs;
  if (!name.empty()) pairs.emplace_back("_name", name);
  if (hidden) pairs.emplace_back("_hidden", "1");
  return pairs;
}

void WriteModel(Writer& out, const VoxModel& model) {
  out.Chunk("SIZE", [&] {
    for (const std::int32_t edge : model.size) out.Int32(edge);
  });
  out.Chunk("XYZI", [&] {
    out.Int32(static_cast<std::int32_t>(model.voxels.size()));
    const auto* data = reinterpret_cast<const std::byte*>(model.voxels.data());
    static_assert(sizeof(VoxVoxel) == 4);
    out.bytes.insert(out.bytes.end(), data, data + model.voxels.size() * sizeof(VoxVoxel));
  });
}

void WriteTransform(Writer& out, const VoxNode& node) {
  out.Chunk("nTRN", [&] {
    out.Int32(node.id);
    WritePairs(out, NodeAttributes(node.name, node.hidden));
    out.Int32(node.children[0]);
    out.Int32(-1);
    out.Int32(node.layer);
    out.Int32(static_cast<std::int32_t>(node.frames.size()));
    for (const VoxTransformFrame& frame : node.frames) {
      Pairs pairs;
      if (frame.rotation != kVoxRotationIdentity) pairs.emplace_back("_r", std::to_string(frame.rotation));
      const auto& t = frame.translation;
      if (t[0] != 0 || t[1] != 0 || t[2] != 0) {
        pairs.emplace_back("_t",
                           std::to_string(t[0]) + " " + std::to_string(t[1]) + " " + std::to_string(t[2]));
      }
      if (frame.frame != 0) pairs.emplace_back("_f", std::to_string(frame.frame));
      WritePairs(out, pairs);
    }
  });
}

void WriteNode(Writer& out, const VoxNode& node) {
  switch (node.kind) {
    case VoxNodeKind::Transform:
      WriteTransform(out, node);
      break;
    case VoxNodeKind::Group:
      out.Chunk("nGRP", [&] {
        out.Int32(node.id);
        WritePairs(out, NodeAttributes(node.name, node.hidden));
        out.Int32(static_cast<std::int32_t>(node.children.size()));
        for (const std::int32_t child : node.children) out.Int32(child);
      });
      break;
    case VoxNodeKind::Shape:
      out.Chunk("nSHP", [&] {
        out.Int32(node.id);
        WritePairs(out, NodeAttributes(node.name, node.hidden));
        out.Int32(static_cast<std::int32_t>(node.models.size()));
        for (const VoxShapeModel& shown : node.models) {
          out.Int32(shown.model);
          Pairs pairs;
          if (shown.frame != 0) pairs.emplace_back("_f", std::to_string(shown.frame));
          WritePairs(out, pairs);
        }
      });
      break;
  }
}

void WriteMaterial(Writer& out, std::size_t id, const VoxMaterial& material) {
  const VoxMaterial none;
  Pairs pairs;
  if (material.type != VoxMaterialType::Unknown) pairs.emplace_back("_type", ToString(material.type));
  const std::pair<const char*, float VoxMaterial::*> numbers[] = {
      {"_weight", &VoxMaterial::weight}, {"_rough", &VoxMaterial::rough}, {"_metal", &VoxMaterial::metal},
      {"_alpha", &VoxMaterial::alpha},   {"_emit", &VoxMaterial::emit},   {"_flux", &VoxMaterial::flux},
      {"_ior", &VoxMaterial::ior}};
  for (const auto& [key, member] : numbers) {
    if (material.*member != none.*member) pairs.emplace_back(key, FloatText(material.*member));
  }
  switch (material.behaviour) {
    case VoxBehaviour::Unset:
      break;
    case VoxBehaviour::Stone:
      pairs.emplace_back("_stadial", "stone");
      break;
    case VoxBehaviour::Sand:
      pairs.emplace_back("_stadial", "sand");
      break;
    case VoxBehaviour::Water:
      pairs.emplace_back("_stadial", "water");
      break;
  }
  out.Chunk("MATL", [&] {
    out.Int32(static_cast<std::int32_t>(id));
    WritePairs(out, pairs);
  });
}

Result<void> CheckModel(const VoxModel& model, std::size_t index) {
  for (const std::int32_t edge : model.size) {
    if (edge < 0 || edge > kVoxModelEdgeMax) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "model %zu: an edge of %d cells cannot be written (0..%d)", index, edge,
                           kVoxModelEdgeMax);
    }
  }
  for (const VoxVoxel& voxel : model.voxels) {
    if (voxel.x >= model.size[0] || voxel.y >= model.size[1] || voxel.z >= model.size[2] ||
        voxel.colourIndex == 0) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "model %zu (%d x %d x %d cells): voxel %d,%d,%d with colour %d cannot be written",
                           index, model.size[0], model.size[1], model.size[2], voxel.x, voxel.y, voxel.z,
                           voxel.colourIndex);
    }
  }
  return {};
}

Result<void> CheckNode(const VoxNode& node) {
  const bool shapeFits = node.kind == VoxNodeKind::Transform
                             ? node.children.size() == 1 && !node.frames.empty() && node.models.empty()
                         : node.kind == VoxNodeKind::Group
                             ? node.frames.empty() && node.models.empty()
                             : node.children.empty() && node.frames.empty() && !node.models.empty();
  if (!shapeFits || node.id < 0 || node.name.size() > kVoxNameBytesMax) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "%s node %d: %zu children, %zu frames, %zu models and a name of %zu bytes cannot be written",
        ToString(node.kind), node.id, node.children.size(), node.frames.size(), node.models.size(),
        node.name.size());
  }
  for (const VoxTransformFrame& frame : node.frames) {
    VoxRotation rotation;
    if (!UnpackVoxRotation(frame.rotation, rotation)) {
      return Error::Format(ErrorCode::InvalidArgument, "transform node %d: %d is not a packed rotation",
                           node.id, frame.rotation);
    }
  }
  return {};
}

Result<void> CheckMaterial(const VoxMaterial& material, std::size_t index) {
  for (const float number : {material.weight, material.rough, material.metal, material.alpha, material.emit,
                             material.flux, material.ior}) {
    if (!std::isfinite(number)) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "material %zu: a property that is not finite cannot be written", index);
    }
  }
  return {};
}

Result<void> CheckScene(const VoxScene& scene) {
  for (std::size_t i = 0; i < scene.models.size(); ++i)
    STADIAL_RETURN_IF_ERROR(CheckModel(scene.models[i], i));
  for (const VoxNode& node : scene.nodes) STADIAL_RETURN_IF_ERROR(CheckNode(node));
  for (const VoxLayer& layer : scene.layers) {
    if (layer.name.size() > kVoxNameBytesMax) {
      return Error::Format(ErrorCode::InvalidArgument,
                           "layer %d: a name of %zu bytes cannot be written (at most %zu)", layer.id,
                           layer.name.size(), kVoxNameBytesMax);
    }
  }
  for (std::size_t i = 0; i < scene.materials.size(); ++i) {
    STADIAL_RETURN_IF_ERROR(CheckMaterial(scene.materials[i], i));
  }
  return {};
}

}  // namespace

Result<std::vector<std::byte>> WriteVox(const VoxScene& scene) {
  STADIAL_RETURN_IF_ERROR(CheckScene(scene));
  Writer out;
  out.Raw("VOX ");
  out.Int32(scene.version);
  out.Raw("MAIN");
  out.Int32(0);
  const std::size_t childrenSizeAt = out.bytes.size();
  out.Int32(0);
  const std::size_t childrenBegin = out.bytes.size();
  for (const VoxModel& model : scene.models) WriteModel(out, model);
  for (const VoxNode& node : scene.nodes) WriteNode(out, node);
  for (const VoxLayer& layer : scene.layers) {
    out.Chunk("LAYR", [&] {
      out.Int32(layer.id);
      WritePairs(out, NodeAttributes(layer.name, layer.hidden));
      out.Int32(-1);
    });
  }
  if (scene.hasPalette) {
    out.Chunk("RGBA", [&] {
      for (std::size_t i = 0; i < kVoxPaletteEntries; ++i) {
        // Colour i + 1 is entry i; the last entry belongs to no colour.
        const VoxColour colour = i + 1 < kVoxPaletteEntries ? scene.palette[i + 1] : VoxColour{};
        for (const std::uint8_t channel : {colour.r, colour.g, colour.b, colour.a}) {
          out.bytes.push_back(static_cast<std::byte>(channel));
        }
      }
    });
  }
  for (std::size_t i = 1; i < scene.materials.size(); ++i) {
    if (scene.materials[i] != VoxMaterial{}) WriteMaterial(out, i, scene.materials[i]);
  }
  const std::size_t childrenBytes = out.bytes.size() - childrenBegin;
  if (childrenBytes > 0x7fffffffU) {
    return Error::Format(ErrorCode::CapacityExceeded, "a scene of %zu bytes does not fit a .vox file (2 GiB)",
                         childrenBytes);
  }
  out.PatchInt32(childrenSizeAt, childrenBytes);
  return std::move(out.bytes);
}

}  // namespace stadial::sandbox
