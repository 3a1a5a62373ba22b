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
#include <limits>
#include <memory>
#include <new>
#include <source_location>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "stadial/arenas/arena_checks.h"
#include "stadial/arenas/arena_core.h"
#include "stadial/arenas/assert.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/poison.h"

namespace stadial::arenas {

class Arena;

// May T live in an arena, where no destructor runs? Specialise it to true for a type of your own whose
// destructor may be skipped without losing anything.
template <class T>
inline constexpr bool kArenaStorable = std::is_trivially_destructible_v<T>;
// An Arena's own destructor only lifts AddressSanitizer's poison from its memory.
template <>
inline constexpr bool kArenaStorable<Arena> = true;

// A position to rewind to, of one arena; dies with that arena's next Reset. A default one belongs to none.
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

// What it reports, growth, hand-over between threads: ArenaCore.
class Arena : public ArenaCore {
 public:
  // An arena of no bytes: every Try form fails.
  Arena() noexcept = default;

  // Takes `sizeBytes` at `base` (both rounded inward to 16). The name is not copied and must outlive it.
  Arena(const char* name, std::byte* base, std::size_t sizeBytes,
        std::source_location site = std::source_location::current()) noexcept
      : Arena(ArenaOptions{.name = name}, base, sizeBytes, site) {}
  Arena(const ArenaOptions& options, std::byte* base, std::size_t sizeBytes,
        std::source_location site = std::source_location::current()) noexcept
      : ArenaCore(options, base, sizeBytes, site) {}

  // The moved-from arena is empty. Pointers and containers stay valid; marks and scopes of the old one do
  // not.
  Arena(Arena&& other) noexcept = default;
  Arena& operator=(Arena&& other) noexcept = default;
  ~Arena() = default;

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
  const char* CopyString(std::string_view text) noexcept STADIAL_NONALLOCATING;
  [[gnu::format(printf, 2, 3)]] const char* Format(const char* format, ...) noexcept STADIAL_NONALLOCATING;

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
  }

 private:
  // Saturates, so that an impossible count fails like any other that does not fit.
  template <class T>
  static constexpr std::size_t ArrayBytes(std::size_t count) noexcept {
    std::size_t bytes = 0;
    return __builtin_mul_overflow(count, sizeof(T), &bytes) ? std::numeric_limits<std::size_t>::max() : bytes;
  }

  // kMustFit: what does not fit ends the process.
  template <bool kMustFit>
  [[gnu::always_inline]] inline bool Bump(std::size_t sizeBytes, std::size_t alignment,
                                          std::byte*& memory) noexcept {
    STADIAL_ASSERT_FULL(alignment != 0 && (alignment & (alignment - 1)) == 0,
                        "alignment must be a power of two");
    STADIAL_ASSERT_FULL(!isLent_, "the arena is lent to an ArenaCursor; allocate from that, or close it");
#if STADIAL_ASSERT_LEVEL >= 2
    if (checks_.IsActive()) [[unlikely]] {
      return BumpChecked(sizeBytes, alignment, memory) ||
             (Grow(sizeBytes, alignment) && BumpChecked(sizeBytes, alignment, memory));
    }
#endif
    std::byte* start = cursor_;
    if (!FitsAt(start, end_, sizeBytes, alignment)) [[unlikely]] {
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

  void TakeBack(std::byte* cursor, [[maybe_unused]] const ArenaChecks::Mark& checks, bool isReset) noexcept {
    if (PlainCursor() > high_) high_ = PlainCursor();
#if STADIAL_ASSERT_LEVEL >= 2
    TakeBackChecked(cursor, checks, isReset);
#endif
    PoisonReturned(cursor, static_cast<std::size_t>(cursor_ - cursor));
    if (isReset) ++resetCount_;
    cursor_ = cursor;
  }
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
