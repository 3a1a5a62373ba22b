// Quarantine: rotating address windows, so that what a stale pointer points to is not there any more. An
// arena that is rewound goes on in the next window, and the window it leaves becomes inaccessible: a stale
// pointer, also a raw one, also in a release build, faults at the very instruction that uses it (SIGSEGV).
//
//   | window 0: inaccessible | window 1: in use | window 2: inaccessible | ... | window N-1: inaccessible |
//
// A window is used again after windowCount - 1 further rewinds; only then can a stale pointer meet valid
// memory.
//
// Growth:       none; it divides the memory it is given.
// Exhaustion:   the arenas'. Rotate fails when the system refuses the change of access; then nothing changes.
// Alignment:    windows start at pages.
// Destructors:  none run. What a stale pointer must not see any more must not need one.
// Threads:      Rotate: when nobody uses the memory. Describe: any thread, also from a signal handler.
// Invalidation: Rotate makes every address in the window it leaves inaccessible.
//
// Cost: windowCount times the memory, all of it committed, and two changes of access for each rewind: some
// microseconds, and no page fault later. It is meant for tests and for hunting a bug, not for a shipped game.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>

#include "stadial/arenas/effects.h"
#include "stadial/arenas/lanes.h"
#include "stadial/arenas/result.h"
#include "stadial/arenas/virtual_memory.h"

namespace stadial::arenas {

inline constexpr std::uint32_t kQuarantineWindowsMax = 4096;

struct QuarantineOptions {
  const char* name = "quarantine";  // not copied; for messages
  std::uint32_t windowCount = 8;    // 2 to kQuarantineWindowsMax
};

class Quarantine {
 public:
  // No windows: IsOn is false and Rotate must not be called.
  Quarantine() noexcept = default;

  // Divides the committed pages [base, base + bytes), which must start at a page, into windows of equal size.
  // The first is open, the others are closed at once. The memory must come back to ReadWrite (Open) before
  // another owner uses it. Errors: InvalidArgument for a count out of range or less than a page each, and
  // those of ProtectPages.
  static Result<Quarantine> Create(const QuarantineOptions& options, std::byte* base, std::size_t bytes);

  // Opens the next window and closes the present one. Errors: those of CommitPages and ProtectPages; the
  // present window stays open and in use.
  Result<std::byte*> Rotate();

  // Rotates and resets every lane into the new window. The lanes must have been carved from the present one.
  Result<void> RotateAndReset(const LaneSet& lanes,
                              std::source_location site = std::source_location::current())
      STADIAL_NONALLOCATING;

  // Makes all windows accessible again: the end of the quarantine.
  Result<void> Open();

  bool IsOn() const noexcept { return windowCount_ != 0; }
  std::byte* Window() const noexcept { return base_ + windowBytes_ * current_; }  // the one in use
  std::size_t WindowBytes() const noexcept { return windowBytes_; }
  std::uint32_t WindowCount() const noexcept { return windowCount_; }
  std::uint64_t Rotations() const noexcept { return rotations_; }

  // What a faulting address is, for a crash handler. Does not allocate.
  struct Place {
    bool isInside = false;           // in one of the windows
    bool isOpen = false;             // in the one in use
    std::uint32_t window = 0;        // index of the window
    std::size_t offsetBytes = 0;     // in it
    std::uint64_t rotationsAgo = 0;  // when it was closed: 1 is the last Rotate; 0: in use, or never used yet
  };
  Place Describe(const void* address) const noexcept;

 private:
  const char* name_ = "";
  std::byte* base_ = nullptr;
  std::size_t windowBytes_ = 0;
  std::uint32_t windowCount_ = 0;
  std::uint32_t current_ = 0;
  std::uint64_t rotations_ = 0;
};

}  // namespace stadial::arenas
