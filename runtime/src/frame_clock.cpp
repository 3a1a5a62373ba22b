#include "stadial/runtime/frame_clock.h"

#include <algorithm>

#include "stadial/arenas/assert.h"

namespace stadial::runtime {
namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

// Nanoseconds of centuries times steps per second.
__extension__ using Wide = unsigned __int128;

}  // namespace

FrameClock::FrameClock(const FrameClockOptions& options) noexcept
    : options_(options), stepUnits_(options.rate.perSeconds * kNsPerSecond) {
  STADIAL_ASSERT_ALWAYS(options.rate.steps >= 1 && options.rate.steps <= kStepRateMax,
                        "StepRate::steps must be 1 to kStepRateMax");
  STADIAL_ASSERT_ALWAYS(options.rate.perSeconds >= 1 && options.rate.perSeconds <= kStepRateMax,
                        "StepRate::perSeconds must be 1 to kStepRateMax");
  STADIAL_ASSERT_COMPARE_ALWAYS(stepUnits_ / options.rate.steps, <=, kStepNsMax, "a step is too long");
  STADIAL_ASSERT_ALWAYS(options.catchUpStepsMax >= 1 && options.catchUpStepsMax <= kCatchUpStepsLimit,
                        "FrameClockOptions::catchUpStepsMax must be 1 to kCatchUpStepsLimit");
  STADIAL_ASSERT_COMPARE_ALWAYS(options.elapsedNsMin, <=, options.elapsedNsMax,
                                "FrameClockOptions: the limits of a variable step are the wrong way round");
}

FrameTime FrameClock::Advance(std::uint64_t elapsedNs) noexcept {
  FrameTime time =
      options_.kind == FrameClockKind::Fixed ? AdvanceFixed(elapsedNs) : AdvanceVariable(elapsedNs);
  time.frame = frames_++;
  time.firstStep = steps_;
  time.elapsedNs = elapsedNs;
  steps_ += time.steps;
  droppedNs_ += time.droppedNs;
  return time;
}

FrameTime FrameClock::AdvanceTo(std::uint64_t nowNs) noexcept {
  if (!hasNow_) lastNs_ = nowNs;
  STADIAL_ASSERT_COMPARE_ALWAYS(nowNs, >=, lastNs_, "a clock must not fall");
  hasNow_ = true;
  const std::uint64_t elapsedNs = nowNs - lastNs_;
  lastNs_ = nowNs;
  return Advance(elapsedNs);
}

FrameTime FrameClock::AdvanceFixed(std::uint64_t elapsedNs) noexcept {
  const std::uint64_t unitsPerNs = options_.rate.steps;
  const Wide units = carriedUnits_ + Wide{elapsedNs} * unitsPerNs;
  const auto stepsDue = static_cast<std::uint64_t>(units / stepUnits_);
  carriedUnits_ = static_cast<std::uint64_t>(units % stepUnits_);
  const std::uint64_t steps = std::min<std::uint64_t>(stepsDue, options_.catchUpStepsMax);
  FrameTime time;
  time.steps = static_cast<std::uint32_t>(steps);
  time.droppedSteps = stepsDue - steps;
  time.droppedNs = static_cast<std::uint64_t>(Wide{time.droppedSteps} * stepUnits_ / unitsPerNs);
  time.stepSeconds = static_cast<double>(options_.rate.perSeconds) / static_cast<double>(options_.rate.steps);
  time.alpha = static_cast<double>(carriedUnits_) / static_cast<double>(stepUnits_);
  return time;
}

FrameTime FrameClock::AdvanceVariable(std::uint64_t elapsedNs) noexcept {
  const std::uint64_t stepNs = std::clamp(elapsedNs, options_.elapsedNsMin, options_.elapsedNsMax);
  FrameTime time;
  time.steps = 1;
  time.stepSeconds = static_cast<double>(stepNs) / static_cast<double>(kNsPerSecond);
  if (elapsedNs > stepNs) time.droppedNs = elapsedNs - stepNs;
  return time;
}

}  // namespace stadial::runtime
