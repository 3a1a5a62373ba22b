// FramePacer: holds frames to a rate. Deadlines stand on a grid, one period apart; Wait sleeps until shortly
// before the next one and spins the rest, because a sleep alone wakes up late by some 50 us and more.
//
// A frame that is not done by its deadline has missed it: Wait returns at once, every deadline that passed is
// counted, and the next one is the next point of the same grid. So the phase is kept, and one late frame does
// not shift all that follow.
//
// FrameLoop::Begin waits by itself when RuntimeOptions::pacing has a period: before the frame is opened, so
// the wait is neither frame time nor the runtime's part.
//
// Threads: one. Nothing allocates; the sleep is clock_nanosleep, no call that changes the address space.
#pragma once

#include <cstdint>

#include "stadial/arenas/effects.h"

namespace stadial::runtime {

struct FramePacingOptions {
  std::uint64_t periodNs = 0;      // 0: no pacing; otherwise kPacingPeriodNsMin to kPacingPeriodNsMax
  std::uint64_t spinNs = 200'000;  // of each wait, spun instead of slept: 0.2 ms
  std::uint64_t ceilingNs = 0;     // what a frame may take, waiting for the GPU included; 0: its period
};
inline constexpr std::uint64_t kPacingPeriodNsMin = 100'000;         // 10,000 frames a second
inline constexpr std::uint64_t kPacingPeriodNsMax = 10'000'000'000;  // a frame in 10 s

// Head-mounted displays (B-d): 90 frames a second, 11.1 ms each. The ceiling leaves a tenth of the period to
// the compositor, which draws between us and the display.
inline constexpr FramePacingOptions kVrPacing = {
    .periodNs = 11'111'111, .spinNs = 500'000, .ceilingNs = 10'000'000};

// What a pacer knows of time; given at construction, so that tests drive it. Both belong to one monotonic
// clock. `sleepUntilNs` may return late, and early when a signal comes.
struct PacingClock {
  std::uint64_t (*nowNs)(void* self) noexcept STADIAL_NONALLOCATING;
  void (*sleepUntilNs)(void* self, std::uint64_t untilNs) noexcept STADIAL_NONALLOCATING;
  void* self = nullptr;
};
PacingClock SystemPacingClock() noexcept;

struct FramePacingStats {
  std::uint64_t frames = 0;           // calls of Wait
  std::uint64_t lateFrames = 0;       // frames that missed their deadline
  std::uint64_t missedDeadlines = 0;  // grid points passed without a frame: at least lateFrames
  std::uint64_t overCeiling = 0;      // frames that took longer than the ceiling
  std::uint64_t sleptNs = 0;
  std::uint64_t spunNs = 0;
  std::uint64_t lateNsMax = 0;  // the latest frame, behind its deadline
};

class FramePacer {
 public:
  // Options out of range are asserted; see Check.
  explicit FramePacer(const FramePacingOptions& options,
                      const PacingClock& clock = SystemPacingClock()) noexcept;

  // Null, or the name of the option that is out of range.
  static const char* Check(const FramePacingOptions& options) noexcept;

  // Until the next deadline; returns how long it waited. The first call begins the grid, and does not wait.
  // Without a period it returns 0 at once.
  std::uint64_t Wait() noexcept STADIAL_NONALLOCATING;
  // The frame that is over took this long; for Stats.
  void NoteFrame(std::uint64_t frameNs) noexcept {
    if (ceilingNs_ != 0 && frameNs > ceilingNs_) ++stats_.overCeiling;
  }
  // The next Wait begins a new grid: after a pause, a load, a change of the display.
  void Restart() noexcept { hasDeadline_ = false; }

  bool IsPaced() const noexcept { return options_.periodNs != 0; }
  // The deadline that the last Wait waited for; 0 before the first.
  std::uint64_t DeadlineNs() const noexcept { return deadlineNs_; }
  std::uint64_t CeilingNs() const noexcept { return ceilingNs_; }
  const FramePacingOptions& Options() const noexcept { return options_; }
  const FramePacingStats& Stats() const noexcept { return stats_; }

 private:
  void WaitUntil(std::uint64_t deadlineNs, std::uint64_t nowNs) noexcept;

  FramePacingOptions options_;
  PacingClock clock_;
  std::uint64_t ceilingNs_;
  std::uint64_t deadlineNs_ = 0;
  bool hasDeadline_ = false;
  FramePacingStats stats_;
};

}  // namespace stadial::runtime
