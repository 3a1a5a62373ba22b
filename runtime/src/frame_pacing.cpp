#include "stadial/runtime/frame_pacing.h"

#include <time.h>

#include <algorithm>

#include "spin_lock.h"
#include "stadial/arenas/assert.h"
#include "stadial/runtime/clock.h"

namespace stadial::runtime {
namespace {

constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

std::uint64_t SystemNowNs(void*) noexcept STADIAL_NONALLOCATING { return NowNs(); }

void SystemSleepUntilNs(void*, std::uint64_t untilNs) noexcept STADIAL_NONALLOCATING {
  timespec until{};
  until.tv_sec = static_cast<time_t>(untilNs / kNsPerSecond);
  until.tv_nsec = static_cast<long>(untilNs % kNsPerSecond);
  // Interrupted or refused: the caller looks at the clock.
  STADIAL_EFFECTS_REVIEWED("a system call that waits", static_cast<void>(::clock_nanosleep(
                                                           CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr)));
}

}  // namespace

PacingClock SystemPacingClock() noexcept {
  return {.nowNs = &SystemNowNs, .sleepUntilNs = &SystemSleepUntilNs, .self = nullptr};
}

const char* FramePacer::Check(const FramePacingOptions& options) noexcept {
  if (options.periodNs == 0) return nullptr;
  if (options.periodNs < kPacingPeriodNsMin || options.periodNs > kPacingPeriodNsMax) return "periodNs";
  if (options.spinNs > options.periodNs) return "spinNs";
  return nullptr;
}

FramePacer::FramePacer(const FramePacingOptions& options, const PacingClock& clock) noexcept
    : options_(options),
      clock_(clock),
      ceilingNs_(options.ceilingNs != 0 ? options.ceilingNs : options.periodNs) {
  STADIAL_ASSERT_ALWAYS(Check(options) == nullptr,
                        "FramePacingOptions: periodNs must be 0 or 0.1 ms to 10 s, and spinNs not above it");
}

std::uint64_t FramePacer::Wait() noexcept {
  if (!IsPaced()) return 0;
  ++stats_.frames;
  const std::uint64_t startNs = clock_.nowNs(clock_.self);
  if (!hasDeadline_) {
    hasDeadline_ = true;
    deadlineNs_ = startNs;
    return 0;
  }
  deadlineNs_ += options_.periodNs;
  if (startNs > deadlineNs_) [[unlikely]] {
    const std::uint64_t lateNs = startNs - deadlineNs_;
    ++stats_.lateFrames;
    stats_.missedDeadlines += (lateNs + options_.periodNs - 1) / options_.periodNs;
    stats_.lateNsMax = std::max(stats_.lateNsMax, lateNs);
    // The grid goes on from its last point that has passed.
    deadlineNs_ += lateNs / options_.periodNs * options_.periodNs;
    return 0;
  }
  WaitUntil(deadlineNs_, startNs);
  return clock_.nowNs(clock_.self) - startNs;
}

void FramePacer::WaitUntil(std::uint64_t deadlineNs, std::uint64_t nowNs) noexcept {
  const std::uint64_t sleepUntilNs = deadlineNs - options_.spinNs;
  while (nowNs < sleepUntilNs) {
    clock_.sleepUntilNs(clock_.self, sleepUntilNs);
    const std::uint64_t wokenNs = clock_.nowNs(clock_.self);
    stats_.sleptNs += wokenNs - nowNs;
    nowNs = wokenNs;
  }
  const std::uint64_t spinStartNs = nowNs;
  while (nowNs < deadlineNs) {
    PauseProcessor();
    nowNs = clock_.nowNs(clock_.self);
  }
  stats_.spunNs += nowNs - spinStartNs;
}

}  // namespace stadial::runtime
