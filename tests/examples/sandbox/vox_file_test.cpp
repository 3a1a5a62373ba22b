#include "vox_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <limits>

#include "random_scene.h"
#include "vox_bytes.h"

namespace stadial::sandbox {
namespace {

using ::testing::HasSubstr;
using testing::ModelChunks;
using testing::VoxBytes;
using testing::VoxFile;

VoxScene ReadGood(const std::vector<std::byte>& bytes) {
  auto scene = ReadVox(bytes, "test.vox");
  EXPECT_TRUE(scene) << scene.GetError().Message();
  return scene ? std::move(scene).Value() : VoxScene{};
}

std::string ReadBad(const std::vector<std::byte>& bytes) {
  const auto scene = ReadVox(bytes, "test.vox");
  EXPECT_FALSE(scene);
  return scene ? std::string() : std::string(scene.GetError().Message());
}

TEST(VoxReader, ReadsAModel) {
  const VoxScene scene = ReadGood(VoxFile(ModelChunks(3, 4, 5, {{0, 1, 2, 7}, {2, 3, 4, 255}})));
  ASSERT_EQ(scene.models.size(), 1u);
  EXPECT_EQ(scene.models[0].size, (std::array<std::int32_t, 3>{3, 4, 5}));
  EXPECT_EQ(scene.models[0].voxels, (std::vector<VoxVoxel>{{0, 1, 2, 7}, {2, 3, 4, 255}}));
  EXPECT_TRUE(scene.warnings.empty());
  EXPECT_FALSE(scene.hasPalette);
}

TEST(VoxReader, ReadsSeveralModelsAndSkipsWhatItDoesNotKnow) {
  VoxBytes chunks;
  chunks.Chunk("PACK", VoxBytes().Int(2))
      .Append(ModelChunks(1, 1, 1, {{0, 0, 0, 1}}))
      .Chunk("ZZZZ", VoxBytes().Raw("whatever"))
      .Append(ModelChunks(2, 2, 2, {{1, 1, 1, 2}}))
      .Chunk("rCAM", VoxBytes().Int(0))
      .Chunk("NOTE", VoxBytes().Int(0));
  // A chunk with children that nobody asked for.
  chunks.Raw("PARE").Int(4).Int(12).Int(99).Chunk("KIDS", VoxBytes());
  const VoxScene scene = ReadGood(VoxFile(chunks));
  EXPECT_EQ(scene.models.size(), 2u);
  EXPECT_TRUE(scene.warnings.empty());
}

TEST(VoxReader, PaletteEntryIBelongsToColourIPlusOne) {
  VoxBytes entries;
  for (unsigned i = 0; i < 256; ++i) entries.Byte(i).Byte(255 - i).Byte(i / 2).Byte(200);
  VoxBytes chunks = ModelChunks(1, 1, 1, {{0, 0, 0, 1}});
  const VoxScene scene = ReadGood(VoxFile(chunks.Chunk("RGBA", entries)));
  EXPECT_TRUE(scene.hasPalette);
  EXPECT_EQ(scene.palette[0], VoxColour{});
  for (unsigned i = 0; i < 255; ++i) {
    const auto b = [](unsigned v) { return static_cast<std::uint8_t>(v); };
    EXPECT_EQ(scene.palette[i + 1], (VoxColour{b(i), b(255 - i), b(i / 2), 200})) << i;
  }
}

std::uint32_t Abgr(const VoxColour& c) {
  return c.r | std::uint32_t{c.g} << 8 | std::uint32_t{c.b} << 16 | std::uint32_t{c.a} << 24;
}

// Spot values of the published table, written there as 0xAABBGGRR.
TEST(VoxReader, DefaultPaletteFollowsThePublishedTable) {
  const auto palette = MakeDefaultVoxPalette();
  const std::pair<std::size_t, std::uint32_t> published[] = {
      {0, 0x00000000},   {1, 0xffffffff},   {2, 0xffccffff},   {6, 0xff00ffff},   {7, 0xffffccff},
      {31, 0xffff00ff},  {36, 0xff0000ff},  {37, 0xffffffcc},  {180, 0xff000033}, {215, 0xff330000},
      {216, 0xff0000ee}, {225, 0xff000011}, {226, 0xff00ee00}, {235, 0xff001100}, {236, 0xffee0000},
      {245, 0xff110000}, {246, 0xffeeeeee}, {255, 0xff111111}};
  for (const auto& [index, abgr] : published) {
    const VoxColour& c = palette[index];
    EXPECT_EQ(Abgr(c), abgr) << index;
  }
  std::vector<std::uint32_t> all(palette.size());
  std::transform(palette.begin(), palette.end(), all.begin(), Abgr);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end()) << "two entries are the same colour";
}

TEST(VoxReader, ReadsTheSceneGraph) {
  VoxBytes chunks = ModelChunks(1, 1, 1, {{0, 0, 0, 1}});
  chunks
      .Chunk("nTRN", VoxBytes()
                         .Int(0)
                         .Pairs({{"_name", "top"}, {"_hidden", "1"}, {"other", "x"}})
                         .Int(1)
                         .Int(-1)
                         .Int(3)
                         .Int(2)
                         .Pairs({{"_r", "40"}, {"_t", "-5 10 2147483647"}})
                         .Pairs({{"_f", "12"}}))
      .Chunk("nGRP", VoxBytes().Int(1).Pairs({{"_hidden", "0"}}).Int(2).Int(2).Int(2))
      .Chunk("nSHP", VoxBytes().Int(2).Pairs({}).Int(2).Int(0).Pairs({}).Int(0).Pairs({{"_f", "7"}}))
      .Chunk("LAYR", VoxBytes().Int(3).Pairs({{"_name", "ground"}, {"_hidden", "1"}}).Int(-1));
  const VoxScene scene = ReadGood(VoxFile(chunks));
  ASSERT_EQ(scene.nodes.size(), 3u);
  const VoxNode& top = scene.nodes[0];
  EXPECT_EQ(top.kind, VoxNodeKind::Transform);
  EXPECT_EQ(top.name, "top");
  EXPECT_TRUE(top.hidden);
  EXPECT_EQ(top.layer, 3);
  EXPECT_EQ(top.children, std::vector<std::int32_t>{1});
  ASSERT_EQ(top.frames.size(), 2u);
  EXPECT_EQ(top.frames[0], (VoxTransformFrame{0, 40, {-5, 10, 2147483647}}));
  EXPECT_EQ(top.frames[1], (VoxTransformFrame{12, kVoxRotationIdentity, {0, 0, 0}}));
  EXPECT_FALSE(scene.nodes[1].hidden);
  EXPECT_EQ(scene.nodes[1].children, (std::vector<std::int32_t>{2, 2}));
  EXPECT_EQ(scene.nodes[2].models, (std::vector<VoxShapeModel>{{0, 0}, {0, 7}}));
  EXPECT_EQ(scene.layers, (std::vector<VoxLayer>{{3, true, "ground"}}));
}

TEST(VoxReader, ReadsMaterialsOldAndNew) {
  VoxBytes chunks = ModelChunks(1, 1, 1, {{0, 0, 0, 1}});
  chunks
      .Chunk("MATL", VoxBytes().Int(9).Pairs({{"_type", "_emit"},
                                              {"_emit", "0.75"},
                                              {"_flux", "2"},
                                              {"_rough", "0.25"},
                                              {"_metal", "0.5"},
                                              {"_alpha", "0.125"},
                                              {"_weight", "1"}}))
      .Chunk("MATL",
             VoxBytes().Int(10).Pairs({{"_type", "_glass"}, {"_trans", "0.25"}, {"_stadial", "water"}}))
      .Chunk("MATL", VoxBytes().Int(11).Pairs(
                         {{"_type", "_plasma"}, {"_rough", "nan"}, {"_metal", "1e99"}, {"_emit", "x"}}))
      .Chunk("MATL", VoxBytes().Int(256).Pairs({{"_type", "_metal"}}))
      .Chunk("MATL", VoxBytes().Int(-3).Pairs({}))
      .Chunk("MATT", VoxBytes().Int(12).Int(3).Float(0.5F).Int(0))
      .Chunk("MATT", VoxBytes().Int(13).Int(1).Float(0.25F).Int(0))
      .Chunk("MATT", VoxBytes().Int(999).Int(1).Float(0.25F).Int(0));
  const VoxScene scene = ReadGood(VoxFile(chunks));
  const VoxMaterial& emit = scene.materials[9];
  EXPECT_EQ(emit.type, VoxMaterialType::Emit);
  EXPECT_EQ(emit.emit, 0.75F);
  EXPECT_EQ(emit.flux, 2.0F);
  EXPECT_EQ(emit.rough, 0.25F);
  EXPECT_EQ(emit.metal, 0.5F);
  EXPECT_EQ(emit.alpha, 0.125F);
  EXPECT_EQ(scene.materials[10].alpha, 0.75F);
  EXPECT_EQ(scene.materials[10].behaviour, VoxBehaviour::Water);
  EXPECT_EQ(scene.materials[11].type, VoxMaterialType::Unknown);
  EXPECT_EQ(scene.materials[11].rough, VoxMaterial{}.rough)
      << "what is not a finite number keeps the default";
  EXPECT_EQ(scene.materials[0], VoxMaterial{}) << "material 256 belongs to no colour";
  EXPECT_EQ(scene.materials[12].emit, 0.5F);
  EXPECT_EQ(scene.materials[13].metal, 0.25F);
  EXPECT_EQ(scene.warnings.size(), 6u) << "type, rough, metal, emit, material -3, MATT 999";
}

TEST(VoxReader, KeepsOdditiesAsWarningsAndBoundsThem) {
  VoxBytes chunks;
  chunks.Chunk("PACK", VoxBytes().Int(5))
      .Append(ModelChunks(2, 2, 2, {{0, 0, 0, 0}, {2, 0, 0, 1}, {1, 1, 1, 9}}));
  std::vector<std::byte> file = VoxFile(chunks);
  file.push_back(std::byte{1});
  const VoxScene scene = ReadGood(file);
  EXPECT_EQ(scene.models[0].voxels, (std::vector<VoxVoxel>{{1, 1, 1, 9}}));
  ASSERT_EQ(scene.warnings.size(), 4u);
  EXPECT_THAT(scene.warnings[0], HasSubstr("1 bytes after the end"));
  EXPECT_THAT(scene.warnings[1], HasSubstr("1 of 3 voxels lie outside its 2 x 2 x 2 cells"));
  EXPECT_THAT(scene.warnings[2], HasSubstr("colour 0"));
  EXPECT_THAT(scene.warnings[3], HasSubstr("announces 5 models, the file holds 1"));

  VoxBytes many;
  for (int i = 0; i < 40; ++i) many.Chunk("MATL", VoxBytes().Int(1000 + i).Pairs({}));
  const VoxScene noisy = ReadGood(VoxFile(many));
  EXPECT_EQ(noisy.warnings.size(), kVoxWarningsMax);
  EXPECT_EQ(noisy.warningsDropped, 40 - kVoxWarningsMax);
}

TEST(VoxReader, CutsLongNames) {
  const std::string name(5000, 'n');
  VoxBytes chunks;
  chunks.Chunk("LAYR", VoxBytes().Int(0).Pairs({{"_name", name}}).Int(-1));
  EXPECT_EQ(ReadGood(VoxFile(chunks)).layers[0].name, std::string(kVoxNameBytesMax, 'n'));
}

TEST(VoxReader, NamesEveryFault) {
  const VoxBytes model = ModelChunks(1, 1, 1, {{0, 0, 0, 1}});
  const auto one = [](std::string_view id, const VoxBytes& content) {
    return VoxFile(VoxBytes().Chunk(id, content));
  };
  struct Fault {
    std::vector<std::byte> file;
    std::vector<const char*> says;
  };
  const std::string huge = "99999999999";
  const Fault faults[] = {
      {{}, {"test.vox", "not a .vox file", "0 bytes"}},
      {VoxBytes().Raw("PNG!").Int(150).Raw("MAIN").Int(0).Int(0).Bytes(), {"begins with 'PNG!'"}},
      {VoxBytes().Raw("VOX ").Int(150).Raw("SIZE").Int(0).Int(0).Bytes(),
       {"'SIZE' at byte 8 where 'MAIN' must be"}},
      {VoxBytes().Raw("VOX ").Int(150).Raw("MAIN").Int(0).Int(10).Bytes(),
       {"'MAIN'", "10 of children, 0 follow", "truncated"}},
      {VoxBytes().Raw("VOX ").Int(150).Raw("MAIN").Int(-1).Int(0).Bytes(), {"-1 bytes of content"}},
      {VoxBytes().Raw("VOX ").Int(150).Raw("MAIN").Int(0x7fffffff).Int(0x7fffffff).Bytes(), {"2147483647"}},
      {VoxFile(VoxBytes().Raw("abc")), {"3 bytes at byte 20 are too few for a chunk header"}},
      {VoxFile(VoxBytes().Raw("SIZE").Int(100).Int(0)),
       {"chunk 'SIZE' at byte 20 says 100 bytes", "0 are left"}},
      {VoxFile(VoxBytes().Raw("SIZE").Int(0).Int(-5)), {"-5 of children"}},
      {one("SIZE", VoxBytes().Int(1)), {"chunk 'SIZE' ends early", "byte 36", "0 left of 4"}},
      {one("SIZE", VoxBytes().Int(1).Int(-2).Int(1)), {"model 0 is 1 x -2 x 1 cells", "0..2048"}},
      {one("SIZE", VoxBytes().Int(1).Int(4000).Int(1)), {"4000"}},
      {one("SIZE", VoxBytes().Int(1).Int(1).Int(1)), {"'SIZE' at byte 20 ends the file without its 'XYZI'"}},
      {VoxFile(VoxBytes().Chunk("SIZE", VoxBytes().Int(1).Int(1).Int(1)).Chunk("RGBA", VoxBytes())),
       {"followed by 'RGBA'"}},
      {one("XYZI", VoxBytes().Int(0)), {"'XYZI' at byte 20 has no 'SIZE' before it"}},
      {VoxFile(VoxBytes()
                   .Chunk("SIZE", VoxBytes().Int(1).Int(1).Int(1))
                   .Chunk("XYZI", VoxBytes().Int(1000000).Int(0))),
       {"the number of voxels is 1000000", "4 bytes follow"}},
      {VoxFile(VoxBytes().Chunk("SIZE", VoxBytes().Int(1).Int(1).Int(1)).Chunk("XYZI", VoxBytes().Int(-1))),
       {"is -1"}},
      {one("PACK", VoxBytes().Int(-4)), {"announces -4 models"}},
      {one("RGBA", VoxBytes().Int(0)), {"chunk 'RGBA' ends early", "1024 bytes"}},
      {one("MATL", VoxBytes().Int(1).Int(1 << 30)), {"the number of material properties is 1073741824"}},
      {one("MATL", VoxBytes().Int(1).Int(1).Text("_type").Int(0x7fffffff)),
       {"a value's length is 2147483647"}},
      {one("MATL", VoxBytes().Int(1).Int(1).Int(-7).Int(0)), {"a key's length is -7"}},
      {one("nTRN", VoxBytes().Int(-1).Pairs({})), {"node id -1 is negative"}},
      {one("nTRN", VoxBytes().Int(0).Pairs({}).Int(1).Int(-1).Int(-1).Int(0)), {"node 0 has no frame"}},
      {one("nTRN", VoxBytes().Int(0).Pairs({}).Int(1).Int(-1).Int(-1).Int(900)),
       {"the number of frames is 900"}},
      {one("nTRN", VoxBytes().Int(0).Pairs({}).Int(1).Int(-1).Int(-1).Int(1).Pairs({{"_t", "1 2"}})),
       {"_t", "'1 2'", "three whole numbers"}},
      {one("nTRN", VoxBytes().Int(0).Pairs({}).Int(1).Int(-1).Int(-1).Int(1).Pairs({{"_t", huge + " 0 0"}})),
       {"_t"}},
      {one("nTRN", VoxBytes().Int(0).Pairs({}).Int(1).Int(-1).Int(-1).Int(1).Pairs({{"_r", "5"}})),
       {"_r", "'5'", "packed rotation"}},
      {one("nTRN", VoxBytes().Int(0).Pairs({}).Int(1).Int(-1).Int(-1).Int(1).Pairs({{"_r", "132"}})),
       {"packed rotation"}},
      {one("nTRN", VoxBytes().Int(0).Pairs({}).Int(1).Int(-1).Int(-1).Int(1).Pairs({{"_f", "x"}})),
       {"a frame number"}},
      {one("nGRP", VoxBytes().Int(0).Pairs({}).Int(0x40000000)), {"the number of children is 1073741824"}},
      {one("nSHP", VoxBytes().Int(0).Pairs({}).Int(0)), {"node 0 shows no model"}},
      {one("nSHP", VoxBytes().Int(0).Pairs({}).Int(1).Int(0).Pairs({{"_f", "?"}})), {"_f", "'?'"}},
      {VoxFile(VoxBytes()
                   .Append(model)
                   .Chunk("nGRP", VoxBytes().Int(4).Pairs({}).Int(0))
                   .Chunk("nGRP", VoxBytes().Int(4).Pairs({}).Int(0))),
       {"two nodes with id 4"}},
  };
  for (const Fault& fault : faults) {
    const std::string message = ReadBad(fault.file);
    for (const char* part : fault.says) EXPECT_THAT(message, HasSubstr(part));
  }
}

TEST(VoxReader, QuotesHostileTextInPart) {
  const std::string flood(100000, 'A');
  VoxBytes frame = VoxBytes().Int(0).Pairs({}).Int(1).Int(-1).Int(-1).Int(1).Pairs({{"_t", flood}});
  const std::string message = ReadBad(VoxFile(VoxBytes().Chunk("nTRN", frame)));
  EXPECT_LT(message.size(), 300u);
  EXPECT_THAT(message, HasSubstr("three whole numbers"));
}

TEST(VoxReader, EveryTruncationIsAnErrorOrSmaller) {
  auto file = WriteVox(testing::MakeRandomScene(3));
  ASSERT_TRUE(file);
  const std::vector<std::byte>& whole = file.Value();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const auto scene = ReadVox(std::span(whole.data(), length), "test.vox");
    ASSERT_FALSE(scene) << "cut to " << length << " of " << whole.size() << " bytes";
    EXPECT_STRNE(scene.GetError().Message(), "");
  }
}

bool SameContent(const VoxScene& a, const VoxScene& b) {
  return a.version == b.version && a.models == b.models && a.nodes == b.nodes && a.layers == b.layers &&
         a.hasPalette == b.hasPalette && a.palette == b.palette && a.materials == b.materials;
}

TEST(VoxWriter, GivesTheReaderBackWhatItWasGiven) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    const VoxScene scene = testing::MakeRandomScene(seed);
    auto bytes = WriteVox(scene);
    ASSERT_TRUE(bytes) << bytes.GetError().Message();
    const VoxScene back = ReadGood(bytes.Value());
    ASSERT_TRUE(SameContent(scene, back)) << "seed " << seed;
    EXPECT_TRUE(back.warnings.empty()) << back.warnings[0];
    auto again = WriteVox(back);
    ASSERT_TRUE(again);
    EXPECT_EQ(again.Value(), bytes.Value());
  }
}

// The comparison above must be able to fail.
TEST(VoxWriter, CanaryOneFlippedVoxelIsSeen) {
  const VoxScene scene = testing::MakeRandomScene(1);
  VoxScene other = testing::MakeRandomScene(1);
  ASSERT_TRUE(SameContent(scene, other));
  for (VoxModel& model : other.models) {
    if (!model.voxels.empty()) {
      model.voxels.back().colourIndex ^= 1;
      break;
    }
  }
  EXPECT_FALSE(SameContent(scene, other));
}

TEST(VoxWriter, RefusesWhatNoFileCanHold) {
  const auto refusal = [](auto&& spoil) {
    VoxScene scene = testing::MakeRandomScene(2);
    scene.models.assign(1, {{2, 2, 2}, {{0, 0, 0, 1}}});
    spoil(scene);
    const auto bytes = WriteVox(scene);
    EXPECT_FALSE(bytes);
    return bytes ? std::string() : std::string(bytes.GetError().Message());
  };
  EXPECT_THAT(refusal([](VoxScene& s) { s.models[0].voxels[0].x = 2; }), HasSubstr("voxel 2,0,0"));
  EXPECT_THAT(refusal([](VoxScene& s) { s.models[0].voxels[0].colourIndex = 0; }), HasSubstr("colour 0"));
  EXPECT_THAT(refusal([](VoxScene& s) { s.models[0].size[1] = -1; }), HasSubstr("-1"));
  EXPECT_THAT(refusal([](VoxScene& s) { s.nodes[0].children.clear(); }),
              HasSubstr("transform node 0: 0 children"));
  EXPECT_THAT(refusal([](VoxScene& s) { s.nodes[0].frames[0].rotation = 5; }),
              HasSubstr("5 is not a packed rotation"));
  EXPECT_THAT(refusal([](VoxScene& s) { s.nodes[0].name.assign(64, 'x'); }), HasSubstr("64 bytes"));
  EXPECT_THAT(refusal([](VoxScene& s) { s.layers.emplace_back().name.assign(64, 'x'); }),
              HasSubstr("64 bytes"));
  EXPECT_THAT(refusal([](VoxScene& s) { s.materials[3].emit = std::numeric_limits<float>::infinity(); }),
              HasSubstr("material 3"));
}

TEST(VoxLoad, TellsWhatTheFileSystemSays) {
  const std::string folder = ::testing::TempDir();
  auto missing = LoadVox((folder + "/no/such.vox").c_str());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.GetError().Code(), ErrorCode::NotFound);
  EXPECT_THAT(missing.GetError().Message(), HasSubstr("such.vox"));

  auto directory = LoadVox(folder.c_str());
  ASSERT_FALSE(directory);
  EXPECT_THAT(directory.GetError().Message(), HasSubstr("not a regular file"));

  const std::string fifo = folder + "/stadial_vox_fifo";
  ::unlink(fifo.c_str());
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_FALSE(LoadVox(fifo.c_str())) << "and it does not hang";
  ::unlink(fifo.c_str());

  const std::string path = folder + "/stadial_vox_load.vox";
  const auto file = VoxFile(ModelChunks(1, 1, 1, {{0, 0, 0, 1}}));
  ASSERT_TRUE(SaveFile(path.c_str(), file));
  EXPECT_TRUE(LoadVox(path.c_str()));
  auto tooLarge = LoadVox(path.c_str(), file.size() - 1);
  ASSERT_FALSE(tooLarge);
  EXPECT_EQ(tooLarge.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_FALSE(SaveFile((folder + "/no/such.vox").c_str(), file));
  ::unlink(path.c_str());
}

}  // namespace
}  // namespace stadial::sandbox
