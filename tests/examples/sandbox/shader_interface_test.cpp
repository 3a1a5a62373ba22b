// shader_interface.h and shaders/common.glsl state the same facts in two languages: this reads the GLSL and
// compares.
#include "shader_interface.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace stadial::sandbox {
namespace {

std::string ReadShader(const char* name) {
  std::ifstream file(std::string(SANDBOX_SHADERS) + "/" + name);
  EXPECT_TRUE(file) << name;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// Every "const TYPE NAME = NUMBER;" of a shader.
std::map<std::string, double> ConstantsOf(const std::string& source) {
  std::map<std::string, double> constants;
  const std::regex constant(R"(const (?:uint|float|int) (k\w+) = ([0-9.e+-]+)u?;)");
  for (std::sregex_iterator it(source.begin(), source.end(), constant), end; it != end; ++it) {
    constants[(*it)[1]] = std::stod((*it)[2]);
  }
  return constants;
}

TEST(ShaderInterface, ConstantsAgree) {
  const auto glsl = ConstantsOf(ReadShader("common.glsl"));
  const std::map<std::string, double> cpp{
      {"kChunkEdgeCells", kChunkEdgeCells},
      {"kChunkWords", kChunkWords},
      {"kWordsPerRow", kChunkEdgeCells / kCellsPerWord},
      {"kWordsPerLayer", kChunkEdgeCells * kChunkEdgeCells / kCellsPerWord},
      {"kMaterialCount", kMaterialCount},
      {"kLightsMax", kLightsMax},
      {"kLightWordsPerSlot", kLightWordsPerSlot},
      {"kFrameHistoryValid", kFrameHistoryValid},
      {"kFrameStill", kFrameStill},
      {"kFrameCameraMoved", kFrameCameraMoved},
      {"kFrameGroundPlane", kFrameGroundPlane},
      {"kSkyDistance", static_cast<double>(kSkyDistance)},
      {"kDistanceMax", 4095.9},
      {"kDistanceSteps", static_cast<double>(kDistanceSteps)},
      {"kCountSteps", static_cast<double>(kCountSteps)},
      {"kAccumulatedFramesMax", kAccumulatedFramesMax}};
  EXPECT_EQ(static_cast<float>(cpp.at("kDistanceMax")), kDistanceMax);
  EXPECT_EQ(glsl, cpp);
}

// The members of the GLSL block in order, each a vec4 or uvec4, against the offsets of the C++ struct.
TEST(ShaderInterface, TheFrameBlockAgrees) {
  const std::string source = ReadShader("common.glsl");
  const std::size_t begin = source.find("struct FrameUniforms {");
  ASSERT_NE(begin, std::string::npos);
  const std::string block = source.substr(begin, source.find("};", begin) - begin);
  std::vector<std::string> names;
  const std::regex member(R"(\n  u?vec4 (\w+);)");
  for (std::sregex_iterator it(block.begin(), block.end(), member), end; it != end; ++it)
    names.push_back((*it)[1]);
#define STADIAL_MEMBER(name) \
  { #name, offsetof(FrameUniforms, name) }
  const std::map<std::string, std::size_t> offsets{STADIAL_MEMBER(cameraPosition),
                                                   STADIAL_MEMBER(cameraRight),
                                                   STADIAL_MEMBER(cameraUp),
                                                   STADIAL_MEMBER(cameraForward),
                                                   STADIAL_MEMBER(previousPosition),
                                                   STADIAL_MEMBER(previousRight),
                                                   STADIAL_MEMBER(previousUp),
                                                   STADIAL_MEMBER(previousForward),
                                                   STADIAL_MEMBER(jitter),
                                                   STADIAL_MEMBER(sunDirection),
                                                   STADIAL_MEMBER(sunColour),
                                                   STADIAL_MEMBER(skyZenith),
                                                   STADIAL_MEMBER(skyHorizon),
                                                   STADIAL_MEMBER(groundColour),
                                                   STADIAL_MEMBER(haze),
                                                   STADIAL_MEMBER(image),
                                                   STADIAL_MEMBER(world),
                                                   STADIAL_MEMBER(automaton)};
#undef STADIAL_MEMBER
  ASSERT_EQ(names.size(), offsets.size());
  ASSERT_EQ(names.size() * 16, sizeof(FrameUniforms));
  for (std::size_t i = 0; i < names.size(); ++i) {
    ASSERT_TRUE(offsets.contains(names[i])) << names[i];
    EXPECT_EQ(offsets.at(names[i]), i * 16) << names[i];
  }
}

// Binding numbers as the shaders declare them: "binding = N" with the name that follows.
TEST(ShaderInterface, BindingsAgree) {
  const auto bindingsOf = [](const char* shader) {
    const std::string source = ReadShader(shader);
    std::map<std::string, std::uint32_t> bindings;
    const std::regex declaration(
        R"(binding = (\d+)[^)]*\) (?:readonly |writeonly )?(?:uniform |buffer )(?:image2D )?(\w+))");
    for (std::sregex_iterator it(source.begin(), source.end(), declaration), end; it != end; ++it) {
      bindings[(*it)[2]] = static_cast<std::uint32_t>(std::stoul((*it)[1]));
    }
    return bindings;
  };
  using Bindings = std::map<std::string, std::uint32_t>;
  EXPECT_EQ(bindingsOf("automaton.comp"), (Bindings{{"Frame", AutomatonBindings::kFrame},
                                                    {"ChunkTable", AutomatonBindings::kChunkTable},
                                                    {"SlotChunks", AutomatonBindings::kSlotChunks},
                                                    {"CellsIn", AutomatonBindings::kCellsIn},
                                                    {"CellsOut", AutomatonBindings::kCellsOut}}));
  EXPECT_EQ(bindingsOf("occupancy.comp"),
            (Bindings{{"Cells", OccupancyBindings::kCells}, {"Occupancy", OccupancyBindings::kOccupancy}}));
  EXPECT_EQ(bindingsOf("ray_march.comp"), (Bindings{{"Frame", RayMarchBindings::kFrame},
                                                    {"Scene", RayMarchBindings::kScene},
                                                    {"ChunkTable", RayMarchBindings::kChunkTable},
                                                    {"Cells", RayMarchBindings::kCells},
                                                    {"Occupancy", RayMarchBindings::kOccupancy},
                                                    {"SlotLights", RayMarchBindings::kSlotLights},
                                                    {"colourImage", RayMarchBindings::kColour}}));
  EXPECT_EQ(bindingsOf("taa.comp"), (Bindings{{"Frame", TaaBindings::kFrame},
                                              {"currentImage", TaaBindings::kCurrent},
                                              {"historyImage", TaaBindings::kHistoryIn},
                                              {"resolvedImage", TaaBindings::kHistoryOut}}));
  EXPECT_EQ(bindingsOf("tonemap.comp"), (Bindings{{"Frame", TonemapBindings::kFrame},
                                                  {"colourImage", TonemapBindings::kColour},
                                                  {"Pixels", TonemapBindings::kPixels}}));
}

}  // namespace
}  // namespace stadial::sandbox
