// Arena: a bump allocator over memory that is already committed. The allocator of every hot path.
//
// Growth:       none; the capacity is what the constructor was given. One made by Segment::MakeGrowingArena
//               commits more of its segment when it is full, as long as AllowGrowth permits it.
// Exhaustion:   Allocate, New, NewArray print what was asked, what is left and what to raise, and abort;
//               the Try forms return nullptr (or an empty span). No state changes when a Try form fails.
// Alignment:    of the address; any power of two, page size and beyond included; 16 unless said otherwise.
// Destructors:  never run. Types that need theirs do not compile here (kArenaStorable).
// Threads:      one thread at a time; nothing is locked. For several threads take a LaneSet.
// Invalidation: RewindTo and Reset invalidate everything allocated since the mark. Moving the arena does not.
//
// Cost: with a size known at compile time one add and one compare on a cursor that is always 16-aligned; the
// run-time alignment path is branch-free. There are no per-allocation statistics: the peak is read off the
// cursor when it is rewound. Rewinding is O(1), except in checked builds (poison.h), which overwrite what is
// taken back; those find overruns, stale marks and pointers, and use by a second thread too (arena_checks.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <source_location>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "stadial/arenas/arena_checks.h"
#include "stadial/arenas/assert.h"
#include "stadial/arenas/poison.h"

namespace stadial::arenas {

class Arena;
class Segment;
template <class T>
class Result;

// May T live in an arena, where no destructor runs? Specialise it to true for a type of your own whose
// destructor may be skipped without losing anything.
template <class T>
inline constexpr bool kArenaStorable = std::is_trivially_destructible_v<T>;
// An Arena's own destructor only lifts AddressSanitizer's poison from its memory.
template <>
inline constexpr bool kArenaStorable<Arena> = true;

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

// A position to rewind to. Belongs to one arena, and dies with that arena's next Reset. A default one belongs
// to none.
class ArenaMark {
 public:
  ArenaMark() noexcept = default;

 private:
  friend class Arena;
  ArenaMark(const Arena* arena, std::byte* cursor, std::uint32_t resetCount,
            ArenaChecks::Mark checks) noexcept
      : arena_(arena), cursor_(cursor), resetCount_(resetCount), checks_(checks) {}
  const Arena* arena_ = nullptr;
  std::byte* cursor_ = nullptr;
  std::uint32_t resetCount_ = 0;
  [[no_unique_address]] ArenaChecks::Mark checks_;
};

class alignas(64) Arena {
 public:
  // An arena of no bytes: every Try form fails.
  Arena() noexcept = default;

  // Takes `sizeBytes` at `base` (both rounded inward to 16). The name is not copied: it must outlive the
  // arena.
  Arena(const char* name, std::byte* base, std::size_t sizeBytes,
        std::source_location site = std::source_location::current()) noexcept
      : Arena(ArenaOptions{.name = name}, base, sizeBytes, site) {}
  Arena(const ArenaOptions& options, std::byte* base, std::size_t sizeBytes,
        std::source_location site = std::source_location::current()) noexcept;

  // The moved-from arena is empty. Pointers and containers stay valid; marks and scopes of the old object do
  // not.
  Arena(Arena&& other) noexcept { MoveFrom(other); }
  Arena& operator=(Arena&& other) noexcept {
    if (this != &other) {
      LiftPoison(base_, MemoryBytes());
      MoveFrom(other);
    }
    return *this;
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { LiftPoison(base_, MemoryBytes()); }

  // Uninitialised memory, never nullptr. A request of zero bytes gives an address that must not be accessed.
  [[nodiscard, gnu::always_inline, gnu::returns_nonnull]] inline void* Allocate(
      std::size_t sizeBytes, std::size_t alignment = kArenaGranularityBytes) noexcept {
    std::byte* memory;
    if (!Bump<true>(sizeBytes, alignment, memory)) [[unlikely]]
      Exhausted(sizeBytes, alignment);
    return memory;
  }

  // The same, nullptr when it does not fit; any size is safe, SIZE_MAX included. `alignment`: a power of two.
  [[nodiscard, gnu::always_inline]] inline void* TryAllocate(
      std::size_t sizeBytes, std::size_t alignment = kArenaGranularityBytes) noexcept {
    std::byte* memory;
    return Bump<false>(sizeBytes, alignment, memory) ? memory : nullptr;
  }

  // The same, all zeros. Costs nothing where the memory is known to be zero: fresh from a growing arena's
  // segment (or ArenaOptions::isZeroed), and never handed out before.
  [[nodiscard, gnu::returns_nonnull]] void* AllocateZeroed(
      std::size_t sizeBytes, std::size_t alignment = kArenaGranularityBytes) noexcept {
    return Zero(Allocate(sizeBytes, alignment), sizeBytes);
  }
  [[nodiscard]] void* TryAllocateZeroed(std::size_t sizeBytes,
                                        std::size_t alignment = kArenaGranularityBytes) noexcept {
    void* const memory = TryAllocate(sizeBytes, alignment);
    return memory == nullptr ? nullptr : Zero(memory, sizeBytes);
  }

  // Constructs one T in place.
  template <class T, class... Args>
  [[gnu::always_inline]] inline T* New(Args&&... args) {
    static_assert(kArenaStorable<T>, "R8: an arena runs no destructors, so T must be trivially destructible");
    return ::new (Allocate(sizeof(T), alignof(T))) T(std::forward<Args>(args)...);
  }
  template <class T, class... Args>
  [[nodiscard, gnu::always_inline]] inline T* TryNew(Args&&... args) {
    static_assert(kArenaStorable<T>, "R8: an arena runs no destructors, so T must be trivially destructible");
    void* const memory = TryAllocate(sizeof(T), alignof(T));
    return memory == nullptr ? nullptr : ::new (memory) T(std::forward<Args>(args)...);
  }

  // `count` value-initialised Ts (zeros for arithmetic types). A count of 0 gives an empty span.
  template <class T>
  std::span<T> NewArray(std::size_t count) {
    const std::span<T> items = NewArrayUninitialized<T>(count);
    std::uninitialized_value_construct_n(items.data(), items.size());
    return items;
  }
  // Empty when it does not fit (and when count is 0).
  template <class T>
  [[nodiscard]] std::span<T> TryNewArray(std::size_t count) {
    static_assert(kArenaStorable<T>, "R8: an arena runs no destructors, so T must be trivially destructible");
    void* const memory = TryAllocate(ArrayBytes<T>(count), alignof(T));
    if (memory == nullptr) return {};
    const std::span<T> items(static_cast<T*>(memory), count);
    std::uninitialized_value_construct_n(items.data(), items.size());
    return items;
  }
  // Indeterminate values: only for types without constructors, to be filled by the caller.
  template <class T>
  std::span<T> NewArrayUninitialized(std::size_t count) noexcept {
    static_assert(kArenaStorable<T>, "R8: an arena runs no destructors, so T must be trivially destructible");
    return {static_cast<T*>(Allocate(ArrayBytes<T>(count), alignof(T))), count};
  }

  // Zero-terminated copies. Format is printf's; it measures first, so it runs the formatting twice.
  const char* CopyString(std::string_view text) noexcept;
  [[gnu::format(printf, 2, 3)]] const char* Format(const char* format, ...) noexcept;

  [[nodiscard]] ArenaMark Mark(std::source_location site = std::source_location::current()) const noexcept {
    return {this, cursor_, resetCount_, ArenaChecks::MakeMark(checks_.GuardBytesSpent(), site)};
  }

  // Takes back everything allocated since the mark. The mark must be this arena's own, from after its last
  // Reset, and not above the cursor. Prefer ArenaScope.
  void RewindTo(const ArenaMark& mark) noexcept {
    STADIAL_ASSERT_COMPARE(mark.arena_, ==, static_cast<const Arena*>(this),
                           "the mark belongs to another arena");
    STADIAL_ASSERT_COMPARE(mark.resetCount_, ==, resetCount_,
                           "the mark is older than the arena's last Reset");
    STADIAL_ASSERT_COMPARE(mark.cursor_, <=, cursor_,
                           "the mark lies above the cursor: it was rewound past already");
    TakeBack(mark.cursor_, mark.checks_, false);
  }

  // Takes back everything and counts one use of the arena.
  void Reset(std::source_location site = std::source_location::current()) noexcept {
    TakeBack(base_, ArenaChecks::MakeMark(0, site), true);
    ++resetCount_;
  }
  // The arena must be empty; from now on it uses other memory of the same size, 16-aligned (quarantine.h).
  void MoveTo(std::byte* base) noexcept;

  // Growing arenas (made by Segment::MakeGrowingArena) begin with growth allowed. Sealed, they are like any
  // other. Growing takes system calls and page faults: allow it in the phases that may have them. One thread
  // at a time in the whole region may let an arena grow.
  void AllowGrowth(bool isAllowed) noexcept { isGrowthAllowed_ = isAllowed; }
  bool CanGrow() const noexcept { return segment_ != nullptr && isGrowthAllowed_; }
  // What it may grow to; CapacityBytes of an arena that does not grow.
  std::size_t CapacityBytesMax() const noexcept {
    return segment_ == nullptr ? CapacityBytes() : growthBytesMax_ - checks_.GuardBytes();
  }
  std::uint32_t GrowthCount() const noexcept { return growthCount_; }
  // Growing arenas: gives memory behind what is used and behind keepBytes back (Segment::Decommit, also for
  // the errors and for the slack, which keeps repeated growing and shrinking from costing anything).
  Result<void> Shrink(std::size_t keepBytes, std::size_t slackBytes);

  // Checked builds: another thread may use the arena from now on, up to its own HandOver or a Reset. The
  // caller orders the two threads.
  void HandOver() noexcept;
  // What a checked build knows beyond the cursor. An empty class in the others.
  const ArenaChecks& Checks() const noexcept { return checks_; }
#if STADIAL_ASSERT_LEVEL >= 2
  // The newest damaged guard, or none. Rewinds look at what they take back, and abort. O(guards).
  ArenaDamage FindDamage() noexcept;
#endif

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

 private:
  // Saturates, so that an impossible count fails like any other that does not fit.
  template <class T>
  static constexpr std::size_t ArrayBytes(std::size_t count) noexcept {
    std::size_t bytes = 0;
    return __builtin_mul_overflow(count, sizeof(T), &bytes) ? std::numeric_limits<std::size_t>::max() : bytes;
  }

  static constexpr std::size_t RoundUpToGranularity(std::size_t bytes) noexcept {
    return (bytes + (kArenaGranularityBytes - 1)) & ~(kArenaGranularityBytes - 1);
  }

  // kMustFit: what does not fit ends the process.
  template <bool kMustFit>
  [[gnu::always_inline]] inline bool Bump(std::size_t sizeBytes, std::size_t alignment,
                                          std::byte*& memory) noexcept {
    STADIAL_ASSERT_FULL(alignment != 0 && (alignment & (alignment - 1)) == 0,
                        "alignment must be a power of two");
#if STADIAL_ASSERT_LEVEL >= 2
    if (checks_.IsActive()) [[unlikely]] {
      return BumpChecked(sizeBytes, alignment, memory) ||
             (Grow(sizeBytes, alignment) && BumpChecked(sizeBytes, alignment, memory));
    }
#endif
    std::byte* start = cursor_;
    // Cursor and end are multiples of 16, so comparing the unrounded size is exact and cannot overflow.
    bool isRoom = sizeBytes <= static_cast<std::size_t>(end_ - start);
    // Smaller alignments than the cursor's need no padding; the test folds away when the alignment is
    // constant.
    if (!(__builtin_constant_p(alignment) && alignment <= kArenaGranularityBytes)) {
      // Add and mask, since the next allocation waits for this address. Neither sum wraps: addresses lie in
      // the lower half of the address space, no alignment exceeds half of it, and the size was compared.
      const std::uintptr_t aligned =
          (reinterpret_cast<std::uintptr_t>(start) + (alignment - 1)) & (0 - alignment);
      isRoom = isRoom && aligned + RoundUpToGranularity(sizeBytes) <= reinterpret_cast<std::uintptr_t>(end_);
      start = reinterpret_cast<std::byte*>(aligned);
    }
    if (!isRoom) [[unlikely]] {
      if (!__builtin_constant_p(sizeBytes)) {
        memory = AllocateInNewRoom(sizeBytes, alignment, kMustFit);
        return kMustFit || memory != nullptr;
      }
      // Back here with the address, so that the cursor's next value is the same sum on both ways, and a loop
      // of allocations keeps it in a register. With a size in a register it would cost more than it gains.
      start = kMustFit ? MakeRoom(sizeBytes, alignment) : TryMakeRoom(sizeBytes, alignment);
      if (!kMustFit && start == nullptr) return false;
    }
    cursor_ = start + RoundUpToGranularity(sizeBytes);
    OpenAllocation(start, sizeBytes);
    memory = start;
    return true;
  }

  void TakeBack(std::byte* cursor, [[maybe_unused]] const ArenaChecks::Mark& checks,
                [[maybe_unused]] bool isReset) noexcept {
    if (PlainCursor() > high_) high_ = PlainCursor();
#if STADIAL_ASSERT_LEVEL >= 2
    TakeBackChecked(cursor, checks, isReset);
#endif
    PoisonReturned(cursor, static_cast<std::size_t>(cursor_ - cursor));
    cursor_ = cursor;
  }
  // Where the cursor would stand without guards: what the arena reports is measured from it.
  std::byte* PlainCursor() const noexcept { return cursor_ - checks_.GuardBytesSpent(); }
  std::size_t MemoryBytes() const noexcept { return static_cast<std::size_t>(end_ - base_); }
#if STADIAL_ASSERT_LEVEL >= 2
  [[gnu::noinline]] bool BumpChecked(std::size_t sizeBytes, std::size_t alignment,
                                     std::byte*& memory) noexcept;
  [[gnu::noinline]] void TakeBackChecked(std::byte* cursor, const ArenaChecks::Mark& checks,
                                         bool isReset) noexcept;
  void CheckThread(const char* operation) noexcept;
  bool PlaceChecked(std::byte* plainEnd, std::size_t sizeBytes, std::size_t alignment, bool isGuarded,
                    const void* site, std::byte*& memory) noexcept;
  void CheckFree(std::byte* end) noexcept;
  [[noreturn, gnu::cold]] void Damaged(const ArenaDamage& damage, const char* when,
                                       const std::source_location* site) const noexcept;
#endif
  void MoveFrom(Arena& other) noexcept;
  friend class Segment;
  void GrowOver(Segment& segment, std::byte* base, std::size_t bytesMax, std::size_t stepBytes) noexcept;
  // Where the request goes once the arena has grown for it. MakeRoom ends the process when it may not or
  // cannot.
  [[gnu::cold, gnu::noinline, gnu::returns_nonnull]] std::byte* MakeRoom(std::size_t sizeBytes,
                                                                         std::size_t alignment) noexcept;
  [[gnu::cold, gnu::noinline]] std::byte* TryMakeRoom(std::size_t sizeBytes, std::size_t alignment) noexcept;
  [[gnu::cold, gnu::noinline]] std::byte* AllocateInNewRoom(std::size_t sizeBytes, std::size_t alignment,
                                                            bool mustFit) noexcept;
  // Makes room for the request. False: it may not, or cannot; then nothing has changed.
  [[gnu::cold, gnu::noinline]] bool Grow(std::size_t sizeBytes, std::size_t alignment) noexcept;
  [[gnu::returns_nonnull]] void* Zero(void* memory, std::size_t sizeBytes) noexcept;
  [[noreturn, gnu::cold, gnu::noinline]] void Exhausted(std::size_t sizeBytes,
                                                        std::size_t alignment) const noexcept;

  // Where an arena of no bytes stands: its cursor is a good address too, so the hot path tests for no null
  // pointer.
  // NOLINTNEXTLINE(readability-identifier-naming): a private member, though static
  alignas(kArenaGranularityBytes) static std::byte noMemory_[kArenaGranularityBytes];

  std::byte* cursor_ = noMemory_;
  std::byte* end_ = noMemory_;
  std::byte* base_ = noMemory_;
  std::byte* high_ = noMemory_;  // highest cursor seen at a rewind
  std::uint32_t resetCount_ = 0;
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
  [[no_unique_address]] ArenaChecks checks_;
};

// Rewinds the arena to where it stood when the scope was opened. Scopes of one arena close in reverse order.
class [[nodiscard]] ArenaScope {
 public:
  explicit ArenaScope(Arena& arena, std::source_location site = std::source_location::current()) noexcept
      : arena_(arena), mark_(arena.Mark(site)) {}
  ~ArenaScope() { arena_.RewindTo(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  ArenaMark mark_;
};

}  // namespace stadial::arenas
