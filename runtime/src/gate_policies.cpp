#include "stadial/runtime/gate_policies.h"

#include <cstdio>
#include <utility>

#include "stadial/runtime/gate.h"

namespace stadial::runtime {
namespace {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

constexpr Phase kPhases[] = {Phase::Setup, Phase::Compile, Phase::Frame, Phase::Shutdown};

// Null: something of that role runs in that phase, and the gate sees it. Otherwise why not.
const char* WhyNotWatched(GateRole role, Phase phase) noexcept {
  if (role == GateRole::Other && phase != Phase::Frame)
    return "threads that are not registered are watched while frames run only";
  if (role == GateRole::Worker && (phase == Phase::Setup || phase == Phase::Shutdown))
    return "workers run from SealSetup to Shutdown";
  return nullptr;
}

}  // namespace

const char* ToString(GateRole role) noexcept {
  switch (role) {
    case GateRole::Frame:
      return "Frame";
    case GateRole::Worker:
      return "Worker";
    case GateRole::Submit:
      return "Submit";
    case GateRole::Task:
      return "Task";
    case GateRole::Other:
      return "Other";
  }
  return "Unknown";
}

const char* GatePolicies::WhatIsUnseen() const noexcept {
  const struct {
    GateRole role;
    const char* allocations;
    const char* frees;
  } judged[] = {{GateRole::Frame, "allocations of Frame", "frees of Frame"},
                {GateRole::Worker, "allocations of Worker", "frees of Worker"},
                {GateRole::Task, "allocations of Task", "frees of Task"}};
  for (const auto& one : judged) {
    const GateRule& rule = Of(one.role, Phase::Frame);
    if (rule.allocate == GatePolicy::Allow) return one.allocations;
    if (rule.free == GatePolicy::Allow) return one.frees;
  }
  return nullptr;
}

Result<void> CheckGateRules(const char* option, const GateRules& rules) noexcept {
  for (const Phase phase : kPhases) {
    const GateRule& rule = rules.Of(phase);
    for (const auto& [name, policy] : {std::pair{"allocate", rule.allocate}, std::pair{"free", rule.free}}) {
      if (policy <= GatePolicy::Trap) continue;
      return Error::Format(ErrorCode::InvalidArgument, "%s is %u for %s in phase %s; it must be a GatePolicy",
                           option, static_cast<unsigned>(policy), name, ToString(phase));
    }
  }
  return {};
}

Result<void> GatePolicies::Check() const noexcept {
  for (std::size_t index = 0; index < kGateRoles; ++index) {
    const auto role = static_cast<GateRole>(index);
    char option[48];
    std::snprintf(option, sizeof option, "RuntimeOptions::gate of role %s", ToString(role));
    STADIAL_RETURN_IF_ERROR(CheckGateRules(option, Of(role)));
    for (const Phase phase : kPhases) {
      const GateRule& rule = Of(role, phase);
      const char* const why = WhyNotWatched(role, phase);
      if (why == nullptr || rule == GateRule{}) continue;
      return Error::Format(ErrorCode::InvalidArgument,
                           "%s in phase %s is %s for allocations and %s for frees; it must be Allow: %s",
                           option, ToString(phase), ToString(rule.allocate), ToString(rule.free), why);
    }
  }
  const GateRule& other = Of(GateRole::Other, Phase::Frame);
  if (other.allocate == GatePolicy::Deny || other.free == GatePolicy::Deny) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "RuntimeOptions::gate of role Other in phase Frame is Deny, which would refuse a "
                         "driver's own threads their memory; it must be Allow, Count, Report or Trap");
  }
  return {};
}

}  // namespace stadial::runtime
