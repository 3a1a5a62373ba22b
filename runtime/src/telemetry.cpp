#include "stadial/runtime/telemetry.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <new>

#include "stadial/arenas/assert.h"
#include "stadial/runtime/audit.h"
#include "stadial/runtime/clock.h"
#include "stadial/runtime/designated_fallback.h"
#include "stadial/runtime/event_bus.h"
#include "stadial/runtime/frame_pacing.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/phase.h"
#include "telemetry_segment.h"

namespace stadial::runtime {
namespace {

// A reader that looks whether the writer lives holds the lock for a moment.
constexpr int kLockTriesMax = 1000;

void CopyName(char* target, std::size_t targetBytes, const char* name) noexcept {
  std::snprintf(target, targetBytes, "%s", name);
}

void MakeSegmentName(char* target, std::size_t targetBytes, const char* program) noexcept {
  std::snprintf(target, targetBytes, "stadial.%ld.%.*s", static_cast<long>(::getpid()),
                static_cast<int>(kTelemetryProgramBytesMax) - 1, program);
  for (char* at = std::strchr(std::strchr(target, '.') + 1, '.') + 1; *at != '\0'; ++at) {
    const bool isKept = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                        (*at >= '0' && *at <= '9') || *at == '-' || *at == '_';
    if (!isKept) *at = '_';
  }
}

Error SystemError(const char* segmentName, const char* what, int error) noexcept {
  const bool isRoom = error == ENOSPC || error == ENOMEM;
  return Error::Format(isRoom ? ErrorCode::OutOfMemory : ErrorCode::Io, "telemetry '/%s': %s: %s; %s",
                       segmentName, what, std::strerror(error),
                       isRoom ? "lower TelemetryOptions::recordsMax or give /dev/shm more room"
                              : "is /dev/shm mounted and writable?");
}

// The file, locked, of this name alone.
Result<int> CreateFile(const char* segmentName) noexcept {
  char path[kTelemetryProgramBytesMax + 40];
  std::snprintf(path, sizeof path, "/%s", segmentName);
  for (int tries = 0; tries < kLockTriesMax; ++tries) {
    detail::TelemetryFile file(::shm_open(path, O_RDWR | O_CREAT | O_EXCL, S_IRUSR | S_IWUSR));
    if (file.Get() < 0 && errno == EEXIST) {
      // A dead process of this number left it, or we publish under it ourselves.
      detail::TelemetryFile old(detail::OpenTelemetryFile(segmentName, true));
      if (old.Get() < 0 && errno == ENOENT) continue;
      if (old.Get() < 0) return SystemError(segmentName, "an older one cannot be opened", errno);
      if (detail::TryLockTelemetry(old.Get())) {
        ::shm_unlink(path);
        continue;
      }
      if (tries + 1 < kLockTriesMax) {
        ::sched_yield();
        continue;
      }
      return Error::Format(
          ErrorCode::InvalidArgument,
          "telemetry '/%s' is being published already; give each Runtime of a process a name of "
          "its own (RuntimeOptions::name)",
          segmentName);
    }
    if (file.Get() < 0) return SystemError(segmentName, "cannot be created", errno);
    int lockTries = 0;
    while (!detail::TryLockTelemetry(file.Get()) && ++lockTries < kLockTriesMax) ::sched_yield();
    struct stat status {};
    // Between its creation and its lock it looked as if its writer were dead, and may have been removed.
    if (lockTries < kLockTriesMax && ::fstat(file.Get(), &status) == 0 && status.st_nlink != 0)
      return file.Take();
  }
  return SystemError(segmentName, "cannot be locked", EBUSY);
}

// The whole file, with every page there: nothing faults or runs out of room later.
Result<void*> MapFile(const char* segmentName, int file, std::size_t bytes) noexcept {
  if (::ftruncate(file, static_cast<off_t>(bytes)) != 0)
    return SystemError(segmentName, "cannot be sized", errno);
  if (const int error = ::posix_fallocate(file, 0, static_cast<off_t>(bytes)); error != 0)
    return SystemError(segmentName, "cannot be filled", error);
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) return SystemError(segmentName, "cannot be mapped", errno);
  // A forked child must not publish in its parent's name.
  ::madvise(memory, bytes, MADV_DONTFORK);
  std::memset(memory, 0, bytes);
  return memory;
}

std::uint64_t UnixNs() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

Result<void> Telemetry::Check(const TelemetryOptions& options) noexcept {
  if (std::has_single_bit(options.recordsMax) && options.recordsMax >= kTelemetryRecordsMin &&
      options.recordsMax <= kTelemetryRecordsLimit) {
    return {};
  }
  return Error::Format(ErrorCode::InvalidArgument,
                       "TelemetryOptions::recordsMax is %u; it must be a power of two from %u to %u",
                       options.recordsMax, kTelemetryRecordsMin, kTelemetryRecordsLimit);
}

Result<Telemetry*> Telemetry::Create(const char* program, const TelemetryOptions& options,
                                     const Sources& sources, arenas::Arena& setup) noexcept {
  STADIAL_ASSERT_ALWAYS(sources.phases != nullptr && sources.events != nullptr &&
                            sources.fallbacks != nullptr && sources.audit != nullptr,
                        "a telemetry source is missing");
  STADIAL_RETURN_IF_ERROR(Check(options));
  void* const place = setup.TryAllocate(sizeof(Telemetry), alignof(Telemetry));
  if (place == nullptr) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "telemetry: no room in arena '%s'; raise RuntimeOptions::setupBytes", setup.Name());
  }
  char segmentName[sizeof segmentName_];
  MakeSegmentName(segmentName, sizeof segmentName, program);
  STADIAL_ASSIGN_OR_RETURN(const int created, CreateFile(segmentName));
  detail::TelemetryFile file(created);
  char path[sizeof segmentName + 1];
  std::snprintf(path, sizeof path, "/%s", segmentName);
  const std::size_t bytes = detail::TelemetryBytes(options.recordsMax);
  Result<void*> mapped = MapFile(segmentName, file.Get(), bytes);
  if (!mapped) {
    ::shm_unlink(path);
    return mapped.GetError();
  }
  auto* const header = ::new (mapped.Value()) TelemetryHeader{};
  TelemetryDescription& description = header->description;
  description.version = kTelemetryVersion;
  description.headerBytes = kTelemetryHeaderBytes;
  description.recordBytes = sizeof(Slot);
  description.recordCount = options.recordsMax;
  description.totalBytes = bytes;
  description.pid = static_cast<std::uint64_t>(::getpid());
  description.startNs = NowNs();
  description.startUnixNs = UnixNs();
  description.framesInFlight = sources.framesInFlight;
  description.warmupFrames = sources.warmupFrames;
  description.gateState = static_cast<std::uint64_t>(CurrentGateState());
  description.gatePolicy = sources.gatePolicy;
  if (sources.pacer != nullptr) {
    description.pacingPeriodNs = sources.pacer->Options().periodNs;
    description.pacingCeilingNs = sources.pacer->CeilingNs();
  }
  CopyName(description.program, sizeof description.program, program);

  auto* const telemetry = ::new (place) Telemetry(sources, *header, file.Take());
  telemetry->slots_ =
      reinterpret_cast<Slot*>(static_cast<std::byte*>(mapped.Value()) + kTelemetryHeaderBytes);
  for (std::uint32_t i = 0; i < options.recordsMax; ++i) ::new (telemetry->slots_ + i) Slot{};
  telemetry->slotMask_ = options.recordsMax - 1;
  std::memcpy(telemetry->segmentName_, segmentName, sizeof segmentName);
  return telemetry;
}

Telemetry::~Telemetry() {
  header_.closed.store(1, std::memory_order_release);
  char path[sizeof segmentName_ + 1];
  std::snprintf(path, sizeof path, "/%s", segmentName_);
  ::shm_unlink(path);
  ::munmap(static_cast<void*>(&header_), static_cast<std::size_t>(header_.description.totalBytes));
  ::close(file_);
}

Result<void> Telemetry::AddArena(const TelemetryArenaSource& source) noexcept {
  STADIAL_ASSERT_ALWAYS(!isSealed_, "Telemetry::AddArena after Seal");
  STADIAL_ASSERT_ALWAYS(source.read != nullptr, "a telemetry arena without a function that reads it");
  if (arenaCount_ == kTelemetryArenasMax) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "telemetry: no room for arena '%s', %zu are known already", source.name,
                         kTelemetryArenasMax);
  }
  CopyName(header_.description.arenas[arenaCount_].name, kTelemetryNameBytesMax, source.name);
  header_.description.arenas[arenaCount_].capacityBytes = source.capacityBytes;
  arenas_[arenaCount_] = source;
  arenas_[arenaCount_].name = header_.description.arenas[arenaCount_].name;  // the caller's may go
  ++arenaCount_;
  return {};
}

Result<void> Telemetry::AddGauge(const TelemetryGauge& gauge) noexcept {
  STADIAL_ASSERT_ALWAYS(!isSealed_, "Telemetry::AddGauge after Seal");
  STADIAL_ASSERT_ALWAYS(gauge.read != nullptr, "a telemetry gauge without a function that reads it");
  if (gaugeCount_ == kTelemetryGaugesMax) {
    return Error::Format(ErrorCode::CapacityExceeded,
                         "telemetry: no room for gauge '%s', %zu are known already", gauge.name,
                         kTelemetryGaugesMax);
  }
  TelemetryGaugeName& named = header_.description.gauges[gaugeCount_];
  CopyName(named.name, kTelemetryNameBytesMax, gauge.name);
  named.unit = static_cast<std::uint64_t>(gauge.unit);
  named.limit = gauge.limit;
  gauges_[gaugeCount_] = gauge;
  gauges_[gaugeCount_].name = named.name;
  ++gaugeCount_;
  return {};
}

void Telemetry::Seal() noexcept {
  STADIAL_ASSERT_ALWAYS(!isSealed_, "Telemetry::Seal twice");
  for (const FallbackSite& site : sources_.fallbacks->Sites()) {
    if (siteCount_ == kTelemetrySitesMax) break;  // the sums have the rest
    TelemetrySiteName& named = header_.description.sites[siteCount_++];
    CopyName(named.name, kTelemetryNameBytesMax, site.Name());
    named.budgetBytes = site.BudgetBytes();
  }
  header_.description.arenaCount = arenaCount_;
  header_.description.siteCount = siteCount_;
  header_.description.gaugeCount = gaugeCount_;
  // Of all frame slots, those that are not used yet included.
  for (std::uint32_t i = 0; i < arenaCount_; ++i) record_.arenas[i] = arenas_[i].read(arenas_[i].self);
  isSealed_ = true;
  header_.ready.store(kTelemetryMagic, std::memory_order_release);
}

void Telemetry::Publish(const FrameSample& frame) noexcept {
  if (!isSealed_) return;
  FillFrame(frame);
  FillEvents();
  FillFallbacks(frame);
  FillHitches(frame);
  for (std::uint32_t i = 0; i < arenaCount_; ++i) {
    const TelemetryArenaSource& source = arenas_[i];
    if (source.frameSlot == TelemetryArenaSource::kEveryFrame || source.frameSlot == frame.slot)
      record_.arenas[i] = source.read(source.self);
  }
  for (std::uint32_t i = 0; i < gaugeCount_; ++i) record_.gauges[i] = gauges_[i].read(gauges_[i].self);
  // A record is its words: trivially copyable and made of nothing else.
  WriteTelemetrySlot(TelemetryMemory{}, slots_[published_ & slotMask_], published_,
                     reinterpret_cast<const std::uint64_t*>(&record_));
  ++published_;
  header_.published.store(published_, std::memory_order_release);
}

void Telemetry::FillFrame(const FrameSample& frame) noexcept {
  const FrameAudit& audit = *sources_.audit;
  record_.frameIndex = frame.frameIndex;
  record_.beginNs = frame.beginNs;
  record_.frameNs = frame.frameNs;
  record_.runtimeNs = frame.overheadNs;
  record_.waitedNs = frame.waitedNs;
  record_.pacedNs = frame.pacedNs;
  record_.slot = frame.slot;
  record_.phase = static_cast<std::uint64_t>(sources_.phases->Current());
  record_.heapAllocations = frame.heapAllocations;
  record_.heapFrees = frame.heapFrees;
  record_.vmSyscalls = frame.vmSyscalls;
  record_.minorFaults = frame.minorFaults;
  record_.budgetDeferrals = frame.budgetDeferrals;
  record_.framesSteady = audit.Frames().steady;
  record_.framesCompile = audit.Frames().compile;
  record_.framesWaited += frame.waitedNs != 0 ? 1u : 0u;
  record_.firstOffendingFrame = audit.FirstOffendingFrame();
  record_.flags = (frame.compiled ? kTelemetryCompiled : 0) |
                  (audit.Frames().total == audit.Frames().warmup ? kTelemetryWarmup : 0);
}

void Telemetry::FillEvents() noexcept {
  const EventBus::QueueStats stats = sources_.events->GetStats();
  record_.eventsQueued = stats.eventCount;
  record_.eventCapacity = stats.capacity;
  record_.eventsPeak = stats.peak;
  record_.eventsEmitted = stats.emitted;
  record_.eventsDelivered = stats.delivered;
  record_.eventsRejected = stats.rejected;
  record_.eventsDiscarded = stats.discarded;
  record_.eventsCoalesced = stats.coalesced;
  record_.eventGrowths = stats.growths;
}

void Telemetry::FillFallbacks(const FrameSample& frame) noexcept {
  record_.fallbackAllocationsInFrame = frame.fallbackAllocations;
  // A site that was not served in this frame can still have given blocks back, or refused.
  TelemetrySite sum;
  std::uint32_t index = 0;
  for (const FallbackSite& site : sources_.fallbacks->Sites()) {
    const FallbackSiteStats stats = site.Stats();
    if (index < siteCount_) record_.sites[index++] = {stats.allocations, stats.bytes, stats.refused};
    sum.allocations += stats.allocations;
    sum.bytes += stats.bytes;
    sum.refused += stats.refused;
  }
  record_.fallbackAllocations = sum.allocations;
  record_.fallbackBytes = sum.bytes;
  record_.fallbackRefused = sum.refused;
}

void Telemetry::FillHitches(const FrameSample& frame) noexcept {
  const HitchDetector& hitches = sources_.audit->Hitches();
  if (hitches.Count() != record_.hitches) {
    record_.hitches = hitches.Count();
    for (std::size_t cause = 0; cause < kHitchCauseCount; ++cause)
      record_.hitchesByCause[cause] = hitches.Count(static_cast<HitchCause>(cause));
    const Hitch& last = hitches.Last();
    record_.lastHitchFrame = last.frameIndex;
    record_.lastHitchNs = last.frameNs;
    record_.lastHitchCause = static_cast<std::uint64_t>(last.cause);
    if (last.frameIndex == frame.frameIndex) record_.flags |= kTelemetryHitch;
  }
  if (sources_.pacer == nullptr) return;
  const FramePacingStats& pacing = sources_.pacer->Stats();
  record_.lateFrames = pacing.lateFrames;
  record_.missedDeadlines = pacing.missedDeadlines;
  record_.overCeiling = pacing.overCeiling;
}

}  // namespace stadial::runtime
