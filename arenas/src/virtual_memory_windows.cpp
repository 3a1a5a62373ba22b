#include <windows.h>

#include <cerrno>
#include <cstdio>

#include "page_checks.h"
#include "stadial/arenas/byte_text.h"
#include "stadial/arenas/virtual_memory.h"

namespace stadial::arenas {
namespace {

const SYSTEM_INFO& SystemInfo() noexcept {
  static const SYSTEM_INFO info = [] {
    SYSTEM_INFO read{};
    ::GetSystemInfo(&read);
    return read;
  }();
  return info;
}

DWORD ProtectionOf(PageAccess access) noexcept {
  switch (access) {
    case PageAccess::None:
      return PAGE_NOACCESS;
    case PageAccess::ReadOnly:
      return PAGE_READONLY;
    case PageAccess::ReadWrite:
      return PAGE_READWRITE;
  }
  return PAGE_NOACCESS;
}

struct SystemMessage {
  char text[160] = "";
  explicit SystemMessage(DWORD code) noexcept {
    const DWORD flags =
        FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS | FORMAT_MESSAGE_MAX_WIDTH_MASK;
    DWORD length = ::FormatMessageA(flags, nullptr, code, 0, text, sizeof text, nullptr);
    while (length != 0 && (text[length - 1] == ' ' || text[length - 1] == '.')) text[--length] = '\0';
    if (length == 0) std::snprintf(text, sizeof text, "no message");
  }
};

// Reserved at `wanted`, or anywhere when that is null.
std::byte* Reserve(void* wanted, std::size_t bytes) noexcept {
  return static_cast<std::byte*>(::VirtualAlloc(wanted, bytes, MEM_RESERVE, PAGE_NOACCESS));
}

// A reservation can only be released whole, so an aligned piece cannot be cut out of a larger one: find room
// by a larger one, let it go and reserve the piece there. Another thread may take the room first: try again.
std::byte* ReserveAligned(std::size_t bytes, std::size_t alignment) noexcept {
  if (alignment <= SystemInfo().dwAllocationGranularity) return Reserve(nullptr, bytes);
  if (bytes + alignment < bytes) {
    ::SetLastError(ERROR_NOT_ENOUGH_MEMORY);
    return nullptr;
  }
  constexpr int kTriesMax = 16;
  for (int tries = 0; tries < kTriesMax; ++tries) {
    std::byte* const larger = Reserve(nullptr, bytes + alignment);
    if (larger == nullptr) return nullptr;
    const std::size_t front = (0 - reinterpret_cast<std::uintptr_t>(larger)) & (alignment - 1);
    ::VirtualFree(larger, 0, MEM_RELEASE);
    std::byte* const base = Reserve(larger + front, bytes);
    if (base != nullptr) return base;
  }
  return nullptr;
}

// Gives every page its storage. The write keeps the page's contents.
void TouchPages(std::byte* base, std::size_t bytes) noexcept {
  for (std::size_t offset = 0; offset < bytes; offset += PageSize()) {
    volatile std::byte* const page = base + offset;
    *page = *page;
  }
}

}  // namespace

std::size_t PageSize() noexcept { return SystemInfo().dwPageSize; }

Result<std::byte*> ReserveAddressSpace(std::size_t bytes, std::size_t alignment) {
  STADIAL_ASSERT(bytes != 0 && IsPageMultiple(bytes), "the size must be a multiple of a page");
  STADIAL_ASSERT(alignment >= PageSize() && (alignment & (alignment - 1)) == 0,
                 "alignment must be a power of two");
  std::byte* const base = ReserveAligned(bytes, alignment);
  if (base != nullptr) return base;
  const DWORD code = ::GetLastError();
  const Error error =
      Error::Format(ErrorCode::AddressSpace, "VirtualAlloc of %s of address space failed: %s (error %lu)",
                    FormatBytes(bytes).Get(), SystemMessage(code).text, static_cast<unsigned long>(code));
  errno = ENOMEM;  // for the caller, who says what it was for
  return error;
}

void ReleaseAddressSpace(std::byte* base, std::size_t bytes) noexcept {
  AssertPages(base, bytes);
  [[maybe_unused]] const BOOL released = ::VirtualFree(base, 0, MEM_RELEASE);
  STADIAL_ASSERT_COMPARE(released, !=, 0, "VirtualFree refused: not a whole reservation of ours");
}

// Dumps hold what the tool that writes them asks for: `inDumps` has no meaning here.
Result<void> CommitPages(std::byte* base, std::size_t bytes, bool /*inDumps*/) {
  AssertPages(base, bytes);
  if (bytes == 0) return {};
  // Pages that are committed already stay, but keep their protection.
  DWORD before = 0;
  if (::VirtualAlloc(base, bytes, MEM_COMMIT, PAGE_READWRITE) == nullptr ||
      ::VirtualProtect(base, bytes, PAGE_READWRITE, &before) == 0) {
    const DWORD code = ::GetLastError();
    ::VirtualFree(base, bytes, MEM_DECOMMIT);
    return Error::Format(
        ErrorCode::OutOfMemory,
        "committing %s failed in VirtualAlloc: %s (error %lu); enlarge the paging file, free "
        "memory on this machine or ask for less",
        FormatBytes(bytes).Get(), SystemMessage(code).text, static_cast<unsigned long>(code));
  }
  TouchPages(base, bytes);
  return {};
}

Result<void> PrefaultPages(std::byte* base, std::size_t bytes) {
  AssertPages(base, bytes);
  TouchPages(base, bytes);
  return {};
}

Result<void> DecommitPages(std::byte* base, std::size_t bytes) {
  AssertPages(base, bytes);
  if (bytes == 0 || ::VirtualFree(base, bytes, MEM_DECOMMIT) != 0) return {};
  const DWORD code = ::GetLastError();
  return Error::Format(ErrorCode::OutOfMemory,
                       "decommitting %s failed: %s (error %lu); pinned pages stay committed",
                       FormatBytes(bytes).Get(), SystemMessage(code).text, static_cast<unsigned long>(code));
}

Result<void> ProtectPages(std::byte* base, std::size_t bytes, PageAccess access) {
  AssertPages(base, bytes);
  DWORD before = 0;
  if (bytes == 0 || ::VirtualProtect(base, bytes, ProtectionOf(access), &before) != 0) return {};
  const DWORD code = ::GetLastError();
  return Error::Format(ErrorCode::OutOfMemory,
                       "VirtualProtect of %s failed: %s (error %lu); commit them first",
                       FormatBytes(bytes).Get(), SystemMessage(code).text, static_cast<unsigned long>(code));
}

// Windows gives names to no memory: reports know segments by Region::SegmentOf.
MappingNameMethod NameGuardByMemfd(const char*, std::byte*, std::size_t) noexcept {
  return MappingNameMethod::None;
}
MappingNameMethod NameMapping(const char*, std::byte*, std::size_t, std::byte* base,
                              std::size_t bytes) noexcept {
  AssertPages(base, bytes);
  return MappingNameMethod::None;
}

// Large pages need a privilege of the account, and can only be committed whole when they are reserved.
bool ChooseHugePages(std::byte* base, std::size_t bytes, HugePages choice) noexcept {
  AssertPages(base, bytes);
  return choice != HugePages::Advise;
}

Result<std::size_t> CalculateHugeBytes(const std::byte* base, std::size_t bytes) {
  AssertPages(base, bytes);
  return Error::Format(ErrorCode::NotSupported, "huge pages of %s: Windows does not tell which it uses",
                       FormatBytes(bytes).Get());
}

bool SetInheritedByFork(std::byte* base, std::size_t bytes, bool isInherited) noexcept {
  AssertPages(base, bytes);
  return !isInherited;  // there is no fork
}

// Nothing bounds a 64-bit process below the 128 TiB of its addresses.
AddressSpaceLimits ReadAddressSpaceLimits() noexcept { return {}; }

}  // namespace stadial::arenas
