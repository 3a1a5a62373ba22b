#include "stadial/gpu/descriptor_pool.h"

#include <gmock/gmock.h>

#include <set>

#include "gpu_fixture.h"
#include "stadial/gpu/device_table.h"

namespace stadial::gpu {
namespace {

using ::testing::HasSubstr;
using namespace testing;  // NOLINT(google-build-using-namespace)
using graph::DescriptorBinding;
using graph::DescriptorSetRequirement;
using graph::DescriptorType;

constexpr std::size_t kStorageImage = VK_DESCRIPTOR_TYPE_STORAGE_IMAGE;
constexpr std::size_t kUniformBuffer = VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER;
constexpr std::size_t kStorageBuffer = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;

// A scene set of one uniform buffer and two storage buffers, and a material set of four images, three of them
// per frame.
constexpr DescriptorBinding kScene[] = {{.binding = 0, .type = DescriptorType::UniformBuffer},
                                        {.binding = 1, .type = DescriptorType::StorageBuffer, .count = 2}};
constexpr DescriptorBinding kMaterial[] = {{.binding = 0, .type = DescriptorType::StorageImage, .count = 4}};
constexpr DescriptorSetRequirement kNode[] = {
    {.setIndex = 0, .bindings = kScene, .debugName = "scene", .setCount = 1},
    {.setIndex = 1, .bindings = kMaterial, .debugName = "material", .setCount = 3}};

class Descriptors : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto library = PipelineLibrary::Create(*device_, {.layoutsMax = 4});
    ASSERT_TRUE(IsOk(library));
    library_ = std::move(*library);
    auto pool = DescriptorSetPool::Create(*library_, {.setsMax = 64, .requirementsMax = 8});
    ASSERT_TRUE(IsOk(pool));
    pool_ = std::move(*pool);
  }
  void TearDown() override {
    pool_.reset();
    library_.reset();
    GpuTest::TearDown();
  }
  Owned<PipelineLibrary> library_;
  Owned<DescriptorSetPool> pool_;
};

TEST_P(Descriptors, Da_ThePoolIsSizedExactly) {
  auto owner = pool_->Declare("node", kNode, 2);
  ASSERT_TRUE(IsOk(owner));
  ASSERT_TRUE(IsOk(pool_->Build()));
  const DescriptorPoolStats& stats = pool_->Stats();
  EXPECT_EQ(stats.setsSized, (1u + 3u) * 2u);
  EXPECT_EQ(stats.setsAllocated, stats.setsSized);
  EXPECT_EQ(stats.descriptorsSized[kUniformBuffer], 1u * 1u * 2u);
  EXPECT_EQ(stats.descriptorsSized[kStorageBuffer], 2u * 1u * 2u);
  EXPECT_EQ(stats.descriptorsSized[kStorageImage], 4u * 3u * 2u);
  std::uint32_t all = 0;
  for (const std::uint32_t count : stats.descriptorsSized) all += count;
  EXPECT_EQ(all, 2u + 4u + 24u) << "no other type has any";
}

TEST_P(Descriptors, D3_SetsAreThereAfterBuild) {
  auto owner = pool_->Declare("node", kNode, 2);
  ASSERT_TRUE(IsOk(owner));
  EXPECT_EQ(pool_->Stats().setsAllocated, 0u) << "declaring allocates nothing";
  ASSERT_TRUE(IsOk(pool_->Build()));
  for (std::uint32_t copy = 0; copy < 2; ++copy) {
    EXPECT_NE(pool_->Set(*owner, 0, copy), VK_NULL_HANDLE);
    for (std::uint32_t i = 0; i < 3; ++i) EXPECT_NE(pool_->Set(*owner, 1, copy, i), VK_NULL_HANDLE);
  }
}

TEST_P(Descriptors, D4_TheSetCountBelongsToTheLayoutNotToTheNode) {
  ASSERT_TRUE(IsOk(pool_->Declare("node", kNode, 1)));
  EXPECT_EQ(pool_->Stats().setsSized, 4u)
      << "one scene set and three material sets, not three or four of each";
}

TEST_P(Descriptors, D5_D9_ResetGivesEverythingBackForEver) {
  std::uint64_t blocks = 0;
  for (int round = 0; round < 1000; ++round) {
    ASSERT_TRUE(IsOk(pool_->Declare("node", kNode, 2)));
    ASSERT_TRUE(IsOk(pool_->Build()));
    if (round == 1) blocks = host_->Stats().liveBlocks;
    if (round > 1) {
      ASSERT_EQ(host_->Stats().liveBlocks, blocks) << "round " << round;
    }
    pool_->Reset();
  }
  EXPECT_EQ(pool_->Stats().builds, 1000u);
  EXPECT_EQ(pool_->Stats().setsSized, 0u);
  EXPECT_EQ(library_->LayoutCount(), 2u);
}

TEST_P(Descriptors, D6_BadLayoutsAreRefusedBeforeTheDriverSeesThem) {
  const DescriptorBinding twice[] = {{.binding = 3}, {.binding = 3}};
  const DescriptorBinding none[] = {{.binding = 0, .count = 0}};
  const DescriptorBinding odd[] = {{.binding = 0, .type = static_cast<DescriptorType>(77)}};
  const struct {
    std::span<const DescriptorBinding> bindings;
    const char* message;
  } cases[] = {{twice, "states binding 3 twice"},
               {none, "a count of 0"},
               {odd, "unknown type 77"},
               {{}, "has 0 bindings"}};
  for (const auto& bad : cases) {
    const DescriptorSetRequirement requirements[] = {
        {.bindings = kScene, .debugName = "good"},
        {.setIndex = 1, .bindings = bad.bindings, .debugName = "bad"}};
    auto owner = pool_->Declare("node", requirements, 2);
    ASSERT_FALSE(owner);
    EXPECT_EQ(owner.GetError().Code(), ErrorCode::InvalidArgument);
    EXPECT_THAT(owner.GetError().Message(), HasSubstr(bad.message));
    EXPECT_THAT(owner.GetError().Message(), HasSubstr("'bad'"));
    EXPECT_EQ(pool_->Stats().setsSized, 0u) << "a refused owner leaves nothing behind";
  }
  ASSERT_TRUE(IsOk(pool_->Declare("node", kNode, 2)));
  ASSERT_TRUE(IsOk(pool_->Build()));
}

TEST_P(Descriptors, D7_SetsAndDescriptorsAreCountedApart) {
  const DescriptorSetRequirement one[] = {{.bindings = kMaterial, .debugName = "material", .setCount = 5}};
  ASSERT_TRUE(IsOk(pool_->Declare("node", one, 3)));
  EXPECT_EQ(pool_->Stats().setsSized, 15u);
  EXPECT_EQ(pool_->Stats().descriptorsSized[kStorageImage], 60u);
}

TEST_P(Descriptors, D8_EveryCopyHasSetsOfItsOwn) {
  auto owner = pool_->Declare("node", kNode, 3);
  ASSERT_TRUE(IsOk(owner));
  ASSERT_TRUE(IsOk(pool_->Build()));
  std::set<VkDescriptorSet> sets;
  for (std::uint32_t copy = 0; copy < 3; ++copy) sets.insert(pool_->Set(*owner, 0, copy));
  EXPECT_EQ(sets.size(), 3u);
  auto none = pool_->Declare("late", kNode, 2);
  ASSERT_FALSE(none) << "after Build only Reset opens the pool again";
  EXPECT_EQ(none.GetError().Code(), ErrorCode::WrongPhase);
}

TEST_P(Descriptors, D8_ZeroCopiesAreRefused) {
  auto owner = pool_->Declare("node", kNode, 0);
  ASSERT_FALSE(owner);
  EXPECT_THAT(owner.GetError().Message(), HasSubstr("frames in flight"));
}

TEST_P(Descriptors, D12_SetsOfTwoNodesNeverCollide) {
  auto first = pool_->Declare("first", kNode, 2);
  auto second = pool_->Declare("second", kNode, 2);
  ASSERT_TRUE(IsOk(first));
  ASSERT_TRUE(IsOk(second));
  ASSERT_TRUE(IsOk(pool_->Build()));
  std::set<VkDescriptorSet> sets;
  for (const std::uint32_t owner : {*first, *second}) {
    for (std::uint32_t copy = 0; copy < 2; ++copy) {
      sets.insert(pool_->Set(owner, 0, copy));
      for (std::uint32_t i = 0; i < 3; ++i) sets.insert(pool_->Set(owner, 1, copy, i));
    }
  }
  EXPECT_EQ(sets.size(), 16u);
  EXPECT_EQ(library_->LayoutCount(), 2u) << "the layouts are shared, the sets are not";
}

TEST_P(Descriptors, Dc_LayoutsAreCachedByContent) {
  const DescriptorBinding swapped[] = {{.binding = 1, .type = DescriptorType::StorageBuffer, .count = 2},
                                       {.binding = 0, .type = DescriptorType::UniformBuffer}};
  const DescriptorBinding other[] = {{.binding = 0, .type = DescriptorType::UniformBuffer},
                                     {.binding = 1, .type = DescriptorType::StorageBuffer, .count = 3}};
  auto a = library_->SetLayout({.bindings = kScene, .debugName = "a"});
  auto b = library_->SetLayout({.bindings = swapped, .debugName = "b"});
  auto c = library_->SetLayout({.bindings = other, .debugName = "c"});
  ASSERT_TRUE(IsOk(a));
  ASSERT_TRUE(IsOk(b));
  ASSERT_TRUE(IsOk(c));
  EXPECT_EQ(*a, *b);
  EXPECT_NE(*a, *c);
  EXPECT_EQ(library_->LayoutCount(), 2u);
}

TEST_P(Descriptors, CapacitiesAreNamedWhenTheyRunOut) {
  auto sets = pool_->Declare("greedy", kNode, 17);  // 68 of 64
  ASSERT_FALSE(sets);
  EXPECT_EQ(sets.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_THAT(sets.GetError().Message(), HasSubstr("DescriptorPoolOptions::setsMax"));
  EXPECT_THAT(sets.GetError().Message(), HasSubstr("'greedy'"));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(IsOk(pool_->Declare("node", kNode, 1)));
  auto requirements = pool_->Declare("late", kNode, 1);
  ASSERT_FALSE(requirements);
  EXPECT_THAT(requirements.GetError().Message(), HasSubstr("DescriptorPoolOptions::requirementsMax"));
  for (std::uint32_t count = 3; count <= 5; ++count) {
    const DescriptorBinding binding[] = {{.binding = 0, .count = count}};
    auto layout = library_->SetLayout({.bindings = binding, .debugName = "layout"});
    if (library_->LayoutCount() < 4 || layout) continue;
    EXPECT_EQ(layout.GetError().Code(), ErrorCode::CapacityExceeded);
    EXPECT_THAT(layout.GetError().Message(), HasSubstr("PipelineLibraryOptions::layoutsMax"));
  }
}

// Dd: neither can come from our own sizing; injected, both are told apart and leave a pool that works again.
template <VkResult kAnswer>
VkResult VKAPI_CALL RefuseSets(VkDevice, const VkDescriptorSetAllocateInfo*, VkDescriptorSet*) {
  return kAnswer;
}

TEST_P(Descriptors, Dd_PoolErrorsOfTheDriverAreHandled) {
  auto& table = const_cast<VolkDeviceTable&>(device_->Table());
  const PFN_vkAllocateDescriptorSets real = table.vkAllocateDescriptorSets;
  const struct {
    PFN_vkAllocateDescriptorSets refusal;
    const char* name;
  } cases[] = {{&RefuseSets<VK_ERROR_OUT_OF_POOL_MEMORY>, "VK_ERROR_OUT_OF_POOL_MEMORY"},
               {&RefuseSets<VK_ERROR_FRAGMENTED_POOL>, "VK_ERROR_FRAGMENTED_POOL"}};
  for (const auto& planted : cases) {
    table.vkAllocateDescriptorSets = planted.refusal;
    ASSERT_TRUE(IsOk(pool_->Declare("node", kNode, 2)));
    auto built = pool_->Build();
    table.vkAllocateDescriptorSets = real;
    ASSERT_FALSE(built);
    EXPECT_EQ(built.GetError().Code(), ErrorCode::OutOfMemory);
    EXPECT_THAT(built.GetError().Message(), HasSubstr(planted.name));
    EXPECT_THAT(built.GetError().Message(), HasSubstr("of exactly 8"));
    pool_->Reset();
    ASSERT_TRUE(IsOk(pool_->Declare("node", kNode, 2)));
    ASSERT_TRUE(IsOk(pool_->Build()));
    pool_->Reset();
  }
}

TEST_P(Descriptors, ManySetsAreAllocatedInBatches) {
  const DescriptorSetRequirement many[] = {{.bindings = kMaterial, .debugName = "many", .setCount = 32}};
  auto pool = DescriptorSetPool::Create(*library_, {.setsMax = 4096, .requirementsMax = 2});
  ASSERT_TRUE(IsOk(pool));
  ASSERT_TRUE(IsOk((*pool)->Declare("node", many, 100)));
  ASSERT_TRUE(IsOk((*pool)->Build()));
  EXPECT_EQ((*pool)->Stats().setsAllocated, 3200u);
}

TEST_P(Descriptors, AnOwnerWithoutDescriptorsIsFine) {
  auto none = pool_->Declare("none", {}, 2);
  auto some = pool_->Declare("some", kNode, 2);
  ASSERT_TRUE(IsOk(none));
  ASSERT_TRUE(IsOk(some));
  ASSERT_TRUE(IsOk(pool_->Build()));
  EXPECT_NE(pool_->Set(*some, 0, 0), VK_NULL_HANDLE);
}

#if STADIAL_ASSERT_LEVEL >= 1
using DescriptorsDeathTest = Descriptors;

TEST_P(DescriptorsDeathTest, D12_ASetThatWasNotDeclaredIsAnAssertion) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  auto first = pool_->Declare("first", kNode, 2);
  auto second = pool_->Declare("second", kNode, 2);
  ASSERT_TRUE(IsOk(first));
  ASSERT_TRUE(IsOk(second));
  ASSERT_TRUE(IsOk(pool_->Build()));
  EXPECT_DEATH(static_cast<void>(pool_->Set(*first, 2, 0)), "did not declare so many requirements");
  EXPECT_DEATH(static_cast<void>(pool_->Set(*first, 0, 2)), "no such copy");
  EXPECT_DEATH(static_cast<void>(pool_->Set(*first, 0, 0, 1)), "setCount is smaller");
  EXPECT_DEATH(static_cast<void>(pool_->Set(2, 0, 0)), "no such owner");
}
#endif

}  // namespace

STADIAL_INSTANTIATE_ON_DEVICES(Descriptors);
#if STADIAL_ASSERT_LEVEL >= 1
STADIAL_INSTANTIATE_ON_DEVICES(DescriptorsDeathTest);
#endif

}  // namespace stadial::gpu
