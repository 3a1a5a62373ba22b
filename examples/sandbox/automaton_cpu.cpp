#include "automaton_cpu.h"

#include <utility>

#include "stadial/arenas/assert.h"

namespace stadial::sandbox {
namespace {

// What stands in for a cell that is not there. Any id of a stone works: it is never moved and never written
// back.
constexpr std::uint8_t kWall = 1;

// Reads cells as classes and swaps them, for the length of one block's step.
class BlockRules {
 public:
  BlockRules(AutomatonBlock& cells, std::uint32_t hash, std::uint32_t sandBegin,
             std::uint32_t waterBegin) noexcept
      : cells_(cells), hash_(hash), sandBegin_(sandBegin), waterBegin_(waterBegin) {}

  void Run() noexcept {
    for (unsigned column = 0; column < 4; ++column) Fall(column);
    for (unsigned i = 0; i < 4; ++i) SlideSand((i + hash_) & 3U);
    for (unsigned i = 0; i < 4; ++i) SlideWater((i + hash_) & 3U);
    SpreadWater();
  }

 private:
  static constexpr unsigned kUpper = 4;

  bool IsEmpty(unsigned i) const noexcept { return cells_[i] == 0; }
  bool IsSand(unsigned i) const noexcept { return cells_[i] >= sandBegin_ && cells_[i] < waterBegin_; }
  bool IsWater(unsigned i) const noexcept { return cells_[i] >= waterBegin_; }
  bool Bit(unsigned bit) const noexcept { return ((hash_ >> bit) & 1U) != 0; }
  void Swap(unsigned a, unsigned b) noexcept { std::swap(cells_[a], cells_[b]); }

  void Fall(unsigned column) noexcept {
    const unsigned upper = column + kUpper;
    if (IsEmpty(column)) {
      if (IsSand(upper) || IsWater(upper)) Swap(column, upper);
    } else if (IsWater(column) && IsSand(upper) && Bit(8 + column)) {
      Swap(column, upper);
    }
  }

  void SlideSand(unsigned column) noexcept {
    if (!IsSand(column + kUpper)) return;
    const auto open = [&](unsigned i) { return IsEmpty(i) || IsWater(i); };
    for (const unsigned target : Neighbours(column, Bit(2))) {
      if (target == (column ^ 3U) && !Bit(3)) continue;
      if (!open(target) || !open(target + kUpper)) continue;
      Swap(column + kUpper, target);
      return;
    }
  }

  void SlideWater(unsigned column) noexcept {
    if (!IsWater(column + kUpper)) return;
    for (const unsigned target : Neighbours(column, Bit(2))) {
      if (target == (column ^ 3U) && !Bit(3)) continue;
      if (!IsEmpty(target) || !IsEmpty(target + kUpper)) continue;
      Swap(column + kUpper, target);
      return;
    }
  }

  void SpreadWater() noexcept {
    const bool straight = (hash_ >> 4 & 7U) == 0;
    if (!straight) {
      Spread(0, 3);
      Spread(1, 2);
    } else if (Bit(7)) {
      Spread(0, 1);
      Spread(2, 3);
    } else {
      Spread(0, 2);
      Spread(1, 3);
    }
  }

  void Spread(unsigned a, unsigned b) noexcept {
    const auto canMove = [&](unsigned from, unsigned to) {
      return IsWater(from + kUpper) && IsEmpty(to + kUpper) && !IsEmpty(to);
    };
    if (canMove(a, b) || canMove(b, a)) Swap(a + kUpper, b + kUpper);
  }

  // The other columns in the order they are tried; the diagonal one last.
  static std::array<unsigned, 3> Neighbours(unsigned column, bool yFirst) noexcept {
    return yFirst ? std::array<unsigned, 3>{column ^ 2U, column ^ 1U, column ^ 3U}
                  : std::array<unsigned, 3>{column ^ 1U, column ^ 2U, column ^ 3U};
  }

  AutomatonBlock& cells_;
  std::uint32_t hash_, sandBegin_, waterBegin_;
};

}  // namespace

void StepAutomatonBlock(AutomatonBlock& cells, std::uint32_t hash, std::uint32_t sandBegin,
                        std::uint32_t waterBegin) noexcept {
  BlockRules(cells, hash, sandBegin, waterBegin).Run();
}

AutomatonCpu::AutomatonCpu(const World& world, std::uint32_t seed)
    : world_(&world), cells_(world.Cells().begin(), world.Cells().end()), seed_(seed) {
  STADIAL_ASSERT_COMPARE(cells_.size(), ==, std::size_t{world.SlotCount()} * kChunkWords,
                         "the world's cells were released before the automaton was made");
}

void AutomatonCpu::Step() noexcept {
  if (world_->Materials().HasMovable()) {
    for (std::uint32_t slot = 0; slot < world_->SlotCount(); ++slot) StepSlot(slot);
  }
  ++step_;
}

void AutomatonCpu::StepSlot(std::uint32_t slot) noexcept {
  constexpr auto kEdge = static_cast<std::int32_t>(kChunkEdgeCells);
  const std::uint32_t packed = world_->SlotChunks()[slot];
  const std::int32_t base[3] = {static_cast<std::int32_t>(packed & 1023U) * kEdge,
                                static_cast<std::int32_t>(packed >> 10 & 1023U) * kEdge,
                                static_cast<std::int32_t>(packed >> 20) * kEdge};
  const auto offset = AutomatonOffset(step_);
  std::int32_t first[3];
  for (std::size_t a = 0; a < 3; ++a) first[a] = base[a] - static_cast<std::int32_t>(offset[a]);
  // With an odd offset the first block along an axis begins before the chunk and the last one on its last
  // cell.
  for (std::int32_t z = first[2]; z < base[2] + kEdge; z += 2) {
    for (std::int32_t y = first[1]; y < base[1] + kEdge; y += 2) {
      for (std::int32_t x = first[0]; x < base[0] + kEdge; x += 2) {
        std::array<std::int32_t, 8> slots;
        slots.fill(static_cast<std::int32_t>(slot));
        const bool border = x < base[0] || y < base[1] || z < base[2] || x == base[0] + kEdge - 1 ||
                            y == base[1] + kEdge - 1 || z == base[2] + kEdge - 1;
        if (border) {
          // It lies in up to eight chunks: the slot of its first resident cell does it.
          std::int32_t owner = -1;
          for (std::int32_t i = 7; i >= 0; --i) {
            slots[static_cast<std::size_t>(i)] = world_->SlotOf(x + (i & 1), y + (i >> 1 & 1), z + (i >> 2));
            if (slots[static_cast<std::size_t>(i)] >= 0) owner = slots[static_cast<std::size_t>(i)];
          }
          if (owner != static_cast<std::int32_t>(slot)) continue;
        }
        StepBlock({x, y, z}, slots);
      }
    }
  }
}

void AutomatonCpu::StepBlock(const CellPosition& corner, const std::array<std::int32_t, 8>& slots) noexcept {
  const MaterialTable& table = world_->Materials();
  AutomatonBlock block{};
  std::array<std::uint32_t*, 8> words{};
  bool movable = false;
  for (std::uint32_t k = 0; k < 8; ++k) {
    block[k] = kWall;
    if (slots[k] < 0) continue;
    const std::uint32_t x = static_cast<std::uint32_t>(corner[0]) + (k & 1U);
    const std::uint32_t y = static_cast<std::uint32_t>(corner[1]) + (k >> 1 & 1U);
    const std::uint32_t z = static_cast<std::uint32_t>(corner[2]) + (k >> 2);
    words[k] = &cells_[WordIndex(static_cast<std::uint32_t>(slots[k]), x, y, z)];
    block[k] = static_cast<std::uint8_t>(CellInWord(*words[k], x));
    movable = movable || block[k] >= table.sandBegin;
  }
  if (!movable) return;
  const auto offset = AutomatonOffset(step_);
  std::uint32_t b[3];
  for (std::size_t a = 0; a < 3; ++a) b[a] = (static_cast<std::uint32_t>(corner[a]) + offset[a]) / 2;
  StepAutomatonBlock(block, AutomatonHash(seed_, step_, b[0], b[1], b[2]), table.sandBegin, table.waterBegin);
  for (std::uint32_t k = 0; k < 8; ++k) {
    if (words[k] == nullptr) continue;
    const std::uint32_t shift = 8 * ((static_cast<std::uint32_t>(corner[0]) + (k & 1U)) % kCellsPerWord);
    *words[k] = (*words[k] & ~(0xffU << shift)) | std::uint32_t{block[k]} << shift;
  }
}

}  // namespace stadial::sandbox
