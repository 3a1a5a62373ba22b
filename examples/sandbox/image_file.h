// PNG files. Uses the heap: for Setup, for shutdown, and for threads other than frame threads.
#pragma once

#include <cstdint>
#include <span>

#include "vox_file.h"

namespace stadial::sandbox {

// Writes width * height RGBA8 pixels (r in the low byte, rows from the top) as an 8-bit RGB PNG; alpha is
// dropped. Errors: InvalidArgument (no pixels, or a span that does not fit), OutOfMemory, Io.
Result<void> WritePng(const char* path, std::uint32_t width, std::uint32_t height,
                      std::span<const std::uint32_t> pixels);

}  // namespace stadial::sandbox
