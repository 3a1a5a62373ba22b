// Telemetry: publishes one record a frame (telemetry_record.h) into a ring in shared memory, for whoever
// looks on from outside: telemetry_reader.h. RuntimeOptions::telemetry turns it on; FrameLoop::End publishes.
//
//   runtime->GetTelemetry()->AddGauge({.name = "voxels", .read = &CountVoxels, .self = &world});   // in
//   Setup
//
// The segment is opened, reserved and touched in Setup, and is ready for readers when Setup is sealed. From
// then on the writer never waits, allocates nothing and makes no system call; a reader that is too slow
// misses records and knows how many. Readers map it read-only and cannot disturb the program.
//
// The end. ~Telemetry marks the segment closed and removes its name; readers that have it open see the rest
// of the records, then the end. A program that dies leaves the name behind: readers see that nobody holds the
// segment's lock any more, and ListTelemetry and RemoveStaleTelemetry (telemetry_reader.h) find it. Only the
// user that runs the program can open it (mode 0600).
//
// Threads: the frame thread. Cost: below 100 ns a frame with the tables of an ordinary program.
#pragma once

#include <cstdint>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"
#include "stadial/arenas/result.h"
#include "stadial/runtime/telemetry_record.h"
#include "stadial/runtime/telemetry_ring.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

class EventBus;
class FallbackRegistry;
class FrameAudit;
class FramePacer;
class PhaseMachine;
struct FrameSample;

struct TelemetryOptions {
  bool publish = false;
  std::uint32_t recordsMax = 1024;  // of 1 KiB: 17 s at 60 frames a second; a power of two
};
inline constexpr std::uint32_t kTelemetryRecordsMin = 2;
inline constexpr std::uint32_t kTelemetryRecordsLimit = 1u << 20;

// A number of the program's own, read once a frame at its end. Must not allocate and not wait.
struct TelemetryGauge {
  const char* name = "";  // copied, cut to kTelemetryNameBytesMax - 1
  std::uint64_t (*read)(const void* self) noexcept STADIAL_NONALLOCATING = nullptr;
  const void* self = nullptr;
  TelemetryUnit unit = TelemetryUnit::Count;
  std::uint64_t limit = 0;  // a capacity or budget, for the reader's scale; 0: none
};

// Bytes of one arena or segment.
struct TelemetryArenaSource {
  const char* name = "";
  std::uint64_t capacityBytes = 0;
  TelemetryArena (*read)(const void* self) noexcept STADIAL_NONALLOCATING = nullptr;
  const void* self = nullptr;
  std::uint32_t frameSlot = kEveryFrame;  // read only after frames in this slot

  static constexpr std::uint32_t kEveryFrame = ~std::uint32_t{0};
};

class Telemetry {
 public:
  // Where a record's numbers come from; none may be null, except `pacer`. All must outlive the Telemetry.
  struct Sources {
    const PhaseMachine* phases = nullptr;
    const EventBus* events = nullptr;
    const FallbackRegistry* fallbacks = nullptr;
    const FrameAudit* audit = nullptr;
    const FramePacer* pacer = nullptr;
    std::uint64_t framesInFlight = 0;
    std::uint64_t warmupFrames = 0;
    std::uint64_t gatePolicy = 0;
  };

  // InvalidArgument: recordsMax is no power of two, or out of range.
  static Result<void> Check(const TelemetryOptions& options) noexcept;
  // Makes the segment. `program`: letters, digits, '-' and '_' stay, others become '_'. Errors:
  //   InvalidArgument  as Check, or this process publishes under that name already
  //   OutOfMemory      /dev/shm has no room
  //   Io               the system refuses, with its reason
  static Result<Telemetry*> Create(const char* program, const TelemetryOptions& options,
                                   const Sources& sources, arenas::Arena& setup) noexcept;
  ~Telemetry();
  Telemetry(const Telemetry&) = delete;
  Telemetry& operator=(const Telemetry&) = delete;

  // Before Seal (asserted). CapacityExceeded when the table is full.
  Result<void> AddArena(const TelemetryArenaSource& source) noexcept;
  Result<void> AddGauge(const TelemetryGauge& gauge) noexcept;
  // Names are complete: readers may open the segment. The fallback sites are taken from their registry now.
  void Seal() noexcept;

  // One record. Before Seal: nothing.
  void Publish(const FrameSample& frame) noexcept STADIAL_NONALLOCATING;

  const char* SegmentName() const noexcept { return segmentName_; }  // "stadial.4711.sandbox"
  std::uint64_t PublishedCount() const noexcept { return published_; }

 private:
  friend class arenas::Arena;
  using Slot = TelemetrySlotOf<kTelemetryRecordWords>;

  Telemetry(const Sources& sources, TelemetryHeader& header, int file) noexcept
      : sources_(sources), header_(header), file_(file) {}
  void FillFrame(const FrameSample& frame) noexcept;
  void FillEvents() noexcept;
  void FillFallbacks(const FrameSample& frame) noexcept;
  void FillHitches(const FrameSample& frame) noexcept;

  Sources sources_;
  TelemetryHeader& header_;
  Slot* slots_ = nullptr;
  std::uint64_t slotMask_ = 0;
  std::uint64_t published_ = 0;
  std::uint32_t arenaCount_ = 0;
  std::uint32_t siteCount_ = 0;
  std::uint32_t gaugeCount_ = 0;
  bool isSealed_ = false;
  int file_;  // holds the lock that says that the writer lives
  TelemetryArenaSource arenas_[kTelemetryArenasMax];
  TelemetryGauge gauges_[kTelemetryGaugesMax];
  TelemetryRecord record_;  // filled in place: what does not change stays from frame to frame
  char segmentName_[kTelemetryProgramBytesMax + 32] = {};
};

}  // namespace stadial::runtime
