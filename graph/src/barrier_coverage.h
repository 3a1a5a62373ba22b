// What the barriers of one queue have ordered so far, by kind of access (a kind: stages and accesses that
// occur together). A number in a table is a place: it holds for accesses at earlier places.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "stadial/graph/barriers.h"

namespace stadial::graph {

struct AccessKind {
  std::uint64_t stages;
  std::uint64_t access;
  std::uint64_t Writes() const noexcept { return access & accesses::kWrites; }
};

constexpr bool Contains(std::uint64_t all, std::uint64_t part) noexcept { return (part & ~all) == 0; }

class BarrierCoverage {
 public:
  static constexpr std::uint32_t kBatchMax = 8;  // barriers of one command that are counted upon

  // Before `kind` of now: accesses of kind `earlier` are done (execution alone).
  std::uint32_t Executed(std::uint32_t earlier, std::uint32_t kind) const noexcept {
    return executed_[earlier][kind];
  }
  // Its writes are visible to `kind`.
  std::uint32_t Visible(std::uint32_t earlier, std::uint32_t kind) const noexcept {
    return visible_[earlier][kind];
  }
  // What a barrier before `earlier` has made available is visible to `kind`.
  std::uint32_t Revealed(std::uint32_t earlier, std::uint32_t kind) const noexcept {
    return revealed_[earlier][kind];
  }

  void Reset(std::uint32_t kinds) noexcept {
    for (std::uint32_t i = 0; i < kinds; ++i) {
      for (Table* table : {&executed_, &available_, &visible_, &revealed_})
        std::fill_n((*table)[i].begin(), kinds, 0u);
    }
  }

  // Barriers issued in one command at `place`: they follow all that was issued before, but not each other.
  void Apply(std::span<const Barrier> batch, std::span<const AccessKind> kinds,
             std::uint32_t place) noexcept {
    for (std::uint32_t k = 0; k < kinds.size(); ++k) {
      if (batch.size() == 1) {
        Commit(k, batch.front(), kinds, Reach(k, batch.front(), kinds, place));
        continue;
      }
      std::array<Places, kBatchMax> reached;
      const std::size_t count = batch.size() < reached.size() ? batch.size() : reached.size();
      for (std::size_t i = 0; i < count; ++i) reached[i] = Reach(k, batch[i], kinds, place);
      for (std::size_t i = 0; i < count; ++i) Commit(k, batch[i], kinds, reached[i]);
    }
  }

 private:
  using Table = std::array<std::array<std::uint32_t, kAccessKindsMax>, kAccessKindsMax>;
  struct Places {
    std::uint32_t executed = 0;
    std::uint32_t available = 0;
    std::uint32_t revealed = 0;
  };

  // Up to which place a barrier orders accesses of kind k: all, where it names their stages, otherwise what
  // earlier barriers have put before a stage that it names (a chain).
  Places Reach(std::uint32_t k, const Barrier& barrier, std::span<const AccessKind> kinds,
               std::uint32_t place) const noexcept {
    Places places;
    for (std::uint32_t m = 0; m < kinds.size(); ++m) {
      if ((barrier.sourceStages & kinds[m].stages) == 0) continue;
      places.executed = std::max(places.executed, executed_[k][m]);
      places.available = std::max(places.available, available_[k][m]);
      places.revealed = std::max(places.revealed, executed_[k][m]);
    }
    if ((barrier.sourceStages & kinds[k].stages) != 0) places.revealed = place;
    if (Contains(barrier.sourceStages, kinds[k].stages)) {
      places.executed = place;
      // A barrier of one resource makes nothing else available.
      if (barrier.IsGlobal() && Contains(barrier.sourceAccess, kinds[k].Writes())) places.available = place;
    }
    return places;
  }

  void Commit(std::uint32_t k, const Barrier& barrier, std::span<const AccessKind> kinds,
              const Places& places) noexcept {
    for (std::uint32_t r = 0; r < kinds.size(); ++r) {
      if (!Contains(barrier.targetStages, kinds[r].stages)) continue;
      executed_[k][r] = std::max(executed_[k][r], places.executed);
      available_[k][r] = std::max(available_[k][r], places.available);
      if (!barrier.IsGlobal() || !Contains(barrier.targetAccess, kinds[r].access)) continue;
      visible_[k][r] = std::max(visible_[k][r], places.available);
      revealed_[k][r] = std::max(revealed_[k][r], places.revealed);
    }
  }

  Table executed_;
  Table available_;  // writes, and in order before the stages of the other kind
  Table visible_;
  Table revealed_;
};

}  // namespace stadial::graph
