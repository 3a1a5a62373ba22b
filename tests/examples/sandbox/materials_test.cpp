#include "materials.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace stadial::sandbox {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::array<bool, kVoxPaletteEntries> Used(std::initializer_list<std::size_t> colours) {
  std::array<bool, kVoxPaletteEntries> used{};
  for (const std::size_t c : colours) used[c] = true;
  return used;
}

TEST(ParseColourList, ReadsNumbersAndRanges) {
  auto list = ParseColourList("3,17,40-44,1,41");
  ASSERT_TRUE(list);
  EXPECT_THAT(list.Value(), ElementsAre(1, 3, 17, 40, 41, 42, 43, 44));
  EXPECT_TRUE(ParseColourList("255"));
}

TEST(ParseColourList, NamesTextAndPlaceOfAMistake) {
  for (const char* text :
       {"", ",", "1,", "0", "256", "9-3", "1-", "a", "1 2", "1,,2", "-1", "99999999999999999999"}) {
    const auto list = ParseColourList(text);
    ASSERT_FALSE(list) << text;
    EXPECT_THAT(list.GetError().Message(), HasSubstr("at character"));
  }
  const auto list = ParseColourList("12,x");
  EXPECT_THAT(list.GetError().Message(), HasSubstr("'12,x'"));
  EXPECT_THAT(list.GetError().Message(), HasSubstr("at character 4"));
}

TEST(MaterialTable, IdsAreSortedByClass) {
  VoxScene scene;
  scene.palette = MakeDefaultVoxPalette();
  scene.materials[10].behaviour = VoxBehaviour::Water;
  scene.materials[20].behaviour = VoxBehaviour::Sand;
  scene.materials[30].behaviour = VoxBehaviour::Sand;
  auto made = MakeMaterialTable(scene, Used({5, 10, 20, 30, 40}), {});
  ASSERT_TRUE(made);
  const MaterialTable& table = made.Value();
  EXPECT_EQ(table.waterBegin, 255u);
  EXPECT_EQ(table.sandBegin, 253u);
  EXPECT_EQ(table.idOf[5], 1);
  EXPECT_EQ(table.idOf[40], 2);
  EXPECT_EQ(table.idOf[20], 253);
  EXPECT_EQ(table.idOf[30], 254);
  EXPECT_EQ(table.idOf[10], 255);
  EXPECT_EQ(table.idOf[6], 0) << "colours that no model uses get no id";
  for (const std::size_t colour : std::initializer_list<std::size_t>{5, 10, 20, 30, 40}) {
    const std::uint32_t id = table.idOf[colour];
    EXPECT_EQ(table.materials[id].colourIndex, colour);
    EXPECT_EQ(table.materials[id].cls, table.ClassOf(id));
    EXPECT_EQ(table.materials[id].colour, scene.palette[colour]);
  }
  EXPECT_EQ(table.ClassOf(0), MaterialClass::Empty);
  EXPECT_TRUE(table.HasMovable());
}

TEST(MaterialTable, TheRulesApplyInTheirOrder) {
  VoxScene scene;
  scene.palette[1] = scene.palette[2] = scene.palette[5] = {10, 40, 200, 255};
  scene.palette[3] = {200, 40, 10, 255};
  for (const std::size_t i : std::initializer_list<std::size_t>{1, 2, 3, 5})
    scene.materials[i].type = VoxMaterialType::Media;
  scene.materials[2].behaviour = VoxBehaviour::Stone;
  scene.palette[4] = {10, 40, 200, 255};
  scene.materials[4].type = VoxMaterialType::Glass;
  MaterialRules rules;
  rules.sand = {5, 6};
  rules.water = {6};
  rules.stone = {5};
  auto made = MakeMaterialTable(scene, Used({1, 2, 3, 4, 5, 6}), rules);
  ASSERT_TRUE(made);
  const auto classOf = [&](std::size_t colour) { return made.Value().ClassOf(made.Value().idOf[colour]); };
  EXPECT_EQ(classOf(1), MaterialClass::Water) << "blue media";
  EXPECT_EQ(classOf(2), MaterialClass::Stone) << "the key goes before the type";
  EXPECT_EQ(classOf(3), MaterialClass::Stone) << "red media";
  EXPECT_EQ(classOf(4), MaterialClass::Stone) << "blue glass may be a window";
  EXPECT_EQ(classOf(5), MaterialClass::Sand) << "the lists go before all, the later list wins";
  EXPECT_EQ(classOf(6), MaterialClass::Water);
}

TEST(MaterialTable, AFullPaletteOfStoneFits) {
  std::array<bool, kVoxPaletteEntries> all;
  all.fill(true);
  auto made = MakeMaterialTable(VoxScene{}, all, {});
  ASSERT_TRUE(made);
  EXPECT_FALSE(made.Value().HasMovable());
  EXPECT_EQ(made.Value().idOf[255], 255);
  EXPECT_EQ(made.Value().ClassOf(255), MaterialClass::Stone);
}

TEST(MaterialTable, TooManyMovableColoursAreRefused) {
  std::array<bool, kVoxPaletteEntries> all;
  all.fill(true);
  MaterialRules rules;
  for (unsigned i = 1; i <= kMovableMaterialsMax; ++i) rules.sand.push_back(static_cast<std::uint8_t>(i));
  auto made = MakeMaterialTable(VoxScene{}, all, rules);
  ASSERT_TRUE(made);
  EXPECT_EQ(made.Value().sandBegin, 128u);
  rules.water.push_back(200);
  const auto refused = MakeMaterialTable(VoxScene{}, all, rules);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.GetError().Message(), HasSubstr("128 colours are sand and 1 water"));
}

TEST(MaterialTable, EmissionIsBounded) {
  VoxScene scene;
  for (const std::size_t i : std::initializer_list<std::size_t>{1, 2, 3, 4, 5}) {
    scene.materials[i].type = VoxMaterialType::Emit;
    scene.materials[i].emit = 0.5F;
  }
  scene.materials[1].flux = 2.0F;
  scene.materials[2].flux = 1.0e30F;
  scene.materials[3].emit = 3.0e38F;
  scene.materials[4].emit = -1.0F;
  scene.materials[5].type = VoxMaterialType::Diffuse;
  auto made = MakeMaterialTable(scene, Used({1, 2, 3, 4, 5}), {});
  ASSERT_TRUE(made);
  const auto emission = [&](std::size_t colour) {
    return made.Value().materials[made.Value().idOf[colour]].emission;
  };
  EXPECT_EQ(emission(1), 4.0F);
  EXPECT_EQ(emission(2), kEmissionMax);
  EXPECT_EQ(emission(3), kEmissionMax);
  EXPECT_EQ(emission(4), 0.0F);
  EXPECT_EQ(emission(5), 0.0F);
  EXPECT_TRUE(made.Value().hasGlow);
}

TEST(SrgbToLinear, EndsAndMiddle) {
  EXPECT_EQ(SrgbToLinear(0), 0.0F);
  EXPECT_EQ(SrgbToLinear(255), 1.0F);
  EXPECT_NEAR(SrgbToLinear(188), 0.5029F, 1e-3F);
}

}  // namespace
}  // namespace stadial::sandbox
