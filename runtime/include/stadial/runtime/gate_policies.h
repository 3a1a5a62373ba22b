// What an allocation, and what a free, meets: by who runs and by phase (R6, R7). RuntimeOptions::gate is the
// one place where a program says so; the rest of the runtime, the graph's waves and the gpu's submit thread
// take it from there.
//
//   RuntimeOptions options{.gate = GatePolicy::Count};  // as below, with Count for Trap
//   options.gate.Set(GateRole::Worker, Phase::Frame, GatePolicy::Trap)
//       .Set(GateRole::Frame, Phase::Compile, GatePolicy::Report)
//       .Set(GateRole::Task, Phase::Frame, {.allocate = GatePolicy::Trap, .free = GatePolicy::Allow});
//
// Who, and the defaults, of allocation and of free alike. `-`: nothing can be watched there, any policy but
// Allow is refused.
//
//   GateRole | whose code it is                                    | Setup | Compile | Frame | Shutdown
//   ---------+-----------------------------------------------------+-------+---------+-------+---------
//   Frame    | the frame thread's: Setup from the end of Create to | Allow | Allow   | Trap  | Allow
//            | SealSetup, Frame from Begin to End, the others as   |       |         |       |
//            | long as the phase lasts                             |       |         |       |
//   Worker   | jobs on the other threads of Runner(): ParallelFor, | -     | Trap    | Trap  | -
//            | the nodes of a graph that executes in waves         |       |         |       |
//   Submit   | the gpu's submit thread's                           | Trap  | Trap    | Trap  | Trap
//   Task     | bodies of tasks, on whichever thread, the frame's   | Trap  | Trap    | Trap  | Trap
//            | included                                            |       |         |       |
//   Other    | threads that are not registered, a driver's own     | -     | -       | Count | -
//            | among them: from the first frame on, while frames   |       |         |       |
//            | run; Deny is refused, for no driver survives it     |       |         |       |
//
// The phase is that of Runtime::Phases. A plan that is built inside a frame is that frame's work: phase
// Frame. What the program does between two frames is its own, and Allow. Code inside a GateScope of its own
// meets what that scope says, a driver inside a DriverCallScope is counted, and what a FallbackScope serves
// is not seen at all. Do not let a GateScope outlive the phase in which it was opened.
//
// Under AddressSanitizer and ThreadSanitizer Deny acts as Report. An audit passes only when everything that
// Frame, Worker and Task do in phase Frame is at least counted.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stadial/arenas/result.h"
#include "stadial/runtime/gate_state.h"
#include "stadial/runtime/phase.h"

namespace stadial::runtime {

enum class GateRole : std::uint8_t { Frame, Worker, Submit, Task, Other };
inline constexpr std::size_t kGateRoles = 5;
const char* ToString(GateRole role) noexcept;

// What one of them meets in one phase.
struct GateRule {
  GatePolicy allocate = GatePolicy::Allow;
  GatePolicy free = GatePolicy::Allow;
  friend constexpr bool operator==(const GateRule&, const GateRule&) = default;
};

// What one of them meets, phase by phase.
class GateRules {
 public:
  // In every phase the same.
  constexpr GateRules(GatePolicy policy = GatePolicy::Allow) noexcept {
    for (GateRule& rule : rules_) rule = {policy, policy};
  }
  constexpr GateRules& Set(Phase phase, GateRule rule) noexcept {
    rules_[static_cast<std::size_t>(phase)] = rule;
    return *this;
  }
  constexpr GateRules& Set(Phase phase, GatePolicy policy) noexcept { return Set(phase, {policy, policy}); }
  constexpr const GateRule& Of(Phase phase) const noexcept { return rules_[static_cast<std::size_t>(phase)]; }

 private:
  GateRule rules_[4];  // by Phase
};

class GatePolicies {
 public:
  // The table above, with `frames` in the place of Trap.
  constexpr GatePolicies(GatePolicy frames = GatePolicy::Trap) noexcept {
    Set(GateRole::Frame, Phase::Frame, frames);
    Set(GateRole::Worker, Phase::Compile, frames).Set(GateRole::Worker, Phase::Frame, frames);
    Of(GateRole::Submit) = Of(GateRole::Task) = frames;
    Set(GateRole::Other, Phase::Frame, GatePolicy::Count);
  }
  constexpr GatePolicies& Set(GateRole role, Phase phase, GateRule rule) noexcept {
    Of(role).Set(phase, rule);
    return *this;
  }
  constexpr GatePolicies& Set(GateRole role, Phase phase, GatePolicy policy) noexcept {
    return Set(role, phase, {policy, policy});
  }
  constexpr GateRules& Of(GateRole role) noexcept { return roles_[static_cast<std::size_t>(role)]; }
  constexpr const GateRules& Of(GateRole role) const noexcept {
    return roles_[static_cast<std::size_t>(role)];
  }
  constexpr const GateRule& Of(GateRole role, Phase phase) const noexcept { return Of(role).Of(phase); }

  // What an audit cannot vouch for, since a frame's rules let it pass unseen: "frees of Task". Null: nothing.
  const char* WhatIsUnseen() const noexcept;

  // InvalidArgument, naming role, phase and what is wrong.
  arenas::Result<void> Check() const noexcept;

 private:
  GateRules roles_[kGateRoles];
};

// InvalidArgument where a policy is none; `option` names the rules in the message.
arenas::Result<void> CheckGateRules(const char* option, const GateRules& rules) noexcept;

}  // namespace stadial::runtime
