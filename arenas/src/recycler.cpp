#include "recycler_block.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

#include "stadial/arenas/poison.h"

namespace stadial::arenas {
namespace {

// A search for an aligned block looks at this many candidates before it takes one that fits in any case.
constexpr unsigned kAlignedCandidatesMax = 32;
// Blocks set aside are merged once they make up this share of what was carved and something must be found.
constexpr std::uint32_t kQuickShare = 8;

}  // namespace

Recycler::Recycler(const char* name, Segment& segment) noexcept
    : Recycler(name, segment.Base(), segment.CommittedBytes()) {}

Recycler::Recycler(const char* name, std::byte* base, std::size_t bytes) noexcept : name_(name) {
  static_assert(sizeof(Header) == kUnitBytes && sizeof(FreeLinks) <= kUnitBytes);
  STADIAL_ASSERT_COMPARE_ALWAYS(bytes, >=, std::size_t{64}, "a recycler needs committed memory");
  const std::size_t skipped = (0 - reinterpret_cast<std::uintptr_t>(base)) & (kUnitBytes - 1);
  base_ = base + skipped;
  const std::size_t units = (bytes - skipped) / kUnitBytes;
  unitCount_ = static_cast<std::uint32_t>(std::min<std::size_t>(units, kBlockUnitsMax));
  end_ = base_ + std::size_t{unitCount_} * kUnitBytes;
  headroomUnits_ = unitCount_;
  for (auto& level : heads_) std::fill(std::begin(level), std::end(level), kNoUnit);
  for (auto& heads : quickHeads_) std::fill(std::begin(heads), std::end(heads), kNoUnit);
  stats_.capacityBytes = std::size_t{unitCount_} * kUnitBytes;
  PoisonFresh(base_, stats_.capacityBytes);
}

Recycler::~Recycler() { LiftPoison(base_, stats_.capacityBytes); }

// --- blocks and their order in memory ---

Recycler::Header* Recycler::At(std::uint32_t unit) const noexcept {
  return reinterpret_cast<Header*>(base_ + std::size_t{unit} * kUnitBytes);
}

std::uint32_t Recycler::UnitOf(const Header* header) const noexcept {
  return static_cast<std::uint32_t>(
      static_cast<std::size_t>(reinterpret_cast<const std::byte*>(header) - base_) / kUnitBytes);
}

Recycler::Header* Recycler::NextOf(const Header* header) const noexcept {
  const std::uint32_t next = UnitOf(header) + header->units;
  return next == carvedUnits_ ? nullptr : At(next);
}

bool Recycler::IsFree(const Header* header) const noexcept {
  return header->magic == (kFreeMagic ^ UnitOf(header));
}

Recycler::Header* Recycler::NewHeader(std::uint32_t unit, std::uint32_t units,
                                      std::uint32_t previousUnits) noexcept {
  LiftPoison(At(unit), sizeof(Header) + sizeof(FreeLinks));
  return ::new (static_cast<void*>(At(unit)))
      Header{.magic = kFreeMagic ^ unit, .units = units, .previousUnits = previousUnits, .slackBytes = 0};
}

// Keeps the back reference of the following block, or the position of the last one, true.
void Recycler::SetUnits(Header* header, std::uint32_t units) noexcept {
  STADIAL_ASSERT_COMPARE(units, >=, kBlockUnitsMin, "a block is at least a header and its links");
  header->units = units;
  if (Header* const next = NextOf(header); next != nullptr) {
    next->previousUnits = units;
  } else {
    lastUnit_ = UnitOf(header);
  }
}

// --- size classes ---

Recycler::SizeClass Recycler::ClassOf(std::uint32_t units) noexcept {
  if (units < kSecondLevels) return {0, units};
  const unsigned top = static_cast<unsigned>(std::bit_width(units)) - 1;
  return {top - kSecondLevelBits + 1, (units >> (top - kSecondLevelBits)) & (kSecondLevels - 1)};
}

// The block size for a request: header and payload, rounded up to the next class, so that every block of a
// class fits every request of that class.
std::uint32_t Recycler::UnitsFor(std::size_t sizeBytes) noexcept {
  if (sizeBytes > (std::size_t{kBlockUnitsMax} - 2 * kSecondLevels) * kUnitBytes / 2) return kBlockUnitsMax;
  const auto units = static_cast<std::uint32_t>(1 + (sizeBytes + kUnitBytes - 1) / kUnitBytes);
  if (units < kSecondLevels) return std::max(units, kBlockUnitsMin);
  const unsigned top = static_cast<unsigned>(std::bit_width(units)) - 1;
  const std::uint32_t step = std::uint32_t{1} << (top - kSecondLevelBits);
  return (units + step - 1) & ~(step - 1);
}

void Recycler::LinkFree(Header* header) noexcept {
  const std::uint32_t unit = UnitOf(header);
  const auto [first, second] = ClassOf(header->units);
  header->magic = kFreeMagic ^ unit;
  const std::uint32_t next = heads_[first][second];
  *header->Links() = {.next = next, .previous = kNoUnit};
  if (next != kNoUnit) At(next)->Links()->previous = unit;
  heads_[first][second] = unit;
  firstLevelMap_ |= std::uint32_t{1} << first;
  secondLevelMap_[first] = static_cast<std::uint16_t>(secondLevelMap_[first] | (1u << second));
  stats_.freeBytes += std::size_t{header->units} * kUnitBytes;
}

void Recycler::UnlinkFree(Header* header) noexcept {
  STADIAL_ASSERT(IsFree(header), "the free lists hold free blocks only");
  const auto [first, second] = ClassOf(header->units);
  const FreeLinks links = *header->Links();
  if (links.next != kNoUnit) At(links.next)->Links()->previous = links.previous;
  if (links.previous != kNoUnit) {
    At(links.previous)->Links()->next = links.next;
  } else {
    heads_[first][second] = links.next;
    if (links.next == kNoUnit) {
      secondLevelMap_[first] = static_cast<std::uint16_t>(secondLevelMap_[first] & ~(1u << second));
      if (secondLevelMap_[first] == 0) firstLevelMap_ &= ~(std::uint32_t{1} << first);
    }
  }
  stats_.freeBytes -= std::size_t{header->units} * kUnitBytes;
}

// Moves `from` to the first class at or above it that holds a block.
bool Recycler::NextClassInUse(SizeClass& from) const noexcept {
  const unsigned seconds =
      from.second >= kSecondLevels ? 0 : secondLevelMap_[from.first] & (~0u << from.second);
  if (seconds != 0) {
    from.second = static_cast<unsigned>(std::countr_zero(seconds));
    return true;
  }
  const std::uint32_t firsts =
      from.first >= 31 ? 0 : firstLevelMap_ & (~std::uint32_t{0} << (from.first + 1));
  if (firsts == 0) return false;
  from.first = static_cast<unsigned>(std::countr_zero(firsts));
  from.second = static_cast<unsigned>(std::countr_zero(static_cast<unsigned>(secondLevelMap_[from.first])));
  return true;
}

// --- finding room ---

// Units to leave in front of a block at `unit` so that its payload is aligned: none, or enough for a free
// block.
std::uint32_t Recycler::PaddingUnits(std::uint32_t unit, std::size_t alignment) const noexcept {
  const std::uintptr_t payload =
      reinterpret_cast<std::uintptr_t>(base_) + (std::size_t{unit} + 1) * kUnitBytes;
  auto padding = static_cast<std::uint32_t>(((0 - payload) & (alignment - 1)) / kUnitBytes);
  if (padding != 0 && padding < kBlockUnitsMin) padding += static_cast<std::uint32_t>(alignment / kUnitBytes);
  return padding;
}

Recycler::Header* Recycler::FindRecycled(std::uint32_t units, std::size_t alignment) const noexcept {
  SizeClass from = ClassOf(units);
  if (alignment > kUnitBytes) {
    // Often a block freed by an equal request lies ready at the right place: look at a few before paying for
    // the worst case of padding.
    unsigned candidates = 0;
    for (SizeClass each = from; candidates < kAlignedCandidatesMax && NextClassInUse(each); ++each.second) {
      for (std::uint32_t unit = heads_[each.first][each.second];
           unit != kNoUnit && candidates < kAlignedCandidatesMax;
           unit = At(unit)->Links()->next, ++candidates) {
        if (At(unit)->units >= units + PaddingUnits(unit, alignment)) return At(unit);
      }
    }
    const std::size_t worst = std::size_t{units} + alignment / kUnitBytes + 1;
    from = ClassOf(UnitsFor((worst - 1) * kUnitBytes));
  }
  return NextClassInUse(from) ? At(heads_[from.first][from.second]) : nullptr;
}

Recycler::Header* Recycler::TakeRecycled(std::uint32_t units, std::size_t alignment) noexcept {
  Header* const block = FindRecycled(units, alignment);
  if (block != nullptr) UnlinkFree(block);
  return block;
}

// A free block big enough for the request, made of bytes never handed out yet (and the free block before
// them). Not linked anywhere. nullptr when neither the memory nor the headroom has that much left.
Recycler::Header* Recycler::Carve(std::uint32_t units, std::size_t alignment) noexcept {
  Header* const last = carvedUnits_ == 0 ? nullptr : At(lastUnit_);
  const bool extend = last != nullptr && IsFree(last);
  const std::uint32_t start = extend ? lastUnit_ : carvedUnits_;
  const std::size_t end = std::size_t{start} + PaddingUnits(start, alignment) + units;
  const std::size_t fresh = end > carvedUnits_ ? end - carvedUnits_ : 0;
  if (fresh > std::size_t{unitCount_} - carvedUnits_ || fresh > headroomUnits_) return nullptr;
  Header* block = last;
  if (extend) {
    UnlinkFree(last);
  } else {
    block = NewHeader(start, static_cast<std::uint32_t>(fresh), last == nullptr ? 0 : last->units);
    lastUnit_ = start;
  }
  const auto freshUnits = static_cast<std::uint32_t>(fresh);
  carvedUnits_ += freshUnits;
  headroomUnits_ -= freshUnits;
  if (extend) block->units += freshUnits;
  stats_.carvedBytes = std::size_t{carvedUnits_} * kUnitBytes;
  return block;
}

// Cuts the part for the request out of an unlinked free block; the rest in front and behind becomes free
// blocks.
Recycler::Header* Recycler::CutToFit(Header* header, std::uint32_t units, std::size_t alignment) noexcept {
  const std::uint32_t unit = UnitOf(header);
  const std::uint32_t padding = PaddingUnits(unit, alignment);
  STADIAL_ASSERT_COMPARE(header->units, >=, padding + units, "the block found does not fit the request");
  if (padding != 0) {
    Header* const rest = NewHeader(unit + padding, header->units - padding, padding);
    SetUnits(rest, rest->units);
    header->units = padding;
    LinkFree(header);  // what precedes it is live: free neighbours are always merged
    header = rest;
  }
  header->magic = kLiveMagic ^ UnitOf(header);  // before the tail looks for free neighbours
  SplitTail(header, units);
  return header;
}

// Shrinks the block to `units` if what remains can be a block.
void Recycler::SplitTail(Header* header, std::uint32_t units) noexcept {
  if (header->units < units + kBlockUnitsMin) return;
  const std::uint32_t rest = header->units - units;
  Header* const tail = NewHeader(UnitOf(header) + units, rest, units);
  header->units = units;
  SetUnits(tail, rest);
  MergeAndLink(tail);
}

// Joins a block that becomes free with its free neighbours.
void Recycler::MergeAndLink(Header* header) noexcept {
  if (Header* const next = NextOf(header); next != nullptr && IsFree(next)) {
    UnlinkFree(next);
    SetUnits(header, header->units + next->units);
  }
  if (header->previousUnits != 0) {
    Header* const previous = At(UnitOf(header) - header->previousUnits);
    if (IsFree(previous)) {
      UnlinkFree(previous);
      // The header that disappears keeps saying "free", so that freeing its block again is recognised.
      header->magic = kFreeMagic ^ UnitOf(header);
      SetUnits(previous, previous->units + header->units);
      header = previous;
    }
  }
  LinkFree(header);
}

// --- blocks set aside: freed, not merged, ready for the next request of their class ---

unsigned Recycler::QuickAlignment(std::uintptr_t addressOrAlignment) noexcept {
  constexpr unsigned kUnitBits = std::countr_zero(kUnitBytes);
  const auto bits = static_cast<unsigned>(std::countr_zero(addressOrAlignment));
  return std::clamp(bits, kUnitBits, kUnitBits + kQuickAlignments - 1) - kUnitBits;
}

void Recycler::PushQuick(Header* header) noexcept {
  const std::uint32_t unit = UnitOf(header);
  const unsigned sizeClass = QuickClass(ClassOf(header->units));
  const unsigned alignment = QuickAlignment(reinterpret_cast<std::uintptr_t>(header->Payload()));
  header->magic = kQuickMagic ^ unit;
  header->Links()->next = quickHeads_[sizeClass][alignment];
  quickHeads_[sizeClass][alignment] = unit;
  quickMap_[sizeClass] = static_cast<std::uint16_t>(quickMap_[sizeClass] | (1u << alignment));
  quickUnits_ += header->units;
  stats_.freeBytes += std::size_t{header->units} * kUnitBytes;
}

Recycler::Header* Recycler::PopQuick(std::uint32_t units, std::size_t alignment) noexcept {
  constexpr std::size_t kAlignmentKept = kUnitBytes << (kQuickAlignments - 1);
  if (units > kQuickUnitsMax || alignment > kAlignmentKept) return nullptr;
  const unsigned sizeClass = QuickClass(ClassOf(units));
  const unsigned enough = quickMap_[sizeClass] & (~0u << QuickAlignment(alignment));
  if (enough == 0) return nullptr;
  const auto least = static_cast<unsigned>(std::countr_zero(enough));
  Header* const header = At(quickHeads_[sizeClass][least]);
  STADIAL_ASSERT_COMPARE(header->units, >=, units, "every block of a class fits every request of it");
  quickHeads_[sizeClass][least] = header->Links()->next;
  if (quickHeads_[sizeClass][least] == kNoUnit) {
    quickMap_[sizeClass] = static_cast<std::uint16_t>(quickMap_[sizeClass] & ~(1u << least));
  }
  quickUnits_ -= header->units;
  stats_.freeBytes -= std::size_t{header->units} * kUnitBytes;
  header->magic = kLiveMagic ^ UnitOf(header);
  return header;
}

void Recycler::MergeQuick() noexcept {
  for (unsigned sizeClass = 0; sizeClass < kQuickClasses; ++sizeClass) {
    if (quickMap_[sizeClass] == 0) continue;
    quickMap_[sizeClass] = 0;
    for (std::uint32_t& head : quickHeads_[sizeClass]) {
      while (head != kNoUnit) {
        Header* const header = At(head);
        head = header->Links()->next;
        stats_.freeBytes -= std::size_t{header->units} * kUnitBytes;
        MergeAndLink(header);
      }
    }
  }
  quickUnits_ = 0;
}

void Recycler::Compact() noexcept {
  const std::lock_guard lock(lock_);
  MergeQuick();
}

// --- operations ---

// From merged free blocks, from those set aside, or newly carved: cut to the request. nullptr when there is
// no room.
Recycler::Header* Recycler::FindRoom(std::uint32_t units, std::size_t alignment) noexcept {
  Header* block = TakeRecycled(units, alignment);
  if (block == nullptr && quickUnits_ >= std::max(units, carvedUnits_ / kQuickShare)) {
    MergeQuick();
    block = TakeRecycled(units, alignment);
  }
  if (block == nullptr) block = Carve(units, alignment);
  if (block == nullptr && quickUnits_ != 0) {
    MergeQuick();
    block = TakeRecycled(units, alignment);
    if (block == nullptr) block = Carve(units, alignment);
  }
  return block == nullptr ? nullptr : CutToFit(block, units, alignment);
}

void* Recycler::AllocateLocked(std::size_t sizeBytes, std::size_t alignment) noexcept {
  const bool goodAlignment =
      alignment != 0 && (alignment & (alignment - 1)) == 0 && alignment <= kAlignmentMax;
  const std::uint32_t units = UnitsFor(sizeBytes);
  Header* header = nullptr;
  if (goodAlignment && units <= unitCount_) {
    header = PopQuick(units, alignment);
    if (header == nullptr) header = FindRoom(units, alignment);
  }
  if (header == nullptr) {
    ++stats_.refusals;
    return nullptr;
  }
  header->slackBytes = static_cast<std::uint32_t>(header->PayloadBytes() - sizeBytes);
  ++stats_.allocations;
  ++stats_.liveBlocks;
  stats_.liveBytes += sizeBytes;
  stats_.peakBytes = std::max(stats_.peakBytes, stats_.liveBytes);
  PoisonFresh(header->Payload(), header->PayloadBytes());
  LiftPoison(header->Payload(), sizeBytes);
  return header->Payload();
}

void* Recycler::Allocate(std::size_t sizeBytes, std::size_t alignment) noexcept {
  const std::lock_guard lock(lock_);
  return AllocateLocked(sizeBytes, alignment);
}

void Recycler::Free(void* memory) noexcept {
  if (memory == nullptr) return;
  const std::lock_guard lock(lock_);
  Header* const header = LiveHeader(memory, "Free");
  ++stats_.frees;
  --stats_.liveBlocks;
  stats_.liveBytes -= header->RequestedBytes();
  PoisonReturned(header->Payload(), header->PayloadBytes());
  LiftPoison(header->Payload(), sizeof(FreeLinks));
  if (header->units <= kQuickUnitsMax) {
    PushQuick(header);
  } else {
    MergeAndLink(header);
  }
}

void* Recycler::Reallocate(void* memory, std::size_t sizeBytes, std::size_t alignment) noexcept {
  if (memory == nullptr) return Allocate(sizeBytes, alignment);
  if (sizeBytes == 0) {
    Free(memory);
    return nullptr;
  }
  std::size_t oldBytes = 0;
  {
    const std::lock_guard lock(lock_);
    Header* const header = LiveHeader(memory, "Reallocate");
    oldBytes = header->RequestedBytes();
    const bool aligned = (reinterpret_cast<std::uintptr_t>(memory) & (alignment - 1)) == 0;
    if (aligned && sizeBytes <= header->PayloadBytes()) {
      SplitTail(header, UnitsFor(sizeBytes));
      header->slackBytes = static_cast<std::uint32_t>(header->PayloadBytes() - sizeBytes);
      stats_.liveBytes += sizeBytes - oldBytes;  // wraps and unwraps when it shrinks
      stats_.peakBytes = std::max(stats_.peakBytes, stats_.liveBytes);
      PoisonFresh(header->Payload(), header->PayloadBytes());
      LiftPoison(header->Payload(), sizeBytes);
      return memory;
    }
  }
  void* const moved = Allocate(sizeBytes, alignment);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, memory, std::min(oldBytes, sizeBytes));
  Free(memory);
  return moved;
}

std::size_t Recycler::SizeOf(const void* memory) const noexcept {
  const std::lock_guard lock(lock_);
  return LiveHeader(memory, "SizeOf")->RequestedBytes();
}

void Recycler::Seal(std::size_t headroomBytes) noexcept {
  const std::lock_guard lock(lock_);
  sealed_ = true;
  headroomUnits_ = static_cast<std::uint32_t>(
      std::min<std::size_t>(headroomBytes / kUnitBytes, std::size_t{unitCount_} - carvedUnits_));
}

void Recycler::Unseal() noexcept {
  const std::lock_guard lock(lock_);
  sealed_ = false;
  headroomUnits_ = unitCount_ - carvedUnits_;
}

bool Recycler::IsSealed() const noexcept {
  const std::lock_guard lock(lock_);
  return sealed_;
}

RecyclerStats Recycler::Stats() const noexcept {
  const std::lock_guard lock(lock_);
  RecyclerStats stats = stats_;
  stats.headroomBytes = std::size_t{headroomUnits_} * kUnitBytes;
  return stats;
}

// --- misuse ---

Recycler::Header* Recycler::LiveHeader(const void* memory, const char* operation) const noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const auto first = reinterpret_cast<std::uintptr_t>(base_);
  if (!Contains(memory) || address % kUnitBytes != 0 || address < first + kUnitBytes ||
      (address - first) / kUnitBytes - 1 >= carvedUnits_) {
    Misuse(memory, operation, "it does not lie among this recycler's blocks (foreign pointer)");
  }
  const auto unit = static_cast<std::uint32_t>((address - first) / kUnitBytes - 1);
  Header* const header = At(unit);
  if (header->magic != (kLiveMagic ^ unit)) {
    Misuse(memory, operation,
           header->magic == (kFreeMagic ^ unit) || header->magic == (kQuickMagic ^ unit)
               ? "it was freed already (double free)"
               : "no live block starts there, or its header was overwritten");
  }
  return header;
}

void Recycler::Misuse(const void* memory, const char* operation, const char* what) const noexcept {
  char line[512];
  const int formatted = std::snprintf(
      line, sizeof line, "stadial: recycler '%s': %s(%p): %s; blocks lie in %p to %p, %llu live\n", name_,
      operation, memory, what, static_cast<void*>(base_), static_cast<void*>(end_),
      static_cast<unsigned long long>(stats_.liveBlocks));
  if (formatted > 0) {
    const auto length = std::min(static_cast<std::size_t>(formatted), sizeof line - 1);
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line, length);
  }
  std::abort();
}

}  // namespace stadial::arenas
