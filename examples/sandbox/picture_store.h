// Where pictures wait until the run is over: memory carved in Setup for exactly the frames that are to be
// kept, so that a frame copies and nothing else. Files are written after the last frame.
//
// Growth: none. Exhaustion: impossible in a run, the sizes are known before it (CheckPictures bounds them).
// Alignment: 16. Destructors: none. Threads: the frame thread. Invalidation: pixels stay valid as long as the
// runtime.
#pragma once

#include <cstdint>
#include <span>

#include "options.h"
#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"

namespace stadial::sandbox {

struct Picture {
  std::uint64_t frame = 0;
  ImageSize size;
  std::span<std::byte> pixels;  // RGBA8, row by row from the top
  bool isFilled = false;
};

class PictureStore {
 public:
  PictureStore() noexcept = default;
  // Asserts where `memory` has less than BytesFor(options).
  PictureStore(arenas::Arena& memory, const Options& options);
  static std::size_t BytesFor(const Options& options);

  // The place for frame `frame`; null when it is not to be kept. O(log pictures).
  Picture* Find(std::uint64_t frame) noexcept STADIAL_NONALLOCATING;
  std::span<const Picture> Pictures() const noexcept { return pictures_; }

 private:
  std::span<Picture> pictures_;  // by ascending frame
};

}  // namespace stadial::sandbox
