// HistoryImages: the images behind one history resource, one per frame of history and one for the current
// frame. Which one is "current" follows from the frame index alone, so command buffers recorded per replay
// index stay right: frame f uses image f % depth, and `framesAgo` frames earlier is image (f - framesAgo) %
// depth. A node that uses it answers ReplayPeriod() with Depth() (or a multiple). Whether an earlier image
// holds anything (first frame, skipped frame, resize) is graph::TimelineNode's to know; that flag goes to the
// shader as a uniform. A plain value; the GpuMemory owns the images. Thread rules: none; read-only after
// Create.
#pragma once

#include <array>
#include <cstdint>

#include "stadial/arenas/assert.h"
#include "stadial/gpu/gpu_memory.h"
#include "stadial/graph/resources.h"

namespace stadial::gpu {

inline constexpr std::uint32_t kHistoryDepthMax =
    16;  // twice the deepest in the requirements (motion blur: 8)

class HistoryImages {
 public:
  static constexpr bool kIsGpuResource = true;
  HistoryImages() noexcept = default;

  // `depth`: frames of history + 1, at least 1, at most kHistoryDepthMax. The images are named "NAME[i]".
  static Result<HistoryImages> Create(GpuMemory& memory, const ImageOptions& options,
                                      std::uint32_t depth) noexcept;

  // The image frame (or replay index) `frame` writes.
  const Image& Current(std::uint64_t frame) const noexcept {
    STADIAL_ASSERT_COMPARE(depth_, >, 0u, "HistoryImages: not created");
    return images_[static_cast<std::size_t>(frame % depth_)];
  }
  // The image written `framesAgo` frames earlier, 0 < framesAgo < depth.
  const Image& Previous(std::uint64_t frame, std::uint32_t framesAgo) const noexcept {
    STADIAL_ASSERT_COMPARE(framesAgo, <, depth_, "HistoryImages: further back than the history is deep");
    return images_[static_cast<std::size_t>((frame % depth_ + depth_ - framesAgo) % depth_)];
  }
  const Image& At(std::uint32_t index) const noexcept {
    STADIAL_ASSERT_COMPARE(index, <, depth_, "HistoryImages: no such image");
    return images_[index];
  }
  std::uint32_t Depth() const noexcept { return depth_; }

  // For graph::ResourceTable: one resource with Depth() copies.
  graph::ResourceDescription Describe(const char* name) const noexcept;

 private:
  std::array<Image, kHistoryDepthMax> images_{};
  std::uint32_t depth_ = 0;
};

}  // namespace stadial::gpu
