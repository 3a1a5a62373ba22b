// The names and files of telemetry segments, for the writer and the reader. Private to the runtime.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "stadial/runtime/telemetry_record.h"

namespace stadial::runtime::detail {

inline constexpr const char* kTelemetryFolder = "/dev/shm";
inline constexpr std::string_view kTelemetryPrefix = "stadial.";

constexpr std::size_t TelemetryBytes(std::uint64_t recordCount) noexcept {
  return kTelemetryHeaderBytes +
         static_cast<std::size_t>(recordCount) * (kTelemetryRecordWords + 1) * sizeof(std::uint64_t);
}

// A file descriptor, closed at the end unless taken.
class TelemetryFile {
 public:
  explicit TelemetryFile(int file) noexcept : file_(file) {}
  TelemetryFile(const TelemetryFile&) = delete;
  TelemetryFile& operator=(const TelemetryFile&) = delete;
  ~TelemetryFile();
  int Get() const noexcept { return file_; }
  int Take() noexcept {
    const int taken = file_;
    file_ = -1;
    return taken;
  }

 private:
  int file_;
};

// Opens the segment of this name (without a slash); -1 and errno when it cannot. Never creates.
int OpenTelemetryFile(const char* segmentName, bool writable) noexcept;

// The writer holds its segment's lock as long as it lives, whatever ends it: the kernel drops it then. So a
// process number that is used again, or that belongs to another container, misleads nobody.
bool TryLockTelemetry(int file) noexcept;
// Does somebody hold it? Costs two system calls.
bool IsTelemetryLocked(int file) noexcept;

}  // namespace stadial::runtime::detail
