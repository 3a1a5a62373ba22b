// The phases of a Stadial program, and the checked state machine between them (R4):
//
//   Setup ──> Compile <──> Frame
//     │          │           │
//     └──────────┴───────────┴──> Shutdown
//
// Setup carves everything that lives as long as the process. Compile builds a plan. Frame means that the
// frame loop is live: it covers every frame and what the program does between two frames. Shutdown is final.
#pragma once

#include <atomic>
#include <cstdint>
#include <source_location>

#include "stadial/arenas/effects.h"
#include "stadial/arenas/result.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

enum class Phase : std::uint8_t { Setup, Compile, Frame, Shutdown };

// The phase's name, as printed in messages ("Setup").
const char* ToString(Phase phase) noexcept;

// Is `to` reachable from `from` in one step? No phase may follow itself.
bool IsLegalTransition(Phase from, Phase to) noexcept;

// Told of every transition, once it has been made, on the thread that made it. Must not make one itself.
class PhaseObserver {
 public:
  virtual ~PhaseObserver() = default;
  virtual void OnTransition(Phase from, Phase to) noexcept STADIAL_NONALLOCATING = 0;
};

// Threads: one thread (the frame thread) makes transitions; Current may be read from any thread.
// Cost: Current is one load. Nothing here allocates.
class PhaseMachine {
 public:
  // Starts in Setup; `site` is the "last transition" until the first one.
  explicit PhaseMachine(std::source_location site = std::source_location::current()) noexcept
      : lastSite_(site) {}
  PhaseMachine(const PhaseMachine&) = delete;
  PhaseMachine& operator=(const PhaseMachine&) = delete;

  Phase Current() const noexcept { return current_.load(std::memory_order_acquire); }

  // A wrong transition changes nothing; its error (WrongPhase) names both phases, the call site, the site of
  // the last transition, and the phases that are legal next.
  Result<void> Transition(Phase to, std::source_location site = std::source_location::current()) noexcept
      STADIAL_NONALLOCATING;

  // Ok in `wanted`, otherwise WrongPhase, naming `operation`, both phases and both sites.
  Result<void> Require(Phase wanted, const char* operation,
                       std::source_location site = std::source_location::current()) const noexcept
      STADIAL_NONALLOCATING;

  // One; null: none. Must outlive the machine, or be taken away before.
  void SetObserver(PhaseObserver* observer) noexcept { observer_ = observer; }

  std::source_location LastTransitionSite() const noexcept { return lastSite_; }
  std::uint64_t TransitionCount() const noexcept { return transitions_; }

 private:
  std::atomic<Phase> current_{Phase::Setup};
  std::uint64_t transitions_ = 0;
  PhaseObserver* observer_ = nullptr;
  std::source_location lastSite_;
};

}  // namespace stadial::runtime
