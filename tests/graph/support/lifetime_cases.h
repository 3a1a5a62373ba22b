// Lifetimes by rule, for tests and benches of the packing: shapes of frames, hard cases of dynamic storage
// allocation, and random ones. Equal arguments give equal lifetimes on every platform.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "stadial/graph/lifetime_packing.h"

namespace stadial::graph::testing {

using Lifetimes = std::vector<LifetimeItem>;

// The engine is the standard's; its distributions differ between libraries, so these are ours.
class CaseRandom {
 public:
  explicit CaseRandom(std::uint64_t seed) : engine_(seed) {}
  std::uint64_t Below(std::uint64_t limit) { return engine_() % limit; }
  std::uint64_t Between(std::uint64_t low, std::uint64_t high) { return low + Below(high - low + 1); }
  std::uint32_t Moment(std::uint64_t limit) { return static_cast<std::uint32_t>(Below(limit)); }
  // The sum of twelve uniform ones: near enough to normal, with the deviation 1.
  double Normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += static_cast<double>(engine_() >> 11) * 0x1p-53;
    return sum;
  }

 private:
  std::mt19937_64 engine_;
};

inline constexpr std::uint64_t kBufferAlignment = 256;
inline constexpr std::uint64_t kImageAlignment = 64 << 10;

inline std::uint64_t ImageBytes(std::uint64_t width, std::uint64_t height, std::uint64_t texelBytes) {
  return std::max<std::uint64_t>(width, 1) * std::max<std::uint64_t>(height, 1) * texelBytes;
}

// Pass i makes an image that pass i + 1 reads.
inline Lifetimes ChainLifetimes(std::uint32_t count) {
  Lifetimes items;
  for (std::uint32_t i = 0; i < count; ++i)
    items.push_back({i, i + 1, ImageBytes(1920, 1080, 4 << (i % 2)), kImageAlignment});
  return items;
}
// Two chains side by side, every rung read by both.
inline Lifetimes LadderLifetimes(std::uint32_t count) {
  Lifetimes items;
  for (std::uint32_t i = 0; i < count; ++i)
    items.push_back({i, i + 3 - i % 2, ImageBytes(960 << (i % 2), 540 << (i % 2), 4), kImageAlignment});
  return items;
}
// Fans: one makes, `width` read and make their own, one gathers.
inline Lifetimes FanLifetimes(std::uint32_t count, std::uint32_t width) {
  Lifetimes items;
  for (std::uint32_t position = 0; items.size() < count; position += width + 1) {
    items.push_back({position, position + width, ImageBytes(1920, 1080, 8), kImageAlignment});
    for (std::uint32_t i = 1; i <= width && items.size() < count; ++i)
      items.push_back({position + i, position + width + 1, ImageBytes(1920 >> (i % 4), 1080 >> (i % 4), 4),
                       kImageAlignment});
  }
  return items;
}
// Random layers: each output is read up to `reach` passes later.
inline Lifetimes LayeredLifetimes(std::uint32_t count, std::uint32_t reach, std::uint64_t seed) {
  CaseRandom random(seed);
  Lifetimes items;
  for (std::uint32_t i = 0; i < count; ++i) {
    const bool isImage = random.Below(2) == 0;
    items.push_back(
        {i, i + 1 + random.Moment(reach),
         isImage ? ImageBytes(3840u >> random.Below(5), 2160u >> random.Below(5), 4u << random.Below(3))
                 : random.Between(1, 4096) * 256,
         isImage ? kImageAlignment : kBufferAlignment});
  }
  return items;
}
// A deferred renderer, once per view: shadow cascades, a G-buffer, ambient occlusion at half size, lighting,
// a bloom pyramid down and up, temporal resolve, tone mapping. Two resolutions take turns.
inline Lifetimes DeferredLifetimes(std::uint32_t views) {
  Lifetimes items;
  std::uint32_t t = 0;
  const auto image = [&items](std::uint32_t first, std::uint32_t last, std::uint64_t width,
                              std::uint64_t height, std::uint64_t texelBytes) {
    items.push_back({first, last, ImageBytes(width, height, texelBytes), kImageAlignment});
  };
  for (std::uint32_t view = 0; view < views; ++view) {
    const std::uint64_t width = view % 2 == 0 ? 3840 : 1920;
    const std::uint64_t height = view % 2 == 0 ? 2160 : 1080;
    const std::uint32_t gBuffer = t + 4, occlusion = t + 5, blur = t + 6, light = t + 7, bloom = t + 8;
    constexpr std::uint32_t kMips = 6;
    const std::uint32_t up = bloom + kMips, resolve = up + kMips, tone = resolve + 1;
    for (std::uint32_t i = 0; i < 4; ++i) image(t + i, light, 2048, 2048, 4);  // cascades
    for (const std::uint64_t texel : {8u, 4u, 4u}) image(gBuffer, light, width, height, texel);
    image(gBuffer, resolve, width, height, 4);  // motion
    image(gBuffer, tone, width, height, 4);     // depth
    image(occlusion, blur, width / 2, height / 2, 1);
    image(blur, light, width / 2, height / 2, 1);
    items.push_back({gBuffer, light, 64 << 10, kBufferAlignment});  // light lists
    image(light, resolve, width, height, 8);
    for (std::uint32_t mip = 0; mip < kMips; ++mip) {
      image(bloom + mip, resolve - 1 - mip, width >> (mip + 1), height >> (mip + 1), 8);
      image(up + mip, up + mip + 1, width >> (kMips - mip), height >> (kMips - mip), 8);
    }
    image(resolve, tone, width, height, 8);
    items.push_back({resolve, tone, 4096, kBufferAlignment});  // histogram
    t = tone + 1;
  }
  return items;
}
// Training of a network of `depth` layers: what a layer makes on the way forward is kept until its turn comes
// on the way back. Nested lifetimes, and short ones between.
inline Lifetimes NestedLifetimes(std::uint32_t depth, std::uint64_t seed) {
  CaseRandom random(seed);
  Lifetimes items;
  const std::uint32_t end = 2 * depth;
  for (std::uint32_t i = 0; i < depth; ++i) {
    items.push_back({i, end - i, random.Between(1, 512) * 1024, kBufferAlignment});
    items.push_back({i, i + 1, random.Between(1, 256) * 1024, kBufferAlignment});
    items.push_back({end - i, end - i + 1, random.Between(1, 256) * 1024, kBufferAlignment});
  }
  return items;
}

// A rectangle of `moments` by `bytes` cut at random until `count` pieces are left: the bound can be met, with
// nothing to spare at any moment.
inline Lifetimes CutLifetimes(std::uint32_t count, std::uint32_t moments, std::uint64_t units,
                              std::uint64_t seed) {
  CaseRandom random(seed);
  struct Piece {
    std::uint32_t first, last;
    std::uint64_t size;
  };
  std::vector<Piece> pieces{{0, moments - 1, units}};
  for (std::uint64_t tries = 0; pieces.size() < count && tries < 64ull * count; ++tries) {
    Piece& piece = pieces[random.Below(pieces.size())];
    Piece rest = piece;
    if (random.Below(2) == 0) {
      if (piece.first == piece.last) continue;
      piece.last = piece.first + random.Moment(piece.last - piece.first);
      rest.first = piece.last + 1;
    } else {
      if (piece.size < 2) continue;
      rest.size = random.Between(1, piece.size - 1);
      piece.size -= rest.size;
    }
    pieces.push_back(rest);
  }
  Lifetimes items;
  for (const Piece& piece : pieces)
    items.push_back({piece.first, piece.last, piece.size * kBufferAlignment, kBufferAlignment});
  for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.Below(i)]);
  return items;
}
// What defeats allocators that see no future: ever larger blocks come while of the smaller ones just enough
// stay that none fits between them (after Robson's bound: sizes double, every second block stays).
inline Lifetimes DoublingLifetimes(std::uint32_t powers) {
  Lifetimes items;
  const std::uint32_t round = 2u << powers;  // moments of one size
  for (std::uint32_t power = 0; power < powers; ++power) {
    for (std::uint32_t i = 0; i < 1u << (powers - power); ++i) {
      const std::uint32_t end = i % 2 == 0 ? powers * round : (power + 1) * round + i;
      items.push_back({power * round + i, end, std::uint64_t{kBufferAlignment} << power, kBufferAlignment});
    }
  }
  return items;
}

enum class SizeRule : std::uint8_t { Uniform, LogNormal, PowersOfTwo, Equal };
inline std::uint64_t RandomSize(CaseRandom& random, SizeRule rule) {
  switch (rule) {
    case SizeRule::Uniform:
      return random.Between(1, 4096) * 256;
    case SizeRule::LogNormal:
      return static_cast<std::uint64_t>(65536.0 * std::exp(1.5 * random.Normal())) + 1;
    case SizeRule::PowersOfTwo:
      return std::uint64_t{256} << random.Below(13);
    case SizeRule::Equal:
      break;
  }
  return 64 << 10;
}
// `alive` at a time, on average; starts anywhere.
inline Lifetimes RandomLifetimes(std::uint32_t count, std::uint32_t alive, SizeRule rule,
                                 std::uint64_t alignment, std::uint64_t seed) {
  CaseRandom random(seed);
  Lifetimes items;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t first = random.Moment(count);
    items.push_back({first, first + random.Moment(2ull * alive), RandomSize(random, rule), alignment});
  }
  return items;
}
// One in sixteen lives for a good part of the frame, the others for a few moments; sizes log-normal, one in
// four an image's alignment.
inline Lifetimes MixedLifetimes(std::uint32_t count, std::uint64_t seed) {
  CaseRandom random(seed);
  Lifetimes items;
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint32_t first = random.Moment(count);
    const std::uint32_t length = random.Below(16) == 0 ? random.Moment(count / 4 + 1) : random.Moment(8);
    items.push_back({first, first + length, RandomSize(random, SizeRule::LogNormal),
                     random.Below(4) == 0 ? kImageAlignment : kBufferAlignment});
  }
  return items;
}

}  // namespace stadial::graph::testing
