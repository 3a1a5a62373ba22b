#include "stadial/arenas/arena_core.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "stadial/arenas/assert.h"
#include "stadial/arenas/byte_text.h"

namespace stadial::arenas {

alignas(kArenaGranularityBytes) std::byte ArenaCore::noMemory_[kArenaGranularityBytes] = {};

ArenaCore::ArenaCore(const ArenaOptions& options, std::byte* base, std::size_t sizeBytes,
                     std::source_location site) noexcept
    : name_(options.name), kind_(options.kind), remedy_(options.remedy), site_(site) {
  STADIAL_ASSERT(base != nullptr || sizeBytes == 0, "an arena needs memory");
  const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(base);
  const std::size_t skipped = (0 - first) & (kArenaGranularityBytes - 1);
  if (sizeBytes < skipped + kArenaGranularityBytes) return;  // not one unit: an arena of no bytes
  base_ = cursor_ = high_ = base + skipped;
  end_ = base_ + ((sizeBytes - skipped) & ~(kArenaGranularityBytes - 1));
#if STADIAL_ASSERT_LEVEL >= 2
  constexpr std::size_t kUnit = kArenaGranularityBytes;
  checks_.guardBytes_ = std::min((options.guardBytes + kUnit - 1) & ~(kUnit - 1), MemoryBytes());
  checks_.oneThread_ = options.oneThread;
#endif
  zeroFrom_ = options.isZeroed ? base_ : end_;
  PoisonFresh(base_, MemoryBytes());
}

void ArenaCore::MoveTo(std::byte* base) noexcept {
  STADIAL_ASSERT_COMPARE(reinterpret_cast<std::uintptr_t>(base) % kArenaGranularityBytes, ==,
                         std::uintptr_t{0}, "the new memory must be 16-aligned");
  STADIAL_ASSERT_COMPARE(UsedBytes(), ==, std::size_t{0}, "reset the arena before it moves");
  STADIAL_ASSERT(segment_ == nullptr, "a growing arena stays in its segment");
  const std::size_t bytes = MemoryBytes();
  const std::size_t peak = PeakBytes();
  base_ = cursor_ = base;
  end_ = base + bytes;
  high_ = base + peak;
  zeroFrom_ = end_;
#if STADIAL_ASSERT_LEVEL >= 2
  checks_.filledEnd_ = nullptr;  // nobody filled that memory
#endif
  PoisonFresh(base_, bytes);
}

void ArenaCore::MoveFrom(ArenaCore& other) noexcept {
  STADIAL_ASSERT(!isLent_ && !other.isLent_, "a lent arena must not be moved; close the ArenaCursor first");
  cursor_ = std::exchange(other.cursor_, noMemory_);
  end_ = std::exchange(other.end_, noMemory_);
  base_ = std::exchange(other.base_, noMemory_);
  high_ = std::exchange(other.high_, noMemory_);
  resetCount_ = std::exchange(other.resetCount_, 0);
  name_ = std::exchange(other.name_, "moved-from");
  kind_ = std::exchange(other.kind_, "");
  remedy_ = std::exchange(other.remedy_, "its memory went to another arena");
  site_ = other.site_;
  segment_ = std::exchange(other.segment_, nullptr);
  growthBytesMax_ = std::exchange(other.growthBytesMax_, 0);
  growthStepBytes_ = std::exchange(other.growthStepBytes_, 0);
  zeroFrom_ = std::exchange(other.zeroFrom_, noMemory_);
  growthCount_ = std::exchange(other.growthCount_, 0);
  isGrowthAllowed_ = std::exchange(other.isGrowthAllowed_, false);
  isGrowthRefused_ = std::exchange(other.isGrowthRefused_, false);
#if STADIAL_ASSERT_LEVEL >= 2
  checks_.TakeFrom(other.checks_);
#endif
}

void ArenaCore::Exhausted(std::size_t sizeBytes, std::size_t alignment) const noexcept {
  char aligned[48] = "";
  if (alignment > kArenaGranularityBytes) {
    std::snprintf(aligned, sizeof aligned, " at a multiple of %s", FormatBytes(alignment).Get());
  }
  char growth[96] = "";
  if (segment_ != nullptr) {
    const char* const why = !isGrowthAllowed_  ? "growth is sealed"
                            : isGrowthRefused_ ? "the system refused more memory"
                                               : "growth ended";
    std::snprintf(growth, sizeof growth, "%s, at most %s; ", why, FormatBytes(CapacityBytesMax()).Get());
  }
  const char* const remedy =
      isLent_ ? "what is left is lent to an ArenaCursor: allocate from that, or close it first" : remedy_;
  char line[1024];
  const int formatted = std::snprintf(line, sizeof line,
                                      "stadial: %s%sarena '%s' exhausted: asked %s%s, %s left of %s (peak %s "
                                      "in %u %s); %s%s [created at %s:%u]\n",
                                      kind_, kind_[0] == '\0' ? "" : " ", name_, FormatBytes(sizeBytes).Get(),
                                      aligned, FormatBytes(RemainingBytes()).Get(),
                                      FormatBytes(CapacityBytes()).Get(), FormatBytes(PeakBytes()).Get(),
                                      resetCount_ + 1, std::strcmp(kind_, "frame") == 0 ? "frames" : "uses",
                                      growth, remedy, site_.file_name(), static_cast<unsigned>(site_.line()));
  if (formatted > 0) {
    const auto length = static_cast<std::size_t>(formatted);
    [[maybe_unused]] const auto written =
        ::write(STDERR_FILENO, line, length < sizeof line ? length : sizeof line - 1);
  }
  std::abort();
}

}  // namespace stadial::arenas
