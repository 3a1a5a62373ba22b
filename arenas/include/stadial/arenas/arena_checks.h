// ArenaChecks: what an arena of a checked build (STADIAL_ASSERT_LEVEL full) knows beyond its cursor. In the
// other builds the class is empty and every function folds to nothing.
//
// Guards. An arena made with ArenaOptions::guardBytes puts a guard behind every allocation and looks at it
// when the allocation is taken back; memory taken back is looked at when it is handed out again. A damaged
// guard is an overrun or an underrun, a damaged byte of free memory a write through a stale pointer. Each
// aborts with the arena, the offset, the size of the allocation and the code that made it.
//
//   | lead | payload | slack | front canary, record, tail canary | payload | slack | front canary, ...
//
// Guards never change what an arena reports: they live in the guardBytes on top of its capacity, and used,
// remaining and peak bytes, and what is refused, are those of the same arena without guards. When they are
// used up, further allocations go without. (One exception: an alignment that guardBytes is no multiple of may
// be refused when guards have pushed the cursor past the last address that would have served it.)
//
// An arena that is never rewound is looked at by Arena::CheckGuards only.
//
// Threads. With ArenaOptions::oneThread the first allocation after a Reset binds the arena to its thread; an
// allocation or rewind by another aborts. Arena::HandOver lifts it. Reset may come from any thread.
//
// Generations. Every rewind is remembered as far as it matters to a FramePtr (frame_ptr.h). Looking one up is
// safe from any thread while the owner allocates and rewinds.
//
// Cost, checked builds only: a guarded allocation some 20 ns and kGuardBytes, a rewind O(bytes).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <source_location>

#include "stadial/arenas/assert.h"

namespace stadial::arenas {

class Arena;
class ArenaCore;

// Whether the build has guards, generations and the rest: worth giving guardBytes.
inline constexpr bool kArenaChecks = STADIAL_ASSERT_LEVEL >= 2;

#if STADIAL_ASSERT_LEVEL >= 2

// One guard. The lead stands before the payload where no other guard does, and fills what alignment skips.
struct ArenaGuard {
  std::uint64_t frontCanary;
  ArenaGuard* previous;
  std::byte* payload;
  std::size_t sizeBytes;
  const void* site;  // code address of the allocation
  std::uint32_t leadBytes;
  std::uint32_t recordHash;  // of the five above, so that a wild write is not taken for a record
  std::uint64_t tailCanary[2];
};

// What damaged memory looks like: for Arena::FindDamage, and the message made of it.
struct ArenaDamage {
  enum class Kind : std::uint8_t { None, Overrun, Underrun, StaleWrite };
  Kind kind = Kind::None;
  const std::byte* address = nullptr;  // of the first damaged byte
  // The allocation that was overrun or underrun; null when it is not known, and for a stale write.
  const std::byte* allocation = nullptr;
  std::size_t allocationBytes = 0;
  const void* site = nullptr;
  explicit operator bool() const noexcept { return kind != Kind::None; }
};

class ArenaChecks {
 public:
  // What a mark carries besides the cursor.
  struct Mark {
    std::size_t guardBytesSpent = 0;
    std::source_location site;  // where it was set, or the Reset called
  };
  static Mark MakeMark(std::size_t guardBytesSpent, const std::source_location& site) noexcept {
    return {guardBytesSpent, site};
  }

  // What a pointer is compared with later.
  std::uint64_t Generation() const noexcept {
    return generation_.load(std::memory_order_relaxed) & ~kWriting;
  }
  // Whether memory at `address`, handed out at `generation`, has not been taken back since. Any thread. The
  // last kRewindsMax rewinds that left something below them are remembered; older ones since the last Reset
  // are forgotten, in favour of the pointer.
  bool IsLive(const void* address, std::uint64_t generation) const noexcept {
    return Generation() == generation || IsLiveSlow(address, generation);
  }
  // The rewind that killed it, for the report.
  struct Killer {
    std::uint32_t resetNumber = 0;  // the arena's resets counted from 1; 0: a rewind to a mark
    bool isSiteKnown = false;       // only the last kResetsMax resets know theirs
    std::source_location site;      // of the Reset, or where the mark was set
  };
  // `resetCount`: Arena::ResetCount() when the memory was handed out.
  Killer FindKiller(const void* address, std::uint64_t generation, std::uint32_t resetCount) const noexcept;

  std::size_t GuardBytesSpent() const noexcept { return guardBytesSpent_; }
  std::size_t GuardBytes() const noexcept { return guardBytes_; }

 private:
  friend class Arena;
  friend class ArenaCore;

  // A rewind: everything handed out before `generation` at or above `target` is dead.
  struct Rewind {
    std::atomic<std::uint64_t> generation{0};
    std::atomic<const std::byte*> target{nullptr};
    std::source_location site;
  };
  static constexpr std::uint32_t kRewindsMax = 16;
  static constexpr std::uint32_t kResetsMax = 8;
  static constexpr std::uint64_t kWriting = 1;  // set in the generation while the owner writes the tables

  bool IsActive() const noexcept { return guardBytes_ != 0 || oneThread_; }
  bool IsLiveSlow(const void* address, std::uint64_t generation) const noexcept;
  void NoteRewind(const std::byte* target, const std::source_location& site) noexcept;
  void NoteReset(const std::source_location& site) noexcept;
  void TakeFrom(ArenaChecks& other) noexcept;

  std::atomic<std::uint64_t> generation_{0};
  std::atomic<std::uint64_t> lastResetGeneration_{0};
  std::atomic<std::uint32_t> rewindCount_{0};
  std::atomic<std::uint32_t> resetCount_{0};
  Rewind rewinds_[kRewindsMax];              // since the last Reset; generations and targets both rise
  std::source_location resets_[kResetsMax];  // reset n (from 1) at (n - 1) % kResetsMax

  std::size_t guardBytes_ = 0;
  std::size_t guardBytesSpent_ = 0;  // how far the cursor stands above where it would without guards
  ArenaGuard* lastGuard_ = nullptr;
  std::byte* filledEnd_ = nullptr;  // free memory below it is kPoisonByte throughout
  std::uint32_t thread_ = 0;        // ordinal of the thread it is bound to; 0: none
  bool oneThread_ = false;
};

// What one allocation takes of guardBytes, without a lead (at most 16 and what alignment skips).
inline constexpr std::size_t kGuardBytes = sizeof(ArenaGuard);
static_assert(kGuardBytes % 16 == 0, "a guard keeps the cursor 16-aligned");

#else

class ArenaChecks {
 public:
  struct Mark {};
  static constexpr std::uint64_t Generation() noexcept { return 0; }
  static constexpr bool IsLive(const void*, std::uint64_t) noexcept { return true; }
  static constexpr std::size_t GuardBytesSpent() noexcept { return 0; }
  static constexpr std::size_t GuardBytes() noexcept { return 0; }
  static constexpr Mark MakeMark(std::size_t, const std::source_location&) noexcept { return {}; }
};

inline constexpr std::size_t kGuardBytes = 0;

#endif

}  // namespace stadial::arenas
