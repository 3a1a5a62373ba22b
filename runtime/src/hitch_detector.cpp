#include "stadial/runtime/hitch_detector.h"

#include <algorithm>

#include "stadial/arenas/assert.h"

namespace stadial::runtime {
namespace {

constexpr double kFactorMax = 1'000.0;

constexpr std::uint8_t BitOf(HitchCause cause) noexcept {
  return static_cast<std::uint8_t>(1u << static_cast<unsigned>(cause));
}

std::uint8_t EvidenceOf(const HitchEvidence& frame) noexcept {
  unsigned evidence = 0;
  if (frame.compiled) evidence |= BitOf(HitchCause::Compile);
  if (frame.waitedNs != 0) evidence |= BitOf(HitchCause::Wait);
  if (frame.fallbackAllocations != 0) evidence |= BitOf(HitchCause::Fallback);
  if (frame.minorFaults != 0) evidence |= BitOf(HitchCause::Fault);
  if (frame.budgetDeferrals != 0) evidence |= BitOf(HitchCause::Budget);
  return static_cast<std::uint8_t>(evidence);
}

HitchCause CauseOf(const HitchEvidence& frame, std::uint64_t thresholdNs) noexcept {
  // Of a compile the wait for the old plan is a part.
  if (frame.compiled) return HitchCause::Compile;
  // A wait is the one cause whose length is known: a short one explains nothing.
  if (frame.waitedNs != 0 && frame.frameNs - std::min(frame.waitedNs, frame.frameNs) <= thresholdNs)
    return HitchCause::Wait;
  if (frame.fallbackAllocations != 0) return HitchCause::Fallback;
  if (frame.minorFaults != 0) return HitchCause::Fault;
  if (frame.budgetDeferrals != 0) return HitchCause::Budget;
  return HitchCause::NodeCode;
}

}  // namespace

const char* ToString(HitchCause cause) noexcept {
  switch (cause) {
    case HitchCause::Compile:
      return "compile";
    case HitchCause::Wait:
      return "wait";
    case HitchCause::Fallback:
      return "fallback";
    case HitchCause::Fault:
      return "fault";
    case HitchCause::Budget:
      return "budget";
    case HitchCause::NodeCode:
      return "node code";
  }
  return "unknown";
}

const char* HitchDetector::Check(const HitchOptions& options) noexcept {
  // Written so that a NaN is out of range.
  return options.factor >= 1.0 && options.factor <= kFactorMax ? nullptr : "factor";
}

HitchDetector::HitchDetector(const HitchOptions& options) noexcept : options_(options) {
  STADIAL_ASSERT_ALWAYS(Check(options) == nullptr, "HitchOptions::factor must be 1 to 1,000");
}

std::uint64_t HitchDetector::CalculateMedianNs() const noexcept {
  if (count_ == 0) return 0;
  std::array<std::uint32_t, kHitchWindow> sorted = window_;
  auto* const middle = sorted.data() + count_ / 2;
  std::nth_element(sorted.data(), middle, sorted.data() + count_);
  return *middle;
}

const Hitch* HitchDetector::JudgeLong(const HitchEvidence& frame) noexcept {
  if (count_ < kHitchFramesMin) return nullptr;
  // Longer than factor x median exactly when more than half of the window is shorter than this frame by the
  // factor. That needs no median, which a slow program would have to find in every frame.
  const std::uint32_t belowNs =
      Clamp(static_cast<std::uint64_t>(static_cast<double>(frame.frameNs) / options_.factor));
  std::uint32_t shorter = 0;
  for (std::uint32_t i = 0; i < kHitchWindow; ++i) shorter += i < count_ && window_[i] < belowNs ? 1u : 0u;
  if (shorter * 2 <= count_) return nullptr;

  const std::uint64_t medianNs = CalculateMedianNs();
  const auto factorNs = static_cast<std::uint64_t>(static_cast<double>(medianNs) * options_.factor);
  last_ = {.frameIndex = frame.frameIndex,
           .frameNs = frame.frameNs,
           .thresholdNs = std::max(factorNs, options_.absoluteNs),
           .medianNs = medianNs,
           .waitedNs = frame.waitedNs,
           .cause = HitchCause::NodeCode,
           .evidence = EvidenceOf(frame)};
  last_.cause = CauseOf(frame, last_.thresholdNs);
  ++total_;
  ++byCause_[static_cast<std::size_t>(last_.cause)];
  KeepWorst(last_);
  return &last_;
}

void HitchDetector::KeepWorst(const Hitch& hitch) noexcept {
  if (worstCount_ == kWorstHitchesMax && hitch.frameNs <= worst_[worstCount_ - 1].frameNs) return;
  std::uint32_t at = worstCount_ < kWorstHitchesMax ? worstCount_++ : worstCount_ - 1;
  for (; at > 0 && worst_[at - 1].frameNs < hitch.frameNs; --at) worst_[at] = worst_[at - 1];
  worst_[at] = hitch;
}

}  // namespace stadial::runtime
