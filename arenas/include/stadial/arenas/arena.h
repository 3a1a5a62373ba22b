// Arena: a bump allocator over memory that is already committed. The allocator of every hot path.
//
// Growth:       none; the capacity is what the constructor was given.
// Exhaustion:   Allocate, New, NewArray print what was asked, what is left and what to raise, and abort; the
// Try
//               forms return nullptr (or an empty span). No state changes when a Try form fails.
// Alignment:    of the address; any power of two, page size and beyond included; 16 unless said otherwise.
// Destructors:  never run. Types that need theirs do not compile here (kArenaStorable).
// Threads:      one thread at a time; nothing is locked. For several threads take a LaneSet.
// Invalidation: RewindTo and Reset invalidate everything allocated since the mark. Moving the arena does not.
//
// Cost: with a size known at compile time one add and one compare on a cursor that is always 16-aligned; the
// run-time alignment path is branch-free. There are no per-allocation statistics: the peak is read off the
// cursor when it is rewound. Rewinding is O(1), except in checked builds (poison.h), which overwrite what is
// taken back.
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

#include "stadial/arenas/assert.h"
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

inline constexpr std::size_t kArenaGranularityBytes = 16;

// The words an arena uses in its exhaustion message: "KIND arena 'NAME' exhausted: ...; REMEDY".
// The strings are not copied: they must outlive the arena.
struct ArenaOptions {
  const char* name = "unnamed";
  const char* kind = "";  // "frame", "setup", "compile"; may be empty
  const char* remedy = "raise its capacity";
};

// A position to rewind to. Belongs to one arena, and dies with that arena's next Reset. A default one belongs
// to none.
class ArenaMark {
 public:
  ArenaMark() noexcept = default;

 private:
  friend class Arena;
  ArenaMark(const Arena* arena, std::byte* cursor, std::uint32_t resetCount) noexcept
      : arena_(arena), cursor_(cursor), resetCount_(resetCount) {}
  const Arena* arena_ = nullptr;
  std::byte* cursor_ = nullptr;
  std::uint32_t resetCount_ = 0;
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
      LiftPoison(base_, CapacityBytes());
      MoveFrom(other);
    }
    return *this;
  }
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena() { LiftPoison(base_, CapacityBytes()); }

  // Uninitialised memory, never nullptr. A request of zero bytes gives an address that must not be accessed.
  [[nodiscard, gnu::always_inline, gnu::returns_nonnull]] inline void* Allocate(
      std::size_t sizeBytes, std::size_t alignment = kArenaGranularityBytes) noexcept {
    std::byte* memory;
    if (!Bump(sizeBytes, alignment, memory)) [[unlikely]]
      Exhausted(sizeBytes, alignment);
    return memory;
  }

  // The same, nullptr when it does not fit; any size is safe, SIZE_MAX included. `alignment`: a power of two.
  [[nodiscard, gnu::always_inline]] inline void* TryAllocate(
      std::size_t sizeBytes, std::size_t alignment = kArenaGranularityBytes) noexcept {
    std::byte* memory;
    return Bump(sizeBytes, alignment, memory) ? memory : nullptr;
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

  [[nodiscard]] ArenaMark Mark() const noexcept { return {this, cursor_, resetCount_}; }

  // Takes back everything allocated since the mark. The mark must be this arena's own, from after its last
  // Reset, and not above the cursor. Prefer ArenaScope.
  void RewindTo(const ArenaMark& mark) noexcept {
    STADIAL_ASSERT_COMPARE(mark.arena_, ==, static_cast<const Arena*>(this),
                           "the mark belongs to another arena");
    STADIAL_ASSERT_COMPARE(mark.resetCount_, ==, resetCount_,
                           "the mark is older than the arena's last Reset");
    STADIAL_ASSERT_COMPARE(mark.cursor_, <=, cursor_,
                           "the mark lies above the cursor: it was rewound past already");
    TakeBack(mark.cursor_);
  }

  // Takes back everything and counts one use of the arena.
  void Reset() noexcept {
    TakeBack(base_);
    ++resetCount_;
  }

  // Bytes used include the rounding of every size to 16 and the padding of alignments.
  std::size_t UsedBytes() const noexcept { return static_cast<std::size_t>(cursor_ - base_); }
  std::size_t CapacityBytes() const noexcept { return static_cast<std::size_t>(end_ - base_); }
  std::size_t RemainingBytes() const noexcept { return static_cast<std::size_t>(end_ - cursor_); }
  // The most that was in use at once since construction.
  std::size_t PeakBytes() const noexcept {
    return static_cast<std::size_t>((cursor_ > high_ ? cursor_ : high_) - base_);
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

  [[gnu::always_inline]] inline bool Bump(std::size_t sizeBytes, std::size_t alignment,
                                          std::byte*& memory) noexcept {
    STADIAL_ASSERT_FULL(alignment != 0 && (alignment & (alignment - 1)) == 0,
                        "alignment must be a power of two");
    std::byte* start = cursor_;
    std::size_t available = static_cast<std::size_t>(end_ - start);
    // The cursor is 16-aligned, so smaller alignments need no padding and the test folds away when it is
    // constant.
    if (!(__builtin_constant_p(alignment) && alignment <= kArenaGranularityBytes)) {
      const std::size_t padding = (0 - reinterpret_cast<std::uintptr_t>(start)) & (alignment - 1);
      if (padding > available) [[unlikely]]
        return false;
      start += padding;
      available -= padding;
    }
    // `available` is a multiple of 16, so comparing the unrounded size is exact and cannot overflow.
    if (sizeBytes > available) [[unlikely]]
      return false;
    cursor_ = start + ((sizeBytes + (kArenaGranularityBytes - 1)) & ~(kArenaGranularityBytes - 1));
    LiftPoison(start, sizeBytes);
    memory = start;
    return true;
  }

  void TakeBack(std::byte* cursor) noexcept {
    if (cursor_ > high_) high_ = cursor_;
    PoisonReturned(cursor, static_cast<std::size_t>(cursor_ - cursor));
    cursor_ = cursor;
  }
  void MoveFrom(Arena& other) noexcept;
  [[noreturn, gnu::cold, gnu::noinline]] void Exhausted(std::size_t sizeBytes,
                                                        std::size_t alignment) const noexcept;

  // Where an arena of no bytes stands: its cursor is a good address too, so the hot path tests for no null
  // pointer.
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
};

// Rewinds the arena to where it stood when the scope was opened. Scopes of one arena close in reverse order.
class [[nodiscard]] ArenaScope {
 public:
  explicit ArenaScope(Arena& arena) noexcept : arena_(arena), mark_(arena.Mark()) {}
  ~ArenaScope() { arena_.RewindTo(mark_); }
  ArenaScope(const ArenaScope&) = delete;
  ArenaScope& operator=(const ArenaScope&) = delete;

 private:
  Arena& arena_;
  ArenaMark mark_;
};

}  // namespace stadial::arenas
