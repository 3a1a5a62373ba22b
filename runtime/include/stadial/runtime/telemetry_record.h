// The telemetry segment: what a running program tells others about its frames. A header of one page, then a
// ring of records, one a frame, in POSIX shared memory named
//
//   /stadial.PID.NAME                    /dev/shm/stadial.4711.sandbox
//
// Everything is a 64-bit word in the machine's own byte order, and every record has its own sequence word
// (telemetry_ring.h), so the writer never waits and a reader never sees half a record. A change of any of
// this is a new kTelemetryVersion; readers refuse other versions.
//
// telemetry.h writes it, telemetry_reader.h reads it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "stadial/runtime/hitch_detector.h"

namespace stadial::runtime {

inline constexpr std::uint64_t kTelemetryMagic = 0x454C4554'44415453;  // "STADTELE" in memory
inline constexpr std::uint64_t kTelemetryVersion = 1;

inline constexpr std::size_t kTelemetryArenasMax =
    16;  // setup, 2 compile halves, 8 frame slots, driver, fallback; 3 more
inline constexpr std::size_t kTelemetrySitesMax =
    8;  // designated fallbacks; further ones are in the sums only
inline constexpr std::size_t kTelemetryGaugesMax = 24;        // numbers of the program's own
inline constexpr std::size_t kTelemetryNameBytesMax = 24;     // of an arena, site or gauge, with its zero
inline constexpr std::size_t kTelemetryProgramBytesMax = 64;  // of the program, with its zero

// Bits of TelemetryRecord::flags.
inline constexpr std::uint64_t kTelemetryCompiled = 1;  // a plan was built in the frame
inline constexpr std::uint64_t kTelemetryWarmup = 2;    // a frame that the audit does not judge
inline constexpr std::uint64_t kTelemetryHitch = 4;     // lastHitch is this frame

struct TelemetryArena {
  std::uint64_t usedBytes = 0;  // at the end of the frame; of a frame slot, of the last frame in it
  std::uint64_t peakBytes = 0;  // ever
};

struct TelemetrySite {
  std::uint64_t allocations = 0;
  std::uint64_t bytes = 0;  // live
  std::uint64_t refused = 0;
};

// One frame. "Ever": since the program's start.
struct TelemetryRecord {
  // The frame.
  std::uint64_t frameIndex = 0;
  std::uint64_t beginNs = 0;    // CLOCK_MONOTONIC, the same in every process of the machine
  std::uint64_t frameNs = 0;    // Begin entered to End left, waiting included, pacing not
  std::uint64_t runtimeNs = 0;  // of these, the runtime's own
  std::uint64_t waitedNs = 0;   // of these, waiting for the GPU
  std::uint64_t pacedNs = 0;    // waited before the frame, to hold the rate
  std::uint64_t slot = 0;       // of the frames in flight
  std::uint64_t phase = 0;      // runtime::Phase
  std::uint64_t flags = 0;
  std::uint64_t heapAllocations = 0;  // of the frame, by the program's own code
  std::uint64_t heapFrees = 0;
  std::uint64_t vmSyscalls = 0;
  std::uint64_t minorFaults = 0;
  std::uint64_t budgetDeferrals = 0;
  // Frames ever.
  std::uint64_t framesSteady = 0;
  std::uint64_t framesCompile = 0;
  std::uint64_t framesWaited = 0;         // that waited for their slot
  std::uint64_t firstOffendingFrame = 0;  // as FrameAudit; ~0: none
  // Events.
  std::uint64_t eventsQueued = 0;
  std::uint64_t eventCapacity = 0;
  std::uint64_t eventsPeak = 0;  // queued at once, ever
  std::uint64_t eventsEmitted = 0;
  std::uint64_t eventsDelivered = 0;
  std::uint64_t eventsRejected = 0;
  std::uint64_t eventsDiscarded = 0;
  std::uint64_t eventsCoalesced = 0;
  std::uint64_t eventGrowths = 0;
  // Designated fallbacks, all together.
  std::uint64_t fallbackAllocationsInFrame = 0;
  std::uint64_t fallbackAllocations = 0;
  std::uint64_t fallbackBytes = 0;  // live
  std::uint64_t fallbackRefused = 0;
  // Hitches and pacing, ever.
  std::uint64_t hitches = 0;
  std::uint64_t hitchesByCause[kHitchCauseCount] = {};
  std::uint64_t lastHitchFrame = 0;
  std::uint64_t lastHitchNs = 0;  // 0: there was none
  std::uint64_t lastHitchCause = 0;
  std::uint64_t lateFrames = 0;
  std::uint64_t missedDeadlines = 0;
  std::uint64_t overCeiling = 0;
  // Tables; the header has their names and sizes.
  TelemetryArena arenas[kTelemetryArenasMax];
  TelemetrySite sites[kTelemetrySitesMax];
  std::uint64_t gauges[kTelemetryGaugesMax] = {};
  std::uint64_t reserved[3] = {};
};
static_assert(std::is_trivially_copyable_v<TelemetryRecord>);

inline constexpr std::size_t kTelemetryRecordWords = sizeof(TelemetryRecord) / sizeof(std::uint64_t);
static_assert(kTelemetryRecordWords == 127, "with its sequence word a record is 16 cache lines");

enum class TelemetryUnit : std::uint64_t { Count, Bytes, Nanoseconds };
inline constexpr std::uint64_t kTelemetryUnitCount = 3;

struct TelemetryArenaName {
  char name[kTelemetryNameBytesMax] = {};
  std::uint64_t capacityBytes = 0;
};
struct TelemetrySiteName {
  char name[kTelemetryNameBytesMax] = {};
  std::uint64_t budgetBytes = 0;
};
struct TelemetryGaugeName {
  char name[kTelemetryNameBytesMax] = {};
  std::uint64_t unit = 0;   // TelemetryUnit
  std::uint64_t limit = 0;  // 0: none
};

// What the records are, and whose. Written before `ready`, and never again.
struct TelemetryDescription {
  std::uint64_t version = 0;
  std::uint64_t headerBytes = 0;
  std::uint64_t recordBytes = 0;  // with its sequence word
  std::uint64_t recordCount = 0;  // a power of two
  std::uint64_t totalBytes = 0;
  std::uint64_t pid = 0;
  std::uint64_t startNs = 0;      // CLOCK_MONOTONIC
  std::uint64_t startUnixNs = 0;  // CLOCK_REALTIME, at the same moment
  std::uint64_t framesInFlight = 0;
  std::uint64_t warmupFrames = 0;
  std::uint64_t pacingPeriodNs = 0;  // 0: not paced
  std::uint64_t pacingCeilingNs = 0;
  std::uint64_t gateState = 0;   // GateState
  std::uint64_t gatePolicy = 0;  // GatePolicy
  std::uint64_t arenaCount = 0;
  std::uint64_t siteCount = 0;
  std::uint64_t gaugeCount = 0;
  char program[kTelemetryProgramBytesMax] = {};
  TelemetryArenaName arenas[kTelemetryArenasMax];
  TelemetrySiteName sites[kTelemetrySitesMax];
  TelemetryGaugeName gauges[kTelemetryGaugesMax];
};
static_assert(std::is_trivially_copyable_v<TelemetryDescription>);

struct TelemetryHeader {
  std::atomic<std::uint64_t> ready;  // kTelemetryMagic, stored last
  TelemetryDescription description;
  // On a cache line of their own: they change with every frame.
  alignas(64) std::atomic<std::uint64_t> published;  // records so far; the next one has this index
  std::atomic<std::uint64_t> closed;                 // 1: the program ended in order
};
inline constexpr std::size_t kTelemetryHeaderBytes = 4096;
static_assert(sizeof(TelemetryHeader) <= kTelemetryHeaderBytes);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "other processes share no lock with this one");

}  // namespace stadial::runtime
