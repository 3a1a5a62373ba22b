// The live blocks of an AllocationTracker, found by address. Homes are 4 bytes each, the number of a record;
// the records lie apart, close together, and free ones form a stack. Collisions are resolved by linear
// probing in which the one further from its home has the right of way (Robin Hood): so a home whose owner is
// at home ends every run that passes over the one before it. Private to the runtime.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace stadial::runtime {

class TrackedBlocks {
 public:
  struct Block {
    const void* ptr;
    std::uint64_t size;
    std::uint64_t timeNs;
    std::uint32_t origin;
    std::uint32_t nextFree;  // of the free ones; 0: none
  };

  // Bytes for `blocksMax` (a power of two).
  static std::size_t BytesFor(std::size_t blocksMax) noexcept {
    return HomesFor(blocksMax) * sizeof(std::uint32_t) + (blocksMax + 1) * sizeof(Block);
  }
  // Takes `memory` of that many bytes, aligned to 64.
  void Place(std::byte* memory, std::size_t blocksMax) noexcept;
  void Clear() noexcept;

  // The quick forms answer null where the general ones must be asked: the home is taken, or no record is at
  // hand; the block is not at home, or its neighbour is not.
  Block* InsertQuickly(const void* ptr) noexcept {
    std::uint32_t& home = homes_[HomeOf(ptr)];
    const std::uint32_t number = firstFree_;
    if (home != 0 || number == 0) [[unlikely]]
      return nullptr;
    Block& block = blocks_[number];
    firstFree_ = block.nextFree;
    home = number;
    block.ptr = ptr;
    return &block;
  }
  // Removes the block if mayRemove(block). What it holds stays readable until the next insertion.
  template <class MayRemove>
  [[gnu::always_inline]] const Block* RemoveQuickly(const void* ptr, MayRemove mayRemove) noexcept {
    std::uint32_t* const home = &homes_[HomeOf(ptr)];
    const std::uint32_t number = *home;
    if (number == 0 || number >= kAway) [[unlikely]]
      return nullptr;
    Block& block = blocks_[number];
    if (block.ptr != ptr || home[1] >= kAway || !mayRemove(block)) [[unlikely]]
      return nullptr;
    *home = 0;
    block.nextFree = firstFree_;
    firstFree_ = number;
    return &block;
  }

  // `ptr` must not be in. Null when all records are taken.
  Block* Insert(const void* ptr) noexcept;
  // Null when `ptr` is not in.
  const Block* Remove(const void* ptr) noexcept;

  // Calls visit(block) for each, until it returns false.
  template <class Visit>
  void ForEach(Visit visit) const noexcept {
    for (const std::uint32_t home : homes_) {
      if (home != 0 && !visit(blocks_[home & ~kAway])) return;
    }
  }

 private:
  static constexpr std::size_t kHomesOfLine = 64 / sizeof(std::uint32_t);
  static constexpr std::uint32_t kAway = 0x8000'0000;  // bit of a number that does not stand in its own home

  // Four times as many homes as blocks, so that most blocks stand in theirs; and homes for those whose own is
  // the last of them, which are at most as many as all blocks.
  static constexpr std::size_t OwnHomesFor(std::size_t blocksMax) noexcept {
    return std::max(4 * blocksMax, kHomesOfLine);
  }
  static constexpr std::size_t HomesFor(std::size_t blocksMax) noexcept {
    return OwnHomesFor(blocksMax) + blocksMax / kHomesOfLine * kHomesOfLine + kHomesOfLine;
  }
  // The blocks of 256 bytes of addresses have their homes in one cache line, each 16 bytes another one. Which
  // line, and in which order, is hashed.
  std::size_t HomeOf(const void* ptr) const noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(ptr);
    const std::uint64_t hashed = ((address >> 8) * std::uint64_t{0x9E3779B97F4A7C15}) >> 32;
    return static_cast<std::size_t>((hashed & ownHomesMask_) ^ ((address >> 4) % kHomesOfLine));
  }
  // How far the owner of a taken home is from its own.
  std::size_t DistanceAt(std::size_t at) const noexcept {
    return homes_[at] < kAway ? 0 : at - HomeOf(blocks_[homes_[at] & ~kAway].ptr);
  }

  std::span<Block> blocks_;  // [0] is nobody's, since 0 is an empty home
  std::span<std::uint32_t> homes_;
  std::size_t ownHomesMask_ = 0;
  std::uint32_t firstFree_ = 0;
  std::uint32_t firstUnused_ = 1;
};

}  // namespace stadial::runtime
