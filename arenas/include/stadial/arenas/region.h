// Region: the one reservation of address space a process makes, and its named, guarded segments.
//
//   | guard | records | guard | segment 0 | guard | segment 1 | guard | ... rest, inaccessible | guard |
//
// Growth:       segments are added up to segmentsMax, until Seal. A segment commits a growing prefix of
// itself. Exhaustion:   a Result that names the segment, what was asked, what is left and which option to
// raise. Alignment:    segments start at a page, or at SegmentOptions::alignmentBytes (an address alignment).
// Destructors:  ~Region unmaps everything; it runs no destructor of what lies inside.
// Threads:      AddSegment, Seal, Commit, Decommit, Protect: one thread at a time. Reads: any thread.
// Invalidation: Segment pointers and addresses stay valid until the region is destroyed, also when it is
// moved.
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
};

struct SegmentOptions {
  const char* name = "";           // copied; must be unique in the region and not empty
  std::size_t sizeBytes = 0;       // address space of the segment, rounded up to pages
  std::size_t alignmentBytes = 0;  // of its first byte; a power of two; 0: a page
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

  // Makes the first `prefixBytes` (rounded up to pages) readable and writable and pre-faults them, so that no
  // later touch faults. Less than what is committed already: nothing happens. Contents stay. Errors:
  // CapacityExceeded beyond ReservedBytes, OutOfMemory when the system refuses; then nothing has changed.
  Result<void> Commit(std::size_t prefixBytes);
  Result<void> CommitAll() { return Commit(reservedBytes_); }
  // Gives all storage back; the contents are lost and the addresses inaccessible.
  Result<void> Decommit();
  // Changes the access of everything committed. ReadOnly makes a finished plan immutable in hardware.
  Result<void> Protect(PageAccess access);

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

  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

 private:
  friend class Region;
  Segment() = default;

  std::byte* base_ = nullptr;
  std::size_t reservedBytes_ = 0;
  std::size_t committedBytes_ = 0;
  PageAccess access_ = PageAccess::ReadWrite;  // of the committed prefix
  MappingNameMethod nameMethod_ = MappingNameMethod::None;
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
  void MoveFrom(Region& other) noexcept;
  void Release() noexcept;

  std::byte* base_ = nullptr;
  std::size_t reservedBytes_ = 0;
  std::size_t guardBytes_ = 0;
  std::byte* next_ = nullptr;  // first byte not taken by a segment
  Segment* segments_ = nullptr;
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
