// The records of a SizeClassHeap, shared by its operations, its slabs and its integrity check.
//
// A small block is in one of three states: live; in the stack of a shard ("at hand"); or free in its slab,
// with its bit set. In the last two its first word is its mark.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

#include "abort_line.h"
#include "stadial/arenas/poison.h"
#include "stadial/arenas/size_class_heap.h"

namespace stadial::arenas {

inline constexpr std::uint32_t kNoSlab = std::numeric_limits<std::uint32_t>::max();
// The Recycler's header of the next block stands in a slab's last bytes, so that slabs lie side by side.
inline constexpr std::size_t kSlabPayloadBytes = SizeClassHeap::kSlabBytes - 16;
inline constexpr std::size_t kSlabBlocksMax = kSlabPayloadBytes / kSizeClassGranularityBytes;
inline constexpr std::size_t kSlabWords = (kSlabBlocksMax + 63) / 64;
static_assert(kSlabWords <= 32, "Slab::freeWords has a bit for every word");
// Blocks are told by their distance from the first slab, in units.
inline constexpr std::uint32_t kSlabUnits = SizeClassHeap::kSlabBytes / kSizeClassGranularityBytes;

// A stack holds so many blocks of its class, but for the largest classes no more than so many bytes. Half of
// them go to or come from the depot at once: by then the others have been popped and pushed often, since what
// a thread takes and gives back of a class goes up and down by far less than it sums up to.
inline constexpr std::uint32_t kStackBlocksMax = 256;
inline constexpr std::size_t kStackBytesMax = 16 * 1024;
inline constexpr unsigned kSmallClasses = SizeClassOf(SizeClassHeap::kSmallBytesMax) + 1;
// What a part of the memory holds that is no slab.
inline constexpr std::uint8_t kNoClass = kSmallClasses;
static_assert(kStackBytesMax / SizeClassHeap::kSmallBytesMax >= 2, "half a stack is at least one block");

// What the hot path must know of a class: in one cache line.
struct alignas(16) SmallClass {
  // 2^32 / bytes, rounded up: a multiplication by it divides offsets below kSlabBytes exactly, the quotient
  // above and the remainder, as a fraction of 2^32 / bytes, below bit 32.
  std::uint32_t reciprocal;
  std::uint16_t bytes;
  std::uint16_t lastOffset;  // in a slab, of the last block
  std::uint16_t slabBlocks;
  std::uint16_t stackStart;  // its stack among those of a shard: the first place, behind a null
  std::uint16_t stackEnd;    // and one past the last

  constexpr std::uint32_t StackBlocks() const noexcept { return std::uint32_t{stackEnd} - stackStart; }
};
static_assert(sizeof(SmallClass) == 16);
// That of kNoClass, all zeros, stands behind them: no address passes its test.
constexpr auto kSmall = [] {
  std::array<SmallClass, kSmallClasses + 1> classes{};
  std::size_t start = 1;
  for (unsigned sizeClass = 0; sizeClass < kSmallClasses; ++sizeClass) {
    const std::size_t bytes = SizeClassBytes(sizeClass);
    const std::size_t blocks = kSlabPayloadBytes / bytes;
    const std::size_t end = start + std::min<std::size_t>(kStackBlocksMax, kStackBytesMax / bytes);
    classes[sizeClass] = {
        .reciprocal = static_cast<std::uint32_t>(((std::uint64_t{1} << 32) + bytes - 1) / bytes),
        .bytes = static_cast<std::uint16_t>(bytes),
        .lastOffset = static_cast<std::uint16_t>((blocks - 1) * bytes),
        .slabBlocks = static_cast<std::uint16_t>(blocks),
        .stackStart = static_cast<std::uint16_t>(start),
        .stackEnd = static_cast<std::uint16_t>(end)};
    start = end + 1;
  }
  return classes;
}();
inline constexpr std::size_t kStackPlaces = kSmall[kSmallClasses - 1].stackEnd;
// The errors: e = reciprocal * bytes - 2^32 < bytes, and an offset below kSlabBytes adds e * offset / bytes
// to the fraction, which must stay below one step of it.
static_assert(SizeClassHeap::kSlabBytes * SizeClassHeap::kSmallBytesMax < (std::uint64_t{1} << 32));
// The class of so many times 16 B.
constexpr auto kClassOfUnits = [] {
  std::array<std::uint8_t, SizeClassHeap::kSmallBytesMax / kSizeClassGranularityBytes + 1> classes{};
  for (std::size_t units = 0; units < classes.size(); ++units) {
    classes[units] = static_cast<std::uint8_t>(SizeClassOf(units * kSizeClassGranularityBytes));
  }
  return classes;
}();

inline std::uintptr_t AddressOf(const void* memory) noexcept {
  return reinterpret_cast<std::uintptr_t>(memory);
}

// --- the mark of a free block ---

// No pointer and no small number; a block copied elsewhere does not carry a valid mark there.
inline std::uint64_t MarkOf(const void* memory) noexcept {
  constexpr std::uint64_t kFreeMark = 0xf4ee'b10c'f4ee'b10c;
  return kFreeMark ^ AddressOf(memory);
}
// Opens the word in builds that look on; what the owner left there may be uninitialised.
inline bool IsMarked(const void* memory) noexcept {
  LiftPoison(memory, sizeof(std::uint64_t));
  std::uint64_t word = 0;
  std::memcpy(&word, memory, sizeof word);
  return word == MarkOf(memory);
}
inline void SetMark(void* memory) noexcept {
  LiftPoison(memory, sizeof(std::uint64_t));
  const std::uint64_t mark = MarkOf(memory);
  std::memcpy(memory, &mark, sizeof mark);
  PoisonFresh(memory, sizeof mark);
}
inline void ClearMark(void* memory) noexcept {
  LiftPoison(memory, sizeof(std::uint64_t));
  constexpr std::uint64_t kNothing = 0;
  std::memcpy(memory, &kNothing, sizeof kNothing);
}

// --- records ---

// One kSlabBytes of the memory. In use under the lock of the depot of its class.
struct alignas(64) SizeClassHeap::Slab {
  std::uint32_t next = kNoSlab;  // in the ring of the slabs of its class that have a free block
  std::uint32_t previous = kNoSlab;
  std::uint32_t freeBlocks = 0;
  std::uint32_t freeWords = 0;  // bit w: free[w] is not 0
  std::uint64_t free[kSlabWords] = {};
};

struct alignas(64) SizeClassHeap::Depot {
  mutable ShortLock lock;
  std::uint32_t partial = kNoSlab;  // first of the slabs with a free block, which hang in a ring
  std::uint32_t emptySlabs = 0;
  std::uint32_t slabs = 0;
  std::uint64_t slabsMade = 0;
  std::uint64_t handedOut = 0;  // blocks live or at hand
};

// Cache lines of its own, so that threads with different shards share none. Written by one thread at a time,
// and the words read by Stats from any.
struct alignas(128) SizeClassHeap::Shard {
  // Of each class the place where the next freed block goes (the low bits) and how many were allocated here
  // (the rest), so that a pop is one addition to one word.
  static constexpr unsigned kPlaceBits = 16;
  static constexpr std::uint64_t kPlaceMask = (std::uint64_t{1} << kPlaceBits) - 1;
  static constexpr std::uint64_t kPopped = (std::uint64_t{1} << kPlaceBits) - 1;
  static constexpr std::uint64_t kPushed = 1;
  static_assert(kStackPlaces <= kPlaceMask);

  template <std::size_t... Classes>
  constexpr Shard(bool isOpen, std::index_sequence<Classes...>) noexcept
      : words{(isOpen ? kSmall[Classes].stackStart : kSmall[Classes].stackEnd)...} {}
  constexpr explicit Shard(bool isOpen = true) noexcept
      : Shard(isOpen, std::make_index_sequence<kClasses>()) {}
  std::uint32_t Count(unsigned sizeClass) const noexcept {
    const std::uint64_t word = words[sizeClass].load(std::memory_order_relaxed);
    return static_cast<std::uint32_t>(word & kPlaceMask) - kSmall[sizeClass].stackStart;
  }
  std::uint64_t Allocations(unsigned sizeClass) const noexcept {
    return words[sizeClass].load(std::memory_order_relaxed) >> kPlaceBits;
  }
  void SetCount(unsigned sizeClass, std::uint32_t count) noexcept {
    const std::uint64_t word = words[sizeClass].load(std::memory_order_relaxed);
    words[sizeClass].store((word & ~kPlaceMask) | (kSmall[sizeClass].stackStart + count),
                           std::memory_order_relaxed);
  }
  void** Stack(unsigned sizeClass) noexcept { return places + kSmall[sizeClass].stackStart; }

  std::atomic<std::uint64_t> words[kClasses];
  // Blocks at hand, the newest of each stack last. A null before each ends it without a comparison.
  void* places[kStackPlaces] = {};
  ShortLock lock;  // of shared ones
  bool isShared = false;
};

class SizeClassHeap::ShardGuard {
 public:
  explicit ShardGuard(Shard& shard) noexcept : shard_(shard) {
    if (shard_.isShared) [[unlikely]]
      shard_.lock.lock();
  }
  ~ShardGuard() {
    if (shard_.isShared) [[unlikely]]
      shard_.lock.unlock();
  }
  ShardGuard(const ShardGuard&) = delete;
  ShardGuard& operator=(const ShardGuard&) = delete;

 private:
  Shard& shard_;
};

// In the functions that users call, and not in those that these call.
class [[maybe_unused]] SizeClassHeap::OneThreadGuard {
 public:
#if STADIAL_ASSERT_LEVEL >= 2
  explicit OneThreadGuard(const SizeClassHeap& heap) noexcept : heap_(heap) {
    if (heap_.oneThread_ && !heap_.inside_.try_lock()) {
      AbortWithLine("stadial: heap '%s': two threads are inside at once, but it was made with oneThread",
                    heap_.name_);
    }
  }
  ~OneThreadGuard() {
    if (heap_.oneThread_) heap_.inside_.unlock();
  }

 private:
  const SizeClassHeap& heap_;
#else
  explicit OneThreadGuard(const SizeClassHeap&) noexcept {}
  ~OneThreadGuard() {}  // not trivial, so that no compiler calls the guard unused
#endif

 public:
  OneThreadGuard(const OneThreadGuard&) = delete;
  OneThreadGuard& operator=(const OneThreadGuard&) = delete;
};

inline std::uint32_t SizeClassHeap::UnitOf(const void* memory) const noexcept {
  return static_cast<std::uint32_t>((AddressOf(memory) - AddressOf(firstSlab_)) / kSizeClassGranularityBytes);
}

inline std::byte* SizeClassHeap::AtUnit(std::uint32_t unit) const noexcept {
  return firstSlab_ + std::size_t{unit} * kSizeClassGranularityBytes;
}

}  // namespace stadial::arenas
