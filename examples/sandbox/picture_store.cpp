#include "picture_store.h"

#include <algorithm>

#include "tonemap_node.h"

namespace stadial::sandbox {
namespace {

std::size_t PixelBytes(const ImageSize& size) noexcept {
  return std::size_t{size.width} * size.height * kPixelBytes;
}

}  // namespace

std::size_t PictureStore::BytesFor(const Options& options) {
  std::size_t bytes = 0;
  for (const std::uint64_t frame : PictureFrames(options)) {
    bytes += sizeof(Picture) + PixelBytes(SizeOfFrame(options, frame)) + arenas::kArenaGranularityBytes;
  }
  return bytes;
}

PictureStore::PictureStore(arenas::Arena& memory, const Options& options) {
  const std::vector<std::uint64_t> frames = PictureFrames(options);
  pictures_ = memory.NewArray<Picture>(frames.size());
  for (std::size_t i = 0; i < frames.size(); ++i) {
    Picture& picture = pictures_[i];
    picture.frame = frames[i];
    picture.size = SizeOfFrame(options, frames[i]);
    picture.pixels = memory.NewArray<std::byte>(PixelBytes(picture.size));
  }
}

Picture* PictureStore::Find(std::uint64_t frame) noexcept {
  const auto found = std::ranges::lower_bound(pictures_, frame, {}, &Picture::frame);
  return found != pictures_.end() && found->frame == frame ? &*found : nullptr;
}

}  // namespace stadial::sandbox
