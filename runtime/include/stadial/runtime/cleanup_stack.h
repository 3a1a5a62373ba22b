// CleanupStack: undo steps, run in reverse order of pushing, each exactly once (G7). Pushed in an order in
// which dependencies come first (dependency_order.h, cleanup_order.h), whatever depends on a thing, directly
// or not, is cleaned up before it.
//
// The six answers: fixed capacity from an arena (16 B per entry); a full stack refuses (TryPush); natural
// alignment; entries are plain values; one thread; no pointer is handed out. An entry leaves the stack before
// it is called, so a step that unwinds again, or pushes more, runs nothing twice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "stadial/arenas/arena.h"

namespace stadial::runtime {

class CleanupStack {
 public:
  using Step = void (*)(void* object);

  CleanupStack() noexcept = default;  // capacity 0
  CleanupStack(arenas::Arena& memory, std::uint32_t capacity) : entries_(memory.NewArray<Entry>(capacity)) {}

  [[nodiscard]] bool TryPush(Step step, void* object) noexcept {
    if (size_ == entries_.size()) return false;
    entries_[size_++] = {step, object};
    return true;
  }
  // Returns the number of steps run.
  std::uint32_t Unwind() {
    std::uint32_t count = 0;
    while (size_ > 0) {
      const Entry entry = entries_[--size_];
      entry.step(entry.object);
      ++count;
    }
    return count;
  }
  std::uint32_t Size() const noexcept { return size_; }
  std::uint32_t Capacity() const noexcept { return static_cast<std::uint32_t>(entries_.size()); }

 private:
  struct Entry {
    Step step;
    void* object;
  };
  std::span<Entry> entries_;
  std::uint32_t size_ = 0;
};

}  // namespace stadial::runtime
