// The default palette, names, and the file system's part.
#include "vox_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace stadial::sandbox {

const char* ToString(VoxNodeKind kind) noexcept {
  switch (kind) {
    case VoxNodeKind::Transform:
      return "transform";
    case VoxNodeKind::Group:
      return "group";
    case VoxNodeKind::Shape:
      return "shape";
  }
  return "unknown";
}

const char* ToString(VoxMaterialType type) noexcept {
  switch (type) {
    case VoxMaterialType::Diffuse:
      return "_diffuse";
    case VoxMaterialType::Metal:
      return "_metal";
    case VoxMaterialType::Glass:
      return "_glass";
    case VoxMaterialType::Emit:
      return "_emit";
    case VoxMaterialType::Blend:
      return "_blend";
    case VoxMaterialType::Media:
      return "_media";
    case VoxMaterialType::Unknown:
      return "unknown";
  }
  return "unknown";
}

std::array<VoxColour, kVoxPaletteEntries> MakeDefaultVoxPalette() noexcept {
  constexpr std::uint8_t kCubeLevels[] = {0xff, 0xcc, 0x99, 0x66, 0x33, 0x00};
  constexpr std::uint8_t kRampLevels[] = {0xee, 0xdd, 0xbb, 0xaa, 0x88, 0x77, 0x55, 0x44, 0x22, 0x11};
  std::array<VoxColour, kVoxPaletteEntries> palette{};
  std::size_t next = 1;
  for (const std::uint8_t r : kCubeLevels) {
    for (const std::uint8_t g : kCubeLevels) {
      for (const std::uint8_t b : kCubeLevels) {
        if (r != 0 || g != 0 || b != 0) palette[next++] = {r, g, b, 0xff};
      }
    }
  }
  for (const std::uint8_t level : kRampLevels) palette[next++] = {level, 0, 0, 0xff};
  for (const std::uint8_t level : kRampLevels) palette[next++] = {0, level, 0, 0xff};
  for (const std::uint8_t level : kRampLevels) palette[next++] = {0, 0, level, 0xff};
  for (const std::uint8_t level : kRampLevels) palette[next++] = {level, level, level, 0xff};
  return palette;
}

namespace {

// Closes a descriptor at the end of its scope.
class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int Get() const noexcept { return fd_; }
  int Release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Result<std::vector<std::byte>> ReadWholeFile(const char* path, std::size_t fileBytesMax) {
  // Non-blocking, so that a FIFO cannot hang the open; it has no effect on the regular file demanded below.
  const Descriptor file(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.Get() < 0) {
    const int error = errno;
    return Error::Format(error == ENOENT ? ErrorCode::NotFound : ErrorCode::Io, "%s: cannot be opened: %s",
                         path, std::strerror(error));
  }
  struct stat status {};
  if (::fstat(file.Get(), &status) != 0) {
    return Error::Format(ErrorCode::Io, "%s: its size cannot be read: %s", path, std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) return Error::Format(ErrorCode::Io, "%s: not a regular file", path);
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size > fileBytesMax) {
    return Error::Format(ErrorCode::CapacityExceeded, "%s: %zu bytes, more than the limit of %zu", path, size,
                         fileBytesMax);
  }
  std::vector<std::byte> bytes(size);
  std::size_t done = 0;
  while (done < size) {
    const ::ssize_t got = ::read(file.Get(), bytes.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return Error::Format(ErrorCode::Io, "%s: reading failed after %zu of %zu bytes: %s", path, done, size,
                           std::strerror(errno));
    }
    if (got == 0) break;  // it shrank while we read; the reader judges what is there
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

}  // namespace

Result<VoxScene> LoadVox(const char* path, std::size_t fileBytesMax) {
  STADIAL_ASSIGN_OR_RETURN(const std::vector<std::byte> bytes, ReadWholeFile(path, fileBytesMax));
  return ReadVox(bytes, path);
}

Result<void> SaveFile(const char* path, std::span<const std::byte> bytes) {
  Descriptor file(::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (file.Get() < 0)
    return Error::Format(ErrorCode::Io, "%s: cannot be written: %s", path, std::strerror(errno));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ::ssize_t put = ::write(file.Get(), bytes.data() + done, bytes.size() - done);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) {
      return Error::Format(ErrorCode::Io, "%s: writing failed after %zu of %zu bytes: %s", path, done,
                           bytes.size(), std::strerror(errno));
    }
    done += static_cast<std::size_t>(put);
  }
  // A full disk may show only here.
  if (::close(file.Release()) != 0) {
    return Error::Format(ErrorCode::Io, "%s: closing failed after %zu bytes: %s", path, done,
                         std::strerror(errno));
  }
  return {};
}

}  // namespace stadial::sandbox
