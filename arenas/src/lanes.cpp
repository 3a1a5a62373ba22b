#include "stadial/arenas/lanes.h"

#include <algorithm>
#include <atomic>

#include "stadial/arenas/byte_text.h"
#include "stadial/arenas/virtual_memory.h"

namespace stadial::arenas {

Result<LaneSet> LaneSet::Carve(const LaneOptions& options, std::byte* base, std::size_t bytes,
                               Arena& tableMemory, std::source_location site) {
  const char* const name = options.name;
  const std::uint32_t laneCount = options.count;
  STADIAL_ASSERT(name != nullptr && options.remedy != nullptr, "lanes need a name and a remedy");
  const std::size_t guardBytes = kArenaChecks ? options.guardBytes : 0;
  const std::size_t laneBytes = laneCount == 0 ? 0 : bytes / laneCount / PageSize() * PageSize();
  if (base == nullptr || laneBytes == 0) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "%s lanes: %s for %u lanes is less than a page (%s) each; give more bytes or fewer lanes", name,
        FormatBytes(base == nullptr ? 0 : bytes).Get(), laneCount, FormatBytes(PageSize()).Get());
  }
  if (laneBytes <= guardBytes) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "%s lanes: each lane has %s and its guards take %s; lower the guard bytes or give more", name,
        FormatBytes(laneBytes).Get(), FormatBytes(guardBytes).Get());
  }
  const ArenaMark mark = tableMemory.Mark();
  void* const table = tableMemory.TryAllocate(sizeof(Arena) * laneCount, alignof(Arena));
  // "lane 4294967295" and its zero, rounded to the arena's granularity.
  constexpr std::size_t kLaneNameBytes = 16;
  if (table == nullptr || tableMemory.RemainingBytes() / kLaneNameBytes < laneCount) {
    tableMemory.RewindTo(mark);
    return Error::Format(ErrorCode::CapacityExceeded,
                         "%s lanes: the table of %u lanes needs %s, arena '%s' has %s left; raise that arena",
                         name, laneCount, FormatBytes((sizeof(Arena) + kLaneNameBytes) * laneCount).Get(),
                         tableMemory.Name(), FormatBytes(tableMemory.RemainingBytes()).Get());
  }
  Arena* const lanes = static_cast<Arena*>(table);
  for (std::uint32_t index = 0; index < laneCount; ++index) {
    const ArenaOptions laneOptions{.name = tableMemory.Format("lane %u", index),
                                   .kind = name,
                                   .remedy = options.remedy,
                                   .guardBytes = guardBytes,
                                   .oneThread = true};
    ::new (static_cast<void*>(lanes + index)) Arena(laneOptions, base + laneBytes * index, laneBytes, site);
  }
  return LaneSet(lanes, laneCount);
}

void LaneSet::ResetAll(std::source_location site) const noexcept {
  Arena* const end = lanes_ + count_;
  for (Arena* lane = lanes_; lane != end; ++lane) {
    lane->Reset(site);
    // GCC would make two passes of the loop, the reset counts in the second.
    std::atomic_signal_fence(std::memory_order_seq_cst);
  }
}

void LaneSet::MoveAll(std::byte* base) const noexcept {
  if (count_ == 0) return;
  const std::byte* const present = lanes_[0].Base();  // lane 0 comes first
  for (std::uint32_t index = 0; index < count_; ++index) {
    lanes_[index].MoveTo(base + (lanes_[index].Base() - present));
  }
}

std::size_t LaneSet::UsedBytes() const noexcept {
  std::size_t bytes = 0;
  for (std::uint32_t index = 0; index < count_; ++index) bytes += lanes_[index].UsedBytes();
  return bytes;
}

std::size_t LaneSet::PeakBytes() const noexcept {
  std::size_t bytes = 0;
  for (std::uint32_t index = 0; index < count_; ++index) bytes += lanes_[index].PeakBytes();
  return bytes;
}

std::size_t LaneSet::CapacityBytes() const noexcept {
  std::size_t bytes = 0;
  for (std::uint32_t index = 0; index < count_; ++index) bytes += lanes_[index].CapacityBytes();
  return bytes;
}

std::size_t LaneSet::LanePeakBytesMax() const noexcept {
  std::size_t bytes = 0;
  for (std::uint32_t index = 0; index < count_; ++index) bytes = std::max(bytes, lanes_[index].PeakBytes());
  return bytes;
}

}  // namespace stadial::arenas
