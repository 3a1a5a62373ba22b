// LifoStack: hands out blocks of an arena and takes them back newest first, for libraries written for a
// stack allocator. What is freed is used again at once, which an arena offers only to holders of its marks.
//
// Growth:       none; the arena's capacity.
// Exhaustion:   TryAllocate returns nullptr, and nothing changes.
// Alignment:    the arena's: any power of two.
// Destructors:  none run. ~LifoStack rewinds to where the arena stood before the oldest block.
// Threads:      one at a time. Nobody else may take memory from the arena while blocks are out.
// Invalidation: Free of a block or, for LifoOrder::Strict, of any below it; the end of the stack.
//
// Strict: freeing anything but the newest block is a programming error and aborts with both addresses.
// Deferred: such a block is only marked, and goes back when it has become the newest; for libraries that
// are nearly orderly. An address that is no live block of the stack is an error in both.
// Cost: O(1), and a record of 64 B for every block (more in checked builds). Deferred: O(blocks above).
#pragma once

#include <cstddef>
#include <cstdint>

#include "stadial/arenas/arena.h"
#include "stadial/arenas/effects.h"

namespace stadial::arenas {

enum class LifoOrder : std::uint8_t { Strict, Deferred };

class LifoStack {
 public:
  explicit LifoStack(Arena& arena, LifoOrder order = LifoOrder::Strict) noexcept
      : arena_(&arena), order_(order) {}
  ~LifoStack() { Clear(); }
  LifoStack(const LifoStack&) = delete;
  LifoStack& operator=(const LifoStack&) = delete;

  [[nodiscard]] void* TryAllocate(std::size_t sizeBytes,
                                  std::size_t alignment = 16) noexcept STADIAL_NONALLOCATING;
  // nullptr is fine.
  void Free(void* memory) noexcept STADIAL_NONALLOCATING;
  // Takes back every block.
  void Clear() noexcept STADIAL_NONALLOCATING;

  // Blocks not taken back yet, those that wait for their turn included.
  std::size_t Blocks() const noexcept { return blocks_; }
  // Of them, freed out of order and waiting.
  std::size_t WaitingBlocks() const noexcept { return waitingBlocks_; }
  Arena& GetArena() const noexcept { return *arena_; }

 private:
  struct Block {
    Block* below;
    void* memory;
    ArenaMark mark;  // before this record
    bool isFreed;
  };
  void Pop() noexcept;

  Arena* arena_;
  Block* top_ = nullptr;
  std::size_t blocks_ = 0;
  std::size_t waitingBlocks_ = 0;
  LifoOrder order_;
};

}  // namespace stadial::arenas
