// Recorder, uploads and readback: what goes in comes out, on buffers and images, through compute and copies.
#include <gmock/gmock.h>

#include <numeric>
#include <vector>

#include "gpu_fixture.h"
#include "increment.comp.h"
#include "stadial/gpu/commands.h"
#include "stadial/gpu/descriptor_pool.h"
#include "stadial/gpu/readback.h"
#include "stadial/gpu/uniform_ring.h"
#include "stadial/gpu/upload.h"

namespace stadial::gpu {
namespace {

using ::testing::HasSubstr;
using namespace testing;  // NOLINT(google-build-using-namespace)
using graph::DescriptorType;

class Transfers : public GpuTest {
 protected:
  void SetUp() override {
    GpuTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    auto uploader = SetupUploader::Create(*memory_, *submit_, 4096);
    ASSERT_TRUE(IsOk(uploader));
    uploader_ = std::move(*uploader);
    auto commands = CommandBuffers::Create(*device_, "transfers", 4);
    ASSERT_TRUE(IsOk(commands));
    commands_ = std::move(*commands);
  }
  void TearDown() override {
    commands_.reset();
    uploader_.reset();
    GpuTest::TearDown();
  }
  std::vector<std::uint32_t> Numbers(std::size_t count) {
    std::vector<std::uint32_t> numbers(count);
    std::iota(numbers.begin(), numbers.end(), 1000u);
    return numbers;
  }
  template <class Body>
  void Run(std::uint32_t index, Body&& body) {
    auto recorder = commands_->Begin(index, true);
    ASSERT_TRUE(IsOk(recorder));
    body(*recorder);
    ASSERT_TRUE(IsOk(commands_->End(index)));
    ASSERT_TRUE(IsOk(submit_->Submit((*commands_)[index], VK_NULL_HANDLE, ++value_)));
  }
  std::vector<std::uint32_t> Words(const Readback& readback) {
    auto bytes = readback.Read(*submit_, value_, 60 * kSecondNs);
    EXPECT_TRUE(IsOk(bytes));
    std::vector<std::uint32_t> words(readback.SizeBytes() / 4);
    if (bytes) std::memcpy(words.data(), bytes->data(), words.size() * 4);
    return words;
  }

  Owned<SetupUploader> uploader_;
  Owned<CommandBuffers> commands_;
  std::uint64_t value_ = 0;
};

TEST_P(Transfers, AnUploadLargerThanTheStagingBufferComesBackWhole) {
  const auto numbers = Numbers(5000);  // five pieces, the last one short
  auto buffer = memory_->CreateBuffer({.name = "target", .sizeBytes = numbers.size() * 4});
  auto readback = Readback::Create(*memory_, "readback", numbers.size() * 4, Lifetime::Setup);
  ASSERT_TRUE(IsOk(buffer));
  ASSERT_TRUE(IsOk(readback));
  ASSERT_TRUE(IsOk(uploader_->ToBuffer(*buffer, 0, std::as_bytes(std::span(numbers)))));
  Run(0, [&](Recorder& recorder) { readback->RecordBuffer(recorder, *buffer, numbers.size() * 4); });
  EXPECT_EQ(Words(*readback), numbers);
}

TEST_P(Transfers, UploadsOutOfRangeAreRefused) {
  auto buffer = memory_->CreateBuffer({.name = "target", .sizeBytes = 64});
  ASSERT_TRUE(IsOk(buffer));
  const auto numbers = Numbers(17);
  for (const VkDeviceSize offset : {VkDeviceSize{0}, VkDeviceSize{65}, ~VkDeviceSize{0}}) {
    auto upload = uploader_->ToBuffer(*buffer, offset, std::as_bytes(std::span(numbers)));
    ASSERT_FALSE(upload);
    EXPECT_EQ(upload.GetError().Code(), ErrorCode::InvalidArgument);
  }
  auto image = memory_->CreateImage({.name = "image", .format = VK_FORMAT_R32_UINT, .width = 4, .height = 4});
  ASSERT_TRUE(IsOk(image));
  auto texels = uploader_->ToImage(*image, std::as_bytes(std::span(numbers)));
  ASSERT_FALSE(texels);
  EXPECT_THAT(texels.GetError().Message(), HasSubstr("68 B into an image of 64 B"));
}

TEST_P(Transfers, ImagesGoThereAndBackAndAcross) {
  const auto numbers = Numbers(13 * 7);
  const ImageOptions options{.name = "image", .format = VK_FORMAT_R32_UINT, .width = 13, .height = 7};
  auto source = memory_->CreateImage(options);
  auto target = memory_->CreateImage(options);
  auto readback = Readback::Create(*memory_, "readback", numbers.size() * 4, Lifetime::Setup);
  ASSERT_TRUE(IsOk(source));
  ASSERT_TRUE(IsOk(target));
  ASSERT_TRUE(IsOk(readback));
  EXPECT_EQ(memory_->ImagesAwaitingLayout().size(), 2u);
  ASSERT_TRUE(IsOk(uploader_->ToImage(*source, std::as_bytes(std::span(numbers)))));
  EXPECT_EQ(memory_->ImagesAwaitingLayout().size(), 1u) << "the uploaded one is in GENERAL now";
  Run(0, [&](Recorder& recorder) {
    BarrierBatch batch;
    recorder.Barrier(batch.Passes().ToGeneral(*target));
    recorder.CopyImage(*source, *target);
    readback->RecordImage(recorder, *target);
  });
  EXPECT_EQ(Words(*readback), numbers);
  Run(1, [&](Recorder& recorder) {
    recorder.PassBarrier();
    VkClearColorValue value{};
    value.uint32[0] = 77;
    recorder.ClearImage(*target, value);
    readback->RecordImage(recorder, *target);
  });
  EXPECT_EQ(Words(*readback), std::vector<std::uint32_t>(numbers.size(), 77u));
}

TEST_P(Transfers, ARecordedDispatchRunsAgainAtEachSubmit) {
  auto library = PipelineLibrary::Create(*device_, {});
  ASSERT_TRUE(IsOk(library));
  const graph::DescriptorBinding values[] = {{.binding = 0, .type = DescriptorType::StorageBuffer}};
  const graph::DescriptorBinding step[] = {{.binding = 0, .type = DescriptorType::UniformBuffer}};
  const graph::DescriptorSetRequirement sets[] = {{.setIndex = 0, .bindings = values, .debugName = "values"},
                                                  {.setIndex = 1, .bindings = step, .debugName = "step"}};
  auto pipeline =
      (*library)->CreatePipeline({.name = "increment", .spirv = kIncrementCompSpirv, .sets = sets});
  ASSERT_TRUE(IsOk(pipeline));
  auto pool = DescriptorSetPool::Create(**library, {});
  ASSERT_TRUE(IsOk(pool));
  auto owner = (*pool)->Declare("test", sets, 1);
  ASSERT_TRUE(IsOk(owner));
  ASSERT_TRUE(IsOk((*pool)->Build()));
  auto numbers = Numbers(1000);
  auto buffer = memory_->CreateBuffer({.name = "numbers", .sizeBytes = numbers.size() * 4});
  auto ring = UniformRing::Create(*memory_, "step", 4, 1);
  auto readback = Readback::Create(*memory_, "readback", numbers.size() * 4, Lifetime::Setup);
  ASSERT_TRUE(IsOk(buffer));
  ASSERT_TRUE(IsOk(ring));
  ASSERT_TRUE(IsOk(readback));
  ASSERT_TRUE(IsOk(uploader_->ToBuffer(*buffer, 0, std::as_bytes(std::span(numbers)))));
  {
    DescriptorWriter writer(*device_);
    writer.StorageBuffer((*pool)->Set(*owner, 0, 0), 0, *buffer)
        .UniformBuffer((*pool)->Set(*owner, 1, 0), 0, ring->GetBuffer(), 0, 4);
  }
  auto recorder = commands_->Begin(0, true);
  ASSERT_TRUE(IsOk(recorder));
  recorder->PassBarrier();
  recorder->BeginLabel("increment");
  recorder->BindPipeline(*pipeline);
  recorder->BindSet(*pipeline, 0, (*pool)->Set(*owner, 0, 0));
  recorder->BindSet(*pipeline, 1, (*pool)->Set(*owner, 1, 0));
  recorder->Dispatch(GroupsCovering(1000, 64));
  recorder->Dispatch(0);  // records nothing
  recorder->EndLabel();
  ASSERT_TRUE(IsOk(commands_->End(0)));
  std::uint32_t sum = 0;
  for (const std::uint32_t stepValue : {1u, 10u, 100u, 1000u}) {
    ring->Write(0, stepValue);
    ASSERT_TRUE(IsOk(submit_->Submit((*commands_)[0], VK_NULL_HANDLE, ++value_)));
    ASSERT_TRUE(IsOk(submit_->WaitForValue(value_, 60 * kSecondNs)));
    sum += stepValue;
  }
  Run(1, [&](Recorder& copy) { readback->RecordBuffer(copy, *buffer, numbers.size() * 4); });
  for (std::uint32_t& number : numbers) number += sum;
  EXPECT_EQ(Words(*readback), numbers);
  pool->reset();
  library->reset();
}

TEST_P(Transfers, FillWritesEveryWord) {
  auto buffer = memory_->CreateBuffer({.name = "filled", .sizeBytes = 400});
  auto readback = Readback::Create(*memory_, "readback", 400, Lifetime::Setup);
  ASSERT_TRUE(IsOk(buffer));
  ASSERT_TRUE(IsOk(readback));
  ASSERT_TRUE(IsOk(uploader_->Fill(*buffer, 0xdeadbeef)));
  Run(0, [&](Recorder& recorder) { readback->RecordBuffer(recorder, *buffer, 400); });
  EXPECT_EQ(Words(*readback), std::vector<std::uint32_t>(100, 0xdeadbeef));
}

// The path of non-coherent readback memory, taken on every device.
class NonCoherentTransfers : public Transfers {
 protected:
  GpuMemoryOptions MemoryOptions() const override {
    return {.blockBytes = 8_MiB, .hostBlockBytes = 1_MiB, .forceInvalidate = true};
  }
};

TEST_P(NonCoherentTransfers, ReadbackIsInvalidatedByThePump) {
  auto buffer = memory_->CreateBuffer({.name = "source", .sizeBytes = 36});
  auto readback = Readback::Create(*memory_, "readback", 36, Lifetime::Setup);
  ASSERT_TRUE(IsOk(buffer));
  ASSERT_TRUE(IsOk(readback));
  EXPECT_FALSE(readback->GetBuffer().coherent);
  for (std::uint32_t round = 0; round < 4; ++round) {
    ASSERT_TRUE(IsOk(uploader_->Fill(*buffer, round)));
    Run(round, [&](Recorder& recorder) { readback->RecordBuffer(recorder, *buffer, 36); });
    EXPECT_EQ(Words(*readback), std::vector<std::uint32_t>(9, round));
  }
}

TEST(BarrierBatch, RepeatedPassBarriersAreOne) {
  BarrierBatch batch;
  EXPECT_TRUE(batch.IsEmpty());
  for (int i = 0; i < 100; ++i) batch.Passes();  // asserts when each took a place of its own
  EXPECT_FALSE(batch.IsEmpty());
  EXPECT_FALSE(batch.IsFull());
}

TEST(GroupsCovering, CoversExactly) {
  EXPECT_EQ(GroupsCovering(0, 8), 0u);
  EXPECT_EQ(GroupsCovering(1, 8), 1u);
  EXPECT_EQ(GroupsCovering(8, 8), 1u);
  EXPECT_EQ(GroupsCovering(9, 8), 2u);
  EXPECT_EQ(GroupsCovering(0xffffffffu, 64), 0x4000000u);
}

}  // namespace

STADIAL_INSTANTIATE_ON_DEVICES(Transfers);
STADIAL_INSTANTIATE_ON_DEVICES(NonCoherentTransfers);

}  // namespace stadial::gpu
