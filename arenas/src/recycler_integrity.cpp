#include "recycler_block.h"

#include <mutex>

namespace stadial::arenas {

std::uint64_t Recycler::CheckIntegrity() const noexcept {
  const std::lock_guard lock(lock_);
  std::uint64_t blocks = 0;
  std::uint64_t liveBlocks = 0;
  std::uint64_t liveBytes = 0;
  std::uint64_t freeBlocks = 0;
  std::uint64_t freeBytes = 0;
  std::uint64_t quickUnits = 0;
  std::uint32_t previousUnits = 0;
  bool previousFree = false;
  for (std::uint32_t unit = 0; unit < carvedUnits_; ++blocks) {
    const Header* const header = At(unit);
    const bool isFree = IsFree(header);
    const bool isQuick = header->magic == (kQuickMagic ^ unit);
    STADIAL_ASSERT_ALWAYS(isFree || isQuick || header->magic == (kLiveMagic ^ unit),
                          "a block is live or free");
    STADIAL_ASSERT_COMPARE_ALWAYS(header->units, >=, kBlockUnitsMin, "block too small");
    STADIAL_ASSERT_COMPARE_ALWAYS(header->previousUnits, ==, previousUnits, "back reference broken");
    STADIAL_ASSERT_ALWAYS(!(isFree && previousFree), "free neighbours are merged");
    if (unit + header->units == carvedUnits_) {
      STADIAL_ASSERT_COMPARE_ALWAYS(lastUnit_, ==, unit, "the last block is known");
    }
    freeBlocks += isFree ? 1 : 0;
    freeBytes += isFree || isQuick ? std::size_t{header->units} * kUnitBytes : 0;
    quickUnits += isQuick ? header->units : 0;
    liveBlocks += isFree || isQuick ? 0 : 1;
    liveBytes += isFree || isQuick ? 0 : header->RequestedBytes();
    previousUnits = header->units;
    previousFree = isFree;
    unit += header->units;
    STADIAL_ASSERT_COMPARE_ALWAYS(unit, <=, carvedUnits_, "blocks tile the carved part");
  }
  std::uint64_t linkedBlocks = 0;
  for (unsigned first = 0; first < kFirstLevels; ++first) {
    STADIAL_ASSERT_COMPARE_ALWAYS((firstLevelMap_ >> first & 1u) != 0, ==, secondLevelMap_[first] != 0,
                                  "first map");
    for (unsigned second = 0; second < kSecondLevels; ++second) {
      const bool mapped = (secondLevelMap_[first] >> second & 1) != 0;
      STADIAL_ASSERT_COMPARE_ALWAYS(mapped, ==, heads_[first][second] != kNoUnit, "second map");
      std::uint32_t before = kNoUnit;
      for (std::uint32_t unit = heads_[first][second]; unit != kNoUnit; ++linkedBlocks) {
        const SizeClass actual = ClassOf(At(unit)->units);
        STADIAL_ASSERT_ALWAYS(IsFree(At(unit)), "a linked block is free");
        STADIAL_ASSERT_ALWAYS(actual.first == first && actual.second == second, "a block hangs in its class");
        STADIAL_ASSERT_COMPARE_ALWAYS(At(unit)->Links()->previous, ==, before, "links are mutual");
        before = unit;
        unit = At(unit)->Links()->next;
      }
    }
  }
  STADIAL_ASSERT_COMPARE_ALWAYS(linkedBlocks, ==, freeBlocks, "every free block is linked once");
  STADIAL_ASSERT_COMPARE_ALWAYS(liveBlocks, ==, stats_.liveBlocks, "live blocks");
  STADIAL_ASSERT_COMPARE_ALWAYS(liveBytes, ==, stats_.liveBytes, "live bytes");
  STADIAL_ASSERT_COMPARE_ALWAYS(freeBytes, ==, stats_.freeBytes, "free bytes");
  STADIAL_ASSERT_COMPARE_ALWAYS(quickUnits, ==, std::uint64_t{quickUnits_}, "units set aside");
  return blocks;
}

}  // namespace stadial::arenas
