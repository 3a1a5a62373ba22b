// The falling-sand automaton on the CPU: the reference that shaders/automaton.comp must match cell for cell.
//
// A Margolus automaton: each step cuts the world into blocks of 2 x 2 x 2 cells and rewrites every block on
// its own. Where the cut falls changes from step to step, so that matter crosses from block to block
// (AutomatonOffset). Within a block only swaps happen, so nothing is ever made or lost. Cells outside the box
// and in chunks that are not resident are walls: stone that is neither moved nor written.
//
// The rules of one block, in this order. Columns are numbered 0..3 (x is bit 0, y is bit 1); each has a lower
// and an upper cell; h is the block's hash; columns are visited in the order (i + h bits 0-1) & 3, i from 0.
//
//   1. fall: in every column, upper sand or water above an empty cell falls; upper sand above water sinks
//      when h has the bit 8 + column.
//   2. sand slides: upper sand left after 1 slides into the lower cell of a neighbour column when both cells
//      there are empty or water. It tries the neighbour across x, then across y (across y first when h has
//      bit 2), then, when h has bit 3, the diagonal one. What was in that lower cell takes the sand's place.
//   3. water slides: likewise, when both cells there are empty.
//   4. water spreads, like the particles of a lattice gas: among the upper cells, the pairs across the
//      diagonals (0, 3) and (1, 2) swap when one is water and the other is empty with a cell that is not
//      empty below it. Blocks whose h has bits 4-6 all zero pair along x, (0, 1) and (2, 3), when h has
//      bit 7, else along y, (0, 2) and (1, 3). Because the cut moves by one along x and y from one visit of
//      a layer to the next, water runs straight on until it meets something, and levels at the speed of a
//      wave instead of seeping.
//
// A block without sand or water stays as it is.
//
// Determinism: integers only; the hash depends on seed, step and the block's place; blocks do not interact
// within a step, so the order in which they are done does not show. Cost: about 3 ns per cell and step for
// the default scene, a twelfth of whose blocks can move (one Zen 5 core). Memory: one copy of the world's
// cells, taken in the constructor; Step() allocates nothing.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "world.h"

namespace stadial::sandbox {

// Where the blocks of a step begin along each axis: at even coordinates (0) or at odd ones (1).
// z changes every step, so that what falls keeps falling; for either z, x and y change from one visit to the
// next.
constexpr std::array<std::uint32_t, 3> AutomatonOffset(std::uint32_t step) noexcept {
  const std::uint32_t across = ((step + 1) >> 1) & 1U;
  return {across, across, step & 1U};
}

// The hash of block (bx, by, bz), which covers the cells 2 * b - offset and the next along each axis. All
// arithmetic is modulo 2^32. The mixing constants of the last three lines are from C. Wellons' "hash
// prospector" (public domain).
constexpr std::uint32_t AutomatonHash(std::uint32_t seed, std::uint32_t step, std::uint32_t bx,
                                      std::uint32_t by, std::uint32_t bz) noexcept {
  std::uint32_t h = seed * 0x9e3779b9U + step * 0x85ebca6bU;
  h ^= bx * 0xc2b2ae35U + by * 0x27d4eb2fU + bz * 0x165667b1U;
  h = (h ^ (h >> 16)) * 0x7feb352dU;
  h = (h ^ (h >> 15)) * 0x846ca68bU;
  return h ^ (h >> 16);
}

// The rules above. cells[column + 4 * upper] holds material ids; only permuted. Exposed for tests.
using AutomatonBlock = std::array<std::uint8_t, 8>;
void StepAutomatonBlock(AutomatonBlock& cells, std::uint32_t hash, std::uint32_t sandBegin,
                        std::uint32_t waterBegin) noexcept;

class AutomatonCpu {
 public:
  // Takes a copy of the world's cells (which must not have been released) and keeps a pointer to the world.
  AutomatonCpu(const World& world, std::uint32_t seed);

  // One step; the first is step 0. Allocates nothing.
  void Step() noexcept;
  std::uint32_t StepCount() const noexcept { return step_; }

  std::span<const std::uint32_t> Cells() const noexcept { return cells_; }

 private:
  void StepSlot(std::uint32_t slot) noexcept;
  void StepBlock(const CellPosition& corner, const std::array<std::int32_t, 8>& slots) noexcept;

  const World* world_;
  std::vector<std::uint32_t> cells_;
  std::uint32_t seed_;
  std::uint32_t step_ = 0;
};

}  // namespace stadial::sandbox
