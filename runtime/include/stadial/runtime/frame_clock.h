// FrameClock: turns the time that passed into what a frame has to simulate. Two kinds:
//
//   Fixed     steps of one length, as many as the time since the last frame has room for; what is left over
//             is carried, and `alpha` says how far the picture stands between the last two states. A frame
//             that took too long gives up what is beyond `catchUpStepsMax` steps, or it would fall behind for
//             good: the world runs slower for that moment, and the time given up is told.
//   Variable  one step as long as the time that passed, not shorter and not longer than the limits.
//
//   FrameTime time = clock.Advance(elapsedNs);            // or AdvanceTo(NowNs()), once a frame
//   for (std::uint32_t i = 0; i < time.steps; ++i) Simulate(time.firstStep + i, time.stepSeconds);
//   Draw(time.alpha);
//
// Deterministic: equal elapsed times give equal steps, on every machine. The rate is a fraction of integers
// and nothing is rounded, so 60 steps a second are exactly 216,000 in an hour. A replay that feeds the
// recorded times sees the recorded frames.
//
// Threads: one. Cost: a division of integers a frame. Nothing allocates; plain data, may be copied to be
// saved.
#pragma once

#include <cstdint>

namespace stadial::runtime {

enum class FrameClockKind : std::uint8_t { Fixed, Variable };

// Steps per second as a fraction: {60}, {90}, {60'000, 1'001}.
struct StepRate {
  std::uint32_t steps = 60;      // 1 to kStepRateMax
  std::uint32_t perSeconds = 1;  // 1 to kStepRateMax
};
inline constexpr std::uint32_t kStepRateMax = 1'000'000;
// A step is at most this long, whatever the fraction.
inline constexpr std::uint64_t kStepNsMax = 10'000'000'000;
inline constexpr std::uint32_t kCatchUpStepsLimit = 1'000;

struct FrameClockOptions {
  FrameClockKind kind = FrameClockKind::Fixed;
  StepRate rate = {};                        // Fixed: of the simulation, not of the frames
  std::uint32_t catchUpStepsMax = 5;         // Fixed: steps of one frame at most, 1 to kCatchUpStepsLimit
  std::uint64_t elapsedNsMin = 100'000;      // Variable: 0.1 ms
  std::uint64_t elapsedNsMax = 100'000'000;  // Variable: 0.1 s, a debugger's pause or a moved window
};

// One frame's share.
struct FrameTime {
  std::uint64_t frame = 0;      // 0, 1, 2, ... of this clock
  std::uint64_t firstStep = 0;  // index of the first of its steps, counted from the clock's start
  std::uint32_t steps = 0;
  double stepSeconds = 0;          // length of each
  double alpha = 0;                // Fixed: 0 to below 1, time beyond the last step in steps; Variable: 0
  std::uint64_t elapsedNs = 0;     // as given
  std::uint64_t droppedSteps = 0;  // Fixed: beyond catchUpStepsMax, given up
  std::uint64_t droppedNs = 0;     // Fixed: their length; Variable: what was above elapsedNsMax
};

class FrameClock {
 public:
  // Options out of range are asserted.
  explicit FrameClock(const FrameClockOptions& options = {}) noexcept;

  // The next frame, `elapsedNs` after the last one. Any value is legal.
  FrameTime Advance(std::uint64_t elapsedNs) noexcept;
  // The same by a clock that never falls (asserted). The first call begins: nothing has elapsed then.
  FrameTime AdvanceTo(std::uint64_t nowNs) noexcept;
  // The next AdvanceTo begins anew, so that a pause of the game is no elapsed time. Steps count on.
  void Pause() noexcept { hasNow_ = false; }

  std::uint64_t FrameCount() const noexcept { return frames_; }
  std::uint64_t StepCount() const noexcept { return steps_; }
  std::uint64_t DroppedNs() const noexcept { return droppedNs_; }  // in all frames
  const FrameClockOptions& Options() const noexcept { return options_; }

 private:
  FrameTime AdvanceFixed(std::uint64_t elapsedNs) noexcept;
  FrameTime AdvanceVariable(std::uint64_t elapsedNs) noexcept;

  FrameClockOptions options_;
  // Time is counted in units of 1/rate.steps ns: a nanosecond is rate.steps of them, a step is
  // rate.perSeconds * 10^9.
  std::uint64_t stepUnits_;
  std::uint64_t carriedUnits_ = 0;  // below stepUnits_
  std::uint64_t frames_ = 0;
  std::uint64_t steps_ = 0;
  std::uint64_t droppedNs_ = 0;
  std::uint64_t lastNs_ = 0;
  bool hasNow_ = false;
};

}  // namespace stadial::runtime
