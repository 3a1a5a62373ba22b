// Real libraries on our memory, each through the way that it offers: stb by macros, nlohmann's JSON by an
// allocator parameter.
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "stadial/arenas/allocator.h"
#include "support/heap_fixture.h"
#include "support/op_program.h"
#include "support/stb_memory.h"
#include "support/system_probe.h"

#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

namespace stadial::arenas {
namespace {

using testing::HeapFixture;
using testing::ImageMemory;
using testing::OpRandom;

std::vector<unsigned char> MakePixels(int width, int height) {
  OpRandom random(testing::ProgramSeed());
  std::vector<unsigned char> pixels(static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3);
  for (std::size_t index = 0; index < pixels.size(); ++index) {
    pixels[index] =
        static_cast<unsigned char>(index / 8 + random.Below(4));  // compresses, but not to nothing
  }
  return pixels;
}

TEST(Interop, StbWritesAndReadsAPictureInTheHeap) {
  HeapFixture fixture(16_MiB);
  ImageMemory::heap = &fixture.heap;
  constexpr int kWidth = 160;
  constexpr int kHeight = 120;
  const std::vector<unsigned char> pixels = MakePixels(kWidth, kHeight);
  std::vector<unsigned char> file;
  const auto append = [](void* context, void* data, int bytes) {
    auto* const target = static_cast<std::vector<unsigned char>*>(context);
    const auto* const first = static_cast<const unsigned char*>(data);
    target->insert(target->end(), first, first + bytes);
  };
  ASSERT_NE(stbi_write_png_to_func(append, &file, kWidth, kHeight, 3, pixels.data(), kWidth * 3), 0);
  EXPECT_GT(fixture.heap.Stats().allocations, 10u) << "the encoder worked in the heap";
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u) << "and left nothing there";
  int width = 0;
  int height = 0;
  int channels = 0;
  stbi_uc* const read =
      stbi_load_from_memory(file.data(), static_cast<int>(file.size()), &width, &height, &channels, 3);
  ASSERT_NE(read, nullptr) << stbi_failure_reason();
  EXPECT_TRUE(fixture.heap.Contains(read));
  EXPECT_EQ(std::memcmp(read, pixels.data(), pixels.size()), 0);
  stbi_image_free(read);
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u);
}

TEST(Interop, StbReportsAHeapThatIsTooSmall) {
  HeapFixture fixture(SizeClassHeap::kMemoryBytesMin, 1);
  ImageMemory::heap = &fixture.heap;
  const std::vector<unsigned char> pixels = MakePixels(160, 120);
  const auto ignore = [](void*, void*, int) {};
  EXPECT_EQ(stbi_write_png_to_func(ignore, nullptr, 160, 120, 3, pixels.data(), 160 * 3), 0);
  EXPECT_GT(fixture.heap.Stats().refusals, 0u);
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u) << "nothing leaks on its failing path";
}

struct JsonMemory {
  static inline SizeClassHeap* heap = nullptr;
  static SizeClassHeap& Memory() noexcept { return *heap; }
};
template <class T>
using JsonAllocator = StaticAllocator<T, JsonMemory>;
using JsonString = std::basic_string<char, std::char_traits<char>, JsonAllocator<char>>;
using Json = nlohmann::basic_json<std::map, std::vector, std::string, bool, std::int64_t, std::uint64_t,
                                  double, JsonAllocator>;

TEST(Interop, JsonLivesInTheHeap) {
  HeapFixture fixture(16_MiB);
  JsonMemory::heap = &fixture.heap;
  {
    Json document;
    for (int index = 0; index < 500; ++index) {
      document["nodes"].push_back(
          {{"id", index}, {"inputs", {index - 1, index - 2}}, {"live", index % 2 == 0}});
    }
    EXPECT_GT(fixture.heap.Stats().liveBlocks, 2000u);
    const std::string text = document.dump();
    const Json again = Json::parse(text);
    EXPECT_EQ(again, document);
    document["nodes"].erase(3);
    EXPECT_NE(again, document);
    const JsonString copy(text.begin(), text.end());
    EXPECT_TRUE(fixture.heap.Contains(copy.data()));
  }
  EXPECT_EQ(fixture.heap.CheckIntegrity(), 0u) << "everything came back";
}

}  // namespace
}  // namespace stadial::arenas
