#include "image_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

// The reader of the same library, from the same package: only to see that what was written is a PNG.
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

namespace stadial::sandbox {
namespace {

TEST(WritePng, IsReadBackPixelForPixel) {
  constexpr std::uint32_t kWidth = 37, kHeight = 11;
  std::vector<std::uint32_t> pixels(kWidth * kHeight);
  for (std::uint32_t i = 0; i < pixels.size(); ++i) pixels[i] = i * 2654435761U | 0xff000000U;
  const std::string path = ::testing::TempDir() + "/stadial_image.png";
  const auto written = WritePng(path.c_str(), kWidth, kHeight, pixels);
  ASSERT_TRUE(written) << written.GetError().Message();
  int width = 0;
  int height = 0;
  int channels = 0;
  unsigned char* read = stbi_load(path.c_str(), &width, &height, &channels, 3);
  ASSERT_NE(read, nullptr);
  EXPECT_EQ(width, 37);
  EXPECT_EQ(height, 11);
  EXPECT_EQ(channels, 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    for (unsigned c = 0; c < 3; ++c) ASSERT_EQ(read[3 * i + c], pixels[i] >> (8 * c) & 0xffU);
  }
  stbi_image_free(read);
  ::unlink(path.c_str());
}

TEST(WritePng, RefusesWhatItCannotWrite) {
  const std::vector<std::uint32_t> pixels(4);
  EXPECT_FALSE(WritePng("unused.png", 0, 4, pixels));
  EXPECT_FALSE(WritePng("unused.png", 3, 2, pixels));
  EXPECT_FALSE(WritePng("unused.png", 0x80000000U, 0x80000000U, pixels));
  const auto nowhere = WritePng("/no/such/folder/image.png", 2, 2, pixels);
  ASSERT_FALSE(nowhere);
  EXPECT_THAT(nowhere.GetError().Message(), ::testing::HasSubstr("/no/such/folder/image.png"));
}

}  // namespace
}  // namespace stadial::sandbox
