// ReadVox: the chunk loop and one function per chunk.
#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <utility>

#include "vox_cursor.h"
#include "vox_file.h"
#include "vox_scene_graph.h"
#include "vox_text.h"

namespace stadial::sandbox {

void VoxCursor::Fail(const char* format, ...) noexcept {
  if (!Ok()) return;
  char text[arenas::kErrorMessageBytesMax];
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  error_ = Error::Format(ErrorCode::CorruptData, "%s", text);
}

namespace {

constexpr std::size_t kFileHeaderBytes = 8;    // "VOX ", version
constexpr std::size_t kChunkHeaderBytes = 12;  // id, content bytes, children bytes
constexpr std::size_t kPaletteBytes = kVoxPaletteEntries * 4;
constexpr std::size_t kQuotedBytesMax = 40;  // of a file's own text inside a message

class Reader {
 public:
  Reader(std::span<const std::byte> bytes, const char* name) : bytes_(bytes), name_(name) {
    scene_.palette = MakeDefaultVoxPalette();
  }

  Result<VoxScene> Read();

 private:
  Result<void> ReadChunks(std::size_t begin, std::size_t end);
  Result<void> ReadChunk(VoxCursor& in, const VoxChunkId& id);
  void ReadPack(VoxCursor& in);
  void ReadSize(VoxCursor& in);
  void ReadVoxels(VoxCursor& in);
  void ReadPalette(VoxCursor& in);
  void ReadMaterial(VoxCursor& in);
  void ReadOldMaterial(VoxCursor& in);
  void ReadTransform(VoxCursor& in);
  void ReadGroup(VoxCursor& in);
  void ReadShape(VoxCursor& in);
  void ReadLayer(VoxCursor& in);
  VoxTransformFrame ReadTransformFrame(VoxCursor& in);
  VoxNode BeginNode(VoxCursor& in, VoxNodeKind kind);
  Result<void> CheckNodeIds() const;
  Result<void> CheckPacked();
  [[gnu::format(printf, 2, 3)]] void Warn(const char* format, ...);

  std::span<const std::byte> bytes_;
  const char* name_;
  VoxScene scene_;
  bool sizePending_ = false;  // a SIZE waits for its XYZI
  std::size_t sizeOffset_ = 0;
  std::array<std::int32_t, 3> size_{};
  bool packed_ = false;
  std::int32_t packedModels_ = 0;
};

// The part of a file's text that a message shows, always valid for "%.*s".
int QuotedLength(std::string_view text) { return static_cast<int>(std::min(text.size(), kQuotedBytesMax)); }

// Calls visit(key, value) for each pair of a dictionary.
template <class Visit>
void ForEachPair(VoxCursor& in, const char* what, Visit&& visit) {
  constexpr std::size_t kPairBytesMin = 8;  // two lengths
  const std::size_t count = in.Count(what, kPairBytesMin);
  for (std::size_t i = 0; i < count && in.Ok(); ++i) {
    const std::string_view key = in.Text("a key's length");
    const std::string_view value = in.Text("a value's length");
    if (in.Ok()) visit(key, value);
  }
}

std::string CutName(std::string_view text) { return std::string(text.substr(0, kVoxNameBytesMax)); }

void Reader::Warn(const char* format, ...) {
  if (scene_.warnings.size() >= kVoxWarningsMax) {
    ++scene_.warningsDropped;
    return;
  }
  char text[256];
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  scene_.warnings.emplace_back(text);
}

Result<VoxScene> Reader::Read() {
  if (bytes_.size() < kFileHeaderBytes + kChunkHeaderBytes) {
    return Error::Format(
        ErrorCode::CorruptData,
        "%s: not a .vox file: %zu bytes, the two headers alone take %zu; is it the right file?", name_,
        bytes_.size(), kFileHeaderBytes + kChunkHeaderBytes);
  }
  const VoxChunkId magic(bytes_.data());
  if (!magic.Is("VOX ")) {
    return Error::Format(ErrorCode::CorruptData,
                         "%s: not a .vox file: it begins with '%s' instead of 'VOX '; is it the right file?",
                         name_, magic.text);
  }
  VoxCursor header(name_, magic, bytes_.subspan(4), 4);
  scene_.version = header.Int32("the version");
  if (scene_.version < 150 || scene_.version > 200) {
    Warn("version %d is not one of the known ones (150, 200); read as 150", scene_.version);
  }
  const VoxChunkId id(bytes_.data() + kFileHeaderBytes);
  VoxCursor main(name_, id, bytes_.subspan(kFileHeaderBytes + 4), kFileHeaderBytes + 4);
  const std::int32_t contentBytes = main.Int32("the content size");
  const std::int32_t childrenBytes = main.Int32("the children size");
  if (!id.Is("MAIN")) {
    return Error::Format(ErrorCode::CorruptData, "%s: chunk '%s' at byte %zu where 'MAIN' must be", name_,
                         id.text, kFileHeaderBytes);
  }
  const std::int64_t left = static_cast<std::int64_t>(main.Left());
  if (contentBytes < 0 || childrenBytes < 0 || std::int64_t{contentBytes} + childrenBytes > left) {
    return Error::Format(
        ErrorCode::CorruptData,
        "%s: chunk 'MAIN' at byte %zu says %d bytes of content and %d of children, %lld follow; the "
        "file is truncated or corrupt",
        name_, kFileHeaderBytes, contentBytes, childrenBytes, static_cast<long long>(left));
  }
  const std::size_t begin = main.Offset() + static_cast<std::size_t>(contentBytes);
  const std::size_t end = begin + static_cast<std::size_t>(childrenBytes);
  if (end != bytes_.size()) Warn("%zu bytes after the end of 'MAIN' ignored", bytes_.size() - end);
  STADIAL_RETURN_IF_ERROR(ReadChunks(begin, end));
  STADIAL_RETURN_IF_ERROR(CheckNodeIds());
  STADIAL_RETURN_IF_ERROR(CheckPacked());
  return std::move(scene_);
}

Result<void> Reader::ReadChunks(std::size_t begin, std::size_t end) {
  std::size_t position = begin;
  while (position < end) {
    if (end - position < kChunkHeaderBytes) {
      return Error::Format(
          ErrorCode::CorruptData,
          "%s: %zu bytes at byte %zu are too few for a chunk header (%zu); the file is truncated or "
          "corrupt",
          name_, end - position, position, kChunkHeaderBytes);
    }
    const VoxChunkId id(bytes_.data() + position);
    VoxCursor header(name_, id, bytes_.subspan(position + 4, 8), position + 4);
    const std::int32_t contentBytes = header.Int32("the content size");
    const std::int32_t childrenBytes = header.Int32("the children size");
    const std::size_t contentBegin = position + kChunkHeaderBytes;
    const auto left = static_cast<std::int64_t>(end - contentBegin);
    if (contentBytes < 0 || childrenBytes < 0 || std::int64_t{contentBytes} + childrenBytes > left) {
      return Error::Format(
          ErrorCode::CorruptData,
          "%s: chunk '%s' at byte %zu says %d bytes of content and %d of children, %lld are left in "
          "'MAIN'; the file is truncated or corrupt",
          name_, id.text, position, contentBytes, childrenBytes, static_cast<long long>(left));
    }
    VoxCursor in(name_, id, bytes_.subspan(contentBegin, static_cast<std::size_t>(contentBytes)),
                 contentBegin);
    STADIAL_RETURN_IF_ERROR(ReadChunk(in, id));
    position =
        contentBegin + static_cast<std::size_t>(contentBytes) + static_cast<std::size_t>(childrenBytes);
  }
  return {};
}

Result<void> Reader::ReadChunk(VoxCursor& in, const VoxChunkId& id) {
  if (sizePending_ && !id.Is("XYZI")) {
    in.Fail("%s: chunk 'SIZE' at byte %zu is followed by '%s' instead of 'XYZI'", name_, sizeOffset_,
            id.text);
  } else if (id.Is("PACK")) {
    ReadPack(in);
  } else if (id.Is("SIZE")) {
    ReadSize(in);
  } else if (id.Is("XYZI")) {
    ReadVoxels(in);
  } else if (id.Is("RGBA")) {
    ReadPalette(in);
  } else if (id.Is("MATL")) {
    ReadMaterial(in);
  } else if (id.Is("MATT")) {
    ReadOldMaterial(in);
  } else if (id.Is("nTRN")) {
    ReadTransform(in);
  } else if (id.Is("nGRP")) {
    ReadGroup(in);
  } else if (id.Is("nSHP")) {
    ReadShape(in);
  } else if (id.Is("LAYR")) {
    ReadLayer(in);
  }  // others (rOBJ, rCAM, NOTE, IMAP and whatever comes) change neither shape nor colour
  if (!in.Ok()) return in.GetError();
  return {};
}

void Reader::ReadPack(VoxCursor& in) {
  packedModels_ = in.Int32("the number of models");
  packed_ = true;
  if (in.Ok() && packedModels_ < 0) {
    in.Fail("%s: chunk 'PACK' at byte %zu announces %d models", name_, in.Offset(), packedModels_);
  }
}

void Reader::ReadSize(VoxCursor& in) {
  sizeOffset_ = in.Offset() - kChunkHeaderBytes;
  for (std::int32_t& edge : size_) edge = in.Int32("the size of a model");
  sizePending_ = in.Ok();
  for (const std::int32_t edge : size_) {
    if (in.Ok() && (edge < 0 || edge > kVoxModelEdgeMax)) {
      in.Fail("%s: chunk 'SIZE' at byte %zu: model %zu is %d x %d x %d cells, an edge must lie in 0..%d",
              name_, sizeOffset_, scene_.models.size(), size_[0], size_[1], size_[2], kVoxModelEdgeMax);
    }
  }
}

void Reader::ReadVoxels(VoxCursor& in) {
  if (!sizePending_) {
    in.Fail("%s: chunk 'XYZI' at byte %zu has no 'SIZE' before it", name_, in.Offset() - kChunkHeaderBytes);
    return;
  }
  sizePending_ = false;
  const std::size_t count = in.Count("the number of voxels", sizeof(VoxVoxel));
  const std::span<const std::byte> records = in.Bytes(count * sizeof(VoxVoxel), "the voxels");
  if (!in.Ok()) return;
  VoxModel model;
  model.size = size_;
  model.voxels.reserve(count);
  std::size_t outside = 0;
  std::size_t empty = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::byte* record = records.data() + i * sizeof(VoxVoxel);
    const VoxVoxel voxel{std::to_integer<std::uint8_t>(record[0]), std::to_integer<std::uint8_t>(record[1]),
                         std::to_integer<std::uint8_t>(record[2]), std::to_integer<std::uint8_t>(record[3])};
    if (voxel.x >= size_[0] || voxel.y >= size_[1] || voxel.z >= size_[2]) {
      ++outside;
    } else if (voxel.colourIndex == 0) {
      ++empty;
    } else {
      model.voxels.push_back(voxel);
    }
  }
  if (outside != 0) {
    Warn("model %zu: %zu of %zu voxels lie outside its %d x %d x %d cells and are left out",
         scene_.models.size(), outside, count, size_[0], size_[1], size_[2]);
  }
  if (empty != 0) Warn("model %zu: %zu voxels with colour 0 are left out", scene_.models.size(), empty);
  scene_.models.push_back(std::move(model));
}

void Reader::ReadPalette(VoxCursor& in) {
  if (scene_.hasPalette)
    Warn("a second 'RGBA' chunk at byte %zu replaces the first", in.Offset() - kChunkHeaderBytes);
  const std::span<const std::byte> entries = in.Bytes(kPaletteBytes, "256 palette entries");
  if (!in.Ok()) return;
  // Entry i of the file is colour i + 1; its last one is unused.
  for (std::size_t i = 0; i + 1 < kVoxPaletteEntries; ++i) {
    const std::byte* entry = entries.data() + i * 4;
    scene_.palette[i + 1] = {std::to_integer<std::uint8_t>(entry[0]), std::to_integer<std::uint8_t>(entry[1]),
                             std::to_integer<std::uint8_t>(entry[2]),
                             std::to_integer<std::uint8_t>(entry[3])};
  }
  scene_.hasPalette = true;
}

void Reader::ReadMaterial(VoxCursor& in) {
  const std::size_t offset = in.Offset() - kChunkHeaderBytes;
  const std::int32_t id = in.Int32("the material id");
  VoxMaterial material;
  ForEachPair(in, "the number of material properties", [&](std::string_view key, std::string_view value) {
    float* number = key == "_weight"                     ? &material.weight
                    : key == "_rough"                    ? &material.rough
                    : key == "_metal"                    ? &material.metal
                    : key == "_alpha" || key == "_trans" ? &material.alpha
                    : key == "_emit"                     ? &material.emit
                    : key == "_flux"                     ? &material.flux
                    : key == "_ior"                      ? &material.ior
                                                         : nullptr;
    if (key == "_type") {
      material.type = ParseMaterialType(value);
      if (material.type == VoxMaterialType::Unknown) {
        Warn("material %d: type '%.*s' is unknown", id, QuotedLength(value), value.data());
      }
    } else if (key == "_stadial") {
      material.behaviour = ParseBehaviour(value);
    } else if (number != nullptr && !ParseFloat(value, *number)) {
      Warn("material %d: %.*s is '%.*s', not a finite number", id, QuotedLength(key), key.data(),
           QuotedLength(value), value.data());
    } else if (key == "_trans") {
      material.alpha = 1.0F - material.alpha;
    }
  });
  if (!in.Ok()) return;
  // MagicaVoxel numbers materials 1..256; 256 belongs to the unused colour 0.
  if (id < 0 || id > 256) {
    Warn("'MATL' at byte %zu is for colour %d, outside 1..255", offset, id);
    return;
  }
  const std::size_t index = static_cast<std::size_t>(id) % kVoxPaletteEntries;
  if (index != 0) scene_.materials[index] = material;
}

void Reader::ReadOldMaterial(VoxCursor& in) {
  const std::int32_t id = in.Int32("the material id");
  const std::int32_t type = in.Int32("the material type");
  const float weight = in.Float32("the material weight");
  if (!in.Ok()) return;
  if (id < 1 || id > 255 || type < 0 || type > 3 || !std::isfinite(weight)) {
    Warn("'MATT' for colour %d with type %d is out of range and left out", id, type);
    return;
  }
  VoxMaterial& material = scene_.materials[static_cast<std::size_t>(id)];
  material = VoxMaterial{};
  material.weight = weight;
  switch (type) {
    case 1:
      material.type = VoxMaterialType::Metal;
      material.metal = weight;
      break;
    case 2:
      material.type = VoxMaterialType::Glass;
      material.alpha = 1.0F - weight;
      break;
    case 3:
      material.type = VoxMaterialType::Emit;
      material.emit = weight;
      break;
    default:
      break;
  }
}

VoxNode Reader::BeginNode(VoxCursor& in, VoxNodeKind kind) {
  VoxNode node;
  node.kind = kind;
  const std::size_t offset = in.Offset();
  node.id = in.Int32("the node id");
  if (in.Ok() && node.id < 0)
    in.Fail("%s: chunk '%s' at byte %zu: node id %d is negative", name_, in.Id(), offset, node.id);
  ForEachPair(in, "the number of node attributes", [&](std::string_view key, std::string_view value) {
    if (key == "_name") node.name = CutName(value);
    if (key == "_hidden") node.hidden = value != "0";
  });
  return node;
}

VoxTransformFrame Reader::ReadTransformFrame(VoxCursor& in) {
  VoxTransformFrame frame;
  ForEachPair(in, "the number of frame attributes", [&](std::string_view key, std::string_view value) {
    std::string_view rest = value;
    bool good = true;
    if (key == "_t") {
      for (std::int32_t& t : frame.translation) good = good && ParseInt(rest, t);
      good = good && OnlySpaces(rest);
    } else if (key == "_r") {
      std::int32_t packed = 0;
      VoxRotation rotation;
      good = ParseInt(rest, packed) && OnlySpaces(rest) && packed >= 0 && packed < 128 &&
             UnpackVoxRotation(static_cast<std::uint8_t>(packed), rotation);
      if (good) frame.rotation = static_cast<std::uint8_t>(packed);
    } else if (key == "_f") {
      good = ParseInt(rest, frame.frame) && OnlySpaces(rest);
    }
    if (!good) {
      in.Fail("%s: chunk '%s': attribute %.*s before byte %zu is '%.*s', which is not %s", name_, in.Id(),
              QuotedLength(key), key.data(), in.Offset(), QuotedLength(value), value.data(),
              key == "_t"   ? "three whole numbers"
              : key == "_r" ? "a packed rotation (two different rows in bits 0-3, signs in 4-6)"
                            : "a frame number");
    }
  });
  return frame;
}

void Reader::ReadTransform(VoxCursor& in) {
  VoxNode node = BeginNode(in, VoxNodeKind::Transform);
  node.children.push_back(in.Int32("the child's id"));
  in.Int32("the reserved id");
  node.layer = in.Int32("the layer id");
  const std::size_t frames = in.Count("the number of frames", 4);
  if (in.Ok() && frames == 0)
    in.Fail("%s: chunk 'nTRN' before byte %zu: node %d has no frame", name_, in.Offset(), node.id);
  node.frames.reserve(frames);
  for (std::size_t i = 0; i < frames && in.Ok(); ++i) node.frames.push_back(ReadTransformFrame(in));
  if (in.Ok()) scene_.nodes.push_back(std::move(node));
}

void Reader::ReadGroup(VoxCursor& in) {
  VoxNode node = BeginNode(in, VoxNodeKind::Group);
  const std::size_t children = in.Count("the number of children", 4);
  node.children.reserve(children);
  for (std::size_t i = 0; i < children; ++i) node.children.push_back(in.Int32("a child's id"));
  if (in.Ok()) scene_.nodes.push_back(std::move(node));
}

void Reader::ReadShape(VoxCursor& in) {
  constexpr std::size_t kShapeModelBytesMin = 8;  // model id, number of attributes
  VoxNode node = BeginNode(in, VoxNodeKind::Shape);
  const std::size_t models = in.Count("the number of models", kShapeModelBytesMin);
  if (in.Ok() && models == 0)
    in.Fail("%s: chunk 'nSHP' before byte %zu: node %d shows no model", name_, in.Offset(), node.id);
  node.models.reserve(models);
  for (std::size_t i = 0; i < models && in.Ok(); ++i) {
    VoxShapeModel shown;
    shown.model = in.Int32("a model's id");
    ForEachPair(in, "the number of model attributes", [&](std::string_view key, std::string_view value) {
      std::string_view rest = value;
      if (key == "_f" && !(ParseInt(rest, shown.frame) && OnlySpaces(rest))) {
        in.Fail("%s: chunk 'nSHP': attribute _f before byte %zu is '%.*s', which is not a frame number",
                name_, in.Offset(), QuotedLength(value), value.data());
      }
    });
    node.models.push_back(shown);
  }
  if (in.Ok()) scene_.nodes.push_back(std::move(node));
}

void Reader::ReadLayer(VoxCursor& in) {
  VoxLayer layer;
  layer.id = in.Int32("the layer id");
  ForEachPair(in, "the number of layer attributes", [&](std::string_view key, std::string_view value) {
    if (key == "_name") layer.name = CutName(value);
    if (key == "_hidden") layer.hidden = value != "0";
  });
  if (in.Ok()) scene_.layers.push_back(std::move(layer));
}

Result<void> Reader::CheckNodeIds() const {
  std::vector<std::int32_t> ids;
  ids.reserve(scene_.nodes.size());
  for (const VoxNode& node : scene_.nodes) ids.push_back(node.id);
  std::sort(ids.begin(), ids.end());
  const auto twice = std::adjacent_find(ids.begin(), ids.end());
  if (twice != ids.end()) {
    return Error::Format(ErrorCode::CorruptData, "%s: the scene graph (%zu nodes) has two nodes with id %d",
                         name_, scene_.nodes.size(), *twice);
  }
  return {};
}

Result<void> Reader::CheckPacked() {
  if (sizePending_) {
    return Error::Format(ErrorCode::CorruptData,
                         "%s: chunk 'SIZE' at byte %zu ends the file without its 'XYZI'", name_, sizeOffset_);
  }
  if (packed_ && static_cast<std::size_t>(packedModels_) != scene_.models.size()) {
    Warn("'PACK' announces %d models, the file holds %zu", packedModels_, scene_.models.size());
  }
  return {};
}

}  // namespace

Result<VoxScene> ReadVox(std::span<const std::byte> bytes, const char* name) {
  return Reader(bytes, name).Read();
}

}  // namespace stadial::sandbox
