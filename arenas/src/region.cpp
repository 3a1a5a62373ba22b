#include "stadial/arenas/region.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "stadial/arenas/byte_text.h"

namespace stadial::arenas {
namespace {

// SIZE_MAX rounds down instead of wrapping to 0: such a request is refused by name, not served by accident.
std::size_t RoundUp(std::size_t bytes, std::size_t step) noexcept {
  return bytes > SIZE_MAX - (step - 1) ? SIZE_MAX & ~(step - 1) : (bytes + step - 1) & ~(step - 1);
}

std::size_t RoundUpToPages(std::size_t bytes) noexcept { return RoundUp(bytes, PageSize()); }

bool IsPowerOfTwo(std::size_t value) noexcept { return value != 0 && (value & (value - 1)) == 0; }

// What a name may contain so that both naming methods accept it and a report stays readable.
bool IsGoodName(const char* name) noexcept {
  if (name == nullptr || name[0] == '\0' || std::strlen(name) >= kMappingNameBytesMax) return false;
  return std::all_of(name, name + std::strlen(name),
                     [](char c) { return c > ' ' && c < 0x7f && std::strchr("\\`$[]/", c) == nullptr; });
}

Error MakeNameError(const char* what, const char* name) noexcept {
  return Error::Format(
      ErrorCode::InvalidArgument,
      "%s name '%.64s' is not usable: give 1 to %zu printable characters without blanks, \\ ` $ [ ] /", what,
      name == nullptr ? "" : name, kMappingNameBytesMax - 1);
}

// "REGION:SEGMENT", as shown in /proc/self/maps.
struct MappingName {
  char text[2 * kMappingNameBytesMax + 1];
  MappingName(const char* region, const char* segment) noexcept {
    std::snprintf(text, sizeof text, "%s:%s", region, segment);
  }
};

}  // namespace

// The segments' records, then the pins.
std::size_t Region::RecordBytes(const RegionOptions& options) noexcept {
  static_assert(alignof(Segment::PinRecord) <= alignof(Segment), "the pins follow the segments");
  return RoundUpToPages(std::size_t{options.segmentsMax} * sizeof(Segment) +
                        std::size_t{options.pinsMax} * sizeof(Segment::PinRecord));
}

// Guards around the records and one page of a segment: less is no region.
std::size_t Region::SmallestBytes(const RegionOptions& options, std::size_t guardBytes) noexcept {
  return 3 * guardBytes + RecordBytes(options) + PageSize();
}

Result<void> Region::CheckOptions(const RegionOptions& options, std::size_t guardBytes) {
  if (!IsGoodName(options.name)) return MakeNameError("region", options.name);
  if (options.segmentsMax == 0 || options.segmentsMax > 4096) {
    return Error::Format(ErrorCode::InvalidArgument, "region '%s': segmentsMax is %u; give 1 to 4096",
                         options.name, options.segmentsMax);
  }
  if (options.pinsMax > 65536) {
    return Error::Format(ErrorCode::InvalidArgument, "region '%s': pinsMax is %u; give at most 65536",
                         options.name, options.pinsMax);
  }
  if (guardBytes > options.sizeBytes || options.sizeBytes < SmallestBytes(options, guardBytes)) {
    const std::size_t needed =
        guardBytes > options.sizeBytes ? guardBytes : SmallestBytes(options, guardBytes);
    return Error::Format(
        ErrorCode::InvalidArgument,
        "region '%s': sizeBytes is %s; with guards of %s and %u segments it needs at least %s; raise "
        "region.sizeBytes",
        options.name, FormatBytes(options.sizeBytes).Get(), FormatBytes(guardBytes).Get(),
        options.segmentsMax, FormatBytes(needed).Get());
  }
  return {};
}

Result<Region> Region::Reserve(const RegionOptions& options) {
  const std::size_t page = PageSize();
  const std::size_t guardBytes = std::max(page, RoundUpToPages(options.guardBytes));
  STADIAL_RETURN_IF_ERROR(CheckOptions(options, guardBytes));

  Region region;
  region.guardBytes_ = guardBytes;
  region.segmentsMax_ = options.segmentsMax;
  std::snprintf(region.name_, sizeof region.name_, "%s", options.name);
  region.reservedBytes_ = RoundUpToPages(options.sizeBytes);
  auto reserved = ReserveAddressSpace(region.reservedBytes_, page);
  const int errorNumber = errno;
  const bool retrySensible = options.retryBytes != 0 && options.retryBytes < options.sizeBytes &&
                             options.retryBytes >= SmallestBytes(options, guardBytes);
  if (reserved) {
    region.base_ = reserved.Value();
  } else if (retrySensible) {
    region.reservedBytes_ = RoundUpToPages(options.retryBytes);
    auto retried = ReserveAddressSpace(region.reservedBytes_, page);
    if (!retried) return MakeAddressSpaceError(options, ReadAddressSpaceLimits(), errorNumber);
    region.base_ = retried.Value();
    region.isRetry_ = true;
  } else {
    RegionOptions tried = options;
    tried.retryBytes = 0;
    return MakeAddressSpaceError(tried, ReadAddressSpaceLimits(), errorNumber);
  }
  STADIAL_RETURN_IF_ERROR(region.PlaceRecords(options));
  return region;
}

Result<void> Region::PlaceRecords(const RegionOptions& options) {
  std::byte* const records = base_ + guardBytes_;
  const std::size_t recordBytes = RecordBytes(options);
  const auto committed = CommitPages(records, recordBytes);
  if (!committed) {
    return Error::Format(committed.GetError().Code(), "region '%s': its records: %s", name_,
                         committed.GetError().Message());
  }
  NameMapping(MappingName(name_, "records").text, base_, guardBytes_, records, recordBytes);
  segments_ = reinterpret_cast<Segment*>(records);
  auto* const pins =
      reinterpret_cast<Segment::PinRecord*>(records + std::size_t{options.segmentsMax} * sizeof(Segment));
  std::uninitialized_value_construct_n(pins, options.pinsMax);
  pins_ = {pins, options.pinsMax};
  next_ = records + recordBytes;
  return {};
}

Result<void> Region::CheckNewSegment(const SegmentOptions& options) const {
  if (!IsGoodName(options.name)) return MakeNameError("segment", options.name);
  if (sealed_) {
    return Error::Format(ErrorCode::WrongPhase,
                         "segment '%s': region '%s' is sealed; add segments before Seal", options.name,
                         name_);
  }
  if (Find(options.name) != nullptr) {
    return Error::Format(ErrorCode::InvalidArgument,
                         "segment '%s' exists already in region '%s'; give it another name", options.name,
                         name_);
  }
  if (segmentCount_ == segmentsMax_) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "segment '%s': region '%s' has all its %u segments; raise segmentsMax", options.name,
                         name_, segmentsMax_);
  }
  if (options.sizeBytes == 0 || (options.alignmentBytes != 0 && !IsPowerOfTwo(options.alignmentBytes))) {
    return Error::Format(
        ErrorCode::InvalidArgument,
        "segment '%s': %zu bytes at a multiple of %zu; give a size above 0 and a power of two", options.name,
        options.sizeBytes, options.alignmentBytes);
  }
  return {};
}

Result<Segment*> Region::AddSegment(const SegmentOptions& options) {
  STADIAL_RETURN_IF_ERROR(CheckNewSegment(options));
  const std::size_t step =
      options.hugePages == HugePages::Advise ? std::max(kHugePageBytes, PageSize()) : PageSize();
  const std::size_t alignment = std::max(options.alignmentBytes, step);
  const std::size_t sizeBytes = RoundUp(options.sizeBytes, step);
  const std::uintptr_t earliest = reinterpret_cast<std::uintptr_t>(next_) + guardBytes_;
  const std::size_t padding = (0 - earliest) & (alignment - 1);
  const std::uintptr_t regionEnd = reinterpret_cast<std::uintptr_t>(base_) + reservedBytes_;
  // One guard in front, one behind.
  const std::size_t unused = regionEnd - reinterpret_cast<std::uintptr_t>(next_);
  const std::size_t left = unused > 2 * guardBytes_ ? unused - 2 * guardBytes_ : 0;
  if (padding > left || sizeBytes > left - padding) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "segment '%s': asked %s at a multiple of %s, %s left of %s in region '%s'%s; raise "
                         "region.sizeBytes or ask for less",
                         options.name, FormatBytes(options.sizeBytes).Get(), FormatBytes(alignment).Get(),
                         FormatBytes(left).Get(), FormatBytes(reservedBytes_).Get(), name_,
                         isRetry_ ? " (the smaller retry: the full size was refused)" : "");
  }

  Segment* const segment = ::new (static_cast<void*>(segments_ + segmentCount_)) Segment;
  segment->base_ = next_ + guardBytes_ + padding;
  segment->reservedBytes_ = sizeBytes;
  segment->stepBytes_ = step;
  segment->pins_ = pins_;
  segment->isInDumps_ = options.isInDumps;
  std::snprintf(segment->name_, sizeof segment->name_, "%s", options.name);
  segment->nameMethod_ = NameMapping(MappingName(name_, options.name).text, segment->base_ - guardBytes_,
                                     guardBytes_, segment->base_, sizeBytes);
  segment->hugePages_ = options.hugePages;
  segment->isHugePagesRefused_ = !ChooseHugePages(segment->base_, sizeBytes, options.hugePages);
  if (options.isInheritedByFork) SetInheritedByFork(segment->base_, sizeBytes, true);
  next_ = segment->base_ + sizeBytes;
  ++segmentCount_;
  return segment;
}

Segment* Region::Find(std::string_view name) const noexcept {
  for (Segment& segment : Segments()) {
    if (name == segment.Name()) return &segment;
  }
  return nullptr;
}

Segment* Region::SegmentOf(const void* address) const noexcept {
  for (Segment& segment : Segments()) {
    if (segment.Contains(address)) return &segment;
  }
  return nullptr;
}

Region::Region(Region&& other) noexcept { MoveFrom(other); }

Region& Region::operator=(Region&& other) noexcept {
  if (this != &other) {
    Release();
    MoveFrom(other);
  }
  return *this;
}

Region::~Region() { Release(); }

void Region::MoveFrom(Region& other) noexcept {
  base_ = std::exchange(other.base_, nullptr);
  reservedBytes_ = std::exchange(other.reservedBytes_, 0);
  guardBytes_ = other.guardBytes_;
  next_ = std::exchange(other.next_, nullptr);
  segments_ = std::exchange(other.segments_, nullptr);
  pins_ = std::exchange(other.pins_, {});
  segmentCount_ = std::exchange(other.segmentCount_, 0);
  segmentsMax_ = std::exchange(other.segmentsMax_, 0);
  isRetry_ = other.isRetry_;
  sealed_ = other.sealed_;
  std::memcpy(name_, other.name_, sizeof name_);
}

void Region::Release() noexcept {
  if (base_ == nullptr) return;
  for (Segment& segment : Segments()) LiftPoison(segment.base_, segment.committedBytes_);
  ReleaseAddressSpace(base_, reservedBytes_);
  base_ = nullptr;
}

Error MakeAddressSpaceError(const RegionOptions& options, const AddressSpaceLimits& limits,
                            int errorNumber) noexcept {
  char retried[64] = "";
  if (options.retryBytes != 0) {
    std::snprintf(retried, sizeof retried, ", then %s as well", FormatBytes(options.retryBytes).Get());
  }
  char found[96];
  const char* remedy = "set RuntimeOptions::region.sizeBytes to what this machine allows";
  if (limits.addressSpaceBytes != UINT64_MAX) {
    std::snprintf(found, sizeof found, "RLIMIT_AS is %s", FormatBytes(limits.addressSpaceBytes).Get());
    remedy = "raise it with 'ulimit -v unlimited' or set RuntimeOptions::region.sizeBytes below it";
  } else if (limits.underValgrind) {
    std::snprintf(found, sizeof found, "valgrind bounds the address space");
    remedy = "set RuntimeOptions::region.sizeBytes to 48 GiB or less under valgrind";
  } else if (limits.overcommitPolicy == 2) {
    std::snprintf(found, sizeof found, "vm.overcommit_memory is 2");
    remedy = "set it to 0 or 1, raise vm.overcommit_ratio, or set RuntimeOptions::region.sizeBytes lower";
  } else {
    std::snprintf(found, sizeof found, "no limit of this process explains it");
  }
  return Error::Format(ErrorCode::AddressSpace, "region '%.31s': %s of address space refused (%s)%s; %s; %s",
                       options.name, FormatBytes(options.sizeBytes).Get(), std::strerror(errorNumber),
                       retried, found, remedy);
}

}  // namespace stadial::arenas
