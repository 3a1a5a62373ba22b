#include "image_file.h"

#include <vector>

// The one place that compiles stb's implementation. Its files are system headers here, so our warnings do not
// apply.
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#include <stb/stb_image_write.h>
#pragma GCC diagnostic pop

namespace stadial::sandbox {

Result<void> WritePng(const char* path, std::uint32_t width, std::uint32_t height,
                      std::span<const std::uint32_t> pixels) {
  // The encoder counts bytes in an int and needs up to twice the raw size.
  constexpr std::size_t kPixelsMax = std::size_t{1} << 28;
  if (width == 0 || height == 0 || width > kPixelsMax / height ||
      pixels.size() != std::size_t{width} * height) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "%s: an image of %u x %u from %zu pixels cannot be written", path, width, height,
                         pixels.size());
  }
  std::vector<std::uint8_t> rgb;
  rgb.reserve(pixels.size() * 3);
  for (const std::uint32_t pixel : pixels) {
    rgb.push_back(static_cast<std::uint8_t>(pixel));
    rgb.push_back(static_cast<std::uint8_t>(pixel >> 8));
    rgb.push_back(static_cast<std::uint8_t>(pixel >> 16));
  }
  const auto append = [](void* context, void* data, int size) {
    auto& file = *static_cast<std::vector<std::byte>*>(context);
    const auto* bytes = static_cast<const std::byte*>(data);
    file.insert(file.end(), bytes, bytes + size);
  };
  std::vector<std::byte> file;
  if (stbi_write_png_to_func(append, &file, static_cast<int>(width), static_cast<int>(height), 3, rgb.data(),
                             static_cast<int>(width * 3)) == 0) {
    return Error::Format(ErrorCode::OutOfMemory, "%s: no memory to encode %u x %u pixels", path, width,
                         height);
  }
  return SaveFile(path, file);
}

}  // namespace stadial::sandbox
