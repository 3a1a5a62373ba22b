// TelemetryReader: looks on at a running program's frames from another process (telemetry.h publishes them,
// telemetry_record.h says what they hold). For dashboards, recorders and tests; not for use inside frames.
//
//   auto reader = TelemetryReader::Open({.program = "sandbox"});  // or {.pid = 4711}; {}: the only one
//   TelemetryRecord record;
//   for (;;) {
//     switch (reader->Next(record).Value()) {
//       case TelemetryNext::Record: Draw(record); break;
//       case TelemetryNext::None: Sleep(); break;
//       case TelemetryNext::Ended: return;
//     }
//   }
//
// The segment is mapped read-only, so a reader cannot disturb the program, and the program's death does not
// disturb the reader: it sees the records that were complete, then Ended. Nothing that a segment says is
// believed: sizes, counts and names are checked against the file and copied when it is opened, and a segment
// of another magic, version, size or user is refused with the reason. What cannot be guarded against is its
// owner cutting the file off while a record is being copied; before every call the size is looked at.
//
// Threads: a reader belongs to one thread; any number of readers follow one program. Allocates when it opens
// and lists, not in Next and Latest. Cost: Next copies 1 KiB and makes a system call; while there is nothing
// new, three.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stadial/arenas/result.h"
#include "stadial/runtime/gate.h"
#include "stadial/runtime/telemetry_record.h"

namespace stadial::runtime {

using arenas::Error;
using arenas::ErrorCode;
using arenas::Result;

const char* ToString(TelemetryUnit unit) noexcept;  // "count", "bytes", "ns"

// What the header says, checked.
struct TelemetryInfo {
  struct Arena {
    std::string name;
    std::uint64_t capacityBytes = 0;
  };
  struct Site {
    std::string name;
    std::uint64_t budgetBytes = 0;
  };
  struct Gauge {
    std::string name;
    TelemetryUnit unit = TelemetryUnit::Count;
    std::uint64_t limit = 0;  // 0: none
  };
  std::string program;
  std::uint64_t pid = 0;
  std::uint64_t startNs = 0;      // CLOCK_MONOTONIC
  std::uint64_t startUnixNs = 0;  // the same moment
  std::uint64_t recordCount = 0;  // frames that the ring holds
  std::uint64_t framesInFlight = 0;
  std::uint64_t warmupFrames = 0;
  std::uint64_t pacingPeriodNs = 0;  // 0: not paced
  std::uint64_t pacingCeilingNs = 0;
  GateState gateState{};
  GatePolicy gatePolicy{};
  std::vector<Arena> arenas;  // index: that of TelemetryRecord::arenas
  std::vector<Site> sites;
  std::vector<Gauge> gauges;
};

// Which program. Both fields may be left out; whatever is given must fit.
struct TelemetrySelector {
  std::string_view program = {};
  std::uint64_t pid = 0;
};

enum class TelemetryNext : std::uint8_t {
  Record,  // the next one
  None,    // nothing new yet
  Ended,   // the program is gone, and this reader has seen the last record
};

class TelemetryReader {
 public:
  // The one living program that fits. NotFound: none does; InvalidArgument: several do. Both say which there
  // are. Otherwise as OpenSegment.
  static Result<TelemetryReader> Open(const TelemetrySelector& which = {});
  // By the segment's name ("stadial.4711.sandbox"), also that of a dead program. NotFound, Io; CorruptData:
  // it is no telemetry segment, or cut off, or of another user; NotSupported: another version; WrongPhase:
  // its program is still in Setup, try again.
  static Result<TelemetryReader> OpenSegment(const char* segmentName);
  // The same for a file that is open already; takes it over, also when it fails. `label`: for messages.
  static Result<TelemetryReader> OpenFile(int file, const char* label);

  ~TelemetryReader();
  TelemetryReader(TelemetryReader&& other) noexcept;
  TelemetryReader& operator=(TelemetryReader&&) = delete;
  TelemetryReader(const TelemetryReader&) = delete;
  TelemetryReader& operator=(const TelemetryReader&) = delete;

  const TelemetryInfo& Info() const noexcept { return info_; }

  // The oldest record not seen yet, beginning with the oldest one in the ring. Records that were overwritten
  // before they could be read are left out and counted in Missed. CorruptData: the segment was cut off, or
  // contradicts itself; the reader is of no use any more.
  Result<TelemetryNext> Next(TelemetryRecord& record) noexcept;
  // The newest record, past those between; they do not count as missed.
  Result<TelemetryNext> Latest(TelemetryRecord& record) noexcept;

  std::uint64_t Missed() const noexcept { return missed_; }
  std::uint64_t SeenCount() const noexcept { return seen_; }
  // Two system calls.
  bool IsWriterAlive() const noexcept;

 private:
  TelemetryReader() noexcept = default;
  Result<void> Map() noexcept;
  Result<void> ReadHeader();
  Result<void> Check(const TelemetryDescription& said) const noexcept;
  Result<void> CheckSize() const noexcept;
  Error Corrupt(const char* what) const noexcept;
  Error NotReady() const noexcept;
  bool IsOver() const noexcept;

  TelemetryInfo info_;
  std::string label_;
  int file_ = -1;
  const std::byte* memory_ = nullptr;
  std::size_t bytes_ = 0;
  std::uint64_t next_ = 0;
  std::uint64_t missed_ = 0;
  std::uint64_t seen_ = 0;
};

// A segment as its name and its file say; its contents are not looked at.
struct TelemetrySegment {
  std::string name;  // for OpenSegment
  std::string program;
  std::uint64_t pid = 0;
  bool isAlive = false;
};

// All of this user's, in the order of their names. Empty where there is no /dev/shm.
std::vector<TelemetrySegment> ListTelemetry();
// Removes those of dead programs; returns how many.
std::size_t RemoveStaleTelemetry();

}  // namespace stadial::runtime
