// Region: the one reservation of address space a process makes, and its named, guarded segments.
//
//   | guard | records | guard | segment 0 | guard | segment 1 | guard | ... rest, inaccessible | guard |
//
// Growth:       segments are added up to segmentsMax, until Seal. A segment commits a growing prefix.
// Exhaustion:   a Result that names the segment, what was asked, what is left and which option to raise.
// Alignment:    segments start at a page, at SegmentOptions::alignmentBytes (an address alignment), or at
//               kHugePageBytes where huge pages are asked for.
// Destructors:  ~Region unmaps everything; it runs no destructor of what lies inside.
// Threads:      AddSegment, Seal, and what changes a segment (Commit, Decommit, Protect, Pin, Unpin): one
//               thread at a time in the whole region. Reads: any thread.
// Invalidation: Segment pointers and addresses stay valid until the region is destroyed, also when moved.
//
// The segment records live in the region's own first pages; nothing is taken from the heap. A guard of
// inaccessible pages stands on both sides of every segment, so that an overrun faults. Each segment shows in
// /proc/self/maps as "REGION:SEGMENT" (see MappingNameMethod).
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <span>
#include <string_view>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/result.h"
#include "stadial/arenas/size_literals.h"
#include "stadial/arenas/virtual_memory.h"

namespace stadial::arenas {

struct RegionOptions {
  const char* name = "stadial";     // copied; at most kMappingNameBytesMax - 1 characters count
  std::size_t sizeBytes = 64_GiB;   // address space, not memory
  std::size_t retryBytes = 8_GiB;   // tried once when sizeBytes is refused and larger; 0: never
  std::size_t guardBytes = 64_KiB;  // on each side of every segment; at least one page
  std::uint32_t segmentsMax = 16;
  std::uint32_t pinsMax = 64;  // pinned ranges at a time, in all segments together
};

struct SegmentOptions {
  const char* name = "";           // copied; must be unique in the region and not empty
  std::size_t sizeBytes = 0;       // address space of the segment, rounded up to pages
  std::size_t alignmentBytes = 0;  // of its first byte; a power of two; 0: a page
  // Advise: the segment starts at kHugePageBytes and is sized, committed and decommitted in steps of it. Pays
  // where much memory is committed or touched at random (7 to 20 times fewer faults); a steady frame is as
  // fast without. Measure it on the machine in question.
  HugePages hugePages = HugePages::System;
  // True: children made by fork() see its bytes (never the Segment itself, so keep the address), and each
  // page written after a fork faults here once.
  bool isInheritedByFork = false;
  bool isInDumps = true;  // of its committed part; false: core dumps leave it out
};

// When less is needed: see Segment::Decommit.
struct DecommitOptions {
  std::size_t keepBytes = 0;   // this prefix stays
  std::size_t slackBytes = 0;  // so much more may stay committed: hysteresis against repeated grow and shrink
};

// An arena that commits further as it fills: see Segment::MakeGrowingArena.
struct GrowthOptions {
  std::size_t stepBytes = 1_MiB;            // committed ahead at a time, at least
  std::size_t capacityBytesMax = SIZE_MAX;  // it never grows beyond; at most what the segment has
};

// What a segment holds now and did since it was added. All of it is counted off the hot path.
struct SegmentStats {
  std::size_t reservedBytes = 0;
  std::size_t committedBytes = 0;
  std::size_t committedBytesPeak = 0;
  std::size_t pinnedBytes = 0;  // overlapping pins count each
  std::uint32_t pins = 0;
  std::uint64_t commits = 0;            // that asked the system for memory
  std::uint64_t decommits = 0;          // that gave some back
  std::uint64_t decommitsDeferred = 0;  // that slackBytes kept from giving any back
  HugePages hugePages = HugePages::System;
  bool isHugePagesRefused = false;  // the kernel does not take the choice
};

// A pinned range, for Unpin. A default one pins nothing.
class SegmentPin {
 public:
  SegmentPin() noexcept = default;

 private:
  friend class Segment;
  SegmentPin(std::uint32_t index, std::uint32_t generation) noexcept
      : index_(index), generation_(generation) {}
  std::uint32_t index_ = 0;
  std::uint32_t generation_ = 0;  // odd while pinned
};

inline constexpr std::size_t kMappingNameBytesMax = 32;

class Segment {
 public:
  const char* Name() const noexcept { return name_; }
  std::byte* Base() const noexcept { return base_; }
  std::size_t ReservedBytes() const noexcept { return reservedBytes_; }
  std::size_t CommittedBytes() const noexcept { return committedBytes_; }
  PageAccess Access() const noexcept { return access_; }
  MappingNameMethod NameMethod() const noexcept { return nameMethod_; }

  // Makes the first `prefixBytes` (rounded up to StepBytes) readable and writable and pre-faults them, so
  // that no later touch faults. Less than what is committed already: nothing happens. Contents stay. Errors:
  // CapacityExceeded beyond ReservedBytes, OutOfMemory when the system refuses; then nothing has changed.
  Result<void> Commit(std::size_t prefixBytes);
  Result<void> CommitAll() { return Commit(reservedBytes_); }
  // Gives storage behind the first keepBytes back; its contents are lost and its addresses inaccessible. As
  // long as no more than slackBytes stand behind them nothing happens; else half of the slack stays. So each
  // decommit gives back at least half the slack, and a segment that grows and shrinks by less than that costs
  // nothing. Arenas over what goes are the caller's error. Errors: WrongPhase when a part is pinned, naming
  // who pinned it; OutOfMemory when the system refuses. Then nothing has changed.
  Result<void> Decommit(const DecommitOptions& options = {});
  // Changes the access of everything committed. ReadOnly makes a finished plan immutable in hardware.
  // Errors: WrongPhase for PageAccess::None while a part is pinned; OutOfMemory when the system refuses.
  Result<void> Protect(PageAccess access);
  // Gives storage to committed pages that the system took away (swap, reclaim), so that no touch faults
  // again.
  Result<void> Prefault();

  // Keeps committed bytes committed and accessible: a device or a driver reads and writes them behind the
  // CPU's back, and would go on using pages that are gone. `who` is not copied; it names the owner in errors.
  // Errors: InvalidArgument for a range that is empty, not committed or not accessible; CapacityExceeded when
  // all RegionOptions::pinsMax are in use. O(pinsMax).
  Result<SegmentPin> Pin(std::size_t offsetBytes, std::size_t sizeBytes, const char* who);
  // Asserts that the pin is one of this segment's and not lifted yet. O(1).
  void Unpin(SegmentPin pin) noexcept;

  // O(pinsMax).
  SegmentStats Stats() const noexcept;
  // The bytes that lie in huge pages now. Milliseconds (virtual_memory.h). Errors: Io, NotSupported.
  Result<std::size_t> CalculateHugeBytes() const;
  // What commits and decommits are rounded up to: a page, or kHugePageBytes.
  std::size_t StepBytes() const noexcept { return stepBytes_; }

  // Whether the address lies in the segment, committed or not; guards do not count.
  bool Contains(const void* address) const noexcept {
    return address >= static_cast<const void*>(base_) &&
           address < static_cast<const void*>(base_ + reservedBytes_);
  }

  // An arena over the committed bytes [offsetBytes, offsetBytes + sizeBytes). Asserts that they are
  // committed. Two arenas over the same bytes are the caller's error.
  Arena MakeArena(const ArenaOptions& options, std::size_t offsetBytes, std::size_t sizeBytes,
                  std::source_location site = std::source_location::current()) noexcept;
  // Over all committed bytes, named like the segment.
  Arena MakeArena(std::source_location site = std::source_location::current()) noexcept {
    return MakeArena(ArenaOptions{.name = name_}, 0, committedBytes_, site);
  }
  // An arena over the committed bytes from offsetBytes on which, when it is full, commits more of the
  // segment: growth.stepBytes at least, at most up to growth.capacityBytesMax of arena. Its addresses never
  // change. See Arena::AllowGrowth. One growing arena a segment, and nobody else uses what is committed
  // behind it.
  Arena MakeGrowingArena(const ArenaOptions& options, const GrowthOptions& growth,
                         std::size_t offsetBytes = 0,
                         std::source_location site = std::source_location::current()) noexcept;

  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

 private:
  friend class Region;
  struct PinRecord {
    const Segment* segment = nullptr;
    const char* who = nullptr;
    std::size_t offsetBytes = 0;
    std::size_t sizeBytes = 0;
    std::uint32_t generation = 0;  // odd: in use
  };

  Segment() = default;
  std::size_t RoundUpToSteps(std::size_t bytes) const noexcept;
  // Error when a pin reaches beyond the first `prefixBytes`.
  Result<void> CheckUnpinned(std::size_t prefixBytes, const char* operation) const;
  Error WithName(const Error& error) const noexcept;

  std::byte* base_ = nullptr;
  std::size_t reservedBytes_ = 0;
  std::size_t committedBytes_ = 0;
  std::size_t committedBytesPeak_ = 0;
  std::size_t stepBytes_ = 0;
  std::span<PinRecord> pins_;  // the region's, for all segments
  std::uint64_t commits_ = 0;
  std::uint64_t decommits_ = 0;
  std::uint64_t decommitsDeferred_ = 0;
  PageAccess access_ = PageAccess::ReadWrite;  // of the committed prefix
  MappingNameMethod nameMethod_ = MappingNameMethod::None;
  HugePages hugePages_ = HugePages::System;
  bool isHugePagesRefused_ = false;
  bool isInDumps_ = true;
  char name_[kMappingNameBytesMax] = {};
};

class Region {
 public:
  // Reserves the address space and commits the few pages of the segment records.
  // Errors: InvalidArgument; AddressSpace, naming the limit in the way, its value and what to change.
  static Result<Region> Reserve(const RegionOptions& options);

  Region(Region&& other) noexcept;
  Region& operator=(Region&& other) noexcept;
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region();

  // The next segment, inaccessible until its Commit.
  // Errors: WrongPhase after Seal; InvalidArgument; CapacityExceeded, naming what is left and the option to
  // raise.
  Result<Segment*> AddSegment(const SegmentOptions& options);
  // From now on the set of segments is final.
  void Seal() noexcept { sealed_ = true; }
  bool IsSealed() const noexcept { return sealed_; }

  std::span<Segment> Segments() const noexcept { return {segments_, segmentCount_}; }
  // nullptr when there is none of that name.
  Segment* Find(std::string_view name) const noexcept;
  // nullptr for addresses outside every segment, guards included. Linear in the number of segments.
  Segment* SegmentOf(const void* address) const noexcept;

  const char* Name() const noexcept { return name_; }
  std::byte* Base() const noexcept { return base_; }
  std::size_t ReservedBytes() const noexcept { return reservedBytes_; }
  std::size_t GuardBytes() const noexcept { return guardBytes_; }
  // True when sizeBytes was refused and the region has retryBytes instead.
  bool IsRetry() const noexcept { return isRetry_; }

 private:
  Region() noexcept = default;
  static std::size_t RecordBytes(const RegionOptions& options) noexcept;
  static std::size_t SmallestBytes(const RegionOptions& options, std::size_t guardBytes) noexcept;
  static Result<void> CheckOptions(const RegionOptions& options, std::size_t guardBytes);
  Result<void> PlaceRecords(const RegionOptions& options);
  Result<void> CheckNewSegment(const SegmentOptions& options) const;
  void MoveFrom(Region& other) noexcept;
  void Release() noexcept;

  std::byte* base_ = nullptr;
  std::size_t reservedBytes_ = 0;
  std::size_t guardBytes_ = 0;
  std::byte* next_ = nullptr;  // first byte not taken by a segment
  Segment* segments_ = nullptr;
  std::span<Segment::PinRecord> pins_;
  std::uint32_t segmentCount_ = 0;
  std::uint32_t segmentsMax_ = 0;
  bool isRetry_ = false;
  bool sealed_ = false;
  char name_[kMappingNameBytesMax] = {};
};

// The error Reserve returns when `options` were refused with `errorNumber` under these limits.
Error MakeAddressSpaceError(const RegionOptions& options, const AddressSpaceLimits& limits,
                            int errorNumber) noexcept;

}  // namespace stadial::arenas
