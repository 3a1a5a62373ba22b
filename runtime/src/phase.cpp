#include "stadial/runtime/phase.h"

#include "stadial/runtime/gate.h"

namespace stadial::runtime {
namespace {

// The legal next phases, in words.
const char* LegalNext(Phase from) noexcept {
  switch (from) {
    case Phase::Setup:
      return "Compile or Shutdown";
    case Phase::Compile:
      return "Frame or Shutdown";
    case Phase::Frame:
      return "Compile or Shutdown";
    case Phase::Shutdown:
      return "none: Shutdown is final";
  }
  return "none";
}

}  // namespace

const char* ToString(Phase phase) noexcept {
  switch (phase) {
    case Phase::Setup:
      return "Setup";
    case Phase::Compile:
      return "Compile";
    case Phase::Frame:
      return "Frame";
    case Phase::Shutdown:
      return "Shutdown";
  }
  return "unknown phase";
}

bool IsLegalTransition(Phase from, Phase to) noexcept {
  switch (from) {
    case Phase::Setup:
      return to == Phase::Compile || to == Phase::Shutdown;
    case Phase::Compile:
      return to == Phase::Frame || to == Phase::Shutdown;
    case Phase::Frame:
      return to == Phase::Compile || to == Phase::Shutdown;
    case Phase::Shutdown:
      return false;
  }
  return false;
}

Result<void> PhaseMachine::Transition(Phase to, std::source_location site) noexcept {
  const Phase from = current_.load(std::memory_order_relaxed);
  if (!IsLegalTransition(from, to)) {
    return Error::Format(
        ErrorCode::WrongPhase,
        "wrong phase transition %s -> %s at %s:%u: the program is in %s since %s:%u; legal next: %s",
        ToString(from), ToString(to), site.file_name(), static_cast<unsigned>(site.line()), ToString(from),
        lastSite_.file_name(), static_cast<unsigned>(lastSite_.line()), LegalNext(from));
  }
  lastSite_ = site;
  ++transitions_;
  current_.store(to, std::memory_order_release);
  // From here on (or no longer) unregistered threads' allocations count as "other threads while frames run".
  SetFramesRunning(to == Phase::Frame);
  if (observer_ != nullptr) observer_->OnTransition(from, to);
  return {};
}

Result<void> PhaseMachine::Require(Phase wanted, const char* operation,
                                   std::source_location site) const noexcept {
  const Phase now = current_.load(std::memory_order_relaxed);
  if (now == wanted) return {};
  return Error::Format(ErrorCode::WrongPhase,
                       "%s at %s:%u needs phase %s, but the program is in %s since %s:%u", operation,
                       site.file_name(), static_cast<unsigned>(site.line()), ToString(wanted), ToString(now),
                       lastSite_.file_name(), static_cast<unsigned>(lastSite_.line()));
}

}  // namespace stadial::runtime
