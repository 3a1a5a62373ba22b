#include "stadial/arenas/lifo_stack.h"

#include <new>

#include "abort_line.h"

namespace stadial::arenas {

void* LifoStack::TryAllocate(std::size_t sizeBytes, std::size_t alignment) noexcept {
  const ArenaMark mark = arena_->Mark();
  void* const record = arena_->TryAllocate(sizeof(Block), alignof(Block));
  if (record == nullptr) return nullptr;
  // An empty block could have the address of the record above it.
  void* const memory = arena_->TryAllocate(sizeBytes == 0 ? 1 : sizeBytes, alignment);
  if (memory == nullptr) {
    arena_->RewindTo(mark);
    return nullptr;
  }
  top_ = ::new (record) Block{.below = top_, .memory = memory, .mark = mark, .isFreed = false};
  ++blocks_;
  return memory;
}

void LifoStack::Pop() noexcept {
  const ArenaMark mark = top_->mark;  // the rewind takes the record with it
  top_ = top_->below;
  arena_->RewindTo(mark);
  --blocks_;
}

void LifoStack::Free(void* memory) noexcept {
  if (memory == nullptr) return;
  Block* block = top_;
  while (order_ == LifoOrder::Deferred && block != nullptr && block->memory != memory) block = block->below;
  if (block == nullptr || block->memory != memory || block->isFreed) {
    AbortWithLine("stadial: LIFO stack over arena '%s': Free(%p): %s; the newest of %zu blocks is %p",
                  arena_->Name(), memory,
                  order_ == LifoOrder::Strict ? "it is not the newest block"
                                              : "no live block starts there (foreign, or freed before)",
                  blocks_, top_ == nullptr ? nullptr : top_->memory);
  }
  block->isFreed = true;
  ++waitingBlocks_;
  while (top_ != nullptr && top_->isFreed) {
    --waitingBlocks_;
    Pop();
  }
}

void LifoStack::Clear() noexcept {
  while (top_ != nullptr) Pop();
  waitingBlocks_ = 0;
}

}  // namespace stadial::arenas
