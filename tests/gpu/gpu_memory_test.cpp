#include "stadial/gpu/gpu_memory.h"

#include <gmock/gmock.h>

#include "gpu_fixture.h"
#include "stadial/gpu/history_images.h"
#include "stadial/gpu/uniform_ring.h"

namespace stadial::gpu {
namespace {

using ::testing::HasSubstr;
using namespace testing;  // NOLINT(google-build-using-namespace)

class Memory : public GpuTest {};

TEST_P(Memory, BuffersAreMappedWhereTheCpuNeedsThem) {
  auto local = memory_->CreateBuffer({.name = "local", .sizeBytes = 1000});
  auto upload = memory_->CreateBuffer({.name = "upload", .sizeBytes = 1000, .use = MemoryUse::Upload});
  auto readback = memory_->CreateBuffer({.name = "readback", .sizeBytes = 1000, .use = MemoryUse::Readback});
  ASSERT_TRUE(IsOk(local));
  ASSERT_TRUE(IsOk(upload));
  ASSERT_TRUE(IsOk(readback));
  EXPECT_EQ(local->mapped, nullptr);
  ASSERT_NE(upload->mapped, nullptr);
  ASSERT_NE(readback->mapped, nullptr);
  EXPECT_TRUE(upload->coherent) << "per-frame writes make no driver call, so upload memory must be coherent";
  std::memset(upload->mapped, 1, 1000);
  std::memset(readback->mapped, 2, 1000);
  EXPECT_EQ(upload->memoryOffset % device_->Limits().nonCoherentAtomSize, 0u);
  EXPECT_EQ(readback->memoryOffset % device_->Limits().nonCoherentAtomSize, 0u);
}

TEST_P(Memory, ManyBuffersShareFewBlocksAndDoNotOverlap) {
  std::array<Buffer, 40> buffers;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    auto made = memory_->CreateBuffer({.name = "small", .sizeBytes = 100 + i * 37, .use = MemoryUse::Upload});
    ASSERT_TRUE(IsOk(made));
    buffers[i] = *made;
    std::memset(buffers[i].mapped, static_cast<int>(i), buffers[i].sizeBytes);
  }
  EXPECT_EQ(memory_->Stats().blocks, 1u);
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    for (std::size_t b = 0; b < buffers[i].sizeBytes; ++b) ASSERT_EQ(buffers[i].mapped[b], std::byte(i));
  }
}

TEST_P(Memory, Bc_ResetCompileKeepsSetupObjectsAndReusesBlocks) {
  auto kept = memory_->CreateBuffer(
      {.name = "kept", .sizeBytes = 4096, .use = MemoryUse::Upload, .lifetime = Lifetime::Setup});
  ASSERT_TRUE(IsOk(kept));
  std::memset(kept->mapped, 0x5a, 4096);
  VkDeviceSize taken = 0;
  std::uint64_t hostBlocks = 0;
  for (int round = 0; round < 50; ++round) {
    for (int i = 0; i < 5; ++i) {
      ASSERT_TRUE(IsOk(memory_->CreateBuffer({.name = "turning over", .sizeBytes = 1_MiB})));
      ASSERT_TRUE(IsOk(memory_->CreateImage({.name = "turning over", .width = 128, .height = 128})));
    }
    if (round == 1) {
      taken = memory_->Stats().takenBytes;
      hostBlocks = host_->Stats().liveBlocks;
    }
    if (round > 1) {
      ASSERT_EQ(memory_->Stats().takenBytes, taken) << "round " << round;
      ASSERT_EQ(host_->Stats().liveBlocks, hostBlocks) << "round " << round;
    }
    memory_->ResetCompile();
    EXPECT_EQ(memory_->Stats().usedBytes[1], 0u);
    EXPECT_EQ(memory_->Stats().buffers[1], 0u);
    EXPECT_EQ(memory_->Stats().images[1], 0u);
  }
  EXPECT_EQ(memory_->Stats().buffers[0], 1u);
  for (std::size_t b = 0; b < 4096; ++b) ASSERT_EQ(kept->mapped[b], std::byte{0x5a});
}

TEST_P(Memory, AnObjectLargerThanABlockGetsItsOwn) {
  auto large = memory_->CreateBuffer({.name = "large", .sizeBytes = 20_MiB});
  ASSERT_TRUE(IsOk(large));
  EXPECT_GE(memory_->Stats().takenBytes, 20_MiB);
  EXPECT_EQ(memory_->Stats().blocks, 1u);
}

TEST_P(Memory, ReservedBlocksServeLaterObjects) {
  ASSERT_TRUE(IsOk(memory_->Reserve(MemoryUse::DeviceLocal, Lifetime::Compile, 30_MiB)));
  const std::uint32_t blocks = memory_->Stats().blocks;
  ASSERT_TRUE(IsOk(memory_->CreateBuffer({.name = "served", .sizeBytes = 20_MiB})));
  EXPECT_EQ(memory_->Stats().blocks, blocks);
  ASSERT_TRUE(IsOk(memory_->Reserve(MemoryUse::DeviceLocal, Lifetime::Compile, 1_MiB)));
  EXPECT_EQ(memory_->Stats().blocks, blocks) << "enough is left";
}

TEST_P(Memory, R4_NothingIsCreatedInAFrame) {
  ASSERT_TRUE(IsOk(runtime_->SealSetup()));
  ASSERT_TRUE(IsOk(memory_->CreateBuffer({.name = "in compile", .sizeBytes = 64})));
  ASSERT_TRUE(IsOk(runtime_->Phases().Transition(runtime::Phase::Frame)));
  auto buffer = memory_->CreateBuffer({.name = "too late", .sizeBytes = 64});
  ASSERT_FALSE(buffer);
  EXPECT_EQ(buffer.GetError().Code(), ErrorCode::WrongPhase);
  EXPECT_THAT(buffer.GetError().Message(), HasSubstr("too late"));
  auto image = memory_->CreateImage({.name = "too late", .width = 4, .height = 4});
  ASSERT_FALSE(image);
  EXPECT_EQ(image.GetError().Code(), ErrorCode::WrongPhase);
}

TEST_P(Memory, RefusalsNameTheObjectAndTheReason) {
  auto empty = memory_->CreateBuffer({.name = "empty", .sizeBytes = 0});
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_THAT(empty.GetError().Message(), HasSubstr("'empty'"));
  auto flat = memory_->CreateImage({.name = "flat", .width = 0, .height = 16});
  ASSERT_FALSE(flat);
  EXPECT_EQ(flat.GetError().Code(), ErrorCode::InvalidArgument);
  auto vast = memory_->CreateImage({.name = "vast", .width = 1u << 30, .height = 16});
  ASSERT_FALSE(vast);
  EXPECT_EQ(vast.GetError().Code(), ErrorCode::InvalidArgument);
  EXPECT_THAT(vast.GetError().Message(), HasSubstr("'vast'"));
  // A depth format is no storage image anywhere.
  auto odd =
      memory_->CreateImage({.name = "odd", .format = VK_FORMAT_D16_UNORM_S8_UINT, .width = 16, .height = 16});
  ASSERT_FALSE(odd);
  EXPECT_EQ(odd.GetError().Code(), ErrorCode::NotSupported);
  auto deep =
      HistoryImages::Create(*memory_, {.name = "deep", .width = 4, .height = 4}, kHistoryDepthMax + 1);
  ASSERT_FALSE(deep);
  EXPECT_EQ(deep.GetError().Code(), ErrorCode::InvalidArgument);
  auto wide =
      UniformRing::Create(*memory_, "wide", std::size_t{device_->Limits().maxUniformBufferRange} + 1, 2);
  ASSERT_FALSE(wide);
  EXPECT_EQ(wide.GetError().Code(), ErrorCode::InvalidArgument);
}

TEST_P(Memory, UniformSlotsAreAlignedAndSeparate) {
  auto ring = UniformRing::Create(*memory_, "ring", 20, 3);
  ASSERT_TRUE(IsOk(ring));
  for (std::uint32_t slot = 0; slot < 3; ++slot) {
    EXPECT_EQ(ring->OffsetBytes(slot) % device_->Limits().minUniformBufferOffsetAlignment, 0u);
    ring->Write(slot, std::array<std::uint32_t, 5>{slot, slot, slot, slot, slot});
  }
  for (std::uint32_t slot = 0; slot < 3; ++slot) {
    std::uint32_t words[5];
    std::memcpy(words, ring->Slot(slot).data(), sizeof words);
    for (const std::uint32_t word : words) EXPECT_EQ(word, slot);
  }
}

TEST_P(Memory, T4_HistoryImagesTurnByTheFrameIndex) {
  auto history = HistoryImages::Create(*memory_, {.name = "history", .width = 4, .height = 4}, 3);
  ASSERT_TRUE(IsOk(history));
  for (std::uint64_t frame = 0; frame < 9; ++frame) {
    EXPECT_EQ(history->Current(frame).handle, history->At(static_cast<std::uint32_t>(frame % 3)).handle);
    if (frame >= 1) {
      EXPECT_EQ(history->Previous(frame, 1).handle, history->Current(frame - 1).handle);
    }
    if (frame >= 2) {
      EXPECT_EQ(history->Previous(frame, 2).handle, history->Current(frame - 2).handle);
    }
    EXPECT_NE(history->Current(frame).handle, history->Previous(frame, 1).handle);
  }
  EXPECT_EQ(history->Describe("h").copies, 3u);
}

class TightMemory : public GpuTest {
 protected:
  GpuMemoryOptions MemoryOptions() const override {
    return {.blockBytes = 1_MiB,
            .hostBlockBytes = 1_MiB,
            .budgetBytes = 3_MiB,
            .blocksMax = 8,
            .buffersMax = 16,
            .imagesMax = 2};
  }
};

TEST_P(TightMemory, TheBudgetIsKeptAndNamed) {
  auto fits = memory_->CreateBuffer({.name = "fits", .sizeBytes = 1_MiB});
  ASSERT_TRUE(IsOk(fits));
  auto large = memory_->CreateBuffer({.name = "too large", .sizeBytes = 3_MiB});
  ASSERT_FALSE(large);
  EXPECT_EQ(large.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_THAT(large.GetError().Message(), HasSubstr("'too large'"));
  EXPECT_THAT(large.GetError().Message(), HasSubstr("GpuMemoryOptions::budgetBytes"));
  ASSERT_TRUE(IsOk(memory_->CreateBuffer({.name = "fits too", .sizeBytes = 1_MiB})))
      << "a refusal takes nothing";
}

TEST_P(TightMemory, Ba_BlocksAreReservedInTheRuntimesBudgets) {
  runtime::BudgetTable& budgets = memory_->GetDevice().GetRuntime().Budgets();
  runtime::Budget* const all = budgets.Find("gpu0");
  ASSERT_NE(all, nullptr);
  EXPECT_EQ(all->Limits().hardBytes, 3_MiB);
  const std::uint64_t before = all->ReservedBytes();
  const auto reservedInHeaps = [&] {
    std::uint64_t sum = 0;
    for (runtime::Budget& heap : budgets.Heaps()) {
      if (std::strncmp(heap.Name(), "gpu0 heap", 9) == 0) sum += heap.ReservedBytes();
    }
    return sum;
  };
  EXPECT_EQ(before, memory_->Stats().takenBytes);
  EXPECT_FALSE(all->IsThrottled());
  while (all->ReservedBytes() < 3_MiB)
    ASSERT_TRUE(IsOk(memory_->CreateBuffer({.name = "block", .sizeBytes = 1_MiB})));
  EXPECT_EQ(all->ReservedBytes(), memory_->Stats().takenBytes);
  EXPECT_EQ(reservedInHeaps(), memory_->Stats().takenBytes);
  EXPECT_TRUE(all->IsThrottled());
  ASSERT_FALSE(memory_->CreateBuffer({.name = "too much", .sizeBytes = 1_MiB}));
  EXPECT_EQ(all->Stats().refused, 1u);
  EXPECT_EQ(reservedInHeaps(), 3_MiB) << "a refusal takes nothing of the heap either";
  const runtime::AuditReport report = memory_->GetDevice().GetRuntime().BuildAudit();
  bool isListed = false;
  for (const runtime::AuditBudget& budget : report.budgets)
    isListed |= budget.name == "gpu0" && budget.isThrottled && budget.refused == 1;
  EXPECT_TRUE(isListed);
}

// What others take of the heap counts: a device that has nothing left to give refuses, whatever our own
// limit.
TEST_P(TightMemory, Ba_AHeapThatIsFullElsewhereRefuses) {
  runtime::BudgetTable& budgets = memory_->GetDevice().GetRuntime().Budgets();
  for (runtime::Budget& heap : budgets.Heaps()) {
    if (std::strncmp(heap.Name(), "gpu0 heap", 9) != 0) continue;
    ASSERT_TRUE(heap.SetLimits({.softBytes = 1, .hardBytes = 1}));
  }
  auto refused = memory_->CreateBuffer({.name = "victim", .sizeBytes = 2_MiB});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_THAT(refused.GetError().Message(), HasSubstr("budget 'gpu0 heap"));
  EXPECT_THAT(refused.GetError().Message(), HasSubstr("'victim'"));
  EXPECT_EQ(budgets.Find("gpu0")->ReservedBytes(), memory_->Stats().takenBytes);
}

TEST_P(TightMemory, Ba_TheDevicesOwnAccountIsPlausible) {
  const Device& device = memory_->GetDevice();
  const auto readings = device.ReadHeaps();
  for (std::uint32_t heap = 0; heap < device.MemoryProperties().memoryHeapCount; ++heap) {
    if (!device.Info().memoryBudgetExtension) {
      EXPECT_EQ(readings[heap].budgetBytes, 0u);
      continue;
    }
    EXPECT_GT(readings[heap].budgetBytes, 0u);
    EXPECT_LE(readings[heap].budgetBytes, device.MemoryProperties().memoryHeaps[heap].size);
  }
}

TEST_P(TightMemory, CountsAreKeptAndNamed) {
  ASSERT_TRUE(IsOk(memory_->CreateImage({.name = "a", .width = 4, .height = 4})));
  ASSERT_TRUE(IsOk(memory_->CreateImage({.name = "b", .width = 4, .height = 4})));
  auto third = memory_->CreateImage({.name = "c", .width = 4, .height = 4});
  ASSERT_FALSE(third);
  EXPECT_EQ(third.GetError().Code(), ErrorCode::CapacityExceeded);
  EXPECT_THAT(third.GetError().Message(), HasSubstr("GpuMemoryOptions::imagesMax"));
  for (int i = 0; i < 16; ++i) ASSERT_TRUE(IsOk(memory_->CreateBuffer({.name = "b", .sizeBytes = 16})));
  auto many = memory_->CreateBuffer({.name = "b", .sizeBytes = 16});
  ASSERT_FALSE(many);
  EXPECT_THAT(many.GetError().Message(), HasSubstr("GpuMemoryOptions::buffersMax"));
}

TEST(TexelBytes, KnowsTheFormatsThatShadersStore) {
  EXPECT_EQ(TexelBytes(VK_FORMAT_R8G8B8A8_UNORM), 4u);
  EXPECT_EQ(TexelBytes(VK_FORMAT_R16G16B16A16_SFLOAT), 8u);
  EXPECT_EQ(TexelBytes(VK_FORMAT_R32G32B32A32_SFLOAT), 16u);
  EXPECT_EQ(TexelBytes(VK_FORMAT_BC1_RGB_UNORM_BLOCK), 0u);
}

}  // namespace

STADIAL_INSTANTIATE_ON_DEVICES(Memory);
STADIAL_INSTANTIATE_ON_DEVICES(TightMemory);

}  // namespace stadial::gpu
