// Growth by commit-ahead, and memory that is zero already.
#include <algorithm>
#include <cstring>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/region.h"

namespace stadial::arenas {

void ArenaCore::GrowOver(Segment& segment, std::byte* base, std::size_t bytesMax,
                         std::size_t stepBytes) noexcept {
  // Also an arena that has no bytes yet stands where its first one will be.
  if (MemoryBytes() == 0) base_ = cursor_ = high_ = end_ = zeroFrom_ = base;
  STADIAL_ASSERT_COMPARE(static_cast<const void*>(base_), ==, static_cast<const void*>(base),
                         "a growing arena begins at a multiple of 16");
  segment_ = &segment;
  growthBytesMax_ = bytesMax;
  growthStepBytes_ = stepBytes;
  isGrowthAllowed_ = true;
}

std::byte* ArenaCore::MakeRoom(std::size_t sizeBytes, std::size_t alignment) noexcept {
  std::byte* const start = TryMakeRoom(sizeBytes, alignment);
  if (start == nullptr) Exhausted(sizeBytes, alignment);
  return start;
}

std::byte* ArenaCore::TryMakeRoom(std::size_t sizeBytes, std::size_t alignment) noexcept {
  if (!Grow(sizeBytes, alignment)) return nullptr;
  return cursor_ + ((0 - reinterpret_cast<std::uintptr_t>(cursor_)) & (alignment - 1));
}

std::byte* ArenaCore::AllocateInNewRoom(std::size_t sizeBytes, std::size_t alignment, bool mustFit) noexcept {
  std::byte* const start = mustFit ? MakeRoom(sizeBytes, alignment) : TryMakeRoom(sizeBytes, alignment);
  if (start == nullptr) return nullptr;
  cursor_ = start + RoundUpToGranularity(sizeBytes);
  OpenAllocation(start, sizeBytes);
  return start;
}

bool ArenaCore::Grow(std::size_t sizeBytes, std::size_t alignment) noexcept {
  if (!CanGrow()) return false;
  const std::size_t padding = (0 - reinterpret_cast<std::uintptr_t>(PlainCursor())) & (alignment - 1);
  const std::size_t present = MemoryBytes();
  const std::size_t room = growthBytesMax_ - present + RemainingBytes();
  if (padding > room || sizeBytes > room - padding) return false;
  const std::size_t needed = present + (padding + sizeBytes - RemainingBytes());
  if (needed <= present) return false;  // it fits: refused for another reason

  // More than is needed, so that the next allocations find it there; only what is needed when that is
  // refused.
  const std::size_t ahead =
      growthBytesMax_ - present > growthStepBytes_ ? present + growthStepBytes_ : growthBytesMax_;
  const auto offset = static_cast<std::size_t>(base_ - segment_->Base());
  const std::size_t committed = segment_->CommittedBytes();
  STADIAL_ASSERT_COMPARE(committed, >=, offset + present,
                         "the segment was decommitted under its growing arena; use Arena::Shrink");
  isGrowthRefused_ = STADIAL_EFFECTS_REVIEWED(
      "pages of its own segment, where AllowGrowth permits it",
      !segment_->Commit(offset + std::max(needed, ahead)) && !segment_->Commit(offset + needed));
  if (isGrowthRefused_) return false;

  std::byte* const oldEnd = end_;
  end_ = base_ + std::min(growthBytesMax_, segment_->CommittedBytes() - offset);
  // What somebody else had committed is not known to be zero.
  if (committed != offset + present)
    zeroFrom_ = std::max(oldEnd, std::min(end_, segment_->Base() + committed));
  PoisonFresh(oldEnd, static_cast<std::size_t>(end_ - oldEnd));
  ++growthCount_;
  return true;
}

Result<void> ArenaCore::Shrink(std::size_t keepBytes, std::size_t slackBytes) {
  STADIAL_ASSERT_ALWAYS(segment_ != nullptr, "only a growing arena gives memory back");
  const auto offset = static_cast<std::size_t>(base_ - segment_->Base());
  // Guards count as used, and are capacity on top of what is to be kept.
  const std::size_t keep = std::max(std::min(keepBytes, growthBytesMax_) + checks_.GuardBytes(),
                                    static_cast<std::size_t>(cursor_ - base_));
  STADIAL_RETURN_IF_ERROR(segment_->Decommit({.keepBytes = offset + keep, .slackBytes = slackBytes}));
  const std::size_t left = segment_->CommittedBytes() - offset;
  if (left < MemoryBytes()) {
    end_ = base_ + left;
    zeroFrom_ = std::min(zeroFrom_, end_);
#if STADIAL_ASSERT_LEVEL >= 2
    checks_.filledEnd_ = std::min(checks_.filledEnd_, end_);
#endif
  }
  return {};
}

// Known to be zero: at or above zeroFrom_, and above everything that was handed out before. A guard is
// written above what it guards, so with guards nothing is known.
void* ArenaCore::Zero(void* memory, std::size_t sizeBytes) noexcept {
  std::byte* const begin = static_cast<std::byte*>(memory);
  std::byte* known = std::max(zeroFrom_, high_);
  if (checks_.GuardBytes() != 0) known = end_;
  const std::size_t written =
      known <= begin ? 0 : std::min(sizeBytes, static_cast<std::size_t>(known - begin));
  if (written != 0) std::memset(begin, 0, written);
  MarkInitialized(begin + written, sizeBytes - written);
  return memory;
}

}  // namespace stadial::arenas
