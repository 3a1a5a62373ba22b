// The platform seam: address space and pages. Only virtual_memory_posix.cpp and virtual_memory_windows.cpp
// call the operating system for them.
//
// Every address and size is a multiple of PageSize(); the functions assert it. Errors name the call, the
// numbers and the limit that is in the way, and building them does not allocate. Thread rules: each call is
// safe from any thread as long as two calls do not overlap in their range. Cost: one to three system calls
// each; CommitPages and PrefaultPages also touch every page (about 1.4 us per 4 KiB page), which is the
// point: no frame pays for it later.
#pragma once

#include <cstddef>
#include <cstdint>

#include "stadial/arenas/result.h"

namespace stadial::arenas {

enum class PageAccess : std::uint8_t { None, ReadOnly, ReadWrite };

// How a mapping's name came to stand in /proc/self/maps.
enum class MappingNameMethod : std::uint8_t {
  AnonymousVma,  // the segment itself shows as [anon:NAME]
  GuardMemfd,    // the guard right before the segment is mapped from a memfd of that name: /memfd:NAME
                 // (deleted)
  None,          // the system offers neither
};
const char* ToString(MappingNameMethod method) noexcept;

std::size_t PageSize() noexcept;

// What a huge page takes here: the alignment and the step of memory that asks for them.
inline constexpr std::size_t kHugePageBytes = std::size_t{2} << 20;

enum class HugePages : std::uint8_t {
  System,  // what the system's setting says: /sys/kernel/mm/transparent_hugepage/enabled
  Never,   // small pages also where the setting is "always": nothing is merged behind a frame's back
  Advise,  // huge pages where the kernel has them at hand when the memory is committed
};
const char* ToString(HugePages choice) noexcept;

// Inaccessible address space without storage behind it (PROT_NONE, MAP_NORESERVE). It is left out of core
// dumps until committed. A child made by fork() does not get it: a fork on any thread would otherwise make
// the parent's next write to each page fault for its copy, inside a frame. Children that exec are not
// affected. `alignment`: a power of two, at least PageSize().
Result<std::byte*> ReserveAddressSpace(std::size_t bytes, std::size_t alignment);
void ReleaseAddressSpace(std::byte* base, std::size_t bytes) noexcept;

// Makes the pages readable and writable and gives each its storage now: zeros. Contents of pages already
// committed stay; after an error the whole range is inaccessible again. `inDumps`: core dumps show them.
Result<void> CommitPages(std::byte* base, std::size_t bytes, bool inDumps = true);
// Gives committed pages that lost their storage (swapped out, reclaimed) storage again. Contents stay.
Result<void> PrefaultPages(std::byte* base, std::size_t bytes);
// Gives the storage back; the addresses stay reserved and inaccessible.
Result<void> DecommitPages(std::byte* base, std::size_t bytes);
Result<void> ProtectPages(std::byte* base, std::size_t bytes, PageAccess access);

// Names the mapping [base, base+bytes) "NAME" (at most 79 characters) where the kernel can; otherwise maps
// the inaccessible guard in front of it, [guardBase, guardBase+guardBytes), from a memfd of that name. The
// guard stays inaccessible either way.
MappingNameMethod NameMapping(const char* name, std::byte* guardBase, std::size_t guardBytes, std::byte* base,
                              std::size_t bytes) noexcept;
// The second method alone: what NameMapping does on a kernel without names for anonymous memory.
MappingNameMethod NameGuardByMemfd(const char* name, std::byte* guardBase, std::size_t guardBytes) noexcept;

// The choice for a reserved range, before it is committed. False: this system does not take it, and its own
// setting stays in force. What it really gives is for CalculateHugeBytes to say.
bool ChooseHugePages(std::byte* base, std::size_t bytes, HugePages choice) noexcept;
// The bytes of the range that lie in huge pages now, as /proc/self/smaps has them. Walks all mappings of the
// process: milliseconds. Errors: Io, NotSupported.
Result<std::size_t> CalculateHugeBytes(const std::byte* base, std::size_t bytes);
// Whether children made by fork() get a copy-on-write copy of the range. Reservations start with false. With
// true, a fork makes the next write to each page fault. False: refused.
bool SetInheritedByFork(std::byte* base, std::size_t bytes, bool isInherited) noexcept;

// What bounds this process's address space, for error messages.
struct AddressSpaceLimits {
  std::uint64_t addressSpaceBytes = UINT64_MAX;  // RLIMIT_AS; UINT64_MAX: unlimited
  std::uint64_t dataBytes = UINT64_MAX;          // RLIMIT_DATA; UINT64_MAX: unlimited
  int overcommitPolicy = -1;                     // /proc/sys/vm/overcommit_memory; -1: not readable
  bool underValgrind = false;                    // valgrind itself bounds the address space
};
AddressSpaceLimits ReadAddressSpaceLimits() noexcept;

}  // namespace stadial::arenas
