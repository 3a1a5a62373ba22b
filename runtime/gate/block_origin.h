// Whose is a block? free() can be given one of another allocator: of the C library, from a module that was
// loaded with RTLD_DEEPBIND, say. mimalloc would treat it as its own and corrupt memory, and
// mi_is_in_heap_region cannot tell: it says no to blocks above 20 TiB, where mimalloc's own largest ones
// lie.
//
// mimalloc 2.x asks the kernel for addresses from 2 TiB to 30 TiB, and nothing else lands there or in the
// 4 TiB behind by itself, so almost every block is recognised by its address alone. What it gets elsewhere is
// large (beyond 1 GiB, aligned beyond 32 MiB) and is remembered when it is handed out. For what is left (an
// address hint that the kernel refused) the C library's own bookkeeping around the block decides; a block
// without it is mimalloc's.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace stadial::gate {

// From 2 TiB on, a power of two long: one subtraction and one shift tell.
inline constexpr std::uintptr_t kHintedFrom = std::uintptr_t{1} << 41;
inline constexpr unsigned kHintedShift = 45;

// Sizes of 2^kPlainSizeShift and more are looked at after allocation; smaller ones live in mimalloc's
// ordinary segments.
inline constexpr unsigned kPlainSizeShift = 23;

// Zero for a block in the hinted range.
[[gnu::always_inline]] inline std::uintptr_t OutsideHint(const void* block) noexcept {
  return (reinterpret_cast<std::uintptr_t>(block) - kHintedFrom) >> kHintedShift;
}
[[gnu::always_inline]] inline bool IsHinted(const void* block) noexcept { return OutsideHint(block) == 0; }

// Remembers a block that mimalloc handed out and that IsHinted does not cover.
void RememberUnhinted(const void* block) noexcept;
// Is a block that IsHinted does not cover mimalloc's?
bool IsUnhintedBackendBlock(const void* block) noexcept;

[[gnu::always_inline]] inline bool IsBackendBlock(const void* block) noexcept {
  return IsHinted(block) || IsUnhintedBackendBlock(block);
}

// Blocks of the C library: given back to it; leaked while its functions are not known yet (before
// constructors ran). Each one is counted.
void FreeForeign(void* block) noexcept;
void* ReallocForeign(void* block, std::size_t sizeBytes) noexcept;
std::size_t UsableSizeForeign(void* block) noexcept;

extern std::atomic<std::uint64_t> foreignBlocks;

}  // namespace stadial::gate
