#include "tracked_blocks.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "stadial/arenas/assert.h"

namespace stadial::runtime {

void TrackedBlocks::Place(std::byte* memory, std::size_t blocksMax) noexcept {
  STADIAL_ASSERT(std::has_single_bit(blocksMax), "the number of blocks must be a power of two");
  homes_ = {reinterpret_cast<std::uint32_t*>(memory), HomesFor(blocksMax)};
  blocks_ = {reinterpret_cast<Block*>(memory + homes_.size_bytes()), blocksMax + 1};
  ownHomesMask_ = OwnHomesFor(blocksMax) - 1;
}

void TrackedBlocks::Clear() noexcept {
  std::fill(homes_.begin(), homes_.end(), 0u);
  firstFree_ = 0;
  firstUnused_ = 1;
}

TrackedBlocks::Block* TrackedBlocks::Insert(const void* ptr) noexcept {
  const std::uint32_t number = firstFree_ != 0 ? firstFree_ : firstUnused_;
  if (number == blocks_.size()) return nullptr;
  Block& block = blocks_[number];
  if (firstFree_ != 0) {
    firstFree_ = block.nextFree;
  } else {
    ++firstUnused_;
  }
  block.ptr = ptr;
  std::uint32_t homeless = number;
  std::size_t distance = 0;
  for (std::size_t at = HomeOf(ptr);; ++at, ++distance) {
    const std::uint32_t taken = homes_[at];
    const std::size_t theirs = taken == 0 ? 0 : DistanceAt(at);
    if (taken != 0 && theirs >= distance) continue;
    homes_[at] = homeless | (distance != 0 ? kAway : 0);
    if (taken == 0) return &block;
    homeless = taken & ~kAway;
    distance = theirs;
  }
}

const TrackedBlocks::Block* TrackedBlocks::Remove(const void* ptr) noexcept {
  std::size_t at = HomeOf(ptr);
  while (homes_[at] != 0 && blocks_[homes_[at] & ~kAway].ptr != ptr) ++at;
  if (homes_[at] == 0) return nullptr;
  const std::uint32_t number = homes_[at] & ~kAway;
  // Those that are away from home come one home nearer.
  for (; homes_[at + 1] >= kAway; ++at)
    homes_[at] = DistanceAt(at + 1) == 1 ? homes_[at + 1] & ~kAway : homes_[at + 1];
  homes_[at] = 0;
  Block& block = blocks_[number];
  block.nextFree = firstFree_;
  firstFree_ = number;
  return &block;
}

}  // namespace stadial::runtime
