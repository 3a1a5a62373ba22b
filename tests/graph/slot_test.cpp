#include "stadial/graph/slot.h"

#include <gtest/gtest.h>

#include <string_view>

#include "stadial/graph/slot_view.h"

namespace stadial::graph {
namespace {

struct Pixel {
  float r = 1, g = 2, b = 3;
};

struct MixedConfig : NodeConfig<MixedConfig> {
  INPUT_SLOT(A, float);
  OUTPUT_SLOT(R, char);
  INPUT_SLOT(B, int, SlotMode::Array);
  OUTPUT_SLOT(S, double, SlotRole::Compile);
  INPUT_SLOT(C, Pixel, SlotMode::Optional, SlotRole::Compile | SlotRole::Descriptor);
  OUTPUT_SLOT(T, Pixel);
};
struct EmptyConfig : NodeConfig<EmptyConfig> {};
struct Outer {
  struct Config2 : NodeConfig<Config2> {
    INPUT_SLOT(A, float);
    INPUT_SLOT(SECOND, float);
  };
};
#define FOUR(P)          \
  INPUT_SLOT(P##0, int); \
  INPUT_SLOT(P##1, int); \
  INPUT_SLOT(P##2, int); \
  INPUT_SLOT(P##3, int)
#define SIXTEEN(P) \
  FOUR(P##A);      \
  FOUR(P##B);      \
  FOUR(P##C);      \
  FOUR(P##D)
struct FullConfig : NodeConfig<FullConfig> {
  SIXTEEN(A);
  SIXTEEN(B);
  SIXTEEN(C);
  SIXTEEN(D);
};

// Everything about a slot is known at compile time.
static_assert(kSlotCount<MixedConfig, SlotDirection::Input> == 3);
static_assert(kSlotCount<MixedConfig, SlotDirection::Output> == 3);
static_assert(kSlotCount<EmptyConfig, SlotDirection::Input> == 0);
static_assert(kSlotCount<FullConfig, SlotDirection::Input> == kSlotsPerDirectionMax);
static_assert(FullConfig::DD3.kIndex == kSlotsPerDirectionMax - 1);
static_assert(MixedConfig::A.kIndex == 0 && MixedConfig::B.kIndex == 1 && MixedConfig::C.kIndex == 2);
static_assert(MixedConfig::R.kIndex == 0 && MixedConfig::S.kIndex == 1 && MixedConfig::T.kIndex == 2);
static_assert(Outer::Config2::SECOND.kIndex == 1);
static_assert(InputSlot<MixedConfig::A_Slot> && !OutputSlot<MixedConfig::A_Slot>);
static_assert(!AnySlot<int>);
static_assert(std::is_empty_v<MixedConfig>, "a config costs its node nothing");
static_assert(!std::is_same_v<decltype(MixedConfig::A), decltype(Outer::Config2::A)>,
              "slots of two configs are two types");

TEST(Slot, G1_DescriptionsSayWhatWasDeclared) {
  const auto& inputs = kSlotDescriptions<MixedConfig, SlotDirection::Input>;
  ASSERT_EQ(inputs.size(), 3u);
  EXPECT_STREQ(inputs[0].name, "A");
  EXPECT_EQ(inputs[0].mode, SlotMode::Single);
  EXPECT_EQ(inputs[0].roles, SlotRole::Execute);
  EXPECT_EQ(inputs[1].mode, SlotMode::Array);
  EXPECT_EQ(inputs[2].mode, SlotMode::Optional);
  EXPECT_TRUE(HasRole(inputs[2].roles, SlotRole::Compile));
  EXPECT_TRUE(HasRole(inputs[2].roles, SlotRole::Descriptor));
  EXPECT_FALSE(HasRole(inputs[2].roles, SlotRole::Execute));
  EXPECT_EQ(inputs[0].type, &kSlotType<float>);
  EXPECT_EQ(inputs[2].type, &kSlotType<Pixel>);
}

TEST(Slot, G1_OutputsArePackedWithTheirAlignment) {
  const auto& outputs = kSlotDescriptions<MixedConfig, SlotDirection::Output>;
  ASSERT_EQ(outputs.size(), 3u);
  EXPECT_EQ(outputs[0].outputOffset, 0u);
  EXPECT_EQ(outputs[1].outputOffset, 8u);
  EXPECT_EQ(outputs[2].outputOffset, 16u);
}

TEST(Slot, G1_TypesAreNamedAndCompared) {
  EXPECT_EQ(kSlotType<float>.name, "float");
  EXPECT_NE(kSlotType<Pixel>.name.find("Pixel"), std::string_view::npos);
  EXPECT_TRUE(SameType(kSlotType<float>, kSlotType<float>));
  EXPECT_FALSE(SameType(kSlotType<float>, kSlotType<int>));
  const SlotType twin{kSlotType<float>.name, sizeof(float), alignof(float), nullptr};
  EXPECT_TRUE(SameType(kSlotType<float>, twin)) << "the same type seen from another shared library";
  Pixel pixel{9, 9, 9};
  kSlotType<Pixel>.construct(&pixel);
  EXPECT_EQ(pixel.b, 3.0f);
}

TEST(SlotView, G1_ReadsAndWritesThroughThePointers) {
  const float a = 1.5f;
  const int b0 = 7;
  const int b1 = 9;
  const void* const values[] = {&b0, &b1};
  const InputBinding bindings[] = {{&a, 1}, {values, 2}, {nullptr, 0}};
  alignas(16) std::byte outputs[64] = {};
  const SlotPointers pointers{bindings, outputs};
  const SlotView<MixedConfig> view(pointers);

  EXPECT_EQ(&view.In(MixedConfig::A), &a);
  ASSERT_EQ(view.In(MixedConfig::B).Size(), 2u);
  EXPECT_EQ(view.In(MixedConfig::B)[1], 9);
  int sum = 0;
  for (const int value : view.In(MixedConfig::B)) sum += value;
  EXPECT_EQ(sum, 16);
  EXPECT_EQ(view.In(MixedConfig::C), nullptr);

  view.Out(MixedConfig::S, 2.5);
  view.Out(MixedConfig::R) = 'x';
  EXPECT_EQ(*reinterpret_cast<const double*>(outputs + 8), 2.5);
  EXPECT_EQ(view.Out(MixedConfig::R), 'x');
}

TEST(SlotView, G1_AccessKeepsNothingButThePointers) {
  static_assert(sizeof(SlotView<MixedConfig>) == sizeof(void*));
  static_assert(std::is_trivially_copyable_v<SlotView<MixedConfig>>);
  static_assert(
      std::is_same_v<decltype(std::declval<SlotView<MixedConfig>>().In(MixedConfig::A)), const float&>);
  static_assert(
      std::is_same_v<decltype(std::declval<SlotView<MixedConfig>>().In(MixedConfig::C)), const Pixel*>);
  static_assert(std::is_same_v<decltype(std::declval<SlotView<MixedConfig>>().Out(MixedConfig::S)), double&>);
}

TEST(SlotViewDeathTest, IndexPastAnArrayAsserts) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const void* const values[] = {nullptr};
  const SlotArray<int> array(values, 1);
  EXPECT_DEATH(static_cast<void>(array[1]), "index past the connections");
}

}  // namespace
}  // namespace stadial::graph
