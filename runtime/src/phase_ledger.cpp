#include "stadial/runtime/phase_ledger.h"

#include <algorithm>

#include "stadial/arenas/assert.h"

namespace stadial::runtime {
namespace {

std::size_t IndexOf(Phase phase) noexcept { return static_cast<std::size_t>(phase); }

void Add(SnapshotDelta& sum, const SnapshotDelta& delta) noexcept {
  sum.count += delta.count;
  sum.totalBytes += delta.totalBytes;
  sum.frees += delta.frees;
  sum.freedBytes += delta.freedBytes;
  sum.liveCount += delta.liveCount;
  sum.liveBytes += delta.liveBytes;
  sum.elapsedNs += delta.elapsedNs;
  sum.largestAllocation = delta.largestAllocation;
}

}  // namespace

PhaseLedger::PhaseLedger(const AllocationTracker& tracker, Phase now) noexcept
    : tracker_(tracker), current_(now), entered_(tracker.Snapshot()) {
  phases_[IndexOf(now)].stays = 1;
}

void PhaseLedger::OnTransition(Phase from, Phase to) noexcept {
  STADIAL_ASSERT(from == current_, "a transition from another phase than the ledger's");
  PhaseBoundary& boundary = boundaries_[boundaryCount_++ % kPhaseBoundariesMax];
  boundary = {.from = from, .to = to, .snapshot = tracker_.Snapshot(), .delta = {}};
  boundary.delta = boundary.snapshot - entered_;
  Add(phases_[IndexOf(from)].sum, boundary.delta);
  ++phases_[IndexOf(to)].stays;
  entered_ = boundary.snapshot;
  current_ = to;
}

PhaseAllocations PhaseLedger::Of(Phase phase) const noexcept {
  PhaseAllocations seen = phases_[IndexOf(phase)];
  if (phase == current_) Add(seen.sum, tracker_.Snapshot() - entered_);
  return seen;
}

std::size_t PhaseLedger::CopyBoundaries(PhaseBoundary* out, std::size_t capacity) const noexcept {
  const auto kept = static_cast<std::size_t>(std::min<std::uint64_t>(boundaryCount_, kPhaseBoundariesMax));
  const std::size_t count = std::min(kept, capacity);
  for (std::size_t i = 0; i < count; ++i)
    out[i] = boundaries_[(boundaryCount_ - count + i) % kPhaseBoundariesMax];
  return count;
}

}  // namespace stadial::runtime
