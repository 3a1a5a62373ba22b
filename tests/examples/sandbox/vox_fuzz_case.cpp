#include "vox_fuzz_case.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "vox_scene_graph.h"
#include "world.h"

namespace stadial::sandbox::testing {
namespace {

constexpr std::size_t kChunkHeaderBytes = 12;
constexpr std::size_t kMainAt = 8;

std::uint32_t ReadWord(std::span<const std::byte> file, std::size_t at) {
  std::uint32_t value = 0;
  for (unsigned i = 0; i < 4; ++i) value |= std::to_integer<std::uint32_t>(file[at + i]) << (8 * i);
  return value;
}

void WriteWord(std::vector<std::byte>& file, std::size_t at, std::uint32_t value) {
  for (unsigned i = 0; i < 4; ++i) file[at + i] = static_cast<std::byte>((value >> (8 * i)) & 0xffU);
}

std::uint32_t ExtremeWord(Random& random) {
  constexpr std::uint32_t kWords[] = {0,          1,          2,          0xffffffff, 0xfffffffe, 0x7fffffff,
                                      0x80000000, 0x80000001, 0x40000000, 0x10000000, 0x00010000, 0x0000ffff,
                                      255,        256,        2048,       2049};
  return random.OneIn(4) ? random.Below(64) : kWords[random.Below(std::size(kWords))];
}

// Whole chunk: header, content, children.
std::size_t ChunkBytes(std::span<const std::byte> file, std::size_t at) {
  return kChunkHeaderBytes + ReadWord(file, at + 4) + ReadWord(file, at + 8);
}

void FixMain(std::vector<std::byte>& file, Random& random) {
  if (file.size() >= kMainAt + kChunkHeaderBytes && !random.OneIn(4)) {
    WriteWord(file, kMainAt + 8, static_cast<std::uint32_t>(file.size() - kMainAt - kChunkHeaderBytes));
  }
}

// A chunk that is not MAIN; 0 when there is none.
std::size_t PickChunk(std::span<const std::byte> file, Random& random) {
  const std::vector<std::size_t> chunks = FindChunks(file);
  return chunks.size() < 2 ? 0 : chunks[1 + random.Below(static_cast<std::uint32_t>(chunks.size() - 1))];
}

// Where a key of a dictionary stands, found by its leading underscore behind a plausible length; 0 for none.
std::size_t PickKey(std::span<const std::byte> file, Random& random) {
  std::vector<std::size_t> keys;
  for (std::size_t at = kMainAt + 4; at + 1 < file.size(); ++at) {
    if (file[at] != std::byte{'_'}) continue;
    const std::uint32_t length = ReadWord(file, at - 4);
    if (length >= 2 && length < 32) keys.push_back(at);
  }
  return keys.empty() ? 0 : keys[random.Below(static_cast<std::uint32_t>(keys.size()))];
}

void InsertAt(std::vector<std::byte>& file, std::size_t at, std::span<const std::byte> bytes) {
  file.insert(file.begin() + static_cast<std::ptrdiff_t>(at), bytes.begin(), bytes.end());
}

void MutateText(std::vector<std::byte>& file, std::size_t key, Random& random) {
  constexpr char kCharacters[] = "0123456789-+. _eEnx\xff";
  const std::size_t at = key + random.Below(16);
  if (at < file.size()) file[at] = static_cast<std::byte>(kCharacters[random.Below(sizeof kCharacters)]);
}

void MutateChunks(std::vector<std::byte>& file, Mutation mutation, std::span<const std::byte> donor,
                  Random& random) {
  const std::size_t at = PickChunk(file, random);
  if (at == 0) return;
  switch (mutation) {
    case Mutation::ChunkSize:
      WriteWord(file, at + (random.OneIn(2) ? 4 : 8), ExtremeWord(random));
      return;
    case Mutation::ChunkId:
      file[at + random.Below(4)] = static_cast<std::byte>(random.Below(256));
      return;
    case Mutation::DeleteChunk:
      file.erase(file.begin() + static_cast<std::ptrdiff_t>(at),
                 file.begin() + static_cast<std::ptrdiff_t>(at + ChunkBytes(file, at)));
      break;
    case Mutation::DuplicateChunk: {
      const std::vector<std::byte> copy(
          file.begin() + static_cast<std::ptrdiff_t>(at),
          file.begin() + static_cast<std::ptrdiff_t>(at + ChunkBytes(file, at)));
      InsertAt(file, at, copy);
      break;
    }
    default: {
      const std::size_t from = PickChunk(donor, random);
      if (from != 0) InsertAt(file, at, donor.subspan(from, ChunkBytes(donor, from)));
      break;
    }
  }
  FixMain(file, random);
}

template <class T>
std::size_t HeldBytes(const std::vector<T>& v) {
  return v.capacity() * sizeof(T);
}

// What a scene keeps on the heap, as far as the file's size governs it.
std::size_t HeldBytes(const VoxScene& scene) {
  std::size_t bytes = HeldBytes(scene.models) + HeldBytes(scene.nodes) + HeldBytes(scene.layers);
  for (const VoxModel& model : scene.models) bytes += HeldBytes(model.voxels);
  for (const VoxNode& node : scene.nodes) {
    bytes +=
        HeldBytes(node.children) + HeldBytes(node.frames) + HeldBytes(node.models) + node.name.capacity();
  }
  return bytes;
}

std::string Say(const char* what, std::size_t index) {
  return std::string(what) + " " + std::to_string(index);
}

bool SameContent(const VoxScene& a, const VoxScene& b) {
  auto sameMaterial = [](VoxMaterial x, VoxMaterial y) {
    // A type that nobody knows is not written.
    if (x.type == VoxMaterialType::Unknown) x.type = VoxMaterialType::Diffuse;
    return x == y;
  };
  return a.models == b.models && a.nodes == b.nodes && a.layers == b.layers && a.palette == b.palette &&
         std::equal(a.materials.begin(), a.materials.end(), b.materials.begin(), sameMaterial);
}

}  // namespace

const char* ToString(Mutation mutation) {
  constexpr const char* kNames[] = {"Truncate",       "FlipBit",          "SetInt",         "ChunkSize",
                                    "ChunkId",        "DeleteChunk",      "DuplicateChunk", "SpliceChunk",
                                    "DictionaryText", "DictionaryLength", "InsertBytes"};
  static_assert(std::size(kNames) == static_cast<std::size_t>(Mutation::Count));
  return kNames[static_cast<std::size_t>(mutation)];
}

std::vector<std::size_t> FindChunks(std::span<const std::byte> file) {
  std::vector<std::size_t> chunks;
  std::size_t at = kMainAt;
  while (at + kChunkHeaderBytes <= file.size()) {
    // MAIN's children follow its content; every other chunk is stepped over whole.
    const std::size_t length =
        chunks.empty() ? kChunkHeaderBytes + ReadWord(file, at + 4) : ChunkBytes(file, at);
    if (length > file.size() - at) break;
    chunks.push_back(at);
    at += length;
  }
  return chunks;
}

void Mutate(std::vector<std::byte>& file, Mutation mutation, std::span<const std::byte> donor,
            Random& random) {
  if (file.empty()) return;
  const auto size = static_cast<std::uint32_t>(file.size());
  switch (mutation) {
    case Mutation::Truncate:
      file.resize(random.OneIn(2) ? size - 1 - random.Below(std::min(size, 40U)) : random.Below(size));
      if (random.OneIn(2)) FixMain(file, random);
      break;
    case Mutation::FlipBit:
      file[random.Below(size)] ^= static_cast<std::byte>(1U << random.Below(8));
      break;
    case Mutation::SetInt:
      if (size >= 4) WriteWord(file, random.Below(size - 3), ExtremeWord(random));
      break;
    case Mutation::DictionaryText:
    case Mutation::DictionaryLength: {
      const std::size_t key = PickKey(file, random);
      if (key == 0) break;
      if (mutation == Mutation::DictionaryText) {
        MutateText(file, key, random);
      } else {
        const std::size_t valueLength = key + ReadWord(file, key - 4);
        const std::size_t at = random.OneIn(2) ? key - 4 : valueLength;
        if (at + 4 <= file.size()) WriteWord(file, at, ExtremeWord(random));
      }
      break;
    }
    case Mutation::InsertBytes: {
      std::vector<std::byte> bytes(1 + random.Below(16));
      for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.Below(256));
      InsertAt(file, random.Below(size), bytes);
      FixMain(file, random);
      break;
    }
    default:
      MutateChunks(file, mutation, donor, random);
      break;
  }
}

std::string FindViolation(const VoxScene& scene, std::size_t fileBytes) {
  for (std::size_t i = 0; i < scene.models.size(); ++i) {
    const VoxModel& model = scene.models[i];
    for (const VoxVoxel& v : model.voxels) {
      if (v.x >= model.size[0] || v.y >= model.size[1] || v.z >= model.size[2] || v.colourIndex == 0) {
        return Say("a voxel outside model", i);
      }
    }
  }
  for (std::size_t i = 0; i < scene.nodes.size(); ++i) {
    const VoxNode& node = scene.nodes[i];
    const bool isTransform = node.kind == VoxNodeKind::Transform;
    if (node.id < 0 || node.name.size() > kVoxNameBytesMax) return Say("id or name of node", i);
    if (isTransform != !node.frames.empty() || (isTransform && node.children.size() != 1))
      return Say("shape of node", i);
    if ((node.kind == VoxNodeKind::Shape) != !node.models.empty()) return Say("models of node", i);
    for (const VoxTransformFrame& frame : node.frames) {
      VoxRotation rotation;
      if (!UnpackVoxRotation(frame.rotation, rotation)) return Say("rotation of node", i);
    }
  }
  if (scene.warnings.size() > kVoxWarningsMax) return Say("warnings:", scene.warnings.size());
  constexpr std::size_t kSlackBytes = 4096;  // the first few elements of each vector
  if (HeldBytes(scene) > kVoxNodeBytesPerFileByteMax * fileBytes + kSlackBytes)
    return Say("bytes held:", HeldBytes(scene));
  return {};
}

FuzzOutcome RunFuzzCase(std::span<const std::byte> file) {
  FuzzOutcome outcome;
  auto read = ReadVox(file, "fuzz.vox");
  if (!read) {
    outcome.message = read.GetError().Message();
    if (outcome.message.rfind("fuzz.vox: ", 0) != 0)
      outcome.violation = "an error that does not name the file";
    return outcome;
  }
  outcome.accepted = true;
  const VoxScene& scene = read.Value();
  outcome.violation = FindViolation(scene, file.size());
  if (!outcome.violation.empty()) return outcome;
  auto written = WriteVox(scene);
  if (!written) {
    outcome.violation = std::string("not writable: ") + written.GetError().Message();
    return outcome;
  }
  auto again = ReadVox(written.Value(), "fuzz.vox");
  if (!again || !SameContent(scene, again.Value())) {
    outcome.violation = again ? "reads back as something else" : again.GetError().Message();
    return outcome;
  }
  WorldOptions options;
  options.atlasBytesMax = 64 * kChunkBytes;
  options.placedVoxelsMax = 1 << 20;
  const auto world = World::Build(scene, options, "fuzz.vox");
  outcome.built = world.HasValue();
  if (!world) outcome.message = world.GetError().Message();
  return outcome;
}

}  // namespace stadial::sandbox::testing
