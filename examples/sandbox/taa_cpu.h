// Temporal anti-aliasing and tone mapping on the CPU: the references for shaders/taa.comp and
// shaders/tonemap.comp.
//
// TAA. Every frame samples each pixel at another point (HaltonJitter). The history image holds, per pixel,
// the mean colour so far, how many frames it is the mean of, and the distance last seen.
//   - No valid history (first frame, resize, skipped frame): the sample starts a new mean.
//   - Still (kFrameStill and a camera that did not move): colour += (sample - colour) / count, count up to
//     255. The image converges to the pixel's true mean with nothing in its way.
//   - Otherwise the history is fetched where the surface stood one frame ago (the same pixel when the camera
//     did not move; else reprojected by distance, bilinear). It is dropped when its distance lies outside the
//     distances of the 3 x 3 samples around the pixel, widened by 1 cell + 2 % (something else was there),
//     and is clamped to the colours of those nine samples; count is limited to image[3] (default 16), so that
//     change shows.
//
// Allocates nothing. Thread rules: const inputs, one writer per output row.
#pragma once

#include <cstdint>
#include <span>

#include "ray_march_cpu.h"
#include "shader_interface.h"

namespace stadial::sandbox {

// One pixel of the history image. packed: see PackHistory.
struct HistorySample {
  Vec3 colour;
  float packed = 0.0F;
};

float PackHistory(float distance, std::uint32_t count) noexcept;
float HistoryDistance(float packed) noexcept;       // cells, rounded down to 1/16; at most kDistanceMax
std::uint32_t HistoryCount(float packed) noexcept;  // 1..255

// All three images are width * height of the frame. history is read only when the frame has
// kFrameHistoryValid. resolved must not be history.
void ResolveTaaCpu(const FrameUniforms& frame, std::span<const PixelSample> current,
                   std::span<const HistorySample> history, std::span<HistorySample> resolved) noexcept;

// Exposure, filmic curve, sRGB, rounding: the bytes that tonemap.comp writes (r in the low byte, a = 255).
// Drivers differ by at most one step per channel.
std::uint32_t TonemapCpu(Vec3 colour, float exposure) noexcept;

}  // namespace stadial::sandbox
