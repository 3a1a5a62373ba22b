// Which blocks are mimalloc's. free() can be given a block of another allocator: of the C library, from a module that
// was loaded with RTLD_DEEPBIND, say. mimalloc would treat it as its own and corrupt memory.
//
// mimalloc 2.x asks the kernel for addresses between 2 TiB and 20 TiB, where nothing else lands by itself, so almost
// every block is recognised by its address alone. What it got elsewhere (blocks beyond 1 GiB, alignments beyond
// 32 MiB, address hints refused) is remembered when it is handed out. mi_is_in_heap_region cannot do this: it says no
// to exactly those.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace stadial::gate {

inline constexpr std::uintptr_t kHintedLow = std::uintptr_t{2} << 40;
inline constexpr std::uintptr_t kHintedBytes = std::uintptr_t{18} << 40;

// mimalloc 2.x finds a block's segment by masking the address, so a stretch of this size belongs to mimalloc whole or
// not at all.
inline constexpr unsigned kStretchShift = 25;

[[gnu::always_inline]] inline bool IsHinted(const void* block) noexcept {
  return reinterpret_cast<std::uintptr_t>(block) - kHintedLow < kHintedBytes;
}

// Remembers a block that mimalloc handed out and that IsHinted does not cover.
void RememberUnhinted(const void* block) noexcept;
// Is a block that IsHinted does not cover mimalloc's? True for every one once the table is full: what happened to
// foreign blocks before there was a table.
bool IsRememberedUnhinted(const void* block) noexcept;

[[gnu::always_inline]] inline bool IsBackendBlock(const void* block) noexcept {
  return IsHinted(block) || IsRememberedUnhinted(block);
}

// Blocks of another allocator: given back to the C library, which is where they come from in practice; leaked while
// the C library's functions are not known yet (before constructors ran). Each one is counted.
void FreeForeign(void* block) noexcept;
void* ReallocForeign(void* block, std::size_t sizeBytes) noexcept;
std::size_t UsableSizeForeign(void* block) noexcept;

extern std::atomic<std::uint64_t> foreignBlocks;

}  // namespace stadial::gate
