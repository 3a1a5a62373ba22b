#include "telemetry_segment.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace stadial::runtime::detail {

TelemetryFile::~TelemetryFile() {
  if (file_ >= 0) ::close(file_);
}

int OpenTelemetryFile(const char* segmentName, bool writable) noexcept {
  char path[NAME_MAX + 2];
  const int length = std::snprintf(path, sizeof path, "/%s", segmentName);
  if (length < 0 || static_cast<std::size_t>(length) >= sizeof path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  return ::shm_open(path, writable ? O_RDWR : O_RDONLY, 0);
}

bool TryLockTelemetry(int file) noexcept { return ::flock(file, LOCK_EX | LOCK_NB) == 0; }

bool IsTelemetryLocked(int file) noexcept {
  if (::flock(file, LOCK_SH | LOCK_NB) != 0) return true;
  ::flock(file, LOCK_UN);
  return false;
}

}  // namespace stadial::runtime::detail
