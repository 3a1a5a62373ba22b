// ArenaCore: what an Arena (arena.h) is made of besides allocating and rewinding: its memory and numbers, its
// growth, and every path that is not hot. It cannot be used by itself; include arena.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>

#include "stadial/arenas/arena_checks.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/poison.h"

namespace stadial::arenas {

class ArenaCursor;
class Segment;
template <class T>
class Result;

inline constexpr std::size_t kArenaGranularityBytes = 16;

// The words an arena uses in its exhaustion message: "KIND arena 'NAME' exhausted: ...; REMEDY".
// The strings are not copied: they must outlive the arena.
struct ArenaOptions {
  const char* name = "unnamed";
  const char* kind = "";  // "frame", "setup", "compile"; may be empty
  const char* remedy = "raise its capacity";
  bool isZeroed = false;  // nobody has written to the memory since the system gave it: see AllocateZeroed
  // Checked builds: so much of the memory is for guards and not capacity (rounded up to 16). Ignored in
  // others, so add it to the memory only where kArenaChecks.
  std::size_t guardBytes = 0;
  // Checked builds: from its first allocation until Reset or HandOver it belongs to one thread.
  bool oneThread = false;
};

class alignas(64) ArenaCore {
 public:
  // Bytes used include the rounding of every size to 16 and the padding of alignments.
  std::size_t UsedBytes() const noexcept { return static_cast<std::size_t>(PlainCursor() - base_); }
  std::size_t CapacityBytes() const noexcept { return MemoryBytes() - checks_.GuardBytes(); }
  std::size_t RemainingBytes() const noexcept { return CapacityBytes() - UsedBytes(); }
  // The most that was in use at once since construction.
  std::size_t PeakBytes() const noexcept {
    return static_cast<std::size_t>((PlainCursor() > high_ ? PlainCursor() : high_) - base_);
  }
  const char* Name() const noexcept { return name_; }
  const char* Kind() const noexcept { return kind_; }
  const std::source_location& Site() const noexcept { return site_; }
  std::uint32_t ResetCount() const noexcept { return resetCount_; }
  std::byte* Base() const noexcept { return base_; }
  // Whether the address lies in this arena's memory, handed out or not.
  bool Contains(const void* address) const noexcept {
    return address >= static_cast<const void*>(base_) && address < static_cast<const void*>(end_);
  }

  // Growing arenas (made by Segment::MakeGrowingArena) begin with growth allowed. Sealed, they are like any
  // other. Growing takes system calls and page faults: allow it in the phases that may have them. One thread
  // at a time in the whole region may let an arena grow.
  void AllowGrowth(bool isAllowed) noexcept { isGrowthAllowed_ = isAllowed; }
  bool CanGrow() const noexcept { return segment_ != nullptr && isGrowthAllowed_ && !isLent_; }
  // What it may grow to; CapacityBytes of an arena that does not grow.
  std::size_t CapacityBytesMax() const noexcept {
    return segment_ == nullptr ? CapacityBytes() : growthBytesMax_ - checks_.GuardBytes();
  }
  std::uint32_t GrowthCount() const noexcept { return growthCount_; }
  // Growing arenas: gives memory behind what is used and behind keepBytes back (Segment::Decommit, also for
  // the errors and for the slack, which keeps repeated growing and shrinking from costing anything).
  Result<void> Shrink(std::size_t keepBytes, std::size_t slackBytes);

  // The arena must be empty; from now on it uses other memory of the same size, 16-aligned (quarantine.h).
  void MoveTo(std::byte* base) noexcept STADIAL_NONALLOCATING;

  // Checked builds: another thread may use the arena from now on, up to its own HandOver or a Reset. The
  // caller orders the two threads.
  void HandOver() noexcept STADIAL_NONALLOCATING;
  // Checked builds: looks at every guard and aborts when one is damaged, as a rewind does. For arenas that
  // are not rewound. Nobody may allocate meanwhile. O(guards); nothing in the others.
  void CheckGuards(std::source_location site = std::source_location::current()) noexcept;
  // What a checked build knows beyond the cursor. An empty class in the others.
  const ArenaChecks& Checks() const noexcept { return checks_; }
#if STADIAL_ASSERT_LEVEL >= 2
  // The newest damaged guard, or none. O(guards).
  ArenaDamage FindDamage() noexcept;
#endif

 protected:
  ArenaCore() noexcept = default;
  ArenaCore(const ArenaOptions& options, std::byte* base, std::size_t sizeBytes,
            std::source_location site) noexcept;
  ArenaCore(ArenaCore&& other) noexcept { MoveFrom(other); }
  ArenaCore& operator=(ArenaCore&& other) noexcept {
    if (this != &other) {
      LiftPoison(base_, MemoryBytes());
      MoveFrom(other);
    }
    return *this;
  }
  ~ArenaCore() { LiftPoison(base_, MemoryBytes()); }

  static constexpr std::size_t RoundUpToGranularity(std::size_t bytes) noexcept {
    return (bytes + (kArenaGranularityBytes - 1)) & ~(kArenaGranularityBytes - 1);
  }

  // Whether the request fits between `start`, which moves up to the alignment, and `end`.
  [[gnu::always_inline]] static inline bool FitsAt(std::byte*& start, std::byte* end, std::size_t sizeBytes,
                                                   std::size_t alignment) noexcept {
    // Cursor and end are multiples of 16, so comparing the unrounded size is exact and cannot overflow.
    bool isRoom = sizeBytes <= static_cast<std::size_t>(end - start);
    // Alignments up to the cursor's need no padding; the test folds away when the alignment is constant.
    if (!(__builtin_constant_p(alignment) && alignment <= kArenaGranularityBytes)) {
      // Add and mask, since the next allocation waits for this address. Neither sum wraps: addresses lie in
      // the lower half of the address space, no alignment exceeds half of it, and the size was compared.
      const std::uintptr_t aligned =
          (reinterpret_cast<std::uintptr_t>(start) + (alignment - 1)) & (0 - alignment);
      isRoom = isRoom && aligned + RoundUpToGranularity(sizeBytes) <= reinterpret_cast<std::uintptr_t>(end);
      start = reinterpret_cast<std::byte*>(aligned);
    }
    return isRoom;
  }

  // Where the cursor would stand without guards: what the arena reports is measured from it.
  std::byte* PlainCursor() const noexcept { return cursor_ - checks_.GuardBytesSpent(); }
  std::size_t MemoryBytes() const noexcept { return static_cast<std::size_t>(end_ - base_); }

#if STADIAL_ASSERT_LEVEL >= 2
  [[gnu::noinline]] bool BumpChecked(std::size_t sizeBytes, std::size_t alignment,
                                     std::byte*& memory) noexcept;
  [[gnu::noinline]] void TakeBackChecked(std::byte* cursor, const ArenaChecks::Mark& checks,
                                         bool isReset) noexcept;
#endif
  // Where the request goes once the arena has grown for it. MakeRoom ends the process when it cannot grow.
  [[gnu::cold, gnu::noinline, gnu::returns_nonnull]] std::byte* MakeRoom(
      std::size_t sizeBytes, std::size_t alignment) noexcept STADIAL_NONALLOCATING;
  [[gnu::cold, gnu::noinline]] std::byte* TryMakeRoom(std::size_t sizeBytes,
                                                      std::size_t alignment) noexcept STADIAL_NONALLOCATING;
  [[gnu::cold, gnu::noinline]] std::byte* AllocateInNewRoom(std::size_t sizeBytes, std::size_t alignment,
                                                            bool mustFit) noexcept STADIAL_NONALLOCATING;
  // Makes room for the request. False: it may not, or cannot; then nothing has changed.
  [[gnu::cold, gnu::noinline]] bool Grow(std::size_t sizeBytes,
                                         std::size_t alignment) noexcept STADIAL_NONALLOCATING;
  [[gnu::returns_nonnull]] void* Zero(void* memory, std::size_t sizeBytes) noexcept STADIAL_NONALLOCATING;
  [[noreturn, gnu::cold, gnu::noinline]] void Exhausted(std::size_t sizeBytes,
                                                        std::size_t alignment) const noexcept;

  // Where an arena of no bytes stands: its cursor is a good address too, so the hot path tests for no null.
  // NOLINTNEXTLINE(readability-identifier-naming): a protected member, though static
  alignas(kArenaGranularityBytes) static std::byte noMemory_[kArenaGranularityBytes];

  std::byte* cursor_ = noMemory_;
  std::byte* end_ = noMemory_;
  std::byte* base_ = noMemory_;
  std::byte* high_ = noMemory_;  // highest cursor seen at a rewind
  std::uint32_t resetCount_ = 0;
  bool isLent_ = false;  // to an ArenaCursor: cursor_ stands at end_ meanwhile

 private:
  friend class ArenaCursor;
  friend class Segment;
#if STADIAL_ASSERT_LEVEL >= 2
  void CheckThread(const char* operation) noexcept;
  bool PlaceChecked(std::byte* plainEnd, std::size_t sizeBytes, std::size_t alignment, bool isGuarded,
                    const void* site, std::byte*& memory) noexcept;
  void CheckFree(std::byte* end) noexcept;
  [[noreturn, gnu::cold]] void Damaged(const ArenaDamage& damage, const char* when,
                                       const std::source_location* site) const noexcept;
#endif
  void MoveFrom(ArenaCore& other) noexcept;
  void GrowOver(Segment& segment, std::byte* base, std::size_t bytesMax, std::size_t stepBytes) noexcept;

  const char* name_ = "empty";
  const char* kind_ = "";
  const char* remedy_ = "it was given no memory";
  std::source_location site_;
  Segment* segment_ = nullptr;  // of a growing arena
  std::size_t growthBytesMax_ = 0;
  std::size_t growthStepBytes_ = 0;
  std::byte* zeroFrom_ = noMemory_;  // from here to end_ the memory was zeros before it was handed out first
  std::uint32_t growthCount_ = 0;
  bool isGrowthAllowed_ = false;
  bool isGrowthRefused_ = false;  // by the system, the last time it was tried

 protected:
  [[no_unique_address]] ArenaChecks checks_;
};

}  // namespace stadial::arenas
