#include <algorithm>

#include "stadial/arenas/byte_text.h"
#include "stadial/arenas/region.h"

namespace stadial::arenas {

Error Segment::WithName(const Error& error) const noexcept {
  return Error::Format(error.Code(), "segment '%s': %s", name_, error.Message());
}

// SIZE_MAX rounds down instead of wrapping to 0, and is then refused.
std::size_t Segment::RoundUpToSteps(std::size_t bytes) const noexcept {
  const std::size_t mask = stepBytes_ - 1;
  return bytes > SIZE_MAX - mask ? SIZE_MAX & ~mask : (bytes + mask) & ~mask;
}

Result<void> Segment::Commit(std::size_t prefixBytes) {
  const std::size_t wanted = RoundUpToSteps(prefixBytes);
  if (wanted > reservedBytes_) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "segment '%s': asked to commit %s of %s reserved; raise the segment's size", name_,
                         FormatBytes(prefixBytes).Get(), FormatBytes(reservedBytes_).Get());
  }
  if (wanted <= committedBytes_) return {};
  STADIAL_ASSERT(access_ == PageAccess::ReadWrite,
                 "Protect(ReadWrite) before more of the segment is committed");
  const auto committed = CommitPages(base_ + committedBytes_, wanted - committedBytes_, isInDumps_);
  if (!committed) return WithName(committed.GetError());
  committedBytes_ = wanted;
  committedBytesPeak_ = std::max(committedBytesPeak_, wanted);
  ++commits_;
  return {};
}

Result<void> Segment::Decommit(const DecommitOptions& options) {
  const std::size_t keep = RoundUpToSteps(options.keepBytes);
  if (keep >= committedBytes_) return {};
  if (committedBytes_ - keep <= options.slackBytes) {
    ++decommitsDeferred_;
    return {};
  }
  // Below the committed bytes, since half of the slack is less than what stands behind `keep`; rounding it up
  // to a step may reach them.
  const std::size_t left = keep + RoundUpToSteps(options.slackBytes / 2);
  if (left >= committedBytes_) {
    ++decommitsDeferred_;
    return {};
  }
  STADIAL_RETURN_IF_ERROR(CheckUnpinned(left, "decommitting"));
  LiftPoison(base_ + left, committedBytes_ - left);
  const auto decommitted = DecommitPages(base_ + left, committedBytes_ - left);
  if (!decommitted) return WithName(decommitted.GetError());
  committedBytes_ = left;
  if (left == 0) access_ = PageAccess::ReadWrite;
  ++decommits_;
  return {};
}

Result<void> Segment::Protect(PageAccess access) {
  if (access == PageAccess::None) STADIAL_RETURN_IF_ERROR(CheckUnpinned(0, "making inaccessible"));
  const auto result = ProtectPages(base_, committedBytes_, access);
  if (!result) return WithName(result.GetError());
  access_ = access;
  return {};
}

Result<void> Segment::Prefault() {
  STADIAL_ASSERT(access_ == PageAccess::ReadWrite, "Protect(ReadWrite) before its pages are faulted in");
  const auto result = PrefaultPages(base_, committedBytes_);
  if (!result) return WithName(result.GetError());
  return {};
}

Result<std::size_t> Segment::CalculateHugeBytes() const {
  auto result = arenas::CalculateHugeBytes(base_, reservedBytes_);
  if (!result) return WithName(result.GetError());
  return result.Value();
}

// --- pins ---

Result<void> Segment::CheckUnpinned(std::size_t prefixBytes, const char* operation) const {
  for (const PinRecord& pin : pins_) {
    if (pin.segment != this || pin.offsetBytes + pin.sizeBytes <= prefixBytes) continue;
    return Error::Format(ErrorCode::WrongPhase,
                         "segment '%s': %s all but the first %s is refused: %s at offset %zu are pinned by "
                         "'%s'; unpin them first, or keep at least %zu bytes",
                         name_, operation, FormatBytes(prefixBytes).Get(), FormatBytes(pin.sizeBytes).Get(),
                         pin.offsetBytes, pin.who, pin.offsetBytes + pin.sizeBytes);
  }
  return {};
}

Result<SegmentPin> Segment::Pin(std::size_t offsetBytes, std::size_t sizeBytes, const char* who) {
  STADIAL_ASSERT(who != nullptr, "a pin names its owner");
  if (sizeBytes == 0 || offsetBytes > committedBytes_ || sizeBytes > committedBytes_ - offsetBytes) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "segment '%s': '%s' asks to pin %s at offset %zu, but %s are committed; commit them "
                         "first, and pin at least a byte",
                         name_, who, FormatBytes(sizeBytes).Get(), offsetBytes,
                         FormatBytes(committedBytes_).Get());
  }
  if (access_ == PageAccess::None) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "segment '%s': '%s' asks to pin %s, but it is inaccessible; Protect it otherwise first", name_, who,
        FormatBytes(sizeBytes).Get());
  }
  const auto unused =
      std::find_if(pins_.begin(), pins_.end(), [](const PinRecord& pin) { return pin.segment == nullptr; });
  if (unused == pins_.end()) {
    return Error::Format(
        ErrorCode::CapacityExceeded,
        "segment '%s': '%s' asks to pin %s, but all %zu pins of the region are in use; raise "
        "RegionOptions::pinsMax",
        name_, who, FormatBytes(sizeBytes).Get(), pins_.size());
  }
  *unused = {.segment = this,
             .who = who,
             .offsetBytes = offsetBytes,
             .sizeBytes = sizeBytes,
             .generation = unused->generation + 1};
  return SegmentPin(static_cast<std::uint32_t>(unused - pins_.begin()), unused->generation);
}

void Segment::Unpin(SegmentPin pin) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(pin.index_, <, pins_.size(), "no such pin");
  PinRecord& record = pins_[pin.index_];
  STADIAL_ASSERT_COMPARE_ALWAYS(record.generation, ==, pin.generation_, "the pin was lifted already");
  STADIAL_ASSERT_ALWAYS(record.segment == this, "the pin belongs to another segment");
  record = {.generation = record.generation + 1};
}

SegmentStats Segment::Stats() const noexcept {
  SegmentStats stats{.reservedBytes = reservedBytes_,
                     .committedBytes = committedBytes_,
                     .committedBytesPeak = committedBytesPeak_,
                     .commits = commits_,
                     .decommits = decommits_,
                     .decommitsDeferred = decommitsDeferred_,
                     .hugePages = hugePages_,
                     .isHugePagesRefused = isHugePagesRefused_};
  for (const PinRecord& pin : pins_) {
    if (pin.segment != this) continue;
    stats.pinnedBytes += pin.sizeBytes;
    ++stats.pins;
  }
  return stats;
}

// --- arenas ---

Arena Segment::MakeArena(const ArenaOptions& options, std::size_t offsetBytes, std::size_t sizeBytes,
                         std::source_location site) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(offsetBytes, <=, committedBytes_,
                                "the arena starts beyond the committed bytes");
  STADIAL_ASSERT_COMPARE_ALWAYS(sizeBytes, <=, committedBytes_ - offsetBytes,
                                "commit the segment before its arena");
  return Arena(options, base_ + offsetBytes, sizeBytes, site);
}

Arena Segment::MakeGrowingArena(const ArenaOptions& options, const GrowthOptions& growth,
                                std::size_t offsetBytes, std::source_location site) noexcept {
  STADIAL_ASSERT_COMPARE_ALWAYS(offsetBytes, <=, committedBytes_,
                                "the arena starts beyond the committed bytes");
  STADIAL_ASSERT_COMPARE_ALWAYS(offsetBytes % kArenaGranularityBytes, ==, std::size_t{0},
                                "a growing arena starts at a multiple of 16");
  const std::size_t capacityMax =
      std::min(growth.capacityBytesMax & ~(kArenaGranularityBytes - 1), reservedBytes_ - offsetBytes);
  Arena arena(options, base_ + offsetBytes, std::min(committedBytes_ - offsetBytes, capacityMax), site);
  arena.GrowOver(*this, base_ + offsetBytes, capacityMax, growth.stepBytes);
  return arena;
}

}  // namespace stadial::arenas
