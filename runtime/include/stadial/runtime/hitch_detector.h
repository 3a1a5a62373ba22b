// HitchDetector: finds the frames that took visibly longer than their neighbours, and says why. A hitch is a
// frame longer than max(factor x median, absoluteNs), where the median is that of the last kHitchWindow
// frames before it. So a program that becomes slower for good has hitches for half a window only.
//
// The cause is taken from what that frame did, the strongest evidence first:
//   Compile   a plan was built in it;
//   Wait      it waited for the GPU, and without that wait it would have been no hitch;
//   Fallback  a designated fallback was served: something had been sized too small;
//   Fault     a page of the frame thread was touched for the first time, or had been taken away;
//   Budget    a budget put work off, or refused it;
//   NodeCode  none of these: the frame's own code, or the system took the core away.
// What else the frame did stands in `evidence`.
//
// Cost: a frame below absoluteNs takes a store and a compare; above it a pass over the window, some 50 ns.
// Threads: one. Nothing allocates; about 2 KiB, carved in Setup with its owner.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/arenas/effects.h"

namespace stadial::runtime {

enum class HitchCause : std::uint8_t { Compile, Wait, Fallback, Fault, Budget, NodeCode };
inline constexpr std::size_t kHitchCauseCount = 6;
// "compile", "wait", "fallback", "fault", "budget", "node code".
const char* ToString(HitchCause cause) noexcept;

inline constexpr std::uint32_t kHitchWindow = 128;    // frames that the median looks back at
inline constexpr std::uint32_t kHitchFramesMin = 16;  // frames seen before one can be a hitch
inline constexpr std::uint32_t kWorstHitchesMax = 8;  // the longest ones are kept

struct HitchOptions {
  double factor = 2.0;                   // of the median, 1 to 1,000
  std::uint64_t absoluteNs = 4'000'000;  // nothing shorter is a hitch: 4 ms
};
// A headset shows a late frame at once: anything beyond the period is one.
inline constexpr HitchOptions kVrHitches = {.factor = 1.25, .absoluteNs = 11'100'000};

// What one frame did, as far as it can explain a hitch.
struct HitchEvidence {
  std::uint64_t frameIndex = 0;
  std::uint64_t frameNs = 0;   // from its beginning to its end, waiting included, pacing not
  std::uint64_t waitedNs = 0;  // for the GPU
  std::uint64_t fallbackAllocations = 0;
  std::uint64_t minorFaults = 0;
  std::uint64_t budgetDeferrals = 0;
  bool compiled = false;
};

struct Hitch {
  std::uint64_t frameIndex = 0;
  std::uint64_t frameNs = 0;
  std::uint64_t thresholdNs = 0;  // what made it one
  std::uint64_t medianNs = 0;
  std::uint64_t waitedNs = 0;
  HitchCause cause = HitchCause::NodeCode;
  std::uint8_t evidence = 0;  // bit 1 << cause for everything that the frame did
};

class HitchDetector {
 public:
  // A factor out of range is asserted.
  explicit HitchDetector(const HitchOptions& options = {}) noexcept;

  // A frame that is not judged, as those of a warm-up: it only enters the median.
  void Learn(std::uint64_t frameNs) noexcept {
    window_[next_] = Clamp(frameNs);
    next_ = (next_ + 1) % kHitchWindow;
    if (count_ < kHitchWindow) ++count_;
  }
  // A frame that is. Null: no hitch; otherwise what was recorded, valid until the next hitch.
  const Hitch* Judge(const HitchEvidence& frame) noexcept {
    const Hitch* hitch = nullptr;
    if (frame.frameNs > options_.absoluteNs) [[unlikely]]
      hitch = JudgeLong(frame);
    Learn(frame.frameNs);
    return hitch;
  }

  // Null, or the name of the option that is out of range.
  static const char* Check(const HitchOptions& options) noexcept;

  std::uint64_t Count() const noexcept { return total_; }
  std::uint64_t Count(HitchCause cause) const noexcept { return byCause_[static_cast<std::size_t>(cause)]; }
  // The longest hitches, longest first.
  std::span<const Hitch> Worst() const noexcept { return {worst_.data(), worstCount_}; }
  const Hitch& Last() const noexcept { return last_; }  // frameNs 0: there was none
  // Of the window: the upper one where their number is even. 0 without frames.
  std::uint64_t CalculateMedianNs() const noexcept;
  const HitchOptions& Options() const noexcept { return options_; }

 private:
  // Longer than 4 s is as long as that.
  static std::uint32_t Clamp(std::uint64_t ns) noexcept {
    return ns < UINT32_MAX ? static_cast<std::uint32_t>(ns) : UINT32_MAX;
  }
  const Hitch* JudgeLong(const HitchEvidence& frame) noexcept STADIAL_NONALLOCATING;
  void KeepWorst(const Hitch& hitch) noexcept;

  HitchOptions options_;
  std::uint64_t total_ = 0;
  std::array<std::uint64_t, kHitchCauseCount> byCause_{};
  std::uint32_t next_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t worstCount_ = 0;
  Hitch last_;
  std::array<Hitch, kWorstHitchesMax> worst_{};
  alignas(64) std::array<std::uint32_t, kHitchWindow> window_{};
};

}  // namespace stadial::runtime
