#include "stadial/arenas/virtual_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "page_checks.h"
#include "stadial/arenas/byte_text.h"

// Newer than the headers of some systems that run on a kernel which has them.
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef PR_SET_VMA_ANON_NAME
#define PR_SET_VMA_ANON_NAME 0
#endif

namespace stadial::arenas {
namespace {

int ProtectionOf(PageAccess access) noexcept {
  switch (access) {
    case PageAccess::None:
      return PROT_NONE;
    case PageAccess::ReadOnly:
      return PROT_READ;
    case PageAccess::ReadWrite:
      return PROT_READ | PROT_WRITE;
  }
  return PROT_NONE;
}

// Applies the policies of a reservation (see ReserveAddressSpace). Refusal only loses the policy, not the
// memory.
void ApplyReservationPolicy(std::byte* base, std::size_t bytes) noexcept {
  ::madvise(base, bytes, MADV_DONTFORK);
  ::madvise(base, bytes, MADV_DONTDUMP);
}

std::byte* MapInaccessible(std::size_t bytes) noexcept {
  void* const memory = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
}

// Gives every page its storage. The write keeps the page's contents.
void TouchPages(std::byte* base, std::size_t bytes) noexcept {
  for (std::size_t offset = 0; offset < bytes; offset += PageSize()) {
    volatile std::byte* const page = base + offset;
    *page = *page;
  }
}

// Gives every page its storage; the errno of the refusal, or 0.
int PopulatePages(std::byte* base, std::size_t bytes) noexcept {
  int populated = 0;
  do {
    populated = ::madvise(base, bytes, MADV_POPULATE_WRITE);
  } while (populated != 0 && (errno == EINTR || errno == EAGAIN));
  if (populated == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  TouchPages(base, bytes);  // older than Linux 5.14
  return 0;
}

// Adds up the huge pages of a range, character by character of /proc/self/smaps: a mapping's line of
// addresses, then its figures, one a line.
class SmapsSum {
 public:
  SmapsSum(const std::byte* base, std::size_t bytes) noexcept
      : begin_(reinterpret_cast<std::uintptr_t>(base)), end_(begin_ + bytes) {}
  void Take(char c) noexcept {
    if (c != '\n') {
      // Nothing of interest stands behind the 80th character; a mapping's name may be long.
      if (length_ < sizeof line_ - 1) line_[length_++] = c;
      return;
    }
    line_[length_] = '\0';
    length_ = 0;
    unsigned long from = 0;
    unsigned long to = 0;
    unsigned long kibibytes = 0;
    if (std::sscanf(line_, "%lx-%lx ", &from, &to) == 2) {
      isInside_ = from < end_ && to > begin_;
    } else if (isInside_ && std::sscanf(line_, "AnonHugePages: %lu kB", &kibibytes) == 1) {
      hugeBytes_ += std::size_t{kibibytes} * 1024;
    }
  }
  std::size_t HugeBytes() const noexcept { return hugeBytes_; }

 private:
  std::uintptr_t begin_;
  std::uintptr_t end_;
  bool isInside_ = false;
  std::size_t hugeBytes_ = 0;
  std::size_t length_ = 0;
  char line_[81];
};

Error MakeCommitError(std::size_t bytes, const char* call, int errorNumber) noexcept {
  const AddressSpaceLimits limits = ReadAddressSpaceLimits();
  const char* remedy = "free memory on this machine or ask for less";
  char found[96] = "";
  if (limits.dataBytes != UINT64_MAX) {
    std::snprintf(found, sizeof found, "; RLIMIT_DATA is %s", FormatBytes(limits.dataBytes).Get());
    remedy = "raise it with 'ulimit -d unlimited' or ask for less";
  } else if (limits.overcommitPolicy == 2) {
    std::snprintf(found, sizeof found, "; vm.overcommit_memory is 2");
    remedy = "set it to 0 or 1, raise vm.overcommit_ratio, or ask for less";
  }
  return Error::Format(ErrorCode::OutOfMemory, "committing %s failed in %s: %s (errno %d)%s; %s",
                       FormatBytes(bytes).Get(), call, std::strerror(errorNumber), errorNumber, found,
                       remedy);
}

}  // namespace

std::size_t PageSize() noexcept {
  static const std::size_t size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return size;
}

Result<std::byte*> ReserveAddressSpace(std::size_t bytes, std::size_t alignment) {
  STADIAL_ASSERT(bytes != 0 && IsPageMultiple(bytes), "the size must be a multiple of a page");
  STADIAL_ASSERT(alignment >= PageSize() && (alignment & (alignment - 1)) == 0,
                 "alignment must be a power of two");
  std::byte* base = MapInaccessible(bytes);
  if (base != nullptr && (reinterpret_cast<std::uintptr_t>(base) & (alignment - 1)) != 0) {
    // Luck did not align it: reserve enough to cut an aligned piece out.
    ::munmap(base, bytes);
    const std::size_t slack = alignment - PageSize();
    base = bytes + slack < bytes ? nullptr : MapInaccessible(bytes + slack);
    if (base != nullptr) {
      const std::size_t front = (0 - reinterpret_cast<std::uintptr_t>(base)) & (alignment - 1);
      if (front != 0) ::munmap(base, front);
      if (front != slack) ::munmap(base + front + bytes, slack - front);
      base += front;
    } else {
      errno = ENOMEM;
    }
  }
  if (base == nullptr) {
    const int errorNumber = errno;
    const Error error =
        Error::Format(ErrorCode::AddressSpace, "mmap of %s of address space failed: %s (errno %d)",
                      FormatBytes(bytes).Get(), std::strerror(errorNumber), errorNumber);
    errno = errorNumber;  // for the caller, who says what it was for
    return error;
  }
  ApplyReservationPolicy(base, bytes);
  return base;
}

void ReleaseAddressSpace(std::byte* base, std::size_t bytes) noexcept {
  AssertPages(base, bytes);
  const int result = ::munmap(base, bytes);
  STADIAL_ASSERT_COMPARE(result, ==, 0, "munmap refused: not a reservation of ours");
}

Result<void> CommitPages(std::byte* base, std::size_t bytes, bool inDumps) {
  AssertPages(base, bytes);
  if (bytes == 0) return {};
  if (::mprotect(base, bytes, PROT_READ | PROT_WRITE) != 0) return MakeCommitError(bytes, "mprotect", errno);
  ::madvise(base, bytes, inDumps ? MADV_DODUMP : MADV_DONTDUMP);
  const int errorNumber = PopulatePages(base, bytes);
  if (errorNumber == 0) return {};
  ::madvise(base, bytes, MADV_DONTNEED);
  ::mprotect(base, bytes, PROT_NONE);
  return MakeCommitError(bytes, "madvise(MADV_POPULATE_WRITE)", errorNumber);
}

Result<void> PrefaultPages(std::byte* base, std::size_t bytes) {
  AssertPages(base, bytes);
  if (bytes == 0) return {};
  const int errorNumber = PopulatePages(base, bytes);
  if (errorNumber == 0) return {};
  return MakeCommitError(bytes, "madvise(MADV_POPULATE_WRITE)", errorNumber);
}

Result<void> DecommitPages(std::byte* base, std::size_t bytes) {
  AssertPages(base, bytes);
  if (bytes == 0) return {};
  // Storage first: where pages are pinned it is refused, and then nothing has changed.
  if (::madvise(base, bytes, MADV_DONTNEED) != 0 || ::mprotect(base, bytes, PROT_NONE) != 0) {
    const int errorNumber = errno;
    return Error::Format(ErrorCode::OutOfMemory,
                         "decommitting %s failed: %s (errno %d); pinned pages stay committed",
                         FormatBytes(bytes).Get(), std::strerror(errorNumber), errorNumber);
  }
  ::madvise(base, bytes, MADV_DONTDUMP);
  return {};
}

Result<void> ProtectPages(std::byte* base, std::size_t bytes, PageAccess access) {
  AssertPages(base, bytes);
  if (bytes == 0) return {};
  if (::mprotect(base, bytes, ProtectionOf(access)) == 0) return {};
  const int errorNumber = errno;
  return Error::Format(
      ErrorCode::OutOfMemory,
      "mprotect of %s failed: %s (errno %d); raise vm.max_map_count if there are too many mappings",
      FormatBytes(bytes).Get(), std::strerror(errorNumber), errorNumber);
}

MappingNameMethod NameGuardByMemfd(const char* name, std::byte* guardBase, std::size_t guardBytes) noexcept {
  AssertPages(guardBase, guardBytes);
  const int file = ::memfd_create(name, MFD_CLOEXEC);
  if (file < 0) return MappingNameMethod::None;
  MappingNameMethod method = MappingNameMethod::None;
  if (::ftruncate(file, static_cast<off_t>(guardBytes)) == 0) {
    const int flags = MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE;
    if (::mmap(guardBase, guardBytes, PROT_NONE, flags, file, 0) != MAP_FAILED) {
      method = MappingNameMethod::GuardMemfd;
    } else {
      // A refused MAP_FIXED may have unmapped what was there; a guard must never become a hole.
      void* const restored = ::mmap(guardBase, guardBytes, PROT_NONE, flags | MAP_ANONYMOUS, -1, 0);
      STADIAL_ASSERT_ALWAYS(restored == static_cast<void*>(guardBase),
                            "the guard could be neither named nor put back; raise vm.max_map_count");
    }
    ApplyReservationPolicy(guardBase, guardBytes);
  }
  ::close(file);  // the mapping keeps the name
  return method;
}

MappingNameMethod NameMapping(const char* name, std::byte* guardBase, std::size_t guardBytes, std::byte* base,
                              std::size_t bytes) noexcept {
  AssertPages(base, bytes);
  const auto argument = [](auto value) { return reinterpret_cast<unsigned long>(value); };
  if (::prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, argument(base), bytes, argument(name)) == 0) {
    return MappingNameMethod::AnonymousVma;
  }
  return NameGuardByMemfd(name, guardBase, guardBytes);
}

bool ChooseHugePages(std::byte* base, std::size_t bytes, HugePages choice) noexcept {
  AssertPages(base, bytes);
  if (choice == HugePages::System) return true;
  return ::madvise(base, bytes, choice == HugePages::Advise ? MADV_HUGEPAGE : MADV_NOHUGEPAGE) == 0;
}

Result<std::size_t> CalculateHugeBytes(const std::byte* base, std::size_t bytes) {
  AssertPages(base, bytes);
  const int file = ::open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    const int errorNumber = errno;
    return Error::Format(ErrorCode::Io, "opening /proc/self/smaps failed: %s (errno %d); is /proc mounted?",
                         std::strerror(errorNumber), errorNumber);
  }
  SmapsSum sum(base, bytes);
  char buffer[4096];
  ssize_t got = 0;
  do {
    got = ::read(file, buffer, sizeof buffer);
    for (ssize_t index = 0; index < got; ++index) sum.Take(buffer[index]);
  } while (got > 0 || (got < 0 && errno == EINTR));
  const int errorNumber = errno;
  ::close(file);
  if (got < 0) {
    return Error::Format(ErrorCode::Io, "reading /proc/self/smaps failed: %s (errno %d)",
                         std::strerror(errorNumber), errorNumber);
  }
  return sum.HugeBytes();
}

bool SetInheritedByFork(std::byte* base, std::size_t bytes, bool isInherited) noexcept {
  AssertPages(base, bytes);
  return ::madvise(base, bytes, isInherited ? MADV_DOFORK : MADV_DONTFORK) == 0;
}

AddressSpaceLimits ReadAddressSpaceLimits() noexcept {
  AddressSpaceLimits limits;
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    limits.addressSpaceBytes = limit.rlim_cur;
  if (::getrlimit(RLIMIT_DATA, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
    limits.dataBytes = limit.rlim_cur;
  const int file = ::open("/proc/sys/vm/overcommit_memory", O_RDONLY | O_CLOEXEC);
  if (file >= 0) {
    char digit = 0;
    if (::read(file, &digit, 1) == 1 && digit >= '0' && digit <= '9') limits.overcommitPolicy = digit - '0';
    ::close(file);
  }
  // valgrind preloads its own objects into every client.
  const char* const preload = std::getenv("LD_PRELOAD");
  limits.underValgrind = preload != nullptr && std::strstr(preload, "vgpreload") != nullptr;
  return limits;
}

}  // namespace stadial::arenas
