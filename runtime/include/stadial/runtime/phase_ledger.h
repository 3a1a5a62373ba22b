// PhaseLedger: what each phase allocated and freed. It observes the phases (PhaseMachine::SetObserver) and
// takes a snapshot of an AllocationTracker at every boundary; the signed difference of two belongs to the
// phase between them. RuntimeOptions::trackAllocations sets one up for a whole run, and the audit prints it.
//
// Threads: the one that makes the transitions. Nothing allocates. Cost: a snapshot per transition; nothing in
// a frame.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "stadial/runtime/allocation_tracker.h"
#include "stadial/runtime/phase.h"

namespace stadial::runtime {

inline constexpr std::size_t kPhaseBoundariesMax = 32;

// A stay in one phase, over.
struct PhaseBoundary {
  Phase from = Phase::Setup;
  Phase to = Phase::Setup;
  AllocationSnapshot snapshot;  // at the boundary
  SnapshotDelta delta;          // of the stay in `from`
};

struct PhaseAllocations {
  std::uint64_t stays = 0;  // times that the phase was entered
  SnapshotDelta sum;        // of all of them, the present one up to now included
};

class PhaseLedger final : public PhaseObserver {
 public:
  // `tracker` must be tracking and outlive the ledger; `now` is the phase that the program is in.
  explicit PhaseLedger(const AllocationTracker& tracker, Phase now = Phase::Setup) noexcept;

  void OnTransition(Phase from, Phase to) noexcept override;

  PhaseAllocations Of(Phase phase) const noexcept;
  Phase Current() const noexcept { return current_; }
  std::uint64_t BoundaryCount() const noexcept { return boundaryCount_; }
  // The last boundaries, at most kPhaseBoundariesMax and `capacity`, oldest first; returns how many.
  std::size_t CopyBoundaries(PhaseBoundary* out, std::size_t capacity) const noexcept;

 private:
  const AllocationTracker& tracker_;
  Phase current_;
  AllocationSnapshot entered_;  // where the present stay began
  std::array<PhaseAllocations, kTrackedPhases> phases_{};
  std::uint64_t boundaryCount_ = 0;
  std::array<PhaseBoundary, kPhaseBoundariesMax> boundaries_{};
};

}  // namespace stadial::runtime
