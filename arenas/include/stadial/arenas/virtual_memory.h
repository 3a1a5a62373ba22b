// The platform seam: address space and pages. Only virtual_memory_posix.cpp calls the operating system for
// them.
//
// Every address and size is a multiple of PageSize(); the functions assert it. Errors name the call, the
// numbers and the limit that is in the way, and building them does not allocate. Thread rules: each call is
// safe from any thread as long as two calls do not overlap in their range. Cost: one to three system calls
// each; CommitPages also touches every page (about 1.4 us per 4 KiB page), which is the point: no frame pays
// for it later.
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

// Inaccessible address space without storage behind it (PROT_NONE, MAP_NORESERVE). It is left out of core
// dumps until committed. A child made by fork() does not get it: a fork on any thread would otherwise make
// the parent's next write to each page fault for its copy, inside a frame. Children that exec are not
// affected. `alignment`: a power of two, at least PageSize().
Result<std::byte*> ReserveAddressSpace(std::size_t bytes, std::size_t alignment);
void ReleaseAddressSpace(std::byte* base, std::size_t bytes) noexcept;

// Makes the pages readable and writable and gives each its storage now. Contents of pages already committed
// stay; after an error the whole range is inaccessible again.
Result<void> CommitPages(std::byte* base, std::size_t bytes);
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

// What bounds this process's address space, for error messages.
struct AddressSpaceLimits {
  std::uint64_t addressSpaceBytes = UINT64_MAX;  // RLIMIT_AS; UINT64_MAX: unlimited
  std::uint64_t dataBytes = UINT64_MAX;          // RLIMIT_DATA; UINT64_MAX: unlimited
  int overcommitPolicy = -1;                     // /proc/sys/vm/overcommit_memory; -1: not readable
  bool underValgrind = false;                    // valgrind itself bounds the address space
};
AddressSpaceLimits ReadAddressSpaceLimits() noexcept;

}  // namespace stadial::arenas
